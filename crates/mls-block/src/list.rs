//! The block list, computed from the offenders and the allow list at a given time.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use mls_diag::count;

use crate::allow::Allow;
use crate::offender::{Offender, Offenders};

/// Prefix lengths of the networks that are listed instead of their addresses.
const NETWORK_V4: u8 = 24;
const NETWORK_V6: u8 = 64;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_entries: usize,
    /// A network is listed if at least this number of its addresses are blocked; 0 means never.
    pub(crate) network_from: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListEntry {
    pub(crate) network: IpNet,
    pub(crate) since: i64,
    pub(crate) until: i64,
    pub(crate) cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The attempts of an address.
    Offender(Offender),
    /// The number of blocked addresses in a network.
    Addresses(usize),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(n) => {
                let addresses =
                    count(*n as u64, "address in this network is", "addresses in this network are");
                write!(f, "{addresses} blocked")
            }
            Self::Offender(offender) => {
                let attempts = count(offender.attempts, "failed login", "failed logins");
                write!(f, "{attempts} ({})", offender.threshold)
            }
        }
    }
}

/// The list, in the order of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockList {
    pub(crate) entries: Vec<ListEntry>,
    /// The number of entries that were omitted because of the limit.
    pub(crate) omitted: usize,
}

impl BlockList {
    pub(crate) fn new(offenders: &Offenders, allow: &Allow, limits: Limits, now: i64) -> Self {
        let blocked: Vec<_> = offenders
            .addresses
            .iter()
            .filter(|(_, offender)| offender.until > now)
            .filter(|(ip, offender)| allow.reason(**ip, offender, offenders).is_none())
            .map(|(ip, offender)| (*ip, *offender))
            .collect();
        let mut entries = Vec::new();
        // The addresses are sorted, so the addresses of one network are adjacent.
        for group in blocked.chunk_by(|(a, _), (b, _)| network_of(*a) == network_of(*b)) {
            let network = network_of(group[0].0);
            let is_enough = limits.network_from > 0 && group.len() >= limits.network_from;
            if is_enough && allow.is_free(network) && !has_removal(offenders, network) {
                entries.push(ListEntry::of_network(network, group, limits.network_from));
            } else {
                entries.extend(
                    group.iter().map(|(ip, offender)| ListEntry::of_address(*ip, *offender)),
                );
            }
        }
        let omitted = entries.len().saturating_sub(limits.max_entries);
        if omitted > 0 {
            entries.sort_unstable_by_key(|entry| (Reverse(entry.until), entry.network));
            entries.truncate(limits.max_entries);
            entries.sort_unstable_by_key(|entry| entry.network);
        }
        Self { entries, omitted }
    }

    pub(crate) fn find(&self, ip: IpAddr) -> Option<&ListEntry> {
        self.entries.iter().find(|entry| entry.network.contains(&ip))
    }

    /// The time when the next entry ends.
    pub(crate) fn next_end(&self) -> Option<i64> {
        self.entries.iter().map(|entry| entry.until).min()
    }
}

impl ListEntry {
    fn of_address(ip: IpAddr, offender: Offender) -> Self {
        let Offender { since, until, .. } = offender;
        Self { network: ip.into(), since, until, cause: Cause::Offender(offender) }
    }

    /// The entry of `network`. It ends when fewer than `enough` of the addresses are blocked.
    fn of_network(network: IpNet, group: &[(IpAddr, Offender)], enough: usize) -> Self {
        let mut ends: Vec<_> = group.iter().map(|(_, offender)| offender.until).collect();
        ends.sort_unstable_by_key(|until| Reverse(*until));
        Self {
            network,
            since: group.iter().map(|(_, offender)| offender.since).min().unwrap_or_default(),
            until: ends[enough - 1],
            cause: Cause::Addresses(group.len()),
        }
    }
}

/// Whether an address in `network` was unblocked by hand. If so, the network is not listed.
fn has_removal(offenders: &Offenders, network: IpNet) -> bool {
    let overlaps = |removed: IpNet| network.contains(&removed) || removed.contains(&network);
    offenders.removals.iter().any(|removal| overlaps(removal.network))
}

fn network_of(ip: IpAddr) -> IpNet {
    let length = if ip.is_ipv4() { NETWORK_V4 } else { NETWORK_V6 };
    // Cannot fail: both prefix lengths are valid.
    IpNet::new(ip, length).unwrap_or_else(|_| ip.into()).trunc()
}

#[cfg(test)]
mod tests {
    use mls_config::config::Threshold;
    use proptest::prelude::*;

    use super::*;
    use crate::logins::RecentLogins;
    use crate::offender::{BlockTime, Offence};

    const TIME: BlockTime = BlockTime { first: 100, longest: 800 };
    const LIMITS: Limits = Limits { max_entries: 1000, network_from: 3 };

    fn offenders(alerts: &[(&str, i64)]) -> Offenders {
        let mut offenders = Offenders::default();
        for (ip, at) in alerts {
            let threshold = Threshold { count: 20, seconds: 600 };
            let ip = ip.parse().unwrap();
            offenders.offend(Offence { ip, at: *at, attempts: 20, threshold }, TIME);
        }
        offenders
    }

