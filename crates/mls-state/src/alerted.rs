//! The ledger of raised alerts. It prevents mls-alert from raising an alert twice.
//!
//! The ledger is the `cursor` of a [cursor file](crate::cursor_file). With `--framed`, the sink
//! writes this file: `mls-mail` commits each alert together with the mail about it. Otherwise
//! `mls-alert` writes it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use mls_event::Alert;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cursor_file::sha256;

/// The largest number of keys in the ledger for each kind of alert.
pub const MAX_KEYS: usize = 50_000;

/// Longer keys are replaced by their hash, so that the ledger fits into a cursor file.
const MAX_KEY: usize = 32;

/// If the ledger is full, expired keys are removed at most once in this number of seconds.
const CLEANUP_INTERVAL: i64 = 60;

/// The first run raises alerts only about attempts that are at most this number of seconds old.
pub const FIRST_LOOK_BACK: i64 = 86_400;

/// Suspicious logins older than this number of seconds raise no alert. The limit is large, because a
/// login may be recorded late.
pub const MAX_LOGIN_AGE: i64 = 30 * 86_400;

/// How long alerts are remembered, in seconds: longer than the time of any threshold, and longer
/// than [`MAX_LOGIN_AGE`].
const KEEP: i64 = 31 * 86_400;

/// For each kind of alert, the time of the last alert for each key, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerted {
    #[serde(rename = "alerted")]
    keys: BTreeMap<String, BTreeMap<String, i64>>,
    /// Suspicious logins before this time raise no alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    /// If the ledger is full, the time of the last search for expired keys.
    #[serde(skip)]
    full_since: Option<i64>,
}

impl Alerted {
    /// Reads the ledger from the cursor of a cursor file.
    ///
    /// # Errors
    /// The cursor is not a ledger.
    pub fn from_cursor(cursor: Value) -> serde_json::Result<Self> {
        if cursor.is_null() { Ok(Self::default()) } else { serde_json::from_value(cursor) }
    }

    /// The ledger as the cursor of a cursor file.
    #[must_use]
    pub fn to_cursor(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Returns false if `key` had an alert within `seconds` before `at`. Otherwise records an alert
    /// at `at` and returns true.
    ///
    /// If the ledger already has [`MAX_KEYS`] keys of this kind, first removes expired keys. (A key
    /// expires after `seconds`, but not before [`FIRST_LOOK_BACK`].) If the ledger is still full,
    /// returns false and logs a warning once.
    pub fn enter(&mut self, kind: &str, key: &str, at: i64, seconds: i64) -> bool {
        let keys = self.keys.entry(kind.to_owned()).or_default();
        let key = shortened(key);
        let last = keys.get(&key);
        if last.is_some_and(|last| at - last < seconds) {
            return false;
        }
        if last.is_none() && keys.len() >= MAX_KEYS {
            // Searching all keys for each new key would take too long.
            if self.full_since.is_some_and(|since| at < since + CLEANUP_INTERVAL) {
                return false;
            }
            keys.retain(|_, last| *last > at - seconds.max(FIRST_LOOK_BACK));
            if keys.len() >= MAX_KEYS {
                if self.full_since.replace(at).is_none() {
                    log::warn!(
                        "too many alerts to remember (more than {MAX_KEYS} of kind {kind}); until \
                         old alerts expire, a new {kind} causes no alert"
                    );
                }
                return false;
            }
            self.full_since = None;
        }
        keys.insert(key, at);
        true
    }

    /// Begins a run at `now`. Returns whether this is the first run. Also sets the date before
    /// which suspicious logins raise no alert: a day before the first run, but never more than
    /// [`MAX_LOGIN_AGE`] before `now`.
    pub fn begin(&mut self, now: i64) -> bool {
        let is_first = self.since.is_none();
        let since = self.since.unwrap_or(now - FIRST_LOOK_BACK);
        self.since = Some(since.max(now - MAX_LOGIN_AGE));
        is_first
    }

    /// Returns false if the alert about this suspicious login was recorded before, or if the login
    /// is too old. Otherwise records the alert and returns true.
    pub fn enter_login(&mut self, alert: &Alert<'_>) -> bool {
        let at = alert.date.at().timestamp();
        let keys = self.keys.get(alert.kind.name());
        let is_known = keys.is_some_and(|keys| keys.contains_key(&shortened(&name(alert))));
        if is_known || self.since.is_some_and(|since| at < since) {
            return false;
        }
        self.record(alert);
        true
    }

    /// Records an alert that was raised. If the ledger is full, removes the older half of the keys.
    /// From then on, suspicious logins up to the date of the newest removed key raise no alert,
    /// because the ledger no longer says which of these logins had an alert.
    pub fn record(&mut self, alert: &Alert<'_>) {
        let at = alert.date.at().timestamp();
        let keys = self.keys.entry(alert.kind.name().to_owned()).or_default();
        let key = shortened(&name(alert));
        if keys.len() >= MAX_KEYS && !keys.contains_key(&key) {
            let mut times: Vec<i64> = keys.values().copied().collect();
            let (_, median, _) = times.select_nth_unstable(MAX_KEYS / 2);
            let median = *median;
            keys.retain(|_, at| *at > median);
            if alert.kind.is_suspicious_login() {
                self.since = self.since.max(Some(median + 1));
            }
        }
        let last = keys.entry(key).or_insert(at);
        *last = at.max(*last);
    }

    /// Removes alerts that are too old to matter at `now`. Suspicious logins of this age then raise
    /// no alert. Without this rule, a run of several months would report such logins again.
    pub fn forget_old(&mut self, now: i64) {
        self.since = self.since.map(|since| since.max(now - MAX_LOGIN_AGE));
        for keys in self.keys.values_mut() {
            keys.retain(|_, at| *at >= now - KEEP);
        }
    }
}

/// The key of an alert in the ledger. Suspicious logins raise at most one alert for each rule, user
/// and day.
fn name<'a>(alert: &'a Alert<'_>) -> Cow<'a, str> {
    let key = alert.key.as_deref().unwrap_or_default();
    if alert.kind.is_suspicious_login() {
        format!("{} {}", alert.date.at().date_naive(), key.to_lowercase()).into()
    } else {
        key_of_server(key, alert.server.as_deref())
    }
}

/// Returns the key of a counter for one server. Without a server, this is `key`.
#[must_use]
pub fn key_of_server<'a>(key: &'a str, server: Option<&str>) -> Cow<'a, str> {
    // An address or a user never contains a line break, so the key is unique.
    server.map_or(Cow::Borrowed(key), |server| format!("{key}\n{server}").into())
}

