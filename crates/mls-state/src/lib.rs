//! Files that a tool keeps between runs.
//!
//! | module | what it is |
//! |---|---|
//! | [`atomic`] | writes a whole file or leaves the old one |
//! | [`lock`] | a lock file: one process at a time |
//! | [`cursor_file`] | the committed cursor on disk |
//! | [`rotation`] | the names that rotation gives to files |

#![warn(missing_docs)]

pub mod atomic;
pub mod cursor_file;
pub mod lock;
pub mod rotation;
