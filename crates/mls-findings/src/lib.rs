//! Finds logins that may not have been made by the user: a pure function of recorded attempts.
//!
//! A [`Detector`] observes failures and successes, nearly in the order of time, and returns each
//! [`Finding`](mls_event::Finding) as soon as the data shows it. The detector does no I/O and has
//! no clock, so the same data always gives the same findings. mls-report uses the detector for past
//! records, mls-alert for new records.
//!
//! # Rules
//! [`Suspicious`](mls_config::config::Suspicious) holds the thresholds. The numbers on this page are the defaults. A *network* is an
//! IPv4 address or an IPv6 /64. A *system* is an autonomous system. A *place* is a system in a country.
//!
//! | rule | a login of user U from address A is reported when |
//! |---|---|
//! | `guessed` | 3 other names failed at the network of A in the 24 hours before the login, or in the hour after the login. In a *local* system, more names are needed (see below). |
//! | `spread` | U logged in within 6 hours from 4 countries, or 5 systems, that were all new for U. If U usually uses many countries (or systems) within 6 hours, at least 2 more than usual are needed. The finding names the first of these logins. |
//! | `targeted` | 8 addresses failed on U within 1, 3 or 7 days, and A is in a country that is new for U. If the attack came from 3 systems, without the system of A, then a system that is new for U is enough. For 90 % of the other users, fewer than half as many addresses must have failed. The 7 days count only if the attack goes on: a third of the addresses failed in the last 3 days. |
//!
//! `guessed` reports nothing if
//! - 3 other users have logged in from the network and were not suspicious: the network is shared,
//!   for example by an office;
//! - U used the network more than an hour before the first failure.
//!
//! In a mobile network, users share addresses with infected machines. So a system is *local* if 3
//! other users have logged in from it, or if U logged in from it a day ago or earlier. Logins from
//! suspicious places do not count. The country does not matter, because a VPN has one system and
//! exits in many countries. In a local system,
//! - 3 names must have failed for each user who has logged in from the network, because guessing
//!   gives many failures for each success;
//! - the login must be close to the guesses: another name failed at most an hour before or after
//!   the login, or the time from the login to the nearest failure is not longer than the time from
//!   the first to the last of the 3 nearest failures.
//!
//! In two cases an honest login is likely. In these cases, another name must have failed at most 2
//! minutes (not an hour) before or after the login:
//! - U changes addresses in the system, as a phone does: at least 2 of the last 4 networks of U are
//!   at places in the system that are not suspicious. The network of the login does not count.
//! - The system is local because of other users, and the past of U is unknown, for example on the
//!   first day of a log.
//!
//! Some failed names, and the times of their failures, do not count for `guessed`:
//! - names that have logged in from this network;
//! - names that never logged in and that differ from U only after the `@`, because mail programs
//!   try such names;
//! - names that log in from other networks of U, because one person can have several mailboxes.
//!
//! The last two points exclude at most 4 names together.
//!
//! `targeted` needs an attack that goes on. A correct guess is itself a login, so there is no pause
//! between the guesses and the login. The rules do not find these attackers:
//! - An attacker who learned the password elsewhere, and waits until 3 days after the last guesses.
//! - An attacker with an address in the mobile network of U, if the guesses are more than 2 minutes
//!   apart, or if the login is more than 2 minutes after the last guess. Such a login looks like a
//!   login of U from a new address.
//!
//! The past of U is known if U has logged in 3 times, and the first time was a day ago or earlier.
//! If the past is unknown, `spread` needs twice as many places, and `targeted` is off. Failures
//! from a country and system where U logs in count as mistakes of U, not as an attack. Attempts
//! without country and system count only for `guessed`. Logins from internal addresses, for example
//! through webmail, are never reported. They only show that the user exists.
//!
//! There is at most one finding for each rule, user and day. The day comes from the recorded date:
//! the text in a CSV, or the date of a record in its own UTC offset. So the day does not depend on
//! the time zone of a run. The place of a reported login stays new for the user.
//!
//! # Memory
//! The detector remembers at most [`MAX_USERS`] users, [`MAX_NETWORKS`] networks with logins, as
//! many networks with failures, 4096 systems, and [`MAX_ATTACKS`] pairs of attacked user and
//! network. For each user, it remembers the last 512 networks that attacked. If a table is full,
//! the detector forgets the older half of its entries. Measured: mls-report takes
//! 47 MiB for a million failures, and 72 MiB if a million logins are added (20,000 addresses, 4,000
//! users, 10,000 findings).
//!
//! # Example
//! ```
//! use mls_event::{Auth, Outcome, Rule, Timestamp};
//! use mls_config::config::Suspicious;
//! use mls_findings::{Detector, Observation};
//!
//! let mut detector = Detector::new(&Suspicious::default());
//! let mut found = Vec::new();
//! let attempts = [
//!     (Outcome::Failure, "anna"),
//!     (Outcome::Failure, "bert"),
//!     (Outcome::Failure, "carl"),
//!     (Outcome::Success, "dora"),
//! ];
//! for (minute, (outcome, user)) in attempts.into_iter().enumerate() {
//!     let date = Timestamp::parse(format!("2026-06-01T03:0{minute}:00Z")).unwrap();
//!     let mut auth = Auth::new(date, outcome);
//!     auth.ip = "203.0.113.9".parse().ok();
//!     auth.user = Some(user.into());
//!     detector.observe(&Observation::from(&auth), &mut found);
//! }
//! assert_eq!((found[0].rule, &*found[0].user), (Rule::Guessed, "dora"));
//! ```

#![warn(missing_docs)]

mod advice;
mod attack;
mod bounded;
mod detector;
mod evidence;
mod network;
mod observation;
mod system;
mod user;

pub use advice::{Step, steps};
pub use attack::MAX_ATTACKS;
pub use detector::Detector;
pub use network::MAX_NETWORKS;
pub use observation::{Observation, is_internal};
pub use user::MAX_USERS;
