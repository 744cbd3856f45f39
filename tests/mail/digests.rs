//! The attempts in each digest of `--since-last`, and its recipients.

use std::fs;

use serde_json::{Value, json};

use crate::site::{Site, row, text};

const SINCE_LAST: [&str; 1] = ["--since-last"];

#[test]
fn every_attempt_is_in_exactly_one_digest() {
    let total = |message: &Value| -> String {
        text(message)
            .lines()
            .find(|line| line.starts_with("Total attempts "))
            .unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    let mut site = Site::new(&json!({}), &[]);
    site.append(&(row("2026-06-01 10:00", "a") + &row("2026-06-01 10:00", "b")));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    // An attempt with an older date, and a row that the sink has only half written.
    site.append(&row("2026-05-01 10:00", "late"));
    site.append("mail,2026-06-01 10:0");
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    site.append("1,192.0.2.1,whole,null,OK,CN,1,O\n");

    // Without a mail server, the digest waits. When a server runs again, this digest is sent
    // unchanged. A second digest has the later attempts.
    site.stop();
    assert_eq!(site.digest(&SINCE_LAST).code, 75);
    site.append(&row("2026-06-01 10:02", "meanwhile"));
    let delivered = site.messages();
    assert_eq!(delivered.iter().map(|(message, _)| total(message)).collect::<Vec<_>>(), ["2", "1"]);
    site.serve(&json!({}), &[]);
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let messages = site.messages();
    assert_eq!(messages.iter().map(|(message, _)| total(message)).collect::<Vec<_>>(), ["1", "1"]);
    assert!(text(&messages[0].0).contains("whole") && text(&messages[1].0).contains("meanwhile"));
    // A name is new if no earlier digest had it.
    assert!(text(&messages[1].0).contains("before):\n   1. meanwhile"), "{}", text(&messages[1].0));

    // Without new attempts, a digest with a total of 0 is sent.
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    assert_eq!(total(&site.messages()[2].0), "0");
}

#[test]
fn a_digest_continues_in_the_rotated_csv() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "first"));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    site.append(&row("2026-06-01 10:00", "second"));
    fs::rename(site.csv(), site.csv().with_extension("csv.1")).unwrap();
    site.append(&row("2026-06-01 10:00", "third"));
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    site.append(&row("2026-06-01 10:00", "fourth"));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    let digests: Vec<Vec<bool>> = (site.messages().iter())
        .map(|(message, _)| {
            ["first", "second", "third", "fourth"].map(|user| text(message).contains(user)).to_vec()
        })
        .collect();
    assert_eq!(
        digests,
        [[true, false, false, false], [false, true, true, false], [false, false, false, true]]
    );
}

#[test]
fn a_digest_that_is_sent_again_is_read_from_the_rotated_csv() {
    let mut site = Site::new(&json!({}), &[]);
    site.stop();
    site.append(&row("2026-06-01 10:00", "first"));
    assert_eq!(site.digest(&SINCE_LAST).code, 75);
    site.append(&row("2026-06-01 10:00", "second"));
    fs::rename(site.csv(), site.csv().with_extension("csv.1")).unwrap();
    site.append(&row("2026-06-01 10:00", "third"));
    site.serve(&json!({}), &[]);
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let digests: Vec<Vec<bool>> = (site.messages().iter())
        .map(|(message, _)| {
            ["first", "second", "third"].map(|user| text(message).contains(user)).to_vec()
        })
        .collect();
    assert_eq!(digests, [[true, false, false], [false, true, true]]);
}

#[test]
fn a_replaced_csv_is_read_by_date_with_a_warning() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2020-06-01 10:00", "old"));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    fs::remove_file(site.csv()).unwrap();
    site.append(&(row("2020-06-01 10:00", "rewritten") + &row("2199-01-01 00:00", "new")));
    let run = site.digest(&SINCE_LAST);
    assert_eq!(run.code, 0);
    assert!(run.err.contains("cannot find the end of the last digest in"), "{}", run.err);
    let messages = site.messages();
    assert!(text(&messages[1].0).contains(": 1\n") && text(&messages[1].0).contains("1. new"));
}

#[test]
fn rows_that_a_sink_has_not_committed_wait() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "a"));
    let length = fs::metadata(site.csv()).unwrap().len();
    let cursor = site.dir.path().join("state.offset");
    let data =
        mls_state::cursor_file::Fingerprint::describe(&fs::File::open(site.csv()).unwrap(), length)
            .unwrap();
    mls_state::cursor_file::CursorFile::next(0, Value::Null, Some(data)).store(&cursor).unwrap();
    site.append(&row("2026-06-01 10:00", "uncommitted"));
    let run = site.run(
        "mls-report --config mls.conf --timezone UTC --since-last --committed-by state.offset",
        &[],
    );
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains(": 1\n") && !run.out.contains("uncommitted"), "{}", run.out);
}

