//! The sentence that says why a login is suspicious.

use std::fmt::Write;
use std::net::IpAddr;

use chrono::{DateTime, FixedOffset};
use mls_diag::count;
use mls_event::{display_place, display_text};

use crate::network::{Guesses, MAX_FAILED};
use crate::observation::{Place, Seconds};
use crate::user::Spread;

/// Largest number of characters of a name; longer names are cut.
const MAX_NAME: usize = 100;

/// The login that a sentence begins with.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) ip: IpAddr,
    pub(crate) place: Place,
    pub(crate) aso: Option<&'a str>,
    pub(crate) at: DateTime<FixedOffset>,
}

impl Login<'_> {
    /// `u17@example.org logged in from 203.0.113.9 (VN, AS64512 Example) on 2026-06-01 at 03:12`
    fn begin(&self) -> String {
        let mut text = format!("{} logged in from {}", name(self.user), self.ip);
        let country = self.place.country.map(|code| String::from_utf8_lossy(&code).into_owned());
        let aso = self.aso.map(shown);
        if let Some(place) = display_place(country.as_deref(), self.place.asn, aso.as_deref()) {
            let _ = write!(text, " ({place})");
        }
        let _ = write!(text, " on {} at {}", self.at.format(DAY), self.at.format(CLOCK));
        text
    }

    pub(crate) fn guessed(&self, guesses: &Guesses) -> String {
        let network = match self.ip {
            IpAddr::V4(_) => "address",
            IpAddr::V6(_) => "network (/64)",
        };
        let more = if guesses.times.len() >= MAX_FAILED - 1 { "at least " } else { "" };
        let names = count(guesses.times.len() as u64, "other name", "other names");
        let names = format!("failed on {more}{names}");
        let at = seconds(self.at).unwrap_or_default();
        let begin = self.begin();
        if guesses.last > at {
            let (first, last) = (self.clock(guesses.first), self.clock(guesses.last));
            let when = if first == last {
                format!("at {last}")
            } else {
                format!("from {first} to {last}")
            };
            return format!("{begin}; the same {network} {names} {when}");
        }
        format!("{begin}, {} after the same {network} {names}", length(at - guesses.last))
    }

    /// Returns the time: `03:12`, or `2026-06-02 03:12` if the day is not the day of the login.
    fn clock(&self, at: Seconds) -> String {
        let at = DateTime::from_timestamp(at.into(), 0).unwrap_or_default();
        let at = at.with_timezone(&self.at.timezone());
        let clock = at.format(CLOCK);
        if at.date_naive() == self.at.date_naive() {
            return clock.to_string();
        }
        format!("{} {clock}", at.format(DAY))
    }

    /// `within` is the time from the first login at a new place to the newest login, in seconds.
    pub(crate) fn spread(&self, spread: &Spread, within: Seconds) -> String {
        let all = spread.countries.len();
        let what = if all == 0 {
            format!("{} autonomous systems", spread.systems)
        } else {
            let countries = spread.countries.iter().take(8);
            let countries: Vec<_> = countries.map(|code| String::from_utf8_lossy(code)).collect();
            let rest = all - countries.len();
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            format!("{all} countries ({}{more})", countries.join(", "))
        };
        format!(
            "{}; within {}, this user logged in from {what} that are new for this user",
            self.begin(),
            length(within)
        )
    }

    pub(crate) fn targeted(&self, addresses: u32, days: Seconds, is_new_country: bool) -> String {
        let place = if is_new_country { "a country" } else { "an autonomous system" };
        format!(
            "{}, from {place} that is new for this user, after {} failed on this name within {}",
            self.begin(),
            count(addresses.into(), "address", "addresses"),
            count(days.into(), "day", "days"),
        )
    }
}

/// Returns the seconds since 1970; `None` before 1970 and after 2106.
pub(crate) fn seconds(at: DateTime<FixedOffset>) -> Option<Seconds> {
    Seconds::try_from(at.timestamp()).ok()
}

const DAY: &str = "%Y-%m-%d";
const CLOCK: &str = "%H:%M";

/// `4 minutes`
fn length(seconds: Seconds) -> String {
    match seconds {
        0..60 => "less than a minute".into(),
        60..7200 => count((seconds / 60).into(), "minute", "minutes"),
        7200..172_800 => count((seconds / 3600).into(), "hour", "hours"),
        _ => count((seconds / 86_400).into(), "day", "days"),
    }
}

/// Returns a user name for a sentence. A name with unusual characters, such as a space, is quoted.
fn name(user: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "@._+-=".contains(c);
    let text = shown(user);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Returns the text with unprintable characters replaced, cut after [`MAX_NAME`] characters.
fn shown(text: &str) -> String {
    let text = display_text(text);
    match text.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
