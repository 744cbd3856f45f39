//! A CSV holds attempts of one outcome only.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const FAILURE: &str =
    r#"{"v":1,"type":"auth","date":"2026-06-01T00:00:45Z","outcome":"failure","user":"bad"}"#;
const SUCCESS: &str =
    r#"{"v":1,"type":"auth","date":"2026-06-01T00:01:45Z","outcome":"success","user":"good"}"#;

fn run(directory: &Path, args: &[&str], input: &str) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_mls-csv"))
        .args(args)
        .args(["--timezone", "UTC"])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A tool that refuses its arguments may exit before it reads anything.
    let _ = tool.stdin.take().unwrap().write_all(input.as_bytes());
    tool.wait_with_output().unwrap()
}

fn framed(records: &str) -> String {
    format!(
        "{{\"v\":1,\"type\":\"begin\",\"base\":0}}\n{records}\n\
         {{\"v\":1,\"type\":\"checkpoint\",\"cursor\":{{\"n\":1}}}}\n{{\"v\":1,\"type\":\"end\"}}\n"
    )
}

#[test]
fn only_attempts_of_the_given_outcome_become_rows_and_the_header_names_the_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let both = format!("{FAILURE}\n{SUCCESS}\n");
    let printed = run(dir.path(), &["--outcome", "success"], &both);
    let csv = String::from_utf8(printed.stdout).unwrap();
    let header =
        r#""server","date","ip","user","hostname","reverse_dns_status","country_code","asn","aso""#;
    assert_eq!(csv, format!("{header}\nN/A,2026-06-01 00:01,N/A,good,null,N/A,N/A,N/A,N/A\n"));
    let decoded = String::from_utf8(run(dir.path(), &["--decode"], &csv).stdout).unwrap();
    assert!(decoded.contains(r#""outcome":"success""#), "{decoded}");
    // Without a header, the command line determines the outcome.
    let row = csv.lines().nth(1).unwrap();
    for (args, outcome) in
        [(&["--decode"][..], "failure"), (&["--decode", "--outcome", "success"], "success")]
    {
        let decoded = String::from_utf8(run(dir.path(), args, row).stdout).unwrap();
        assert!(decoded.contains(&format!("\"outcome\":\"{outcome}\"")), "{decoded}");
    }
}

#[test]
fn rows_before_a_damaged_stream_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let input = format!("{FAILURE}\n{{\"v\":1,\"type\":\"segment\",\"x\":1}}\n");
    let printed = run(dir.path(), &[], &input);
    assert_eq!(printed.status.code(), Some(65));
    let csv = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert_eq!(run(dir.path(), &["--append", "F"], &input).status.code(), Some(65));
    assert_eq!(fs::read_to_string(dir.path().join("F")).unwrap(), csv);
}

#[test]
fn the_other_outcome_is_refused_and_changes_nothing() {
    for (held, other) in [("failure", "success"), ("success", "failure")] {
        let dir = tempfile::tempdir().unwrap();
        let both = format!("{FAILURE}\n{SUCCESS}");
        for (args, input) in [
            (&["--append", "plain.csv"][..], both.clone()),
            (&["--append", "framed.csv", "--cursor-file", "S"], framed(&both)),
        ] {
            let args = [args, &["--outcome"]].concat();
            assert!(run(dir.path(), &[&args[..], &[held]].concat(), &input).status.success());
            let file = dir.path().join(args[1]);
            let before = fs::read(&file).unwrap();
            assert_eq!(before.split(|b| *b == b'\n').count(), 3);
            let mut again = vec![args.clone()];
            if args.contains(&"--cursor-file") {
                again.push([&["--accept-changes"], &args[..]].concat());
            }
            for args in again {
                let input = input.replace("\"base\":0", "\"base\":1");
                let refused = run(dir.path(), &[&args[..], &[other]].concat(), &input);
                assert_eq!(refused.status.code(), Some(65), "{args:?}");
                let said = String::from_utf8(refused.stderr).unwrap();
                assert!(said.contains("choose another"), "{said}");
                assert_eq!(fs::read(&file).unwrap(), before);
            }
        }
    }
}

#[test]
fn the_cursor_file_of_the_other_outcome_is_refused_even_if_the_csv_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--append", "failures.csv", "--cursor-file", "S"];
    assert!(run(dir.path(), &args, &framed(FAILURE)).status.success());
    let before = fs::read(dir.path().join("S")).unwrap();
    let args = ["--append", "logins.csv", "--cursor-file", "S", "--outcome", "success"];
    let refused = run(dir.path(), &args, &framed(SUCCESS).replace("\"base\":0", "\"base\":1"));
    assert_eq!(refused.status.code(), Some(65));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("S is the cursor file of a CSV of failed logins"), "{said}");
    assert_eq!(fs::read(dir.path().join("S")).unwrap(), before);
    assert!(!dir.path().join("logins.csv").exists());
}

#[test]
fn errors_of_the_server_are_counted_by_the_hour_in_the_cursor_file_and_are_not_rows() {
    let dir = tempfile::tempdir().unwrap();
    let error = |time: &str| {
        FAILURE.replace("failure", "error").replace("2026-06-01T00:00:45Z", time) + "\n"
    };
    let counted = || {
        let cursor = fs::read_to_string(dir.path().join("S")).unwrap();
        let cursor: serde_json::Value = serde_json::from_str(&cursor).unwrap();
        cursor["unchecked"].clone()
    };
    let args = ["--append", "F", "--cursor-file", "S"];
    let only_errors = error("2026-06-01T00:00:45Z") + &error("2026-06-01T01:59:00+01:00");
    let first = run(dir.path(), &args, &framed(&only_errors));
    assert_eq!((first.status.code(), first.stderr), (Some(0), Vec::new()));
    let expected = serde_json::json!({"total": 2, "hours": {"2026-06-01 00:00": 2}});
    assert_eq!(counted(), expected);
    assert_eq!(fs::read_to_string(dir.path().join("F")).unwrap().lines().count(), 1);

    // If a stream is cut off, its errors are not counted, because the next run reads them again.
    let more =
        framed(&(error("2026-06-01T05:00:00Z") + FAILURE)).replace("\"base\":0", "\"base\":2");
    let base = |text: &str| {
        let cursor = fs::read_to_string(dir.path().join("S")).unwrap();
        let cursor: serde_json::Value = serde_json::from_str(&cursor).unwrap();
        text.replace("\"base\":2", &format!("\"base\":{}", cursor["sequence"]))
    };
    let cut = base(more.split_once("{\"v\":1,\"type\":\"checkpoint").unwrap().0);
    assert_eq!(run(dir.path(), &args, &cut).status.code(), Some(75));
    assert_eq!(counted(), expected);
    let whole = base(&more.replace("\"n\":1", "\"n\":2"));
    assert!(run(dir.path(), &args, &whole).status.success());
    let hours = serde_json::json!({"2026-06-01 00:00": 2, "2026-06-01 05:00": 1});
    assert_eq!(counted(), serde_json::json!({"total": 3, "hours": hours}));
    // Without a cursor file, mls-csv skips logins with the outcome `error` and prints no message.
    let plain = run(dir.path(), &["--append", "plain"], &only_errors);
    assert_eq!((plain.status.code(), plain.stderr), (Some(0), Vec::new()));
}
