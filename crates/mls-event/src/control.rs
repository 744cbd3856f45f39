//! The control records of a framed stream. The crate's documentation describes their meaning.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The `source` of segments that hold journal entries. Every other source is the absolute path of a
/// log.
pub const JOURNAL_SOURCE: &str = "journal";

/// The first record of a framed stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Sequence number of the committed cursor that the source started from; 0 if there was none.
    pub base: u64,
}

/// Announces raw bytes of a log: they follow the record's newline, and they end with a newline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment<'a> {
    /// Absolute path of the log as given to mls-tail, or [`JOURNAL_SOURCE`].
    pub source: String,
    /// Identifies one of the log's files, current or rotated, by its content: renaming and
    /// compression do not change it.
    pub generation: String,
    /// Offset in that file of the first byte, in (decompressed) bytes.
    pub offset: u64,
    /// Number of raw bytes that follow, at least 1.
    pub length: u64,
    /// Time of the last change of the file, or the time in its gzip header if that is earlier. No
    /// line of the segment is newer.
    #[serde(borrow)]
    pub mtime: Timestamp<'a>,
    /// The [last lines](last_lines) before the segment; empty at the beginning of a log. A line
    /// such as `last message repeated 3 times` refers to them, and the last part of a line
    /// continues them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before: String,
}

/// The largest length of `before` in a segment, in bytes, except for parts of a line.
pub const MAX_BEFORE: usize = 2048;

/// The largest length of `before` if it ends in [parts](ContainerStream::of_part) of a line, in bytes.
/// Longer lines are not read. A log of Kubernetes has parts of 16 KiB.
pub const MAX_PARTS_BEFORE: usize = 64 * 1024;

/// The number of bytes of a line that Docker reads before it cuts the line (`defaultBufSize`,
/// `daemon/logger/copier.go` of github.com/moby/moby). Escapes in JSON only make it longer.
pub const DOCKER_PART: usize = 16 * 1024;

/// A stream of a container's output. Kubernetes and Docker mix the lines of both in one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ContainerStream {
    Stdout,
    Stderr,
}

impl ContainerStream {
    const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Reads its name in a log.
    #[must_use]
    pub fn of_name(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }

    /// The stream of a part of a line that goes on in the next line; `None` for any other line.
    /// Kubernetes cuts lines in this way (Container Runtime Interface): `STAMP stdout P …`. More tags
    /// can follow the `P` after a colon. Docker writes an object whose text has no newline at its
    /// end.
    #[must_use]
    pub fn of_part(line: &[u8]) -> Option<Self> {
        if line.starts_with(br#"{"log":""#) {
            return Self::of_docker_part(line);
        }
        let mut words = line.splitn(4, |byte| *byte == b' ').skip(1);
        let stream = Self::of_name(words.next()?)?;
        matches!(words.next()?, [b'P'] | [b'P', b':', ..]).then_some(stream)
    }

