//! Makes the lists of a report: the most frequent names of each kind, with the number of attempts.
//! `n` is the number of names in a list.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use foldhash::fast::RandomState;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::counter::{Counter, top};
use crate::history::{Origin, Past};
use crate::login_counter::Names;
use crate::report::{
    Address, Country, DistributedAttack, FEW, List, Login, MANY, Network, New, Organisation,
    SlowAttacker, Status, System, User,
};
use crate::seen::Seen;
use crate::tally::{Tally, value, values};

pub(crate) fn users(users: &Counter, n: usize) -> List<User> {
    list(users, n, user)
}

fn user(user: &str, attempts: u64) -> User {
    User { user: shown(user), attempts }
}

pub(crate) fn countries(countries: &Counter, n: usize) -> List<Country> {
    list(countries, n, country)
}

fn country(code: &str, attempts: u64) -> Country {
    Country { country_code: shown(code), attempts }
}

pub(crate) fn reverse_dns_failures(failures: &Counter) -> List<Status> {
    list(failures, usize::MAX, |status, attempts| Status { status: shown(status), attempts })
}

/// Returns what the period has and the data before it has not.
pub(crate) fn new(tally: &Tally, names: &Names, n: usize) -> New {
    New {
        addresses: new_addresses(tally, n),
        users: unseen(&names.users, &tally.users_before, n, user),
        countries: unseen(&tally.countries, &tally.countries_before, n, country),
    }
}

/// Attempts without a user name are in this list only if no attempt has one: their addresses are in
/// other lists.
pub(crate) fn logins(names: &Names, n: usize) -> List<Login> {
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

pub(crate) fn addresses(tally: &Tally, n: usize) -> List<Address> {
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

/// Returns the addresses and their attempts in the period.
fn by_address(tally: &Tally) -> Vec<(&str, u64)> {
    tally.history.addresses.iter().collect()
}

fn address(tally: &Tally, ip: &str, attempts: u64) -> Address {
    let Origin { country_code, asn, aso } = tally.history.origin(ip);
    let asn = asn.and_then(|asn| asn.parse().ok());
    Address { ip: shown(ip), country_code: owned(country_code), asn, aso: owned(aso), attempts }
}

pub(crate) fn organisations(systems: &Counter, n: usize) -> List<Organisation> {
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

/// Counts by number, and by organisation if there is no number. A number gets the name of its most
/// frequent organisation.
pub(crate) fn systems(systems: &Counter, n: usize) -> List<System> {
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

/// Returns the text without control characters.
fn shown(text: &str) -> String {
    mls_event::clean(text.as_bytes()).into_owned()
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(shown)
}

/// Ranks the known names. Attempts without a name are counted as unknown.
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

/// Returns the ranking of the known names that are not in `before`.
fn unseen<T>(counter: &Counter, before: &Seen, n: usize, item: impl Fn(&str, u64) -> T) -> List<T> {
    let is_new = |key| value(key).is_some_and(|name| !before.contains(name));
    let new = counter.iter().filter(|(key, _)| is_new(key)).collect();
    ranking(new, counter.is_exact(), n, item)
}

/// Returns the network of an address. One attacker probably holds all addresses of it.
fn network(ip: IpAddr) -> Option<IpNet> {
    Some(match ip {
        IpAddr::V4(ip) => Ipv4Net::new(ip, 24).ok()?.trunc().into(),
        IpAddr::V6(ip) => Ipv6Net::new(ip, 64).ok()?.trunc().into(),
    })
}

pub(crate) fn networks(addresses: &Counter<Past>, n: usize) -> List<Network> {
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

pub(crate) fn slow_attackers(tally: &Tally, n: usize) -> List<SlowAttacker> {
    let slow: Vec<_> = (tally.history.addresses.values())
        .filter(|(_, past)| past.days() >= MANY && past.attempts <= FEW * past.days())
        .map(|(ip, past)| (ip, (past.days(), past.attempts)))
        .collect();
    let exact = !tally.history.addresses.has_overflowed();
    ranking(slow, exact, n, |ip, (days, attempts)| SlowAttacker { ip: shown(ip), days, attempts })
}

pub(crate) fn distributed_attacks(logins: &Counter, n: usize) -> List<DistributedAttack> {
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
