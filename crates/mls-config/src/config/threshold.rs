//! Thresholds: a number of events within a time.

use std::fmt;
use std::str::FromStr;

use super::time_span::TimeSpan;

/// `20/10m`: twenty times within ten minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// From 1 to [`Threshold::MAX_COUNT`].
    pub count: u32,
    /// From 1 to [`TimeSpan::MAX_SECONDS`].
    pub seconds: u32,
}

impl Threshold {
    /// The largest count. A counter stores at most this number of time stamps for a user.
    pub const MAX_COUNT: u32 = 10_000;
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (count, time) = text.split_once('/')?;
            let TimeSpan { seconds } = time.parse().ok()?;
            let count = count.parse().ok()?;
            (1..=Self::MAX_COUNT).contains(&count).then_some(Self { count, seconds })
        };
        parse().ok_or_else(|| {
            format!(
                "{text:?} is not a threshold; give N/TIME such as 20/10m (20 times in 10 minutes; \
                 at most 10000/30d)"
            )
        })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, TimeSpan { seconds: self.seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_written_as_it_was_read() {
        for text in ["20/10m", "1/1s", "10000/30d", "5/90s", "3/36h"] {
            assert_eq!(text.parse::<Threshold>().unwrap().to_string(), text);
        }
        assert_eq!("7/60m".parse::<Threshold>().unwrap(), Threshold { count: 7, seconds: 3600 });
        for text in [
            "",
            "20",
            "20/",
            "/10m",
            "0/10m",
            "20/0m",
            "20/10",
            "20/10w",
            "20/10µ",
            "-1/1m",
            "10001/1d",
            "1/31d",
            "1/99999999d",
        ] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }
}
