//! Counts the networks that attack each user.

use crate::observation::{Name, Network, Seconds};
use crate::user::{User, Users};

/// The detector remembers at most this number of pairs (attacked user, attacking network).
pub const MAX_ATTACKS: usize = 131_072;

/// Largest number of attacking networks that are remembered for a user.
const MAX_ATTACKERS: usize = 512;

/// The windows in seconds (1, 3 and 7 days). A window counts the networks that failed in this time.
pub(crate) const WINDOWS: [Seconds; 3] = [86_400, 3 * 86_400, 7 * 86_400];

/// The networks of all users are counted again if the last count is older than this number of
/// seconds. A count for each login would take too long.
const RECOUNT: Seconds = 6 * 3600;

fn is_within(window: Seconds, last: Seconds, at: Seconds) -> bool {
    last.saturating_add(window) >= at
}

/// A network from which logins of a user failed; `last` is the time of the last failure.
#[derive(Clone, Copy, Debug)]
struct Attacker {
    network: Network,
    /// The autonomous system of the network; 0 if unknown.
    asn: u32,
    last: Seconds,
}

/// The networks that attacked a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attack {
    /// Sorted by `network`.
    attackers: Vec<Attacker>,
    /// How many networks each of the [`WINDOWS`] had at the last count of all users.
    counted: [u32; WINDOWS.len()],
}

impl Attack {
    /// Remembers a failure from `network`. Returns whether the list became longer.
    fn add(&mut self, network: Network, asn: Option<u32>, at: Seconds) -> bool {
        let mut place = match self.attackers.binary_search_by_key(&network, |known| known.network) {
            Ok(known) => {
                self.attackers[known].last = self.attackers[known].last.max(at);
                return false;
            }
            Err(place) => place,
        };
        let is_full = self.attackers.len() == MAX_ATTACKERS;
        if is_full {
            let oldest = (0..MAX_ATTACKERS).min_by_key(|i| self.attackers[*i].last).unwrap_or(0);
            self.attackers.remove(oldest);
            place -= usize::from(oldest < place);
        }
        self.attackers.insert(place, Attacker { network, asn: asn.unwrap_or_default(), last: at });
        !is_full
    }

    /// Returns the number of remembered networks, including networks that no window counts.
    pub(crate) fn len(&self) -> usize {
        self.attackers.len()
    }

    /// Returns the number of networks in each of the [`WINDOWS`]; the system `asn` does not count.
    pub(crate) fn networks(&self, at: Seconds, asn: Option<u32>) -> [u32; WINDOWS.len()] {
        let mut networks = [0; WINDOWS.len()];
        for attacker in self.attackers.iter().filter(|attacker| Some(attacker.asn) != asn) {
            for (count, window) in networks.iter_mut().zip(WINDOWS) {
                *count += u32::from(is_within(window, attacker.last, at));
            }
        }
        networks
    }

    /// Returns how many autonomous systems other than `asn` attacked in the longest window.
    pub(crate) fn systems(&self, at: Seconds, asn: Option<u32>) -> usize {
        let recent = self.attackers.iter().filter(|known| is_within(WINDOWS[2], known.last, at));
        let mut systems: Vec<u32> = recent.map(|attacker| attacker.asn).collect();
        systems.retain(|system| Some(*system) != asn);
        systems.sort_unstable();
        systems.dedup();
        systems.len()
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Attacks {
    /// The number of remembered pairs of user and network.
    pairs: usize,
    /// The time of the last count of all users, in units of [`RECOUNT`].
    time: Seconds,
    /// The number of failures since the last count of all users.
    failures: usize,
    /// For each of the [`WINDOWS`], how many networks attacked each user, sorted by this number.
    counts: [Vec<u32>; WINDOWS.len()],
}

impl Attacks {
    pub(crate) fn add(&mut self, user: &mut User, network: Network, asn: Option<u32>, at: Seconds) {
        self.failures += 1;
        self.pairs += usize::from(user.attack.add(network, asn, at));
    }

    /// If there are more than [`MAX_ATTACKS`] pairs, forgets the half that failed longest ago.
    pub(crate) fn limit(&mut self, users: &mut Users) {
        if self.pairs <= MAX_ATTACKS {
            return;
        }
        let attackers = users.values_mut().flat_map(|user| &user.attack.attackers);
        let mut times: Vec<Seconds> = attackers.map(|attacker| attacker.last).collect();
        let middle = times.len() / 2;
        let median = *times.select_nth_unstable(middle).1;
        self.pairs = 0;
        for user in users.values_mut() {
            let attackers = &mut user.attack.attackers;
            attackers.retain(|attacker| attacker.last > median);
            attackers.shrink_to_fit();
            self.pairs += attackers.len();
        }
    }

    /// Subtracts the pairs of a user whom the table of users has dropped.
    pub(crate) fn forget(&mut self, attack: &Attack) {
        self.pairs -= attack.len();
    }

    /// Returns whether at least 90 % of the other users have fewer than half of `count` attacking
    /// networks in `window`. If the last count of all users is older than [`RECOUNT`], or if more
    /// failures than users followed the last count, counts again.
    pub(crate) fn is_outlier(
        &mut self,
        users: &mut Users,
        name: Name,
        window: usize,
        count: u32,
        at: Seconds,
    ) -> bool {
        if at / RECOUNT > self.time || self.failures > self.counts[window].len() {
            (self.time, self.failures) = (at / RECOUNT, 0);
            self.recount(users, at);
        }
        let counts = &self.counts[window];
        let usual = count.saturating_sub(1) / 2;
        let above = counts.len() - counts.partition_point(|count| *count <= usual);
        let own = users.get(name).is_some_and(|user| user.attack.counted[window] > usual);
        above.saturating_sub(own.into()) <= counts.len().saturating_sub(1) / 10
    }

    fn recount(&mut self, users: &mut Users, at: Seconds) {
        self.counts.iter_mut().for_each(Vec::clear);
        for user in users.values_mut() {
            user.attack.counted = user.attack.networks(at, None);
            for (counts, count) in self.counts.iter_mut().zip(user.attack.counted) {
                counts.push(count);
            }
        }
        self.counts.iter_mut().for_each(|counts| counts.sort_unstable());
    }
}
