//! The systemd journal as a log. systemd-journal-remote(8) writes the entries, and the real journalctl(1)
//! reads them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod switch;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use mls_tests::{EXTRACT, Site, skip, text, tools};

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

fn pipeline() -> String {
    EXTRACT.replace("mail.log", "--journal --journal-directory journal")
}

/// Returns a site. If this machine cannot write a journal, skips the test.
fn new_site() -> Option<Site> {
    let is_possible = std::path::Path::new(REMOTE).exists() && mls_tests::has("journalctl");
    if !is_possible {
        skip("systemd-journal-remote or journalctl is not installed");
    }
    is_possible.then(Site::new)
}

const BOOT: &str = "0123456789abcdef0123456789abcdef";

/// Adds entries of one boot to a journal file. Their times are 1 µs apart.
fn log(site: &Site, file: &str, from: u64, messages: &[&[u8]]) {
    let entries = (from..).zip(messages).map(|(n, message)| (n, n, *message)).collect::<Vec<_>>();
    log_at(site, file, BOOT, &entries);
}

/// Adds entries with the given times in microseconds (wall clock, and since boot). For the format see
/// <https://systemd.io/JOURNAL_EXPORT_FORMATS>.
fn log_at(site: &Site, file: &str, boot: &str, entries: &[(u64, u64, &[u8])]) {
    let postfix = "SYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postfix/smtpd\n_PID=74";
    log_of(site, file, boot, postfix, entries);
}

/// Adds entries as [`log_at`] does. `sender` is the text of the fields that name the sender.
fn log_of(site: &Site, file: &str, boot: &str, sender: &str, entries: &[(u64, u64, &[u8])]) {
    let mut export = Vec::new();
    for (at, uptime, message) in entries {
        let mut fields = String::new();
        write!(
            fields,
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={uptime}\n_BOOT_ID={boot}\n{sender}\n\
             _HOSTNAME=vm\nMESSAGE\n",
            1_780_272_000_000_000 + at
        )
        .unwrap();
        export.extend_from_slice(fields.as_bytes());
        export.extend_from_slice(&(message.len() as u64).to_le_bytes());
        export.extend_from_slice(message);
        export.extend_from_slice(b"\n\n");
    }
    fs::create_dir_all(site.path().join("journal")).unwrap();
    let output = site.path().join("journal").join(file);
    let mut remote = Command::new(REMOTE)
        .arg("-o")
        .arg(output)
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    remote.stdin.take().unwrap().write_all(&export).unwrap();
    assert!(remote.wait().unwrap().success());
}

fn failures(from: u64, n: u64) -> Vec<Vec<u8>> {
    let line = |user| {
        format!(
            "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=u{user}"
        )
    };
    (from..from + n).map(|user| line(user).into_bytes()).collect()
}

fn users(site: &Site) -> Vec<String> {
    site.read("F").lines().skip(1).map(|row| row.split(',').nth(3).unwrap().to_owned()).collect()
}

fn numbers(n: u64) -> Vec<String> {
    (0..n).map(|n| format!("u{n}")).collect()
}

/// Runs the pipeline, which must print nothing. The CSV must have the first `n` failures.
fn assert_reads(site: &Site, n: u64) {
    let output = site.shell(&pipeline());
    let found = (output.status.code(), text(&output.stderr), users(site));
    assert_eq!(found, (Some(0), String::new(), numbers(n)));
}

fn slices(messages: &[Vec<u8>]) -> Vec<&[u8]> {
    messages.iter().map(Vec::as_slice).collect()
}

#[test]
fn entries_are_read_once_and_the_next_run_continues_after_them() {
    let Some(site) = new_site() else { return };
    for (from, n) in [(0, 300), (300, 5)] {
        log(&site, "a.journal", from, &slices(&failures(from, n)));
        for _ in 0..2 {
            assert_reads(&site, from + n);
        }
    }
    assert!(site.read("F").contains("vm,2026-06-01 00:00,192.0.2.1,u0,"));
}

