//! The JSON format. The types of this test have every member of a report, and refuse any other
//! member. The test compares the numbers of reports with simple counts of the generated rows.

#![expect(clippy::struct_field_names, reason = "the names are the JSON's")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use assert_cmd::Command;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its presence is checked")]
struct Report {
    v: u32,
    r#type: String,
    program: String,
    generated: chrono::DateTime<chrono::FixedOffset>,
    server: Server,
    title: Option<String>,
    extraction_interval: Option<String>,
    period: Period,
    attempts: u64,
    previous_attempts: Option<u64>,
    usual_attempts: Option<u64>,
    total_attempts: u64,
    servers: List<ServerCount>,
    silent_servers: List<Silent>,
    widespread_attackers: List<Widespread>,
    logins: List<Login>,
    users: List<User>,
    addresses: List<Address>,
    countries: List<Country>,
    organisations: List<Organisation>,
    systems: List<System>,
    networks: List<Network>,
    failed_reverse_lookups: u64,
    reverse_dns_failures: List<Status>,
    hours: [u64; 24],
    weekday_hours: [[u64; 24]; 7],
    days: Vec<Day>,
    slow_attackers: List<Slow>,
    distributed_attacks: List<Distributed>,
    new: Option<New>,
    csv: Option<Csv>,
    suspicious_logins: Vec<serde_json::Value>,
    suspicious_logins_complete: bool,
    successful_logins: Option<serde_json::Value>,
    notes: Vec<String>,
}

macro_rules! object {
    ($name:ident { $($member:ident: $type:ty),* }) => {
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name { $($member: $type),* }
    };
}

object!(Server { name: String, address: Option<std::net::IpAddr> });
object!(Period {
    label: String,
    from: Option<chrono::DateTime<chrono::FixedOffset>>,
    to: Option<chrono::DateTime<chrono::FixedOffset>>
});
object!(Login {
    user: Option<String>,
    ip: Option<String>,
    hostname: Option<String>,
    country_code: Option<String>,
    attempts: u64
});
object!(ServerCount {
    server: String,
    addresses: u64,
    last_attempt: Option<chrono::DateTime<chrono::FixedOffset>>,
    attempts: u64
});
object!(Silent {
    server: String,
    last_attempt: chrono::DateTime<chrono::FixedOffset>,
    pause_minutes: i64,
    usual_pause_minutes: i64,
    attempts: u64
});
object!(Widespread { ip: String, servers: u64, attempts: u64 });
object!(User { user: String, attempts: u64 });
object!(Address {
    ip: String,
    country_code: Option<String>,
    asn: Option<u32>,
    aso: Option<String>,
    attempts: u64
});
object!(Country { country_code: String, attempts: u64 });
object!(Organisation { aso: String, attempts: u64 });
object!(System { asn: Option<u32>, aso: Option<String>, attempts: u64 });
object!(Network { network: String, addresses: u64, attempts: u64 });
object!(Status { status: String, attempts: u64 });
object!(Day { date: String, attempts: u64 });
object!(Slow { ip: String, days: u32, attempts: u32 });
object!(Distributed { user: String, addresses: u64, attempts: u64 });
object!(New { addresses: List<Address>, users: List<User>, countries: List<Country> });
object!(Csv { name: Option<String>, bytes: u64, rows: u64 });

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct List<T> {
    distinct: usize,
    exact: bool,
    unknown: u64,
    top: Vec<T>,
}

fn report(args: &[&str], stdin: &str) -> Report {
    let run = Command::new(env!("CARGO_BIN_EXE_mls-report"))
        .args(["--format", "json", "--timezone", "UTC"])
        .args(args)
        .write_stdin(stdin)
        .assert()
        .success();
    let line = &run.get_output().stdout;
    assert!(line.starts_with(b"{\"v\":1,\"type\":\"report\",") && line.ends_with(b"}\n"));
    assert!(!line[..line.len() - 1].contains(&b'\n'));
    serde_json::from_slice(line).unwrap()
}

