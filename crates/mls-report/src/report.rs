//! The numbers of a report, ready to be shown; as JSON, what `--format json` writes.
//!
//! One line, an object whose first two members are `"v":1,"type":"report"`. A new member may appear within version 1; a
//! member never changes its meaning or goes away without a new version. What is unknown is null. Times are RFC 3339.
//!
//! | member | meaning |
//! |---|---|
//! | `program` | name and version of the tool |
//! | `generated` | when |
//! | `server` | `name` and `address` of this machine |
//! | `extraction_interval` | `[systemd] extraction_schedule` |
//! | `period` | `label`; `from` and `to`, the minute after the last, null where it is open |
//! | `attempts` | failed logins in the period |
//! | `previous_attempts` | in the stretch of the same length before it; null where the data does not reach so far back |
//! | `logins` | by `user`, `ip`, `hostname`, `country_code` |
//! | `users` `addresses` `countries` `organisations` `systems` | by `user`, `ip`, `country_code`, `aso`, `asn` |
//! | `networks` | /24 and /64: `network`, `addresses` (how many of it tried), `attempts` |
//! | `failed_reverse_lookups` | attempts whose reverse lookup failed |
//! | `reverse_dns_failures` | by `status`, all of them |
//! | `hours` | 24 numbers: attempts by hour of the day |
//! | `days` | the 30 days up to the period's last: `date`, `attempts` |
//! | `slow_attackers` | addresses of the period that tried on at least 5 of those 30 days, on average at most 10 times a day: `ip`, `days`, `attempts` on those days |
//! | `distributed_attacks` | users that at least 5 addresses tried: `user`, `addresses`, `attempts` |
//! | `new` | what never was in the data before the period: `addresses`, `users`, `countries`; null where the data does not reach further back |
//! | `csv` | `name`, `bytes` (decompressed), `rows` of the input; null where it is not CSV |
//! | `suspicious_logins` | ordered by `date`, one for each rule, user and day: `rule`, `user`, `ip`, `date`, `country_code`, `asn`, `aso`, `evidence` (mls-findings) |
//! | `successful_logins` | `logins` and `users` in the period; null if no logins were read |
//! | `notes` | sentences for people: what the data had more of than memory is spent on |
//!
//! All of these from `logins` to `distributed_attacks` that are not numbers, and those in `new`, are lists: `distinct`, how
//! many there are, the unknown aside; `exact`, false where the data had more names than memory is spent on, so that all numbers of the list are
//! lower bounds; `top`, the most frequent with their `attempts`.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use chrono::{DateTime, FixedOffset, SecondsFormat};
use foldhash::fast::RandomState;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mls_config::zone::Zone;
use mls_event::Finding;
use serde::{Serialize, Serializer};

use crate::counter::{Count, Counter, top};
use crate::history::Past;
use crate::login_counter::Names;
use crate::period::Period;
use crate::seen::Seen;
use crate::suspicion::Logins;
use crate::tally::{Tally, split, value, values};
use crate::verdict::Verdict;
use mls_attempts::ReadSummary;
use mls_machine::Machine;

/// From how many addresses an attack on one user is called distributed, and on how many days an attacker is called slow.
pub(crate) const MANY: u32 = 5;

/// How many tries a day a slow attacker makes at most, on average of the days on which it tries.
pub(crate) const FEW: u32 = 10;

