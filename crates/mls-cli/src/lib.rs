//! The process of a tool: arguments, configuration, `run`, exit code.
//!
//! The `main.rs` of the tool `mls-x` is `mls_cli::main(mls_x::run)`. The type of `run` is `fn(Args,
//! Config) -> anyhow::Result<()>`.

#![warn(missing_docs)]

mod file_argument;
mod flags;
mod process;

pub use flags::{OutcomeFlag, ZoneFlag, network, number, outcomes, strict};
pub use process::{Args, command, main};
