//! Offenders: addresses with alerts, and how long they are blocked.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;
use mls_config::config::Threshold;
use serde::{Deserialize, Serialize};

/// The largest number of offenders. If there are more, the offenders whose blocks end first are
/// forgotten.
const MAX_OFFENDERS: usize = 200_000;

static OVERFLOW_REPORTED: AtomicBool = AtomicBool::new(false);

/// The largest number of removals by hand. If there are more, the oldest are forgotten.
const MAX_REMOVALS: usize = 10_000;

/// The largest number of addresses with suspicious logins. Further addresses are ignored.
const MAX_SUSPECTS: usize = 10_000;

/// How long a login counts, in seconds: seven days.
pub(crate) const RECENT: i64 = 7 * 86400;

/// The data of an alert about an address. It contains no text of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offence {
    pub(crate) ip: IpAddr,
    /// Seconds since 1970, like all times here.
    pub(crate) at: i64,
    pub(crate) attempts: u64,
    pub(crate) threshold: Threshold,
}

/// The state of an address with alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offender {
    /// The number of blocks. An alert during a block does not begin a new block.
    pub(crate) offences: u32,
    /// The beginning and the end of the last block.
    pub(crate) since: i64,
    pub(crate) until: i64,
    /// The newest alert: its time, its number of attempts, and its threshold.
    pub(crate) alerted: i64,
    pub(crate) attempts: u64,
    #[serde(with = "as_text")]
    pub(crate) threshold: Threshold,
}

/// An address or a network that was unblocked by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removal {
    pub(crate) network: IpNet,
    /// Alerts up to this time do not block the network.
    pub(crate) at: i64,
}

/// How long offenders are blocked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockTime {
    /// The length of the first block, in seconds. Each further block is twice as long.
    pub(crate) first: u32,
    /// The longest block, in seconds. After a block, an offender is remembered for this time.
    pub(crate) longest: u32,
}

impl BlockTime {
    fn seconds(self, offences: u32) -> i64 {
        let doubled = 1u64.checked_shl(offences.saturating_sub(1)).unwrap_or(u64::MAX);
        let seconds = u64::from(self.first).saturating_mul(doubled);
        i64::from(u32::try_from(seconds).unwrap_or(u32::MAX).min(self.longest))
    }
}

/// All addresses that are blocked, or were blocked recently.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offenders {
    pub(crate) addresses: BTreeMap<IpAddr, Offender>,
    pub(crate) removals: Vec<Removal>,
    /// The addresses of suspicious logins (see [`household`]), with the time of the newest login.
    pub(crate) suspects: BTreeMap<IpAddr, i64>,
}

