//! Alerts that no mail has reported yet, and the mail about them: suspicious logins first.

use std::fmt::Write;

use chrono::{DateTime, Local, TimeDelta};
use mls_diag::count;
use mls_event::{Alert, AlertKind, display_place, display_text};
use mls_findings::steps;
use serde::{Deserialize, Serialize};

/// The largest number of suspicious logins, and of other alerts, in a mail.
const MAX_LISTED: usize = 1000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AlertBacklog {
    #[serde(default)]
    logins: Vec<SuspiciousLogin>,
    /// The number of suspicious logins that are not in `logins`.
    #[serde(default)]
    more_logins: u64,
    /// Other alerts, one line each.
    lines: Vec<String>,
    /// The number of alerts that are not in `lines`.
    more: u64,
    /// When the last mail about alerts was made.
    mailed: Option<DateTime<Local>>,
    /// When the last mail about suspicious logins was made.
    #[serde(default)]
    mailed_logins: Option<DateTime<Local>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SuspiciousLogin {
    user: String,
    evidence: Vec<String>,
}

impl AlertBacklog {
    pub(crate) fn add(&mut self, alert: &Alert<'_>) {
        if alert.kind.is_suspicious_login() {
            add(&mut self.logins, &mut self.more_logins, || SuspiciousLogin::new(alert));
        } else {
            add(&mut self.lines, &mut self.more, || sentence(alert));
        }
    }

    pub(crate) fn len(&self) -> u64 {
        (self.logins.len() + self.lines.len()) as u64 + self.more_logins + self.more
    }

    /// The time when the next mail may be made; `None` if there is nothing to report. A mail about
    /// failures does not delay a mail about a suspicious login.
    pub(crate) fn due(&self, interval: TimeDelta) -> Option<DateTime<Local>> {
        let now = Local::now();
        // If the clock was set back, the time of the last mail is useless.
        let next = |mailed: Option<DateTime<Local>>| {
            mailed.filter(|mailed| *mailed <= now).map_or(now, |mailed| mailed + interval)
        };
        let logins = (!self.logins.is_empty()).then(|| next(self.mailed_logins));
        let others = (!self.lines.is_empty()).then(|| next(self.mailed));
        logins.into_iter().chain(others).min()
    }

    /// Removes and returns all alerts, for a mail that is made now.
    pub(crate) fn take(&mut self) -> Self {
        let now = Some(Local::now());
        let mailed_logins = if self.logins.is_empty() { self.mailed_logins } else { now };
        std::mem::replace(self, Self { mailed: now, mailed_logins, ..Self::default() })
    }

    pub(crate) fn subject(&self, machine: &str) -> String {
        let others = self.lines.len() as u64 + self.more;
        let accounts = self.accounts();
        let more = match others {
            0 => String::new(),
            n => format!(", and {}", count(n, "other alert", "other alerts")),
        };
        match (&accounts[..], others) {
            ([], 1) => format!("alert: {}", self.lines[0]),
            ([], n) => format!("{n} alerts from {machine}"),
            ([user], _) => format!("1 account to check on {machine}: {user}{more}"),
            (_, _) => format!("{} accounts to check on {machine}{more}", accounts.len()),
        }
    }

    pub(crate) fn body(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_accounts(&mut text).and_then(|()| self.write_lines(&mut text));
        text
    }

    /// The users to check, each once.
    fn accounts(&self) -> Vec<&str> {
        let mut users: Vec<&str> = Vec::new();
        for login in &self.logins {
            if !users.contains(&&*login.user) {
                users.push(&login.user);
            }
        }
        users
    }

    fn write_accounts(&self, text: &mut String) -> std::fmt::Result {
        let users = self.accounts();
        match users.len() {
            0 => return Ok(()),
            1 => writeln!(text, "1 account to check now\n")?,
            n => writeln!(text, "{n} accounts to check now\n")?,
        }
        for user in users {
            writeln!(text, "  {}", display_text(user))?;
            let of_user = self.logins.iter().filter(|login| login.user == user);
            for login in of_user {
                writeln!(text, "    - {}", login.evidence.join("\n      "))?;
            }
            for step in steps(user) {
                writeln!(text, "    * {step}")?;
            }
            writeln!(text)?;
        }
        if self.more_logins > 0 {
            writeln!(
                text,
                "and {}: mls-report lists them\n",
                count(self.more_logins, "more suspicious login", "more suspicious logins")
            )?;
        }
        Ok(())
    }

    fn write_lines(&self, text: &mut String) -> std::fmt::Result {
        if self.lines.is_empty() {
            return Ok(());
        }
        for line in &self.lines {
            writeln!(text, "{line}")?;
        }
        if self.more > 0 {
            writeln!(text, "and {} more: mls-alert prints all of them", self.more)?;
        }
        writeln!(text, "\n{ADVICE}")
    }
}

const ADVICE: &str = "All these logins failed. To block an address, see mls-block(1).
To report an address to its network, see mls-abuse(1).";

fn add<T>(list: &mut Vec<T>, more: &mut u64, item: impl FnOnce() -> T) {
    if list.len() < MAX_LISTED {
        list.push(item());
    } else {
        *more += 1;
    }
}

impl SuspiciousLogin {
    fn new(alert: &Alert<'_>) -> Self {
        let user = alert.user.as_deref().or(alert.key.as_deref()).unwrap_or_default();
        let why = match alert.evidence.as_deref() {
            Some(evidence) => display_text(evidence).into_owned(),
            None => format!("suspicious login, rule {}", alert.kind.name()),
        };
        let mut where_and_when = format!("Time: {}", alert.date);
        if let Some(hostname) = alert.hostname.as_deref() {
            let _ = write!(where_and_when, ", host name: {}", display_text(hostname));
        }
        Self { user: user.to_owned(), evidence: vec![why, where_and_when] }
    }
}

/// Returns the alert as one line, such as
/// `20 failed logins from 192.0.2.1 (20/10m) at 2026-06-01T10:30:00+02:00: host.example.net, VN, AS
/// 64512 Example`.
pub(crate) fn sentence(alert: &Alert<'_>) -> String {
    let shown = |text: &str| display_text(text).into_owned();
    let key = shown(alert.key.as_deref().unwrap_or("(unknown)"));
    let key = match alert.kind {
        AlertKind::Ip => format!("from {key}"),
        AlertKind::User => format!("of user {key}"),
        _ => "in total".to_owned(),
    };
    let server = alert.server.as_deref();
    let server = server.map_or_else(String::new, |name| format!(" on server {}", shown(name)));
    let attempts = count(alert.attempts.unwrap_or_default(), "failed login", "failed logins");
    let threshold = display_text(alert.threshold.as_deref().unwrap_or("no threshold"));
    let other = match alert.kind {
        AlertKind::Ip => alert.user.as_deref().map(|user| format!("last user {}", shown(user))),
        _ => alert.ip.map(|ip| format!("last from {ip}")),
    };
    let hostname = alert.hostname.as_deref().map(shown);
    let place = display_place(alert.country_code.as_deref(), alert.asn, alert.aso.as_deref());
    let details: Vec<String> = [other, hostname, place].into_iter().flatten().collect();
    let colon = if details.is_empty() { "" } else { ": " };
    let details = details.join(", ");
    format!("{attempts} {key}{server} ({threshold}) at {}{colon}{details}", alert.date)
}

#[cfg(test)]
mod tests {
    use mls_event::Timestamp;

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_delays_no_alert() {
        let mut backlog = AlertBacklog::default();
        let date = Timestamp::parse("2026-06-01T10:30:00Z".to_owned()).unwrap();
        backlog.add(&Alert::new(date, AlertKind::Total));
        let (now, interval) = (Local::now(), TimeDelta::minutes(10));
        backlog.mailed = Some(now - TimeDelta::minutes(1));
        assert_eq!(backlog.due(interval), Some(now + TimeDelta::minutes(9)));
        backlog.mailed = Some(now + TimeDelta::days(1000));
        assert!(backlog.due(interval).is_some_and(|due| due <= Local::now()));
    }
}
