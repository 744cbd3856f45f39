//! The formats of the list, one for each program that reads it.
//!
//! | format | file | for |
//! |---|---|---|
//! | `plain` | `blocked.txt` | one network a line |
//! | `cidr` | `blocked.cidr` | Postfix: `check_client_access cidr:FILE`, `postscreen_access_list` (`cidr_table(5)`) |
//! | `nft` | `blocked.nft` | `nft -f FILE`: replaces the elements of the sets `blocked4` and `blocked6` of the table `inet maillogsentinel`, all or none |
//! | `fail2ban` | `blocked.fail2ban` | `fail2ban-client -i < FILE` |
//! | `crowdsec` | `blocked.crowdsec.json` | `cscli decisions import -i FILE` |
//! | `json` | `blocked.json` | programs: an array with one entry a line |
//!
//! The files contain only addresses, numbers, and words of this program.

use std::fmt::Write;

use chrono::{Offset, Utc};
use mls_config::config::{BlockFormat, show_network};
use mls_config::zone::Zone;
use serde_json::{Value, json};

use crate::list::{BlockList, Cause, ListEntry};
use crate::show_time;

pub(crate) fn file_name(format: BlockFormat) -> &'static str {
    match format {
        BlockFormat::Plain => "blocked.txt",
        BlockFormat::Cidr => "blocked.cidr",
        BlockFormat::Nft => "blocked.nft",
        BlockFormat::Fail2ban => "blocked.fail2ban",
        BlockFormat::Crowdsec => "blocked.crowdsec.json",
        BlockFormat::Json => "blocked.json",
    }
}

/// Formats the list. Remaining times count from `now`.
pub(crate) fn render(format: BlockFormat, list: &BlockList, now: i64, jail: &str) -> String {
    let entries = &list.entries;
    match format {
        BlockFormat::Plain => lines(entries, |entry| entry.network.to_string()),
        BlockFormat::Cidr => lines(entries, |entry| {
            format!("{} REJECT Too many failed logins from your network", entry.network)
        }),
        BlockFormat::Nft => nft(entries, now),
        // Without the last line, fail2ban-client reports the end of its input as an error.
        BlockFormat::Fail2ban => {
            lines(entries, |entry| format!("set {jail} banip {}", show_network(entry.network)))
                + "exit\n"
        }
        BlockFormat::Crowdsec => array(entries, |entry| decision(entry, now)),
        BlockFormat::Json => array(entries, item),
    }
}

fn lines(entries: &[ListEntry], line: impl Fn(&ListEntry) -> String) -> String {
    entries.iter().fold(String::new(), |text, entry| text + &line(entry) + "\n")
}

/// A JSON array with one entry a line.
fn array(entries: &[ListEntry], item: impl Fn(&ListEntry) -> Value) -> String {
    let mut text = String::from("[");
    for (n, entry) in entries.iter().enumerate() {
        text += if n == 0 { "\n" } else { ",\n" };
        text += &item(entry).to_string();
    }
    text + "\n]\n"
}

/// The script for nft, which applies a whole script or nothing. An incomplete script lacks a
/// closing brace, so nft refuses it.
fn nft(entries: &[ListEntry], now: i64) -> String {
    let mut text = String::from("add table inet maillogsentinel\n");
    for (set, kind) in SETS {
        let _ = writeln!(
            text,
            "add set inet maillogsentinel {set} {{ type {kind}; flags interval, timeout; }}\n\
             flush set inet maillogsentinel {set}"
        );
    }
    text += "table inet maillogsentinel {\n";
    for (set, kind) in SETS {
        let _ = writeln!(text, "\tset {set} {{\n\t\ttype {kind}; flags interval, timeout;");
        let of_kind = |entry: &&ListEntry| entry.network.addr().is_ipv4() == (kind == "ipv4_addr");
        let mut elements = entries.iter().filter(of_kind).peekable();
        if elements.peek().is_some() {
            text += "\t\telements = {\n";
            for entry in elements {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    text,
                    "\t\t\t{} timeout {}s,",
                    show_network(entry.network),
                    seconds_left(entry, now)
                );
            }
            text += "\t\t}\n";
        }
        text += "\t}\n";
    }
    text + "}\n"
}

/// The names of the sets, and the types of their elements.
const SETS: [(&str, &str); 2] = [("blocked4", "ipv4_addr"), ("blocked6", "ipv6_addr")];

fn seconds_left(entry: &ListEntry, now: i64) -> i64 {
    (entry.until - now).max(1)
}

/// An entry of `cscli decisions import`.
fn decision(entry: &ListEntry, now: i64) -> Value {
    let value = show_network(entry.network);
    json!({
        "duration": format!("{}s", seconds_left(entry, now)),
        "reason": format!("maillogsentinel: {}", entry.cause),
        "scope": if value.contains('/') { "range" } else { "ip" },
        "type": "ban",
        "value": value,
    })
}

/// An entry of the format `json`.
fn item(entry: &ListEntry) -> Value {
    let utc = |at| show_time(at, Zone::Fixed(Utc.fix()));
    let (since, until) = (utc(entry.since), utc(entry.until));
    let mut item = json!({ "network": entry.network, "since": since, "until": until });
    match entry.cause {
        Cause::Addresses(n) => item["addresses"] = n.into(),
        Cause::Offender(offender) => {
            item["offences"] = offender.offences.into();
            item["attempts"] = offender.attempts.into();
            item["threshold"] = offender.threshold.to_string().into();
        }
    }
    item
}
