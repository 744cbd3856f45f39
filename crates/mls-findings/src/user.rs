//! What is known about each user: the places of logins, and how many places are usual (the habit).

use std::net::IpAddr;

use mls_config::config::Suspicious;

use crate::attack::Attack;
use crate::bounded::Bounded;
use crate::observation::{Country, Moment, Name, Network, Place, Seconds};

/// Largest number of users that are remembered.
pub const MAX_USERS: usize = 32_768;

/// Largest number of places that are remembered for a user.
const MAX_PLACES: usize = 32;

/// Largest number of networks that are remembered for a user.
const MAX_NETWORKS: usize = 4;

const DAY: Seconds = 86_400;

/// The past of a user is unknown until this number of seconds after the first login.
const PAST: Seconds = DAY;

/// The past of a user is unknown until this number of logins.
const PAST_LOGINS: u32 = 3;

/// `spread` needs at least this number of countries (or systems) more than usual.
const ABOVE_HABIT: u32 = 2;

pub(crate) type Users = Bounded<Name, User>;

/// A place where a user logged in. Each attempt is compared with all places of the user, so this
/// type must be small. Data that few attempts need is in [`FirstLogin`].
#[derive(Clone, Copy, Debug)]
struct KnownPlace {
    place: Place,
    first: Seconds,
    last: Seconds,
    is_suspicious: bool,
}

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

    /// Whether the user logged in here since `from`, and the place is not [old](Self::is_old).
    fn is_new(&self, from: Seconds) -> bool {
        self.last >= from && !self.is_old(from)
    }
}

/// The number of countries, and the number of autonomous systems, of some logins.
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
    /// The first login at each of the `places`, in the same order.
    first_logins: Vec<FirstLogin>,
    /// The networks of the last logins, the newest network first.
    networks: [Option<Network>; MAX_NETWORKS],
    first: Seconds,
    logins: u32,
    habit: Habit,
    pub(crate) attack: Attack,
    /// For each rule, the last day (counted from 1970) for which it reported the user.
    pub(crate) reported: [u32; 3],
}

/// The greatest extent of logins within one window (`usual`). The current window (`now`) and the
/// window before it do not count, because their logins may be the beginning of an attack.
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

    pub(crate) fn use_network(&mut self, network: Network) {
        let known = self.networks.iter().position(|known| *known == Some(network));
        self.networks[..=known.unwrap_or(MAX_NETWORKS - 1)].rotate_right(1);
        self.networks[0] = Some(network);
    }

    pub(crate) fn networks(&self) -> impl Iterator<Item = Network> {
        self.networks.iter().flatten().copied()
    }

    pub(crate) fn has_past(&self, at: Seconds) -> bool {
        self.logins >= PAST_LOGINS && at.saturating_sub(self.first) >= PAST
    }

    /// Returns whether the user was seen in the autonomous system of `place`, and whether the user
    /// was seen in the country of `place`. Suspicious places do not count.
    pub(crate) fn was_seen(&self, place: Place) -> (bool, bool) {
        let mut seen = (place.asn.is_none(), place.country.is_none());
        for known in self.places.iter().filter(|known| !known.is_suspicious) {
            seen.0 |= known.place.asn == place.asn;
            seen.1 |= known.place.country == place.country;
            // Most users log in from their first place, so the loop ends early.
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

    /// Remembers a login at a place. Returns whether it is the first login of the day at this
    /// place, and the place is not suspicious.
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

    /// Returns the extent of the logins in the window. If this extent is small, as for most users,
    /// adds the extent to the habit and returns `None`.
    pub(crate) fn large_extent(&mut self, at: Seconds, window: Seconds) -> Option<Extent> {
        let from = at.saturating_sub(window);
        let extent = self.extent(|place| place.last >= from);
        if extent.countries.max(extent.systems) > 2 {
            return Some(extent);
        }
        self.habit.add(extent, at, window);
        None
    }

    /// If the last logins came from too many new places, returns these places in order of time. If
    /// not, adds `all`, the [extent](Self::large_extent) of the last logins, to the habit.
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

    /// Returns the extent of logins from new places within the window. Returns `None` if this
    /// extent is normal for the user.
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

    /// Counts the countries and systems of logins since `from` that were not seen before `from`.
    fn unseen(&self, from: Seconds) -> Extent {
        let old = self.extent(|place| place.is_old(from));
        let all = self.extent(|place| place.is_old(from) || place.is_new(from));
        Extent { countries: all.countries - old.countries, systems: all.systems - old.systems }
    }

    /// Returns the number of countries and of systems of the places for which `counts` is true.
    fn extent(&self, counts: impl Fn(&KnownPlace) -> bool) -> Extent {
        let (mut countries, mut systems) = (Distinct::new(), Distinct::new());
        for place in self.places.iter().filter(|place| counts(place)) {
            countries.add(place.place.country.map(|code| u16::from_be_bytes(code).into()));
            systems.add(place.place.asn);
        }
        Extent { countries: countries.len(), systems: systems.len() }
    }
}

/// The distinct countries or systems of a user: so few that a scan is quicker than a hash table.
struct Distinct {
    values: [u32; MAX_PLACES],
    count: usize,
}

impl Distinct {
    fn new() -> Self {
        Self { values: [0; MAX_PLACES], count: 0 }
    }

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
    /// The new countries; empty if only the number of systems is too large.
    pub(crate) countries: Vec<Country>,
    pub(crate) systems: u32,
    /// The new places, in order of time.
    pub(crate) places: Vec<NewPlace>,
}

pub(crate) struct NewPlace {
    pub(crate) place: Place,
    pub(crate) first: Moment,
    pub(crate) ip: IpAddr,
}
