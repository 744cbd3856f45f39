//! Runs that must not commit: two pipelines at once, and streams that are cut off.

use std::process::Stdio;

use mls_tests::{Site, text};

#[test]
fn the_second_of_two_pipelines_writes_nothing() {
    let mut site = Site::new();
    site.log(3);
    // `flock` has the lock, as a running pipeline does, until `cat` ends.
    let mut first = site.command("flock F.lock cat").stdin(Stdio::piped()).spawn().unwrap();
    while site.shell("flock -n F.lock true").status.success() {}
    let said = site.extract_fails(75);
    assert!(said.contains("F.lock is held by another process"), "{said}");
    assert_eq!(site.files("S").len(), 0);
    drop(first.stdin.take());
    first.wait().unwrap();
    site.extract_until_clean();
    site.assert_exact();
}

#[test]
fn a_late_sink_of_a_killed_pipeline_cannot_commit() {
    let mut site = Site::new();
    site.log(3);
    // A slow pipeline reads the log, but its sink does not run yet.
    assert!(
        site.shell("mls-tail --framed --cursor-file S mail.log | mls-parse > late")
            .status
            .success()
    );
    site.log(3);
    site.extract();
    // The records of the slow pipeline arrive after another pipeline has committed.
    let rows = site.read("F");
    let output = site.shell("mls-csv --append F --cursor-file S < late");
    assert_eq!(output.status.code(), Some(75));
    assert!(
        text(&output.stderr).contains("If another pipeline has committed"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(site.read("F"), rows);
    site.assert_exact();
}

#[test]
fn a_sink_with_another_cursor_file_than_mls_tail_is_refused() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    let source = "mls-tail --framed --cursor-file S mail.log | mls-parse";
    for sink in ["mls-csv --append G --cursor-file T", "mls-sql load --url sqlite:e.db"] {
        let said = site.fail(75, &format!("{source} | {sink}"));
        assert!(
            said.contains("the stream starts from commit 1, but ")
                && said.contains("check --cursor-file of mls-tail"),
            "{said}"
        );
    }
}

#[test]
fn input_without_an_end_record_is_not_committed() {
    let mut site = Site::new();
    site.log(3);
    for cut in ["head -c 300", "head -n -2", "head -c 0"] {
        let output = site.shell(&format!(
            "mls-tail --framed mail.log | mls-parse | {cut} | mls-csv --append F --cursor-file S --timezone UTC"
        ));
        assert_eq!(output.status.code(), Some(75), "{cut}: {}", text(&output.stderr));
        assert!(site.read("F").lines().count() <= 1, "{cut}");
    }
    let output = site.shell("mls-tail mail.log | mls-parse | mls-csv --append F --cursor-file S");
    assert_eq!(output.status.code(), Some(65), "{}", text(&output.stderr));
    site.extract();
    site.assert_exact();
}

#[test]
fn a_framed_stream_without_an_end_record_fails_even_without_a_cursor_file() {
    let mut site = Site::new();
    site.log(3);
    for sink in ["mls-csv", "mls-csv --append G", "mls-report --date 2026-06-01", "mls-sql export"]
    {
        let pipeline =
            |cut| site.shell(&format!("mls-tail --framed mail.log | mls-parse | {cut} | {sink}"));
        assert_eq!(pipeline("cat").status.code(), Some(0), "{sink}");
        let output = pipeline("head -n -1");
        let said = text(&output.stderr);
        assert!(
            output.status.code() == Some(75) && said.contains("before its end record"),
            "{sink}: {said}"
        );
    }
}

#[test]
fn a_pipeline_without_its_parser_is_refused_and_commits_nothing() {
    let mut site = Site::new();
    site.log(3);
    let source = "mls-tail --framed --cursor-file S mail.log";
    for rest in [
        "mls-csv --append F --cursor-file S",
        "mls-enrich --no-dns | mls-csv --append F --cursor-file S",
        "mls-csv",
    ] {
        let output = site.shell(&format!("{source} | {rest}"));
        assert!(
            !output.status.success() && text(&output.stderr).contains("mls-parse"),
            "{rest}: {}",
            text(&output.stderr)
        );
    }
    site.extract();
    site.assert_exact();
}
