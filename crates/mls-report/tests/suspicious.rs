//! Suspicious logins: their inputs, and each output format.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![expect(clippy::disallowed_methods, reason = "nobody else reads the files of a test")]

use std::fmt::Write as _;

use assert_cmd::Command;
use serde_json::{Value, json};

const FAILURES: &str = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
const LOGINS: &str = "\"server\",\"date\",\"ip\",\"user\",\"hostname\",\"reverse_dns_status\",\"country_code\",\"asn\",\"aso\"\n";

fn report(args: &[&str], stdin: &str) -> String {
    let mut all = vec!["--date", "2026-06-01", "--timezone", "+00:00"];
    all.extend(args);
    let run = Command::cargo_bin("mls-report").unwrap().args(all).write_stdin(stdin).assert();
    String::from_utf8(run.success().get_output().stdout.clone()).unwrap()
}

fn record(minute: u32, outcome: &str, user: &str) -> String {
    let auth = json!({
        "v": 1, "type": "auth", "date": format!("2026-06-01T03:{minute:02}:00Z"),
        "outcome": outcome, "ip": "203.0.113.9", "user": user,
    });
    format!("{auth}\n")
}

/// Three names fail, then `user` logs in from the same address.
fn stream(user: &str) -> String {
    let failures = ["anna", "bert", "carl"];
    let mut text: String =
        (0..).zip(failures).map(|(minute, name)| record(minute, "failure", name)).collect();
    text += &record(3, "success", user);
    text
}