/// The users that each message names.
fn named(site: &Site, users: &[&str]) -> Vec<String> {
    let named = |message: &Value| {
        users.iter().copied().filter(|user| text(message).contains(*user)).collect::<Vec<_>>()
    };
    site.messages().iter().map(|(message, _)| named(message).join(" ")).collect()
}

fn recipients(site: &Site) -> Vec<Value> {
    site.messages().into_iter().map(|(_, envelope)| envelope["to"].clone()).collect()
}

fn rotate(site: &Site, names: &[&str]) {
    let path = |name: &str| site.dir.path().join(format!("maillogsentinel.csv{name}"));
    for pair in names.windows(2) {
        fs::rename(path(pair[1]), path(pair[0])).unwrap();
    }
}

#[test]
fn rows_of_a_csv_that_existed_only_between_two_digests_are_in_the_second() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "first"));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    site.append(&row("2026-06-01 10:00", "second"));
    rotate(&site, &[".1", ""]);
    site.append(&(row("2026-06-01 10:00", "third") + &row("2026-06-01 10:00", "fourth")));
    rotate(&site, &[".2", ".1", ""]);
    // A copy with the name `csv.copy` is not a rotated file.
    fs::copy(site.csv().with_extension("csv.2"), site.csv().with_extension("csv.copy")).unwrap();
    site.append(&row("2026-06-01 10:00", "fifth"));
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let users = ["first", "second", "third", "fourth", "fifth"];
    assert_eq!(named(&site, &users), ["first", "second third fourth fifth"]);
    // Between two digests, one of the rotated files is compressed.
    site.append(&row("2026-06-01 10:00", "sixth"));
    rotate(&site, &[".3", ".2", ".1", ""]);
    site.append(&row("2026-06-01 10:00", "seventh"));
    rotate(&site, &[".4", ".3", ".2", ".1", ""]);
    let gzip = std::process::Command::new("gzip")
        .arg(site.csv().with_extension("csv.1"))
        .status()
        .unwrap();
    assert!(gzip.success());
    site.append(&row("2026-06-01 10:00", "eighth"));
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(named(&site, &["fifth", "sixth", "seventh", "eighth"])[2], "sixth seventh eighth");
}

#[test]
fn files_with_dates_and_files_with_numbers_in_their_names_are_read_in_order() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "first"));
    rotate(&site, &[".1", ""]);
    site.append(&row("2026-06-01 10:00", "second"));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    site.append(&row("2026-06-01 10:00", "third"));
    rotate(&site, &["-20260601", ""]);
    site.append(&row("2026-06-01 10:00", "fourth"));
    rotate(&site, &[".2", ".1", ""]);
    site.append(&row("2026-06-01 10:00", "fifth"));
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(
        named(&site, &["first", "second", "third", "fourth", "fifth"]),
        ["second", "third fourth fifth"]
    );
}

#[test]
fn the_rotated_csv_is_the_last_until_a_new_one_begins() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "first"));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    site.append(&row("2026-06-01 10:00", "second"));
    rotate(&site, &["-20260601", ""]);
    for rows in ["", "third"] {
        if !rows.is_empty() {
            site.append(&row("2026-06-01 10:00", rows));
        }
        let run = site.digest(&SINCE_LAST);
        assert_eq!((run.code, run.err.as_str()), (0, ""));
    }
    assert_eq!(named(&site, &["first", "second", "third"]), ["first", "second", "third"]);
}

fn compress(site: &Site, program: &str, name: &str) {
    let path = site.dir.path().join(format!("maillogsentinel.csv{name}"));
    assert!(std::process::Command::new(program).arg("-q").arg(path).status().unwrap().success());
}

#[test]
fn digest_continues_in_a_csv_that_was_compressed_since_the_last_one() {
    for program in ["gzip", "xz"] {
        let site = Site::new(&json!({}), &[]);
        // The digest continues at a position, not at a date.
        site.append(&row("2020-06-01 10:00", "first"));
        assert_eq!(site.digest(&SINCE_LAST).code, 0);
        site.append(&row("2020-06-01 10:00", "second"));
        rotate(&site, &[".1", ""]);
        compress(&site, program, ".1");
        site.append(&row("2199-06-01 10:00", "third"));
        let run = site.digest(&SINCE_LAST);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{program}");
        assert_eq!(named(&site, &["first", "second", "third"]), ["first", "second third"]);
    }
}

