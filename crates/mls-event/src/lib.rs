//! The wire contract between the tools of MailLogSentinel: record types, and this page, which specifies them.
//!
//! Whatever keeps to this can stand between two tools, before or behind them: `grep`, `jq`, or a program of your own.
//!
//! # The stream
//!
//! One JSON object per line, UTF-8, at most [1 MiB](MAX_LINE), the newline included. The first two members are always
//! `"v":1,"type":"…"`, so that `grep '"type":"auth"'` works. A filter hands on, unchanged and in order, every record
//! type and every member that it does not know. A new member may appear within version 1; a member never changes
//! its meaning or goes away without a new version.
//!
//! # `auth`: one authentication attempt
//!
//! Absent values are `null`, never missing, except `port` and `pos`. Text holds no control character: C0, DEL and C1
//! controls became `?` [where the text entered](clean), invalid UTF-8 became U+FFFD.
//!
//! | member | type | meaning |
//! |---|---|---|
//! | `date` | string | RFC 3339 with offset, at the precision logged |
//! | `server` | string or null | host field of the log line |
//! | `service` | string or null | program name as logged: `postfix/submission/smtpd` |
//! | `pid` | integer or null | |
//! | `outcome` | `failure`, `success`, `aborted` | aborted: the client gave up and no password was tried |
//! | `attempts` | integer, 1 or more | what a `message repeated N times` or a Dovecot line says, else 1 |
//! | `mechanism` | string or null | upper case: `LOGIN`, `PLAIN`, `CRAM-MD5`, … |
//! | `ip` | string or null | canonical text (RFC 5952); an IPv4-mapped IPv6 address becomes IPv4 |
//! | `port` | integer | only where the line has it |
//! | `client` | string or null | the name the server logged; `unknown` is null |
//! | `user` | string or null | all that follows `sasl_username=`; `(unavailable)` is null |
//! | `reason` | string or null | text between `failed:` and `, sasl_username=` |
//! | `pos` | string | `GENERATION:OFFSET` of the line; only in a framed pipeline; opaque |
//!
//! `mls-enrich` adds these five, each of them always, null where unknown:
//!
//! | member | type | meaning |
//! |---|---|---|
//! | `hostname` | string or null | reverse DNS name |
//! | `reverse_dns_status` | string or null | `OK`, `Errno 1` name not found, `Errno 2` server failed or silent, `Errno 3` refused or unrecoverable, `Errno 4` no PTR data; null where no lookup was made |
//! | `country_code` | string or null | ISO 3166-1 alpha-2 |
//! | `asn` | integer or null | autonomous system number |
//! | `aso` | string or null | its organisation |
//!
//! # Control records: a framed stream
//!
//! `mls-tail --framed` writes, and every filter hands on, what a sink needs to commit data and position together:
//!
//! ```text
//! {"v":1,"type":"begin","base":7}
//! {"v":1,"type":"segment","source":"/var/log/mail.log","generation":"9f2c…","offset":4096,"length":187,"mtime":"…"}
//! 187 raw bytes of the log, the last one a newline
//! {"v":1,"type":"checkpoint","cursor":{…}}
//! {"v":1,"type":"end"}
//! ```
//!
//! | type | members | meaning |
//! |---|---|---|
//! | `begin` | `base`: integer | first record; the sequence number of the cursor that the source started from, 0 for none |
//! | `segment` | `source`, `generation`: string; `offset`, `length`: integer, bytes; `mtime`: RFC 3339 | exactly `length` raw bytes follow the newline; `source` is an absolute path, or `journal` where the bytes are lines of `journalctl -o json`. mls-parse consumes it |
//! | `gap` | `source`, `reason`: string; `generation`: string or null; `offset`: integer or null | something could not be read |
//! | `checkpoint` | `cursor`: any | a barrier: all data of the records before it is covered by `cursor`, which only the source understands |
//! | `end` | | last record; a stream that stops without it was cut off |
//!
//! The length prefix is why log content can never forge a record.
//!
//! # Other records
//!
//! Those of type `alert` are for programs that act on attacks; `mls-report`(1) describes them.

// The manual page mls-event(5) ends here.

//! # In Rust
//!
//! This crate does no I/O. A tool reads lines with `mls_stream::ndjson` and gives each to [`Record::parse`],
//! or to [`Members::parse`] where it only adds to a record.

#![warn(missing_docs)]

mod auth;
mod control;
mod members;
mod record;
mod straight;
mod text;
mod timestamp;

pub use auth::{Auth, Enrichment, MAX_ROWS, Outcome};
pub use control::{Begin, Checkpoint, End, Gap, JOURNAL_SOURCE, Segment};
pub use members::{Member, Members, write_json};
pub use record::{BadRecord, Body, Record, kind};
pub use text::{clean, clean_str};
pub use timestamp::{BadTimestamp, Timestamp};

/// The version this crate reads and writes, the `v` of every record.
pub const VERSION: u64 = 1;

/// Longest line of a stream in bytes, its newline included.
pub const MAX_LINE: usize = 1 << 20;