#[derive(Clone, Debug)]
struct Row {
    day: u32,
    hour: usize,
    ip: String,
    user: String,
    host: Option<String>,
    country: &'static str,
}

impl Row {
    /// 0 is Monday; `2026-05-01`, day 0, was a Friday.
    fn weekday(&self) -> u32 {
        (self.day + 4) % 7
    }
}

/// Returns rows of 60 days, some of them out of order. Day 0 is `2026-05-01`.
fn generate(seed: u64) -> Vec<Row> {
    let mut random = seed;
    let mut below = |n: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((random >> 33) * n) >> 31
    };
    (0..12_000)
        .map(|i| {
            let ip = below(30) * below(30);
            Row {
                day: u32::try_from((i * 60 / 12_000 + below(2)).min(59)).unwrap(),
                hour: usize::try_from(below(24)).unwrap(),
                ip: if ip % 11 == 0 {
                    format!("2001:db8:0:{:x}::{ip:x}", ip % 5)
                } else {
                    format!("192.0.{}.{}", ip % 3, ip / 4)
                },
                user: if i % 40 == 7 {
                    format!("{i}@example.com")
                } else {
                    format!("user{}@example.com", below(25) * below(25))
                },
                host: (ip % 2 == 0).then(|| format!("h{ip}.example.net")),
                country: ["CN", "US", "RU", "N/A"][usize::try_from(ip % 4).unwrap()],
            }
        })
        .collect()
}

fn date(day: u32) -> String {
    (chrono::NaiveDate::from_ymd_opt(2026, 5, 1).unwrap() + chrono::Days::new(day.into()))
        .to_string()
}

fn csv(rows: &[Row]) -> String {
    let mut csv =
        "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n".to_owned();
    for row in rows {
        let (host, status) = row.host.as_deref().map_or(("null", "Errno 1"), |host| (host, "OK"));
        let (asn, aso) =
            if row.country == "N/A" { ("N/A", "N/A") } else { ("64500", "\"An Org, Inc.\"") };
        let Row { day, hour, ip, user, country, .. } = row;
        writeln!(
            csv,
            "mail,{} {hour:02}:30,{ip},{user},{host},{status},{country},{asn},{aso}",
            date(*day)
        )
        .unwrap();
    }
    csv
}

