//! The configuration file `/etc/maillogsentinel.conf`, and the types of its values.
//!
//! | module | content |
//! |---|---|
//! | [`config`] | sections and keys, read once and checked once |
//! | [`moment`] | days and times on the command line |
//! | [`secret`] | files with passwords |
//! | [`zone`] | time zones |

#![warn(missing_docs)]

pub mod config;
pub mod moment;
pub mod secret;
pub mod zone;

pub use config::Config;