    /// `{"log":"…","stream":"stdout","time":"…"}` of Docker's json-file driver. In the text each quote
    /// has a backslash before it, so the text cannot contain the end that this searches for.
    fn of_docker_part(line: &[u8]) -> Option<Self> {
        let at = Some(line).filter(|line| line.len() > DOCKER_PART);
        let at = memchr::memmem::find(at?, br#"","stream":""#)?;
        let (text, rest) = (&line[..at], &line[at + br#"","stream":""#.len()..]);
        let stream = Self::of_name(&rest[..memchr::memchr(b'"', rest)?])?;
        let ends_in_newline = text.strip_suffix(b"n").is_some_and(|text| {
            text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
        });
        (!ends_in_newline).then_some(stream)
    }

    /// This line is all of `before` if it would end in more than [`MAX_PARTS_BEFORE`] bytes of parts.
    /// The lines of this stream that follow belong to a line that is too long, up to its last part.
    #[must_use]
    pub fn long_parts(self) -> &'static [u8] {
        match self {
            Self::Stdout => b"- stdout P:long \n",
            Self::Stderr => b"- stderr P:long \n",
        }
    }

    /// The stream whose [`long_parts`](Self::long_parts) are these lines.
    #[must_use]
    pub fn of_long_parts(lines: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.long_parts() == lines)
    }
}

/// Returns the last whole lines of `lines`, at most [`MAX_BEFORE`] bytes. If `lines` ends in longer
/// [parts](ContainerStream::of_part) of a line, returns these parts, or
/// [`long_parts`](ContainerStream::long_parts).
#[must_use]
pub fn last_lines(lines: &[u8]) -> Vec<u8> {
    let mut last = Vec::new();
    add_last_lines(&mut last, lines);
    last
}

/// Adds `lines` to `last`, and keeps the [last lines](last_lines). The result does not depend on where
/// a caller cuts the lines of a log.
pub fn add_last_lines(last: &mut Vec<u8>, lines: &[u8]) {
    let stream = last_line(lines).or_else(|| last_line(last)).and_then(ContainerStream::of_part);
    let mut parts = 0;
    if let Some(stream) = stream {
        parts = length_of_parts(lines, stream);
        if parts >= lines.len() {
            parts += length_of_parts(last, stream);
        }
        if parts > MAX_PARTS_BEFORE {
            last.clear();
            last.extend_from_slice(stream.long_parts());
            return;
        }
    }
    let kept = parts.max(MAX_BEFORE);
    if lines.len() > kept {
        last.clear();
    }
    // One byte more tells whether a line begins at the first kept byte.
    last.extend_from_slice(&lines[lines.len().saturating_sub(kept + 1)..]);
    if let Some(start) = last.len().checked_sub(kept).filter(|start| *start > 0) {
        let newline = memchr::memchr(b'\n', &last[start - 1..]);
        last.drain(..newline.map_or(last.len(), |newline| start + newline));
    }
    last.drain(..end_of_whole_parts(last));
    let blank = last.iter().take_while(|byte| **byte == b'\n').count();
    last.drain(..blank);
    if last.is_empty() && !lines.is_empty() {
        // Only the beginning of a log has no lines before it.
        last.extend_from_slice(after_skipped(None));
    }
}

/// The last line of `lines`, without its newline; `None` if there is none.
fn last_line(lines: &[u8]) -> Option<&[u8]> {
    let lines = lines.strip_suffix(b"\n")?;
    Some(&lines[memchr::memrchr(b'\n', lines).map_or(0, |newline| newline + 1)..])
}

/// The end of the last part after which another line begins: the next line has made it whole, or is of
/// the other stream. Nothing refers to lines before it.
fn end_of_whole_parts(lines: &[u8]) -> usize {
    let (mut end, mut at, mut before) = (0, 0, None);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let stream = ContainerStream::of_part(line.strip_suffix(b"\n").unwrap_or(line));
        if before.is_some() && before != stream {
            end = at;
        }
        (at, before) = (at + line.len(), stream);
    }
    end
}

/// Returns the last lines after a line that was skipped because it is too long, so that the next line
/// does not follow the lines before it. `part` is the stream of the line if it was a
/// [part](ContainerStream::of_part).
#[must_use]
pub fn after_skipped(part: Option<ContainerStream>) -> &'static [u8] {
    part.map_or(b"\n", ContainerStream::long_parts)
}

/// The number of bytes of the parts of `stream` at the end of `lines`, or any number above
/// [`MAX_PARTS_BEFORE`] if there are more.
fn length_of_parts(lines: &[u8], stream: ContainerStream) -> usize {
    let (mut start, mut length) = (lines.len(), 0);
    while length <= MAX_PARTS_BEFORE
        && let Some(end) = start.checked_sub(1)
    {
        start = memchr::memrchr(b'\n', &lines[..end]).map_or(0, |newline| newline + 1);
        if ContainerStream::of_part(&lines[start..end]) != Some(stream) {
            break;
        }
        let line = &lines[start..=end];
        length += if line == stream.long_parts() { MAX_PARTS_BEFORE + 1 } else { line.len() };
    }
    length
}

/// Part of the source could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// As in [`Segment`].
    pub source: String,
    /// As in [`Segment`]; `None` if the file was not seen before.
    pub generation: Option<String>,
    /// Where reading stopped, in (decompressed) bytes.
    pub offset: Option<u64>,
    /// A description for human readers.
    pub reason: String,
}