#[test]
fn two_files_and_one_stream_give_the_same_findings() {
    let directory = tempfile::tempdir().unwrap();
    let (failures, logins) = (directory.path().join("f.csv"), directory.path().join("logins.csv"));
    let mut rows = FAILURES.to_owned();
    for (minute, name) in [(0, "anna"), (1, "bert"), (2, "carl")] {
        writeln!(rows, "m,2026-06-01 03:0{minute},203.0.113.9,{name},null,OK,N/A,N/A,N/A").unwrap();
    }
    std::fs::write(&failures, rows).unwrap();
    let row = "m,2026-06-01 03:03,203.0.113.9,dora,null,OK,N/A,N/A,N/A\n";
    std::fs::write(&logins, format!("{LOGINS}{row}")).unwrap();
    let files = [failures.to_str().unwrap(), "--logins", logins.to_str().unwrap()];
    let of_files = report(&[&files[..], &["--format", "json"]].concat(), "");
    let of_stream = report(&["--format", "json"], &stream("dora"));
    let member = |text: &str, name: &str| {
        serde_json::from_str::<Value>(text).unwrap().get(name).cloned().unwrap()
    };
    let found = member(&of_stream, "suspicious_logins");
    assert_eq!(found, member(&of_files, "suspicious_logins"));
    assert_eq!(found[0]["rule"], "guessed");
    assert_eq!((&found[0]["user"], &found[0]["ip"]), (&json!("dora"), &json!("203.0.113.9")));
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(member(&of_files, "successful_logins"), json!({"logins": 1, "users": 1}));
    assert_eq!(member(&of_stream, "attempts"), 3);
    let metrics = report(&["--format", "prometheus"], &stream("dora"));
    assert!(
        metrics.contains("maillogsentinel_suspicious_logins{rule=\"guessed\"} 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("maillogsentinel_suspicious_logins{rule=\"spread\"} 0\n"),
        "{metrics}"
    );
}

#[test]
fn the_result_about_suspicious_logins_comes_first() {
    let found = report(&[], &stream("dora"));
    assert!(found.contains("\n1 account to check now, among 1 login of 1 user.\n"), "{found}");
    assert!(found.contains("doveadm kick 'dora'\n") && found.contains("postqueue -p\n"), "{found}");
    assert!(found.find("to check now") < found.find("Total attempts"), "{found}");
    let mail = report(&["--format", "mail"], &stream("dora"));
    assert!(mail.contains("Subject: [MailLogSentinel] 1 account to check"), "{mail}");
    let page = report(&["--format", "html"], &stream("dora"));
    let heading = "<h1 class=\"alarm\"><bdi>1 account to check now, among 1 login of 1 user</bdi>";
    assert!(page.contains(heading), "{page}");
    let quiet = report(&[], &record(0, "success", "dora"));
    assert!(quiet.contains("No suspicious login among 1 login of 1 user."), "{quiet}");
    // No login failed on the day of the suspicious login.
    let failures = (20..=31).flat_map(|day| {
        ["anna", "bert", "carl"]
            .map(|user| record(5, "failure", user).replace("06-01", &format!("05-{day}")).repeat(4))
    });
    let found = report(&[], &(failures.collect::<String>() + &record(0, "success", "dora")));
    let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(found.contains("Check each account below now"), "{found}");
    assert!(found.contains("It is unusual that no login failed"), "{found}");
    let row = "m,2026-06-01 03:03,203.0.113.9,dora,null,OK,N/A,N/A,N/A\n";
    let unknown = report(&[], &format!("{FAILURES}{row}"));
    assert!(unknown.contains("record = yes"), "{unknown}");
    let only_failures = report(&[], &record(0, "failure", "dora"));
    let only_failures = only_failures.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(only_failures.contains("mls-parse --outcome failure,success"), "{only_failures}");
    assert!(!only_failures.contains("not recorded"), "{only_failures}");
}

#[test]
fn findings_of_other_days_are_not_shown() {
    let earlier = stream("dora").replace("2026-06-01", "2026-05-31");
    let other = record(0, "success", "emil").replace("203.0.113.9", "198.51.100.7");
    let text = report(&[], &(earlier + &other));
    assert!(text.contains("No suspicious login among 1 login of 1 user."), "{text}");
}

#[test]
fn hostile_names_stay_text() {
    for user in ["<script>alert(1)</script>", "a\n1 account", "a'\";`id`$(id)", "\u{1b}[31m", "*"] {
        let text = report(&[], &stream(user));
        assert!(!text.contains('\u{1b}') && !text.contains("\n1 account\n"), "{text}");
        assert!(!text.contains("kick '*'"), "{text}");
        let page = report(&["--format", "html"], &stream(user));
        assert!(!page.contains("<script") && page.contains("1 account to check now"), "{page}");
        let json = report(&["--format", "json"], &stream(user));
        assert_eq!(json.lines().count(), 1, "{json}");
    }
    let text = report(&[], &stream("a'\";`id`$(id)"));
    assert!(text.contains(r#"doveadm kick 'a'\''";`id`$(id)'"#), "{text}");
}

#[test]
fn a_file_of_failures_is_refused_as_a_file_of_logins() {
    let directory = tempfile::tempdir().unwrap();
    let logins = directory.path().join("logins.csv");
    let row = "m,2026-06-01 03:03,203.0.113.9,dora,null,OK,N/A,N/A,N/A\n";
    std::fs::write(&logins, format!("{FAILURES}{row}")).unwrap();
    let run = Command::cargo_bin("mls-report").unwrap().arg("--logins").arg(&logins).assert();
    let run = run.code(65);
    let message = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(message.contains("logins.csv: there are failed logins (1)"), "{message}");
}

#[test]
fn rules_look_back_into_rotated_files_of_both_outcomes() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let row = |at: &str, ip: &str, user: &str| format!("m,{at},{ip},{user},null,OK,N/A,N/A,N/A\n");
    let mut rotated = FAILURES.to_owned();
    for name in ["anna", "bert", "carl"] {
        rotated += &row("2026-05-31 23:30", "203.0.113.9", name);
        rotated += &row("2026-05-31 23:30", "198.51.100.7", name);
    }
    std::fs::write(path("f.csv.1"), rotated).unwrap();
    std::fs::write(path("f.csv"), FAILURES).unwrap();
    // `emil` already used this address before the failures, so only `dora` is suspicious.
    let known = row("2026-05-20 10:00", "198.51.100.7", "emil");
    std::fs::write(path("logins.csv.1"), format!("{LOGINS}{known}")).unwrap();
    let rows = [
        row("2026-06-01 00:10", "203.0.113.9", "dora"),
        row("2026-06-01 00:10", "198.51.100.7", "emil"),
    ];
    std::fs::write(path("logins.csv"), format!("{LOGINS}{}", rows.concat())).unwrap();
    let (failures, logins) = (path("f.csv"), path("logins.csv"));
    let args = [failures.to_str().unwrap(), "--logins", logins.to_str().unwrap()];
    let json: Value =
        serde_json::from_str(&report(&[&args[..], &["--format", "json"]].concat(), "")).unwrap();
    let found = json["suspicious_logins"].as_array().unwrap();
    assert_eq!((found.len(), &found[0]["user"]), (1, &json!("dora")), "{json}");
    assert_eq!(json["suspicious_logins_complete"], true);
    // Rows of other days are not counted.
    assert_eq!(json["attempts"], 0);
}
