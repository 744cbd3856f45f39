//! `mls-report`: the digest that people read, and the numbers that machines read.
//!
//! # Reads
//! In one pass, the CSV of mls-csv or the `auth` records of mls-parse and mls-enrich; from one FILE
//! or several, or from standard input, plain or compressed. mls-report reads the rotated files of a
//! FILE (`FILE.1`, `FILE-20260601.gz`) before it. Bad rows are reported and skipped. If no line of
//! an input can be read, mls-report exits with 65. Numbers count failures only. A note says how many
//! logins the server could not check: those in the records (`mls-parse --outcome failure,error`), or
//! those that mls-csv counted by the hour in the cursor file of the CSV, which has no rows for them.
//!
//! Successful logins are read from `--logins FILE`, with `[logins] record = yes` from
//! `logins_filename`, or from the records of the first input. Together with the failures they show
//! which logins are suspicious (rules guessed, spread and targeted). The rules look back over
//! `[retention] logins_days`.
//!
//! # Writes
//! A report of a day (`--date`), of any period (`--since`, `--until`), or of what came after the
//! last digest (`--since-last`). `--format` is text, html, json (see [`report`]), prometheus (see
//! [`mod@prometheus`]) or mail. It goes to standard output, or replaces `--output FILE` in one
//! step. `--since-last --format prometheus` adds to the counters in that file instead of starting
//! from the last digest; without `--output` the file is `metrics_file` of the configuration.
//!
//! `--account USER` lists the logins of one account instead: its suspicious ones with their
//! evidence, then each login with time, service, queue ID, address, country and network, and when
//! that address was first seen. Logins in a row from one address and service are one entry, except
//! if they have queue IDs. The default is all time. A CSV has neither services nor queue IDs: for
//! those, read the records of the log. Letter case does not matter. `--format` is text or json: one
//! object with `account`, `from`, `to`, `total`, `failures`, `logins` and `suspicious_logins`.
//!
//! Text, page and mail begin with at most five sentences: whether anybody got in, how many failed
//! logins there were compared with usual, what is new, what stands out, and what to do. *Usual* is
//! the median of the days before; at least seven are needed. Sections without content are left out.
//! A day without attempts is three lines. The subject of a mail begins with the same words every
//! day, except if there are accounts to check; its `List-Id` never changes.
//!
//! ```sh
//! mls-report --date yesterday /var/log/maillogsentinel/maillogsentinel.csv
//! zcat mail.log.2.gz | mls-parse | mls-enrich | mls-report --date 2026-06-01
//! mls-report --config C --since-last --format mail | mls-mail --config C
//! mls-parse --outcome failure,success < mail.log | mls-report --account anna@example.org
//! ```
//!
//! # Many servers
//! If the input has several values of `server`, the report lists the servers, the addresses that
//! tried many of them, and servers that are silent. A server is *silent* if the data has nothing of
//! it for more than three times its usual pause, and for more than two hours, up to the end of the
//! period. Its *usual pause* is the median of the longest pauses of its last 30 days with attempts;
//! at least three such days are needed. So read a longer time than you report:
//!
//! ```sh
//! mls-sql dump --since 2026-05-01 | mls-report --date yesterday --title 'All servers'
//! mls-report --server mx1.example.org --date yesterday maillogsentinel.csv
//! ```
//!
//! # Guarantees
//! - The same data always gives the same report: ties are broken by name.
//! - All counts are exact; names are compared by their first 256 bytes. Without logins, memory stays
//!   below 64 MiB, whatever the data. Counts that do not fit go to temporary files in the directory
//!   that `TMPDIR` names, or in `/tmp`. Only what is called *new* has a limit: if there were more
//!   than 400,000 addresses or users before the period, a note says so.
//! - With `--since-last` on FILE, every attempt is in exactly one digest that mls-mail commits,
//!   also an attempt that is logged late: its position in the file decides, not its date.
//!   `--committed-by` names the cursor file of the sink: rows that the sink has not committed wait
//!   for the next digest. mls-report finds the position again by content, in FILE and its rotated
//!   files (`FILE.1`, `FILE-20260601.gz`), also after compression, copytruncate and through
//!   symbolic links. If those rows were removed or edited, it warns and selects rows by their
//!   dates, by the minute. On standard input it always selects rows by their dates.
//! - With `--since-last`, every suspicious login of the last 30 days is in exactly one digest that
//!   mls-mail commits, once for each rule, user and day. This holds also if the login is recorded,
//!   or becomes suspicious, after the digest of its day: the ledger says which ones were named, and
//!   the date does not decide. The ledger remembers 4,096; if there are more, those of the oldest
//!   days are not named again.

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;

mod account;
mod args;
mod attachment;
mod columns;
mod counter;
mod counters;
mod history;
mod html;
mod login_counter;
mod message;
mod notes;
mod period;
pub mod prometheus;
mod ranking;
mod rankings;
pub mod report;
mod reported;
mod run;
mod runs;
mod sections;
mod seen;
mod servers;
mod since_last;
mod summary;
mod suspicion;
mod table;
mod tally;
mod text;
mod verdict;
mod words;

pub use args::{Args, Format};
pub use mls_config::moment::{Day, Moment};
pub use run::run;
