//! Applies the rules to each attempt.

use std::borrow::Cow;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use mls_config::config::Suspicious;
use mls_event::{Finding, Outcome, Rule, Timestamp};

use crate::attack::{Attacks, WINDOWS};
use crate::bounded::Bounded;
use crate::evidence::Login;
use crate::network::{
    AFTER, FailedNames, FailingNetworks, Guesses, MAX_EXCUSED, MAX_NETWORKS, VisitedNetworks,
    Visitor, Visitors,
};
use crate::observation::{Moment, Name, Network, Observation, Place, Seconds, is_internal};
use crate::system::{MAX_SYSTEMS, Residents, Systems};
use crate::user::{Extent, MAX_USERS, User, Users};

/// If the country of the login is known, `targeted` needs failures from at least this number of AS
/// other than the AS of the login. A phone with an old password fails from only one AS.
const ATTACKING_SYSTEMS: usize = 3;

/// If fewer than 1/`WEEK_SHARE` of the networks of the last week failed in the last three days,
/// `targeted` ignores the week. In a steady attack, about 3/7 of the networks fail in three days.
const WEEK_SHARE: u32 = 3;

/// A user changes addresses in a system (as a phone does) if at least this number of the user's
/// last networks are in the system. Suspicious places and the network of the login do not count.
const CHANGED: usize = 2;

const MAX_ORGANISATIONS: usize = 4096;

/// Observes attempts and finds suspicious logins.
#[derive(Clone)]
pub struct Detector {
    settings: Suspicious,
    ignored: Vec<Name>,
    failures: FailingNetworks,
    logins: VisitedNetworks,
    systems: Systems,
    users: Users,
    attacks: Attacks,
    organisations: HashMap<u32, Box<str>, RandomState>,
}

/// An attempt, with the keys that the tables use: `name` and `network`.
#[derive(Clone, Copy)]
struct Observed<'a> {
    observation: &'a Observation<'a>,
    at: Seconds,
    moment: Moment,
    user: &'a str,
    name: Name,
    ip: IpAddr,
    network: Network,
    place: Place,
}

/// How likely it is that an honest user logs in from a system.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Familiarity {
    /// No other variant applies.
    Unfamiliar,
    /// Several other users log in from the system, or this user did a day ago or earlier.
    Local,
    /// The user changes addresses in the system. Or several other users log in from the system, and
    /// the past of this user is unknown.
    Usual,
}

impl Detector {
    /// Returns a detector that has seen no attempt.
    #[must_use]
    pub fn new(settings: &Suspicious) -> Self {
        let mut settings = settings.clone();
        // A threshold of 0 would report every login. `spread` needs at least two places.
        for (value, least) in [
            (&mut settings.guessed_names, 1),
            (&mut settings.shared_users, 1),
            (&mut settings.targeted_addresses, 1),
            (&mut settings.spread_countries, 2),
            (&mut settings.spread_systems, 2),
        ] {
            *value = least.max(*value);
        }
        Self {
            ignored: settings.ignore_users.iter().map(|user| Name::new(user)).collect(),
            settings,
            failures: Bounded::new(MAX_NETWORKS),
            logins: Bounded::new(MAX_NETWORKS),
            systems: Bounded::new(MAX_SYSTEMS),
            users: Bounded::new(MAX_USERS),
            attacks: Attacks::default(),
            organisations: HashMap::default(),
        }
    }

