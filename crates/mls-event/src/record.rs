//! Any line of a stream.

use std::borrow::Cow;

use serde::Deserialize;

use crate::members::{read_json, write_json};
use crate::{Auth, Begin, Checkpoint, End, Gap, Segment, VERSION};

/// One line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a record lives on the stack for one turn of a loop")]
pub enum Record<'a> {
    /// One authentication attempt.
    Auth(Auth<'a>),
    /// Start of a framed stream.
    Begin(Begin),
    /// Raw bytes follow.
    Segment(Segment<'a>),
    /// Something could not be read.
    Gap(Gap),
    /// A barrier with the source's position.
    Checkpoint(Checkpoint),
    /// End of a framed stream.
    End(End),
    /// A type that this version does not know, by name; filters hand it on.
    Other(Cow<'a, str>),
}

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// Not a JSON object, but a line of a log, perhaps.
    #[error("not a JSON object")]
    NotAnObject,
    /// Not JSON, or a member with a value that its type does not allow.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A later version of the contract.
    #[error("version {0} of the record format, this tool reads version {VERSION}")]
    Version(u64),
}

/// A record's own members, all but `v` and `type`.
pub trait Body {
    /// The `type` it is written under.
    const KIND: &'static str;

    /// Appends each member as `,"name":value`.
    fn write_members(&self, out: &mut Vec<u8>);

    /// Appends the record and its newline to `out`.
    fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"v\":1,\"type\":\"");
        out.extend_from_slice(Self::KIND.as_bytes());
        out.push(b'"');
        self.write_members(out);
        out.extend_from_slice(b"}\n");
    }
}

/// Control records are written as serde says.
macro_rules! body {
    ($type:ty, $kind:literal) => {
        impl Body for $type {
            const KIND: &'static str = $kind;

            fn write_members(&self, out: &mut Vec<u8>) {
                let brace = out.len();
                write_json(out, self);
                // An object of its own: its opening brace becomes the comma that joins it to the head.
                out.pop();
                if out.len() > brace + 1 {
                    out[brace] = b',';
                } else {
                    out.pop();
                }
            }
        }
    };
}

body!(Begin, "begin");
body!(Segment<'_>, "segment");
body!(Gap, "gap");
body!(Checkpoint, "checkpoint");
body!(End, "end");

/// The members that every record has.
#[derive(Deserialize)]
struct Head<'a> {
    v: u64,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// The `type` of a line. Lines that begin as the contract says are not parsed for it.
///
/// # Errors
/// [`BadRecord`] where the line is no JSON object with `v` and `type`, or of a later version.
pub fn kind(line: &[u8]) -> Result<Cow<'_, str>, BadRecord> {
    let by_contract = line.strip_prefix(b"{\"v\":1,\"type\":\"").and_then(|rest| {
        let name = &rest[..rest.iter().position(|b| !b.is_ascii_lowercase())?];
        // The quote must end the string: an escape would belong to the name.
        (rest.get(name.len()) == Some(&b'"')).then(|| str::from_utf8(name).ok())?
    });
    if let Some(kind) = by_contract {
        return Ok(Cow::Borrowed(kind));
    }
    begins_an_object(line)?;
    let head: Head = read_json(line)?;
    if head.v == VERSION { Ok(head.kind) } else { Err(BadRecord::Version(head.v)) }
}

/// Refuses what serde would describe by the types of this crate.
pub(crate) fn begins_an_object(line: &[u8]) -> Result<(), BadRecord> {
    line.trim_ascii_start().starts_with(b"{").then_some(()).ok_or(BadRecord::NotAnObject)
}

impl<'a> Record<'a> {
    /// Reads one line (without need of its newline).
    ///
    /// # Errors
    /// [`BadRecord`] where it is not a record of a type known here, or of a later version.
    pub fn parse(line: &'a [u8]) -> Result<Self, BadRecord> {
        let kind = kind(line)?;
        Ok(match kind.as_ref() {
            Auth::KIND => Self::Auth(auth(line)?),
            Begin::KIND => Self::Begin(read_json(line)?),
            Segment::KIND => Self::Segment(read_json(line)?),
            Gap::KIND => Self::Gap(read_json(line)?),
            Checkpoint::KIND => Self::Checkpoint(read_json(line)?),
            End::KIND => Self::End(read_json(line)?),
            _ => Self::Other(kind),
        })
    }
}

fn auth(line: &[u8]) -> serde_json::Result<Auth<'_>> {
    Auth::as_written(line).map_or_else(|| read_json(line), Ok)
}
