//! Reads authentication attempts, one at a time, from any input that contains attempts.
//!
//! `mls-report` and `mls-alert` read the same inputs: the CSV of mls-csv, or the `auth` records of
//! mls-parse and mls-enrich, from a file or from standard input, plain or compressed by gzip.
//! [`AttemptSource`] opens an input and returns each attempt as an [`Attempt`], which borrows from
//! the line. With [`LoginReader`], the caller merges the logins of a second input with the failures
//! of the first input. [`AttemptBatch`] is for attempts that go to another thread.

#![warn(missing_docs)]

mod attempt;
mod batch;
mod date_reader;
mod logins;
mod source;

pub use attempt::{Attempt, MAX_TEXT};
pub use batch::{AttemptBatch, BatchedAttempt};
pub use date_reader::DateReader;
pub use logins::LoginReader;
pub use source::{AttemptSource, ReadOptions, ReadSummary, read_rotated};
