//! What the tools say to people: on standard error, in the journal's form, and in the operational log.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use mls_tests::{Site, text};

#[test]
fn log_content_in_messages_cannot_drive_a_terminal() {
    let site = Site::new();
    site.write("mail.log", "x\x1b]0;owned\x07 y authentication failed\n");
    let said = text(&site.shell("mls-parse < mail.log").stderr);
    assert!(said.contains("x?]0;owned? y") && said.lines().count() == 1, "{said:?}");
}

#[test]
fn bad_records_are_named_by_line_and_after_ten_only_counted() {
    let site = Site::new();
    site.write("in", &"{}\n".repeat(25));
    let output = site.shell("mls-csv < in");
    let said = text(&output.stderr);
    assert!(
        output.status.success() && said.starts_with("mls-csv: warning: stdin, line 1: "),
        "{said}"
    );
    assert!(
        said.lines().count() == 11 && said.ends_with("15 more bad records were skipped\n"),
        "{said}"
    );
    assert_eq!(site.shell("mls-csv --strict < in").status.code(), Some(65));
}

#[test]
fn a_journal_on_standard_error_gets_priorities() {
    let site = Site::new();
    let err = File::create(site.path().join("err")).unwrap();
    let stat = err.metadata().unwrap();
    let mut command = site.command("echo '{}' | mls-csv; mls-tail no-such.log");
    command
        .env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()))
        .stderr(err)
        .stdout(std::process::Stdio::null());
    assert_eq!(command.status().unwrap().code(), Some(66));
    let said = site.read("err");
    assert!(
        said.starts_with("<4>mls-csv: warning: ") && said.contains("\n<3>mls-tail: error: "),
        "{said}"
    );
}

#[test]
fn the_operational_log_has_what_its_level_lets_through() {
    let mut site = Site::new();
    site.log(1);
    site.append("mail.log", "2026-06-01T00:00:00+00:00 vm sshd[7]: PAM authentication failed\n");
    let extract = "mls-tail --framed --cursor-file S --config mls.conf mail.log | mls-parse --config mls.conf | \
                   mls-csv --append F --cursor-file S --config mls.conf";
    for (level, lines) in [("DEBUG", 5), ("INFO", 3), ("WARNING", 0)] {
        site.write(
            "mls.conf",
            &format!(
                "[paths]\nworking_dir = {}\n[general]\nlog_level = {level}\nlog_file = log\n",
                site.path().display()
            ),
        );
        let output = site.shell(extract);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        let log = site.read("log");
        assert_eq!(log.lines().count(), lines, "{log}");
        if level == "DEBUG" {
            assert!(
                log.contains(" DEBUG mls-parse: not an attempt: PAM authentication failed\n"),
                "{log}"
            );
            assert!(log.contains(" DEBUG mls-csv: F: committed "), "{log}");
        }
        if level != "WARNING" {
            for part in [
                "mls-tail: read ",
                "mls-parse: found 1 failed ",
                "mls-csv: recorded 1 failed login in F",
            ] {
                assert!(log.contains(&format!(" INFO {part}")), "{part} is not in {log}");
            }
        }
        for name in ["log", "S", "F"] {
            fs::remove_file(site.path().join(name)).unwrap_or_default();
        }
    }
}
