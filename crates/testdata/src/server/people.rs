//! The logins of honest users: where they are, which programs log in for them, and their accidents.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use mls_event::Outcome;

use super::world::{COUNTRIES, Purpose, World};
use super::{DAY, Event, HOUR, MINUTE, Program};
use crate::random::Random;

/// What is unusual about an honest user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oddity {
    /// Nothing
    None,
    /// Works in an office: many users share its address, and some mistype passwords
    Office,
    /// Uses webmail: the web server logs in from one internal address
    Webmail,
    /// Spends days abroad, sometimes in several countries
    Traveller,
    /// Goes abroad with colleagues: one hotel address, many users, mistyped passwords
    Conference,
    /// Uses a VPN that has one AS and exits in many countries
    Vpn,
    /// Uses a VPN with exits in many AS
    RovingVpn,
    /// Uses a company VPN with an exit in another country, but not on the phone
    CompanyVpn,
    /// Has an old password on the phone: it fails for hours from changing addresses, then it works
    StalePhone,
    /// Lets a provider fetch the mailbox every two hours, from many of its addresses
    Fetched,
    /// Lives at a border: the phone changes between the networks of two countries
    Border,
    /// Shares an address with relatives who mistype passwords
    Household,
    /// Has several mailboxes in one program; all of them fail after a change of passwords
    ManyMailboxes,
    /// Sets up a mail program that tries several forms of the user name
    Autoconfig,
    /// Moves to another home and changes the phone's provider
    Moves,
    /// Logs in once a week
    Rare,
    /// Has the account only since the middle of the period
    New,
}

/// The number of users with each oddity, among 100 unusual users.
const SHARES: [(Oddity, u64); 16] = [
    (Oddity::Office, 20),
    (Oddity::Webmail, 10),
    (Oddity::Traveller, 14),
    (Oddity::Conference, 5),
    (Oddity::Vpn, 5),
    (Oddity::RovingVpn, 5),
    (Oddity::CompanyVpn, 4),
    (Oddity::StalePhone, 10),
    (Oddity::Fetched, 6),
    (Oddity::Border, 4),
    (Oddity::Household, 5),
    (Oddity::ManyMailboxes, 3),
    (Oddity::Autoconfig, 3),
    (Oddity::Moves, 3),
    (Oddity::Rare, 2),
    (Oddity::New, 1),
];

/// Chooses a random oddity.
pub(crate) fn draw(random: &mut Random) -> Oddity {
    let mut left = random.below(100);
    for (oddity, share) in SHARES {
        if left < share {
            return oddity;
        }
        left -= share;
    }
    Oddity::None
}

/// A user.
#[derive(Clone, Debug)]
pub struct Person {
    /// The user name.
    pub name: Rc<str>,
    /// The oddity of the user.
    pub oddity: Oddity,
    pub(crate) country: &'static str,
    /// Index of the network, and number of the subnet.
    home: (usize, u64),
    mobile: usize,
    /// Number of the office, hotel or household that the user shares with others.
    group: u64,
    has_dynamic_address: bool,
    has_ipv6: bool,
}

impl Person {
    pub(crate) fn new(
        name: Rc<str>,
        oddity: Oddity,
        group: u64,
        world: &World,
        random: &mut Random,
    ) -> Self {
        let near = usize::try_from(random.below(8)).unwrap_or(0);
        let country = if random.below(4) > 0 { COUNTRIES[0] } else { COUNTRIES[near] };
        let homes = world.of(&[Purpose::Home], Some(country));
        let mobiles = world.of(&[Purpose::Mobile], Some(country));
        Self {
            name,
            oddity,
            country,
            home: (*random.pick(&homes), random.number()),
            mobile: *random.pick(&mobiles),
            group,
            has_dynamic_address: random.below(3) == 0,
            has_ipv6: random.below(3) == 0,
        }
    }

    /// Whether the user has no home or mobile address in this network.
    pub(crate) fn is_stranger_to(&self, network: usize) -> bool {
        self.home.0 != network && self.mobile != network
    }

    fn home(&self, world: &World, day: u64, random: &mut Random) -> IpAddr {
        let (network, number) = self.home;
        let lease = if self.has_dynamic_address { day } else { 0 };
        let network = &world.networks[network];
        if self.has_ipv6 && random.below(2) == 0 {
            // Privacy extensions (RFC 8981): a new host part each time.
            return network.v6(number ^ lease << 40, random.number());
        }
        network.v4(number.wrapping_add(lease * 7919))
    }

