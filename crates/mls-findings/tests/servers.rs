//! What is found, missed and wrongly reported on generated servers.
//!
//! `MLS_SERVERS=100 cargo test -p mls-findings --test servers -- --nocapture` tries that many seeds.
use std::collections::BTreeMap;

use mls_event::Finding;
use mls_findings::{Detector, Observation, Settings};
use testdata::server::{Options, Server};

/// How a run on one server went.
#[derive(Debug, Default)]
struct Score {
    user_days: u64,
    compromised: usize,
    found: usize,
    /// Of those found, how many findings name the login that let the attacker in.
    named: usize,
    missed: Vec<String>,
    unnamed: Vec<String>,
    /// Honest users who were reported.
    honest: BTreeMap<String, String>,
}

fn findings(server: &Server) -> Vec<Finding<'static>> {
    let mut detector = Detector::new(Settings::default());
    let mut found = Vec::new();
    for event in &server.events {
        let auth = server.auth(event);
        detector.observe(&Observation::from(&auth), &mut found);
    }
    found.sort_by_key(|finding| finding.date.at());
    found
}

fn score(options: Options) -> Score {
    let server = Server::new(options);
    let found = findings(&server);
    let mut score = Score {
        user_days: options.users * options.days,
        compromised: server.compromised.len(),
        ..Score::default()
    };
    for compromise in &server.compromised {
        let method = compromise.method.name();
        let of_user = || found.iter().filter(|finding| *finding.user == *compromise.user);
        let person = server.people.iter().find(|person| person.name == compromise.user);
        let oddity = person.map(|person| person.oddity);
        let right = of_user().find(|finding| finding.rule.name() == method);
        let Some(right) = right else {
            let rules: Vec<_> = of_user().map(|finding| finding.rule.name()).collect();
            score.missed.push(format!("{method} {compromise:?} {oddity:?} {rules:?}"));
            continue;
        };
        score.found += 1;
        let first = of_user().next().unwrap_or(right);
        if first.ip == compromise.ip && first.date.at().timestamp() == compromise.at {
            score.named += 1;
        } else {
            score.unnamed.push(format!("{compromise:?} {oddity:?}, but: {}", first.evidence));
        }
    }
    for finding in &found {
        let is_compromised =
            |user: &str| server.compromised.iter().any(|compromise| *compromise.user == *user);
        if !is_compromised(&finding.user) {
            let person = server.people.iter().find(|person| *person.name == *finding.user);
            let oddity = person.map(|person| person.oddity);
            score.honest.entry(finding.user.to_string()).or_insert_with(|| {
                format!("{} {oddity:?}: {}", finding.rule.name(), finding.evidence)
            });
        }
    }
    score
}

#[test]
fn attackers_are_found_and_honest_users_are_left_alone() {
    let seeds = std::env::var("MLS_SERVERS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut total = Score::default();
    println!("| seed | found | first login named | honest users reported |\n|---|---|---|---|");
    for seed in 1..=seeds {
        // Other sizes, other noise.
        let spray = [60, 10, 200, 400][usize::try_from(seed % 4).unwrap_or(0)];
        let score = score(Options { seed, spray, ..Options::default() });
        println!(
            "| {seed} | {} of {} | {} | {} in {} user-days |",
            score.found,
            score.compromised,
            score.named,
            score.honest.len(),
            score.user_days
        );
        for line in score.missed.iter().chain(&score.unnamed).chain(score.honest.values()) {
            println!("    {line}");
        }
        assert!(score.honest.len() <= 2, "seed {seed}: {:#?}", score.honest);
        total.found += score.found;
        total.named += score.named;
        total.compromised += score.compromised;
    }
    println!("| all | {} of {} | {} | |", total.found, total.compromised, total.named);
    assert!(
        total.found * 100 >= total.compromised * 95,
        "{} of {}",
        total.found,
        total.compromised
    );
    assert!(total.named * 100 >= total.found * 95, "{} of {}", total.named, total.found);
}
