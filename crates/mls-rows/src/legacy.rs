//! Reads the CSV of the Python original.
//!
//! `;` separates the cells, and dates are `dd/mm/yyyy HH:MM`. The first releases wrote five
//! columns. Later releases added `reverse_dns_status`, and the last releases `country_code`, `asn`
//! and `aso`. If several releases wrote to a file, its rows have different numbers of columns
//! (`lib/maillogsentinel/parser.py`, `bin/update_csv_geolocation.py`). The original escaped
//! nothing, so a `'` at the beginning of a cell belongs to the text.
//!
//! | legacy `reverse_dns_status` | becomes |
//! |---|---|
//! | `OK`, `Errno 1` to `Errno 4` | unchanged |
//! | `ERRNO n` (last releases) | what `Errno n` becomes |
//! | `Errno -2` (`EAI_NONAME` of getaddrinfo(3)) | `Errno 1`, name not found |
//! | `Errno -3` (`EAI_AGAIN`), `Timeout` | `Errno 2`, the server failed or did not answer |
//! | `Errno -4` (`EAI_FAIL`), `Failed (Unknown)` | `Errno 3`, refused or unrecoverable |
//! | `Errno -5` (`EAI_NODATA`) | `Errno 4`, no PTR data |
//! | anything else | unchanged |

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::Path;

use chrono::NaiveDateTime;
use mls_config::zone::Zone;
use mls_event::{Auth, Enrichment, Outcome};
use mls_state::regular;

use crate::row::{BadRow, bad, date_in_zone};

/// The beginning of the header in every release.
const HEADER: &[u8] = b"server;date;ip;user;hostname";

/// The numbers of columns that a row can have. They depend on the release.
pub(crate) const LENGTHS: [usize; 3] = [5, 6, 9];

/// Returns whether a file is a CSV of the Python original; false if it does not exist.
///
/// # Errors
/// Any I/O error.
pub fn is_legacy(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    let Some(file) = regular::if_there(regular::open(path))? else { return Ok(false) };
    file.take(HEADER.len() as u64).read_to_end(&mut beginning)?;
    Ok(beginning == HEADER)
}

pub(crate) fn event(cells: [Cow<'_, str>; 9], zone: Zone) -> Result<Auth<'_>, BadRow> {
    let [server, date, ip, user, hostname, status, country, asn, aso] = cells;
    let naive = NaiveDateTime::parse_from_str(&date, "%d/%m/%Y %H:%M").ok();
    let at = naive.and_then(|naive| date_in_zone(naive, zone));
    let at = at.ok_or_else(|| bad("date", &date, "not dd/mm/yyyy HH:MM"))?;
    let mut event = Auth::new(at.into(), Outcome::Failure);
    event.ip = Some(ip.parse().map_err(|_| bad("ip", &ip, "not an IP address"))?);
    event.server = known(server);
    // The original wrote `(unavailable)` for an unknown user. So a user `N/A` is a name that a
    // client sent.
    event.user = (user != "(unavailable)").then_some(user);
    event.enrichment = Some(Enrichment {
        hostname: known(hostname),
        reverse_dns_status: known(status).map(current_status),
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

fn current_status(status: Cow<'_, str>) -> Cow<'_, str> {
    let number = status.strip_prefix("ERRNO ").or_else(|| status.strip_prefix("Errno "));
    Cow::Borrowed(match number.unwrap_or(&status) {
        "1" | "-2" => "Errno 1",
        "2" | "-3" | "Timeout" => "Errno 2",
        "3" | "-4" | "Failed (Unknown)" => "Errno 3",
        "4" | "-5" => "Errno 4",
        _ => return status,
    })
}

/// Reads the number of an autonomous system, such as `64512` or `AS64512`.
fn number(asn: &str) -> Option<u32> {
    asn.strip_prefix("AS").unwrap_or(asn).parse().ok()
}
