//! The summary line at the end of each run.

use std::sync::OnceLock;
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

pub(crate) fn start() {
    START.get_or_init(Instant::now);
}

/// Logs at level `info` what the run did and how long it took. Call this once, at the end of the
/// run, even if there was nothing to do. `appended 342 rows to /var/log/x.csv` becomes `appended
/// 342 rows to /var/log/x.csv in 0.2 s`.
pub fn summary(what: impl std::fmt::Display) {
    let seconds = START.get().map_or(0.0, |start| start.elapsed().as_secs_f64());
    log::info!("{what} in {seconds:.1} s");
}

/// A number with its noun: `1 row`, `41,022 rows`.
#[must_use]
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// A number with commas between thousands: `41,022`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_their_noun() {
        for (number, text) in [
            (0, "0 rows"),
            (1, "1 row"),
            (999, "999 rows"),
            (1000, "1,000 rows"),
            (41_022, "41,022 rows"),
            (1_234_567, "1,234,567 rows"),
        ] {
            assert_eq!(count(number, "row", "rows"), text);
        }
    }
}
