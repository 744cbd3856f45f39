//! The numbers of a report. `--format json` writes them as one line.
//!
//! The line is an object whose first two members are `"v":1,"type":"report"`. A new member may appear
//! within version 1. A member keeps its meaning as long as the version stays. What is unknown is
//! null. Times are RFC 3339.
//!
//! | member | meaning |
//! |---|---|
//! | `program` | name and version of the tool |
//! | `generated` | when the report was made |
//! | `server` | `name` and `address` of this machine |
//! | `title` | `--title`, or null |
//! | `extraction_interval` | `[systemd] extraction_schedule` |
//! | `period` | `label`; `from` and `to`, the minute after the last, null if it is open |
//! | `attempts` | failed logins in the period |
//! | `previous_attempts` | in the period of the same length before it; null if the data does not reach so far back |
//! | `usual_attempts` | median of the attempts a day in up to 28 days before the period; null if the data has fewer than 7 of these days |
//! | `total_attempts` | failed logins in all data that was read |
//! | `logins` | by `user`, `ip`, `hostname`, `country_code` |
//! | `users` `countries` `organisations` | by `user`, `country_code`, `aso` |
//! | `addresses` | by `ip`, with `country_code`, `asn` and `aso` |
//! | `systems` | by `asn`, with the most frequent `aso`; by `aso` if the number is unknown |
//! | `networks` | /24 and /64: `network`, `addresses` (how many of it tried), `attempts` |
//! | `failed_reverse_lookups` | attempts whose reverse lookup failed |
//! | `reverse_dns_failures` | by `status`, all of them |
//! | `hours` | 24 numbers: attempts by hour of the day |
//! | `weekday_hours` | 7 lists of 24 numbers: attempts by weekday, Monday first, and hour |
//! | `days` | the 30 days up to the last day of the period: `date`, `attempts` |
//! | `slow_attackers` | addresses of the period that tried on at least 5 of those 30 days, on average at most 10 times a day: `ip`, `days`, `attempts` on those days |
//! | `distributed_attacks` | users that at least 5 addresses tried: `user`, `addresses`, `attempts` |
//! | `new` | not in the data before the period: `addresses`, `users`, `countries`; null if the data does not reach further back |
//! | `csv` | `name`, `bytes` (decompressed), `rows` of the input; null if it is not CSV |
//! | `suspicious_logins` | ordered by `date`, one for each rule, user and day: `rule`, `user`, `ip`, `date`, `country_code`, `asn`, `aso`, `evidence` (mls-findings) |
//! | `suspicious_logins_complete` | false if there are more than the 10,000 that are listed |
//! | `successful_logins` | `logins` and `users` in the period; null if no logins were read |
//! | `notes` | sentences for people: why there is no attempt, or which counts are lower bounds |
//!
//! Members from `logins` to `distributed_attacks` that are not numbers, and those of `new`, are
//! lists: `distinct`, the number of different names; `exact`, false if the data has more names than
//! fit in memory, so that all numbers of the list are lower bounds; `unknown`, the attempts whose
//! name is not known; `top`, the most frequent names with their `attempts`. In `logins`, an attempt
//! without a user is unknown, except if no attempt of the period has a user.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use chrono::{DateTime, FixedOffset, NaiveDateTime, SecondsFormat, TimeDelta};
use foldhash::fast::RandomState;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mls_config::zone::Zone;
use mls_event::Finding;
use serde::{Serialize, Serializer};

use crate::counter::{Count, Counter, top};
use crate::history::{Origin, Past};
use crate::login_counter::Names;
use crate::period::Period;
use crate::seen::Seen;
use crate::suspicion::Logins;
use crate::tally::{Tally, value, values};
use crate::verdict::Verdict;
use crate::words::number;
use mls_attempts::ReadSummary;
use mls_machine::Machine;

/// Number of addresses from which an attack on one user is called distributed, and number of days
/// on which an attacker is called slow.
pub(crate) const MANY: u32 = 5;

/// Number of attempts a day that a slow attacker makes at most, on average of its days.
pub(crate) const FEW: u32 = 10;

/// Number of days that tell what is usual: at least, and at most.
const USUAL_DAYS: std::ops::RangeInclusive<usize> = 7..=28;

