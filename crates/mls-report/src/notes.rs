//! The notes of a report: reasons for a report without attempts, and incomplete parts.

use crate::tally::Tally;
use crate::words::number;

/// Returns the notes, one sentence each.
pub(crate) fn notes(tally: &Tally) -> Vec<String> {
    let empty = match &tally.extent {
        _ if tally.attempts > 0 => None,
        None => Some("The input has no failed login at all.".to_owned()),
        Some((first, last)) => Some(format!(
            "The input has {} from {first} to {last}, none in this period.",
            number(tally.total, "failed login", "failed logins")
        )),
    };
    let full = [
        (tally.users_before.is_full(), "user names", "some that are called new may be old"),
        (tally.addresses_before.is_full(), "addresses", "some that are called new may be old"),
        (tally.servers.is_full(), "servers", "the others are counted together"),
    ];
    let errors = (tally.errors > 0).then(|| {
        let logins = if tally.errors == 1 { "login" } else { "logins" };
        format!(
            "{} {logins} could not be checked because the authentication service failed.",
            tally.errors
        )
    });
    let full = full
        .iter()
        .filter(|(full, ..)| *full)
        .map(|(_, what, so)| format!("There are more {what} than fit in memory: {so}."));
    empty.into_iter().chain(errors).chain(full).collect()
}
