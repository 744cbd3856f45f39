//! The help text, the errors and the exit codes of `mls-enrich`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn help_errors_and_exit_codes_are_as_documented() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}

#[test]
fn bad_lines_are_reported_although_no_good_one_comes() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mls-enrich"))
        .args(["--no-dns", "--data-dir", "."])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"x\ny\n").unwrap();
    let (sender, said) = mpsc::channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || stderr.lines().try_for_each(|line| sender.send(line.unwrap())));
    // The input is still open and has no good line. The tool must report the bad line now.
    loop {
        let line = said.recv_timeout(Duration::from_mins(1)).unwrap();
        if line.contains("stdin, line 2: not a JSON object") {
            break;
        }
    }
    drop(stdin);
    child.wait().unwrap();
}
