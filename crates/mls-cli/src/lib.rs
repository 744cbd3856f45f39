//! What every tool of MailLogSentinel does alike, so that it is done once.
//!
//! | module | what it is |
//! |---|---|
//! | [`process`] | [`main`]: arguments, configuration, `run`, exit code |
//! | [`exit`] | the codes of sysexits.h, and how an error carries one |
//! | [`diag`] | warnings and errors on stderr, the operational log, bad records |
//! | [`input`] | a source of bytes that says when it makes its reader wait |
//! | [`ndjson`] | the bounded line reader and the writer that flushes when its input pauses |
//! | [`sink`] | the loop of a tool that commits data and cursor together |
//! | [`cursor_file`] | the committed cursor on disk |
//! | [`blocks`] | raw lines by the block, plain or framed, for tools that make records of them |
//! | [`rotation`] | what rotated files are called |
//! | [`atomic`] | whole files, or none |
//! | [`lock`] | one process at a time |
//! | [`config`] | `/etc/maillogsentinel.conf` |
//! | [`secret`] | passwords, in files of their own |
//! | [`signals`] | who answers SIGTERM |
//! | [`zone`] | the time zone of dates without one |
//!
//! A tool's `main.rs` is `mls_cli::main(mls_x::run)`, and its `run` is `fn(Args, Config) -> anyhow::Result<()>`.

#![warn(missing_docs)]

pub mod atomic;
pub mod blocks;
pub mod config;
pub mod cursor_file;
pub mod diag;
pub mod exit;
pub mod input;
pub mod lock;
pub mod ndjson;
pub mod process;
pub mod rotation;
pub mod secret;
pub mod signals;
pub mod sink;
pub mod zone;

pub use config::Config;
pub use exit::{Exit, OrExit};
pub use process::{Args, Common, Strict, main};