#[test]
fn compressed_csv_is_the_last_until_a_new_one_begins() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "first"));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    site.append(&row("2020-06-01 10:00", "second"));
    rotate(&site, &[".1", ""]);
    compress(&site, "gzip", ".1");
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    site.append(&row("2020-06-01 10:00", "third"));
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(named(&site, &["first", "second", "third"]), ["first", "second", "third"]);
}

#[test]
fn symlinked_csv_is_found_where_it_was_rotated() {
    let site = Site::new(&json!({}), &[]);
    let real = site.dir.path().join("real");
    fs::create_dir(&real).unwrap();
    site.append(&row("2026-06-01 10:00", "first"));
    fs::rename(site.csv(), real.join("logins.csv")).unwrap();
    std::os::unix::fs::symlink("real/logins.csv", site.csv()).unwrap();
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    site.append(&row("2020-06-01 10:00", "second"));
    fs::rename(real.join("logins.csv"), real.join("logins.csv.1")).unwrap();
    let rows = crate::site::HEADER.to_owned() + &row("2020-06-01 10:00", "third");
    mls_state::atomic::write(&real.join("logins.csv"), rows.as_bytes(), 0o640).unwrap();
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(named(&site, &["first", "second", "third"]), ["first", "second third"]);
}

#[test]
fn copied_and_truncated_csv_is_reported_once() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "first"));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    site.append(&row("2020-06-01 10:00", "second"));
    fs::copy(site.csv(), site.csv().with_extension("csv.1")).unwrap();
    // Between the copy and the truncation, all rows exist twice.
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    fs::OpenOptions::new().write(true).truncate(true).open(site.csv()).unwrap();
    site.append(&row("2020-06-01 10:00", "third"));
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(named(&site, &["first", "second", "third"]), ["first", "second", "third"]);
}

#[test]
fn the_position_of_an_empty_digest_is_found_by_the_file_before_it() {
    for empty in ["", "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n"] {
        for rows_before in [false, true] {
            let site = Site::new(&json!({}), &[]);
            if rows_before {
                site.append(&row("2026-06-01 10:00", "zeroth"));
                assert_eq!(site.digest(&SINCE_LAST).code, 0);
                rotate(&site, &[".1", ""]);
            }
            mls_state::atomic::write(&site.csv(), empty.as_bytes(), 0o640).unwrap();
            assert_eq!(site.digest(&SINCE_LAST).code, 0);
            site.append(&row("2026-06-01 10:00", "first"));
            rotate(&site, if rows_before { &[".2", ".1", ""] } else { &[".1", ""] });
            site.append(&row("2026-06-01 10:00", "second"));
            let run = site.digest(&SINCE_LAST);
            assert_eq!((run.code, run.err.as_str()), (0, ""), "{empty:?} {rows_before}");
            site.append(&row("2026-06-01 10:00", "third"));
            assert_eq!(site.digest(&SINCE_LAST).code, 0);
            let digests = named(&site, &["zeroth", "first", "second", "third"]);
            assert_eq!(
                digests[usize::from(rows_before)..],
                ["", "first second", "third"],
                "{empty:?} {rows_before}"
            );
        }
    }
}

#[test]
fn a_waiting_digest_is_made_again_from_files_rotated_before_and_after_it() {
    let mut site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "first"));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    site.append(&row("2026-06-01 10:00", "second"));
    rotate(&site, &["-20260601", ""]);
    site.append(&row("2026-06-01 10:00", "third"));
    site.stop();
    assert_eq!(site.digest(&SINCE_LAST).code, 75);
    rotate(&site, &["-20260602", ""]);
    site.append(&row("2026-06-01 10:00", "fourth"));
    site.serve(&json!({}), &[]);
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(named(&site, &["first", "second", "third", "fourth"]), ["second third", "fourth"]);
}

/// Changes the ledger as if the last digests were `days` days older.
fn days_later(site: &Site, days: i64) {
    let path = site.dir.path().join("mail.ledger");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for message in record["messages"].as_array_mut().unwrap() {
        let accepted = message["accepted"].as_str().unwrap();
        let at = chrono::DateTime::parse_from_rfc3339(accepted).unwrap();
        message["accepted"] = (at - chrono::TimeDelta::days(days)).to_rfc3339().into();
    }
    mls_state::atomic::write(&path, record.to_string().as_bytes(), 0o640).unwrap();
}

