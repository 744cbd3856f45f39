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

#[test]
fn a_suspicious_login_comes_out_when_it_is_recorded_and_sigterm_ends_the_stream() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let header = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
    let quoted = format!("\"{}\"\n", header.trim_end().replace(',', "\",\""));
    let row = |user: &str| {
        let now = chrono::Utc::now().format("%Y-%m-%d %H:%M");
        format!("mail,{now},203.0.113.9,{user},null,OK,VN,64512,Example\n")
    };
    write("failures.csv", &format!("{header}{}{}{}", row("a"), row("b"), row("c")));
    write("logins.csv", &quoted);
    let mut alert = Command::new(env!("CARGO_BIN_EXE_mls-alert"))
        .args(["failures.csv", "--logins", "logins.csv", "--timezone", "UTC"])
        .args(["--follow", "--framed", "--cursor-file", "C"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(alert.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |words: &str| {
        let line = lines.next().unwrap();
        assert!(line.contains(words), "{words}: {line}");
    };
    next("\"type\":\"begin\"");
    write("logins.csv", &row("dora"));
    next("\"kind\":\"guessed\",\"key\":\"dora\"");
    write("logins.csv", &row("emil"));
    next("\"kind\":\"guessed\",\"key\":\"emil\"");
    let kill = Command::new("kill").arg(alert.id().to_string()).status().unwrap();
    assert!(kill.success());
    next("\"type\":\"end\"");
    assert!(alert.wait().unwrap().success());
}
