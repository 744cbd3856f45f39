//! `--since-last --format prometheus`: counters grow from run to run and never decrease.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![expect(clippy::disallowed_methods, reason = "nobody else reads the files of a test")]

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;

const HEADER: &str = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";

struct Site(tempfile::TempDir, std::cell::Cell<usize>);

impl Site {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), std::cell::Cell::new(0))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Appends `n` failures of a country to the CSV.
    fn record(&self, n: usize, country: &str) {
        let mut text = fs::read_to_string(self.path("f.csv")).unwrap_or_else(|_| HEADER.to_owned());
        for _ in 0..n {
            let user = self.1.replace(self.1.get() + 1);
            let row = format!("u{user},null,Errno 1,{country},64496,Example\n");
            text.push_str("mail,2026-06-01 23:59,192.0.2.1,");
            text.push_str(&row);
        }
        fs::write(self.path("f.csv"), text).unwrap();
    }

    fn run(&self) -> assert_cmd::assert::Assert {
        Command::cargo_bin("mls-report")
            .unwrap()
            .args(["--timezone", "UTC", "--since-last", "--format", "prometheus", "--top", "2"])
            .arg("--output")
            .arg(self.path("x.prom"))
            .arg(self.path("f.csv"))
            .assert()
    }

    /// The counter of all failed logins, and the counters by country.
    fn counts(&self) -> (String, String) {
        let text = fs::read_to_string(self.path("x.prom")).unwrap();
        let lines = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name));
            lines.collect::<Vec<_>>().join(" ")
        };
        (
            lines("maillogsentinel_failed_logins_total "),
            lines("maillogsentinel_failed_logins_by_country_total"),
        )
    }

    fn assert(&self, all: &str, countries: &str) {
        self.run().success().stdout("");
        assert_eq!(self.counts(), (all.to_owned(), countries.to_owned()));
    }
}

#[test]
fn counters_start_at_zero_and_grow_with_new_rows() {
    let site = Site::new();
    site.record(3, "FR");
    site.assert("0", "");
    site.record(2, "FR");
    site.assert("2", "{country_code=\"FR\"} 2");
    site.assert("2", "{country_code=\"FR\"} 2");
    site.record(1, "DE");
    site.record(1, "FR");
    site.assert("4", "{country_code=\"DE\"} 1 {country_code=\"FR\"} 3");
    // `--top 2`: the first two countries have a series. Other countries count only in the total.
    site.record(5, "CN");
    site.record(5, "US");
    site.record(1, "FR");
    site.assert("15", "{country_code=\"DE\"} 1 {country_code=\"FR\"} 4");
}

#[test]
fn counters_continue_when_the_csv_is_rotated_and_old_rows_are_removed() {
    let site = Site::new();
    site.record(1, "FR");
    site.assert("0", "");
    site.record(4, "FR");
    fs::rename(site.path("f.csv"), site.path("f.csv-20260602")).unwrap();
    site.record(2, "FR");
    site.assert("6", "{country_code=\"FR\"} 6");
    fs::remove_file(site.path("f.csv-20260602")).unwrap();
    site.assert("6", "{country_code=\"FR\"} 6");
    site.record(1, "FR");
    site.assert("7", "{country_code=\"FR\"} 7");
}

#[test]
fn counters_exist_before_the_first_row() {
    let site = Site::new();
    site.assert("0", "");
    site.record(3, "FR");
    // The first run found no CSV. The rows are older than the first run, so they are not counted.
    site.assert("0", "");
    site.record(1, "FR");
    site.assert("1", "{country_code=\"FR\"} 1");
}

#[test]
fn a_file_without_a_position_is_refused_and_stays() {
    let site = Site::new();
    site.record(1, "FR");
    for text in ["", "maillogsentinel_failed_logins_total 5\n", "# mls-report: {}\n"] {
        fs::write(site.path("x.prom"), text).unwrap();
        let run = site.run().code(78);
        let said = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(said.contains("if you remove the file, the counters start again at 0"), "{said}");
        assert_eq!(fs::read_to_string(site.path("x.prom")).unwrap(), text);
    }
}

#[test]
fn counters_need_a_file_because_standard_input_has_no_position() {
    let site = Site::new();
    Command::cargo_bin("mls-report")
        .unwrap()
        .args(["--since-last", "--format", "prometheus", "--output"])
        .arg(site.path("x.prom"))
        .assert()
        .code(64);
}