/// A whole report. The members stand in the module's documentation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    v: u64,
    r#type: &'static str,
    program: &'static str,
    #[serde(serialize_with = "rfc3339")]
    pub(crate) generated: DateTime<FixedOffset>,
    pub(crate) server: Machine,
    pub(crate) extraction_interval: Option<String>,
    pub(crate) period: ReportPeriod,
    pub(crate) attempts: u64,
    pub(crate) previous_attempts: Option<u64>,
    pub(crate) logins: List<Login>,
    pub(crate) users: List<User>,
    pub(crate) addresses: List<Address>,
    pub(crate) countries: List<Country>,
    pub(crate) organisations: List<Organisation>,
    pub(crate) systems: List<System>,
    pub(crate) networks: List<Network>,
    pub(crate) failed_reverse_lookups: u64,
    pub(crate) reverse_dns_failures: List<Status>,
    pub(crate) hours: [u64; 24],
    pub(crate) days: Vec<DayCount>,
    pub(crate) slow_attackers: List<SlowAttacker>,
    pub(crate) distributed_attacks: List<DistributedAttack>,
    pub(crate) new: Option<New>,
    pub(crate) csv: Option<Csv>,
    pub(crate) suspicious_logins: Vec<Finding<'static>>,
    pub(crate) successful_logins: Option<SuccessfulLogins>,
    pub(crate) notes: Vec<String>,
    /// The same in words.
    #[serde(skip)]
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct SuccessfulLogins {
    pub(crate) logins: u64,
    pub(crate) users: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportPeriod {
    pub(crate) label: String,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    #[serde(skip)]
    pub(crate) is_day: bool,
}

/// The head of a ranking.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) distinct: usize,
    pub(crate) exact: bool,
    pub(crate) top: Vec<T>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) ip: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) country_code: Option<String>,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct User {
    pub(crate) user: Option<String>,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Address {
    pub(crate) ip: Option<String>,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Country {
    pub(crate) country_code: Option<String>,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Organisation {
    pub(crate) aso: Option<String>,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct System {
    pub(crate) asn: Option<u32>,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are the JSON's")]
pub(crate) struct Network {
    pub(crate) network: IpNet,
    pub(crate) addresses: u64,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) status: String,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct DayCount {
    pub(crate) date: String,
    pub(crate) attempts: u64,
    /// Whether the period has a part of that day.
    #[serde(skip)]
    pub(crate) inside: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct SlowAttacker {
    pub(crate) ip: String,
    pub(crate) days: u32,
    pub(crate) attempts: u32,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct DistributedAttack {
    pub(crate) user: String,
    pub(crate) addresses: u64,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct New {
    pub(crate) addresses: List<Address>,
    pub(crate) users: List<User>,
    pub(crate) countries: List<Country>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Csv {
    pub(crate) name: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// What a report says beside its numbers.
pub(crate) struct About<'a> {
    pub(crate) period: &'a Period,
    pub(crate) extent: &'a ReadSummary,
    /// Name of the input file without its directory.
    pub(crate) file_name: Option<String>,
    pub(crate) logins: Logins,
    pub(crate) server: Machine,
    pub(crate) interval: Option<String>,
    pub(crate) generated: DateTime<FixedOffset>,
    pub(crate) zone: Zone,
    pub(crate) top: usize,
}

impl Report {
    /// The report of what was counted.
    pub(crate) fn new(tally: &Tally, names: &Names, about: About<'_>) -> Self {
        let About { period, extent, zone, top: n, .. } = about;
        let rfc3339 = |naive| zone.read(naive).to_rfc3339_opts(SecondsFormat::Secs, false);
        let reaches_back = |to: Option<String>| tally.earliest < to && tally.earliest.is_some();
        let text = |at: chrono::NaiveDateTime| at.format("%Y-%m-%d %H:%M").to_string();
        let addresses = &tally.history.addresses;
        let user = |user: &str, attempts| User { user: owned(value(user)), attempts };
        let address = |ip: &str, attempts| Address { ip: owned(value(ip)), attempts };
        let country = |code: &str, attempts| Country { country_code: owned(value(code)), attempts };
        let previous = period.from.zip(period.to).map(|(from, to)| text(from - (to - from)));
        Self {
            v: mls_event::VERSION,
            r#type: "report",
            program: concat!("mls-report ", env!("CARGO_PKG_VERSION")),
            generated: about.generated,
            server: about.server,
            extraction_interval: about.interval,
            period: ReportPeriod {
                label: period.label.clone(),
                from: period.from.map(rfc3339),
                to: period.to.map(rfc3339),
                is_day: period.is_day(),
            },
            attempts: tally.attempts,
            previous_attempts: (tally.previous > 0 || reaches_back(previous))
                .then_some(tally.previous),
            logins: list(&names.logins, n, |key, attempts| {
                let [user, ip, hostname, country_code] = values(key).map(owned);
                Login { user, ip, hostname, country_code, attempts }
            }),
            users: list(&names.users, n, user),
            addresses: list(addresses, n, address),
            countries: list(&tally.countries, n, country),
            organisations: by_name(
                parts(&tally.systems, 1),
                tally.systems.is_exact(),
                n,
                |aso, attempts| Organisation { aso: owned(value(aso)), attempts },
            ),
            systems: by_name(
                parts(&tally.systems, 0),
                tally.systems.is_exact(),
                n,
                |asn, attempts| System {
                    asn: value(asn).and_then(|asn| asn.parse().ok()),
                    attempts,
                },
            ),
            networks: networks(addresses, n),
            failed_reverse_lookups: tally.failed_reverse_lookups,
            reverse_dns_failures: list(&tally.reverse_dns_failures, usize::MAX, |key, attempts| {
                Status { status: shown(key), attempts }
            }),
            hours: tally.hours,
            days: tally
                .history
                .by_day()
                .map(|(date, attempts)| DayCount {
                    date: date.to_owned(),
                    attempts,
                    inside: period.touches(date),
                })
                .collect(),
            slow_attackers: slow_attackers(tally, n),
            distributed_attacks: distributed_attacks(&names.logins, n),
            new: reaches_back(period.from.map(text)).then(|| New {
                addresses: ranking(
                    unseen(all(addresses), &tally.addresses_before),
                    addresses.is_exact(),
                    n,
                    address,
                ),
                users: ranking(
                    unseen(all(&names.users), &tally.users_before),
                    names.users.is_exact(),
                    n,
                    user,
                ),
                countries: ranking(
                    unseen(all(&tally.countries), &tally.countries_before),
                    tally.countries.is_exact(),
                    n,
                    country,
                ),
            }),
            csv: extent.csv.then_some(Csv {
                name: about.file_name,
                bytes: extent.bytes,
                rows: extent.rows,
            }),
            verdict: Verdict::new(&about.logins),
            successful_logins: about
                .logins
                .counts
                .map(|(logins, users)| SuccessfulLogins { logins, users }),
            suspicious_logins: about.logins.findings,
            notes: notes(tally, names),
        }
    }
}

fn rfc3339<S: Serializer>(at: &DateTime<FixedOffset>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Secs, false))
}

/// Text for people: no control character.
fn shown(text: &str) -> String {
    mls_event::clean(text.as_bytes()).into_owned()
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(shown)
}

fn all<V: Count>(counter: &Counter<V>) -> Vec<(&str, u64)> {
    counter.iter().collect()
}

fn list<V: Count, T>(counter: &Counter<V>, n: usize, item: impl Fn(&str, u64) -> T) -> List<T> {
    by_name(all(counter), counter.is_exact(), n, item)
}

/// A ranking in which what is not known counts for nothing of its own.
fn by_name<T>(
    items: Vec<(&str, u64)>,
    exact: bool,
    n: usize,
    item: impl Fn(&str, u64) -> T,
) -> List<T> {
    let distinct = items.iter().filter(|(key, _)| value(key).is_some()).count();
    List { distinct, ..ranking(items, exact, n, item) }
}

fn ranking<K: Ord, C: Ord, T>(
    items: Vec<(K, C)>,
    exact: bool,
    n: usize,
    item: impl Fn(K, C) -> T,
) -> List<T> {
    let distinct = items.len();
    List {
        distinct,
        exact,
        top: top(items, n).into_iter().map(|(key, count)| item(key, count)).collect(),
    }
}

/// Counts by one part of joined keys.
fn parts(counter: &Counter, part: usize) -> Vec<(&str, u64)> {
    let mut counts: HashMap<&str, u64, RandomState> = HashMap::default();
    for (key, n) in counter.iter() {
        *counts.entry(split(key)[part]).or_default() += n;
    }
    counts.into_iter().collect()
}

/// Those that do not stand in `before`.
fn unseen<'a>(mut items: Vec<(&'a str, u64)>, before: &Seen) -> Vec<(&'a str, u64)> {
    items.retain(|(key, _)| value(key).is_some_and(|name| !before.contains(name)));
    items
}

fn notes(tally: &Tally, names: &Names) -> Vec<String> {
    let short = [
        (names.logins.short(), "combinations of user and address"),
        (names.users.short(), "user names"),
        (tally.history.addresses.short(), "addresses"),
        (tally.countries.short(), "countries"),
        (tally.systems.short(), "autonomous systems"),
        (tally.reverse_dns_failures.short(), "reverse DNS statuses"),
    ];
    let short = short.iter().filter(|(short, _)| *short > 0).map(|(short, what)| {
        format!("There are more {what} than are counted apart: each count of one may be up to {short} too low.")
    });
    let full = [
        (tally.users_before.is_full(), "user names", "some that are called new may not be"),
        (tally.addresses_before.is_full(), "addresses", "some that are called new may not be"),
        (
            tally.history.addresses.has_overflowed(),
            "addresses in 30 days",
            "slow attackers may be missing",
        ),
    ];
    let full = full
        .iter()
        .filter(|(full, ..)| *full)
        .map(|(_, what, so)| format!("There are more {what} than are remembered: {so}."));
    short.chain(full).collect()
}

/// The network whose addresses one attacker is likely to hold.
fn network(ip: IpAddr) -> Option<IpNet> {
    Some(match ip {
        IpAddr::V4(ip) => Ipv4Net::new(ip, 24).ok()?.trunc().into(),
        IpAddr::V6(ip) => Ipv6Net::new(ip, 64).ok()?.trunc().into(),
    })
}

fn networks(addresses: &Counter<Past>, n: usize) -> List<Network> {
    // Sorted, they take a third of the memory of a hash map.
    let mut members: Vec<_> = (addresses.iter())
        .filter_map(|(ip, attempts)| Some((ip.parse().ok().and_then(network)?, attempts)))
        .collect();
    members.sort_unstable();
    let counts: Vec<_> = (members.chunk_by(|a, b| a.0 == b.0))
        .map(|of_one| {
            (of_one[0].0, (of_one.iter().map(|(_, attempts)| attempts).sum(), of_one.len() as u64))
        })
        .collect();
    drop(members);
    ranking(counts, addresses.is_exact(), n, |network, (attempts, addresses): (u64, u64)| Network {
        network,
        addresses,
        attempts,
    })
}

fn slow_attackers(tally: &Tally, n: usize) -> List<SlowAttacker> {
    let slow: Vec<_> = (tally.history.addresses.values())
        .filter(|(_, past)| past.days() >= MANY && past.attempts <= FEW * past.days())
        .map(|(ip, past)| (ip, (past.days(), past.attempts)))
        .collect();
    let exact = !tally.history.addresses.has_overflowed();
    ranking(slow, exact, n, |ip, (days, attempts)| SlowAttacker { ip: shown(ip), days, attempts })
}

fn distributed_attacks(logins: &Counter, n: usize) -> List<DistributedAttack> {
    // An address may have had several names, which is one address all the same.
    let mut pairs: HashSet<(&str, &str), RandomState> = HashSet::default();
    let mut users: HashMap<&str, (u64, u64), RandomState> = HashMap::default();
    for (key, attempts) in logins.iter() {
        if let [Some(user), Some(ip), ..] = values(key) {
            let (addresses, all) = users.entry(user).or_default();
            *addresses += u64::from(pairs.insert((user, ip)));
            *all += attempts;
        }
    }
    users.retain(|_, (addresses, _)| *addresses >= u64::from(MANY));
    ranking(users.into_iter().collect(), logins.is_exact(), n, |user, (addresses, attempts)| {
        DistributedAttack { user: shown(user), addresses, attempts }
    })
}
