//! `mls-alert`: a record for each address or user that fails too often within too short a time.
//!
//! ```sh
//! mls-tail --follow LOG | mls-parse | mls-alert --ip 20/10m
//! mls-alert --config /etc/maillogsentinel.conf --framed | mls-mail --config /etc/maillogsentinel.conf
//! ```
//!
//! # Reads
//! The CSV of mls-csv, or the `auth` records of mls-parse and mls-enrich; from FILE or standard input. A file may be
//! compressed by gzip. Only failures count.
//!
//! # Writes
//! `alert` records (mls-event(5)):
//!
//! ```json
//! {"v":1,"type":"alert","date":"2026-06-01T10:30:00+02:00","kind":"ip","key":"192.0.2.1","attempts":20,"threshold":"20/10m"}
//! ```
//!
//! # Guarantees
//! - While a key stays at or above its threshold, there is one record in each period of the threshold's length.
//! - With `--cursor-file` the same input can be read again: what alerted before does not alert again. The first run looks back
//!   one day at most.
//! - `--framed` leaves the cursor file to the program that reads the records, such as mls-mail. It commits each alert together
//!   with what it does about it, so that no alert is lost or reported twice, whichever of the two dies.
//! - Memory stays below 80 MiB. Each kind has at most [50,000](mls_state::alerted::MAX_KEYS) keys that alert; a warning says if
//!   there are more.

mod args;
mod cursor;
mod detector;
mod run;
mod source;
mod suspicious;
mod thresholds;
mod window;

pub use args::Args;
pub use run::run;
