//! `--account`: the logins of an account.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![expect(clippy::disallowed_methods, reason = "nobody else reads the files of a test")]

use assert_cmd::Command;
use serde_json::{Value, json};

const LOGINS: &str = "\"server\",\"date\",\"ip\",\"user\",\"hostname\",\"reverse_dns_status\",\"country_code\",\"asn\",\"aso\"\n";

fn account(args: &[&str], stdin: &str) -> String {
    let mut all = vec!["--timezone", "+00:00"];
    all.extend(args);
    let run = Command::cargo_bin("mls-report").unwrap().args(all).write_stdin(stdin).assert();
    String::from_utf8(run.success().get_output().stdout.clone()).unwrap()
}

fn record(minute: u32, outcome: &str, user: &str, ip: &str, queue_id: Option<&str>) -> String {
    let mut auth = json!({
        "v": 1, "type": "auth", "date": format!("2026-06-01T03:{minute:02}:00Z"),
        "service": "postfix/submission/smtpd", "outcome": outcome, "ip": ip, "user": user,
        "country_code": "VN", "asn": 64512, "aso": "Example",
    });
    if let Some(id) = queue_id {
        auth["queue_id"] = json!(id);
    }
    format!("{auth}\n")
}

/// `user` logs in. Then four names fail at a second address, and `user` logs in from this address.
fn stream(user: &str) -> String {
    let mut text = record(0, "success", user, "2001:db8:1111:2222:3333:4444:5555:6666", None);
    for (minute, name) in [(1, "anna"), (2, "bert"), (3, "carl"), (4, user)] {
        text += &record(minute, "failure", name, "203.0.113.9", None);
    }
    text += &record(5, "success", user, "203.0.113.9", Some("4bXyZ01234567"));
    text += &record(6, "success", user, "203.0.113.9", None);
    text + &record(7, "success", "other", "203.0.113.9", Some("4other"))
}

#[test]
fn logins_have_time_service_place_first_seen_and_queue_id() {
    let text = account(&["--account", "Dora"], &stream("dora"));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(
        text,
        "Account Dora, in all
3 logins, 1 failed login, 1 suspicious login

guessed: dora logged in from 203.0.113.9 (VN, AS64512 Example) on 2026-06-01 at
  03:05, 2 minutes after the same address failed on 3 other names

2026-06-01 03:00  postfix/submission/smtpd
    2001:db8:1111:2222:3333:4444:5555:6666 VN, AS64512 Example, new address
2026-06-01 03:05  postfix/submission/smtpd  queue ID 4bXyZ01234567
    203.0.113.9 VN, AS64512 Example, new address
2026-06-01 03:06  postfix/submission/smtpd
    203.0.113.9 VN, AS64512 Example, first seen 2026-06-01
"
    );
    let text = account(&["--account", "dora", "--format", "json"], &stream("dora"));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["total"], &json["failures"]), (&json!(3), &json!(1)));
    assert_eq!(json["suspicious_logins"][0]["ip"], "203.0.113.9");
    assert_eq!(json["logins"][1]["queue_id"], "4bXyZ01234567");
    assert_eq!(json["logins"][2]["first_seen"], "2026-06-01T03:05:00Z");
    // Logins before the period are not shown, but the rules and `first_seen` use them.
    let since = ["--account", "dora", "--since", "2026-06-01 03:06", "--format", "json"];
    let json: Value = serde_json::from_str(&account(&since, &stream("dora"))).unwrap();
    assert_eq!(json["total"], 1);
    assert_eq!(json["logins"][0]["first_seen"], "2026-06-01T03:05:00Z");
}

#[test]
fn equal_logins_of_a_csv_in_a_row_are_one_entry() {
    let directory = tempfile::tempdir().unwrap();
    let logins = directory.path().join("logins.csv");
    let row = |minute| format!("m,2026-06-01 03:{minute},192.0.2.1,dora,null,OK,N/A,N/A,N/A\n");
    let rows: String = (10..60).map(row).collect();
    std::fs::write(&logins, format!("{LOGINS}{rows}")).unwrap();
    let text = account(&["--account", "dora", "--logins", logins.to_str().unwrap()], "");
    let expected = "2026-06-01 03:10 to 2026-06-01 03:59, 50 logins\n    192.0.2.1, new address\n";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn an_account_without_logins_says_why() {
    let text = account(&["--account", "nobody"], &stream("dora"));
    assert!(text.contains("No login of nobody is among the 4 logins of 2 users"), "{text}");
    let failure = record(0, "failure", "dora", "192.0.2.1", None);
    let text = account(&["--account", "dora"], &failure);
    assert!(text.contains("--outcome failure,success"), "{text}");
    let text = account(&["--account", "dora"], "");
    assert!(text.contains("--logins") && text.contains("record = yes"), "{text}");
    let text = account(&["--account", "dora", "--date", "2026-06-02"], &stream("dora"));
    assert!(text.contains("Nobody logged in (2026-06-02)."), "{text}");
}

#[test]
fn hostile_names_of_accounts_stay_text() {
    for user in ["\u{1b}[31mx", "a\nNobody logged in", "\u{202e}abc", "'; rm -rf /"] {
        let text = account(&["--account", user], &stream(user));
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        assert!(!text.contains("\nNobody"), "{text:?}");
    }
}