/// A barrier: `cursor` covers the data of all earlier records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The position of the source. A sink stores it and does not interpret it.
    pub cursor: serde_json::Value,
}

/// The last record of a framed stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_docker_is_a_part_if_its_long_text_has_no_newline() {
        let object = |text: &str, stream: &str| {
            format!(r#"{{"log":"{}{text}","stream":"{stream}","time":"x"}}"#, "x".repeat(16_384))
        };
        for (text, is_part) in [
            ("", true),
            (r"\n", false),
            (r"\\n", true),
            (r"\\\n", false),
            ("n", true),
            (r#"\",\"stream\":\"stderr\n"#, false),
            (r#"\n\",\"stream\":\"stderr"#, true),
        ] {
            for stream in [ContainerStream::Stdout, ContainerStream::Stderr] {
                let name = if stream == ContainerStream::Stdout { "stdout" } else { "stderr" };
                let line = object(text, name);
                let expected = is_part.then_some(stream);
                assert_eq!(ContainerStream::of_part(line.as_bytes()), expected, "{text}");
            }
        }
        // A container ended within a line.
        let short = br#"{"log":"x","stream":"stdout","time":"x"}"#;
        assert_eq!(ContainerStream::of_part(short), None);
    }

    #[test]
    fn last_lines_do_not_depend_on_where_a_log_is_cut() {
        let part = |length| format!("2026-06-01T00:00:45Z stdout P {}\n", "x".repeat(length));
        let error = |length| part(length).replace("stdout", "stderr");
        let long = ContainerStream::Stdout.long_parts().len();
        let whole = |length| format!("2026-06-01T00:00:45Z stdout F {}\n", "x".repeat(length));
        let docker =
            format!(r#"{{"log":"{}zx","stream":"stdout","time":"x"}}"#, "x".repeat(16_384)) + "\n";
        for (lines, kept) in [
            (whole(100).repeat(30), 131 * 15),
            (whole(3000) + &whole(100), 131),
            (whole(100).repeat(30) + &part(100), 131 * 15),
            (whole(100) + &part(16_000).repeat(3), 16_031 * 3),
            (part(MAX_PARTS_BEFORE - 31), MAX_PARTS_BEFORE),
            (part(MAX_PARTS_BEFORE - 30), long),
            (part(16_000).repeat(5), long),
            (error(16_000).repeat(5), long),
            (part(16_000).repeat(5) + &error(100), 131),
            (part(16_000).repeat(2) + &error(16_000).repeat(3), 16_031 * 3),
            (error(200_000) + &part(16_000).repeat(5), long),
            (error(200_000) + &part(100), 131),
            (part(16_000).repeat(5) + &whole(100), 131),
            (part(100).repeat(700) + &whole(100), 131),
            (whole(100) + &part(100) + &whole(100) + &part(100), 131 * 2),
            (part(200_000) + &part(100), long),
            (whole(200_000) + &part(100), 131),
            (whole(200_000), 1),
            (whole(100) + &docker.repeat(3), docker.len() * 3),
            (docker.repeat(5), long),
            (docker.repeat(2) + &docker.replace("zx", r"z\n"), 1),
        ] {
            let lines = lines.as_bytes();
            let expected = last_lines(lines);
            assert_eq!(expected.len(), kept);
            let stream = ContainerStream::of_long_parts(&expected);
            assert!(stream.map_or(lines.ends_with(&expected), |stream| {
                (lines.ends_with(b"x\n") || lines.ends_with(b"}\n"))
                    && stream == last_line(lines).and_then(ContainerStream::of_part).unwrap()
            }));
            for size in [1, 700, 5000, 40_000] {
                let mut last = Vec::new();
                let mut at = 0;
                while at < lines.len() {
                    let target = (at + size).min(lines.len()) - 1;
                    let newline = lines[target..].iter().position(|byte| *byte == b'\n');
                    let end = target + newline.unwrap_or_default() + 1;
                    add_last_lines(&mut last, &lines[at..end]);
                    at = end;
                }
                assert!(last == expected, "blocks of {size}: {} of {kept} bytes", last.len());
            }
        }
    }
}
