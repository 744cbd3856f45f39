//! Changes to the CSV and the cursor file between two runs, and two pipelines with the same files.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use mls_tests::{EXTRACT, Site, text};

fn with(option: &str) -> String {
    EXTRACT.replace("--append F", &format!("--append F {option}"))
}

#[test]
fn a_first_run_writes_the_header_and_creates_the_file_with_mode_0640() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    assert!(site.read("F").starts_with("server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\nvm,2026-06-01 00:00,192.0.2.1,u0,null,N/A,XX,64496,Example\n"));
    for name in ["F", "S"] {
        assert_eq!(fs::metadata(site.path().join(name)).unwrap().mode() & 0o777, 0o640, "{name}");
    }
    fs::set_permissions(site.path().join("S"), fs::Permissions::from_mode(0o600)).unwrap();
    site.log(3);
    site.extract();
    assert_eq!(fs::metadata(site.path().join("S")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn an_idle_run_writes_nothing() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    let before =
        (site.read("F"), site.read("S"), fs::metadata(site.path().join("S")).unwrap().ino());
    site.extract();
    assert_eq!(
        before,
        (site.read("F"), site.read("S"), fs::metadata(site.path().join("S")).unwrap().ino())
    );
}

#[test]
fn uncommitted_rows_are_moved_to_another_file_and_never_deleted() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    site.append("F", "half a row");
    site.log(3);
    let output = site.shell(EXTRACT);
    assert!(
        output.status.success() && text(&output.stderr).contains("10 bytes after the last commit"),
        "{}",
        text(&output.stderr)
    );
    site.assert_exact();
    let recovered = site.files("F.recovered-");
    assert_eq!(recovered.len(), 1);
    assert_eq!(site.read(&recovered[0]), "half a row");
}

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
            // An older CSV. A header alone cannot distinguish it from the new one.
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
    // There is no file to rotate.
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
    // A service that follows the log holds the lock.
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
        // The files after a run died between the two commits of a new CSV.
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
fn a_csv_changed_while_rows_are_appended_is_not_touched_again() {
    for (owner, left) in
        [("rm F", 0), ("mv F F.1; : > F", 1), ("mv F F.1; seq 9999 > F", 1), (": > F", 1)]
    {
        let mut site = Site::new();
        site.log(3);
        site.extract();
        let committed = site.read("F");
        site.log(3);
        let rows =
            site.shell("mls-tail --framed --cursor-file S mail.log | mls-parse | head -4").stdout;
        let mut sink = site.command("exec mls-csv --append F --cursor-file S --timezone UTC");
        let mut sink = sink.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = sink.stdin.take().unwrap();
        input.write_all(&rows).unwrap();
        // The sink has its rows and waits for the end of its input. The file changes before that.
        let status = format!("/proc/{}/status", sink.id());
        while rustix::io::ioctl_fionread(&input).unwrap() > 0
            || !fs::read_to_string(&status).unwrap().contains("State:\tS")
        {
            std::thread::yield_now();
        }
        assert!(site.shell(owner).status.success());
        let changed = site.read("F");
        drop(input);
        assert_eq!(sink.wait().unwrap().code(), Some(75), "{owner}");
        assert_eq!(site.read("F"), changed, "{owner}");
        if owner.contains("F.1") {
            assert_eq!(
                site.read("F.1"),
                committed,
                "{owner}: rows that were not committed stay in the file that was moved"
            );
        }
        if !changed.contains("9999") {
            site.extract();
            let before = if owner.contains("F.1") { site.read("F.1") } else { committed };
            site.write("F", &(before + &site.read("F")));
            site.assert_exact();
        }
        assert!(site.files("F").len() >= left);
    }
}

#[test]
fn a_run_that_dies_right_after_a_rotation_of_the_csv_needs_no_decision() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    fs::remove_file(site.path().join("F")).unwrap();
    site.log(400);
    // The input ends after the header and some rows, before any commit.
    let output = site.shell(&EXTRACT.replace("mls-csv", "prlimit --fsize=3000 -- mls-csv"));
    assert_eq!(output.status.code(), Some(74), "{}", text(&output.stderr));
    site.append("F", "vm,torn");
    site.extract();
    assert_eq!(site.read("F").lines().count(), 401);
}

