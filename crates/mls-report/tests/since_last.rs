//! Each suspicious login is in exactly one committed digest, even if it is recorded late.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![expect(clippy::disallowed_methods, reason = "nobody else reads the files of a test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use chrono::{TimeDelta, Utc};
use mls_state::cursor_file::{CursorFile, sha256};
use mls_state::mail_cursor::{FIELD, MailCursor};
use serde_json::Value;

const FAILURES: &str = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
const LOGINS: &str = "\"server\",\"date\",\"ip\",\"user\",\"hostname\",\"reverse_dns_status\",\"country_code\",\"asn\",\"aso\"\n";

/// CSV files of failures and logins, and the ledger of mls-mail.
struct Record {
    directory: tempfile::TempDir,
    failures: String,
    logins: String,
}

impl Record {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            failures: FAILURES.to_owned(),
            logins: LOGINS.to_owned(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn report(&self, format: &str) -> String {
        let logins = self.path("logins.csv");
        self.report_with(format, &["--logins", logins.to_str().unwrap()])
    }

    fn report_with(&self, format: &str, args: &[&str]) -> String {
        std::fs::write(self.path("f.csv"), &self.failures).unwrap();
        std::fs::write(self.path("logins.csv"), &self.logins).unwrap();
        let run = Command::cargo_bin("mls-report")
            .unwrap()
            .args(["--timezone", "+00:00", "--since-last", "--format", format])
            .arg("--ledger")
            .arg(self.path("mail.ledger"))
            .args(args)
            .arg(self.path("f.csv"))
            .assert()
            .success();
        String::from_utf8(run.get_output().stdout.clone()).unwrap()
    }

    /// The users whom the next digest names.
    fn named(&self) -> Vec<String> {
        let report: Value = serde_json::from_str(&self.report("json")).unwrap();
        let findings = report["suspicious_logins"].as_array().unwrap();
        findings.iter().map(|finding| finding["user"].as_str().unwrap().to_owned()).collect()
    }

    /// Mails the next digest: commits its cursor, like mls-mail.
    fn mail(&self) {
        let logins = self.path("logins.csv");
        self.mail_with(&["--logins", logins.to_str().unwrap()]);
    }

    fn mail_with(&self, args: &[&str]) {
        let message = self.report_with("mail", args);
        let (_, value) = message.split_once(&format!("{FIELD}:")).unwrap();
        let mut lines = value.lines();
        let mut field = lines.next().unwrap().to_owned();
        field.extend(lines.take_while(|line| line.starts_with([' ', '\t'])));
        commit(&self.path("mail.ledger"), MailCursor::from_field(&field).unwrap());
    }
}

fn commit(ledger: &Path, MailCursor { base, cursor, .. }: MailCursor) {
    let ledger_file = CursorFile::next(base, cursor, None);
    std::fs::write(ledger, serde_json::to_string(&ledger_file).unwrap()).unwrap();
}

fn row(minutes_ago: i64, user: &str) -> String {
    let date = Utc::now() - TimeDelta::minutes(minutes_ago);
    let date = date.format("%Y-%m-%d %H:%M:%S");
    format!("m,{date},203.0.113.9,{user},null,OK,N/A,N/A,N/A\n")
}

#[test]
fn each_suspicious_login_is_in_one_digest_also_if_it_is_recorded_late() {
    let mut record = Record::new();
    for (minutes, name) in [(200, "anna"), (199, "bert"), (198, "carl")] {
        record.failures += &row(minutes, name);
    }
    assert_eq!(record.named(), [""; 0]);
    record.mail();

    // This login was before the digest, and is recorded after it.
    record.logins += &row(190, "dora");
    assert_eq!(record.named(), ["dora"]);
    // No mail has committed the digest, so the next run reports the same login again.
    assert_eq!(record.named(), ["dora"]);
    record.mail();
    assert_eq!(record.named(), [""; 0]);

    // The first account again on the same day, and a second account.
    record.logins += &row(190, "dora");
    record.logins += &row(150, "emil");
    assert_eq!(record.named(), ["emil"]);
    record.mail();

    // The failures come late, and show that an old login was suspicious.
    let other = |row: String| row.replace("203.0.113.9", "198.51.100.7");
    record.logins =
        format!("{LOGINS}{}{}", other(row(195, "fred")), &record.logins[LOGINS.len()..]);
    assert_eq!(record.named(), [""; 0]);
    record.mail();
    for (minutes, name) in [(197, "gert"), (197, "hans"), (196, "ida")] {
        write!(record.failures, "{}", other(row(minutes, name))).unwrap();
    }
    // These failures are old, but they are the last rows of the CSV, so the rules see them last.
    assert_eq!(record.named(), ["fred"]);
    record.mail();
    assert_eq!(record.named(), [""; 0]);
}

#[test]
fn a_login_of_the_last_seconds_is_in_the_digest_with_its_failures() {
    let mut record = Record::new();
    for name in ["anna", "bert", "carl"] {
        record.failures += &row(0, name);
    }
    record.logins += &row(0, "dora");
    assert_eq!(record.named(), ["dora"]);
    let text = record.report("text");
    assert!(text.contains("1 account to check now, among 1 login of 1 user."), "{text}");
    assert!(text.contains("3 failed logins"), "{text}");
    record.mail();
    assert_eq!(record.named(), [""; 0]);
    let text = record.report("text");
    assert!(text.contains("Nobody logged in"), "{text}");
}

#[test]
fn a_ledger_of_an_earlier_version_names_nobody_twice() {
    let mut record = Record::new();
    for (minutes, name) in [(200, "anna"), (199, "bert"), (198, "carl")] {
        record.failures += &row(minutes, name);
    }
    record.logins += &row(190, "dora");
    let until = (Utc::now() - TimeDelta::minutes(100)).to_rfc3339();
    let cursor = serde_json::json!({"until": until, "data": null});
    let until = chrono::DateTime::parse_from_rfc3339(&until).unwrap();
    commit(&record.path("mail.ledger"), MailCursor { base: 0, until, cursor });
    assert_eq!(record.named(), [""; 0]);
    record.logins += &row(20, "emil");
    assert_eq!(record.named(), ["emil"]);
}

#[test]
fn rules_look_back_into_rotated_files_that_a_digest_has_read() {
    let mut record = Record::new();
    for (minutes, name) in [(200, "anna"), (199, "bert"), (198, "carl")] {
        record.failures += &row(minutes, name);
    }
    record.mail();
    std::fs::write(record.path("f.csv.1"), &record.failures).unwrap();
    record.failures =
        format!("{FAILURES}{}", row(195, "gert").replace("203.0.113.9", "198.51.100.7"));
    record.mail();
    record.logins += &row(190, "dora");
    assert_eq!(record.named(), ["dora"]);
}

#[test]
fn each_login_that_could_not_be_checked_is_in_one_digest_and_in_the_report_of_its_hour() {
    let record = Record::new();
    let (rows, cursor) = (record.failures.len(), record.path("cursor"));
    let commit = |total: u64, hours: Value| {
        let data = serde_json::json!({"length": rows, "tail_sha256": sha256(FAILURES.as_bytes())});
        let content = serde_json::json!({"version": 1, "sequence": total, "written": "", "data": data,
            "unchecked": {"total": total, "hours": hours}, "cursor": {}});
        std::fs::write(&cursor, content.to_string()).unwrap();
    };
    let digest = || record.report_with("text", &["--committed-by", cursor.to_str().unwrap()]);
    let mail = || record.mail_with(&["--committed-by", cursor.to_str().unwrap()]);
    commit(3, serde_json::json!({"2026-06-01 10:00": 3}));
    assert!(digest().contains("3 logins could not be checked"), "{}", digest());
    assert!(digest().contains("See the log of the authentication service."), "{}", digest());
    mail();
    assert!(!digest().contains("could not be checked"), "{}", digest());
    // One more unchecked login, in an hour that a digest has already reported.
    commit(4, serde_json::json!({"2026-06-01 10:00": 4}));
    assert!(digest().contains("1 login could not be checked"), "{}", digest());
    mail();
    // A new cursor file counts from 0.
    commit(2, serde_json::json!({"2026-06-02 10:00": 2}));
    assert!(digest().contains("2 logins could not be checked"), "{}", digest());

    commit(
        9,
        serde_json::json!({"2026-06-01 23:00": 2, "2026-06-02 00:00": 3, "2026-06-03 00:00": 4}),
    );
    let run = Command::cargo_bin("mls-report")
        .unwrap()
        .args(["--timezone", "+00:00", "--date", "2026-06-02", "--committed-by"])
        .args([&cursor, &record.path("f.csv")])
        .assert()
        .success();
    let day = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    assert!(day.contains("3 logins could not be checked"), "{day}");
}

#[test]
fn a_rotated_file_with_a_date_in_the_future_is_named() {
    let record = Record::new();
    let rotated = record.path("f.csv-20991231");
    std::fs::write(&rotated, format!("{FAILURES}{}", row(300, "u1"))).unwrap();
    let warns = |record: &Record| {
        std::fs::write(record.path("f.csv"), format!("{FAILURES}{}", row(30, "u2"))).unwrap();
        let run = Command::cargo_bin("mls-report")
            .unwrap()
            .args(["--since-last", "--ledger"])
            .arg(record.path("mail.ledger"))
            .arg(record.path("f.csv"))
            .assert()
            .success();
        String::from_utf8_lossy(&run.get_output().stderr).contains("is in the future")
    };
    assert!(warns(&record));
    let yesterday = (Utc::now() - TimeDelta::days(1)).format("f.csv-%Y%m%d").to_string();
    std::fs::rename(rotated, record.path(&yesterday)).unwrap();
    assert!(!warns(&record));
}