    /// Checks an attempt with the rules, and appends the findings to `found`. The caller must pass
    /// the attempts in the order of time. Small deviations do no harm, for example within a minute.
    /// If a failure and a login have the same time, the caller must pass the failure first.
    ///
    /// A finding can name an earlier login, because later failures can make this login suspicious.
    /// Attempts without name or address, and attempts before 1970 or after 2106, are ignored.
    pub fn observe(&mut self, observation: &Observation<'_>, found: &mut Vec<Finding<'static>>) {
        let (Some(user), Some(ip)) = (observation.user, observation.ip) else { return };
        let Some(moment) = Moment::of(observation.at) else { return };
        let at = moment.at;
        let country = observation.country_code.and_then(|code| code.as_bytes().try_into().ok());
        let observed = Observed {
            observation,
            at,
            moment,
            user,
            name: Name::new(user),
            ip,
            network: Network::of(ip),
            place: Place { country, asn: observation.asn },
        };
        let is_ignored = self.ignored.contains(&observed.name)
            || self.settings.ignore_networks.iter().any(|network| network.contains(&ip));
        if is_ignored {
            return;
        }
        if is_internal(ip) && !observed.place.is_known() {
            // A login through webmail shows that the user exists, but not where the user is.
            if observation.outcome == Outcome::Success {
                self.user(observed).login();
            }
            return;
        }
        match observation.outcome {
            Outcome::Failure => self.failure(observed, found),
            Outcome::Success => self.login(observed, found),
            // These attempts are not guesses: no password was refused.
            Outcome::Aborted | Outcome::Error => {}
        }
    }

    fn failure(&mut self, observed: Observed<'_>, found: &mut Vec<Finding<'static>>) {
        let Observed { at, name, network, place, .. } = observed;
        self.failures.entry(network, at, FailedNames::new).0.add(name, at);
        // Failures from a place where the user logs in count as mistakes of the user.
        if let Some(user) = self.users.get_mut(name)
            && place.is_known()
            && user.was_seen(place) != (true, true)
        {
            self.attacks.add(user, network, place.asn, at);
            self.attacks.limit(&mut self.users);
        }
        self.guessed_before(observed, found);
    }

    /// Reports earlier logins that this failure makes suspicious: each must be the first login of
    /// its user from this network, at most [`AFTER`] seconds before the failure.
    fn guessed_before(&mut self, observed: Observed<'_>, found: &mut Vec<Finding<'static>>) {
        let Some(visitors) = self.logins.get(observed.network) else { return };
        let place = visitors.place;
        let recent: Vec<_> = visitors
            .users
            .iter()
            .filter(|visitor| !visitor.is_suspicious && visitor.name != observed.name)
            .filter(|visitor| visitor.first.at + AFTER >= observed.at)
            .copied()
            .collect();
        for visitor in recent {
            let first = visitor.first;
            let Some(guesses) = self.guesses(visitor.name, observed.network, first.at) else {
                continue;
            };
            self.suspect(visitor.name, observed.network, place);
            let login = Named { name: visitor.name, ip: visitor.ip, place, at: first };
            self.report(Rule::Guessed, login, found, |login| login.guessed(&guesses));
        }
    }

    /// A quick check: returns whether enough names failed at `network` for
    /// [`guesses`](Self::guesses). For most logins, the answer is no.
    fn has_failed(&self, network: Network, at: Seconds) -> bool {
        let range = self.guessing(at);
        let names = self.settings.guessed_names as usize;
        self.failures.get(network).is_some_and(|failed| failed.count(range) >= names)
    }

    /// Returns the range of time in which failures count for a login at the time `at`.
    fn guessing(&self, at: Seconds) -> (Seconds, Seconds) {
        (at.saturating_sub(self.settings.guessed_window.seconds), at.saturating_add(AFTER))
    }

    /// Returns the names that failed at `network`, the users who logged in from `network`, and the
    /// range of time in which failures count for a login at `at`. Returns `None` if too few names
    /// failed, or if too many users other than `name` log in from `network`.
    fn guessed_names(
        &self,
        name: Name,
        network: Network,
        at: Seconds,
    ) -> Option<(&FailedNames, &Visitors, (Seconds, Seconds))> {
        if !self.has_failed(network, at) {
            return None;
        }
        let (failed, range) = (self.failures.get(network)?, self.guessing(at));
        let visitors = self.logins.get(network)?;
        let is_shared = visitors.others(name) >= self.settings.shared_users as usize;
        (!is_shared).then_some((failed, visitors, range))
    }