#[test]
fn an_edited_csv_is_refused_until_adopt_or_reset() {
    for (edit, why) in [
        ("sed -i s/u1/U1/ F", "somebody has edited it"),
        ("sed -i 2d F", "somebody has shortened it"),
        ("echo note > F; seq 999 >> F", "somebody has edited it"),
    ] {
        let mut site = Site::new();
        site.log(3);
        site.extract();
        assert!(site.shell(edit).status.success());
        let edited = site.read("F");
        site.log(4);
        let said = site.extract_fails(78);
        assert!(
            said.contains(why) && said.contains("--adopt") && said.contains("--reset"),
            "{said}"
        );
        assert_eq!(site.read("F"), edited);

        let output = site.shell(&with("--adopt"));
        assert!(output.status.success(), "{}", text(&output.stderr));
        let after = site.read("F");
        assert!(
            after.starts_with(&edited) && after.lines().count() == edited.lines().count() + 4,
            "{after}"
        );
        site.extract();
    }
}

#[test]
fn reset_renames_an_edited_csv_and_continues_with_the_log() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    site.write("F", "mine");
    site.log(4);
    assert!(site.shell(&with("--reset")).status.success());
    assert_eq!(site.read("F").lines().count(), 5);
    let aside = site.files("F.recovered-");
    assert_eq!((aside.len(), site.read(&aside[0]).as_str()), (1, "mine"));
}

#[test]
fn a_csv_without_a_cursor_file_is_refused_until_adopt_or_reset() {
    let mut site = Site::new();
    site.log(3);
    site.write("F", "mine, without a newline");
    let said = site.extract_fails(78);
    assert!(said.contains("S does not say") && said.contains("--adopt"), "{said}");
    assert_eq!((site.read("F").as_str(), site.files("S").len()), ("mine, without a newline", 0));
    assert!(site.shell(&with("--adopt")).status.success());
    assert!(site.read("F").starts_with("mine, without a newline\nvm,"));
    site.extract();
    assert_eq!(site.read("F").lines().count(), 4);
}

#[test]
fn without_a_cursor_file_rows_are_appended_only_to_our_own_csv() {
    const HEADER: &str = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso";
    let mut site = Site::new();
    site.log(3);
    let append = "mls-parse --timezone UTC < mail.log | mls-csv --append X --timezone UTC";
    let not_ours = "the first line is not server,date,ip";
    for (make, said) in [
        ("cp mail.log X", not_ours),
        ("gzip -c mail.log > X", not_ours),
        ("echo > X", not_ours),
        ("printf server,date > X", not_ours),
        (&format!("echo {HEADER},more > X"), not_ours),
        (
            "echo 'server;date;ip;user;hostname' > X",
            "mls-csv --decode --legacy < X.old | mls-csv --append X",
        ),
    ] {
        assert!(site.shell(make).status.success());
        let before = fs::read(site.path().join("X")).unwrap();
        let output = site.shell(append);
        assert_eq!(output.status.code(), Some(78), "{make}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{make}: {}", text(&output.stderr));
        assert_eq!(fs::read(site.path().join("X")).unwrap(), before, "{make}");
    }
    for (make, lines) in
        [("rm X", 4), (": > X", 4), ("true", 7), (&format!("printf {HEADER} > X"), 4)]
    {
        assert!(site.shell(make).status.success());
        let output = site.shell(append);
        assert!(output.status.success(), "{make}: {}", text(&output.stderr));
        assert_eq!(site.read("X").lines().count(), lines, "{make}");
        assert_eq!(site.read("X").matches(HEADER).count(), 1, "{make}");
    }
}

