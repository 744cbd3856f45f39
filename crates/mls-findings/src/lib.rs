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
//! | `guessed` | A's network failed on 3 other names in the 24 hours before the login, or up to an hour after it. Names do not count if they have logged in from this network; up to 4 names do not count if nobody has them and they differ from U only after the `@`, or if they log in where U does. Networks from which 3 other users have logged in are not reported, and neither are networks that U used before the failures. |
//! | `spread` | U logged in from 4 countries, or 5 autonomous systems, within 6 hours where U was never seen before. One fewer is enough within 2 hours. If U has been seen in several places within such a time before, it takes 2 more than that. The finding names the first of these logins. |
//! | `targeted` | 8 addresses failed on U within 3 or 7 days, more than twice as many as on nine of ten other users, and A is in a country or an autonomous system where U was never seen. |
//!
//! Until a user has been known for a day, `spread` needs twice as many places, and `targeted` does
//! not apply. Attempts without country and autonomous system count for `guessed` only. Internal
//! addresses (webmail, for example) are never reported.
//!
//! There is one finding for each rule, user and day. A place that was reported does not become a
//! place where the user was seen.
//!
//! # Memory
//! At most [`MAX_USERS`] users, [`MAX_NETWORKS`] networks with logins, as many with failures, and
//! [`MAX_ATTACKS`] pairs of attacked user and network are remembered. When one of these tables is
//! full, the half that was not seen for longest is forgotten. Together they stay below 40 MiB.
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
