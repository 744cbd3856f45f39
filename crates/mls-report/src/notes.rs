//! The notes of a report: why it has no attempts, and which parts are not complete.

use std::net::IpAddr;

use mls_findings::is_internal;

use crate::report::{Address, Country, List, System};
use crate::tally::Tally;
use crate::words::number;

/// Returns the notes, one sentence each.
pub(crate) fn notes(tally: &Tally) -> Vec<String> {
    let empty = match &tally.extent {
        _ if tally.attempts > 0 => None,
        None => Some("No failed login was found in the input.".to_owned()),
        Some((first, last)) => Some(format!(
            "The input has {} from {first} to {last}, none in this period.",
            number(tally.total, "failed login", "failed logins")
        )),
    };
    let full = [
        (
            tally.users_before.is_full(),
            "user names",
            "some of the new user names may have been seen before",
        ),
        (
            tally.addresses_before.is_full(),
            "addresses",
            "some of the new addresses may have been seen before",
        ),
        (tally.servers.is_full(), "servers", "the other servers are counted together"),
    ];
    let errors = (tally.errors > 0).then(|| {
        let logins = number(tally.errors, "login", "logins");
        format!("{logins} could not be checked because the authentication service failed.")
    });
    let full = full
        .iter()
        .filter(|(full, ..)| *full)
        .map(|(_, what, so)| format!("There are more {what} than fit in memory: {so}."));
    empty.into_iter().chain(errors).chain(full).collect()
}

/// Returns a note if no country or no autonomous system is known. If all addresses are local, there
/// is no note, because databases do not have local networks. If the input is records, the note
/// names mls-enrich, which adds country and system.
pub(crate) fn unknown_origin(
    has_records: bool,
    addresses: &List<Address>,
    countries: &List<Country>,
    systems: &List<System>,
) -> Option<String> {
    let is_external =
        |x: &Address| x.ip.parse().is_ok_and(|ip: IpAddr| !is_internal(ip.to_canonical()));
    if !addresses.top.iter().any(is_external) {
        return None;
    }
    let what = match (countries.distinct, systems.distinct) {
        (0, 0) => "No country and no AS is known",
        (0, _) => "No country is known",
        (_, 0) => "No AS is known",
        _ => return None,
    };
    let enrich = if has_records { "put mls-enrich before mls-report; " } else { "" };
    Some(format!(
        "{what}: {enrich}if there are no IP databases, run mls-ipdb update to download them. Attempts that \
         are already recorded do not change."
    ))
}