#[test]
fn a_recipient_that_cannot_be_reached_does_not_delay_the_digests_of_others() {
    let full = json!({"RCPT full@example.com": ["452 4.2.2 mailbox full"]});
    let mut site = Site::new(&full, &[]);
    let email = "email = full@example.com, admin@example.com\n";
    site.configure_also(email);
    site.append(&row("2026-06-01 10:00", "first"));
    for _ in 0..2 {
        let run = site.digest(&SINCE_LAST);
        assert_eq!(run.code, 75, "{}", run.err);
        site.append(&row("2026-06-01 10:00", "second"));
    }
    // The second run, soon after the first, makes no digest. One day later, a digest is due.
    assert_eq!(named(&site, &["first", "second"]), ["first"]);
    days_later(&site, 1);
    assert_eq!(site.digest(&SINCE_LAST).code, 75);
    assert_eq!(named(&site, &["first", "second"]), ["first", "second"]);
    assert_eq!(recipients(&site), [json!(["admin@example.com"]), json!(["admin@example.com"])]);
    // full@example.com has space again. It gets both waiting digests, then a new digest.
    site.serve(&json!({}), &[]);
    site.configure_also(email);
    site.append(&row("2026-06-01 10:00", "third"));
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(named(&site, &["first", "second", "third"]), ["first", "second", "third"]);
    let both = json!(["full@example.com", "admin@example.com"]);
    assert_eq!(recipients(&site), [json!(["full@example.com"]), json!(["full@example.com"]), both]);
}

#[test]
fn a_digest_whose_content_is_refused_is_given_up_when_a_later_one_is_accepted() {
    let spam = "554 5.7.1 smells of spam";
    let site = Site::new(&json!({"DATA": [spam, spam, "250 OK", spam, "250 OK"]}), &[]);
    site.append(&row("2026-06-01 10:00", "GTUBE"));
    assert_eq!(site.digest(&SINCE_LAST).code, 69);
    days_later(&site, 1);
    site.append(&row("2026-06-01 10:00", "second"));
    let run = site.digest(&SINCE_LAST);
    let given_up = "could not be delivered to admin@example.com, and mls-mail does not try again";
    assert_eq!((run.code, run.err.contains(given_up)), (69, false), "{}", run.err);
    site.append(&row("2026-06-01 10:00", "third"));
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.contains(given_up)), (69, true), "{}", run.err);
    // The server refused two messages, accepted one, and refused one. It stores refused messages
    // too. The third run only sent GTUBE again, so no digest has `third`.
    let users = ["GTUBE", "second", "third"];
    assert_eq!(named(&site, &users), ["GTUBE", "GTUBE", "second", "GTUBE"]);
    let run = site.digest(&SINCE_LAST);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(named(&site, &users)[4], "third");
}

/// Whether the ledger says that only admin@example.com got the first message.
fn is_delivered(ledger: &str) -> bool {
    let ledger: Value = serde_json::from_str(ledger).unwrap();
    ledger["messages"][0]["delivered"] == json!(["admin@example.com"])
}

#[test]
fn a_recipient_with_a_digest_does_not_get_it_again_after_a_kill_during_the_wait_for_another() {
    let mut site = Site::new(&json!({"RCPT slow@example.com": ["450 4.2.1 try later"]}), &[]);
    let email = "email = slow@example.com, admin@example.com\n";
    site.configure_also(email);
    site.append(&row("2026-06-01 10:00", "first"));
    // Kill mls-mail between its first and its second try.
    let mail = "mls-report --config mls.conf --since-last --format mail > message && \
                exec mls-mail --config mls.conf --smtp-timeout 200 < message";
    let mut run = site.command(mail, &[]).spawn().unwrap();
    let record = site.dir.path().join("mail.ledger");
    while !fs::read_to_string(&record).is_ok_and(|record| is_delivered(&record)) {
        assert!(run.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(recipients(&site), [json!(["admin@example.com"])]);
    site.serve(&json!({}), &[]);
    site.configure_also(email);
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    assert_eq!(recipients(&site)[0], json!(["slow@example.com"]));
}

#[test]
fn a_removed_recipient_does_not_delay_anything_and_nobody_gets_the_digest_again() {
    let mut site = Site::new(&json!({"RCPT slow@example.com": ["450 4.2.1 try later"]}), &[]);
    site.configure_also("email = slow@example.com, admin@example.com\n");
    site.append(&row("2026-06-01 10:00", "first"));
    assert_eq!(site.digest(&SINCE_LAST).code, 75);
    site.serve(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "second"));
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    assert_eq!(named(&site, &["first", "second"]), ["second"]);
    assert_eq!(recipients(&site), [json!(["admin@example.com"])]);
}

#[test]
fn the_position_of_the_python_original_says_nothing_about_a_csv() {
    let site = Site::new(&json!({}), &[]);
    site.append(&row("2026-06-01 10:00", "first"));
    mls_state::atomic::write(&site.dir.path().join("state.offset"), b"12345\n", 0o640).unwrap();
    assert_eq!(site.digest(&SINCE_LAST).code, 0);
    assert_eq!(named(&site, &["first"]), ["first"]);
}
