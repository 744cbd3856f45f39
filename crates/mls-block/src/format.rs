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
//! They contain only addresses, numbers, and words of this program.

use std::fmt::{self, Write};

use chrono::{Offset, Utc};
use ipnet::IpNet;
use mls_config::config::BlockFormat;
use mls_config::zone::Zone;
use mls_diag::count;
use serde::Serialize;

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
            lines(entries, |entry| format!("set {jail} banip {}", Short(entry.network))) + "exit\n"
        }
        BlockFormat::Crowdsec => array(entries, |entry| Decision::new(entry, now)),
        BlockFormat::Json => array(entries, Item::new),
    }
}

fn lines(entries: &[ListEntry], line: impl Fn(&ListEntry) -> String) -> String {
    entries.iter().fold(String::new(), |text, entry| text + &line(entry) + "\n")
}

/// A JSON array with one entry a line.
fn array<T: Serialize>(entries: &[ListEntry], item: impl Fn(&ListEntry) -> T) -> String {
    let mut text = String::from("[");
    for (n, entry) in entries.iter().enumerate() {
        text += if n == 0 { "\n" } else { ",\n" };
        // Cannot fail: strings and numbers always fit into JSON.
        text += &serde_json::to_string(&item(entry)).unwrap_or_default();
    }
    text + "\n]\n"
}

/// The script for nft, which applies a whole script or nothing. An incomplete script ends inside a
/// brace, which is an error.
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
                    Short(entry.network),
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
#[derive(Serialize)]
struct Decision {
    duration: String,
    reason: String,
    scope: &'static str,
    r#type: &'static str,
    value: String,
}

impl Decision {
    fn new(entry: &ListEntry, now: i64) -> Self {
        Self {
            duration: format!("{}s", seconds_left(entry, now)),
            reason: format!("maillogsentinel: {}", CauseText(&entry.cause)),
            scope: if is_address(entry.network) { "ip" } else { "range" },
            r#type: "ban",
            value: Short(entry.network).to_string(),
        }
    }
}

/// An entry of the format `json`.
#[derive(Serialize)]
struct Item {
    network: IpNet,
    since: String,
    until: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offences: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<String>,
}

impl Item {
    fn new(entry: &ListEntry) -> Self {
        let utc = |at| show_time(at, Zone::Fixed(Utc.fix()));
        let (network, since, until) = (entry.network, utc(entry.since), utc(entry.until));
        let (mut addresses, mut offences, mut attempts, mut threshold) = (None, None, None, None);
        match entry.cause {
            Cause::Addresses(n) => addresses = Some(n),
            Cause::Offender(offender) => {
                offences = Some(offender.offences);
                attempts = Some(offender.attempts);
                threshold = Some(offender.threshold.to_string());
            }
        }
        Self { network, since, until, addresses, offences, attempts, threshold }
    }
}

/// Writes a single address without prefix length, because some programs do not accept one.
struct Short(IpNet);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_address(self.0) { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

fn is_address(network: IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}

pub(crate) struct CauseText<'a>(pub(crate) &'a Cause);

impl fmt::Display for CauseText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Cause::Addresses(n) => {
                let addresses = count(*n as u64, "address in it is", "addresses in it are");
                write!(f, "{addresses} blocked")
            }
            Cause::Offender(offender) => {
                let attempts = count(offender.attempts, "failed login", "failed logins");
                write!(f, "{attempts} ({})", offender.threshold)
            }
        }
    }
}
