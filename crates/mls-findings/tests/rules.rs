//! Tests the rules with small logs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::net::IpAddr;

use mls_config::config::Suspicious;
use mls_event::{Auth, Enrichment, Finding, Outcome, Rule, Timestamp};
use mls_findings::{Detector, Observation};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// 1 June 2026.
const START: i64 = 1_780_272_000;

/// Attempts of `anna`, who logs in from Poland every day, and of twenty other users.
struct Log {
    attempts: Vec<(i64, Auth<'static>)>,
}

impl Log {
    fn new(days: i64) -> Self {
        let mut log = Self { attempts: Vec::new() };
        for day in 0..days {
            log.add(DAY * day, Outcome::Success, "anna", "192.0.2.1", "PL", 100);
            for user in 0..20 {
                let (name, ip) = (format!("u{user}"), format!("192.0.2.{}", 10 + user));
                log.add(DAY * day, Outcome::Success, &name, &ip, "PL", 100);
            }
        }
        log
    }

    fn add(&mut self, at: i64, outcome: Outcome, user: &str, ip: &str, country: &str, asn: u32) {
        let date = chrono::DateTime::from_timestamp(START + at, 0).unwrap().to_rfc3339();
        let mut auth = Auth::new(Timestamp::parse(date).unwrap(), outcome);
        auth.user = Some(user.to_owned().into());
        auth.ip = ip.parse::<IpAddr>().ok();
        auth.enrichment = Some(Enrichment {
            country_code: Some(country.to_owned().into()),
            asn: Some(asn),
            ..Enrichment::default()
        });
        self.attempts.push((at, auth));
    }

    /// Adds `addresses` failures of `anna`, each from a different address in a different system.
    fn attack(&mut self, begin: i64, addresses: i64, pause: i64) {
        for n in 0..addresses {
            let (ip, asn) = (format!("198.51.100.{n}"), 200 + u32::try_from(n).unwrap());
            self.add(begin + n * pause, Outcome::Failure, "anna", &ip, "BR", asn);
        }
    }

    fn findings(mut self) -> Vec<Finding<'static>> {
        self.attempts.sort_by_key(|(at, _)| *at);
        let (mut detector, mut found) = (Detector::new(&Suspicious::default()), Vec::new());
        for (_, auth) in &self.attempts {
            detector.observe(&Observation::from(auth), &mut found);
        }
        found
    }

    /// Adds a login of `anna` from a new system, and returns the evidence of the findings.
    fn login(mut self, at: i64, country: &str) -> Vec<String> {
        self.add(at, Outcome::Success, "anna", "203.0.113.9", country, 300);
        let found = self.findings();
        assert!(found.iter().all(|finding| finding.rule == Rule::Targeted), "{found:?}");
        found.into_iter().map(|finding| finding.evidence.into_owned()).collect()
    }
}

#[test]
fn a_user_who_moves_days_after_an_attack_is_left_alone() {
    for (days, reported) in [(0, 1), (2, 1), (4, 0), (6, 0)] {
        let mut log = Log::new(14);
        log.attack(5 * DAY, 20, HOUR);
        let found = log.login(5 * DAY + 20 * HOUR + days * DAY, "PL");
        assert_eq!(found.len(), reported, "{days} days: {found:?}");
    }
}

#[test]
fn a_slow_attack_is_found_while_it_goes_on() {
    let mut log = Log::new(14);
    log.attack(DAY, 14, 12 * HOUR);
    let found = log.login(DAY + 14 * 12 * HOUR, "VN");
    assert_eq!(
        found,
        [
            "anna logged in from 203.0.113.9 (VN, AS300) on 2026-06-09 at 00:00, from a country that \
          is new for this user, after 14 addresses failed on this name within 7 days"
        ]
    );
}

#[test]
fn a_network_counts_from_its_last_failure() {
    let mut log = Log::new(14);
    for day in 0..10 {
        log.attack(DAY + day * DAY, 8, HOUR);
    }
    let found = log.login(11 * DAY, "VN");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("after 8 addresses failed on this name within 1 day"), "{found:?}");
}

#[test]
fn an_attack_on_everybody_makes_no_login_suspicious() {
    for (others, reported) in [(16, 1), (17, 0)] {
        let mut log = Log::new(14);
        log.attack(5 * DAY, 33, HOUR / 2);
        for user in 0..3 {
            for n in 0..others {
                let ip = format!("198.51.100.{n}");
                log.add(5 * DAY + HOUR, Outcome::Failure, &format!("u{user}"), &ip, "BR", 200);
            }
        }
        let found = log.login(6 * DAY, "VN");
        assert_eq!(found.len(), reported, "{others} addresses: {found:?}");
    }
}

