//! Collects data about each server: the number of attempts, the time of the last attempt, and the
//! usual pause between attempts. Attempts of any outcome count for pauses.
//!
//! A server is *silent* at the end of the period if there was no attempt for more than two hours,
//! and for more than [`SILENT_TIMES`] times its *usual pause*. To find the usual pause, mls-report
//! takes the longest pause of each of the last 30 days on which the server had attempts, at least
//! [`MIN_DAYS`] days. The usual pause is the median of these pauses. So one long outage in the past
//! does not change it much.

use std::collections::{HashMap, VecDeque};

use chrono::{Datelike, NaiveDate, NaiveDateTime};
use foldhash::fast::RandomState;
use mls_attempts::Attempt;

use crate::history::DAYS;
use crate::period::PeriodPart;
use crate::report::MANY;

/// Largest number of servers that are counted separately. There must be a limit, because anybody
/// can send any name to a central log host.
const MAX_SERVERS: usize = 10_000;

/// A server is silent after a pause of more than this number of usual pauses.
pub(crate) const SILENT_TIMES: i64 = 3;

/// A pause of up to this number of minutes is never silence, because the logs of many servers are
/// read only once an hour.
const MIN_PAUSE: i64 = 120;

/// Smallest number of days with attempts from which the usual pause is computed.
const MIN_DAYS: usize = 3;

#[derive(Debug, Default)]
pub(crate) struct Servers {
    numbers: HashMap<Box<str>, usize, RandomState>,
    /// Number 0 collects attempts without a server name, and servers above [`MAX_SERVERS`].
    by_number: Vec<Server>,
    /// The number of the server of the last attempt. Most inputs have only one server.
    last: usize,
    /// The last argument and result of `day()`.
    day: Option<([u8; 10], i64)>,
    is_full: bool,
}

/// One server. Minutes are counted from the year 1.
#[derive(Debug, Default)]
pub(crate) struct Server {
    /// The name of the server; empty if it is unknown.
    pub(crate) name: Box<str>,
    /// Failed logins in the period.
    pub(crate) attempts: u64,
    /// Number of different addresses with failed logins in the period.
    pub(crate) addresses: u64,
    /// The minute of the last attempt.
    last: Option<i64>,
    /// The day of the last attempt.
    day: i64,
    /// For each of the last days with attempts, the longest pause in minutes that ended on this
    /// day.
    pauses: VecDeque<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Silence {
    pub(crate) last: NaiveDateTime,
    /// In minutes.
    pub(crate) pause: i64,
    /// In minutes.
    pub(crate) usual: i64,
}

impl Servers {
    pub(crate) fn new() -> Self {
        Self { by_number: vec![Server::default()], ..Self::default() }
    }

    /// Observes an attempt of any outcome, and returns the number of its server.
    pub(crate) fn observe(&mut self, attempt: &Attempt<'_>, part: PeriodPart) -> usize {
        let number = self.number(attempt.server.unwrap_or_default());
        if part != PeriodPart::After
            && let Some(minute) = self.minute(attempt.date)
        {
            self.by_number[number].observe(minute);
        }
        number
    }

    /// Counts failed logins in the period.
    pub(crate) fn add(&mut self, number: usize, attempts: u64) {
        self.by_number[number].attempts += attempts;
    }

    /// Counts an address that tried the server.
    pub(crate) fn add_address(&mut self, number: usize) {
        if let Some(server) = self.by_number.get_mut(number) {
            server.addresses += 1;
        }
    }

    pub(crate) fn named(&self) -> &[Server] {
        self.by_number.get(1..).unwrap_or_default()
    }

    /// Returns the number of failed logins in the period on servers without a name.
    pub(crate) fn unknown(&self) -> u64 {
        self.by_number.first().map_or(0, |server| server.attempts)
    }

    /// An attacker is widespread if it tries at least this number of servers.
    pub(crate) fn fewest_of_widespread(&self) -> u64 {
        (self.named().len() as u64).clamp(2, MANY.into())
    }

    /// Whether there are servers above the limit.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    fn number(&mut self, name: &str) -> usize {
        if *self.by_number[self.last].name == *name {
            return self.last;
        }
        let number = match self.numbers.get(name) {
            _ if name.is_empty() => 0,
            Some(number) => *number,
            None if self.by_number.len() > MAX_SERVERS => {
                self.is_full = true;
                0
            }
            None => {
                self.by_number.push(Server { name: name.into(), ..Server::default() });
                self.numbers.insert(name.into(), self.by_number.len() - 1);
                self.by_number.len() - 1
            }
        };
        self.last = number;
        number
    }

