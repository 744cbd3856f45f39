//! mls-enrich as a child process, and its input and output.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::dns_server::{Reply, labels};
use serde_json::Value;

pub(crate) const BEGIN: &str = r#"{"v":1,"type":"begin","base":0}"#;

pub(crate) const CHECKPOINT: &str = r#"{"v":1,"type":"checkpoint","cursor":{"at":1}}"#;

pub(crate) const END: &str = r#"{"v":1,"type":"end"}"#;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn auth(ip: &str) -> String {
    format!(
        r#"{{"v":1,"type":"auth","date":"2026-06-01T00:00:45+02:00","outcome":"failure","ip":"{ip}"}}"#
    )
}

pub(crate) fn name(text: &str) -> Reply {
    Reply::Names(vec![labels(text)])
}

pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
    pub(crate) lines: Vec<Value>,
}

impl Output {
    /// Status and hostname by address.
    pub(crate) fn by_ip(&self) -> HashMap<&str, (Option<&str>, Option<&str>)> {
        let auth = self.lines.iter().filter(|line| line["type"] == "auth");
        auth.map(|line| {
            (
                line["ip"].as_str().unwrap(),
                (line["reverse_dns_status"].as_str(), line["hostname"].as_str()),
            )
        })
        .collect()
    }
}

pub(crate) fn command(server: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mls-enrich"));
    // If there is a database, there is no warning. This database has no addresses of the tests.
    command.args([
        "--dns-server",
        &server.to_string(),
        "--country-db",
        "none.csv",
        "--asn-db",
        "none.csv",
    ]);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(command: &mut Command, lines: &[String]) -> Output {
    let mut child = command.spawn().unwrap();
    let (mut input, text) = (child.stdin.take().unwrap(), lines.join("\n") + "\n");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let lines = output
        .stdout
        .split_inclusive(|b| *b == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap());
    Output {
        code: output.status.code(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        lines: lines.collect(),
    }
}

/// A running mls-enrich. The test writes its input line by line.
pub(crate) struct Filter {
    pub(crate) child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Filter {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (input, output) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    pub(crate) fn write(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    pub(crate) fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Ends the input and returns the text of stderr.
    pub(crate) fn end(self) -> String {
        let Self { mut child, input, .. } = self;
        drop(input);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert!(child.wait().unwrap().success());
        stderr
    }
}
