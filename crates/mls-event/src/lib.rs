//! The contract between the tools of MailLogSentinel: record types, and this page, which specifies
//! them.
//!
//! A program that follows this page can run between any two tools, before them or after them:
//! `grep`, `jq`, or your own.
//!
//! # The stream
//!
//! A stream is UTF-8 text with one JSON object on each line. A line is at most [1 MiB](MAX_LINE)
//! long, including its newline. The first two members are always `"v":1,"type":"…"`, so
//! `grep '"type":"auth"'` works. A filter must pass on every record type and every member that it
//! does not know, unchanged and in order. A later release may add a member to version 1. Only a new
//! version may remove a member or change its meaning.
//!
//! # `auth`: one authentication attempt
//!
//! An unknown value is `null`. Only `port`, `queue_id` and `pos` are omitted if they have no
//! value. Text contains no control characters: C0, DEL and C1 controls become `?` [when the text is
//! read](clean), and invalid UTF-8 becomes U+FFFD.
//!
//! | member | type | meaning |
//! |---|---|---|
//! | `date` | string | RFC 3339 with offset, at the precision of the log |
//! | `server` | string or null | host field of the log line |
//! | `service` | string or null | program name in the log: `postfix/submission/smtpd` |
//! | `pid` | integer or null | process ID of that program |
//! | `outcome` | `failure`, `success`, `aborted`, `error` | `aborted`: the client gave up before it sent a password; `error`: because of a temporary failure, the server could not check the password |
//! | `attempts` | integer, 1 or more | the count in a `message repeated N times` or in a line of Dovecot, else 1 |
//! | `mechanism` | string or null | upper case: `LOGIN`, `PLAIN`, `CRAM-MD5`, … |
//! | `ip` | string or null | canonical text (RFC 5952); an IPv4-mapped IPv6 address becomes IPv4 |
//! | `port` | integer | the client's port, only if the line has it |
//! | `client` | string or null | the client's name in the log; `unknown` becomes null |
//! | `user` | string or null | the text after `sasl_username=`; `(unavailable)` becomes null |
//! | `reason` | string or null | the text between `failed:` and `, sasl_username=` |
//! | `queue_id` | string | Postfix's queue ID of the message that the client sent after a login |
//! | `pos` | string | the [identity of the line](#pos-the-identity-of-a-line), `GENERATION:OFFSET`; only in a framed pipeline |
//!
//! `mls-enrich` adds these five members. It always adds all of them; unknown values are null.
//!
//! | member | type | meaning |
//! |---|---|---|
//! | `hostname` | string or null | reverse DNS name |
//! | `reverse_dns_status` | string or null | `OK`, `Errno 1` name not found, `Errno 2` server failed or silent, `Errno 3` refused or unrecoverable, `Errno 4` no PTR data; null if no lookup was made |
//! | `country_code` | string or null | ISO 3166-1 alpha-2 |
//! | `asn` | integer or null | autonomous system number |
//! | `aso` | string or null | organisation of the autonomous system |
//!
//! Only `failure` is recorded as a failed login. `aborted` and `error` become neither a row nor an
//! alert.
//!
//! # `pos`: the identity of a line
//!
//! The same line has the same `pos` in every copy of its file: after rotation renamed the file, after
//! compression, in the copy that `copytruncate` makes, and in a copy that ends earlier. So a reader of
//! many logs can drop lines that it has read already.
//!
//! GENERATION is the first 16 hexadecimal digits of a SHA-256. It is computed from the first line
//! of the file without its newline, at most from the first 4096 bytes of this line. OFFSET is the
//! offset of the line's first byte in the file, in (decompressed) bytes. If a container runtime has
//! written the line in parts, OFFSET is the offset of the last part. For the systemd journal,
//! GENERATION is the sequence ID of the journal file, and OFFSET is the number of the entry.
//!
//! Three limits are known:
//!
//! - Different files can begin with the same line, mostly if time stamps have no year. In this
//!   case, different lines can have the same `pos`. Compare `server`, `service`, `pid` and the
//!   seconds of `date` too before you drop a line. If mls-tail reads both files with one cursor,
//!   it calls the second file `GENERATION-2`.
//! - The last line of a compressed file may lack its newline, because the file was cut. mls-tail
//!   reads the incomplete line, so its record can be shorter than the record of the whole line.
//!   Both records have the same `pos`.
//! - A copy without the beginning of the file has another GENERATION, so the same lines have
//!   different `pos`.
//!
//! # `alert`: something to act on
//!
//! An alert reports that a threshold was reached, or that a login is suspicious. The optional members
//! are omitted if they are unknown.
//!
//! | member | type | meaning |
//! |---|---|---|
//! | `date` | string | RFC 3339; when the threshold was reached, or when the user logged in |
//! | `kind` | `ip`, `user`, `total`, `guessed`, `spread`, `targeted` | the threshold that was reached, or the rule that the login matches |
//! | `key` | string or null | for `ip` the address, for `total` null, for every other kind the user |
//! | `attempts` | integer or null | failed attempts within the time of the threshold; null for a suspicious login |
//! | `threshold` | string or null | such as `20/10m`; null for a suspicious login |
//! | `server` | string | optional: the server whose attempts were counted, if each server is counted separately |
//! | `ip` | string | optional: address of the client |
//! | `user` | string | optional: name of the user |
//! | `country_code` | string | optional: as in `auth` |
//! | `asn` | integer | optional: as in `auth` |
//! | `aso` | string | optional: as in `auth` |
//! | `hostname` | string | optional: as in `auth` |
//! | `evidence` | string | optional: a sentence that explains why the login is suspicious |
//!
//! # A schema for programs
//!
//! `/usr/share/maillogsentinel/schema.json` is a JSON Schema of the records. It is generated from the
//! same tables as the tools.
//!
//! # Columns of the CSV
//!
//! The CSV has a header and these columns, in this order: `server`, `date`, `ip`, `user`,
//! `hostname`, `reverse_dns_status`, `country_code`, `asn`, `aso`. Each column contains the member
//! of `auth` of the same name. `mls-csv`(1) describes the text of the cells.
//!
//! # Control records: a framed stream
//!
//! `mls-tail --framed` writes control records, and every filter passes them on. A sink needs them
//! to commit data and position together:
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
//! | `begin` | `base`: integer | first record; the sequence number of the cursor that the source started from, 0 if there was none |
//! | `segment` | `source`, `generation`: string; `offset`, `length`: integer, bytes; `mtime`: RFC 3339; `before`: string, may be missing | exactly `length` raw bytes follow the newline; mls-parse consumes the record |
//! | `gap` | `source`, `reason`: string; `generation`: string or null; `offset`: integer or null | part of the source could not be read |
//! | `checkpoint` | `cursor`: any | a barrier: `cursor` covers the data of all earlier records, and only the source understands it |
//! | `end` | | last record; a stream without it was cut off |
//!
//! The members of `segment`:
//!
//! - `source` is an absolute path, or `journal` if the bytes are lines of `journalctl -o json`.
//! - `generation` and `offset` are the [`pos`](#pos-the-identity-of-a-line) of the first byte.
//! - `mtime` is the last change of the file, or the time in its gzip header if this time is
//!   earlier. No line of the segment is newer.
//! - `before` holds the last lines before the segment, at most 2 KiB. A line that counts repetitions
//!   refers to an earlier line, which may be in another segment or run. If a line of a container is
//!   in parts, and its last part is not read yet, `before` can be longer than 2 KiB: it begins with
//!   the first part of this line, or with an earlier line. If the first part is more than 64 KiB
//!   before the segment, `before` begins with the line `- stdout P:long ` or `- stderr P:long `,
//!   which names the stream. mls-parse counts a line with parts in several segments only once.
//!
//! Because of the length prefix, the content of a log can never forge a record.