    /// Returns whether [`guesses`](Self::guesses) would return failures. This function is quicker:
    /// if very many names failed, it does not look for names that do not count.
    fn is_guessed(&self, name: Name, network: Network, at: Seconds) -> bool {
        let Some((failed, visitors, range)) = self.guessed_names(name, network, at) else {
            return false;
        };
        let names = failed.others(name, range, |name| visitors.knows(name), |_| false);
        let names = names.map_or(0, |guesses| guesses.times.len());
        let system = self.familiarity(name, network, visitors, at);
        let enough = self.enough_names(system, visitors);
        system == Familiarity::Unfamiliar && names >= enough + MAX_EXCUSED
            || names >= enough && self.guesses(name, network, at).is_some()
    }

    /// Returns the failures that make a login of `name` at `network` suspicious, if any.
    fn guesses(&self, name: Name, network: Network, at: Seconds) -> Option<Guesses> {
        let (failed, visitors, range) = self.guessed_names(name, network, at)?;
        let is_known_here = |name| visitors.knows(name);
        // Do not count names that a mail program may try: other forms of `name`, other mailboxes.
        let user = self.users.get(name)?;
        let is_excuse = |other: Name| {
            if self.users.get(other).is_none() {
                return other.has_local_part_of(name);
            }
            let mut networks = user.networks().filter(|known| *known != network);
            networks.any(|known| self.logins.get(known).is_some_and(|at| at.knows(other)))
        };
        let guesses = failed.others(name, range, is_known_here, is_excuse)?;
        let system = self.familiarity(name, network, visitors, at);
        let is_guessed = guesses.times.len() >= self.enough_names(system, visitors)
            && self.can_be_guess(system, &guesses, at);
        is_guessed.then_some(guesses)
    }

    /// Returns how many names must have failed. In an autonomous system where users log in, more
    /// names must have failed, because users there share addresses with infected machines.
    fn enough_names(&self, system: Familiarity, visitors: &Visitors) -> usize {
        let names = self.settings.guessed_names as usize;
        match system {
            Familiarity::Unfamiliar => names,
            // An attacker has many failures for each success: require `names` for each user here.
            Familiarity::Local | Familiarity::Usual => names.saturating_mul(visitors.len()),
        }
    }

    /// Returns whether the login can be one of the guesses. In a system where users log in, another
    /// client may have made the guesses. So the login must be close to the guesses in time.
    fn can_be_guess(&self, system: Familiarity, guesses: &Guesses, at: Seconds) -> bool {
        match system {
            Familiarity::Unfamiliar => true,
            Familiarity::Local => guesses.is_in_series(at, self.settings.guessed_names as usize),
            Familiarity::Usual => guesses.is_close(at),
        }
    }

    /// Returns how likely it is that `name` itself logs in from the autonomous system of `network`.
    fn familiarity(
        &self,
        name: Name,
        network: Network,
        visitors: &Visitors,
        at: Seconds,
    ) -> Familiarity {
        let (Some(asn), Some(user)) = (visitors.place.asn, self.users.get(name)) else {
            return Familiarity::Unfamiliar;
        };
        let residents = self.systems.get(asn).map_or(0, |known| known.others(name));
        let is_local = residents >= self.settings.shared_users as usize;
        let is_here = |known: &Network| {
            let visitors = self.logins.get(*known).filter(|known| known.place.asn == Some(asn));
            *known != network && visitors.is_some_and(|at| user.has_place(at.place))
        };
        let changes = user.networks().filter(is_here).count() >= CHANGED;
        if changes || is_local && !user.has_past(at) {
            return Familiarity::Usual;
        }
        if is_local || user.is_home(asn, at) { Familiarity::Local } else { Familiarity::Unfamiliar }
    }

    fn login(&mut self, observed: Observed<'_>, found: &mut Vec<Finding<'static>>) {
        let Observed { at, moment, name, ip, network, place, .. } = observed;
        self.remember_organisation(observed);
        let addresses = self.settings.targeted_addresses;
        let window = self.settings.spread_window.seconds;
        let user = self.user(observed);
        let attacked = attacked(user, observed, addresses);
        user.login();
        user.use_network(network);
        let is_resident = place.is_known() && user.visit(place, ip, moment);
        let extent = user.large_extent(at, window);
        if let Some(asn) = place.asn.filter(|_| is_resident) {
            self.systems.entry(asn, at, Residents::new).0.add(name);
        }
        let (visitors, _) = self.logins.entry(network, at, || Visitors::new(place));
        if let Some(visitor) = visitors.visit(name, ip, moment).copied() {
            self.guessed(visitor, observed, found);
        }
        if let Some((networks, is_new_country)) = attacked {
            self.targeted(networks, is_new_country, observed, found);
        }
        if let Some(extent) = extent {
            self.spread(extent, observed, found);
        }
    }

