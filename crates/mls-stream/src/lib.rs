//! Reading and writing streams of lines or records.
//!
//! | module | what it is |
//! |---|---|
//! | [`input`] | a source of bytes that reports before a read waits |
//! | [`content`] | files that are not lines of text |
//! | [`ndjson`] | the bounded line reader, and the writer that flushes when its input pauses |
//! | [`unreadable`] | the error for an input without a readable record |
//! | [`blocks`] | raw lines in blocks, plain or framed, for tools that turn them into records |
//! | [`sink`] | the loop of a tool that commits data and cursor together |
//! | [`signals`] | which process of a pipeline answers SIGTERM |

#![warn(missing_docs)]

mod batch;
pub mod blocks;
pub mod content;
pub mod input;
pub mod ndjson;
pub mod signals;
pub mod sink;
pub mod unreadable;
