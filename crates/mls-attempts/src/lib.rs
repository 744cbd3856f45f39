//! Authentication attempts, one at a time, from any input that holds them.
//!
//! `mls-report` and `mls-alert` read the same inputs: the CSV of mls-csv, or the `auth` records of
//! mls-parse and mls-enrich, from a file or from standard input, plain or compressed by gzip.
//! [`AttemptSource`] opens such an input and gives each attempt as an [`Attempt`], which borrows
//! from the line that was read. [`LoginReader`] gives the logins of a second input between the
//! failures of the first. [`AttemptBatch`] holds attempts that one thread hands over to another.

#![warn(missing_docs)]

mod attempt;
mod batch;
mod date_reader;
mod logins;
mod source;

pub use attempt::{Attempt, MAX_NAME};
pub use batch::{AttemptBatch, BatchedAttempt};
pub use date_reader::DateReader;
pub use logins::LoginReader;
pub use source::{AttemptSource, ReadOptions, ReadSummary, read_rotated};
