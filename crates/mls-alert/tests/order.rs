//! The order in which failures and logins are observed, and the day of a finding.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::process::Command;

use mls_state::atomic;

const HEADER: &str = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";

/// Runs mls-alert on rows. A row is a time in June 2026, such as `01 10:00:00`, and a user. Returns
/// the evidence of the alerts.
fn evidence(failures: &[(&str, &str)], logins: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let rows = |rows: &[(&str, &str)]| {
        let row = |(time, user): &(&str, &str)| {
            format!("m,2026-06-{time},203.0.113.9,{user},null,OK,VN,64512,Example\n")
        };
        rows.iter().map(row).collect::<String>()
    };
    let quoted = format!("\"{}\"\n", HEADER.trim_end().replace(',', "\",\""));
    let write = |name: &str, header: &str, text: String| {
        atomic::write(&directory.path().join(name), (header.to_owned() + &text).as_bytes(), 0o600)
            .unwrap();
    };
    write("failures.csv", HEADER, rows(failures));
    write("logins.csv", &quoted, rows(logins));
    let output = Command::new(env!("CARGO_BIN_EXE_mls-alert"))
        .args(["failures.csv", "--logins", "logins.csv", "--timezone", "UTC"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let alerts = str::from_utf8(&output.stdout).unwrap().lines();
    let evidence = |line| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    alerts.map(|line| evidence(line)["evidence"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn failures_come_before_a_login_of_the_same_second() {
    let failures = [("01 10:00:00", "a"), ("01 10:00:00", "b"), ("01 10:00:00", "c")];
    let after = "dora logged in from 203.0.113.9 (VN, AS64512 Example) on 2026-06-01 at 10:00, \
                 less than a minute after the same address failed on 3 other names";
    assert_eq!(evidence(&failures, &[("01 10:00:00", "dora")]), [after]);
    let before = "dora logged in from 203.0.113.9 (VN, AS64512 Example) on 2026-06-01 at 09:59; \
                  the same address failed on 3 other names at 10:00";
    assert_eq!(evidence(&failures, &[("01 09:59:59", "dora")]), [before]);
}

#[test]
fn the_evidence_has_the_date_of_a_time_on_another_day() {
    let failures = [("01 23:58:00", "a"), ("01 23:59:00", "b"), ("02 00:03:00", "c")];
    let found = evidence(&failures, &[("02 00:01:00", "dora")]);
    let expected = "dora logged in from 203.0.113.9 (VN, AS64512 Example) on 2026-06-02 at 00:01; \
                    the same address failed on 3 other names from 2026-06-01 23:58 to 00:03";
    assert_eq!(found, [expected]);
}

#[test]
fn each_file_keeps_its_order_if_the_clock_was_set_back() {
    // The second failure was logged after the first one, when the clock had been set back.
    let failures = [("01 10:05:00", "a"), ("01 10:01:00", "b"), ("01 10:06:00", "c")];
    let found = evidence(&failures, &[("01 10:05:30", "dora"), ("01 10:02:00", "emil")]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().all(|found| found.contains("failed on 3 other names from 10:01 to 10:06"))
    );
    assert!(found[0].starts_with("dora") && found[1].starts_with("emil"), "{found:?}");
}

#[test]
fn logins_of_a_file_that_ends_later_are_observed_after_the_failures() {
    let failures = [("01 10:00:00", "a"), ("01 10:01:00", "b"), ("01 10:02:00", "c")];
    let logins = [("01 08:00:00", "early"), ("01 12:00:00", "late"), ("01 23:00:00", "later")];
    let found = evidence(&failures, &logins);
    let users: Vec<_> = found.iter().filter_map(|found| found.split(' ').next()).collect();
    assert_eq!(users, ["late", "later"], "{found:?}");
}

#[test]
fn a_run_in_another_zone_does_not_alert_again() {
    let directory = tempfile::tempdir().unwrap();
    // The last time when it was 23:30 in UTC. East of UTC, the next day has already begun then.
    let now = chrono::Utc::now();
    let half_past = (now - chrono::TimeDelta::minutes(23 * 60 + 30)).date_naive();
    let at = half_past.and_hms_opt(23, 30, 0).unwrap().and_utc();
    let record = |user: &str, outcome: &str| {
        format!(
            "{{\"v\":1,\"type\":\"auth\",\"date\":\"{}\",\"outcome\":\"{outcome}\",\"attempts\":1,\
             \"ip\":\"203.0.113.9\",\"user\":\"{user}\"}}\n",
            at.to_rfc3339()
        )
    };
    let records = [
        record("a", "failure"),
        record("b", "failure"),
        record("c", "failure"),
        record("dora", "success"),
    ];
    let write = |name: &str, text: &str| {
        atomic::write(&directory.path().join(name), text.as_bytes(), 0o600).unwrap();
    };
    write("records", &records.concat());
    write("none.csv", HEADER);
    let alerts = |zone: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_mls-alert"))
            .args(["records", "--logins", "none.csv", "--cursor-file", "C", "--timezone", zone])
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let first = alerts("UTC");
    assert!(first.contains(&format!("\"date\":\"{half_past}T23:30:00")), "{first}");
    assert_eq!(alerts("+05:00"), "");
    assert_eq!(alerts("-11:00"), "");
}