#[test]
fn spread_names_the_first_new_login_of_the_second_day() {
    let mut log = Log::new(14);
    let first = [("VN", 300), ("BR", 301), ("TR", 302), ("IN", 303)].into_iter();
    let second = [("VN", 300), ("US", 304), ("ID", 305), ("MX", 306)].into_iter();
    for (day, countries) in [(5, first), (6, second)] {
        for (n, (country, asn)) in (0..).zip(countries) {
            let ip = format!("203.0.113.{}", day * 10 + n);
            log.add(day * DAY + n * HOUR, Outcome::Success, "anna", &ip, country, asn);
        }
    }
    let found = log.findings();
    let named: Vec<_> = found.iter().map(|finding| (finding.rule, finding.ip)).collect();
    let expected = ["203.0.113.50", "203.0.113.61"].map(|ip| (Rule::Spread, ip.parse().unwrap()));
    assert_eq!(named, expected);
    // The place of the first finding is still new on the second day.
    for (finding, expected) in found.iter().zip([
        "; within 3 hours, this user logged in from 4 countries (VN, BR, TR, IN) that are new",
        "; within 6 hours, this user logged in from 4 countries (VN, US, ID, MX) that are new",
    ]) {
        assert!(finding.evidence.contains(expected), "{}", finding.evidence);
    }
}

#[test]
fn spread_counts_what_is_new_and_too_much() {
    for (countries, expected) in [
        (["PL", "BR", "CN", "US", "FR"], "4 countries (BR, CN, US, FR)"),
        (["PL", "PL", "DE", "DE", "FR"], "5 autonomous systems"),
    ] {
        let mut log = Log::new(14);
        for (n, country) in (0..).zip(countries) {
            let (ip, asn) = (format!("203.0.113.{n}"), 300 + u32::try_from(n).unwrap());
            log.add(5 * DAY + n * HOUR, Outcome::Success, "anna", &ip, country, asn);
        }
        let found = log.findings();
        let expected = format!(
            "anna logged in from 203.0.113.0 (PL, AS300) on 2026-06-06 at 00:00; within 4 hours, \
             this user logged in from {expected} that are new for this user"
        );
        assert_eq!(found.iter().map(|it| &*it.evidence).collect::<Vec<_>>(), [expected]);
    }
}

const MINUTE: i64 = 60;

/// The first day of a log. Four users log in from a mobile network (PL, AS500). Then `names` names
/// fail at an address of this network. The last name fails at 04:00.
fn infected_phone(names: i64, pause: i64) -> Log {
    let mut log = Log::new(0);
    for user in 0..4 {
        let (name, ip) = (format!("m{user}"), format!("192.0.2.{user}"));
        log.add(user * MINUTE, Outcome::Success, &name, &ip, "PL", 500);
    }
    log.guess("203.0.113.5", "PL", 500, names, pause);
    log
}

impl Log {
    /// Adds failures of `names` names at an address. The last name fails at 04:00 of the first day.
    fn guess(&mut self, ip: &str, country: &str, asn: u32, names: i64, pause: i64) {
        for n in 0..names {
            let at = 4 * HOUR - n * pause;
            self.add(at, Outcome::Failure, &format!("guess{n}"), ip, country, asn);
        }
    }

    /// Returns the users whose logins are reported as guessed.
    fn guessed(self) -> Vec<String> {
        let found = self.findings();
        assert!(found.iter().all(|finding| finding.rule == Rule::Guessed), "{found:?}");
        found.into_iter().map(|finding| finding.user.into_owned()).collect()
    }
}

#[test]
fn a_login_hours_after_the_guesses_of_an_infected_phone_is_not_suspicious() {
    for hours in [1, 5, 15, 23] {
        let mut log = infected_phone(8, MINUTE);
        log.add((4 + hours) * HOUR + 1, Outcome::Success, "dora", "203.0.113.5", "PL", 500);
        assert!(log.guessed().is_empty(), "{hours} hours later");
    }
}

impl Log {
    /// Adds a login of `dora` on each of the three days before the first day, from `addresses`
    /// different addresses of the system `asn`.
    fn past(&mut self, addresses: i64, asn: u32) {
        for day in 1..=3 {
            let ip = format!("203.0.113.{}", 100 + day % addresses);
            self.add(-day * DAY, Outcome::Success, "dora", &ip, "PL", asn);
        }
    }
}

#[test]
fn a_right_guess_from_a_local_system_is_found() {
    for (pause, later) in [(5, 5), (MINUTE, 50 * MINUTE), (30 * MINUTE, HOUR), (HOUR, 2 * HOUR)] {
        let mut log = infected_phone(4, pause);
        log.past(1, 700);
        log.add(4 * HOUR + later, Outcome::Success, "dora", "203.0.113.5", "PL", 500);
        assert_eq!(log.guessed(), ["dora"], "{later} seconds after guesses every {pause} seconds");
    }
}

#[test]
fn a_right_guess_from_a_local_system_is_found_on_the_first_day_if_it_is_close() {
    for (pause, later, is_found) in
        [(5, 5, true), (HOUR, 2 * MINUTE, true), (5, 2 * MINUTE + 1, false)]
    {
        let mut log = infected_phone(4, pause);
        log.add(4 * HOUR + later, Outcome::Success, "dora", "203.0.113.5", "PL", 500);
        let found = log.guessed();
        assert_eq!(!found.is_empty(), is_found, "{later} seconds after guesses every {pause}");
    }
}

