//! Which alerts were raised: the ledger that keeps mls-alert from raising one twice.
//!
//! It is the `cursor` of a [cursor file](crate::cursor_file). `mls-alert` writes it itself, or leaves that to the sink of
//! its framed stream: `mls-mail` commits each alert together with the mail about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cursor_file::sha256;

/// How many keys of a kind are remembered at most.
pub const MAX_KEYS: usize = 50_000;

/// Longer keys are remembered by their hash, so that the ledger stays below the size of a cursor file.
const MAX_KEY: usize = 32;

/// If no more keys fit, the ledger looks for expired ones at most once in so many seconds.
const CLEANUP_INTERVAL: i64 = 60;

/// When each key was last alerted, by kind of alert. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerted {
    alerted: BTreeMap<String, BTreeMap<String, i64>>,
    /// When no more keys fitted, as long as that is so.
    #[serde(skip)]
    full_since: Option<i64>,
}

impl Alerted {
    /// Reads the ledger from the cursor of a cursor file.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn from_cursor(cursor: Value) -> serde_json::Result<Self> {
        if cursor.is_null() { Ok(Self::default()) } else { serde_json::from_value(cursor) }
    }

    /// The ledger as the cursor of a cursor file.
    #[must_use]
    pub fn to_cursor(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Whether `key` may alert at `at`: it has not alerted within the `seconds` before. Enters the alert if so.
    ///
    /// If [`MAX_KEYS`] keys are remembered, those that alerted more than `keep` before `at` make room; without room the
    /// key does not alert, and a warning says so.
    pub fn enter(&mut self, kind: &str, key: &str, at: i64, seconds: i64, keep: i64) -> bool {
        let keys = self.alerted.entry(kind.to_owned()).or_default();
        let key = shortened(key);
        let last = keys.get(&key);
        if last.is_some_and(|last| at - last < seconds) {
            return false;
        }
        if last.is_none() && keys.len() >= MAX_KEYS {
            // A search through all keys for each new one would take too long.
            if self.full_since.is_some_and(|since| at < since + CLEANUP_INTERVAL) {
                return false;
            }
            keys.retain(|_, last| *last > at - seconds.max(keep));
            if keys.len() >= MAX_KEYS {
                if self.full_since.replace(at).is_none() {
                    log::warn!(
                        "more than {MAX_KEYS} keys of kind {kind} have alerted: further keys do not alert"
                    );
                }
                return false;
            }
            self.full_since = None;
        }
        keys.insert(key, at);
        true
    }

    /// Enters an alert that was raised. The oldest keys make room if there is none.
    pub fn record(&mut self, kind: &str, key: &str, at: i64) {
        let keys = self.alerted.entry(kind.to_owned()).or_default();
        let key = shortened(key);
        if keys.len() >= MAX_KEYS && !keys.contains_key(&key) {
            let mut times: Vec<i64> = keys.values().copied().collect();
            let (_, median, _) = times.select_nth_unstable(MAX_KEYS / 2);
            let median = *median;
            keys.retain(|_, at| *at > median);
        }
        let last = keys.entry(key).or_insert(at);
        *last = at.max(*last);
    }

    /// Forgets alerts from before `horizon`.
    pub fn forget_before(&mut self, horizon: i64) {
        for keys in self.alerted.values_mut() {
            keys.retain(|_, at| *at >= horizon);
        }
    }
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
    use super::*;

    #[test]
    fn keys_that_do_not_fit_alert_when_others_have_expired() {
        let mut alerted = Alerted::default();
        let mut enter = |kind, key: &str, at| alerted.enter(kind, key, at, 600, 0);
        for n in 0..MAX_KEYS {
            assert!(enter("user", &n.to_string(), 0), "{n}");
        }
        for at in [0, 1, -50, 59, 120, 599] {
            assert!(!enter("user", "one more", at), "{at}");
        }
        assert!(enter("ip", "192.0.2.1", 599));
        assert!(!enter("user", "1", 599));
        assert!(enter("user", "1", 600));
        assert!(enter("user", "one more", 700));
        assert_eq!(alerted.alerted["user"].len(), 2);
    }

    #[test]
    fn a_full_ledger_of_long_names_fits_a_cursor_file() {
        let mut alerted = Alerted::default();
        for kind in ["ip", "user", "guessed", "spread", "targeted"] {
            for n in 0..MAX_KEYS {
                alerted.record(kind, &format!("{n:0>300}"), 1_780_000_000);
            }
        }
        let text = crate::cursor_file::CursorFile::next(0, alerted.to_cursor(), None).to_json();
        let read = crate::cursor_file::CursorFile::from_json(text.as_bytes()).unwrap();
        assert_eq!(Alerted::from_cursor(read.cursor).unwrap(), alerted);
    }
}