// The manual page mls-event(5) ends here.

//! # In Rust
//!
//! The JSON Schema of the records is [`schema::document`], and `schema.json` of this crate.
//!
//! This crate does no I/O. A tool reads lines with `mls_stream::ndjson` and gives each line to
//! [`Record::parse`], or to [`Members::parse`] if the tool only adds members.

#![warn(missing_docs)]

mod alert;
mod auth;
mod column;
mod container;
mod control;
mod country;
mod fast_path;
mod finding;
mod members;
mod record;
pub mod schema;
mod table;
mod text;
mod timestamp;
mod value;

pub use alert::{Alert, AlertKind};
pub use auth::{Auth, Enrichment, MAX_ROWS, Outcome};
pub use column::Column;
pub use container::{
    ContainerStream, DOCKER_PART, MAX_BEFORE, MAX_PARTS_BEFORE, add_last_lines, add_skipped,
    last_lines, long_docker_lines, lost_lines, without_long_parts, without_nul,
};
pub use control::{Begin, Checkpoint, End, Gap, JOURNAL_SOURCE, Segment};
pub use country::country_name;
pub use finding::{Finding, Rule};
pub use members::{Member, Members, write_json};
pub use record::{BadRecord, Body, Record, kind};
pub use text::{clean, clean_str, display_place, display_system, display_text};
pub use timestamp::{BadTimestamp, Timestamp};
pub use value::{read_ip, write_ip};

/// The version that this crate reads and writes: the `v` of every record.
pub const VERSION: u64 = 1;

/// Length of the longest line of a stream in bytes, including its newline.
pub const MAX_LINE: usize = 1 << 20;
