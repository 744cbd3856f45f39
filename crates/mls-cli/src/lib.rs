//! The process of a tool: arguments, configuration, `run`, exit code.
//!
//! A tool's `main.rs` is `mls_cli::main(mls_x::run)`. Its `run` is `fn(Args, Config) ->
//! anyhow::Result<()>`.

#![warn(missing_docs)]

pub mod process;

pub use process::{Args, Common, Strict, main};
