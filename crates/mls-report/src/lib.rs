//! `mls-report` writes a report of failed logins: a digest for people, or numbers for programs.
//!
//! # Reads
//! mls-report reads the CSV of mls-csv, or the `auth` records of mls-parse and mls-enrich. The
//! input is one or several FILEs, or standard input, plain or compressed. mls-report reads the
//! rotated files of a FILE (`FILE.1`, `FILE-20260601.gz`) before the FILE. Bad rows are reported
//! and skipped. If no line of an input can be read, mls-report exits with 65. The numbers of a
//! report count only failures. A note gives the number of logins that the server could not check.
//! If the input is records (`mls-parse --outcome failure,error`), mls-report counts these logins.
//! If it is a CSV, mls-report reads their number from the cursor file, where mls-csv counts them by
//! the hour.
//!
//! Successful logins come from `--logins FILE`, from `logins_filename` if `[logins] record = yes`,
//! or from the records of the first input. Failures and logins together show which logins are
//! suspicious (rules guessed, spread and targeted). The rules look back over `[retention]
//! logins_days`.
//!
//! # Writes
//! mls-report writes a report of a day (`--date`), of any period (`--since`, `--until`), or of the
//! rows after the last digest (`--since-last`). `--format` is text, html, json (see [`report`]),
//! prometheus (see [`mod@prometheus`]) or mail. The report goes to standard output, or replaces
//! `--output FILE` in one step. `--since-last --format prometheus` adds the rows after its last run
//! to the counters in the output file, and ignores the last digest. Without `--output`, the output
//! file is `metrics_file` of the configuration.
//!
//! `--account USER` lists the logins of one account instead. Suspicious logins with their evidence
//! come first. Then all logins follow, with time, service, queue ID, address, country, network, and
//! the date of the first login from this address. If logins follow each other, have the same
//! address and service, and have no queue ID, the text shows them as one entry. The default period
//! is all time. A CSV has no services and no queue IDs: to see them, read the records of the log.
//! Letter case in USER does not matter. `--format` is text or json: one object with `account`,
//! `from`, `to`, `total`, `failures`, `logins` and `suspicious_logins`.
//!
//! Text, page and mail begin with a few sentences. They say whether an attacker logged in, how many
//! failed logins there were compared with usual, what is new, what stands out, and what to do.
//! *Usual* is the median of the days before the period; at least seven days are needed. Empty
//! sections are omitted. If there is nothing to list, the text has three lines. The `List-Id` of a
//! mail never changes. The subject of a mail begins with the same words every day, except if there
//! are accounts to check.
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
//! tried many servers, and the servers that are silent. A server is *silent* at the end of the
//! period if there was no attempt for more than two hours, and for more than three times its *usual
//! pause*. To find the usual pause, mls-report takes the longest pause of each of the last 30 days
//! with attempts. The usual pause is the median of these pauses. At least three days with attempts
//! are needed, so the input must have more days than the period of the report:
//!
//! ```sh
//! mls-sql dump --since 2026-05-01 | mls-report --date yesterday --title 'All servers'
//! mls-report --server mx1.example.org --date yesterday maillogsentinel.csv
//! ```
//!
//! # Guarantees
//! - The same data always gives the same report: if counts are equal, the order is by name.
//! - Counts of failures are exact; names are compared by their first 256 bytes. Without logins,
//!   memory stays below 64 MiB, whatever the data. Counts that do not fit go to temporary files in
//!   the directory that `TMPDIR` names, or in `/tmp`. Three numbers have a limit. At most 10,000
//!   servers are counted separately. For the lists of *new* names, at most 400,000 addresses and
//!   400,000 users from before the period are remembered. If there are more, a note says so. At
//!   most 100,000 users with logins are counted.
//! - With `--since-last` on FILE, every attempt is in exactly one digest that mls-mail commits.
//!   This includes an attempt that is logged late, because the position in the file decides, not
//!   the date. The same is true for the logins of `--logins` FILE. `--committed-by` names the
//!   cursor file of the sink: rows that the sink has not committed wait for the next digest.
//!   mls-report finds the position again by content, in FILE and its rotated files (`FILE.1`,
//!   `FILE-20260601.gz`), also after compression, copytruncate and through symbolic links. If the
//!   rows before the position were removed or edited, mls-report warns and selects rows by their
//!   dates, to the minute. It always selects rows of standard input by their dates.
//! - With `--since-last`, every suspicious login of the last 30 days is in exactly one digest that
//!   mls-mail commits, once for each rule, user and day. This is true even if the login is
//!   recorded, or becomes suspicious, after the digest of its day: the ledger remembers the
//!   reported logins, and the date does not matter. The ledger remembers 4,096 logins. If there are
//!   more, it forgets the oldest days, and logins of these days are no longer reported.

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
mod name_table;
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
mod tally;
mod text;
mod verdict;
mod words;

pub use args::{Args, Format};
pub use mls_config::moment::{Day, DayOrMinute};
pub use run::run;
