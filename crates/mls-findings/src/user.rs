//! What is known about each user: the places of logins, and the habit.

use std::net::IpAddr;

use mls_config::config::Suspicious;

use crate::attack::Attack;
use crate::bounded::Bounded;
use crate::observation::{Country, Moment, Name, Network, Place, Seconds};

/// Number of users that are remembered.
pub const MAX_USERS: usize = 32_768;

/// Number of places that are remembered for a user.
const MAX_PLACES: usize = 32;

/// Largest number of networks that are remembered for a user.
const MAX_NETWORKS: usize = 4;

const DAY: Seconds = 86_400;

/// Number of seconds after which a user has a known past.
const PAST: Seconds = DAY;

/// Smallest number of logins of a user with a known past.
const PAST_LOGINS: u32 = 3;

/// Logins are suspicious if their places exceed the habit of the user by this number.
const ABOVE_HABIT: u32 = 2;

/// The users who have logged in.
pub(crate) type Users = Bounded<Name, User>;

/// A place where a user logged in. Each attempt is compared with all places of its user, so this
/// type is small. Data that few attempts need is in [`FirstLogin`].
#[derive(Clone, Copy, Debug)]
struct KnownPlace {
    place: Place,
    first: Seconds,
    last: Seconds,
    is_suspicious: bool,
}

/// The first login at a place.
#[derive(Clone, Copy, Debug)]
struct FirstLogin {
    at: Moment,
    ip: IpAddr,
}

impl KnownPlace {
    /// Whether the user was seen here before `from`, and no login here was suspicious.
    fn is_old(&self, from: Seconds) -> bool {
        !self.is_suspicious && self.first < from
    }

    /// Whether the user logged in here since `from` and was not seen here before.
    fn is_new(&self, from: Seconds) -> bool {
        self.last >= from && !self.is_old(from)
    }
}

/// How many countries and autonomous systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) countries: u32,
    pub(crate) systems: u32,
}

impl Extent {
    fn max(self, other: Self) -> Self {
        Self {
            countries: self.countries.max(other.countries),
            systems: self.systems.max(other.systems),
        }
    }
}

/// A user who logged in at least once.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: Box<str>,
    places: Vec<KnownPlace>,
    /// The first login at each of the places.
    first_logins: Vec<FirstLogin>,
    /// The networks of the last logins, the last one first.
    networks: [Option<Network>; MAX_NETWORKS],
    first: Seconds,
    logins: u32,
    habit: Habit,
    pub(crate) attack: Attack,
    /// The last day for which each rule reported the user.
    pub(crate) reported: [u32; 3],
}

/// The greatest extent of logins within one window. A window counts only after the next one has ended,
/// because its logins may be the beginning of an attack.
#[derive(Clone, Copy, Debug, Default)]
struct Habit {
    begin: Seconds,
    now: Extent,
    before: Extent,
    usual: Extent,
}

impl Habit {
    fn add(&mut self, extent: Extent, at: Seconds, window: Seconds) {
        if at.saturating_sub(self.begin) > window {
            self.usual = self.usual.max(self.before);
            self.before = self.now;
            self.now = Extent::default();
            self.begin = at;
        }
        self.now = self.now.max(extent);
    }
}

impl User {
    pub(crate) fn new(name: &str, at: Seconds) -> Self {
        Self {
            name: name.into(),
            places: Vec::with_capacity(1),
            first_logins: Vec::with_capacity(1),
            networks: [None; MAX_NETWORKS],
            first: at,
            logins: 0,
            habit: Habit { begin: at, ..Habit::default() },
            attack: Attack::default(),
            reported: [0; 3],
        }
    }

    pub(crate) fn login(&mut self) {
        self.logins = self.logins.saturating_add(1);
    }

    /// Remembers the network of a login.
    pub(crate) fn use_network(&mut self, network: Network) {
        let known = self.networks.iter().position(|known| *known == Some(network));
        self.networks[..=known.unwrap_or(MAX_NETWORKS - 1)].rotate_right(1);
        self.networks[0] = Some(network);
    }

