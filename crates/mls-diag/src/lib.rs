//! The messages of a tool, and the exit code that it ends with.
//!
//! | module | what it is |
//! |---|---|
//! | [`diag`] | warnings and errors on stderr, the operational log, bad records |
//! | [`summary`](mod@summary) | the line in which every run says what it did |
//! | [`denied`] | whose a file is that cannot be opened |
//! | [`exit`] | the codes of `sysexits.h`, and how an error carries one |

#![warn(missing_docs)]

pub mod denied;
pub mod diag;
pub mod exit;
pub mod summary;

pub use exit::{Exit, OrExit};
pub use summary::{count, summary, thousands};