    /// Returns an address in a mobile network: one of a few addresses that thousands of users share
    /// (carrier-grade NAT), or a new IPv6 /64.
    fn mobile(&self, world: &World, network: usize, random: &mut Random) -> IpAddr {
        if self.has_ipv6 && random.below(2) == 0 {
            return world.networks[network].v6(random.number(), random.number());
        }
        world.networks[network].v4(random.below(200))
    }
}

/// Writes the logins of users.
pub(crate) struct EventWriter<'a> {
    pub(crate) world: &'a World,
    pub(crate) start: i64,
    pub(crate) days: u64,
    pub(crate) events: &'a mut Vec<Event>,
}

struct Trip {
    days: std::ops::Range<u64>,
    country: &'static str,
    hotel: IpAddr,
    /// The network of the phone abroad; none if the traffic goes through the network at home.
    roaming: Option<usize>,
}

impl EventWriter<'_> {
    fn log(&mut self, at: i64, user: &Rc<str>, ip: IpAddr, outcome: Outcome, program: Program) {
        self.events.push(Event { at, user: Rc::clone(user), ip, outcome, program, attempts: 1 });
    }

    /// Adds a login. Sometimes attempts with a wrong password come before the login.
    fn login(
        &mut self,
        at: i64,
        user: &Rc<str>,
        ip: IpAddr,
        program: Program,
        random: &mut Random,
    ) {
        if random.below(60) == 0 {
            for n in 0..=random.below(3) {
                let before = at - 5 - 9 * n.cast_signed();
                self.log(before, user, ip, Outcome::Failure, program);
            }
        }
        self.log(at, user, ip, Outcome::Success, program);
    }

    pub(crate) fn write(&mut self, person: &Person, random: &mut Random) {
        let mut person = person.clone();
        let begin = match person.oddity {
            Oddity::New => self.days / 3 + random.below(self.days / 2),
            _ => 0,
        };
        let moves = self.days / 4 + random.below(self.days / 2);
        let trips = self.trips(&person, random);
        let exits = self.exits(&person, random);
        let begins_vpn = if random.below(3) == 0 { random.below(self.days) } else { 0 };
        // The number of logins a day.
        let (desktop, phone) = (1 + random.below(6), random.below(9));
        for day in begin..self.days {
            if person.oddity == Oddity::Moves && day == moves {
                let country = Some(person.country);
                person.home =
                    (*random.pick(&self.world.of(&[Purpose::Home], country)), random.number());
                person.mobile = *random.pick(&self.world.of(&[Purpose::Mobile], country));
            }
            if person.oddity == Oddity::Rare && day % 7 != person.group % 7 {
                continue;
            }
            let midnight = self.start + DAY * day.cast_signed();
            let trip = trips.iter().find(|trip| trip.days.contains(&day));
            let is_workday = day % 7 < 5;
            for _ in 0..desktop {
                let at = midnight + 7 * HOUR + random.below(15 * 3600).cast_signed();
                let is_at_work = is_workday && (8..17).contains(&((at - midnight) / HOUR));
                let home = person.home(self.world, day, random);
                let ip = match (person.oddity, trip) {
                    (_, Some(trip)) if random.below(5) > 0 => trip.hotel,
                    (Oddity::Office, _) if is_at_work => self.shared_address(&person),
                    (Oddity::Household, _) => self.shared_address(&person),
                    (Oddity::Vpn | Oddity::RovingVpn, _) if day >= begins_vpn => {
                        self.world.networks[*random.pick(&exits)].v4(random.number())
                    }
                    (Oddity::CompanyVpn, _) if is_at_work => {
                        self.world.networks[exits[0]].v4(person.group)
                    }
                    _ => home,
                };
                let program = *random.pick(&[Program::Imap, Program::Imap, Program::Submission]);
                self.login(at, &person.name, ip, program, random);
            }
            if person.oddity == Oddity::Webmail {
                for _ in 0..=random.below(4) {
                    let at = midnight + 8 * HOUR + random.below(13 * 3600).cast_signed();
                    self.login(at, &person.name, WEBMAIL, Program::Imap, random);
                }
            }
            for _ in 0..phone {
                let at = midnight + 6 * HOUR + random.below(17 * 3600).cast_signed();
                let network = match trip {
                    Some(trip) => trip.roaming.unwrap_or(person.mobile),
                    None if person.oddity == Oddity::Border && random.below(2) == 0 => exits[0],
                    None => person.mobile,
                };
                let ip = person.mobile(self.world, network, random);
                self.login(at, &person.name, ip, Program::Imap, random);
            }
        }
        self.accidents(&person, &exits, random);
    }

    /// The networks that the user's oddity needs.
    fn exits(&self, person: &Person, random: &mut Random) -> Vec<usize> {
        let some = |from: Vec<usize>, count: u64, random: &mut Random| -> Vec<usize> {
            (0..count).map(|_| *random.pick(&from)).collect()
        };
        match person.oddity {
            Oddity::Vpn => {
                let count = 2 + random.below(12);
                some(self.world.of(&[Purpose::Vpn], None), count, random)
            }
            Oddity::RovingVpn => {
                let count = 3 + random.below(8);
                some(self.world.of(&[Purpose::Hosting], None), count, random)
            }
            Oddity::CompanyVpn => {
                let country = COUNTRIES[usize::try_from(random.below(12)).unwrap_or(0)];
                let networks = self.world.of(&[Purpose::Hosting, Purpose::Home], Some(country));
                vec![*random.pick(&networks)]
            }
            Oddity::Fetched => {
                let all = self.world.of(&[Purpose::Fetcher], None);
                let asn = self.world.networks[*random.pick(&all)].asn;
                all.into_iter().filter(|i| self.world.networks[*i].asn == asn).collect()
            }
            _ => {
                let country = COUNTRIES.iter().find(|country| **country != person.country);
                some(self.world.of(&[Purpose::Mobile], country.copied()), 1, random)
            }
        }
    }

    fn trips(&self, person: &Person, random: &mut Random) -> Vec<Trip> {
        let mut trips = Vec::new();
        match person.oddity {
            Oddity::Traveller => {
                let mut day = 1 + random.below(self.days);
                for _ in 0..=random.below(4) {
                    let country = *random.pick(&COUNTRIES);
                    let days = day..day + 1 + random.below(7);
                    day = days.end + if random.below(2) == 0 { 0 } else { random.below(6) };
                    let hotels = self.world.of(&[Purpose::Home], Some(country));
                    let networks = self.world.of(&[Purpose::Mobile], Some(country));
                    trips.push(Trip {
                        days,
                        country,
                        hotel: self.world.networks[*random.pick(&hotels)].v4(random.number()),
                        roaming: (random.below(2) == 0).then(|| *random.pick(&networks)),
                    });
                }
            }
            Oddity::Conference => {
                let day = 3 + person.group % self.days;
                let country = COUNTRIES[usize::try_from(person.group % 30).unwrap_or(0)];
                let hotels = self.world.of(&[Purpose::Home], Some(country));
                let hotel = self.world.networks[hotels[0]].v4(4_000 + person.group);
                trips.push(Trip { days: day..day + 3, country, hotel, roaming: None });
            }
            _ => {}
        }
        trips.retain(|trip| trip.country != person.country);
        trips
    }

    /// The address of the office or of the household.
    fn shared_address(&self, person: &Person) -> IpAddr {
        let networks = self.world.of(&[Purpose::Home], Some(COUNTRIES[0]));
        let (network, first) = match person.oddity {
            Oddity::Household => (networks[1], 40_000),
            _ => (networks[0], 50_000),
        };
        self.world.networks[network].v4(first + person.group)
    }

    /// Writes events that happen once or in addition to the ordinary logins.
    fn accidents(&mut self, person: &Person, exits: &[usize], random: &mut Random) {
        let day = 1 + random.below(self.days - 1);
        let at = self.start + DAY * day.cast_signed() + random.below(86_400).cast_signed();
        match person.oddity {
            Oddity::StalePhone => self.stale_phone(person, at, random),
            Oddity::Fetched => {
                let begin = if random.below(2) == 0 { self.start } else { at };
                let mut at = begin + random.below(7200).cast_signed();
                while at < self.start + DAY * self.days.cast_signed() {
                    let ip = self.world.networks[*random.pick(exits)].v4(random.below(900));
                    self.log(at, &person.name, ip, Outcome::Success, Program::Pop3);
                    at += 2 * HOUR + random.below(300).cast_signed() - 150;
                }
            }
            Oddity::ManyMailboxes => self.many_mailboxes(person, at, random),
            Oddity::Autoconfig => self.autoconfig(person, at, random),
            Oddity::Office | Oddity::Household | Oddity::Conference => {
                self.wrong_names(person, random);
            }
            _ => {}
        }
    }

    /// A phone with an old password fails 50 to 400 times from changing addresses, until the user types
    /// the new password.
    fn stale_phone(&mut self, person: &Person, at: i64, random: &mut Random) {
        let mut at = at;
        let step = 60 + random.below(1200);
        let is_at_home = random.below(3) == 0;
        let mut ip = person.mobile(self.world, person.mobile, random);
        for _ in 0..50 + random.below(350) {
            at += random.below(2 * step).cast_signed();
            if random.below(12) == 0 {
                ip = person.mobile(self.world, person.mobile, random);
            }
            if is_at_home {
                let day = u64::try_from((at - self.start) / DAY).unwrap_or(0);
                ip = person.home(self.world, day, random);
            }
            self.log(at, &person.name, ip, Outcome::Failure, Program::Imap);
        }
        self.log(at + 120, &person.name, ip, Outcome::Success, Program::Imap);
    }

    fn many_mailboxes(&mut self, person: &Person, at: i64, random: &mut Random) {
        let ip = person.mobile(self.world, person.mobile, random);
        let count = 1 + random.below(4);
        let domain = person.name.rsplit('@').next().unwrap_or_default();
        let boxes: Vec<Rc<str>> = ["sales", "jobs", "billing", "club"]
            .iter()
            .take(usize::try_from(count).unwrap_or(1))
            .map(|local| format!("{local}-{}@{domain}", person.group).into())
            .collect();
        // Before the change of passwords, the mailboxes worked.
        for day in 0..self.days {
            let midnight = self.start + DAY * day.cast_signed();
            for name in &boxes {
                let before = midnight + random.below(86_000).cast_signed();
                if before < at {
                    let home = person.home(self.world, day, random);
                    self.login(before, name, home, Program::Imap, random);
                }
            }
        }
        for n in 0..40 {
            for name in &boxes {
                self.log(at + n * 5 * MINUTE, name, ip, Outcome::Failure, Program::Imap);
            }
        }
        self.log(at + 201 * MINUTE, &person.name, ip, Outcome::Success, Program::Imap);
        for name in &boxes {
            self.log(at + 206 * MINUTE, name, ip, Outcome::Success, Program::Imap);
        }
    }

    fn autoconfig(&mut self, person: &Person, at: i64, random: &mut Random) {
        let day = u64::try_from((at - self.start) / DAY).unwrap_or(0);
        let ip = if random.below(2) == 0 {
            person.mobile(self.world, person.mobile, random)
        } else {
            person.home(self.world, day, random)
        };
        let (local, domain) = person.name.split_once('@').unwrap_or((&person.name, ""));
        let names = [
            local.to_owned(),
            format!("{local}@mail.{domain}"),
            format!("{local}@imap.{domain}"),
            format!("{local}@www.{domain}"),
        ];
        for (seconds, name) in (0..).step_by(4).zip(names) {
            self.log(at + seconds, &name.into(), ip, Outcome::Failure, Program::Imap);
        }
        self.log(at + 60, &person.name, ip, Outcome::Success, Program::Imap);
    }

    /// Attempts with mistyped user names: a missing letter, or a wrong domain.
    fn wrong_names(&mut self, person: &Person, random: &mut Random) {
        for day in 0..self.days {
            if random.below(25) > 0 {
                continue;
            }
            let ip = self.shared_address(person);
            let at = self.start + DAY * day.cast_signed() + 8 * HOUR;
            let at = at + random.below(9 * 3600).cast_signed();
            let wrong: Rc<str> = if random.below(2) == 0 {
                person.name.replacen('e', "", 1).into()
            } else {
                person.name.replacen("example", "exmaple", 1).into()
            };
            self.log(at, &wrong, ip, Outcome::Failure, Program::Submission);
            self.log(at + 40, &person.name, ip, Outcome::Success, Program::Submission);
        }
    }
}

/// The web server of the webmail.
const WEBMAIL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
