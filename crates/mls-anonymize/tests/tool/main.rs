//! What programs read from an anonymized log equals what they read from the log, except for pseudonyms.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue should stop")]

mod equality;
mod files;
mod names;
mod records;
mod verify;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;
use mls_anonymize::anonymizer::Anonymizer;
use mls_anonymize::key::PseudonymKey;
use mls_anonymize::pseudonym::Pseudonyms;
use mls_anonymize::rules::Rules;
use mls_parse::Scanner;
use mls_stream::blocks::BlockPosition;

const LOG: &str = include_str!("../../../../tests/data/postfix-3.7.11-debian12.log");

/// The key file. Makes it private first, because git does not keep file modes.
fn key() -> &'static str {
    use std::os::unix::fs::PermissionsExt;
    const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cmd/key");
    std::fs::set_permissions(KEY, std::fs::Permissions::from_mode(0o600)).unwrap();
    KEY
}

fn pseudonyms() -> Pseudonyms {
    Pseudonyms::new(&PseudonymKey::load(Path::new(key())).unwrap(), &[])
}

fn anonymizer() -> Anonymizer {
    Anonymizer::new(pseudonyms(), Rules::default(), false)
}

fn anonymize(log: &[u8]) -> Vec<u8> {
    let (mut names, mut out) = (anonymizer(), Vec::new());
    for line in log.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        names.line(text, &mut out);
        out.extend_from_slice(&line[text.len()..]);
    }
    out
}

fn records(lines: &[u8]) -> Vec<u8> {
    let (mut names, mut out) = (anonymizer(), Vec::new());
    for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        names.record(line, &mut out).unwrap();
        out.push(b'\n');
    }
    out
}

fn parse(log: &[u8]) -> Vec<u8> {
    let args = [
        "mls-parse",
        "--daemon=postfix,dovecot",
        "--outcome=failure,success,aborted",
        "--timezone=Europe/Paris",
        "--reference-time=2026-12-01T00:00:00Z",
    ];
    let mut scanner =
        Scanner::new(&mls_parse::Args::parse_from(args), &mls_config::config::Filter::default())
            .unwrap();
    let mut out = Vec::new();
    scanner.block(log, BlockPosition { segment: None, offset: 0, before: b"" }, &mut out);
    out
}

fn assert_same(log: &[u8]) {
    let (one, other) = (parse(&anonymize(log)), records(&parse(log)));
    for (one, other) in one.split(|b| *b == b'\n').zip(other.split(|b| *b == b'\n')) {
        assert_eq!(String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    }
    assert_eq!(one.len(), other.len());
}

/// Runs the tool; returns its exit code, its output and its messages.
fn tool(arguments: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_mls-anonymize"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = tool.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // With --verify, the tool stops reading at the first problem. In this case, writing fails.
        scope.spawn(move || stdin.write_all(input));
        tool.wait_with_output().unwrap()
    });
    (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}
