//! Generated input for tests and benchmarks: the same for the same seed.

pub mod csv;
pub mod ipdb;
pub mod log;
pub mod mmdb;
pub mod random;