/// Returns how often each key occurs, the most frequent key first. Equal counts are sorted by key.
fn count<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<(K, u64)> {
    let mut counts: BTreeMap<K, u64> = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

fn network(ip: &str) -> String {
    match ip.parse().unwrap() {
        std::net::IpAddr::V4(_) => format!("{}.0/24", ip.rsplit_once('.').unwrap().0),
        std::net::IpAddr::V6(_) => {
            format!("{}::/64", ip.rsplit_once("::").unwrap().0.trim_end_matches(":0"))
        }
    }
}

fn known(text: &str) -> Option<String> {
    (text != "N/A").then(|| text.to_owned())
}

#[test]
#[expect(clippy::too_many_lines, reason = "one plain count for each list of the report")]
fn every_number_equals_a_simple_count() {
    for seed in 1..=5 {
        let rows = generate(seed);
        let (day, top) = (40 + u32::try_from(seed).unwrap(), 20);
        let report = report(&["--date", &date(day), "--top", "20"], &csv(&rows));
        let inside: Vec<_> = rows.iter().filter(|row| row.day == day).cloned().collect();
        let before: Vec<_> = rows.iter().filter(|row| row.day < day).cloned().collect();

        assert_eq!((report.v, report.r#type.as_str()), (1, "report"));
        assert_eq!(report.period.label, date(day));
        assert_eq!(
            report.period.from.unwrap().to_rfc3339(),
            format!("{}T00:00:00+00:00", date(day))
        );
        assert_eq!(report.attempts, inside.len() as u64);
        assert_eq!(
            report.previous_attempts,
            Some(before.iter().filter(|row| row.day == day - 1).count() as u64)
        );
        assert_eq!(report.notes, [""; 0]);

        let logins = count(
            inside
                .iter()
                .map(|row| (row.user.clone(), row.ip.clone(), row.host.clone(), row.country)),
        );
        assert_eq!(report.logins.distinct, logins.len());
        let sums: Vec<_> = logins.iter().take(top).map(|(_, n)| *n).collect();
        assert_eq!(report.logins.top.iter().map(|login| login.attempts).collect::<Vec<_>>(), sums);
        for login in &report.logins.top {
            let key = logins.iter().find(|((user, ip, ..), _)| {
                Some(user) == login.user.as_ref() && Some(ip) == login.ip.as_ref()
            });
            let ((.., host, country), n) = key.unwrap();
            assert_eq!(
                (&login.hostname, &login.country_code, login.attempts),
                (host, &known(country), *n)
            );
        }
        let users = count(inside.iter().map(|row| row.user.clone()));
        let expected =
            users.iter().take(top).map(|(user, n)| User { user: user.clone(), attempts: *n });
        assert_eq!(
            report.users,
            List { distinct: users.len(), exact: true, unknown: 0, top: expected.collect() }
        );
        let addresses = count(inside.iter().map(|row| row.ip.clone()));
        let expected = addresses.iter().take(top).map(|(ip, n)| {
            // The generator gives an address several countries. The report uses the first row.
            let of_it = rows.iter().filter(|row| row.ip == *ip);
            let mut recent = of_it.filter(|row| row.day <= day && row.day + 30 > day);
            let country = recent.find_map(|row| known(row.country));
            Address {
                ip: ip.clone(),
                asn: country.as_ref().map(|_| 64500),
                aso: country.as_ref().map(|_| "An Org, Inc.".to_owned()),
                country_code: country,
                attempts: *n,
            }
        });
        assert_eq!(report.addresses.top, expected.collect::<Vec<_>>());
        assert_eq!(report.addresses.unknown, 0);
        let unknown = inside.iter().filter(|row| row.country == "N/A").count() as u64;
        let countries = count(inside.iter().filter_map(|row| known(row.country)));
        let expected =
            countries.iter().map(|(code, n)| Country { country_code: code.clone(), attempts: *n });
        assert_eq!(
            report.countries,
            List { distinct: 3, exact: true, unknown, top: expected.collect() }
        );
        let (aso, attempts) = ("An Org, Inc.".to_owned(), inside.len() as u64 - unknown);
        let system = System { asn: Some(64500), aso: Some(aso.clone()), attempts };
        assert_eq!(report.systems, List { distinct: 1, exact: true, unknown, top: vec![system] });
        let organisation = Organisation { aso, attempts };
        assert_eq!(
            report.organisations,
            List { distinct: 1, exact: true, unknown, top: vec![organisation] }
        );
        assert_eq!(report.total_attempts, 12_000);
        let mut days: Vec<_> = (day - 28..day)
            .map(|d| rows.iter().filter(|row| row.day == d).count() as u64)
            .collect();
        days.sort_unstable();
        assert_eq!(report.usual_attempts, Some(days[14]));
        for (weekday, hours) in (0..).zip(report.weekday_hours) {
            for (hour, n) in hours.into_iter().enumerate() {
                let of_it =
                    inside.iter().filter(|row| row.hour == hour && row.weekday() == weekday);
                assert_eq!(n, of_it.count() as u64);
            }
        }

        let failed = inside.iter().filter(|row| row.host.is_none()).count() as u64;
        assert_eq!(report.failed_reverse_lookups, failed);
        assert_eq!(
            report.reverse_dns_failures.top,
            [Status { status: "Errno 1".to_owned(), attempts: failed }]
        );
        for (hour, n) in report.hours.iter().enumerate() {
            assert_eq!(*n, inside.iter().filter(|row| row.hour == hour).count() as u64);
        }
        let days: Vec<_> = (day - 29..=day)
            .map(|d| Day {
                date: date(d),
                attempts: rows.iter().filter(|row| row.day == d).count() as u64,
            })
            .collect();
        assert_eq!(report.days, days);

        let networks = count(inside.iter().map(|row| network(&row.ip)));
        assert_eq!(report.networks.distinct, networks.len());
        for found in &report.networks.top {
            let of_it: Vec<_> =
                inside.iter().filter(|row| network(&row.ip) == found.network).collect();
            let addresses: BTreeSet<_> = of_it.iter().map(|row| &row.ip).collect();
            assert_eq!(
                (found.attempts, found.addresses),
                (of_it.len() as u64, addresses.len() as u64)
            );
        }
        let window: Vec<_> =
            rows.iter().filter(|row| row.day <= day && row.day + 30 > day).collect();
        let mut slow: Vec<_> = addresses
            .iter()
            .map(|(ip, _)| {
                let of_it = window.iter().filter(|row| row.ip == *ip);
                let days = of_it.clone().map(|row| row.day).collect::<BTreeSet<_>>().len();
                Slow {
                    ip: ip.clone(),
                    days: days.try_into().unwrap(),
                    attempts: of_it.count().try_into().unwrap(),
                }
            })
            .filter(|slow| slow.days >= 5 && slow.attempts <= 10 * slow.days)
            .collect();
        slow.sort_by(|a, b| {
            (b.days, b.attempts).cmp(&(a.days, a.attempts)).then_with(|| a.ip.cmp(&b.ip))
        });
        assert!(!slow.is_empty());
        assert_eq!(report.slow_attackers.distinct, slow.len());
        slow.truncate(top);
        assert_eq!(report.slow_attackers.top, slow);
        let mut distributed: Vec<_> = users
            .iter()
            .map(|(user, n)| {
                let addresses = inside
                    .iter()
                    .filter(|row| row.user == *user)
                    .map(|row| &row.ip)
                    .collect::<BTreeSet<_>>();
                Distributed { user: user.clone(), addresses: addresses.len() as u64, attempts: *n }
            })
            .filter(|attack| attack.addresses >= 5)
            .collect();
        distributed.sort_by(|a, b| {
            (b.addresses, b.attempts)
                .cmp(&(a.addresses, a.attempts))
                .then_with(|| a.user.cmp(&b.user))
        });
        distributed.truncate(top);
        assert!(!distributed.is_empty());
        assert_eq!(report.distributed_attacks.top, distributed);

        let new = report.new.unwrap();
        let unseen: Vec<_> =
            users.iter().filter(|(user, _)| before.iter().all(|row| row.user != *user)).collect();
        assert!(!unseen.is_empty());
        assert_eq!(new.users.distinct, unseen.len());
        let expected =
            unseen.iter().take(top).map(|(user, n)| User { user: user.clone(), attempts: *n });
        assert_eq!(new.users.top, expected.collect::<Vec<_>>());
        assert_eq!(
            new.addresses.distinct,
            addresses.iter().filter(|(ip, _)| before.iter().all(|row| row.ip != *ip)).count()
        );
        assert_eq!(new.countries.distinct, 0);
        let csv_of = csv(&rows);
        assert_eq!(
            report.csv,
            Some(Csv { name: None, bytes: csv_of.len() as u64, rows: rows.len() as u64 })
        );
    }
}

#[test]
fn a_period_is_the_sum_of_its_days() {
    let rows = generate(9);
    let csv = csv(&rows);
    let week = report(&["--since", &date(30), "--until", &date(36)], &csv);
    let days: u64 = (30..=36).map(|day| report(&["--date", &date(day)], &csv).attempts).sum();
    assert_eq!(week.attempts, days);
    assert_eq!(week.period.label, format!("{} to {}", date(30), date(36)));
    assert_eq!(
        week.previous_attempts,
        Some(rows.iter().filter(|row| (23..30).contains(&row.day)).count() as u64)
    );
    let all = report(&["--since", "2000-01-01"], &csv);
    assert_eq!((all.attempts, all.previous_attempts, all.period.to), (12_000, None, None));
    // There is no data before the period, so the report cannot say what is new.
    assert_eq!(all.new, None);
    assert_eq!(report(&["--date", &date(0)], &csv).new, None);
}

#[test]
fn counts_are_exact_for_more_names_than_fit_in_memory() {
    let mut csv = String::new();
    for i in 0..300_000_u32 {
        // Every name comes twice, far apart, so several temporary files contain it.
        let (n, host) = (i % 150_000, i / 150_000);
        let ip = format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255);
        writeln!(csv, "mx{host},2026-06-01 00:00,{ip},u{n},null,N/A,CN,{n},O{n}").unwrap();
        if i % 500 == 0 {
            writeln!(csv, "mx1,2026-06-01 00:00,192.0.2.1,often,null,N/A,CN,1,O").unwrap();
        }
    }
    let report = report(&["--date", "2026-06-01", "--top", "2"], &csv);
    assert_eq!((report.attempts, report.notes), (300_600, vec![]));
    let often = [
        (report.users.distinct, report.users.top[0].attempts, report.users.top[1].attempts),
        (
            report.addresses.distinct,
            report.addresses.top[0].attempts,
            report.addresses.top[1].attempts,
        ),
        (report.logins.distinct, report.logins.top[0].attempts, report.logins.top[1].attempts),
    ];
    assert_eq!(often, [(150_001, 600, 2); 3]);
    // The system 1 has the organisations O1 and O.
    assert_eq!((report.systems.distinct, report.systems.top[0].attempts), (150_000, 602));
    assert_eq!(
        (report.organisations.distinct, report.organisations.top[0].attempts),
        (150_001, 600)
    );
    assert_eq!(report.users.top[1].user, "u0");
    assert_eq!(report.addresses.top[1].asn, Some(0));
    let networks = 150_000_usize.div_ceil(256) + 1;
    assert_eq!((report.networks.distinct, report.networks.top[1].addresses), (networks, 256));
    let servers: Vec<_> = report.servers.top.iter().map(|x| (x.attempts, x.addresses)).collect();
    assert_eq!(servers, [(150_600, 150_001), (150_000, 150_000)]);
    // Each address tried both servers, except one.
    let widespread = &report.widespread_attackers;
    assert_eq!((widespread.distinct, widespread.top[0].servers), (150_000, 2));
}

#[test]
fn logins_that_the_server_could_not_check_are_named_and_are_neither_attempts_nor_suspicious() {
    let record = |day: u32, outcome: &str, attempts: u32| {
        format!(
            "{{\"v\":1,\"type\":\"auth\",\"date\":\"2026-06-{day:02}T10:00:00+00:00\",\"outcome\":\"{outcome}\",\
             \"attempts\":{attempts},\"ip\":\"192.0.2.1\",\"user\":\"a\",\"country_code\":\"DE\",\"asn\":1}}\n"
        )
    };
    let errors = record(1, "error", 1) + &record(2, "error", 2) + &record(1, "aborted", 4);
    let (one, none) = (report(&["--date", "2026-06-01"], &errors), record(1, "failure", 3));
    assert_eq!(one.attempts, 0);
    let said = "1 login could not be checked because the authentication service failed.";
    assert!(one.notes.contains(&said.to_owned()), "{:?}", one.notes);
    let two = report(&["--date", "2026-06-02"], &(errors + &record(2, "failure", 5)));
    assert_eq!(two.attempts, 5);
    assert_eq!(
        two.notes,
        ["2 logins could not be checked because the authentication service failed."]
    );
    assert_eq!(report(&["--date", "2026-06-01"], &none).notes, [""; 0]);
}
