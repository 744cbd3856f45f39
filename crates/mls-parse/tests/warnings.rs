//! Warnings about lines that cannot be parsed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn parse(input: &str, args: &[&str]) -> Output {
    let mut parse = Command::new(env!("CARGO_BIN_EXE_mls-parse"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    parse.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    parse.wait_with_output().unwrap()
}

/// A stream with one segment of these lines.
fn framed(lines: &str) -> String {
    let begin = r#"{"v":1,"type":"begin","base":0}"#;
    let segment = format!(
        r#"{{"v":1,"type":"segment","source":"/log","generation":"g","offset":0,"length":{},"mtime":"2026-12-01T00:00:00+00:00"}}"#,
        lines.len()
    );
    let end = r#"{"v":1,"type":"end"}"#;
    format!("{begin}\n{segment}\n{lines}{end}\n")
}

/// The warnings and errors of a run.
fn complaints(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().filter(|line| !line.contains(": info: ")).map(str::to_owned).collect()
}

#[test]
fn failures_in_an_unknown_format_are_one_warning() {
    let line = |n| {
        format!("~{n}~ smtpd said: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x\n")
    };
    let log: String = (0..100_000).map(line).collect();
    let output = parse(&log, &[]);
    assert!(output.stdout.is_empty());
    let complaints = complaints(&output);
    let [warning] = &complaints[..] else { panic!("not one warning: {complaints:?}") };
    for words in
        ["100,000 lines look like a login attempt", "use grep -h", "--rejects FILE", line(0).trim()]
    {
        assert!(warning.contains(words), "{warning}");
    }
}

#[test]
fn a_line_that_waits_before_a_line_that_is_too_long_is_counted() {
    let part = "2026-06-01T00:00:45Z stdout P postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN \
                authentication failed: x\n";
    let log = format!("{part}{}\n2026-06-01T00:00:45Z stdout F x\n", "x".repeat(1 << 20));
    for input in [&log, &framed(&log)] {
        let output = parse(input, &[]);
        let records = String::from_utf8_lossy(&output.stdout);
        assert!(!records.contains(r#""type":"auth""#), "{records}");
        let complaints = complaints(&output);
        let [skipped, lost] = &complaints[..] else { panic!("not two: {complaints:?}") };
        assert!(skipped.contains("a line longer than 1 MiB was skipped"), "{skipped}");
        for words in ["1 line looks like a login attempt", "last part of the line is missing"] {
            assert!(lost.contains(words), "{lost}");
        }
    }
}

#[test]
fn a_log_without_a_recognized_line_causes_one_message() {
    let lines = "~1~ nothing of interest\n".repeat(10_000);
    // A plain stream may be the wrong file: exit 65. A framed log can get readable lines later: a
    // warning.
    for (input, code) in [(&lines, 65), (&framed(&lines), 0)] {
        let output = parse(input, &[]);
        let complaints = complaints(&output);
        assert_eq!(output.status.code(), Some(code), "{complaints:?}");
        let [complaint] = &complaints[..] else { panic!("not one complaint: {complaints:?}") };
        for words in ["no line has a known log format", "syslog", "~1~ nothing of interest"] {
            assert!(complaint.contains(words), "{complaint}");
        }
    }
}

#[test]
fn lines_without_a_program_are_a_known_format_and_utf_16_is_refused() {
    for line in [
        "Jun  1 00:00:45 mx last message repeated 3 times\n",
        "Jun  1 00:00:45 mx -- MARK --\n",
        "2026-06-01T00:00:45.1Z stdout F Starting\n",
    ] {
        let output = parse(&framed(line), &[]);
        assert_eq!((output.status.code(), complaints(&output)), (Some(0), vec![]), "{line}");
    }
    // PowerShell writes UTF-16.
    let utf16: Vec<u8> = "Jun  1 00:00:45 mx postfix/smtpd[7]: x\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let output = parse(&String::from_utf8(utf16).unwrap(), &[]);
    assert_eq!((output.status.code(), complaints(&output).len()), (Some(65), 1));
}

#[test]
fn a_line_whose_last_part_is_missing_at_the_end_is_counted_once() {
    let part = |text: &str| format!("2026-06-01T00:00:45.1Z stdout P {text}\n");
    let name = "x".repeat(1000);
    let front = "Jun  1 00:00:45 mx postfix/smtpd[7]: warning: unknown[192.0.2.1]: SASL LOGIN auth";
    let failure = format!("{front}entication failed: {name}");
    let other = format!("Jun  1 00:00:45 mx cron[7]: {name}");
    for (text, expected) in [
        (&failure[..], 1),
        // The missing part may contain the words of the failure.
        (front, 1),
        (&other, 0),
    ] {
        let short = part(text);
        let long = short.clone() + &part(&name).repeat(100);
        // If the input has frames, the next run joins the short parts.
        for (input, expected) in [
            (&long, expected),
            (&framed(&long), expected),
            (&short, expected),
            (&framed(&short), 0),
        ] {
            let output = parse(input, &["--stats"]);
            let said = String::from_utf8(output.stderr).unwrap();
            let records = String::from_utf8(output.stdout).unwrap();
            assert!(!records.contains("\"auth\""), "{records}");
            assert!(said.contains(&format!("unparsable: {expected}\n")), "{text}: {said}");
        }
    }
}