fn shortened(key: &str) -> String {
    if key.len() <= MAX_KEY {
        key.to_owned()
    } else {
        format!("#{}", &sha256(key.as_bytes())[..31])
    }
}

#[cfg(test)]
mod tests {
    use mls_event::{AlertKind, Timestamp};

    use super::*;

    #[test]
    fn new_keys_raise_alerts_again_after_old_keys_have_expired() {
        let mut alerted = Alerted::default();
        let mut enter = |kind, key: &str, at| alerted.enter(kind, key, at, 600);
        for n in 0..MAX_KEYS {
            assert!(enter("user", &n.to_string(), 0), "{n}");
        }
        for at in [0, 1, -50, 59, 120, 599] {
            assert!(!enter("user", "one more", at), "{at}");
        }
        assert!(enter("ip", "192.0.2.1", 599));
        assert!(!enter("user", "1", 599));
        assert!(enter("user", "1", 600));
        assert!(enter("user", "one more", 86_401));
        assert_eq!(alerted.keys["user"].len(), 2);
    }

    fn alert(kind: AlertKind, key: &str, date: &str) -> Alert<'static> {
        let date = Timestamp::parse(date.to_owned()).unwrap();
        Alert { key: Some(key.to_owned().into()), ..Alert::new(date, kind) }
    }

    #[test]
    fn a_full_ledger_of_long_names_fits_a_cursor_file() {
        let mut alerted = Alerted::default();
        // `Total` has only one key.
        for kind in AlertKind::ALL.into_iter().filter(|kind| *kind != AlertKind::Total) {
            for n in 0..MAX_KEYS {
                alerted.record(&alert(kind, &format!("{n:0>300}"), "2026-06-01T00:00:00Z"));
            }
        }
        let text = crate::cursor_file::CursorFile::next(0, alerted.to_cursor(), None).to_json();
        let read = crate::cursor_file::CursorFile::from_json(text.as_bytes()).unwrap();
        assert_eq!(Alerted::from_cursor(read.cursor).unwrap(), alerted);
    }

    #[test]
    fn a_suspicious_login_alerts_once_for_each_rule_user_and_day_even_if_recorded_late() {
        let mut alerted = Alerted::default();
        let at = |date: &str| Timestamp::parse(date.to_owned()).unwrap().at().timestamp();
        assert!(alerted.begin(at("2026-06-02T00:00:00Z")));
        let mut enter = |kind, key, date| alerted.enter_login(&alert(kind, key, date));
        assert!(enter(AlertKind::Guessed, "anna", "2026-06-03T10:00:00Z"));
        assert!(!enter(AlertKind::Guessed, "Anna", "2026-06-03T23:00:00Z"));
        assert!(enter(AlertKind::Spread, "anna", "2026-06-03T10:00:00Z"));
        // The log with this login was read late.
        assert!(enter(AlertKind::Guessed, "anna", "2026-06-01T10:00:00Z"));
        assert!(!enter(AlertKind::Guessed, "anna", "2026-06-01T10:00:00Z"));
        // This login is more than a day older than the first run.
        assert!(!enter(AlertKind::Guessed, "anna", "2026-05-31T10:00:00Z"));

        let read = Alerted::from_cursor(alerted.to_cursor()).unwrap();
        let mut alerted = read;
        assert!(!alerted.begin(at("2026-06-20T00:00:00Z")));
        alerted.forget_old(at("2026-06-20T00:00:00Z"));
        let mut enter = |kind, key, date| alerted.enter_login(&alert(kind, key, date));
        assert!(!enter(AlertKind::Guessed, "anna", "2026-06-01T10:00:00Z"));
        assert!(enter(AlertKind::Targeted, "anna", "2026-06-01T10:00:00Z"));
    }

    #[test]
    fn suspicious_logins_that_are_forgotten_do_not_alert_again() {
        let mut alerted = Alerted::default();
        let at = Timestamp::parse("2026-06-03T00:00:00Z").unwrap().at().timestamp();
        alerted.begin(at);
        for n in 0..=MAX_KEYS {
            let date = format!("2026-06-02T{:02}:{:02}:00Z", n / 60 % 24, n % 60);
            assert!(alerted.enter_login(&alert(AlertKind::Guessed, &n.to_string(), &date)));
        }
        assert!(alerted.keys["guessed"].len() <= MAX_KEYS);
        assert!(!alerted.enter_login(&alert(AlertKind::Guessed, "0", "2026-06-02T00:00:00Z")));
        // A run can last for months, so `begin` is not called again.
        alerted.forget_old(at + 2 * MAX_LOGIN_AGE);
        assert!(alerted.keys["guessed"].is_empty());
        assert!(!alerted.enter_login(&alert(AlertKind::Guessed, "0", "2026-06-02T00:00:00Z")));
    }
}
