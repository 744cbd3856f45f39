//! Counts found, missed and wrongly reported logins on generated servers.
//!
//! `MLS_SERVERS=100 cargo test -p mls-findings --test servers -- --nocapture` tries 100 seeds.
use mls_config::config::Suspicious;
use mls_event::Finding;
use mls_findings::{Detector, Observation};
use testdata::server::{Options, Score, Server};

fn findings(server: &Server) -> Vec<Finding<'static>> {
    let mut detector = Detector::new(&Suspicious::default());
    let mut found = Vec::new();
    for event in &server.events {
        let auth = server.auth(event);
        detector.observe(&Observation::from(&auth), &mut found);
    }
    found.sort_by_key(|finding| finding.date.at());
    found
}

#[test]
fn attackers_are_found_and_honest_users_are_left_alone() {
    let seeds = std::env::var("MLS_SERVERS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut total = Score::default();
    for seed in 1..=seeds {
        // Some servers get few attempts of password spraying, some get many.
        let spray = [60, 10, 200, 400][usize::try_from(seed % 4).unwrap_or(0)];
        let server = Server::new(Options { seed, spray, ..Options::default() });
        let score = Score::new(&server, &findings(&server));
        println!("seed {seed}: {score}");
        assert!(score.honest <= 2, "seed {seed}: {score}");
        total += score;
    }
    total.assert_within_limits();
}

#[test]
fn the_evidence_names_as_many_countries_as_it_counts() {
    let mut compared = 0;
    for seed in 1..=4 {
        let server = Server::new(Options { seed, ..Options::default() });
        for finding in findings(&server) {
            let Some((count, names)) = finding.evidence.split_once(" countries (") else {
                continue;
            };
            let (names, _) = names.split_once(')').unwrap_or_default();
            if names.contains(" more") {
                continue;
            }
            let count = count.rsplit(' ').next().and_then(|count| count.parse().ok());
            assert_eq!(count, Some(names.split(", ").count()), "{}", finding.evidence);
            compared += 1;
        }
    }
    assert!(compared > 0, "no finding lists countries");
}
