//! The CSV is rotated, removed or emptied.

use std::fs;
use std::process::Stdio;

use mls_tests::{EXTRACT, Site, text};

#[test]
fn a_rotated_removed_or_emptied_csv_is_started_anew_and_the_log_continues() {
    for owner in ["mv F F.1", "rm F", ": > F", "cp F F.1; : > F"] {
        let mut site = Site::new();
        site.log(3);
        site.extract();
        let first = site.read("F");
        assert!(site.shell(owner).status.success());
        site.log(4);
        site.extract();
        let second = site.read("F");
        assert!(second.starts_with("server,") && second.lines().count() == 5, "{owner}: {second}");
        site.write("F", &format!("{first}{second}"));
        site.assert_exact();
    }
}

#[test]
fn uncommitted_rows_are_moved_out_of_a_rotated_csv() {
    const SURPLUS: &str = "vm,2026-06-01 00:00,192.0.2.1,lost,null,N/A,N/A,N/A,N/A\n";
    for before in [0, 3] {
        for owner in [
            "mv F F.1",
            "mv F F.1; gzip F.1",
            "mv F F.1; xz F.1",
            "mv F F.1; bzip2 F.1",
            "mv F F.1; zstd --rm -q F.1",
            "cp F F.1; : > F",
            "mv F F-20260601; : > F",
            "mv F F.2; : > F; mv F F.1",
        ] {
            let tool =
                owner.split("; ").nth(1).and_then(|tool| tool.split(' ').next()).unwrap_or("mv");
            if ["xz", "bzip2", "zstd"].contains(&tool) && !mls_tests::has(tool) {
                mls_tests::skip(tool);
                continue;
            }
            let mut site = Site::new();
            // `F.9` is an older CSV. It begins with the same header as `F`.
            site.log(2);
            site.extract();
            assert!(site.shell("mv F F.9").status.success());
            site.extract();
            site.log(before);
            site.extract();
            site.append("F", SURPLUS);
            assert!(site.shell(owner).status.success());
            site.log(2);
            site.extract();
            let recovered = site.files("F.recovered-");
            assert_eq!(recovered.len(), 1, "{owner} after {before} rows");
            assert_eq!(site.read(&recovered[0]), SURPLUS, "{owner} after {before} rows");
            assert!(site.shell("rm F.recovered-*").status.success());
            site.assert_all_csv_exact();
        }
    }
}

#[test]
fn rotate_to_moves_uncommitted_rows_out_and_never_replaces_a_file() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    site.append("F", "vm,torn");
    let rotate = "mls-csv --append F --cursor-file S --rotate-to F-20260601";
    let output = site.shell(rotate);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(site.files("F").len(), 3, "{:?}", site.files("F"));
    assert_eq!(site.read(&site.files("F.recovered-")[0]), "vm,torn");
    // `F` does not exist, so there is nothing to rotate.
    assert!(site.shell(rotate).status.success());
    site.log(2);
    site.extract();
    let rotated = site.read("F-20260601");
    assert_eq!(site.shell(rotate).status.code(), Some(73));
    assert_eq!(site.read("F-20260601"), rotated);
    site.write("F", "edited\n");
    assert_eq!(site.shell(&rotate.replace("0601", "0602")).status.code(), Some(78));
    let mut first = site.command("flock F.lock cat").stdin(Stdio::piped()).spawn().unwrap();
    while site.shell("flock -n F.lock true").status.success() {}
    assert_eq!(site.shell(rotate).status.code(), Some(75));
    drop(first.stdin.take());
    first.wait().unwrap();
}

#[test]
fn rotate_to_refuses_a_name_that_is_older_than_a_rotated_file() {
    let mut site = Site::new();
    site.log(2);
    site.extract();
    site.write("F-20991231", "the clock was wrong\n");
    site.write("F.3", "another kind of name says nothing about dates\n");
    let rotate = "mls-csv --append F --cursor-file S --rotate-to";
    let output = site.shell(&format!("{rotate} F-20260601"));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(73), "{said}");
    assert!(said.contains("rename ") && said.contains("F-20991231 first"), "{said}");
    assert!(site.path().join("F").exists() && !site.path().join("F-20260601").exists());
    // The name is also refused if a service that follows the log has the lock.
    assert_eq!(site.shell(&format!("flock F.lock {rotate} F-20260601")).status.code(), Some(73));
    assert_eq!(site.shell(&format!("{rotate} F.4")).status.code(), Some(73));
    assert!(site.shell("mv F-20991231 F-20260101").status.success());
    assert!(site.shell(&format!("{rotate} F-20260601")).status.success());
}

#[test]
fn a_csv_that_disappears_before_its_header_is_committed_is_started_again() {
    for owner in ["rm F", ": > F", "mv F F.1"] {
        let mut site = Site::new();
        site.log(3);
        site.extract();
        // Simulate a run that dies between the commit of an empty CSV and the commit of its header.
        assert!(site.shell("mv F F.2").status.success());
        let empty = mls_state::cursor_file::Fingerprint::empty();
        let path = site.path().join("S");
        let mut cursor = mls_state::cursor_file::CursorFile::load(&path).unwrap().unwrap();
        cursor.rotated = cursor.data.replace(empty).into_iter().collect();
        cursor.store(&path).unwrap();
        site.write("F", "");
        assert!(site.shell(owner).status.success());
        site.log(2);
        site.extract();
        site.assert_all_csv_exact();
    }
}

#[test]
fn runs_without_new_rows_after_a_rotation_of_the_csv_leave_no_extra_files() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    fs::rename(site.path().join("F"), site.path().join("F.1")).unwrap();
    for _ in 0..3 {
        assert_eq!(text(&site.shell(EXTRACT).stderr), "");
        assert_eq!((site.read("F").lines().count(), site.files("F.recovered").len()), (1, 0));
    }
    site.log(2);
    site.extract();
    let all = site.read("F.1") + &site.read("F");
    site.write("F", &all);
    site.assert_exact();
}

#[test]
fn the_next_run_succeeds_after_a_run_died_right_after_a_rotation_of_the_csv() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    fs::remove_file(site.path().join("F")).unwrap();
    site.log(400);
    // mls-csv commits the header. Then writing fails before the first commit of rows.
    let output = site.shell(&EXTRACT.replace("mls-csv", "prlimit --fsize=3000 -- mls-csv"));
    assert_eq!(output.status.code(), Some(74), "{}", text(&output.stderr));
    site.append("F", "vm,torn");
    site.extract();
    assert_eq!(site.read("F").lines().count(), 401);
}
