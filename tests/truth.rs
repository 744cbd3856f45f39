//! Do the tools find the compromised accounts? The test generates the servers and their logs, so it
//! knows these accounts.
//!
//! By default servers are small. `MLS_SEEDS="201 202 203"` makes large servers with these seeds.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs::File;
use std::io::{BufWriter, Write};

use chrono::{Days, NaiveDate};
use mls_event::Finding;
use mls_tests::{Site, text};
use serde_json::Value;
use testdata::server::{Options, Score, Server};

/// Compares the suspicious logins that the tools find with the compromised accounts of `server`.
fn score(server: &Server) -> Score {
    let site = Site::new();
    server.save_databases(&site.path().join("ipdb")).unwrap();
    let mut log = BufWriter::new(File::create(site.path().join("mail.log")).unwrap());
    server.write_log(&mut log).unwrap();
    log.flush().unwrap();
    let first = NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();
    let last = first + Days::new(server.options.days - 1);
    let output = site.shell(&format!(
        "mls-parse --daemon postfix,dovecot --outcome failure,success < mail.log |
         mls-enrich --no-dns --country-db ipdb/country_aside.csv \
           --country-db ipdb/country_aside-ipv6.csv --asn-db ipdb/asn.csv --asn-db ipdb/asn-ipv6.csv |
         mls-report --format json --timezone UTC --since {first} --until {last}"
    ));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["suspicious_logins"].to_string();
    let findings: Vec<Finding<'_>> = serde_json::from_str(&findings).unwrap();
    Score::new(server, &findings)
}

#[test]
fn compromised_accounts_are_found_in_a_log_and_honest_users_are_left_alone() {
    let seeds = std::env::var("MLS_SEEDS").ok();
    let small = Options { users: 60, days: 10, odd: 20, compromised: 6, ..Options::default() };
    let size = if seeds.is_some() { Options::default() } else { small };
    let seeds = seeds.as_deref().unwrap_or("1 2 3 4");
    let mut total = Score::default();
    for seed in seeds.split_whitespace().map(|seed| seed.parse().unwrap()) {
        let score = score(&Server::new(Options { seed, ..size }));
        println!("seed {seed}: {score}");
        total += score;
    }
    println!("all: {total}");
    total.assert_within_limits();
}
