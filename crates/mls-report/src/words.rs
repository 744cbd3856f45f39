//! Numbers and names as people read them.

use std::fmt::Display;

/// What the statuses of mls-enrich mean (mls-event documents them).
pub(crate) fn meaning(status: &str) -> Option<&'static str> {
    Some(match status {
        "Errno 1" => "Host name not found",
        "Errno 2" => "Server failed to respond",
        "Errno 3" => "Query refused",
        "Errno 4" => "No PTR data",
        _ => return None,
    })
}

/// `12 more than the 43 before (+28 %)`
pub(crate) fn change(now: u64, before: Option<u64>) -> String {
    let Some(before) = before else { return "(no earlier data to compare with)".to_owned() };
    let difference = now.abs_diff(before);
    let (word, sign) = if now < before { ("fewer", "-") } else { ("more", "+") };
    match difference {
        0 => format!("as many as before: {now}"),
        _ if before == 0 => format!("{now} instead of none"),
        _ => {
            let percent =
                (u128::from(difference) * 100 + u128::from(before) / 2) / u128::from(before);
            format!("{difference} {word} than the {before} before ({sign}{percent} %)")
        }
    }
}

/// `5 times`; `at least 5 times` if the count is a lower bound.
pub(crate) fn times(n: u64, is_exact: bool) -> String {
    let bound = if is_exact { "" } else { "at least " };
    format!("{bound}{n} times")
}

/// `1 address`, `2 addresses`
pub(crate) fn number(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A name for people, or a word for what is unknown. Characters that change the direction of text
/// would make `exe.jpg` of `gpj.exe`, so they are replaced.
pub(crate) fn known(value: Option<&impl Display>, unknown: &str) -> String {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    value.map_or_else(|| unknown.to_owned(), |value| value.to_string().replace(turns, "\u{fffd}"))
}

/// `241.1K`, as the Python original writes sizes.
pub(crate) fn kibibytes(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10 + 512) / 1024;
    format!("{}.{}K", tenths / 10, tenths % 10)
}
