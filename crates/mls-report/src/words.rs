//! Writes numbers and names for human readers.

pub(crate) use mls_diag::{count as number, thousands};
use mls_event::{country_name, display_text};

/// Returns the meaning of a status of reverse DNS from mls-enrich (see mls-event(5)).
pub(crate) fn meaning(status: &str) -> Option<&'static str> {
    Some(match status {
        "Errno 1" => "Host name not found",
        "Errno 2" => "Server failed to respond",
        "Errno 3" => "Query refused",
        "Errno 4" => "No PTR data",
        _ => return None,
    })
}

/// `1 time`, `5 times`
pub(crate) fn times(n: u64) -> String {
    number(n, "time", "times")
}

/// A number of minutes: `5 min`, `3 h`, `2 days`.
pub(crate) fn duration(minutes: i64) -> String {
    match minutes {
        ..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        2880.. => format!("{} days", minutes / 1440),
    }
}

/// `999`, `4.7k`, `47k`: three digits at most, rounded.
pub(crate) fn short(n: u64) -> String {
    if n < 1000 {
        return n.to_string();
    }
    // A float is exact up to 2^53. Above, the error does not show in three digits.
    #[expect(clippy::cast_precision_loss, reason = "the number is rounded to two digits")]
    let mut rest = n as f64;
    let mut unit = "";
    for larger in ["k", "M", "G", "T", "P", "E"] {
        if rest < 999.5 {
            break;
        }
        (rest, unit) = (rest / 1000.0, larger);
    }
    if rest < 9.95 { format!("{rest:.1}{unit}") } else { format!("{rest:.0}{unit}") }
}

/// Returns the rounded percentage: `41` for 41 %. A `whole` of 0 counts as 1.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    let whole = u128::from(whole.max(1));
    u64::try_from((u128::from(part) * 100 + whole / 2) / whole).unwrap_or(u64::MAX)
}

/// Scales `n`, so that `most` becomes `whole`. Returns at least 1 if `n` is not 0.
pub(crate) fn scaled(n: u64, most: u64, whole: u64) -> u64 {
    let part = (u128::from(n) * u128::from(whole)).div_ceil(u128::from(most.max(1)));
    u64::try_from(part).unwrap_or(whole)
}

/// A name for people. Characters that are invisible or change the direction of text are replaced.
pub(crate) fn safe(text: impl AsRef<str>) -> String {
    display_text(text.as_ref()).into_owned()
}

/// `Brazil`, or the code if it has no name.
pub(crate) fn country(code: &str) -> String {
    country_name(code).map_or_else(|| safe(code), str::to_owned)
}

/// `a, b and c`
pub(crate) fn enumerate(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `241.1K`, as the Python original writes sizes.
pub(crate) fn kibibytes(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10 + 512) / 1024;
    format!("{}.{}K", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_rounded_in_charts() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.0k"),
            (4694, "4.7k"),
            (9949, "9.9k"),
            (9950, "10k"),
            (47_499, "47k"),
            (999_499, "999k"),
            (999_500, "1.0M"),
            (u64::MAX, "18E"),
        ] {
            assert_eq!(short(n), text, "{n}");
        }
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        let texts = [0, 119, 120, 2879, 2880].map(duration);
        assert_eq!(texts, ["0 min", "119 min", "2 h", "47 h", "2 days"]);
    }

    #[test]
    fn percentages_are_rounded_and_never_overflow() {
        assert_eq!((percent(1, 3), percent(2, 3), percent(5, 0)), (33, 67, 500));
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }
}
