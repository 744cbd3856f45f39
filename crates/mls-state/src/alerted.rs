//! The ledger of raised alerts. It prevents mls-alert from raising an alert twice.
//!
//! The ledger is the `cursor` of a [cursor file](crate::cursor_file). `mls-alert` writes it, unless its
//! output is a framed stream. Then the sink writes it: `mls-mail` commits each alert together with the
//! mail about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cursor_file::sha256;

/// The largest number of keys of a kind.
pub const MAX_KEYS: usize = 50_000;

/// Longer keys are replaced by their hash, so that the ledger fits into a cursor file.
const MAX_KEY: usize = 32;

/// A full ledger searches for expired keys at most once in this number of seconds.
const CLEANUP_INTERVAL: i64 = 60;

/// The time of the last alert for each key, by kind of alert. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerted {
    alerted: BTreeMap<String, BTreeMap<String, i64>>,
    /// Since when the ledger is full.
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

    /// Records an alert for `key` at `at` and returns true, unless this key had an alert within the last
    /// `seconds`.
    ///
    /// If the ledger has [`MAX_KEYS`] keys of this kind, it removes keys whose last alert is more than
    /// `keep` seconds older than `at`. If there is still no room, it returns false and logs a warning.
    pub fn enter(&mut self, kind: &str, key: &str, at: i64, seconds: i64, keep: i64) -> bool {
        let keys = self.alerted.entry(kind.to_owned()).or_default();
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
            keys.retain(|_, last| *last > at - seconds.max(keep));
            if keys.len() >= MAX_KEYS {
                if self.full_since.replace(at).is_none() {
                    log::warn!(
                        "more than {MAX_KEYS} keys of kind {kind} had alerts; new keys raise no alerts \
                         until old ones expire"
                    );
                }
                return false;
            }
            self.full_since = None;
        }
        keys.insert(key, at);
        true
    }

    /// Records an alert that was raised. If the ledger is full, removes the oldest keys.
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

    /// Removes alerts from before `horizon`.
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
    fn new_keys_raise_alerts_again_after_old_keys_have_expired() {
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
