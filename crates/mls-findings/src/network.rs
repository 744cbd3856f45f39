//! For each network, the names that failed there and the users who logged in from there.

use std::net::IpAddr;

use crate::bounded::Bounded;
use crate::observation::{Moment, Name, Network, Place, Seconds};

/// The detector remembers at most this number of networks with logins, and as many with failures.
pub const MAX_NETWORKS: usize = 32_768;

/// Largest number of failed names that are remembered for a network.
pub(crate) const MAX_FAILED: usize = 64;

/// Largest number of users that are remembered for a network.
pub(crate) const MAX_VISITORS: usize = 8;

/// Failures up to this number of seconds after a login count for this login.
pub(crate) const AFTER: Seconds = 3600;

/// If an honest user may use the attacker's address, a login counts as a guess only within this
/// number of seconds before or after a wrong guess. Few honest logins are so close to a guess.
const CLOSE: Seconds = 120;

/// Largest number of failed names that do not count because they have an innocent reason.
pub(crate) const MAX_EXCUSED: usize = 4;

pub(crate) type FailingNetworks = Bounded<Network, FailedNames>;

pub(crate) type VisitedNetworks = Bounded<Network, Visitors>;

/// The names that failed at a network, and when each name last failed. Names and times are separate
/// lists, because most functions need only one of the lists.
#[derive(Clone)]
pub(crate) struct FailedNames {
    names: Vec<Name>,
    times: Vec<Seconds>,
}

/// The failures that count against a login: the last failure of each name.
#[derive(Clone, Debug)]
pub(crate) struct Guesses {
    pub(crate) times: Vec<Seconds>,
    pub(crate) first: Seconds,
    pub(crate) last: Seconds,
}

impl Guesses {
    /// Returns whether a login at `at` can be part of a series of guesses. The nearest failure must
    /// be at most [`AFTER`] seconds before or after the login. Or it must not be farther away than
    /// the time from the first to the last of the `names` nearest failures.
    pub(crate) fn is_in_series(&self, at: Seconds, names: usize) -> bool {
        let Some(nearest) = self.nearest(at) else { return false };
        // Most guesses are this close. No sorting is needed for them.
        if nearest <= AFTER {
            return true;
        }
        let mut times = self.times.clone();
        times.sort_unstable_by_key(|time| time.abs_diff(at));
        times.truncate(names);
        let (first, last) = (times.iter().min(), times.iter().max());
        first.zip(last).is_some_and(|(first, last)| nearest <= last - first)
    }

    /// Returns whether a failure is at most [`CLOSE`] seconds before or after a login at `at`.
    pub(crate) fn is_close(&self, at: Seconds) -> bool {
        self.nearest(at).is_some_and(|nearest| nearest <= CLOSE)
    }

    /// Returns the number of seconds between `at` and the nearest failure.
    fn nearest(&self, at: Seconds) -> Option<Seconds> {
        self.times.iter().map(|time| time.abs_diff(at)).min()
    }
}

impl FailedNames {
    pub(crate) fn new() -> Self {
        Self { names: Vec::with_capacity(1), times: Vec::with_capacity(1) }
    }

    /// Returns the number of names that failed from `from` to `to`.
    pub(crate) fn count(&self, (from, to): (Seconds, Seconds)) -> usize {
        self.times.iter().filter(|at| (from..=to).contains(at)).count()
    }

    pub(crate) fn add(&mut self, name: Name, at: Seconds) {
        // Most names are new. This loop has no early exit: it compiles to vector instructions.
        if self.names.iter().filter(|known| **known == name).count() > 0
            && let Some(known) = self.names.iter().position(|known| *known == name)
        {
            self.times[known] = self.times[known].max(at);
            return;
        }
        let oldest = self.times.iter().min().copied();
        if self.names.len() == MAX_FAILED
            && let Some(oldest) = self.times.iter().position(|at| Some(*at) == oldest)
        {
            self.names.swap_remove(oldest);
            self.times.swap_remove(oldest);
        }
        self.names.push(name);
        self.times.push(at);
    }

    /// Returns the failures from `from` to `to`; `None` if there are none. These names do not
    /// count: the name `login`, names for which `is_known_here` is true, and at most
    /// [`MAX_EXCUSED`] names for which `is_excuse` is true.
    pub(crate) fn others(
        &self,
        login: Name,
        (from, to): (Seconds, Seconds),
        is_known_here: impl Fn(Name) -> bool,
        is_excuse: impl Fn(Name) -> bool,
    ) -> Option<Guesses> {
        let mut excused = 0;
        let mut guesses: Option<Guesses> = None;
        for (name, at) in self.names.iter().zip(&self.times) {
            if *name == login || !(from..=to).contains(at) || is_known_here(*name) {
                continue;
            }
            if excused < MAX_EXCUSED && is_excuse(*name) {
                excused += 1;
                continue;
            }
            let guesses = guesses.get_or_insert(Guesses { times: vec![], first: *at, last: *at });
            guesses.times.push(*at);
            guesses.first = guesses.first.min(*at);
            guesses.last = guesses.last.max(*at);
        }
        guesses
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    pub(crate) name: Name,
    pub(crate) first: Moment,
    pub(crate) ip: IpAddr,
    pub(crate) is_suspicious: bool,
}

/// The users who logged in from a network.
#[derive(Clone)]
pub(crate) struct Visitors {
    pub(crate) users: Vec<Visitor>,
    pub(crate) place: Place,
}

impl Visitors {
    pub(crate) fn new(place: Place) -> Self {
        Self { users: Vec::with_capacity(1), place }
    }

    /// Returns the entry of the user, or adds a new entry; `None` if there is no room.
    pub(crate) fn visit(&mut self, name: Name, ip: IpAddr, first: Moment) -> Option<&Visitor> {
        if let Some(known) = self.users.iter().position(|visitor| visitor.name == name) {
            return self.users.get(known);
        }
        if self.users.len() == MAX_VISITORS {
            let suspicious = self.users.iter().position(|visitor| visitor.is_suspicious)?;
            self.users.swap_remove(suspicious);
        }
        self.users.push(Visitor { name, first, ip, is_suspicious: false });
        self.users.last()
    }

    /// Returns the number of users, including suspicious users.
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// Returns the number of users other than `name` whose logins from here were never suspicious.
    pub(crate) fn others(&self, name: Name) -> usize {
        let others = self.users.iter().filter(|visitor| visitor.name != name);
        others.filter(|visitor| !visitor.is_suspicious).count()
    }

    /// Returns whether `name` logged in here and was never suspicious.
    pub(crate) fn knows(&self, name: Name) -> bool {
        self.users.iter().any(|visitor| visitor.name == name && !visitor.is_suspicious)
    }
}
