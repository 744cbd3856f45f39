//! `--account USER`: all logins and the suspicious logins of one account.
//!
//! # JSON
//! One object with these members:
//!
//! | member | meaning |
//! |---|---|
//! | `account` | the user name |
//! | `from`, `to` | as in [`report`](crate::report) |
//! | `total` | number of logins |
//! | `failures` | number of failed logins |
//! | `logins` | the last 10,000 logins: `date`, `service`, `ip`, `country_code`, `asn`, `aso`, `queue_id`, and `first_seen`, the date of the first login from this address |
//! | `suspicious_logins` | as in [`report`](crate::report) |
//!
//! An unknown value is null. A CSV has no services and no queue IDs, so these are null.

use std::collections::VecDeque;
use std::fmt::Write;
use std::net::IpAddr;

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use mls_attempts::BatchedAttempt;
use mls_config::zone::Zone;
use mls_event::{Outcome, display_place, display_text};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::columns::{WIDTH, ellipsis, wrap};
use crate::period::Period;
use crate::suspicion::PeriodLogins;
use crate::words::number;

/// Largest number of logins to show. If there are more, the latest logins are shown.
const MAX_LOGINS: usize = 10_000;

/// Largest number of addresses whose first login is remembered.
const MAX_ADDRESSES: usize = 10_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct AccountLog {
    user: String,
    logins: VecDeque<AccountLogin>,
    first_seen: HashMap<IpAddr, DateTime<FixedOffset>, RandomState>,
    total: u64,
    failures: u64,
}

#[derive(Clone, Debug, Serialize)]
struct AccountLogin {
    date: DateTime<FixedOffset>,
    service: Option<String>,
    ip: Option<IpAddr>,
    country_code: Option<String>,
    asn: Option<u32>,
    aso: Option<String>,
    queue_id: Option<String>,
    first_seen: Option<DateTime<FixedOffset>>,
}

impl AccountLog {
    pub(crate) fn new(user: &str) -> Self {
        Self { user: user.to_owned(), ..Self::default() }
    }

    /// Returns whether this is the account of `user`. Letter case does not matter.
    pub(crate) fn is(&self, user: &str) -> bool {
        self.user.eq_ignore_ascii_case(user)
    }

    /// Records an attempt. A login outside the period only sets `first_seen`.
    pub(crate) fn observe(&mut self, login: &BatchedAttempt<'_>, is_inside: bool, zone: Zone) {
        let attempt = &login.observation;
        if !attempt.user.is_some_and(|user| self.is(user)) {
            return;
        }
        if attempt.outcome != Outcome::Success {
            self.failures += u64::from(is_inside && attempt.outcome == Outcome::Failure);
            return;
        }
        let date = zone.show(&attempt.at);
        let first_seen = attempt.ip.and_then(|ip| self.first_login(ip, date));
        if !is_inside {
            return;
        }
        self.total += 1;
        if self.logins.len() == MAX_LOGINS {
            self.logins.pop_front();
        }
        self.logins.push_back(AccountLogin {
            date,
            service: login.service.map(str::to_owned),
            ip: attempt.ip,
            country_code: attempt.country_code.map(str::to_owned),
            asn: attempt.asn,
            aso: attempt.aso.map(str::to_owned),
            queue_id: login.queue_id.map(str::to_owned),
            first_seen,
        });
    }

    /// Returns the date of the first login from `ip`; `None` if `ip` is not among the first
    /// [`MAX_ADDRESSES`] addresses.
    fn first_login(
        &mut self,
        ip: IpAddr,
        date: DateTime<FixedOffset>,
    ) -> Option<DateTime<FixedOffset>> {
        let is_known = self.first_seen.len() < MAX_ADDRESSES || self.first_seen.contains_key(&ip);
        is_known.then(|| *self.first_seen.entry(ip).or_insert(date))
    }
}

pub(crate) struct AccountReport<'a> {
    log: AccountLog,
    logins: &'a PeriodLogins,
    period: &'a Period,
}

impl<'a> AccountReport<'a> {
    pub(crate) fn new(logins: &'a PeriodLogins, period: &'a Period) -> anyhow::Result<Self> {
        let log = logins.account.clone().context("the account was not looked at")?;
        Ok(Self { log, logins, period })
    }

