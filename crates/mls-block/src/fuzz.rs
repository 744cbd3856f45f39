//! The checks of `tests/fuzz`. Each function gets any bytes, and panics if its check fails.

#![expect(clippy::expect_used, reason = "a failed check must stop the run")]

use std::path::Path;

use clap::ValueEnum;
use mls_event::Record;

use crate::allow::Allow;
use crate::blocker::offence;
use mls_config::config::BlockFormat;

use crate::format;
use crate::list::{BlockList, Limits};
use crate::logins::RecentLogins;
use crate::offender::{BlockTime, Offenders};
use crate::state_file;

/// The time of the checks: 2026-12-01.
const NOW: i64 = 1_796_083_200;

const TIME: BlockTime = BlockTime { first: 3600, longest: 30 * 86400 };

/// Reads alert records. The state must be the same after it is written and read, and lists must
/// have no text of an alert.
pub fn alerts(text: &[u8]) {
    let mut offenders = Offenders::default();
    for line in text.split(|b| *b == b'\n') {
        if let Ok(Record::Alert(alert)) = Record::parse(line) {
            let at = alert.date.at().timestamp();
            match (offence(&alert, at), alert.ip) {
                (Ok(offence), _) if at <= NOW => drop(offenders.offend(offence, TIME)),
                (_, Some(ip)) => drop(offenders.suspect(ip.to_canonical(), at)),
                _ => {}
            }
        }
    }
    assert_usable(offenders);
}

/// Reads rows or records of logins. If a file is read while it grows, the logins must be the same
/// as if it is read once.
pub fn logins(text: &[u8]) {
    let path = Path::new("any");
    let read = |logins: &mut RecentLogins, from: u64, to: usize| {
        let start = usize::try_from(from).expect("an offset");
        logins.read_lines(&text[start..to], from, NOW, path).expect("bytes in memory")
    };
    let mut once = RecentLogins::default();
    let end = read(&mut once, 0, text.len());
    assert!(end <= text.len() as u64);
    let mut twice = RecentLogins::default();
    let half = read(&mut twice, 0, text.len() / 2);
    assert_eq!(read(&mut twice, half, text.len()), end);
    assert!(once.seen == twice.seen, "{:?} {:?}", once.seen, twice.seen);
}

/// Reads a state file.
pub fn state(text: &[u8]) {
    if let Ok(offenders) = state_file::parse(text) {
        assert_usable(offenders);
    }
}

fn assert_usable(mut offenders: Offenders) {
    let mut written = Vec::new();
    state_file::write(&offenders, &mut written).expect("room in memory");
    assert_eq!(state_file::parse(&written).expect("a state file"), offenders);
    offenders.forget(NOW, TIME);
    let allow = Allow { networks: Vec::new(), logins: RecentLogins::default() };
    let limits = Limits { max_entries: 1000, network_from: 3 };
    let list = BlockList::new(&offenders, &allow, limits, NOW);
    for &format in BlockFormat::value_variants() {
        let text = format::render(format, &list, NOW, "sshd");
        let is_plain = |c: char| matches!(c, ' '..='~' | '\n' | '\t');
        assert!(text.chars().all(is_plain), "{text:?}");
        if matches!(format, BlockFormat::Json | BlockFormat::Crowdsec) {
            let array: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
            assert_eq!(array.len(), list.entries.len());
        }
    }
}
