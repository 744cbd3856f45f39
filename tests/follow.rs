//! The continuous pipeline: rotations, errors and shutdown.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mls_tests::{EXTRACT, Site};

/// Starts the pipeline as the unit does: in a new process group. On SIGTERM, the shell waits for
/// the tools.
fn follow(site: &Site) -> Child {
    let command = format!("trap : TERM; {}", EXTRACT.replace("--framed", "--framed --follow"));
    site.command(&command).process_group(0).spawn().unwrap()
}

fn signal(child: &Child, signal: &str) {
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args([signal, "--", &group]).status().unwrap().success());
}

/// Waits until a condition is true, usually one or two seconds. Panics after 30 seconds.
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
fn rename_and_copytruncate_are_followed_and_sigterm_drains_the_pipeline() {
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
    // Lines written just before the signal are read too.
    site.log(50);
    signal(&pipeline, "-TERM");
    assert!(pipeline.wait().unwrap().success());
    site.assert_exact();
    assert!(site.files("F.recovered").is_empty());
}

#[test]
fn every_line_written_before_sigterm_is_read() {
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
fn an_unreadable_log_is_reported_once_until_it_can_be_read_again() {
    let mut site = Site::new();
    let command =
        format!("trap : TERM; {{ {}; }} 2> said", EXTRACT.replace("--framed", "--framed --follow"));
    let mut pipeline = site.command(&command).process_group(0).spawn().unwrap();
    site.log(3);
    until_rows(&site, 3);
    fs::rename(site.path().join("mail.log"), site.path().join("mail.log.1")).unwrap();
    fs::create_dir(site.path().join("mail.log")).unwrap();
    until("word of it", || site.read("said").contains("mail.log is not a regular file"));
    // mls-tail checks the log every second, but must report the error only once.
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
fn a_continuous_stream_is_committed_every_second_or_two() {
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
fn a_reader_that_exits_is_noticed_while_the_log_is_quiet() {
    let site = Site::new();
    let mut tail =
        site.command("exec mls-tail --follow mail.log").stdout(Stdio::piped()).spawn().unwrap();
    drop(tail.stdout.take());
    until("the end of mls-tail", || tail.try_wait().unwrap().is_some());
    assert!(tail.wait().unwrap().success());
}

#[test]
fn mls_tail_says_once_that_it_waits_for_a_log_that_does_not_exist_yet() {
    let mut site = Site::new();
    fs::remove_file(site.path().join("mail.log")).unwrap();
    let command =
        format!("trap : TERM; {{ {}; }} 2> said", EXTRACT.replace("--framed", "--framed --follow"));
    let mut pipeline = site.command(&command).process_group(0).spawn().unwrap();
    let waits = "mail.log does not exist; waiting until it is created";
    until("word of it", || site.read("said").contains(waits));
    until("a settled cursor", || !site.read("S").is_empty());
    site.log(3);
    until_rows(&site, 3);
    signal(&pipeline, "-TERM");
    assert!(pipeline.wait().unwrap().success());
    assert_eq!(site.read("said").lines().count(), 1, "{}", site.read("said"));
    site.assert_exact();
}

#[test]
fn a_csv_moved_while_following_ends_the_run_and_loses_nothing() {
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
fn a_log_behind_a_symbolic_link_is_followed_after_its_target_was_missing() {
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
fn a_run_that_receives_sigterm_commits_what_it_has_read() {
    let mut site = Site::new();
    let many = site.failures(60_000);
    site.write("mail.log", &many);
    let slow =
        EXTRACT.replace("mls-parse --timezone UTC", "(sleep 1; exec mls-parse --timezone UTC)");
    let mut pipeline =
        site.command(&format!("trap : TERM; {slow}")).process_group(0).spawn().unwrap();
    until("the sink", || !site.files("F.lock").is_empty());
    // Send the signal only to mls-tail. The other tools may not have read the begin record, and
    // would then exit at once.
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