#[test]
fn a_message_that_is_not_utf8_is_read_and_other_messages_are_not() {
    let Some(site) = new_site() else { return };
    let half = b"warning: x[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=el\xc3"
        .as_slice();
    log(&site, "a.journal", 0, &[half, b"connect from unknown[192.0.2.1]", b"\xff\xfe"]);
    let output = site
        .shell("mls-tail --journal --journal-directory journal | mls-parse --timezone UTC --stats");
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["user"], "el\u{fffd}");
    assert_eq!(
        (&record["date"], &record["service"]),
        (&"2026-06-01T00:00:00.000000+00:00".into(), &"postfix/smtpd".into())
    );
    assert!(text(&output.stderr).contains("unparsable: 0"));
    let framed = site.shell(
        "mls-tail --framed --journal --journal-directory journal | mls-parse | grep '\"pos\":\"[0-9a-f]\\{32\\}:1\"'",
    );
    assert!(framed.status.success());
}

#[test]
fn vacuumed_entries_are_a_gap_and_the_rest_is_read() {
    let Some(site) = new_site() else { return };
    log(&site, "a.journal", 0, &slices(&failures(0, 3)));
    assert_reads(&site, 3);
    fs::remove_file(site.path().join("journal/a.journal")).unwrap();
    log(&site, "b.journal", 3, &slices(&failures(3, 2)));
    let framed = text(
        &site
            .shell("mls-tail --framed --cursor-file S --journal --journal-directory journal")
            .stdout,
    );
    assert_eq!(framed.matches(r#""type":"gap","source":"journal""#).count(), 1, "{framed}");
    let output = site.shell(&pipeline());
    assert!(
        output.status.success()
            && text(&output.stderr).contains("no longer has the entry that was read last"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(users(&site), numbers(5));
    assert_eq!(text(&site.shell(&pipeline()).stderr), "");
}

#[test]
fn missing_entries_are_reported_once_and_nothing_is_read_twice_when_they_return() {
    let Some(site) = new_site() else { return };
    log(&site, "a.journal", 0, &slices(&failures(0, 3)));
    assert_reads(&site, 3);
    fs::rename(site.path().join("journal"), site.path().join("away")).unwrap();
    fs::create_dir(site.path().join("journal")).unwrap();
    let said = [(); 2].map(|()| text(&site.shell(&pipeline()).stderr));
    assert!(
        said[0].contains("no longer has the entry that was read last") && said[1].is_empty(),
        "{said:?}"
    );
    fs::remove_dir(site.path().join("journal")).unwrap();
    fs::rename(site.path().join("away"), site.path().join("journal")).unwrap();
    log(&site, "a.journal", 3, &slices(&failures(3, 1)));
    assert_reads(&site, 4);
}

#[test]
fn a_failing_journalctl_does_not_change_the_position() {
    let Some(site) = new_site() else { return };
    log(&site, "a.journal", 0, &slices(&failures(0, 3)));
    assert_reads(&site, 3);
    let tail = "mls-tail --framed --cursor-file S --journal --journal-directory";
    let output = site.shell(&format!("{tail} nowhere"));
    assert_eq!(
        (output.status.code(), text(&output.stdout).lines().count()),
        (Some(69), 1),
        "{}",
        text(&output.stdout)
    );
    assert_reads(&site, 3);
}

#[test]
fn a_journal_that_is_empty_or_private_is_named() {
    let Some(site) = new_site() else { return };
    fs::create_dir(site.path().join("empty")).unwrap();
    let tail = "mls-tail --journal --journal-directory";
    let output = site.shell(&format!("{tail} empty"));
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("empty has no journal files; check --journal-directory"), "{said}");
    log(&site, "a.journal", 0, &slices(&failures(0, 3)));
    assert_eq!(text(&site.shell(&format!("{tail} journal")).stderr), "");
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(site.path().join("journal/a.journal"), fs::Permissions::from_mode(0o600))
        .unwrap();
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let tool = tools().join("mls-tail").display().to_string();
    if !site.shell(&format!("{nobody} {tool} --version")).status.success() {
        return skip("setpriv needs root, or others cannot see the directory of the tools");
    }
    let output = site.shell(&format!("{nobody} {tail} journal").replace("mls-tail", &tool));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("add the user to the group systemd-journal"), "{said}");
}

#[test]
fn entries_copied_to_another_journal_file_are_read_once() {
    let Some(site) = new_site() else { return };
    log(&site, "a.journal", 0, &slices(&failures(0, 3)));
    assert_reads(&site, 3);
    fs::remove_file(site.path().join("journal/a.journal")).unwrap();
    log(&site, "b.journal", 0, &slices(&failures(0, 4)));
    assert_reads(&site, 4);
}

#[test]
fn entries_of_two_machines_with_the_same_time_are_read_once_each() {
    let Some(site) = new_site() else { return };
    let lines = failures(0, 8);
    let entries = |numbers: &[usize]| {
        numbers.iter().map(|n| (*n as u64 / 2, *n as u64 / 2, &*lines[*n])).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for numbers in [[[0, 2], [1, 3]], [[4, 6], [5, 7]]] {
        log_at(&site, "a.journal", BOOT, &entries(&numbers[0]));
        log_at(&site, "b.journal", "1123456789abcdef0123456789abcdef", &entries(&numbers[1]));
        all.extend(numbers.iter().flatten().map(|n| format!("u{n}")));
        all.sort();
        for _ in 0..3 {
            let output = site.shell(&pipeline());
            assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
            let mut users = users(&site);
            users.sort();
            assert_eq!(users, all);
        }
    }
}

#[test]
fn a_clock_set_back_repeats_no_entries() {
    let Some(site) = new_site() else { return };
    let all = failures(0, 6);
    let mut lines = all.iter().zip(0..);
    let mut n = 0;
    // All entries are of the same boot. The times of the two files overlap.
    for (file, times) in [
        ("a.journal", &[100, 200][..]),
        ("b.journal", &[150, 160]),
        ("b.journal", &[170]),
        ("b.journal", &[210]),
    ] {
        let entries: Vec<_> = times
            .iter()
            .zip(lines.by_ref())
            .map(|(at, (line, uptime))| (*at, uptime, &line[..]))
            .collect();
        log_at(&site, file, BOOT, &entries);
        n += times.len() as u64;
        assert_reads(&site, n);
    }
}

/// The fields that Docker's journald driver writes.
fn container(name: &str) -> String {
    format!(
        "CONTAINER_NAME={name}\nCONTAINER_ID=3f2a9c01b7de\nSYSLOG_IDENTIFIER=3f2a9c01b7de\n\
         _SYSTEMD_UNIT=docker.service\n_PID=812\nPRIORITY=6"
    )
}

#[test]
fn entries_of_containers_are_read_with_journal_match() {
    let Some(site) = new_site() else { return };
    let message = |program: &str, user: u64| {
        let failure = text(&failures(user, 1)[0]);
        format!("Jun  1 00:00:00 mx {program}[7]: {failure}").into_bytes()
    };
    let senders = [
        (container("postfix-mailcow"), message("postfix/smtpd", 0)),
        (container("mail-2"), message("postfix/submission/smtpd", 1)),
        (container("other"), message("postfix/smtpd", 99)),
        (
            "SYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postfix/smtpd\n_PID=74".into(),
            failures(2, 1).remove(0),
        ),
    ];
    for (at, (sender, message)) in (0..).zip(&senders) {
        log_of(&site, "a.journal", BOOT, sender, &[(at, at, message)]);
    }
    let tail = "mls-tail --journal --journal-directory journal";
    let records = |command: &str| {
        let output = site.shell(&format!("{command} | mls-parse --timezone UTC"));
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        text(&output.stdout)
            .lines()
            .map(|line| {
                let record: serde_json::Value = serde_json::from_str(line).unwrap();
                ["server", "service", "pid", "user"].map(|member| record[member].to_string())
            })
            .collect::<Vec<_>>()
    };
    let own = ["\"vm\"", "\"postfix/smtpd\"", "74", "\"u2\""].map(str::to_owned);
    assert_eq!(records(tail), std::slice::from_ref(&own));
    let container = ["\"mx\"", "\"postfix/smtpd\"", "7", "\"u0\""].map(str::to_owned);
    let second = ["\"mx\"", "\"postfix/submission/smtpd\"", "7", "\"u1\""].map(str::to_owned);
    let all = [container.clone(), second, own.clone()];
    let options =
        "--journal-match CONTAINER_NAME=postfix-mailcow --journal-match CONTAINER_NAME=mail-2";
    assert_eq!(records(&format!("{tail} {options}")), all);
    site.write(
        "conf",
        "[paths]\nmail_log = journal\njournal_match = CONTAINER_NAME=postfix-mailcow, CONTAINER_NAME=mail-2\n",
    );
    assert_eq!(records(&format!("{tail} --config conf")), all);
    let one = format!("{tail} --config conf --journal-match CONTAINER_NAME=postfix-mailcow");
    assert_eq!(records(&one), [container, own]);
}

#[test]
fn sigterm_ends_the_run_while_the_journal_is_quiet() {
    let site = Site::new();
    fs::create_dir(site.path().join("bin")).unwrap();
    site.write("bin/journalctl", "#!/bin/sh\ntouch started\nexec sleep 600\n");
    let output = site.shell(
        "chmod +x bin/journalctl; PATH=$PWD/bin:$PATH timeout 20 bash -c '
             mls-tail --framed --follow --journal > out & tail=$!
             until [ -e started ] && grep -q ^State:.S /proc/$tail/status; do sleep 0.05; done
             kill $tail; wait $tail'",
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert!(site.read("out").ends_with("{\"v\":1,\"type\":\"end\"}\n"), "{}", site.read("out"));
}

#[test]
fn the_journal_continues_after_the_last_second_that_the_legacy_version_read() {
    let Some(site) = new_site() else { return };
    log(&site, "a.journal", 0, &slices(&failures(0, 3)));
    // These two entries are one second later than the first three.
    log(&site, "a.journal", 1_000_000, &slices(&failures(3, 2)));
    site.write("S", "1780272000");
    for _ in 0..2 {
        let output = site.shell(&pipeline());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(users(&site), ["u3", "u4"]);
    }
    site.write("S", "4711");
    let output = site.shell("mls-tail --journal --journal-directory journal --cursor-file S");
    assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
}

#[test]
fn directory_of_several_machines_is_refused_and_a_directory_for_each_is_read() {
    let Some(site) = new_site() else { return };
    let sender = |machine: char| {
        let id = machine.to_string().repeat(32);
        format!("_MACHINE_ID={id}\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postfix/smtpd\n_PID=74")
    };
    let messages = failures(0, 2);
    let entry = |n: usize| (n as u64, n as u64, &messages[n][..]);
    log_of(&site, "remote-a.journal", BOOT, &sender('a'), &[entry(1)]);
    let first = site.shell(&pipeline());
    assert_eq!((first.status.code(), users(&site)), (Some(0), vec!["u1".to_owned()]));
    // The next entry is older, and comes from a second machine.
    log_of(&site, "remote-b.journal", &"b".repeat(32), &sender('b'), &[entry(0)]);
    let output = site.shell(&pipeline());
    let messages = text(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{messages}");
    assert!(messages.contains("give each machine its own directory"), "{messages}");
    assert_eq!(users(&site), ["u1"]);
    let moved = site
        .shell("mkdir journal/b && mv journal/remote-b.journal journal/b/ && mv journal journals");
    assert!(moved.status.success());
    let pipeline = EXTRACT
        .replace("mail.log", "--journal --journal-directory journals/b")
        .replace("--cursor-file S", "--cursor-file S.b")
        .replace("--append F", "--append F.b");
    let output = site.shell(&pipeline);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert!(site.read("F.b").contains(",u0,"));
}
