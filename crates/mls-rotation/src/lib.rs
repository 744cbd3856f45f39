//! A log or CSV and its rotated files, as one append-only byte sequence.
//!
//! A writer appends to `LOG`. Rotation renames `LOG` to `LOG.1`, may compress it, and may move it
//! to another directory. Together the files still contain one sequence of lines. This crate opens
//! all files at one moment ([`Chain`]). It finds a [`Position`] again by the bytes before the
//! position. It reads decompressed bytes, and stops at the end of what a sink has [`Committed`].
//!
//! | module | question that it answers |
//! |---|---|
//! | [`names`] | is this a rotated file of that log, and how old is it? |
//! | `chain` | which files are there, oldest first? |
//! | `file` | what are the bytes of one file? |
//! | `lines`, `compression` | what are the lines of a file, decompressed if necessary? |
//! | `position` | where is a stored position now? |
//! | `committed` | how much of each file has its sink committed? |
//! | `surplus` | how is a file cut to what was committed? |
//!
//! Files are recognized by content, never by name, inode number or time. Names decide the order of the
//! files, see [`names::Age`]. Times of the last change decide only between names that cannot be compared.
//!
//! # From one digest to the next
//! A reader stores its last position. The next run continues there, even if the files were rotated
//! or compressed meanwhile:
//!
//! ```
//! use std::io::Read;
//! use mls_rotation::{Chain, Layout};
//! # fn main() -> anyhow::Result<()> {
//! # let directory = tempfile::tempdir()?;
//! # let csv = directory.path().join("F");
//! # let write = |name: &str, text: &str| mls_state::atomic::write(&directory.path().join(name), text.as_bytes(), 0o640);
//! write("F", "header\none\ntwo\n")?;
//! let stored = Chain::open(&csv, &Layout::default())?.end()?;
//!
//! write("F.1", "header\none\ntwo\nthree\n")?;
//! write("F", "header\nfour\n")?;
//! let chain = Chain::open(&csv, &Layout::default())?;
//! let begin = stored.and_then(|position| chain.find(&position).transpose()).transpose()?;
//! let begin = begin.ok_or_else(|| anyhow::anyhow!("it was removed or edited"))?;
//! let mut rest = String::new();
//! for (n, file) in chain.files.iter().enumerate().skip(begin.file) {
//!     let offset = if n == begin.file { begin.offset } else { 0 };
//!     file.reader(offset, u64::MAX)?.read_to_string(&mut rest)?;
//! }
//! assert_eq!(rest, "three\nheader\nfour\n");
//! # Ok(())
//! # }
//! ```
//!
//! To read up to a [`Point`], read the files before `point.file` completely, and `point.file` only
//! up to `point.offset`. [`Chain::open_committed`] opens a chain whose files end where the last
//! commit of the sink ends.

#![warn(missing_docs)]

pub mod names;

mod chain;
mod committed;
mod compression;
mod file;
mod lines;
mod position;
mod surplus;

pub use chain::{Chain, Layout, is_rotated_from, newer_than};
pub use committed::Committed;
pub use compression::{CompressedAt, Compression};
pub use file::{ChainFile, FileStat};
pub use lines::{Lines, Piece};
pub use position::{Point, Position};
