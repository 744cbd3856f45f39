//! One input with the attempts of several servers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fmt::Write as _;

use assert_cmd::Command;
use serde_json::Value;

/// Failures from one address, three on mx1 and two on mx2, one second after another.
fn records() -> String {
    let mut records = String::new();
    for (second, server) in ["mx1", "mx2", "mx1", "mx2", "mx1"].iter().enumerate() {
        writeln!(
            records,
            "{{\"v\":1,\"type\":\"auth\",\"date\":\"2026-06-01T10:00:0{second}Z\",\"server\":\"{server}\",\
             \"outcome\":\"failure\",\"attempts\":1,\"ip\":\"192.0.2.1\"}}"
        )
        .unwrap();
    }
    records
}

fn alerts(args: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mls-alert"));
    let run = command.args(args).write_stdin(records()).assert().success();
    let lines = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_server_is_counted_separately_and_named() {
    let together = alerts(&["--ip", "5/1m"]);
    assert_eq!((together.len(), together[0].get("server")), (1, None));
    assert_eq!(alerts(&["--ip", "4/1m", "--by-server"]), Vec::<Value>::new());
    let apart = alerts(&["--ip", "2/1m", "--by-server"]);
    let named: Vec<_> = apart.iter().map(|it| (&it["key"], &it["server"])).collect();
    assert_eq!(named, [(&"192.0.2.1".into(), &"mx1".into()), (&"192.0.2.1".into(), &"mx2".into())]);
}

#[test]
fn only_attempts_of_the_named_servers_count() {
    assert_eq!(alerts(&["--ip", "3/1m", "--server", "mx2"]), Vec::<Value>::new());
    assert_eq!(alerts(&["--ip", "3/1m", "--server", "mx1"]).len(), 1);
    assert_eq!(alerts(&["--ip", "5/1m", "--server", "mx1", "--server", "mx2"]).len(), 1);
}
