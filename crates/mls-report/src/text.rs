//! The digest as plain text, in the layout that administrators know from the Python original.

use std::fmt::Write;

use chrono::NaiveDateTime;
use mls_event::clean;
use unicode_width::UnicodeWidthStr;

use crate::columns::Align::{self, Left, Right};
use crate::columns::line_up;
use crate::counter::Counter;
use crate::digest::{Digest, JOINT, UNKNOWN};
use crate::input::Extent;
use crate::server::Server;

/// What the digest's head and foot say beside its numbers.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) label: &'a str,
    pub(crate) now: NaiveDateTime,
    pub(crate) server: &'a Server,
    /// `[systemd] extraction_schedule`, empty where it is not known.
    pub(crate) interval: &'a str,
    pub(crate) extent: &'a Extent,
    /// Name of the CSV file without its directory.
    pub(crate) csv_name: Option<&'a str>,
    pub(crate) top: usize,
}

/// The whole digest.
pub(crate) fn render(digest: &Digest, frame: &Frame<'_>) -> String {
    let mut out = head(frame);
    // Writing to a String cannot fail.
    let _ = write_body(&mut out, digest, frame);
    out
}

/// The box of number signs.
fn head(frame: &Frame<'_>) -> String {
    let address = frame.server.address.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
    let lines = [
        format!("MailLogSentinel v{}", env!("CARGO_PKG_VERSION")),
        format!("Extraction interval : {}", if frame.interval.is_empty() { "unknown" } else { frame.interval }),
        format!("Report at {}", frame.now.format("%Y-%m-%d %H:%M")),
        format!("Server: {address}   ({})", frame.server.name),
    ]
    .map(|line| clean(line.as_bytes()).into_owned());
    let width = lines.iter().map(|line| line.width()).max().unwrap_or_default();
    let border = "#".repeat(width + 9);
    let mut out = format!("{border}\n");
    for line in lines {
        out.extend(["### ", &line, &" ".repeat(width - line.width()), "  ###\n"]);
    }
    out + &border + "\n\n"
}

fn write_body(out: &mut String, digest: &Digest, frame: &Frame<'_>) -> std::fmt::Result {
    let Frame { label, top, .. } = *frame;
    writeln!(out, "Total attempts {label}: {}\n", digest.total)?;

    writeln!(out, "Top {top} failed authentications {label}:")?;
    let rows: Vec<_> = ranked(&digest.logins, top, |key, times| {
        let mut parts = key.split(|b| *b == JOINT);
        let mut part = |unknown| shown(parts.next().unwrap_or(UNKNOWN), unknown);
        [part("N/A"), part("N/A"), part("null"), part("N/A"), times]
    });
    write_list(out, [Left, Left, Left, Left, Right], &rows)?;

    for (what, counter) in [
        ("Usernames", &digest.users),
        ("countries", &digest.countries),
        ("ASO", &digest.organisations),
        ("ASN", &digest.systems),
    ] {
        writeln!(out, "Top {top} {what} {label}:")?;
        let rows = ranked(counter, top, |key, times| [shown(key, "N/A"), times]);
        write_list(out, [Left, Right], &rows)?;
    }

    writeln!(out, "--- Reverse DNS Lookup Failure Summary ---")?;
    write_reverse_dns(out, &digest.reverse_dns_failures, label)?;

    if frame.extent.csv {
        writeln!(out, "Total CSV file size: {}", kibibytes(frame.extent.bytes))?;
        writeln!(out, "Total CSV lines:     {}\n", frame.extent.rows)?;
    }
    if let Some(name) = frame.csv_name {
        writeln!(out, "Please see attached: {}\n", clean(name.as_bytes()))?;
    }
    writeln!(out, "For more details and documentation, see: man mls-report")
}

fn write_reverse_dns(out: &mut String, failures: &Counter, label: &str) -> std::fmt::Result {
    let by_status = failures.top(usize::MAX);
    let total: u64 = by_status.iter().map(|(_, count)| count).sum();
    writeln!(out, "Total failed reverse lookups {label}: {total}")?;
    if total > 0 {
        writeln!(out, "Breakdown by error type:")?;
    }
    let counts: Vec<_> = by_status.iter().map(|(_, count)| [count.to_string()]).collect();
    let names: Vec<_> = by_status.iter().map(|(status, _)| [shown(status, "N/A")]).collect();
    for ((name, count), (status, _)) in line_up([Left], &names).iter().zip(line_up([Right], &counts)).zip(by_status) {
        let meaning = meaning(status).map_or_else(String::new, |meaning| format!("  ({meaning})"));
        writeln!(out, "  {name} : {count}{meaning}")?;
    }
    writeln!(out)
}

/// What the statuses of mls-enrich say (their table is in the documentation of mls-event).
fn meaning(status: &[u8]) -> Option<&'static str> {
    Some(match status {
        b"Errno 1" => "Host name not found",
        b"Errno 2" => "Server failed to respond",
        b"Errno 3" => "Query refused",
        b"Errno 4" => "No PTR data",
        _ => return None,
    })
}

/// The `top` keys of a counter as rows of cells, given each key and its count `5 times`.
fn ranked<const N: usize>(
    counter: &Counter,
    top: usize,
    cells: impl Fn(&[u8], String) -> [String; N],
) -> Vec<[String; N]> {
    let about = if counter.short() > 0 { "at least " } else { "" };
    counter.top(top).into_iter().map(|(key, n)| cells(key, format!("{about}{n} times"))).collect()
}

fn write_list<const N: usize>(out: &mut String, columns: [Align; N], rows: &[[String; N]]) -> std::fmt::Result {
    if rows.is_empty() {
        writeln!(out, "  (none)")?;
    }
    for (rank, line) in (1..).zip(line_up(columns, rows)) {
        writeln!(out, "  {rank:>2}. {line}")?;
    }
    writeln!(out)
}

/// A key for people: no control character, and a word for what is unknown.
fn shown(key: &[u8], unknown: &str) -> String {
    if key == UNKNOWN { unknown.to_owned() } else { clean(key).into_owned() }
}

/// `241.1K`, as the original writes sizes.
fn kibibytes(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10 + 512) / 1024;
    format!("{}.{}K", tenths / 10, tenths % 10)
}
