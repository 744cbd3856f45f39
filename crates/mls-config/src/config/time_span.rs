//! A length of time.

use std::fmt;
use std::str::FromStr;

/// `90s`, `10m`, `1h` or `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan {
    /// From 1 to [`TimeSpan::MAX_SECONDS`].
    pub seconds: u32,
}

impl TimeSpan {
    /// Thirty days.
    pub const MAX_SECONDS: u32 = 30 * 86400;
}

/// The units of time, longest first.
const UNITS: [(char, u32); 4] = [('d', 86400), ('h', 3600), ('m', 60), ('s', 1)];

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let unit = text.chars().next_back()?;
            let (_, seconds) = UNITS.into_iter().find(|(u, _)| *u == unit)?;
            let seconds = text.strip_suffix(unit)?.parse::<u32>().ok()?.checked_mul(seconds)?;
            (1..=Self::MAX_SECONDS).contains(&seconds).then_some(Self { seconds })
        };
        parse().ok_or_else(|| {
            format!("{text:?} is not a length of time; give one such as 90s, 10m, 1h or 7d (at most 30d)")
        })
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, seconds) =
            UNITS.into_iter().find(|(_, s)| self.seconds.is_multiple_of(*s)).unwrap_or(('s', 1));
        write!(f, "{}{unit}", self.seconds / seconds)
    }
}
