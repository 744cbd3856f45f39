//! A target for every parser of untrusted bytes. A target is a function that takes any bytes.
//!
//! A target panics if its parser panics, or if a check fails. Examples of checks: a record is the
//! same after printing and parsing, a cell is the same after encoding and decoding, and small reads
//! give the same result as one large read. [`TARGETS`] lists the targets.
//!
//! `cargo test` runs each target on the files of `corpus/NAME`. `scripts/fuzz` changes these files
//! to make new inputs, and looks for inputs that reach new code (with libFuzzer). The script also
//! checks time and memory. If an input finds a bug, put the input into the corpus. The module
//! `fuzz` of a crate calls the private parsers of this crate and checks their results.

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
    /// The name of the target and of its directory in `corpus`.
    pub name: &'static str,
    /// Panics if a check fails.
    pub run: fn(&[u8]),
    /// The time limit is this number times 10 ms, plus 1 µs for each byte. The number is 1 for most
    /// parsers. If a parser has a fixed cost for each input, the limit is about six times this
    /// cost, because some machines are slow.
    pub floor: u32,
    /// The maximum memory for one input, in bytes.
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
    // A few bytes can expand to 64 KiB, which are decompressed twice. A decoder may use 96 MiB,
    // because `xz -9` needs 65 MiB. For zstd, the limit becomes 128 MiB and a little more.
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

/// Returns the target `name`. If a constant calls this function, the program contains only the code
/// of this target.
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
