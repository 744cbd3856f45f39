//! A target for every parser of bytes from outside: a function that takes any bytes.
//!
//! A target panics if its parser panics, or if a check fails. Examples of checks: a printed record
//! is parsed as itself, an encoded cell is decoded as itself, and reading in pieces gives the same
//! result as reading all bytes together. [`TARGETS`] lists the targets.
//!
//! `cargo test` gives each target the files of `corpus/NAME`. `scripts/fuzz` makes more inputs from
//! these by changing them, and looks for inputs that reach new code (libFuzzer). It also watches
//! time and memory. An input that found a fault becomes a file in the corpus. Private parsers of a
//! tool are called through the module `fuzz` of its crate, which has the checks.

#![deny(unsafe_code)]
#![warn(missing_docs)]
#![expect(clippy::panic, clippy::expect_used, reason = "a failed check must stop the run")]

mod compression;
mod config;
mod csv;
mod file;
mod log;
mod record;
mod state;

/// A parser and its checks.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is also the name of its directory in `corpus`.
    pub name: &'static str,
    /// Panics if a check fails.
    pub run: fn(&[u8]),
    /// The time limit is this number times 10 ms, and an amount for each byte. The number is above
    /// 1 only if the parser has a known fixed cost. Then the limit is about six times this cost, so
    /// that a slow machine stays below it.
    pub floor: u32,
    /// The largest number of bytes of memory for an input.
    pub memory: usize,
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, floor: 1, memory: 64 << 20 }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("abuse", mls_abuse::fuzz::report),
    target("alert", mls_mail::fuzz::alert),
    target("anonymize", log::anonymize),
    target("anonymize_verify", log::verify),
    target("block_alerts", mls_block::fuzz::alerts),
    target("block_logins", mls_block::fuzz::logins),
    target("block_state", mls_block::fuzz::state),
    target("clock", log::clock),
    // A few bytes can expand to 64 KiB, which are decompressed twice. A decoder may take 96 MiB,
    // because `xz -9` needs 65 MiB. The zstd decoder takes the next power of two and a little more.
    Target { floor: 4, memory: 136 << 20, ..target("compression", compression::decode) },
    target("config", config::ini),
    Target { floor: 5, ..target("config_edit", mls_setup::fuzz::edit) },
    target("csv_attempts", csv::attempts),
    target("csv_cell", csv::cell),
    target("csv_legacy", csv::legacy),
    target("csv_row", csv::row),
    target("cursor", mls_tail::fuzz::cursor),
    target("cursor_file", state::cursor_file),
    target("dns_answer", mls_enrich::fuzz::dns_answer),
    target("envelope", log::envelope),
    target("frames", record::frames),
    // A loaded database has a table of 65,536 entries, even if it has few rows.
    Target { floor: 5, ..target("ipdb_csv", file::ipdb_csv) },
    target("ipdb_mmdb", mls_location::fuzz::mmdb),
    target("journal", log::journal),
    target("lines", log::lines),
    target("mail_cursor", state::mail_cursor),
    target("mail_ledger", mls_mail::fuzz::ledger),
    target("mail_message", mls_mail::fuzz::message),
    target("ndjson", record::ndjson),
    target("records", record::records),
    Target { floor: 15, ..target("report", file::report) },
    target("smtp_reply", mls_mail::fuzz::smtp_reply),
    target("sql_literals", mls_sql::fuzz::literals),
    target("sql_mapping", mls_sql::fuzz::mapping),
    target("sql_statements", mls_sql::fuzz::statements),
    target("typed_values", config::values),
];

/// The target with this name. A program that calls this function in a constant contains only this
/// target.
#[must_use]
pub const fn find(name: &str) -> Option<Target> {
    let mut i = 0;
    while i < TARGETS.len() {
        if equal(TARGETS[i].name.as_bytes(), name.as_bytes()) {
            return Some(TARGETS[i]);
        }
        i += 1;
    }
    None
}

const fn equal(mut a: &[u8], mut b: &[u8]) -> bool {
    while let ([first, more @ ..], [other, others @ ..]) = (a, b) {
        if *first != *other {
            return false;
        }
        (a, b) = (more, others);
    }
    a.is_empty() && b.is_empty()
}
