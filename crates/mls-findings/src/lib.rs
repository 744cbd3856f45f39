//! Finds logins that may not have been made by the user: a pure function of recorded attempts.
//!
//! A [`Detector`] observes failures and successes in order of time, or nearly so, and returns each
//! [`Finding`](mls_event::Finding) as soon as the data shows it. It does no I/O and has no clock: the same
//! data always gives the same findings. So a report can run it over the past, and mls-alert can run
//! it while it follows the record.
//!
//! # Rules
//! Thresholds are those of [`Settings`]; the numbers here are the defaults. A *network* is an IPv4
//! address or an IPv6 /64.
//!
//! | rule | a login of user U from address A is reported when |
//! |---|---|
//! | `guessed` | A's network failed on 3 other names in the 24 hours before the login, or up to an hour after it. Where U has been at home for a day (the same country and autonomous system), it takes 9 names: users of a mobile network share addresses with infected machines. |
//! | `spread` | U logged in from 4 countries, or 5 autonomous systems, within 6 hours where U was never seen before. If U has been seen in several places within such a time before, it takes 2 more than that. The finding names the first of these logins. |
//! | `targeted` | 8 addresses failed on U within 3 or 7 days, far more than on nine of ten other users (twice as many, or half more and at least nine more), and A is in a country where U was never seen. It may also be in an autonomous system where U was never seen, if the attack came from 3 others. |
//!
//! `guessed` is silent if
//! - 3 other users have logged in from the network, and nothing was suspicious about them: it is
//!   shared, as that of an office is;
//! - U used the network more than an hour before the first of the failures.
//!
//! These names do not count for it: names that have logged in from this network; and up to 4 names
//! that nobody has and that differ from U only after the `@` (a mail program tries them), or that
//! log in where U does (several mailboxes of one person).
//!
//! Until a user has been known for a day and has logged in 3 times, `spread` needs twice as many
//! places, and `targeted` does not apply. Failures from a country and system where U logs in are
//! U's own, and are no attack. Attempts without country and autonomous system count for `guessed`
//! only. Logins from internal addresses (webmail, for example) are never reported; they only show
//! that the user is known.
//!
//! There is one finding for each rule, user and day. A place that was reported does not become a
//! place where the user was seen.
//!
//! # Memory
//! At most [`MAX_USERS`] users, [`MAX_NETWORKS`] networks with logins, as many with failures, and
//! [`MAX_ATTACKS`] pairs of attacked user and network are remembered. When one of these tables is
//! full, the half that was not seen for longest is forgotten. Measured: mls-report takes 47 MiB for
//! a million failures, and 72 MiB with a million logins besides, of 20,000 addresses and 4,000
//! users with 10,000 findings.
//!
//! # Example
//! ```
//! use mls_event::{Auth, Outcome, Rule, Timestamp};
//! use mls_findings::{Observation, Detector, Settings};
//!
//! let mut detector = Detector::new(Settings::default());
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
mod settings;
mod user;

pub use advice::{Step, steps};
pub use attack::MAX_ATTACKS;
pub use detector::Detector;
pub use network::MAX_NETWORKS;
pub use observation::Observation;
pub use settings::Settings;
pub use user::MAX_USERS;