    pub(crate) fn json(&self) -> String {
        let minute = |at: Option<chrono::NaiveDateTime>| {
            at.map(|at| at.format("%Y-%m-%d %H:%M").to_string())
        };
        let json = serde_json::json!({
            "account": self.log.user,
            "from": minute(self.period.from),
            "to": minute(self.period.to),
            "total": self.log.total,
            "failures": self.log.failures,
            "logins": self.log.logins,
            "suspicious_logins": self.logins.findings,
        });
        format!("{json}\n")
    }

    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let log = &self.log;
        let user = display_text(&log.user);
        let mut line = |text: &str, indent| {
            out.extend([wrap(text, WIDTH, indent).as_str(), "\n"]);
        };
        line(&format!("Account {user}, {}", self.period.label), "");
        let logins = number(log.total, "login", "logins");
        let failures = number(log.failures, "failed login", "failed logins");
        let findings =
            number(self.logins.findings.len() as u64, "suspicious login", "suspicious logins");
        line(&format!("{logins}, {failures}, {findings}"), "");
        for finding in &self.logins.findings {
            let evidence = display_text(&finding.evidence);
            line("", "");
            line(&format!("{}: {evidence}", finding.rule.name()), "  ");
        }
        line("", "");
        if let Some(why) = self.why_nothing() {
            line(&why, "");
            return out;
        }
        let hidden = log.total - log.logins.len() as u64;
        if hidden > 0 {
            let hidden = number(hidden, "earlier login is", "earlier logins are");
            let hint = "not shown: give a shorter period with --since and --until";
            line(&format!("{hidden} {hint}"), "");
        }
        let logins: Vec<_> = log.logins.iter().collect();
        for same in logins.chunk_by(|a, b| a.is_like(b)) {
            write_logins(&mut out, same);
        }
        out
    }

    /// Returns the reason, if no login is shown.
    fn why_nothing(&self) -> Option<String> {
        let user = display_text(&self.log.user);
        let period = &self.period.label;
        match self.logins.counts {
            _ if self.log.total > 0 => None,
            None if self.logins.could_be_read => Some(
                "The records contain no successful login. To write successful logins too, use mls-parse --outcome failure,success."
                    .to_owned(),
            ),
            None => Some(
                "Successful logins were not read: give their file with --logins. If they are not recorded yet, set record = yes in [logins] of the configuration and run maillogsentinel --setup --interactive."
                    .to_owned(),
            ),
            Some((0, _)) => Some(format!("Nobody logged in ({period}).")),
            Some((logins, users)) => Some(format!(
                "No login of {user} is among the {} of {} ({period}). Give the user name as it is \
                in the log, with or without its domain.",
                number(logins, "login", "logins"),
                number(users, "user", "users"),
            )),
        }
    }
}

impl AccountLogin {
    /// Returns whether this login and `other` are shown as one entry.
    fn is_like(&self, other: &Self) -> bool {
        let is_same = (self.ip, &self.service) == (other.ip, &other.service);
        is_same && self.queue_id.is_none() && other.queue_id.is_none()
    }
}

/// Writes logins from one address and service as one entry of two lines.
fn write_logins(out: &mut String, logins: &[&AccountLogin]) {
    let (Some(first), Some(last)) = (logins.first(), logins.last()) else { return };
    let minute = |date: &DateTime<FixedOffset>| date.format("%Y-%m-%d %H:%M").to_string();
    let mut line = minute(&first.date);
    if logins.len() > 1 {
        let _ = write!(line, " to {}, {} logins", minute(&last.date), logins.len());
    }
    if let Some(service) = &first.service {
        let _ = write!(line, "  {}", display_text(service));
    }
    if let Some(id) = &first.queue_id {
        let _ = write!(line, "  queue ID {}", display_text(id));
    }
    let _ = writeln!(out, "{}", ellipsis(&line, WIDTH));
    let ip = first.ip.map_or_else(|| "unknown address".to_owned(), |ip| ip.to_string());
    let seen = match first.first_seen {
        Some(seen) if seen == first.date => ", new address".to_owned(),
        Some(seen) => format!(", first seen {}", seen.format("%Y-%m-%d")),
        None => String::new(),
    };
    let place = display_place(first.country_code.as_deref(), first.asn, first.aso.as_deref());
    let place = place.map_or_else(String::new, |place| format!(" {place}"));
    let left = WIDTH.saturating_sub(4 + ip.width() + seen.width());
    let _ = writeln!(out, "    {ip}{}{seen}", ellipsis(&place, left));
}
