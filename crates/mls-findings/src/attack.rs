//! Counts the networks that attack each user.

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use crate::observation::{Name, Network, Seconds};
use crate::user::Users;

/// Largest number of remembered pairs of an attacked user and a network.
pub const MAX_ATTACKS: usize = 131_072;

/// The lengths of the short and of the long window, in seconds. A network counts for this time after it
/// failed on a user.
pub(crate) const WINDOWS: [Seconds; 2] = [3 * 86_400, 7 * 86_400];

/// Largest number of networks of a user in comparisons; larger numbers count as this one.
const MAX_COUNT: usize = 1023;

/// Largest number of autonomous systems that are counted for a user. Further ones count as one.
const MAX_SYSTEMS: usize = 32;

/// The networks that failed on a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attack {
    /// Number of networks in each of the [`WINDOWS`].
    networks: [u32; 2],
    /// Autonomous systems and the number of their networks in the long window.
    systems: Vec<(u32, u32)>,
}

impl Attack {
    fn add(&mut self, asn: u32) {
        self.networks = self.networks.map(|n| n + 1);
        let full = self.systems.len() == MAX_SYSTEMS;
        let place = self.systems.iter().position(|(known, _)| *known == asn);
        match place.or(full.then_some(MAX_SYSTEMS - 1)) {
            Some(place) => self.systems[place].1 += 1,
            None => self.systems.push((asn, 1)),
        }
    }

    fn remove(&mut self, window: usize, asn: u32) {
        self.networks[window] = self.networks[window].saturating_sub(1);
        if window == 1 {
            let place = self.systems.iter().position(|(known, _)| *known == asn);
            if let Some(place) = place.or(self.systems.len().checked_sub(1)) {
                self.systems[place].1 = self.systems[place].1.saturating_sub(1);
                if self.systems[place].1 == 0 {
                    self.systems.swap_remove(place);
                }
            }
        }
    }

    /// Returns the number of networks in each window.
    pub(crate) fn networks(&self) -> [u32; 2] {
        self.networks
    }

    /// Returns the number of networks in each window, and of autonomous systems, without those of `asn`.
    pub(crate) fn without(&self, asn: Option<u32>) -> ([u32; 2], usize) {
        let own = self.systems.iter().find(|(known, _)| Some(*known) == asn);
        let own = own.map_or(0, |(_, count)| *count);
        let networks = self.networks.map(|n| n.saturating_sub(own));
        (networks, self.systems.iter().filter(|(known, _)| Some(*known) != asn).count())
    }
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    name: Name,
    network: Network,
    asn: u32,
    at: Seconds,
}

/// The pairs of attacked user and network of the last days, and the distribution of attacks over users.
#[derive(Clone)]
pub(crate) struct Attacks {
    /// The pairs in order of arrival. Those before index `long` have left the short window.
    pairs: VecDeque<Pair>,
    long: usize,
    known: HashSet<(Name, Network), RandomState>,
    /// `users[window][n]` is the number of users whom `n` networks attacked in this window.
    users: [Vec<u32>; 2],
    /// The number of attacked users in each window.
    attacked: [u32; 2],
}

impl Attacks {
    pub(crate) fn new() -> Self {
        Self {
            pairs: VecDeque::new(),
            long: 0,
            known: HashSet::default(),
            users: [vec![0; MAX_COUNT + 1], vec![0; MAX_COUNT + 1]],
            attacked: [0; 2],
        }
    }

    /// Remembers that `network` failed on the user `name`, who must be known.
    pub(crate) fn add(
        &mut self,
        users: &mut Users,
        name: Name,
        network: Network,
        asn: Option<u32>,
        at: Seconds,
    ) {
        if !self.known.insert((name, network)) {
            return;
        }
        let asn = asn.unwrap_or_default();
        self.pairs.push_back(Pair { name, network, asn, at });
        if let Some(user) = users.get_mut(name) {
            let before = user.attack.networks;
            user.attack.add(asn);
            self.moved(before, user.attack.networks);
        }
        if self.pairs.len() > MAX_ATTACKS {
            self.leave_short(users, 1);
            self.leave_long(users);
        }
    }

    /// Removes pairs that have left the windows.
    pub(crate) fn expire(&mut self, users: &mut Users, now: Seconds) {
        let has_left = |pair: &Pair, window: usize| now.saturating_sub(WINDOWS[window]) > pair.at;
        while self.pairs.get(self.long).is_some_and(|pair| has_left(pair, 0)) {
            self.leave_short(users, self.long + 1);
        }
        while self.pairs.front().is_some_and(|pair| has_left(pair, 1)) {
            self.leave_long(users);
        }
    }

    /// Removes the oldest pairs from the short window, until `count` are removed.
    fn leave_short(&mut self, users: &mut Users, count: usize) {
        while self.long < count {
            let pair = self.pairs[self.long];
            self.long += 1;
            self.subtract(users, pair, 0);
        }
    }

    fn leave_long(&mut self, users: &mut Users) {
        if let Some(pair) = self.pairs.pop_front() {
            self.long -= 1;
            self.known.remove(&(pair.name, pair.network));
            self.subtract(users, pair, 1);
        }
    }

    fn subtract(&mut self, users: &mut Users, pair: Pair, window: usize) {
        if let Some(user) = users.get_mut(pair.name) {
            let before = user.attack.networks;
            user.attack.remove(window, pair.asn);
            self.moved(before, user.attack.networks);
        }
    }

    /// Removes a forgotten user from the distribution.
    pub(crate) fn forget(&mut self, attack: &Attack) {
        self.moved(attack.networks, [0, 0]);
    }

    fn moved(&mut self, before: [u32; 2], after: [u32; 2]) {
        for (window, counts) in self.users.iter_mut().enumerate() {
            if before[window] != after[window] {
                let slot = |count: u32| (count as usize).min(MAX_COUNT);
                // Users without an attack are not counted here.
                if before[window] > 0 {
                    counts[slot(before[window])] -= 1;
                    self.attacked[window] -= 1;
                }
                if after[window] > 0 {
                    counts[slot(after[window])] += 1;
                    self.attacked[window] += 1;
                }
            }
        }
    }

    /// Returns whether `count` networks in `window` are far more than nine of ten other users have: twice
    /// as many, or half more and at least nine more. `attack` belongs to the user in question, and
    /// `users` is the number of all users.
    pub(crate) fn is_outlier(
        &self,
        attack: &Attack,
        window: usize,
        count: u32,
        users: usize,
    ) -> bool {
        let count = count as usize;
        // The largest number of networks that `count` still exceeds by far.
        let usual = (count.saturating_sub(1) / 2).max(count.saturating_sub(9).min(count * 2 / 3));
        // Add the few counts up to the usual number, which is quicker than to add those above it.
        let Some(below) = self.users[window].get(..=usual) else { return true };
        let own = usize::from((attack.networks[window] as usize).min(MAX_COUNT) > usual);
        let above = (self.attacked[window] - below.iter().sum::<u32>()) as usize - own;
        above <= users.saturating_sub(1) / 10
    }
}
