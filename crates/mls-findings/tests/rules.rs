//! Small cases of the rules.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use chrono::{DateTime, TimeDelta};
use mls_event::{Auth, Finding, Outcome, Timestamp};
use mls_findings::{Detector, Observation, Settings};

/// Observes attempts at one address: seconds since midnight, outcome, user name.
fn findings(attempts: &[(i64, Outcome, &str)]) -> Vec<Finding<'static>> {
    let midnight = DateTime::parse_from_rfc3339("2026-06-01T00:00:00Z").unwrap();
    let mut detector = Detector::new(Settings::default());
    let mut found = Vec::new();
    for (second, outcome, user) in attempts {
        let date = Timestamp::from(midnight + TimeDelta::seconds(*second));
        let mut auth = Auth::new(date, *outcome);
        auth.ip = "203.0.113.9".parse().ok();
        auth.user = Some((*user).into());
        detector.observe(&Observation::from(&auth), &mut found);
    }
    found
}

#[test]
fn colleagues_who_mistype_their_names_on_the_first_day_are_not_suspicious() {
    let colleagues = ["anna", "bert", "carl", "dora", "emil", "frida", "gert", "hanna"];
    let mut attempts = Vec::new();
    for (hour, name) in (8..).zip(colleagues) {
        let mistyped = &name[1..];
        attempts.push((hour * 3600, Outcome::Failure, mistyped));
        attempts.push((hour * 3600 + 30, Outcome::Success, name));
    }
    let found = findings(&attempts);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_right_guess_between_wrong_ones_is_found() {
    let mut attempts = vec![(0, Outcome::Failure, "anna"), (20, Outcome::Success, "dora")];
    for (minute, name) in (1..).zip(["bert", "carl", "emil"]) {
        attempts.push((minute * 60, Outcome::Failure, name));
    }
    let found = findings(&attempts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(&*found[0].user, "dora");
}

#[test]
fn a_name_that_failed_long_before_a_login_is_not_mistyped() {
    let found = findings(&[
        (0, Outcome::Failure, "anna"),
        (60, Outcome::Failure, "bert"),
        (300, Outcome::Success, "frida"),
        (400, Outcome::Failure, "carl"),
        (600, Outcome::Success, "dora"),
    ]);
    let users: Vec<_> = found.iter().map(|finding| &*finding.user).collect();
    assert_eq!(users, ["frida", "dora"]);
}