    fn allow(networks: &[&str]) -> Allow {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        Allow { networks, logins: RecentLogins::default() }
    }

    fn listed(offenders: &Offenders, allow: &Allow, now: i64) -> Vec<String> {
        let list = BlockList::new(offenders, allow, LIMITS, now);
        list.entries.iter().map(|entry| format!("{} {}", entry.network, entry.until)).collect()
    }

    const FOUR: [(&str, i64); 4] =
        [("192.0.2.1", 0), ("192.0.2.9", 10), ("192.0.2.200", 20), ("192.0.3.1", 0)];

    #[test]
    fn a_network_is_listed_instead_of_its_addresses_until_too_few_of_them_are_blocked() {
        let offenders = offenders(&FOUR);
        assert_eq!(listed(&offenders, &allow(&[]), 50), ["192.0.2.0/24 100", "192.0.3.1/32 100"]);
        assert_eq!(
            listed(&offenders, &allow(&[]), 100),
            ["192.0.2.9/32 110", "192.0.2.200/32 120"]
        );
        assert_eq!(listed(&offenders, &allow(&[]), 120), [""; 0]);
    }

    #[test]
    fn ipv6_addresses_are_grouped_by_64() {
        let offenders = offenders(&[
            ("2001:db8::1", 0),
            ("2001:db8::ffff:0:0:2", 0),
            ("2001:db8::3", 0),
            ("2001:db8:0:1::1", 0),
        ]);
        assert_eq!(
            listed(&offenders, &allow(&[]), 1),
            ["2001:db8::/64 100", "2001:db8:0:1::1/128 100"]
        );
    }

    #[test]
    fn a_network_with_an_allowed_or_unblocked_address_is_not_listed_as_a_whole() {
        let mut offenders = offenders(&FOUR);
        let single =
            ["192.0.2.1/32 100", "192.0.2.9/32 110", "192.0.2.200/32 120", "192.0.3.1/32 100"];
        assert_eq!(listed(&offenders, &allow(&["192.0.2.77/32"]), 50), single);
        offenders.remove("192.0.2.78/32".parse().unwrap(), 50);
        assert_eq!(listed(&offenders, &allow(&[]), 50), single);
    }

    #[test]
    fn a_list_above_the_limit_keeps_the_entries_that_end_last() {
        let offenders = offenders(&[("192.0.2.1", 30), ("192.0.3.1", 10), ("192.0.4.1", 20)]);
        let limits = Limits { max_entries: 2, network_from: 0 };
        let list = BlockList::new(&offenders, &allow(&[]), limits, 50);
        let networks: Vec<_> = list.entries.iter().map(|entry| entry.network.to_string()).collect();
        assert_eq!(
            (networks, list.omitted),
            (vec!["192.0.2.1/32".into(), "192.0.4.1/32".into()], 1)
        );
    }

    proptest! {
        /// For all offenders: no entry is wider than a /24 or a /64. The list has every offender
        /// that is not allowed. Entries do not overlap. The order of alerts about different
        /// addresses does not matter.
        #[test]
        fn a_list_has_each_blocked_address_once_and_no_allowed_one(alerts in proptest::collection::vec((0u8..4, 0u8..12, 0i64..300), 0..80), now in 0i64..500) {
            let texts: Vec<_> = alerts.iter().map(|(net, host, at)| {
                let ip = if net % 2 == 0 { format!("192.0.{net}.{host}") } else { format!("2001:db8:{net}::{host:x}") };
                (ip, *at)
            }).collect();
            let mut sorted: Vec<_> = texts.iter().map(|(ip, at)| (ip.as_str(), *at)).collect();
            sorted.sort_by_key(|(_, at)| *at);
            let offenders = offenders(&sorted);
            sorted.sort_by_key(|(ip, _)| *ip);
            prop_assert_eq!(&offenders, &self::offenders(&sorted));
            let allow = allow(&["192.0.2.3/32"]);
            let list = BlockList::new(&offenders, &allow, LIMITS, now);
            for (n, entry) in list.entries.iter().enumerate() {
                let shortest = if entry.network.addr().is_ipv4() { 24 } else { 64 };
                prop_assert!(entry.network.prefix_len() >= shortest);
                prop_assert!(entry.until > now);
                prop_assert!(!entry.network.contains(&"192.0.2.3".parse::<IpAddr>().unwrap()));
                prop_assert!(list.entries[..n].iter().all(|other| !other.network.contains(&entry.network)));
            }
            for (ip, offender) in &offenders.addresses {
                let is_allowed = *ip == "192.0.2.3".parse::<IpAddr>().unwrap();
                prop_assert_eq!(list.find(*ip).is_some() , (offender.until > now && !is_allowed)
                    || list.entries.iter().any(|e| matches!(e.cause, Cause::Addresses(_)) && e.network.contains(ip)));
            }
        }
    }
}
