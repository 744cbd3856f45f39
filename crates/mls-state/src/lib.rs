//! Files that a tool keeps between runs.
//!
//! | module | content |
//! |---|---|
//! | [`atomic`] | replaces a whole file or leaves the old one |
//! | [`lock`] | lock files: one process at a time |
//! | [`regular`] | opens only regular files, and never waits for a FIFO |
//! | [`cursor_file`] | the committed cursor on disk |
//! | [`alerted`] | the ledger of raised alerts |
//! | [`mail_cursor`] | the cursor in a mail from mls-report to mls-mail |
//! | [`unchecked`] | logins that the server could not check, counted in a cursor file |

#![warn(missing_docs)]

pub mod alerted;
pub mod atomic;
pub mod cursor_file;
pub mod lock;
pub mod mail_cursor;
pub mod regular;
pub mod unchecked;
