//! Logs that are truncated or copied instead of renamed, and logs with the same first lines.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use mls_tests::{Site, text};

use super::{gzip, rename};

/// Expects a run to succeed and to report lost lines.
fn assert_extracts_after_a_loss(site: &Site) {
    let output = site.shell(mls_tests::EXTRACT);
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("no longer exists"), "{said}");
}

#[test]
fn copytruncate_at_any_moment_loses_and_repeats_nothing() {
    let mut site = Site::new();
    site.log(2000);
    site.extract();
    site.log(100);
    let whole = fs::read(site.path().join("mail.log")).unwrap();
    // The copy `mail.log.1` grows while the log does not change.
    for part in [1000, whole.len() / 2, whole.len()] {
        File::create(site.path().join("mail.log.1")).unwrap().write_all(&whole[..part]).unwrap();
        site.extract();
        site.assert_exact();
    }
    File::options().write(true).open(site.path().join("mail.log")).unwrap().set_len(0).unwrap();
    site.extract();
    site.assert_exact();
    // Now the log is longer than before the truncation.
    site.log(3000);
    site.extract();
    site.assert_exact();
}

#[test]
fn lines_that_were_read_between_copying_and_truncating_are_not_read_again() {
    for (lines, compressed_at_once) in
        [3, 300, 30_000].into_iter().flat_map(|n| [(n, false), (n, true)])
    {
        let mut site = Site::new();
        site.log(lines);
        site.extract();
        assert!(site.shell("cp mail.log mail.log.1").status.success());
        site.log(2);
        site.extract();
        site.write("mail.log", "");
        site.log(2);
        if compressed_at_once {
            assert!(site.shell("gzip mail.log.1").status.success());
        }
        let output = site.shell(mls_tests::EXTRACT);
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), String::new()),
            "{lines}"
        );
        site.assert_exact();
        // The next rotation renames the copy to .2 or .2.gz, and compresses it if it is not compressed.
        if compressed_at_once {
            rename(&site, "mail.log.1.gz", "mail.log.2.gz");
        } else {
            rename(&site, "mail.log.1", "mail.log.2");
            site.log(2);
            site.extract();
            site.assert_exact();
            assert!(site.shell("gzip mail.log.2").status.success());
        }
        site.log(2);
        site.extract();
        site.assert_exact();
    }
}

#[test]
fn a_log_truncated_while_mls_tail_waits_for_its_reader_is_read_again() {
    let mut site = Site::new();
    // The pipe (1 MiB) has room for these lines, and for only a part of the lines of `b.log`.
    let before = site.failures(3500);
    let (old, new) = (site.failures(3000), site.failures(4000));
    assert!(before.len() < 1 << 20 && before.len() + old.len() > 1 << 20);
    site.write("a.log", &before);
    site.write("b.log", &old);
    let tail = "mls-tail --cursor-file C a.log b.log";
    let mut waiting = site
        .command(&format!(
            "{tail} | (touch there; until [ -e go ]; do sleep 0.1; done; cat >> out)"
        ))
        .spawn()
        .unwrap();
    while !site.path().join("there").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Give the tool time to fill the pipe. If the time is too short, the test checks less, but does
    // not fail.
    std::thread::sleep(Duration::from_millis(700));
    assert!(site.shell("cp b.log b.log.1; : > b.log").status.success());
    site.append("b.log", &new);
    site.write("go", "");
    assert_eq!(waiting.wait().unwrap().code(), Some(75));
    assert!(site.shell(&format!("{tail} >> out")).status.success());
    let out = site.read("out");
    let read: HashSet<&str> = out.lines().collect();
    for (name, log) in [("before", before), ("old", old), ("new", new)] {
        let lost = log.lines().filter(|line| !read.contains(line)).count();
        assert_eq!(lost, 0, "{name}");
    }
}

#[test]
fn an_interrupted_copy_is_not_read_as_a_separate_log() {
    let mut site = Site::new();
    site.log(100);
    site.extract();
    assert!(
        site.shell("head -c 5000 mail.log > mail.log.2; cp mail.log mail.log.1; : > mail.log")
            .status
            .success()
    );
    site.log(2);
    site.extract();
    site.assert_exact();
}

#[test]
fn a_log_that_was_truncated_and_has_grown_again_is_read_anew_and_the_loss_is_reported() {
    let mut site = Site::new();
    site.log(50);
    site.extract();
    site.write("mail.log", "");
    site.log(100);
    assert_extracts_after_a_loss(&site);
    site.assert_exact();
    assert_eq!(text(&site.shell(mls_tests::EXTRACT).stderr), "");
}

#[test]
fn logs_with_the_same_beginning_are_distinguished() {
    let mut site = Site::new();
    let banner = "2026-06-01T00:00:00+00:00 vm rsyslogd: start\n".repeat(300);
    site.append("mail.log", &banner);
    site.log(10);
    site.extract();
    site.log(10);
    rename(&site, "mail.log", "mail.log.1");
    site.append("mail.log", &banner);
    site.extract();
    site.assert_exact();
    site.log(10);
    site.extract();
    site.assert_exact();
    rename(&site, "mail.log.1", "mail.log.2");
    gzip(&site, "mail.log.2");
    rename(&site, "mail.log", "mail.log.1");
    site.append("mail.log", &banner);
    site.log(10);
    site.extract();
    site.assert_exact();
}

#[test]
fn a_longer_new_log_with_the_same_beginning_is_recognized_as_new() {
    let mut site = Site::new();
    let banner = "2026-06-01T00:00:00+00:00 vm rsyslogd: start\n".repeat(300);
    site.append("mail.log", &banner);
    site.log(10);
    site.extract();
    site.write("mail.log", &banner);
    site.log(40);
    assert_extracts_after_a_loss(&site);
    site.assert_exact();
}

#[test]
fn nul_bytes_before_a_line_are_skipped_and_the_line_counts() {
    for length in [1, 5000, 3 << 20] {
        for is_compressed in [false, true] {
            let mut site = Site::new();
            site.log(3);
            site.extract();
            // If a writer keeps its offset after copytruncate, the log begins with NUL bytes.
            rename(&site, "mail.log", "mail.log.1");
            File::create(site.path().join("mail.log")).unwrap().set_len(length).unwrap();
            site.log(3);
            if is_compressed {
                gzip(&site, "mail.log.1");
                rename(&site, "mail.log", "mail.log.0");
                gzip(&site, "mail.log.0");
            }
            site.extract();
            site.assert_exact();
            site.log(2);
            site.extract();
            site.assert_exact();
        }
    }
}