#[test]
fn a_login_of_a_user_who_changes_addresses_is_suspicious_only_close_to_a_guess() {
    for (addresses, later, is_found) in
        [(1, 50 * MINUTE, true), (2, 50 * MINUTE, false), (2, 3 * MINUTE, false), (2, 5, true)]
    {
        let mut log = infected_phone(6, 5);
        log.past(addresses, 500);
        log.add(4 * HOUR + later, Outcome::Success, "dora", "203.0.113.5", "PL", 500);
        let found = log.guessed();
        assert_eq!(!found.is_empty(), is_found, "{addresses} addresses, {later} seconds later");
    }
}

/// A phone tries other forms of the user's name. Another user of the phone's address may mistype a
/// password. Such failures do not count, so the guesses are not close to the login.
#[test]
fn a_failed_name_that_does_not_count_makes_no_login_suspicious() {
    for has_past in [false, true] {
        for (name, is_found) in [("dora@example.org", false), ("mia", false), ("stranger", true)] {
            let mut log = infected_phone(8, 5);
            log.add(HOUR, Outcome::Success, "mia", "203.0.113.5", "PL", 500);
            if has_past {
                log.past(1, 700);
            }
            let at = 6 * HOUR;
            log.add(at - 5, Outcome::Failure, name, "203.0.113.5", "PL", 500);
            log.add(at, Outcome::Success, "dora", "203.0.113.5", "PL", 500);
            let found = log.guessed();
            assert_eq!(!found.is_empty(), is_found, "{name} fails, known past: {has_past}");
        }
    }
}

#[test]
fn a_login_from_another_country_in_the_usual_system_is_not_suspicious() {
    for (system, is_found) in [(800, false), (801, true)] {
        let mut log = infected_phone(0, 0);
        log.past(2, 800);
        log.guess("198.51.100.7", "BR", system, 5, MINUTE);
        log.add(4 * HOUR + 10 * MINUTE, Outcome::Success, "dora", "198.51.100.7", "BR", system);
        assert_eq!(!log.guessed().is_empty(), is_found, "AS{system}");
    }
}

#[test]
fn a_right_guess_from_an_unfamiliar_system_is_found_hours_later() {
    for hours in [1, 5, 15, 23] {
        let mut log = infected_phone(0, 0);
        log.guess("203.0.113.5", "VN", 600, 3, MINUTE);
        log.add((4 + hours) * HOUR, Outcome::Success, "dora", "203.0.113.5", "VN", 600);
        assert_eq!(log.guessed(), ["dora"], "{hours} hours later");
    }
}

#[test]
fn accounts_that_were_broken_into_make_no_system_local() {
    let mut log = Log::new(0);
    let users: Vec<String> = (0..8).map(|user| format!("m{user}")).collect();
    for (n, user) in (0..).zip(&users) {
        let (ip, at) = (format!("203.0.113.{n}"), (5 + 2 * n) * HOUR);
        log.guess(&ip, "VN", 600, 3, MINUTE);
        log.add(at, Outcome::Success, user, &ip, "VN", 600);
        log.add(at + MINUTE, Outcome::Success, user, "203.0.113.99", "VN", 600);
    }
    assert_eq!(log.guessed(), users);
}

#[test]
fn suspicious_logins_make_no_system_usual() {
    let mut log = Log::new(0);
    log.past(1, 700);
    for (day, country) in (0..).zip(["BR", "NL", "FR", "VN"]) {
        let (ip, at) = (format!("198.51.100.{day}"), day * DAY);
        for n in 0..5 {
            let name = format!("guess{n}");
            log.add(at + n * MINUTE, Outcome::Failure, &name, &ip, country, 800);
        }
        log.add(at + 10 * MINUTE, Outcome::Success, "dora", &ip, country, 800);
    }
    assert_eq!(log.guessed(), ["dora"; 4]);
}

#[test]
fn a_suspicious_login_in_another_country_leaves_a_system_local() {
    let mut log = Log::new(0);
    for user in 0..3 {
        let (name, ip) = (format!("m{user}"), format!("192.0.2.{user}"));
        log.add(user * MINUTE, Outcome::Success, &name, &ip, "PL", 500);
    }
    for n in 0..5 {
        let name = format!("guess{n}");
        log.add(HOUR + n, Outcome::Failure, &name, "198.51.100.7", "BR", 500);
    }
    log.add(HOUR + MINUTE, Outcome::Success, "m0", "198.51.100.7", "BR", 500);
    log.past(1, 700);
    log.guess("203.0.113.5", "PL", 500, 8, 5);
    log.add(9 * HOUR, Outcome::Success, "dora", "203.0.113.5", "PL", 500);
    assert_eq!(log.guessed(), ["m0"]);
}

#[test]
fn a_local_system_needs_three_failed_names_for_each_user_of_the_address() {
    let mut log = infected_phone(9, MINUTE);
    for user in 0..6 {
        let at = 4 * HOUR + user;
        log.add(at, Outcome::Success, &format!("n{user}"), "203.0.113.5", "PL", 500);
    }
    assert_eq!(log.guessed(), ["n0", "n1", "n2"]);
}
