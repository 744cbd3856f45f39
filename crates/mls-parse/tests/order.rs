//! Threads read the batches of a log in turns. The output has the order of the log.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};

use clap::Parser;
use mls_parse::{Args, Scanner};
use mls_stream::blocks::BlockPosition;
use testdata::log::{Generator, Stamps};

#[test]
fn records_and_rejects_are_in_the_order_of_the_log() {
    let mut generator = Generator::new(7, Stamps::Rfc3339);
    let (mut log, mut unreadable) = (Vec::new(), String::new());
    for n in 0..40_000 {
        generator.line(&mut log);
        if n % 1000 == 0 {
            let line = format!(
                "2026-06-01T00:00:00+00:00 vm postfix/smtpd[{n}]: warning: x[-]: SASL A authentication failed\n"
            );
            log.extend_from_slice(line.as_bytes());
            unreadable.push_str(&line);
        }
    }
    assert!(log.len() > 5 << 20, "these are many batches");
    let mut scanner =
        Scanner::new(&Args::parse_from(["mls-parse"]), &mls_config::config::Filter::default())
            .unwrap();
    let mut expected = Vec::new();
    scanner.block(&log, BlockPosition { segment: None, offset: 0, before: b"" }, &mut expected);

    let dir = tempfile::tempdir().unwrap();
    let (input, rejects) = (dir.path().join("log"), dir.path().join("rejects"));
    File::create(&input).unwrap().write_all(&log).unwrap();
    let mut cat = Command::new("cat").arg(&input).stdout(Stdio::piped()).spawn().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mls-parse"))
        .args(["--stats", "--rejects"])
        .arg(&rejects)
        .stdin(cat.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(cat.wait().unwrap().success());
    assert!(output.stdout == expected, "the records differ");
    assert_eq!(fs::read_to_string(&rejects).unwrap(), unreadable);
    assert!(String::from_utf8_lossy(&output.stderr).contains("lines read: 40040\n"));

    fs::remove_file(&rejects).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mls-parse"))
        .stdin(File::open(&input).unwrap())
        .output()
        .unwrap();
    assert!(output.stdout == expected, "the records of a file differ");
}