    /// Returns the entry of the user. If the user has no entry, adds an entry.
    fn user(&mut self, observed: Observed<'_>) -> &mut User {
        let new = || User::new(observed.user, observed.at);
        let (user, dropped) = self.users.entry(observed.name, observed.at, new);
        for user in dropped {
            self.attacks.forget(&user.attack);
        }
        user
    }

    fn guessed(
        &mut self,
        visitor: Visitor,
        observed: Observed<'_>,
        found: &mut Vec<Finding<'static>>,
    ) {
        let Observed { at, moment, name, network, place, .. } = observed;
        if !visitor.is_suspicious && !self.has_failed(network, at) {
            return;
        }
        let is_new = visitor.is_suspicious || visitor.first.at.saturating_add(AFTER) >= at;
        let is_reported = self.users.get(name).is_some_and(|user| moment.day() <= user.reported[0]);
        if is_new && is_reported {
            // The rule has already reported this user for this day. So skip the exact count of
            // names, which takes the most time.
            if visitor.is_suspicious || self.is_guessed(name, network, at) {
                self.suspect(name, network, place);
            }
            return;
        }
        // A user who logged in from here more than `AFTER` seconds before the first failure is not
        // the attacker.
        let Some(guesses) = self.guesses(name, network, at) else { return };
        if !visitor.is_suspicious && visitor.first.at.saturating_add(AFTER) < guesses.first {
            return;
        }
        let (first, ip) =
            if visitor.is_suspicious { (moment, observed.ip) } else { (visitor.first, visitor.ip) };
        self.suspect(name, network, place);
        let login = Named { name, ip, place, at: first };
        self.report(Rule::Guessed, login, found, |login| login.guessed(&guesses));
    }

    /// If far more networks attacked this user than other users, reports the login. `networks` has
    /// the number of attacking networks in each of the [`WINDOWS`].
    fn targeted(
        &mut self,
        networks: [u32; WINDOWS.len()],
        is_new_country: bool,
        observed: Observed<'_>,
        found: &mut Vec<Finding<'static>>,
    ) {
        let Observed { at, moment, name, ip, network, place, .. } = observed;
        // A correct guess is a login too. So days after the last failure, a login is not a guess.
        let goes_on = networks[1] >= networks[2].div_ceil(WEEK_SHARE);
        let window = (0..WINDOWS.len()).find(|window| {
            let count = networks[*window];
            count >= self.settings.targeted_addresses
                && (*window < 2 || goes_on)
                && self.attacks.is_outlier(&mut self.users, name, *window, count, at)
        });
        let Some(window) = window else { return };
        self.suspect(name, network, place);
        let (addresses, days) = (networks[window], WINDOWS[window] / 86_400);
        let login = Named { name, ip, place, at: moment };
        self.report(Rule::Targeted, login, found, |login| {
            login.targeted(addresses, days, is_new_country)
        });
    }

    fn spread(
        &mut self,
        extent: Extent,
        observed: Observed<'_>,
        found: &mut Vec<Finding<'static>>,
    ) {
        let Observed { at, moment, name, .. } = observed;
        let Some(user) = self.users.get_mut(name) else { return };
        let Some(spread) = user.spread(extent, at, &self.settings) else { return };
        // Reported places still count as new. But an earlier finding has named the first login at
        // such a place. So this finding names the first login at a place that was not reported.
        let reported = user.reported[Rule::Spread as usize];
        let from = at.saturating_sub(self.settings.spread_window.seconds);
        let is_named = |first: Moment| first.at < from || first.day() <= reported;
        let first = spread.places.iter().find(|place| !is_named(place.first));
        let this = Named { name, ip: observed.ip, place: observed.place, at: moment };
        let login =
            first.map_or(this, |new| Named { name, ip: new.ip, place: new.place, at: new.first });
        for new in &spread.places {
            self.leave(name, new.place);
        }
        let begin = spread.places.first().map_or(at, |place| place.first.at.max(from));
        let within = at.saturating_sub(begin);
        self.report(Rule::Spread, login, found, |login| login.spread(&spread, within));
    }

