//! Logins that the server could not check (outcome `error`).
//!
//! They do not become rows, because the server did not say whether the password was right. mls-csv
//! counts them in its cursor file, so they are committed together with the rows and counted exactly
//! once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The largest number of hours to keep. A log can contain any number of hours.
const MAX_HOURS: usize = 40 * 24;

/// The number of logins that could not be checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncheckedLogins {
    /// The number of such logins since the cursor file was created.
    pub total: u64,
    /// The number of such logins in each hour (`YYYY-MM-DD HH:00`, in the time zone of the CSV).
    /// Only the latest 960 hours with such logins are kept.
    pub hours: BTreeMap<String, u64>,
}

impl UncheckedLogins {
    /// Adds `count` logins at `date` (`YYYY-MM-DD HH:MM`, perhaps with seconds).
    pub fn add(&mut self, date: &str, count: u64) {
        self.total = self.total.saturating_add(count);
        let hour = date.get(..13).unwrap_or(date);
        let of_hour = self.hours.entry(format!("{hour}:00")).or_default();
        *of_hour = of_hour.saturating_add(count);
        while self.hours.len() > MAX_HOURS {
            self.hours.pop_first();
        }
    }

    /// The number of logins since the total was `before`. If the total is smaller than `before`,
    /// the cursor file was created again, and all logins are new.
    #[must_use]
    pub fn after(&self, before: u64) -> u64 {
        self.total.checked_sub(before).unwrap_or(self.total)
    }

    /// Whether no login was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_hours_are_remembered_and_the_total_is_exact() {
        let mut unchecked = UncheckedLogins::default();
        for hour in 0..2000 {
            let day = format!("{:04}-01-01", hour / 24);
            unchecked.add(&format!("{day} {:02}:17:05", hour % 24), 2);
        }
        assert_eq!((unchecked.total, unchecked.hours.len()), (4000, MAX_HOURS));
        assert_eq!(unchecked.hours.last_key_value().unwrap().0, "0083-01-01 07:00");
        assert_eq!((unchecked.after(3990), unchecked.after(5000)), (10, 4000));
    }
}
