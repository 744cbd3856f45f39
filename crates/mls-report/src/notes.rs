//! The notes of a report: why there is no attempt, and which counts are lower bounds.

use crate::login_counter::Names;
use crate::tally::Tally;
use crate::words::number;

/// Returns the notes, one sentence each.
pub(crate) fn notes(tally: &Tally, names: &Names) -> Vec<String> {
    let empty = match &tally.extent {
        _ if tally.attempts > 0 => None,
        None => Some("The input has no failed login at all.".to_owned()),
        Some((first, last)) => Some(format!(
            "The input has {} from {first} to {last}, none in this period.",
            number(tally.total, "failed login", "failed logins")
        )),
    };
    let short = [
        (names.logins.short(), "combinations of user and address"),
        (names.users.short(), "user names"),
        (tally.history.addresses.short(), "addresses"),
        (tally.countries.short(), "countries"),
        (tally.systems.short(), "autonomous systems"),
        (tally.reverse_dns_failures.short(), "reverse DNS statuses"),
    ];
    let short = short.iter().filter(|(short, _)| *short > 0).map(|(short, what)| {
        format!(
            "There are more {what} than fit in memory: each count may be up to {short} too low."
        )
    });
    let full = [
        (tally.users_before.is_full(), "user names", "some that are called new may be old"),
        (tally.addresses_before.is_full(), "addresses", "some that are called new may be old"),
        (
            tally.history.addresses.has_overflowed(),
            "addresses in 30 days",
            "slow attackers may be missing",
        ),
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
    empty.into_iter().chain(errors).chain(short).chain(full).collect()
}
