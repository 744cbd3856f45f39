//! Alerts while the input goes on.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

#[test]
fn an_alert_comes_out_while_its_input_goes_on() {
    let mut alert = Command::new(env!("CARGO_BIN_EXE_mls-alert"))
        .args(["--user", "2/1m"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = alert.stdin.take().unwrap();
    let record = "{\"v\":1,\"type\":\"auth\",\"date\":\"2026-06-01T10:00:00Z\",\"outcome\":\"failure\",\"attempts\":2,\"user\":\"x\"}\n";
    stdin.write_all(record.as_bytes()).unwrap();
    // The input stays open: the tool writes before it waits.
    let mut line = String::new();
    BufReader::new(alert.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(
        line.contains("\"kind\":\"user\",\"key\":\"x\",\"attempts\":2,\"threshold\":\"2/1m\""),
        "{line}"
    );
    drop(stdin);
    assert!(alert.wait().unwrap().success());
}
