//! The attempts of attackers: botnets that spray passwords, attacks on one account, and successful
//! attacks.

use std::net::IpAddr;
use std::rc::Rc;

use mls_event::{Outcome, Rule};

use super::people::Person;
use super::world::{Purpose, World};
use super::{DAY, Event, HOUR, MINUTE, Program};
use crate::random::Random;

/// A compromised account.
#[derive(Clone, Debug)]
pub struct Compromise {
    /// The rule that must find this attack.
    pub rule: Rule,
    /// The account.
    pub user: Rc<str>,
    /// Time of the attacker's first login, in seconds since 1970.
    pub at: i64,
    /// Address of the attacker's first login.
    pub ip: IpAddr,
}

const COMMON_NAMES: [&str; 16] = [
    "admin",
    "info",
    "test",
    "postmaster",
    "support",
    "sales",
    "root",
    "office",
    "scan",
    "noreply",
    "webmaster",
    "contact",
    "user",
    "mail",
    "backup",
    "hr",
];

pub(crate) struct Attackers<'a> {
    pub(crate) world: &'a World,
    pub(crate) people: &'a [Person],
    pub(crate) start: i64,
    pub(crate) days: u64,
    pub(crate) events: &'a mut Vec<Event>,
}

impl Attackers<'_> {
    fn log(&mut self, at: i64, user: &Rc<str>, ip: IpAddr, outcome: Outcome, program: Program) {
        let attempts = if program == Program::Imap && outcome == Outcome::Failure { 2 } else { 1 };
        self.events.push(Event { at, user: Rc::clone(user), ip, outcome, program, attempts });
    }

    /// The address of a bot: an infected machine in a home or mobile network, or a rented server.
    fn bot(&self, random: &mut Random) -> IpAddr {
        let purposes = match random.below(10) {
            0..6 => [Purpose::Home, Purpose::Home],
            6 => [Purpose::Mobile, Purpose::Mobile],
            _ => [Purpose::Hosting, Purpose::Hosting],
        };
        let network = &self.world.networks[*random.pick(&self.world.of(&purposes, None))];
        // Offices and households have numbers from 40,000 on, so no bot has their address.
        if random.below(8) == 0 {
            network.v6(random.number(), random.number())
        } else {
            network.v4(300 + random.below(30_000))
        }
    }

    fn name(&self, random: &mut Random) -> Rc<str> {
        match random.below(10) {
            0..5 => Rc::clone(&random.pick(self.people).name),
            5..8 => format!("{}@example.org", random.pick(&COMMON_NAMES)).into(),
            8 => (*random.pick(&COMMON_NAMES)).into(),
            _ => format!("x{}@example.org", random.below(100_000)).into(),
        }
    }

    /// Password spraying. Some botnets try many names from each address, others only one to three.
    pub(crate) fn spray(&mut self, intensity: u64, random: &mut Random) {
        for _ in 0..2 + random.below(3) {
            let bots: Vec<_> = (0..20 + random.below(300)).map(|_| self.bot(random)).collect();
            let is_slow = random.below(2) == 0;
            let campaigns = intensity * self.days / 10;
            for _ in 0..campaigns {
                let ip = *random.pick(&bots);
                let mut at = self.start + random.below(self.days * 86_400).cast_signed();
                let names = if is_slow { 1 + random.below(3) } else { 5 + random.below(60) };
                let pause = if is_slow { 3 * HOUR } else { 10 + random.below(600).cast_signed() };
                for _ in 0..names {
                    let program = *random.pick(&[Program::Submission, Program::Imap]);
                    let name = self.name(random);
                    self.log(at, &name, ip, Outcome::Failure, program);
                    at += random.below(2 * pause.cast_unsigned()).cast_signed();
                }
            }
        }
    }

    /// An attack on one account that never succeeds.
    pub(crate) fn attack(&mut self, user: &Person, random: &mut Random) {
        let day = random.below(self.days).cast_signed();
        self.guesses(user, self.start + DAY * day, 1 + random.below(4), random);
    }

    /// Guesses the password of one user from many addresses over some days. Returns the addresses and
    /// the time of the last guess.
    fn guesses(
        &mut self,
        user: &Person,
        start: i64,
        days: u64,
        random: &mut Random,
    ) -> (Vec<IpAddr>, i64) {
        let count = 12 + random.below(70);
        let bots: Vec<_> = (0..count).map(|_| self.bot(random)).collect();
        let length = days * 86_400;
        let mut end = start;
        for ip in &bots {
            for _ in 0..=random.below(4) {
                let at = start + random.below(length).cast_signed();
                end = end.max(at);
                self.log(at, &user.name, *ip, Outcome::Failure, Program::Submission);
            }
        }
        (bots, end)
    }

    /// Gets into the account of `user` and uses it.
    pub(crate) fn break_in(
        &mut self,
        user: &Person,
        rule: Rule,
        random: &mut Random,
    ) -> Compromise {
        let day = 3 + random.below(self.days.saturating_sub(4).max(1));
        let at = self.start + DAY * day.cast_signed() + random.below(86_400).cast_signed();
        match rule {
            Rule::Guessed => self.guess(user, at, random),
            Rule::Spread => self.roam(user, at, random),
            Rule::Targeted => self.target(user, at, random),
        }
    }

    /// One address, or one /64, tries many names. The guess for `user` succeeds.
    fn guess(&mut self, user: &Person, at: i64, random: &mut Random) -> Compromise {
        let bot = self.bot(random);
        let next_address = |random: &mut Random| match bot {
            IpAddr::V4(_) => bot,
            IpAddr::V6(ip) => {
                let subnet = ip.to_bits() >> 64 << 64;
                IpAddr::V6((subnet | u128::from(random.number() | 1)).into())
            }
        };
        let names = 4 + random.below(40);
        // Mean pause in seconds: from a burst to an attempt every 40 minutes.
        let pause = *random.pick(&[4, 20, 60, 300, 1200, 2400]);
        let mut before = at;
        let program = *random.pick(&[Program::Submission, Program::Imap]);
        for _ in 0..names {
            before -= 1 + random.below(2 * pause).cast_signed();
            let (name, ip) = (self.other_name(user, random), next_address(random));
            if at - before < 23 * HOUR {
                self.log(before, &name, ip, Outcome::Failure, program);
            }
        }
        let ip = next_address(random);
        self.log(at, &user.name, ip, Outcome::Success, program);
        let mut after = at;
        for _ in 0..random.below(30) {
            after += 1 + random.below(2 * pause).cast_signed();
            let (name, ip) = (self.other_name(user, random), next_address(random));
            self.log(after, &name, ip, Outcome::Failure, program);
        }
        self.abuse(user, at, &[ip], random);
        Compromise { rule: Rule::Guessed, user: Rc::clone(&user.name), at, ip }
    }

    fn other_name(&self, user: &Person, random: &mut Random) -> Rc<str> {
        loop {
            let name = self.name(random);
            if name != user.name {
                return name;
            }
        }
    }

    /// Adds later logins of the attacker from `addresses`.
    fn abuse(&mut self, user: &Person, at: i64, addresses: &[IpAddr], random: &mut Random) {
        for _ in 0..random.below(12) {
            let later = at + HOUR + random.below(3 * 86_400).cast_signed();
            let ip = *random.pick(addresses);
            self.log(later, &user.name, ip, Outcome::Success, Program::Submission);
        }
    }

    /// A botnet that knows the password logs in from many countries, or from many providers in the
    /// user's country.
    fn roam(&mut self, user: &Person, at: i64, random: &mut Random) -> Compromise {
        let is_near = random.below(4) == 0;
        let count = if is_near { 15 } else { 6 } + random.below(30);
        let near = self.world.of(&[Purpose::Home, Purpose::Mobile], Some(user.country));
        let bots: Vec<IpAddr> = (0..count)
            .map(|_| {
                if is_near {
                    self.world.networks[*random.pick(&near)].v4(300 + random.below(30_000))
                } else {
                    self.bot(random)
                }
            })
            .collect();
        let length = 20 * MINUTE + random.below(5 * 3600).cast_signed();
        let mut first = (at, bots[0]);
        for (n, ip) in bots.iter().enumerate() {
            let later =
                if n == 0 { at } else { at + random.below(length.cast_unsigned()).cast_signed() };
            if later < first.0 {
                first = (later, *ip);
            }
            self.log(later, &user.name, *ip, Outcome::Success, Program::Submission);
        }
        for day in 1..=random.below(4).cast_signed() {
            for ip in &bots {
                let later = at + DAY * day + random.below(length.cast_unsigned()).cast_signed();
                self.log(later, &user.name, *ip, Outcome::Success, Program::Submission);
            }
        }
        Compromise { rule: Rule::Spread, user: Rc::clone(&user.name), at: first.0, ip: first.1 }
    }

    /// Many addresses guess one user's password for days. Then an old or a new address logs in.
    fn target(&mut self, user: &Person, at: i64, random: &mut Random) -> Compromise {
        let days = 1 + random.below(4);
        let (bots, end) = self.guesses(user, at - DAY * days.cast_signed(), days, random);
        let at = end + MINUTE + random.below(12 * 3600).cast_signed();
        let known = self.world.of(&[Purpose::Home, Purpose::Mobile], Some(user.country));
        let is_strange = |ip: &IpAddr| {
            self.world.find(*ip).is_some_and(|network| network.country != user.country)
        };
        let ip = match random.below(3) {
            0 => bots.into_iter().find(is_strange),
            1 => None,
            // A residential proxy in the user's country.
            _ => Some(self.world.networks[known[known.len() - 1]].v4(900 + random.below(9_000)))
                .filter(|_| user.is_stranger_to(known[known.len() - 1])),
        };
        let ip = ip.unwrap_or_else(|| {
            loop {
                let ip = self.bot(random);
                if is_strange(&ip) {
                    break ip;
                }
            }
        });
        self.log(at, &user.name, ip, Outcome::Success, Program::Submission);
        self.abuse(user, at, &[ip], random);
        Compromise { rule: Rule::Targeted, user: Rc::clone(&user.name), at, ip }
    }
}
