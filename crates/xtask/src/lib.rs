//! Generated input for tests and benchmarks, the same for the same seed; manual pages and shell completions.

#[cfg(feature = "man")]
mod conf;
pub mod csv;
#[cfg(feature = "man")]
mod front;
pub mod ipdb;
pub mod log;
#[cfg(feature = "man")]
pub mod man;
#[cfg(feature = "man")]
mod markdown;
pub mod mmdb;
pub mod random;
