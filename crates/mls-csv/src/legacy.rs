//! The CSV of the Python original, read as events.
//!
//! Its cells are separated by `;`, its dates `dd/mm/yyyy HH:MM`. Its first versions had no `reverse_dns_status`, and later ones
//! no `country_code`, `asn` and `aso`; a file that has seen several versions has rows of several lengths
//! (`lib/maillogsentinel/parser.py`, `bin/update_csv_geolocation.py`). It escaped nothing, so a leading `'` is one.
//!
//! | its `reverse_dns_status` | is |
//! |---|---|
//! | `OK`, `Errno 1` to `Errno 4` | the same |
//! | `ERRNO n`, of its last versions | as `Errno n` |
//! | `Errno -2` (`EAI_NONAME` of getaddrinfo(3)) | `Errno 1`, name not found |
//! | `Errno -3` (`EAI_AGAIN`), `Timeout` | `Errno 2`, the server failed or did not answer |
//! | `Errno -4` (`EAI_FAIL`), `Failed (Unknown)` | `Errno 3`, refused or unrecoverable |
//! | `Errno -5` (`EAI_NODATA`) | `Errno 4`, no PTR data |
//! | anything else | as it is |

use std::borrow::Cow;

use chrono::NaiveDateTime;
use mls_config::zone::Zone;
use mls_event::{Auth, Enrichment, Outcome};

use crate::row::{BadRow, bad, moment};

/// What every version's header begins with.
pub(crate) const HEADER: &str = "server;date;ip;user;hostname";

/// How many columns a row has had, by version.
pub(crate) const LENGTHS: [usize; 3] = [5, 6, 9];

/// The event of a row's cells.
pub(crate) fn event(cells: [Cow<'_, str>; 9], zone: Zone) -> Result<Auth<'_>, BadRow> {
    let [server, date, ip, user, hostname, status, country, asn, aso] = cells;
    let naive = NaiveDateTime::parse_from_str(&date, "%d/%m/%Y %H:%M").ok();
    let at = naive.and_then(|naive| moment(naive, zone));
    let at = at.ok_or_else(|| bad("date", &date, "not dd/mm/yyyy HH:MM"))?;
    let mut event = Auth::new(at.into(), Outcome::Failure);
    event.ip = Some(ip.parse().map_err(|_| bad("ip", &ip, "not an IP address"))?);
    event.server = known(server);
    // This column was never without a value: even N/A is somebody's name.
    event.user = (user != "(unavailable)").then_some(user);
    event.enrichment = Some(Enrichment {
        hostname: known(hostname),
        reverse_dns_status: known(status).map(today),
        country_code: known(country),
        asn: known(asn)
            .map(|asn| number(&asn).ok_or_else(|| bad("asn", &asn, "not a number")))
            .transpose()?,
        aso: known(aso),
    });
    Ok(event)
}

fn known(cell: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!["", "null", "N/A"].contains(&&*cell)).then_some(cell)
}

/// A status as it is spelled now.
fn today(status: Cow<'_, str>) -> Cow<'_, str> {
    let number = status.strip_prefix("ERRNO ").or_else(|| status.strip_prefix("Errno "));
    Cow::Borrowed(match number.unwrap_or(&status) {
        "1" | "-2" => "Errno 1",
        "2" | "-3" | "Timeout" => "Errno 2",
        "3" | "-4" | "Failed (Unknown)" => "Errno 3",
        "4" | "-5" => "Errno 4",
        _ => return status,
    })
}

/// Databases write numbers with and without `AS`.
fn number(asn: &str) -> Option<u32> {
    asn.strip_prefix("AS").unwrap_or(asn).parse().ok()
}
