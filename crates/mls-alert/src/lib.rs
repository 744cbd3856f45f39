//! `mls-alert` writes a record for each suspicious login, and for each address or user with too
//! many failed logins in a short time.
//!
//! ```sh
//! mls-tail --follow LOG | mls-parse | mls-alert --ip 20/10m
//! mls-alert --config /etc/maillogsentinel.conf --framed | mls-mail --config /etc/maillogsentinel.conf
//! ```
//!
//! # Reads
//! mls-alert reads the CSV files of mls-csv: FILE with the failures, and `--logins` with the
//! successful logins. It can also read the `auth` records of mls-parse and mls-enrich from standard
//! input, with failures and logins in one stream. A file may be compressed by gzip. With
//! `--config`, mls-alert reads both CSV files that the configuration names, and their rotated
//! files. It reads only what mls-csv has committed. With `--follow`, mls-alert runs until SIGTERM
//! and reads each new commit. It remembers the earlier attempts. So it reads only the new rows, and
//! again the rows of at most about one hour before them. In three cases, mls-alert reads all rows
//! again: a new day has begun, the first new row is older than these rows, or a file was edited.
//!
//! # Writes
//! `alert` records (mls-event(5)):
//!
//! ```json
//! {"v":1,"type":"alert","date":"2026-06-01T10:30:00+02:00","kind":"ip","key":"192.0.2.1","attempts":20,"threshold":"20/10m"}
//! ```
//!
//! A login is suspicious if it matches a rule of mls-report(1): `guessed`, `spread` or `targeted`.
//! The member `evidence` says why:
//!
//! ```json
//! {"v":1,"type":"alert","date":"2026-06-01T03:12:00+02:00","kind":"guessed","key":"anna","attempts":null,"threshold":null,
//!  "ip":"203.0.113.9","user":"anna","country_code":"VN","asn":64512,"aso":"Example","evidence":"anna logged in from …"}
//! ```
//!
//! # Guarantees
//! - About suspicious logins, mls-alert writes one record for each rule, user and day. Each run
//!   reads all data of the last `[retention] logins_days` days. So mls-alert also reports a login
//!   that is recorded late, up to 30 days after the login. If one rule has more than 50,000 records
//!   within 30 days, this time becomes shorter.
//! - With `--by-server`, thresholds count each server separately, and the record has the member
//!   `server`.
//! - While an address or a user stays at or above a threshold, mls-alert writes one record in each
//!   period of the threshold's length.
//! - With `--cursor-file`, each alert is written once, even if the same input is read again. The
//!   first run writes only alerts about the last day. About thresholds, every run writes only
//!   alerts about the last day.
//! - With `--framed`, the program that reads the records, such as mls-mail, writes the cursor file.
//!   This program commits each alert together with its own output. So no alert is lost or reported
//!   twice, even if mls-alert or this program dies.
//! - Memory stays below about 120 MiB (estimated). mls-alert remembers at most
//!   [50,000](mls_state::alerted::MAX_KEYS) alerts of each kind, such as `ip` or `guessed`. If
//!   alerts about thresholds reach this limit, mls-alert prints a warning.

mod args;
mod cursor;
mod detector;
mod follow;
mod output;
mod pass;
mod run;
mod source;
mod suspicious;
mod thresholds;
mod window;

pub use args::Args;
pub use run::run;