/// A whole report. The module documents the members.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    v: u64,
    r#type: &'static str,
    program: &'static str,
    #[serde(serialize_with = "rfc3339")]
    pub(crate) generated: DateTime<FixedOffset>,
    pub(crate) server: Machine,
    pub(crate) title: Option<String>,
    pub(crate) extraction_interval: Option<String>,
    pub(crate) period: ReportPeriod,
    pub(crate) attempts: u64,
    pub(crate) previous_attempts: Option<u64>,
    pub(crate) usual_attempts: Option<u64>,
    pub(crate) total_attempts: u64,
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
    pub(crate) weekday_hours: [[u64; 24]; 7],
    pub(crate) days: Vec<DayCount>,
    pub(crate) slow_attackers: List<SlowAttacker>,
    pub(crate) distributed_attacks: List<DistributedAttack>,
    pub(crate) new: Option<New>,
    pub(crate) csv: Option<Csv>,
    pub(crate) suspicious_logins: Vec<Finding<'static>>,
    pub(crate) suspicious_logins_complete: bool,
    pub(crate) successful_logins: Option<SuccessfulLogins>,
    pub(crate) notes: Vec<String>,
    /// The suspicious logins in words.
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
    /// Its length, up to now if it ends later; `None` if it is open.
    #[serde(skip)]
    pub(crate) length: Option<TimeDelta>,
    #[serde(skip)]
    pub(crate) is_day: bool,
}

