//! The configuration file `/etc/maillogsentinel.conf`, and the types of its values.
//!
//! | module | what it is |
//! |---|---|
//! | [`config`] | sections and keys, read once and checked once |
//! | [`moment`] | days and times on the command line |
//! | [`secret`] | passwords, each in a file of its own |
//! | [`zone`] | the time zone of dates that do not carry one |

#![warn(missing_docs)]

pub mod config;
pub mod moment;
pub mod secret;
pub mod zone;

pub use config::Config;
