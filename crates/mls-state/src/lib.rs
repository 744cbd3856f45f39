//! Files that a tool keeps between runs.
//!
//! | module | what it is |
//! |---|---|
//! | [`atomic`] | writes a whole file or leaves the old one |
//! | [`lock`] | a lock file: one process at a time |
//! | [`cursor_file`] | the committed cursor on disk |
//! | [`alerted`] | which alerts were raised |
//! | [`mail_cursor`] | the cursor that a mail carries from mls-report to mls-mail |

#![warn(missing_docs)]

pub mod alerted;
pub mod atomic;
pub mod cursor_file;
pub mod lock;
pub mod mail_cursor;