/// The head of a ranking.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) distinct: usize,
    pub(crate) exact: bool,
    pub(crate) unknown: u64,
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
    pub(crate) user: String,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Address {
    pub(crate) ip: String,
    pub(crate) country_code: Option<String>,
    pub(crate) asn: Option<u32>,
    pub(crate) aso: Option<String>,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Country {
    pub(crate) country_code: String,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Organisation {
    pub(crate) aso: String,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct System {
    pub(crate) asn: Option<u32>,
    pub(crate) aso: Option<String>,
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

/// What a report says besides its numbers.
pub(crate) struct About<'a> {
    pub(crate) period: &'a Period,
    pub(crate) extent: &'a ReadSummary,
    /// Name of the input file without its directory.
    pub(crate) file_name: Option<String>,
    pub(crate) logins: Logins,
    pub(crate) server: Machine,
    pub(crate) title: Option<String>,
    pub(crate) interval: Option<String>,
    pub(crate) generated: DateTime<FixedOffset>,
    pub(crate) zone: Zone,
    pub(crate) top: usize,
}

impl Report {
    /// The report of what was counted.
    pub(crate) fn new(tally: &Tally, names: &Names, about: About<'_>) -> Self {
        let About { period, extent, top: n, .. } = about;
        let text = |at: NaiveDateTime| at.format("%Y-%m-%d %H:%M").to_string();
        let previous = period.from.zip(period.to).map(|(from, to)| text(from - (to - from)));
        let has_previous = tally.previous > 0 || tally.reaches_back(previous.as_deref());
        let days: Vec<_> = (tally.history.by_day())
            .map(|(date, attempts)| DayCount {
                date: date.to_owned(),
                attempts,
                inside: period.touches(date),
            })
            .collect();
        Self {
            v: mls_event::VERSION,
            r#type: "report",
            program: concat!("mls-report ", env!("CARGO_PKG_VERSION")),
            generated: about.generated,
            server: about.server,
            title: about.title,
            extraction_interval: about.interval,
            period: ReportPeriod::new(period, about.zone, about.generated),
            attempts: tally.attempts,
            previous_attempts: has_previous.then_some(tally.previous),
            usual_attempts: usual(&days, period, tally),
            total_attempts: tally.total,
            logins: logins(names, n),
            users: list(&names.users, n, user),
            addresses: addresses(tally, n),
            countries: list(&tally.countries, n, country),
            organisations: organisations(&tally.systems, n),
            systems: systems(&tally.systems, n),
            networks: networks(&tally.history.addresses, n),
            failed_reverse_lookups: tally.failed_reverse_lookups,
            reverse_dns_failures: list(&tally.reverse_dns_failures, usize::MAX, |key, attempts| {
                Status { status: shown(key), attempts }
            }),
            hours: tally.hours,
            weekday_hours: tally.weekday_hours,
            days,
            slow_attackers: slow_attackers(tally, n),
            distributed_attacks: distributed_attacks(&names.logins, n),
            new: tally.reaches_back(period.from.map(text).as_deref()).then(|| New {
                addresses: new_addresses(tally, n),
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
            suspicious_logins_complete: !about.logins.is_full,
            suspicious_logins: about.logins.findings,
            notes: notes(tally, names),
        }
    }

    /// What the report is about: the title, or this machine.
    pub(crate) fn name(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.server.name)
    }

    /// The address of this machine, unless the report has a title.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.server.address.filter(|_| self.title.is_none())
    }
}

impl ReportPeriod {
    fn new(period: &Period, zone: Zone, now: DateTime<FixedOffset>) -> Self {
        let rfc3339 = |naive| zone.read(naive).to_rfc3339_opts(SecondsFormat::Secs, false);
        let end = period.to.map(|to| to.min(now.naive_local()));
        Self {
            label: period.label.clone(),
            from: period.from.map(rfc3339),
            to: period.to.map(rfc3339),
            length: period.from.zip(end).map(|(from, end)| end - from),
            is_day: period.is_day(),
        }
    }
}

/// The median of the attempts a day before the period, of the days that the data has in full.
fn usual(days: &[DayCount], period: &Period, tally: &Tally) -> Option<u64> {
    let first = &tally.extent.as_ref()?.0[..10];
    let from = period.from?.date().to_string();
    let before = days.iter().filter(|day| day.date.as_str() > first && day.date < from);
    let mut counts: Vec<_> = before.rev().take(*USUAL_DAYS.end()).map(|day| day.attempts).collect();
    counts.sort_unstable();
    (counts.len() >= *USUAL_DAYS.start()).then(|| counts[counts.len() / 2])
}

fn user(user: &str, attempts: u64) -> User {
    User { user: shown(user), attempts }
}

fn country(code: &str, attempts: u64) -> Country {
    Country { country_code: shown(code), attempts }
}

/// Attempts without a user name are rows only if no name is known at all: the other lists have
/// their addresses.
fn logins(names: &Names, n: usize) -> List<Login> {
    let has_users = names.users.iter().any(|(user, _)| value(user).is_some());
    let is_known = |key: &str| match values(key) {
        [Some(_), ..] => true,
        [None, ip, ..] => !has_users && ip.is_some(),
    };
    let (known, unknown): (Vec<_>, Vec<_>) =
        names.logins.iter().partition(|(key, _)| is_known(key));
    let list = ranking(known, names.logins.is_exact(), n, |key, attempts| {
        let [user, ip, hostname, country_code] = values(key).map(owned);
        Login { user, ip, hostname, country_code, attempts }
    });
    List { unknown: unknown.iter().map(|(_, n)| n).sum(), ..list }
}

fn addresses(tally: &Tally, n: usize) -> List<Address> {
    let list = ranking(by_address(tally), tally.history.addresses.is_exact(), n, |ip, count| {
        address(tally, ip, count)
    });
    let known: u64 = tally.history.addresses.iter().map(|(_, n)| n).sum();
    let unknown = if list.exact { tally.attempts.saturating_sub(known) } else { 0 };
    List { unknown, ..list }
}

fn new_addresses(tally: &Tally, n: usize) -> List<Address> {
    let mut items = by_address(tally);
    items.retain(|(ip, _)| !tally.addresses_before.contains(ip));
    ranking(items, tally.history.addresses.is_exact(), n, |ip, count| address(tally, ip, count))
}

/// Addresses and their attempts in the period.
fn by_address(tally: &Tally) -> Vec<(&str, u64)> {
    tally.history.addresses.iter().collect()
}

fn address(tally: &Tally, ip: &str, attempts: u64) -> Address {
    let Origin { country_code, asn, aso } = tally.history.origin(ip);
    let asn = asn.and_then(|asn| asn.parse().ok());
    Address { ip: shown(ip), country_code: owned(country_code), asn, aso: owned(aso), attempts }
}

fn organisations(systems: &Counter, n: usize) -> List<Organisation> {
    let mut counts: HashMap<Option<&str>, u64, RandomState> = HashMap::default();
    for (key, attempts) in systems.iter() {
        *counts.entry(values(key)[1]).or_default() += attempts;
    }
    let unknown = counts.remove(&None).unwrap_or_default();
    let known = counts.into_iter().filter_map(|(aso, attempts)| Some((aso?, attempts)));
    let list = ranking(known.collect(), systems.is_exact(), n, |aso, attempts| Organisation {
        aso: shown(aso),
        attempts,
    });
    List { unknown, ..list }
}

/// By number, and by organisation if there is no number. The most frequent organisation of a number
/// gives it its name.
fn systems(systems: &Counter, n: usize) -> List<System> {
    type Name<'a> = (Option<u32>, Option<&'a str>);
    let mut counts: HashMap<Name<'_>, (u64, u64, Option<&str>), RandomState> = HashMap::default();
    for (key, attempts) in systems.iter() {
        let [asn, aso, ..] = values(key);
        let asn = asn.and_then(|asn| asn.parse().ok());
        let name = (asn, if asn.is_some() { None } else { aso });
        let (all, most, name) = counts.entry(name).or_default();
        *all += attempts;
        if (attempts, aso) > (*most, *name) {
            (*most, *name) = (attempts, aso);
        }
    }
    let unknown = counts.remove(&(None, None)).map_or(0, |(all, ..)| all);
    let known = counts.into_iter().map(|((asn, _), (all, _, aso))| ((asn, aso), all));
    let list = ranking(known.collect(), systems.is_exact(), n, |(asn, aso), attempts| System {
        asn,
        aso: owned(aso),
        attempts,
    });
    List { unknown, ..list }
}

fn rfc3339<S: Serializer>(at: &DateTime<FixedOffset>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Secs, false))
}

