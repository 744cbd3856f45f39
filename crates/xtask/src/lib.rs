//! Release tasks: manual pages and shell completions, made from the tools themselves.
//!
//! This crate depends on the tools. Nothing depends on it.

mod conf;
mod front;
pub mod man;
mod markdown;
