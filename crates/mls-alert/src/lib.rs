//! `mls-alert`: a record for each suspicious login, and for each address or user that fails too often within too short a time.
//!
//! ```sh
//! mls-tail --follow LOG | mls-parse | mls-alert --ip 20/10m
//! mls-alert --config /etc/maillogsentinel.conf --framed | mls-mail --config /etc/maillogsentinel.conf
//! ```
//!
//! # Reads
//! The CSV files of mls-csv: FILE with the failures, and `--logins` with the successful logins. Or the `auth` records of
//! mls-parse and mls-enrich from standard input, failures and logins in one stream. A file may be compressed by gzip. With
//! `--config` it reads both CSV files that the configuration names, with the files that rotation made of them, as far as their
//! sinks have committed. `--follow` goes on to read what they commit.
//!
//! # Writes
//! `alert` records (mls-event(5)):
//!
//! ```json
//! {"v":1,"type":"alert","date":"2026-06-01T10:30:00+02:00","kind":"ip","key":"192.0.2.1","attempts":20,"threshold":"20/10m"}
//! ```
//!
//! A suspicious login is one that matches a rule of mls-report(1): `guessed`, `spread` or `targeted`. Its record says why:
//!
//! ```json
//! {"v":1,"type":"alert","date":"2026-06-01T03:12:00+02:00","kind":"guessed","key":"anna","attempts":null,"threshold":null,
//!  "ip":"203.0.113.9","user":"anna","country_code":"VN","asn":64512,"aso":"Example","evidence":"anna logged in from …"}
//! ```
//!
//! # Guarantees
//! - Each suspicious login has one record for each rule, user and day. All data is looked at in each run, as mls-report does for
//!   its digest: back to the `logins_days` of `[retention]`. So a login that is recorded late is reported too, if it is not older
//!   than 30 days. If a rule reports more than 50,000 users and days within 30 days, late logins are reported for a shorter time.
//! - While a key stays at or above its threshold, there is one record in each period of the threshold's length.
//! - With `--cursor-file` the same input can be read again: what alerted before does not alert again. The first run looks back
//!   one day at most. Thresholds always do.
//! - `--framed` leaves the cursor file to the program that reads the records, such as mls-mail. It commits each alert together
//!   with what it does about it, so that no alert is lost or reported twice, whichever of the two dies.
//! - Memory stays below 120 MiB. Each kind has at most [50,000](mls_state::alerted::MAX_KEYS) keys that alert; a warning says if
//!   there are more.

mod args;
mod cursor;
mod detector;
mod follow;
mod output;
mod run;
mod source;
mod suspicious;
mod thresholds;
mod watch;
mod window;

pub use args::Args;
pub use run::run;
