//! What a tool says to people, and the exit code that it ends with.
//!
//! | module | what it is |
//! |---|---|
//! | [`diag`] | warnings and errors on stderr, the operational log, bad records |
//! | [`exit`] | the codes of `sysexits.h`, and how an error carries one |

#![warn(missing_docs)]

pub mod diag;
pub mod exit;

pub use exit::{Exit, OrExit};