    /// The networks of the last logins.
    pub(crate) fn networks(&self) -> impl Iterator<Item = Network> {
        self.networks.iter().flatten().copied()
    }

    pub(crate) fn has_past(&self, at: Seconds) -> bool {
        self.logins >= PAST_LOGINS && at.saturating_sub(self.first) >= PAST
    }

    /// Returns whether the user was seen in the autonomous system of `place`, and whether in its
    /// country.
    pub(crate) fn was_seen(&self, place: Place) -> (bool, bool) {
        let mut seen = (place.asn.is_none(), place.country.is_none());
        for known in self.places.iter().filter(|known| !known.is_suspicious) {
            seen.0 |= known.place.asn == place.asn;
            seen.1 |= known.place.country == place.country;
            // Most users log in from the first place that was seen.
            if seen == (true, true) {
                break;
            }
        }
        seen
    }

    /// Returns whether the user logged in from this place and no login there was suspicious.
    pub(crate) fn has_place(&self, place: Place) -> bool {
        self.places.iter().any(|known| !known.is_suspicious && known.place == place)
    }

    /// Returns whether the user logged in from this autonomous system a day ago or earlier.
    pub(crate) fn is_home(&self, asn: u32, at: Seconds) -> bool {
        let from = at.saturating_sub(PAST);
        self.places.iter().any(|known| known.place.asn == Some(asn) && known.is_old(from))
    }

    /// Remembers a login at a place. Returns whether it is the first one of its day there, and no login
    /// there was suspicious.
    pub(crate) fn visit(&mut self, place: Place, ip: IpAddr, moment: Moment) -> bool {
        let at = moment.at;
        if let Some(known) = self.places.iter_mut().find(|known| known.place == place) {
            let is_first = at / DAY > known.last / DAY;
            known.last = known.last.max(at);
            return is_first && !known.is_suspicious;
        }
        if self.places.len() == MAX_PLACES {
            let oldest = (0..MAX_PLACES)
                .min_by_key(|i| (!self.places[*i].is_suspicious, self.places[*i].last));
            self.places.swap_remove(oldest.unwrap_or(0));
            self.first_logins.swap_remove(oldest.unwrap_or(0));
        }
        self.places.push(KnownPlace { place, first: at, last: at, is_suspicious: false });
        self.first_logins.push(FirstLogin { at: moment, ip });
        true
    }

    /// Marks a place as suspicious, so that it never becomes a known place of the user.
    pub(crate) fn suspect(&mut self, place: Place) {
        for known in self.places.iter_mut().filter(|known| known.place == place) {
            known.is_suspicious = true;
        }
    }

    /// Returns the extent of the last logins if it may be too large. A small extent, as most users
    /// have, becomes part of the habit.
    pub(crate) fn large_extent(&mut self, at: Seconds, window: Seconds) -> Option<Extent> {
        let from = at.saturating_sub(window);
        let extent = self.extent(|place| place.last >= from);
        if extent.countries.max(extent.systems) > 2 {
            return Some(extent);
        }
        self.habit.add(extent, at, window);
        None
    }

    /// Returns the new places of the last logins, in order of time, if there are too many. Otherwise
    /// `all`, the [extent](Self::large_extent) of the last logins, becomes part of the habit.
    pub(crate) fn spread(
        &mut self,
        all: Extent,
        at: Seconds,
        settings: &Suspicious,
    ) -> Option<Spread> {
        let Some(NewExtent { systems, has_many_countries, from }) = self.new_extent(at, settings)
        else {
            self.habit.add(all, at, settings.spread_window.seconds);
            return None;
        };
        let mut places = Vec::new();
        for (place, first) in self.places.iter_mut().zip(&self.first_logins) {
            if place.is_new(from) {
                places.push(NewPlace { place: place.place, first: first.at, ip: first.ip });
                place.is_suspicious = true;
            }
        }
        places.sort_by_key(|place| place.first.at);
        let mut countries = Vec::new();
        if has_many_countries {
            // A new place can be in a country that is not new.
            let is_old = |country| {
                self.places.iter().any(|known| known.place.country == country && known.is_old(from))
            };
            for country in places.iter().map(|new| new.place.country).filter(|it| !is_old(*it)) {
                countries.extend(country.filter(|country| !countries.contains(country)));
            }
        }
        Some(Spread { countries, systems, places })
    }

