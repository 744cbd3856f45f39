//! A simulated mail server: its users with their habits and accidents, attackers, and the list of
//! compromised accounts.
//!
//! The behaviour of users and attackers is independent of the rules that find suspicious logins. The
//! same options always give the same server.

mod attackers;
mod output;
mod people;
mod score;
mod world;

use std::net::IpAddr;
use std::rc::Rc;

use mls_event::{Outcome, Rule};

use crate::random::Random;
use attackers::Attackers;
use people::EventWriter;
use world::World;

pub use attackers::Compromise;
pub use people::{Oddity, Person};
pub use score::Score;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// 1 June 2026.
const START: i64 = 1_780_272_000;

/// The size and the contents of a server.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Seed of the random numbers
    #[arg(long, default_value_t = Self::default().seed)]
    pub seed: u64,
    /// Number of users
    #[arg(long, default_value_t = Self::default().users, value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,
    /// Number of days from 1 June 2026
    #[arg(long, default_value_t = Self::default().days, value_parser = clap::value_parser!(u64).range(5..=1000))]
    pub days: u64,
    /// Number of honest users whose behaviour is unusual
    #[arg(long, default_value_t = Self::default().odd)]
    pub odd: u64,
    /// Number of compromised accounts. Each of the three methods compromises a third of them
    #[arg(long, default_value_t = Self::default().compromised)]
    pub compromised: u64,
    /// Spraying campaigns of each botnet in ten days
    #[arg(long, default_value_t = Self::default().spray)]
    pub spray: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, users: 500, days: 30, odd: 165, compromised: 26, spray: 60 }
    }
}

/// The service that a client logs in to. The same service logs the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Postfix's submission service
    Submission,
    /// Dovecot's IMAP service
    Imap,
    /// Dovecot's POP3 service
    Pop3,
}

/// An attempt to log in.
#[derive(Clone, Debug)]
pub struct Event {
    /// Seconds since 1970.
    pub at: i64,
    /// User name as sent.
    pub user: Rc<str>,
    /// Address of the client.
    pub ip: IpAddr,
    /// Failure or success.
    pub outcome: Outcome,
    /// Number of attempts that the line reports.
    pub attempts: u32,
    /// The service that logged the attempt.
    pub program: Program,
}

/// The attempts at a server, and the accounts that attackers got into.
#[derive(Debug)]
pub struct Server {
    /// The options that made this server.
    pub options: Options,
    /// All attempts, in order of time.
    pub events: Vec<Event>,
    /// All users.
    pub people: Vec<Person>,
    /// The accounts that attackers got into.
    pub compromised: Vec<Compromise>,
    world: World,
}

impl Server {
    /// Makes a server.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed ^ 0x5e7e_0001);
        let world = World::new(&mut random);
        let people = people(options, &world, &mut random);
        let mut events = Vec::new();
        let (start, days) = (START, options.days);
        let mut writer = EventWriter { world: &world, start, days, events: &mut events };
        for person in &people {
            writer.write(person, &mut random);
        }
        let mut attackers =
            Attackers { world: &world, people: &people, start, days, events: &mut events };
        attackers.spray(options.spray, &mut random);
        let mut compromised = Vec::new();
        // Spread compromised accounts over unusual users (who come first) and ordinary users.
        for n in 0..options.compromised {
            let rule = Rule::ALL[usize::try_from(n % 3).unwrap_or(0)];
            let user = n * options.users / options.compromised;
            let user = &people[usize::try_from(user).unwrap_or(0)];
            compromised.push(attackers.break_in(user, rule, &mut random));
        }
        for _ in 0..options.users / 60 {
            let user = random.pick(&people);
            if compromised.iter().all(|compromise| compromise.user != user.name) {
                attackers.attack(user, &mut random);
            }
        }
        let end = start + DAY * days.cast_signed();
        events.retain(|event| (start..end).contains(&event.at));
        events.sort_by_key(|event| event.at);
        Self { options, events, people, compromised, world }
    }
}

/// Makes the users. Users with an oddity come first.
fn people(options: Options, world: &World, random: &mut Random) -> Vec<Person> {
    (0..options.users)
        .map(|n| {
            let oddity = if n < options.odd { people::draw(random) } else { Oddity::None };
            let group = match oddity {
                Oddity::Office => random.below(1 + options.odd / 40),
                Oddity::Conference => random.below(2),
                Oddity::Household => random.below(1 + options.odd / 50),
                _ => random.below(1000),
            };
            let name = format!("u{n}@example.org").into();
            Person::new(name, oddity, group, world, random)
        })
        .collect()
}