/// Returns an IPv4 address unchanged. Returns the first address of the /64 of an IPv6 address,
/// because devices often change their address within the /64.
pub(crate) fn household(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

impl Offenders {
    /// Adds an alert. Returns whether the alert changed anything. A known alert changes nothing, so
    /// the same alerts can be read again.
    pub(crate) fn offend(&mut self, offence: Offence, time: BlockTime) -> bool {
        let Offence { ip, at, attempts, threshold } = offence;
        if self.removal(ip.into()).is_some_and(|removal| at <= removal.at) {
            return false;
        }
        let known = self.addresses.get(&ip);
        if known.is_some_and(|known| at <= known.alerted) {
            return false;
        }
        let (offences, since) = match known {
            Some(known) if at <= known.until => (known.offences, known.since),
            Some(known) if at <= known.until + i64::from(time.longest) => {
                (known.offences.saturating_add(1), at)
            }
            _ => (1, at),
        };
        let until = at + time.seconds(offences);
        let until = known.map_or(until, |known| until.max(known.until));
        let alerted = at;
        self.addresses
            .insert(ip, Offender { offences, since, until, alerted, attempts, threshold });
        true
    }

    /// Adds a suspicious login from `ip` at `at`. Returns whether the login changed anything.
    pub(crate) fn suspect(&mut self, ip: IpAddr, at: i64) -> bool {
        let ip = household(ip);
        let known = self.suspects.get(&ip).copied();
        if known.is_some_and(|known| at <= known)
            || (known.is_none() && self.suspects.len() >= MAX_SUSPECTS)
        {
            return false;
        }
        self.suspects.insert(ip, at);
        true
    }

    /// Whether there was a suspicious login from `ip` in the seven days before `at`, or after `at`.
    pub(crate) fn is_suspect(&self, ip: IpAddr, at: i64) -> bool {
        self.suspects.get(&household(ip)).is_some_and(|suspected| at - RECENT < *suspected)
    }

    /// Unblocks all addresses in `network`; only alerts after `now` block them again. Returns how
    /// many addresses were blocked.
    pub(crate) fn remove(&mut self, network: IpNet, now: i64) -> usize {
        let mut blocked = 0;
        self.addresses.retain(|ip, offender| {
            let is_removed = network.contains(ip);
            blocked += usize::from(is_removed && offender.until > now);
            !is_removed
        });
        self.removals.retain(|removal| !network.contains(&removal.network));
        self.removals.push(Removal { network, at: now });
        blocked
    }

    /// The newest removal of `network`, or of a network that contains it.
    pub(crate) fn removal(&self, network: IpNet) -> Option<&Removal> {
        let covers = |removal: &&Removal| removal.network.contains(&network);
        self.removals.iter().filter(covers).max_by_key(|removal| removal.at)
    }

    /// Removes expired data. Returns whether there was expired data.
    pub(crate) fn forget(&mut self, now: i64, time: BlockTime) -> bool {
        let memory = i64::from(time.longest);
        let size = |this: &Self| (this.addresses.len(), this.removals.len(), this.suspects.len());
        let before = size(self);
        self.addresses.retain(|_, offender| offender.until + memory > now);
        // A removal suppresses older alerts. After the longest block time, these alerts block
        // nothing anyway, so the removal is no longer needed.
        self.removals.retain(|removal| removal.at + memory > now);
        self.suspects.retain(|_, at| *at + RECENT > now);
        let surplus = self.removals.len().saturating_sub(MAX_REMOVALS);
        self.removals.drain(..surplus);
        self.shrink_to(MAX_OFFENDERS);
        before != size(self)
    }

    fn shrink_to(&mut self, limit: usize) {
        if self.addresses.len() <= limit {
            return;
        }
        let mut ends: Vec<_> =
            self.addresses.iter().map(|(ip, o)| (Reverse(o.until), *ip)).collect();
        ends.select_nth_unstable(limit);
        for (_, ip) in &ends[limit..] {
            self.addresses.remove(ip);
        }
        if !OVERFLOW_REPORTED.swap(true, Ordering::Relaxed) {
            log::warn!(
                "more than {limit} addresses have alerts; mls-block forgets the addresses whose \
                blocks end first (this warning is printed once)"
            );
        }
    }
}

mod as_text {
    use super::Threshold;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        threshold: &Threshold,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(threshold)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Threshold, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: BlockTime = BlockTime { first: 3600, longest: 4 * 3600 };

    fn offence(ip: &str, at: i64) -> Offence {
        let threshold = Threshold { count: 20, seconds: 600 };
        Offence { ip: ip.parse().unwrap(), at, attempts: 20, threshold }
    }

    fn until(offenders: &Offenders, ip: &str) -> (u32, i64) {
        let offender = offenders.addresses[&ip.parse::<IpAddr>().unwrap()];
        (offender.offences, offender.until)
    }

    #[test]
    fn each_further_block_is_twice_as_long_up_to_the_limit() {
        let mut offenders = Offenders::default();
        let mut at = 1000;
        for (offences, hours) in [(1, 1), (2, 2), (3, 4), (4, 4), (5, 4)] {
            assert!(offenders.offend(offence("192.0.2.1", at), TIME));
            assert_eq!(until(&offenders, "192.0.2.1"), (offences, at + hours * 3600));
            at += hours * 3600 + 1;
        }
    }

    #[test]
    fn an_alert_during_a_block_prolongs_it_and_is_not_a_new_offence() {
        let mut offenders = Offenders::default();
        offenders.offend(offence("192.0.2.1", 0), TIME);
        assert!(offenders.offend(offence("192.0.2.1", 600), TIME));
        assert_eq!(until(&offenders, "192.0.2.1"), (1, 4200));
        assert_eq!(offenders.addresses.values().next().unwrap().since, 0);
    }

    #[test]
    fn the_same_alerts_change_nothing_a_second_time() {
        let alerts =
            [("192.0.2.1", 0), ("192.0.2.1", 600), ("192.0.2.1", 9000), ("2001:db8::1", 5)];
        let mut offenders = Offenders::default();
        for (ip, at) in alerts {
            offenders.offend(offence(ip, at), TIME);
        }
        let once = offenders.clone();
        for (ip, at) in alerts {
            assert!(!offenders.offend(offence(ip, at), TIME));
        }
        assert_eq!(offenders, once);
    }

    #[test]
    fn an_unblocked_address_is_blocked_again_only_by_new_alerts() {
        let mut offenders = Offenders::default();
        offenders.offend(offence("192.0.2.1", 0), TIME);
        assert_eq!(offenders.remove("192.0.2.0/24".parse().unwrap(), 100), 1);
        assert!(!offenders.offend(offence("192.0.2.1", 100), TIME));
        assert!(offenders.offend(offence("192.0.2.1", 101), TIME));
        assert_eq!(until(&offenders, "192.0.2.1"), (1, 3701));
    }

    #[test]
    fn an_address_without_alerts_for_a_long_time_is_forgotten() {
        let mut offenders = Offenders::default();
        offenders.offend(offence("192.0.2.1", 0), TIME);
        offenders.remove("198.51.100.1/32".parse().unwrap(), 0);
        assert!(!offenders.forget(4 * 3600 - 1, TIME));
        assert!(offenders.forget(5 * 3600, TIME));
        assert_eq!(offenders, Offenders::default());
    }

    #[test]
    fn above_the_limit_the_offenders_whose_blocks_end_last_are_kept() {
        let mut offenders = Offenders::default();
        for n in 0..100 {
            offenders.offend(offence(&format!("192.0.2.{n}"), i64::from(n * 7 % 100)), TIME);
        }
        offenders.shrink_to(10);
        assert_eq!(offenders.addresses.len(), 10);
        assert!(offenders.addresses.values().all(|offender| offender.since >= 90));
    }
}
