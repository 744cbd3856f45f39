//! The messages and the exit codes of a tool.
//!
//! | module | content |
//! |---|---|
//! | [`certificate`] | what to do about the certificate of a server |
//! | [`diag`] | warnings and errors on stderr, the operational log, bad records |
//! | [`summary`](mod@summary) | the summary line at the end of each run |
//! | [`denied`] | names the owner of a file that cannot be opened |
//! | [`exit`] | the codes of `sysexits.h`, and errors with an exit code |

#![warn(missing_docs)]

pub mod certificate;
pub mod denied;
pub mod diag;
pub mod exit;
pub mod summary;

pub use exit::{Exit, OnFile, OrExit};
pub use summary::{count, summary, thousands};