/// Text without control characters.
fn shown(text: &str) -> String {
    mls_event::clean(text.as_bytes()).into_owned()
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(shown)
}

fn all<V: Count>(counter: &Counter<V>) -> Vec<(&str, u64)> {
    counter.iter().collect()
}

/// A ranking of known names; the unknown is counted apart.
fn list<T>(counter: &Counter, n: usize, item: impl Fn(&str, u64) -> T) -> List<T> {
    let (known, unknown): (Vec<_>, Vec<_>) =
        counter.iter().partition(|(key, _)| value(key).is_some());
    let unknown = unknown.iter().map(|(_, n)| n).sum();
    List { unknown, ..ranking(known, counter.is_exact(), n, item) }
}

fn ranking<K: Ord, C: Ord, T>(
    items: Vec<(K, C)>,
    exact: bool,
    n: usize,
    item: impl Fn(K, C) -> T,
) -> List<T> {
    let distinct = items.len();
    let top = top(items, n).into_iter().map(|(key, count)| item(key, count)).collect();
    List { distinct, exact, unknown: 0, top }
}

/// The known names that are not in `before`.
fn unseen<'a>(mut items: Vec<(&'a str, u64)>, before: &Seen) -> Vec<(&'a str, u64)> {
    items.retain(|(key, _)| value(key).is_some_and(|name| !before.contains(name)));
    items
}

fn notes(tally: &Tally, names: &Names) -> Vec<String> {
    let empty = match &tally.extent {
        _ if tally.attempts > 0 => None,
        None => Some("The input has no failed login at all.".to_owned()),
        Some((first, last)) => Some(format!(
            "The input has {} from {first} to {last}, none in this period.",
            number(tally.total, "failed login", "failed logins")
        )),
    };
    let short = [
        (names.logins.short(), "combinations of user and address"),
        (names.users.short(), "user names"),
        (tally.history.addresses.short(), "addresses"),
        (tally.countries.short(), "countries"),
        (tally.systems.short(), "autonomous systems"),
        (tally.reverse_dns_failures.short(), "reverse DNS statuses"),
    ];
    let short = short.iter().filter(|(short, _)| *short > 0).map(|(short, what)| {
        format!(
            "There are more {what} than fit in memory: each count may be up to {short} too low."
        )
    });
    let full = [
        (tally.users_before.is_full(), "user names", "some that are called new may be old"),
        (tally.addresses_before.is_full(), "addresses", "some that are called new may be old"),
        (
            tally.history.addresses.has_overflowed(),
            "addresses in 30 days",
            "slow attackers may be missing",
        ),
    ];
    let errors = (tally.errors > 0).then(|| {
        let logins = if tally.errors == 1 { "login" } else { "logins" };
        format!(
            "{} {logins} could not be checked because the authentication service failed.",
            tally.errors
        )
    });
    let full = full
        .iter()
        .filter(|(full, ..)| *full)
        .map(|(_, what, so)| format!("There are more {what} than fit in memory: {so}."));
    empty.into_iter().chain(errors).chain(short).chain(full).collect()
}

/// The network whose addresses one attacker probably holds.
fn network(ip: IpAddr) -> Option<IpNet> {
    Some(match ip {
        IpAddr::V4(ip) => Ipv4Net::new(ip, 24).ok()?.trunc().into(),
        IpAddr::V6(ip) => Ipv6Net::new(ip, 64).ok()?.trunc().into(),
    })
}

fn networks(addresses: &Counter<Past>, n: usize) -> List<Network> {
    // A sorted list takes a third of the memory of a hash map.
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
    // An address with several host names counts once.
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
