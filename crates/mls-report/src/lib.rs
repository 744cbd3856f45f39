//! `mls-report`: the digest that people read, and the numbers that machines read.
//!
//! # Reads
//! In one pass, the CSV of mls-csv or the `auth` records of mls-parse and mls-enrich; from FILE or standard input, plain or
//! gzip. Only failures count. Bad rows are reported and skipped.
//!
//! # Writes
//! A report of a day (`--date`), of any stretch of time (`--since`, `--until`), or of what came after the last digest
//! (`--since-last`); as `--format` text, html, json (see [`report`]) or prometheus (see [`mod@prometheus`]); to standard output, or in one
//! step to `--output FILE`. With `--mail` it goes out as a mail of text, HTML and the CSV. `--alert` writes other records (see
//! [`alert`]).
//!
//! ```sh
//! mls-report --date yesterday /var/log/maillogsentinel/maillogsentinel.csv
//! zcat mail.log.2.gz | mls-parse | mls-enrich | mls-report --date 2026-06-01
//! mls-report --config /etc/maillogsentinel.conf --since-last --mail
//! ```
//!
//! # Guarantees
//! - The same data always gives the same report: ties are broken by name.
//! - Memory is bounded below 64 MiB, whatever the data: 100,000 users, as many combinations of user and address, 110,000
//!   addresses and 50,000 autonomous systems are counted exactly, names by their first 256 bytes. Where the data has more,
//!   counts are lower bounds and say `at least`, and a note says by how much they may be too low.
//! - With `--since-last` on a plain FILE, every attempt is in exactly one digest, also one that came late: what was in the
//!   last digest is told by its place in the file, not by the clock. Give `--committed-by` the cursor file of the sink, so
//!   that rows it may still take back are left for the next time. The place is looked for in FILE and in the files that it was
//!   rotated to (`FILE.1`, `FILE-20260601.gz`), in the order in which these were last written to. Where it cannot be found any
//!   more (its file was removed, edited, or compressed), or on standard input, the dates of rows decide, by the minute, and
//!   where it was a FILE a warning says so.
//! - A mail that could not be delivered is sent first by the next run: the same stretch under the same Message-ID, and to those
//!   only who have not got it. It keeps the next one back for most of a day, or as long as the server takes nothing at all. It is
//!   given up, with a warning, when the server refuses it for good and has taken a later one, or when 30 later ones wait too.
//! - Nobody gets a digest twice, unless the server's answer to it was lost: then nobody knows, and it has the same Message-ID.

pub mod alert;
mod args;
mod aside;
mod attachment;
mod columns;
mod counter;
mod history;
mod html;
mod input;
mod mail;
mod period;
mod place;
pub mod prometheus;
pub mod report;
mod rows;
mod run;
mod seen;
mod sent;
mod server;
mod smtp;
mod table;
mod tally;
mod text;
mod window;

pub use args::{Args, Format};
pub use period::{Day, Moment};
pub use run::run;
