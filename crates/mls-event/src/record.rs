//! A line of a stream: a record of any type.

use std::borrow::Cow;

use serde::Deserialize;

use crate::members::{read_json, write_json};
use crate::{Alert, Auth, Begin, Checkpoint, End, Gap, Members, Segment, VERSION};

/// One line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// One authentication attempt.
    Auth(Auth<'a>),
    /// An event that an administrator must know about at once.
    Alert(Alert<'a>),
    /// Start of a framed stream.
    Begin(Begin),
    /// Raw bytes follow.
    Segment(Segment<'a>),
    /// Part of the source could not be read.
    Gap(Gap),
    /// A barrier with the source's position.
    Checkpoint(Checkpoint),
    /// End of a framed stream.
    End(End),
    /// A record of a type that this version does not know; the value is the type. Filters pass it
    /// on.
    Other(Cow<'a, str>),
}

/// The reason why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// The line is not a JSON object. It may be a line of a log.
    #[error("not a JSON object")]
    NotAnObject,
    /// The line is not JSON, or a control record has a wrong member.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A required member is missing, or a member has a value that is not allowed.
    #[error("member {name}: {why}")]
    #[expect(missing_docs, reason = "the message says it")]
    Member { name: &'static str, why: Cow<'static, str> },
    /// The record belongs to a later version of the contract.
    #[error("the record has version {0}, but this tool reads version {VERSION}; update this tool")]
    Version(u64),
}

/// The members of a record except `v` and `type`.
pub trait Body {
    /// The value of `type`.
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

/// Control records are rare, so serde writes them.
macro_rules! body {
    ($type:ty, $kind:literal) => {
        impl Body for $type {
            const KIND: &'static str = $kind;

            fn write_members(&self, out: &mut Vec<u8>) {
                let brace = out.len();
                write_json(out, self);
                // serde wrote an object. Replace its opening brace by the comma after the head.
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

/// The members that each record has.
#[derive(Deserialize)]
struct RecordHead<'a> {
    v: u64,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// The `type` of a line. A line that begins with `{"v":1,"type":"…"` is not parsed further.
///
/// # Errors
/// [`BadRecord`] if the line is not a JSON object with `v` and `type`, or if it is of a later
/// version.
pub fn kind(line: &[u8]) -> Result<Cow<'_, str>, BadRecord> {
    let by_contract = line.strip_prefix(b"{\"v\":1,\"type\":\"").and_then(|rest| {
        let name = &rest[..rest.iter().position(|b| !b.is_ascii_lowercase())?];
        // If no quote follows, the name contains a character that is not a lower-case letter.
        (rest.get(name.len()) == Some(&b'"')).then(|| str::from_utf8(name).ok())?
    });
    if let Some(kind) = by_contract {
        return Ok(Cow::Borrowed(kind));
    }
    begins_an_object(line)?;
    let head: RecordHead = read_json(line)?;
    if head.v == VERSION { Ok(head.kind) } else { Err(BadRecord::Version(head.v)) }
}

/// Refuses a line that is not a JSON object. The message of serde about such a line would name a
/// type of this crate.
pub(crate) fn begins_an_object(line: &[u8]) -> Result<(), BadRecord> {
    line.trim_ascii_start().starts_with(b"{").then_some(()).ok_or(BadRecord::NotAnObject)
}

impl<'a> Record<'a> {
    /// Reads one line, with or without its newline.
    ///
    /// # Errors
    /// [`BadRecord`] if the line is not a record, or if it is of a later version.
    pub fn parse(line: &'a [u8]) -> Result<Self, BadRecord> {
        let kind = kind(line)?;
        Ok(match kind.as_ref() {
            Auth::KIND => Self::Auth(
                Auth::as_written(line)
                    .map_or_else(|| Auth::from_members(&Members::parse(line)?), Ok)?,
            ),
            Alert::KIND => Self::Alert(
                Alert::as_written(line)
                    .map_or_else(|| Alert::from_members(&Members::parse(line)?), Ok)?,
            ),
            Begin::KIND => Self::Begin(read_json(line)?),
            Segment::KIND => Self::Segment(read_json(line)?),
            Gap::KIND => Self::Gap(read_json(line)?),
            Checkpoint::KIND => Self::Checkpoint(read_json(line)?),
            End::KIND => Self::End(read_json(line)?),
            _ => Self::Other(kind),
        })
    }
}
