//! The continuous pipeline: through rotations, and to its end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mls_tests::{EXTRACT, Site};

/// The pipeline as the unit runs it: in a process group of its own, the shell waiting for its children on SIGTERM.
fn follow(site: &Site) -> Child {
    let command = format!("trap : TERM; {}", EXTRACT.replace("--framed", "--framed --follow"));
    site.command(&command).process_group(0).spawn().unwrap()
}

fn signal(child: &Child, signal: &str) {
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args([signal, "--", &group]).status().unwrap().success());
}

/// Waits until something is so; what is waited for takes a second or two.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn until_rows(site: &Site, rows: usize) {
    until(&format!("row {rows}"), || site.read("F").lines().count() == rows + 1);
}

#[test]
fn follows_through_renaming_and_copytruncate_and_drains_on_sigterm() {
    let mut site = Site::new();
    let mut pipeline = follow(&site);
    site.log(3);
    until_rows(&site, 3);
    fs::rename(site.path().join("mail.log"), site.path().join("mail.log.1")).unwrap();
    let late = site.failures(2);
    site.append("mail.log.1", &late);
    site.log(3);
    until_rows(&site, 8);
    fs::rename(site.path().join("mail.log.1"), site.path().join("mail.log.2")).unwrap();
    fs::copy(site.path().join("mail.log"), site.path().join("mail.log.1")).unwrap();
    File::options().write(true).open(site.path().join("mail.log")).unwrap().set_len(0).unwrap();
    site.log(4);
    until_rows(&site, 12);
    // Written just before the end: the last look takes it.
    site.log(50);
    signal(&pipeline, "-TERM");
    assert!(pipeline.wait().unwrap().success());
    site.assert_exact();
    assert!(site.files("F.recovered").is_empty());
}

#[test]
fn all_that_was_written_before_the_signal_is_read() {
    let mut site = Site::new();
    site.log(1);
    let out = File::create(site.path().join("out")).unwrap();
    let mut command = site.command("exec mls-tail --follow mail.log other.log");
    let mut tail = command.process_group(0).stdout(out).spawn().unwrap();
    until("the first line", || !site.read("out").is_empty());
    signal(&tail, "-STOP");
    site.log(20_000);
    site.append("other.log", "a line\n");
    signal(&tail, "-TERM");
    signal(&tail, "-CONT");
    assert!(tail.wait().unwrap().success());
    assert_eq!(site.read("out"), site.read("mail.log") + &site.read("other.log"));
}

#[test]
fn a_log_that_cannot_be_read_for_a_while_is_told_of_once_and_forgotten_when_it_can() {
    let mut site = Site::new();
    let command =
        format!("trap : TERM; {{ {}; }} 2> said", EXTRACT.replace("--framed", "--framed --follow"));
    let mut pipeline = site.command(&command).process_group(0).spawn().unwrap();
    site.log(3);
    until_rows(&site, 3);
    fs::rename(site.path().join("mail.log"), site.path().join("mail.log.1")).unwrap();
    fs::create_dir(site.path().join("mail.log")).unwrap();
    until("word of it", || site.read("said").contains("mail.log is not a regular file"));
    // It looks again at least each second.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(site.read("said").lines().count(), 1, "{}", site.read("said"));
    fs::remove_dir(site.path().join("mail.log")).unwrap();
    site.log(3);
    until_rows(&site, 6);
    signal(&pipeline, "-TERM");
    assert!(pipeline.wait().unwrap().success());
    assert_eq!(site.read("said").lines().count(), 1, "{}", site.read("said"));
    site.assert_exact();
}

#[test]
fn data_that_flows_is_committed_within_a_second_or_two() {
    let mut site = Site::new();
    let mut pipeline = follow(&site);
    for round in 1..=20 {
        site.log(5);
        if round % 10 == 0 {
            until("a commit", || {
                site.read("S").contains("\"read\": true")
                    && site.read("F").lines().count() > round * 5 - 10
            });
        }
    }
    let committed = || {
        serde_json::from_str::<serde_json::Value>(&site.read("S")).unwrap()["data"]["length"]
            .as_u64()
    };
    until("the last commit", || {
        committed() == Some(site.read("F").len() as u64) && site.read("F").lines().count() == 101
    });
    signal(&pipeline, "-KILL");
    pipeline.wait().unwrap();
    site.extract_until_clean();
    site.assert_exact();
}

#[test]
fn a_reader_that_dies_while_nothing_happens_is_noticed() {
    let site = Site::new();
    let mut tail =
        site.command("exec mls-tail --follow mail.log").stdout(Stdio::piped()).spawn().unwrap();
    drop(tail.stdout.take());
    until("the end of mls-tail", || tail.try_wait().unwrap().is_some());
    assert!(tail.wait().unwrap().success());
}

#[test]
fn a_log_that_does_not_exist_yet_is_waited_for() {
    let mut site = Site::new();
    fs::remove_file(site.path().join("mail.log")).unwrap();
    let mut pipeline = follow(&site);
    until("a settled cursor", || !site.read("S").is_empty());
    site.log(3);
    until_rows(&site, 3);
    signal(&pipeline, "-TERM");
    assert!(pipeline.wait().unwrap().success());
    site.assert_exact();
}

#[test]
fn a_csv_that_is_taken_away_while_following_ends_the_run_and_loses_nothing() {
    for owner in ["rm F", "mv F F.1"] {
        let mut site = Site::new();
        let mut pipeline = follow(&site);
        site.log(3);
        until_rows(&site, 3);
        until("a commit", || site.read("S").contains("offset"));
        let before = site.read("F");
        assert!(site.shell(owner).status.success());
        site.log(3);
        assert_eq!(pipeline.wait().unwrap().code(), Some(75), "{owner}");
        site.extract();
        site.write("F", &(before + &site.read("F")));
        site.assert_exact();
    }
}

#[test]
fn a_log_behind_a_link_is_followed_while_it_is_not_there() {
    let mut site = Site::new();
    assert!(site.shell("mkdir d; mv mail.log d; ln -s d/mail.log mail.log").status.success());
    let mut pipeline = follow(&site);
    site.log(3);
    until_rows(&site, 3);
    fs::rename(site.path().join("d/mail.log"), site.path().join("d/mail.log.1")).unwrap();
    let late = site.failures(2);
    site.append("d/mail.log.1", &late);
    until_rows(&site, 5);
    site.log(2);
    until_rows(&site, 7);
    signal(&pipeline, "-TERM");
    assert!(pipeline.wait().unwrap().success());
    site.assert_exact();
}

#[test]
fn a_run_that_is_asked_to_end_commits_what_it_has_read() {
    let mut site = Site::new();
    let many = site.failures(60_000);
    site.write("mail.log", &many);
    let slow =
        EXTRACT.replace("mls-parse --timezone UTC", "(sleep 1; exec mls-parse --timezone UTC)");
    let mut pipeline =
        site.command(&format!("trap : TERM; {slow}")).process_group(0).spawn().unwrap();
    until("the sink", || !site.files("F.lock").is_empty());
    // Only the source: the others have not seen that the stream is framed, and would die of it.
    until("the source", || {
        Command::new("pkill")
            .args(["-TERM", "-g", &pipeline.id().to_string(), "mls-tail"])
            .status()
            .unwrap()
            .success()
    });
    assert!(pipeline.wait().unwrap().success());
    let rows = site.read("F").lines().count();
    assert!((2..60_001).contains(&rows), "{rows}");
    site.extract();
    site.assert_exact();
}
