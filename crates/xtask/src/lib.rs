//! Release tasks: makes manual pages and shell completions from the tools and their documentation.
//!
//! This crate depends on the tools. Nothing depends on it.

mod conf;
mod front;
pub mod man;
mod markdown;
