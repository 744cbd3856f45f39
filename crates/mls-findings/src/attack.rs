//! Counts the networks that attack each user.

use crate::observation::{Name, Network, Seconds};
use crate::user::{User, Users};

/// Largest number of remembered pairs of an attacked user and a network.
pub const MAX_ATTACKS: usize = 131_072;

/// Largest number of networks that are remembered for a user.
const MAX_ATTACKERS: usize = 512;

/// The lengths of the windows, in seconds. A network counts for this time after it last failed on a user.
pub(crate) const WINDOWS: [Seconds; 3] = [86_400, 3 * 86_400, 7 * 86_400];

/// The counts of all users are used for at most this number of seconds. Counting takes long, so it
/// is not done for each login.
const RECOUNT: Seconds = 6 * 3600;

/// Returns whether a network that last failed at `last` counts at `at`.
fn is_within(window: Seconds, last: Seconds, at: Seconds) -> bool {
    last.saturating_add(window) >= at
}

/// A network that failed on a user.
#[derive(Clone, Copy, Debug)]
struct Attacker {
    network: Network,
    /// 0 if it is unknown.
    asn: u32,
    last: Seconds,
}

/// The networks that failed on a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attack {
    /// In the order of their networks.
    attackers: Vec<Attacker>,
    /// The number of networks in each of the [`WINDOWS`] when all users were last counted.
    counted: [u32; WINDOWS.len()],
}

impl Attack {
    /// Remembers that a network failed. Returns whether one more network is remembered now.
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

    /// Returns the number of remembered networks, also of those outside all windows.
    pub(crate) fn len(&self) -> usize {
        self.attackers.len()
    }

    /// Returns the number of networks in each of the [`WINDOWS`], without those of the system `asn`.
    pub(crate) fn networks(&self, at: Seconds, asn: Option<u32>) -> [u32; WINDOWS.len()] {
        let mut networks = [0; WINDOWS.len()];
        for attacker in self.attackers.iter().filter(|attacker| Some(attacker.asn) != asn) {
            for (count, window) in networks.iter_mut().zip(WINDOWS) {
                *count += u32::from(is_within(window, attacker.last, at));
            }
        }
        networks
    }

    /// Returns the number of autonomous systems in the longest window, without `asn`.
    pub(crate) fn systems(&self, at: Seconds, asn: Option<u32>) -> usize {
        let recent = self.attackers.iter().filter(|known| is_within(WINDOWS[2], known.last, at));
        let mut systems: Vec<u32> = recent.map(|attacker| attacker.asn).collect();
        systems.retain(|system| Some(*system) != asn);
        systems.sort_unstable();
        systems.dedup();
        systems.len()
    }
}

/// The attacks on all users.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attacks {
    /// The number of remembered pairs of user and network.
    pairs: usize,
    /// When all users were last counted, in units of [`RECOUNT`].
    time: Seconds,
    /// The number of failures since then.
    failures: usize,
    /// For each of the [`WINDOWS`], the number of networks of each user, sorted.
    counts: [Vec<u32>; WINDOWS.len()],
}

impl Attacks {
    /// Remembers that a network failed on a user.
    pub(crate) fn add(&mut self, user: &mut User, network: Network, asn: Option<u32>, at: Seconds) {
        self.failures += 1;
        self.pairs += usize::from(user.attack.add(network, asn, at));
    }

    /// Forgets the pairs that were not seen for the longest time, if there are too many.
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

    /// Returns whether `count` is more than twice the number of attacking networks that 90 % of the
    /// other users have in `window`. Counts all users again after [`RECOUNT`], or if there were
    /// more failures than users since the last count.
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
