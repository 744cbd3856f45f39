//! The CSV or its cursor file was edited, damaged or removed.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use mls_tests::{Site, text};

use crate::with;

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
        // The sink has read its rows and waits for more input. The file changes before the input
        // ends.
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
fn an_edited_csv_is_refused_until_it_is_accepted_or_reset() {
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
            said.contains(why) && said.contains("--accept-changes") && said.contains("--reset"),
            "{said}"
        );
        assert_eq!(site.read("F"), edited);

        let output = site.shell(&with("--accept-changes"));
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
fn a_csv_without_a_cursor_file_is_refused_until_it_is_accepted_or_reset() {
    let mut site = Site::new();
    site.log(3);
    site.write("F", "mine, without a newline");
    let said = site.extract_fails(78);
    assert!(said.contains("S is missing or") && said.contains("--accept-changes"), "{said}");
    assert_eq!((site.read("F").as_str(), site.files("S").len()), ("mine, without a newline", 0));
    assert!(site.shell(&with("--accept-changes")).status.success());
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
        ("sed -i 's/\"offset\"/\"place\"/' S", "another tool or a later version wrote it"),
    ] {
        let mut site = Site::new();
        site.log(3);
        site.extract();
        let rows = site.read("F");
        assert!(site.shell(damage).status.success());
        let output = site.shell("mls-tail --framed --cursor-file S mail.log");
        assert_eq!(output.status.code(), Some(78), "{damage}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(why), "{damage}: {}", text(&output.stderr));
        // If only the position is damaged, mls-tail ends with 78. The sink gets no input and ends
        // with 75. The exit code of the pipeline comes from the last stage that failed.
        let code = if damage.contains("place") { 75 } else { 78 };
        assert!(site.extract_fails(code).contains(why), "{damage}");
        assert_eq!(site.read("F"), rows);
    }
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
        shown.starts_with("commit 1, written 2")
            && shown.contains("mail.log\n")
            && shown.contains("the log itself, read to its end"),
        "{shown}"
    );
}
