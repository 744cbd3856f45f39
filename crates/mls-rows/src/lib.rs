//! The rows of the CSV: writes an event as a row, and reads a row as an event.
//!
//! `mls-csv`(1) describes the file and its cells.

#![warn(missing_docs)]

pub mod cell;
pub mod legacy;
pub mod row;