#[test]
fn a_damaged_cursor_file_is_refused_and_never_replaced() {
    for (damage, why) in [
        (": > S", "it is empty"),
        ("truncate -s -20 S", "not a whole JSON object"),
        ("head -c 700 /dev/zero > S", "NUL"),
        ("sed -i 's/\"version\": 1/\"version\": 2/' S", "version 2"),
        ("sed -i 's/\"offset\"/\"place\"/' S", "not written by mls-tail"),
    ] {
        let mut site = Site::new();
        site.log(3);
        site.extract();
        let rows = site.read("F");
        assert!(site.shell(damage).status.success());
        let output = site.shell("mls-tail --framed --cursor-file S mail.log");
        assert_eq!(output.status.code(), Some(78), "{damage}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(why), "{damage}: {}", text(&output.stderr));
        // Only mls-tail understands the position, so it fails. The sink ends last, without input.
        let code = if damage.contains("place") { 75 } else { 78 };
        assert!(site.extract_fails(code).contains(why), "{damage}");
        assert_eq!(site.read("F"), rows);
    }
}

#[test]
fn the_second_of_two_pipelines_writes_nothing() {
    let mut site = Site::new();
    site.log(3);
    // This pipeline holds the lock until the test ends `cat`.
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
    // A slow pipeline reads, then it stalls.
    assert!(
        site.shell("mls-tail --framed --cursor-file S mail.log | mls-parse > late")
            .status
            .success()
    );
    site.log(3);
    site.extract();
    // Its records arrive after another pipeline has committed.
    let rows = site.read("F");
    let output = site.shell("mls-csv --append F --cursor-file S < late");
    assert_eq!(output.status.code(), Some(75));
    assert!(
        text(&output.stderr).contains("another pipeline has committed since"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(site.read("F"), rows);
    site.assert_exact();
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

#[test]
fn committed_by_hides_uncommitted_rows_from_another_reader() {
    let mut site = Site::new();
    let export = "mls-tail --framed --cursor-file S2 --committed-by S F | mls-csv --decode --timezone UTC | \
                  mls-csv --append F2 --cursor-file S2 --timezone UTC";
    let copied = |site: &Site| {
        let output = site.shell(export);
        assert!(output.status.success(), "{}", text(&output.stderr));
        site.read("F2").lines().count().saturating_sub(1)
    };
    site.log(3);
    site.extract();
    assert_eq!(copied(&site), 3);
    site.append("F", "vm,2026-06-01 00:00,192.0.2.9,uncommitted,null,N/A,N/A,N/A,N/A\n");
    assert_eq!(copied(&site), 3);
    site.log(2);
    site.extract();
    assert_eq!(copied(&site), 5);
    // The CSV was rotated before the other reader read it, with an uncommitted row at its end.
    site.log(2);
    site.extract();
    site.append("F", "vm,2026-06-01 00:00,192.0.2.9,uncommitted,null,N/A,N/A,N/A,N/A\n");
    fs::rename(site.path().join("F"), site.path().join("F.1")).unwrap();
    assert_eq!(copied(&site), 7);
    site.log(1);
    site.extract();
    assert_eq!(copied(&site), 8);
    assert!(!site.read("F2").contains("uncommitted"));
}

#[test]
fn another_reader_sees_the_rows_of_a_rotated_csv_if_the_new_one_has_only_a_header() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    assert!(site.shell("mv F F-20260601").status.success());
    site.extract();
    assert_eq!(site.read("F").lines().count(), 1);
    let rows = "mls-tail --framed --committed-by S F | mls-csv --decode | grep -c auth";
    assert_eq!(text(&site.shell(rows).stdout).trim(), "3");
    // The same after a second rotation, when the older file is forgotten.
    assert!(site.shell("mv F F-20260602; jq '.rotated = []' S > T && mv T S").status.success());
    site.extract();
    assert_eq!(text(&site.shell(rows).stdout).trim(), "3");
}

#[test]
fn show_cursor_explains_the_cursor_file() {
    let mut site = Site::new();
    let show = |site: &Site| text(&site.shell("mls-tail --show-cursor --cursor-file S").stdout);
    assert!(show(&site).contains("no cursor yet"));
    site.log(3);
    site.extract();
    let shown = show(&site);
    assert!(
        shown.starts_with("commit 1 of 2")
            && shown.contains("mail.log\n")
            && shown.contains("all there was"),
        "{shown}"
    );
}

#[test]
fn a_missing_file_of_committed_by_is_reported() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    for tool in ["mls-tail", "mls-report"] {
        let output = site.shell(&format!("{tool} --committed-by nosuch F"));
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(0), 1), "{said}");
        assert!(said.contains("nosuch does not exist: nothing is committed"), "{said}");
        assert_eq!(text(&site.shell(&format!("{tool} --committed-by S F")).stderr), "");
    }
}