    /// Marks a login as suspicious, so that `place` does not become a usual place of the user.
    fn suspect(&mut self, name: Name, network: Network, place: Place) {
        if let Some(user) = self.users.get_mut(name) {
            user.suspect(place);
        }
        self.leave(name, place);
        if let Some(visitors) = self.logins.get_mut(network) {
            for visitor in &mut visitors.users {
                visitor.is_suspicious |= visitor.name == name;
            }
        }
    }

    /// Removes the user from the residents of the autonomous system of `place`. If the user has
    /// another place in this system that is not suspicious, does nothing.
    fn leave(&mut self, name: Name, place: Place) {
        let stays = self.users.get(name).is_some_and(|user| user.was_seen(place).0);
        if let Some(residents) = place.asn.and_then(|asn| self.systems.get_mut(asn))
            && !stays
        {
            residents.remove(name);
        }
    }

    /// Appends a finding. If the rule has already reported the user for this day or a later day,
    /// does nothing.
    fn report(
        &mut self,
        rule: Rule,
        named: Named,
        found: &mut Vec<Finding<'static>>,
        evidence: impl FnOnce(Login<'_>) -> String,
    ) {
        let Some(user) = self.users.get_mut(named.name) else { return };
        let (at, day) = (named.at.date(), named.at.day());
        let reported = &mut user.reported[rule as usize];
        if day <= *reported {
            return;
        }
        *reported = day;
        let place = named.place;
        let aso = place.asn.and_then(|asn| self.organisations.get(&asn)).map(|aso| &**aso);
        let login = Login { user: &user.name, ip: named.ip, place, aso, at };
        let country = place.country.map(|code| String::from_utf8_lossy(&code).into_owned());
        found.push(Finding {
            rule,
            user: Cow::Owned(user.name.to_string()),
            ip: named.ip,
            date: Timestamp::from(at),
            country_code: country.map(Cow::Owned),
            asn: place.asn,
            aso: aso.map(|aso| Cow::Owned(aso.to_owned())),
            evidence: Cow::Owned(evidence(login)),
        });
    }

    fn remember_organisation(&mut self, observed: Observed<'_>) {
        if let (Some(asn), Some(aso)) = (observed.place.asn, observed.observation.aso)
            && !self.organisations.contains_key(&asn)
        {
            if self.organisations.len() >= MAX_ORGANISATIONS {
                self.organisations.clear();
            }
            self.organisations.insert(asn, aso.chars().take(200).collect());
        }
    }
}

/// Returns how many networks attacked the user in each of the [`WINDOWS`], and whether the country
/// of the login is new. Returns `None` if `targeted` does not apply: too few networks or systems
/// attacked, the user has logged in from this place, or the past of the user is unknown.
fn attacked(
    user: &User,
    observed: Observed<'_>,
    addresses: u32,
) -> Option<([u32; WINDOWS.len()], bool)> {
    // This quick check is enough for most users, because nobody attacks them.
    if user.attack.len() < addresses as usize || !observed.place.is_known() {
        return None;
    }
    let (seen_system, seen_country) = user.was_seen(observed.place);
    if (seen_system && seen_country) || !user.has_past(observed.at) {
        return None;
    }
    // If the country is known, failures from the system of the login may be mistakes of the user.
    let own = if seen_country { observed.place.asn } else { None };
    let networks = user.attack.networks(observed.at, own);
    let is_attack = networks[2] >= addresses
        && (!seen_country || user.attack.systems(observed.at, own) >= ATTACKING_SYSTEMS);
    is_attack.then_some((networks, !seen_country))
}

/// The login that a finding names.
#[derive(Clone, Copy)]
struct Named {
    name: Name,
    ip: IpAddr,
    place: Place,
    at: Moment,
}
