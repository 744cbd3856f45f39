//! The formats for programs, and `--output`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use assert_cmd::Command as Tool;

const CSV: &str = "\
server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso
mail,2026-05-31 23:00,192.0.2.1,office@me,null,Errno 1,CN,1,\"A \\ \"\"B\"\"\"
mail,2026-06-01 10:00,192.0.2.1,office@me,null,Errno 1,CN,1,\"A \\ \"\"B\"\"\"
mail,2026-06-01 10:30,192.0.2.2,office@me,host.example.net,OK,\"a \\ \"\"b\"\"\",N/A,N/A
mail,2026-06-01 23:59,2001:db8::1,info@me,null,'Err,N/A,N/A,N/A
mail,2026-06-01 23:59,2001:db8::1,info@me,null,Err,,not a number,N/A
";

fn report(args: &[&str]) -> Tool {
    let mut tool = Tool::new(env!("CARGO_BIN_EXE_mls-report"));
    tool.args(["--date", "2026-06-01", "--timezone", "UTC"]).args(args).write_stdin(CSV);
    tool
}

#[test]
fn metrics_are_in_the_text_exposition_format() {
    let run = report(&["--format", "prometheus"]).assert().success();
    let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let (metrics, now) = text.trim_end().rsplit_once(' ').unwrap();
    assert!(now.parse::<i64>().unwrap() > 1_700_000_000, "{now}");
    insta::assert_snapshot!(metrics);
}

/// Checks each line by the rules of the text format and the naming conventions.
#[test]
fn metrics_follow_the_format_and_the_naming_conventions_of_prometheus() {
    let run = report(&["--format", "prometheus"]).assert().success();
    let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let mut names = Vec::new();
    let mut series = Vec::new();
    let mut lines = text.lines();
    let mut kind = "";
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, _) = help.split_once(' ').unwrap();
            assert!(!names.contains(&name), "{name} comes twice");
            names.push(name);
            let declared = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            kind = declared.strip_prefix(name).unwrap().trim();
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            assert!(["counter", "gauge"].contains(&kind), "{kind}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        value.parse::<u64>().unwrap();
        assert!(!series.contains(&sample) && !sample.contains("=\"\""), "{sample}");
        series.push(sample);
        let name = names.last().unwrap();
        let labels = sample.strip_prefix(name).unwrap();
        assert!(
            labels.is_empty() || (labels.starts_with('{') && labels.ends_with("\"}")),
            "{sample}"
        );
    }
    assert!(names.len() > 10 && !kind.is_empty());
}

#[test]
fn an_output_file_is_replaced_at_once_and_metrics_are_for_everybody() {
    let dir = tempfile::tempdir().unwrap();
    for (format, mode) in [("prometheus", 0o644), ("html", 0o640), ("json", 0o640), ("text", 0o640)]
    {
        let file = dir.path().join(format);
        let args = ["--format", format, "--output", file.to_str().unwrap()];
        report(&args).assert().success().stdout("");
        let first = fs::metadata(&file).unwrap();
        assert_eq!(first.mode() & 0o777, mode);
        report(&args).assert().success();
        assert_ne!(
            fs::metadata(&file).unwrap().ino(),
            first.ino(),
            "{format} was overwritten in place"
        );
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    report(&["--output", "/nonexistent/x"]).assert().code(73);
}

#[test]
fn a_reader_that_exits_is_not_an_error() {
    let mut report = Command::new(env!("CARGO_BIN_EXE_mls-report"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Close the pipe of the output before the tool writes to it.
    drop(report.stdout.take());
    drop(report.stdin.take());
    let output = report.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_file_that_may_not_be_read_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.csv");
    mls_state::atomic::write(&file, CSV.as_bytes(), 0o000).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let run = report(&[file.to_str().unwrap()]).output().unwrap();
    // root may read everything.
    let code = if rustix::process::geteuid().is_root() { 0 } else { 77 };
    assert_eq!(run.status.code(), Some(code));
}

#[test]
fn a_large_file_shows_progress_on_a_terminal_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("large.csv");
    // A sparse file: a hundred million bytes that use no disk space.
    fs::File::create(&file).unwrap().set_len(100_000_000).unwrap();
    let tool = env!("CARGO_BIN_EXE_mls-report");
    let command = format!("{tool} {} >{}", file.display(), dir.path().join("out").display());
    let terminal = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&terminal.stdout).into_owned();
    assert!(shown.contains("/95.37 MiB"), "{shown:?}");
    let plain = report(&[file.to_str().unwrap()]).output().unwrap();
    assert!(!String::from_utf8_lossy(&plain.stderr).contains("/95.37 MiB"));
}