    /// Returns the extent of logins from new places within the window; `None` if it is not too
    /// large for this user.
    fn new_extent(&self, at: Seconds, settings: &Suspicious) -> Option<NewExtent> {
        let has_past = self.has_past(at);
        let limit = |threshold: u32, usual: u32| {
            if has_past { threshold.max(usual + ABOVE_HABIT) } else { threshold.saturating_mul(2) }
        };
        let countries = limit(settings.spread_countries, self.habit.usual.countries);
        let systems = limit(settings.spread_systems, self.habit.usual.systems);
        let from = at.saturating_sub(settings.spread_window.seconds);
        // For most logins, this quick count is enough.
        let new = self.places.iter().filter(|place| place.is_new(from)).count();
        if new < countries.min(systems) as usize {
            return None;
        }
        let extent = self.unseen(from);
        let has_many_countries = extent.countries >= countries && extent.systems + 1 >= countries;
        let exceeds = has_many_countries || extent.systems >= systems;
        exceeds.then_some(NewExtent { systems: extent.systems, has_many_countries, from })
    }

    /// Returns the extent of logins since `from` in countries and systems that were not seen before
    /// `from`.
    fn unseen(&self, from: Seconds) -> Extent {
        let old = self.extent(|place| place.is_old(from));
        let all = self.extent(|place| place.is_old(from) || place.is_new(from));
        Extent { countries: all.countries - old.countries, systems: all.systems - old.systems }
    }

    /// Returns the extent of the logins at these places.
    fn extent(&self, counts: impl Fn(&KnownPlace) -> bool) -> Extent {
        let (mut countries, mut systems) = (Distinct::new(), Distinct::new());
        for place in self.places.iter().filter(|place| counts(place)) {
            countries.add(place.place.country.map(|code| u16::from_be_bytes(code).into()));
            systems.add(place.place.asn);
        }
        Extent { countries: countries.len(), systems: systems.len() }
    }
}

/// The distinct values of a user's places. There are few, so a scan of an array is quicker than a hash.
struct Distinct {
    values: [u32; MAX_PLACES],
    count: usize,
}

impl Distinct {
    fn new() -> Self {
        Self { values: [0; MAX_PLACES], count: 0 }
    }

    /// Adds a value, unless it is unknown.
    fn add(&mut self, value: Option<u32>) {
        let Some(value) = value else { return };
        // A loop without an early exit compiles to a few vector instructions.
        let known = &self.values[..self.count];
        let same = known.iter().filter(|known| **known == value).count();
        if same == 0 && self.count < MAX_PLACES {
            self.values[self.count] = value;
            self.count += 1;
        }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.count).unwrap_or(u32::MAX)
    }
}

/// The extent of logins from too many new places.
struct NewExtent {
    systems: u32,
    has_many_countries: bool,
    /// The beginning of the window.
    from: Seconds,
}

/// The logins from too many new places.
pub(crate) struct Spread {
    /// The new countries, if there are too many; empty if only the systems are too many.
    pub(crate) countries: Vec<Country>,
    /// The number of new systems.
    pub(crate) systems: u32,
    /// The new places, in order of time.
    pub(crate) places: Vec<NewPlace>,
}

/// A place and the first login there.
pub(crate) struct NewPlace {
    pub(crate) place: Place,
    pub(crate) first: Moment,
    pub(crate) ip: IpAddr,
}
