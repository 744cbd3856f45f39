//! Generated input for tests and benchmarks: the same seed always gives the same bytes.
//!
//! This crate depends on no tool, so every tool can use it in its tests.

pub mod csv;
pub mod ipdb;
pub mod log;
pub mod mmdb;
pub mod random;
pub mod server;