    /// The minute of a date; `None` if the date does not exist.
    fn minute(&mut self, date: &str) -> Option<i64> {
        let (day, time) = date.split_at_checked(10)?;
        let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
        Some(self.day(day)? * 1440 + number(1..3)? * 60 + number(4..6)?)
    }

    /// The number of a day, from the year 1; `None` if the day does not exist. Remembers the
    /// result, because most attempts have the same day as the attempt before.
    pub(crate) fn day(&mut self, text: &str) -> Option<i64> {
        match self.day {
            Some((last, day)) if last == text.as_bytes() => Some(day),
            _ => {
                let day = i64::from(text.parse::<NaiveDate>().ok()?.num_days_from_ce());
                self.day = text.as_bytes().try_into().ok().map(|text| (text, day));
                Some(day)
            }
        }
    }
}

impl Server {
    fn observe(&mut self, minute: i64) {
        let Some(last) = self.last else {
            (self.last, self.day) = (Some(minute), minute / 1440);
            self.pauses.push_back(0);
            return;
        };
        // An attempt that is recorded late says nothing about pauses.
        if minute <= last {
            return;
        }
        if minute / 1440 != self.day {
            self.day = minute / 1440;
            if self.pauses.len() == DAYS {
                self.pauses.pop_front();
            }
            self.pauses.push_back(0);
        }
        if let Some(longest) = self.pauses.back_mut() {
            *longest = (*longest).max(minute - last);
        }
        self.last = Some(minute);
    }

    /// The time of the last attempt, to the minute.
    pub(crate) fn last(&self) -> Option<NaiveDateTime> {
        let (days, minutes) = (self.last? / 1440, u32::try_from(self.last? % 1440).ok()?);
        let date = NaiveDate::from_num_days_from_ce_opt(i32::try_from(days).ok()?)?;
        date.and_hms_opt(minutes / 60, minutes % 60, 0)
    }

    /// Returns the silence, if the server is silent at `now`.
    pub(crate) fn silence(&self, now: NaiveDateTime) -> Option<Silence> {
        let last = self.last()?;
        let pause = (now - last).num_minutes();
        let mut pauses: Vec<_> = self.pauses.iter().copied().collect();
        pauses.sort_unstable();
        let usual = pauses.get(pauses.len() / 2).copied()?;
        let is_silent =
            pauses.len() >= MIN_DAYS && pause > MIN_PAUSE && pause > SILENT_TIMES * usual;
        is_silent.then_some(Silence { last, pause, usual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap()
    }

    /// A server with an attempt at each of these times.
    fn server(dates: &[String]) -> Server {
        let mut servers = Servers::new();
        let mut server = Server::default();
        for date in dates {
            server.observe(servers.minute(date).unwrap());
        }
        server
    }

    /// Returns a date every two hours on these days of June.
    fn dates(days: std::ops::RangeInclusive<u32>) -> Vec<String> {
        days.flat_map(|day| {
            (0..24).step_by(2).map(move |hour| format!("2026-06-{day:02} {hour:02}:30"))
        })
        .collect()
    }

    #[test]
    fn silence_is_three_times_the_usual_pause() {
        let server = server(&dates(1..=5));
        assert_eq!(server.last(), Some(at("2026-06-05 22:30")));
        assert!(server.silence(at("2026-06-06 04:30")).is_none());
        let silence = server.silence(at("2026-06-06 04:31")).unwrap();
        assert_eq!((silence.pause, silence.usual), (361, 120));
    }

    #[test]
    fn one_failure_of_the_past_does_not_hide_the_next_one() {
        let server = server(&[dates(1..=5), dates(15..=17)].concat());
        assert!(server.silence(at("2026-06-18 04:31")).is_some());
    }

    #[test]
    fn nothing_is_usual_before_the_third_day_and_two_hours_are_never_silence() {
        assert!(server(&dates(1..=2)).silence(at("2026-06-20 00:00")).is_none());
        let busy: Vec<_> = (1..=4)
            .flat_map(|day| {
                (0..1440).map(move |m| format!("2026-06-0{day} {:02}:{:02}", m / 60, m % 60))
            })
            .collect();
        let busy = server(&busy);
        assert!(busy.silence(at("2026-06-05 01:59")).is_none());
        assert!(busy.silence(at("2026-06-05 02:00")).is_some());
    }

    #[test]
    fn servers_beyond_the_limit_are_counted_together() {
        let mut servers = Servers::new();
        for i in 0..=MAX_SERVERS {
            let number = servers.number(&format!("mx{i}"));
            servers.add(number, 1);
        }
        assert_eq!((servers.named().len(), servers.unknown()), (MAX_SERVERS, 1));
        assert!(servers.is_full());
    }
}
