//! Joins lines that Kubernetes or Docker has cut. The Container Runtime Interface of Kubernetes marks
//! the last part of a line with `F`, and all other parts with `P`. Docker's json-file driver writes
//! an object for each part, and only the text of the last one ends in a newline. Both cut lines after
//! 16 KiB; a runtime of Kubernetes also cuts text that was written without a newline.

use std::borrow::Cow;

use mls_event::ContainerStream;
use mls_stream::blocks::BlockPosition;

use crate::envelope::cri;
use crate::unreadable::source_of;
use crate::{docker, stamp};

/// The texts that the search looks for. [`docker::cut_lines`] finds those of Docker.
pub(crate) const WORDS: [&str; 2] = ["stdout P", "stderr P"];

/// The largest number of bytes that the parts of a line may take in the log. The lines before a
/// segment hold as many bytes. For longer parts they say only that the line is too long, so that the
/// next run does not count it again.
pub(crate) const MAX_JOINED: usize = mls_event::MAX_PARTS_BEFORE;

/// Largest number of sources with an unfinished line at the end of a block.
const MAX_WAITING: usize = 64;

/// The joined parts of one line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    /// The front of the first part, and the texts of all parts: at most [`MAX_JOINED`] bytes and
    /// one more.
    pub(crate) line: Vec<u8>,
    /// The number of bytes of the parts in the log, with their newlines.
    length: usize,
    /// Their stream; `None` if there are none yet.
    stream: Option<ContainerStream>,
}

impl Parts {
    /// Adds a part; `None` if the line is not one of the same stream. Returns whether more must
    /// follow.
    pub(crate) fn add(&mut self, line: &[u8]) -> Option<bool> {
        let part = read(line)?;
        if *self.stream.get_or_insert(part.stream) != part.stream {
            return None;
        }
        if self.line.is_empty() {
            self.line.extend_from_slice(&part.front);
        }
        let room = (MAX_JOINED + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&part.text[..part.text.len().min(room)]);
        self.length += line.len() + 1;
        Some(part.is_partial && ContainerStream::of_part(line).is_some())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn are_too_long(&self) -> bool {
        self.length > MAX_JOINED
    }

    /// The parts that wait after `lines`, with these parts before them.
    fn after(self, lines: &[u8]) -> Self {
        if let Some(stream) = ContainerStream::of_long_parts(lines) {
            return Self { length: MAX_JOINED + 1, stream: Some(stream), ..Self::default() };
        }
        let waiting = waiting(lines);
        let is_continued = waiting.iter().map(|line| line.len() + 1).sum::<usize>() >= lines.len();
        let mut parts = if is_continued { self } else { Self::default() };
        for line in waiting {
            // A part of the other stream begins another line.
            if parts.add(line).is_none() {
                parts = Self::default();
                parts.add(line);
            }
        }
        parts
    }
}

/// Lines whose last part is not read yet when a block of their source ends. Blocks pass in order,
/// although several threads read them.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Vec<WaitingLine>);

#[derive(Debug)]
pub(crate) struct WaitingLine {
    pub(crate) source: String,
    /// Where its next part would begin.
    pub(crate) offset: u64,
    /// Whether the stream is plain, so no later run continues it.
    pub(crate) is_plain: bool,
    pub(crate) parts: Parts,
}

impl Waiting {
    /// The parts of a line that come before a block. Remembers the parts at the end of the block.
    pub(crate) fn pass(&mut self, place: &BlockPosition<'_>, lines: &[u8]) -> Parts {
        let source = source_of(place.segment);
        let known = self.0.iter().position(|line| line.source == source);
        let known = known.map(|at| self.0.swap_remove(at).parts);
        // The lines before the block are cut to a fixed length. The known parts are not cut.
        let is_next = ContainerStream::of_long_parts(place.before).is_none()
            && (place.before.is_empty() || ends_in_part(place.before));
        let before =
            known.filter(|_| is_next).unwrap_or_else(|| Parts::default().after(place.before));
        if !ends_in_part(lines) && !lines.is_empty() {
            return before;
        }
        let parts = before.clone().after(lines);
        if !parts.is_empty() && self.0.len() < MAX_WAITING {
            let offset = place.offset + lines.len() as u64;
            let (source, is_plain) = (source.to_owned(), place.segment.is_none());
            self.0.push(WaitingLine { source, offset, is_plain, parts });
        }
        before
    }

    /// The lines that still wait at the end of the stream.
    pub(crate) fn take(&mut self) -> Vec<WaitingLine> {
        std::mem::take(&mut self.0)
    }
}

/// Whether more of the line follows in the next one.
pub(crate) fn is_partial(line: &[u8]) -> bool {
    ContainerStream::of_part(line).is_some() && read(line).is_some()
}

/// A line of a container's output.
pub(crate) struct ContainerLine<'a> {
    stream: ContainerStream,
    /// The text in front of the container's text in a joined line.
    front: Cow<'a, [u8]>,
    text: Cow<'a, [u8]>,
    is_partial: bool,
}

/// Reads a line of a container's output.
pub(crate) fn read(line: &[u8]) -> Option<ContainerLine<'_>> {
    if let Some(docker) = docker::Line::parse(line) {
        let stream = ContainerStream::of_name(docker.stream.as_bytes())?;
        let front = format!("{} ", docker.time).into_bytes().into();
        let is_partial = !docker.log.ends_with('\n');
        let text = docker.log.strip_suffix('\n').unwrap_or(&docker.log).as_bytes().to_vec().into();
        return Some(ContainerLine { stream, front, text, is_partial });
    }
    let part = cri(stamp::split(line)?.1)?;
    let front = Cow::Borrowed(&line[..line.len() - part.text.len()]);
    let text = Cow::Borrowed(part.text);
    Some(ContainerLine { stream: part.stream, front, text, is_partial: part.is_partial })
}

/// The parts at the end of `lines` that wait for their last one.
pub(crate) fn unfinished(lines: &[u8]) -> Parts {
    Parts::default().after(lines)
}

fn ends_in_part(lines: &[u8]) -> bool {
    if ContainerStream::of_long_parts(lines).is_some() {
        return true;
    }
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    let start = memchr::memrchr(b'\n', lines).map_or(0, |newline| newline + 1);
    is_partial(&lines[start..])
}

fn waiting(lines: &[u8]) -> Vec<&[u8]> {
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    let mut waiting: Vec<&[u8]> =
        lines.rsplit(|byte| *byte == b'\n').take_while(|line| is_partial(line)).collect();
    waiting.reverse();
    waiting
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use mls_config::config::Filter;
    use mls_event::last_lines;

    use super::*;
    use crate::{Args, Scanner};

    /// A line of a server as Kubernetes logs it, in parts of `size` bytes.
    fn parts_of(message: &str, size: usize) -> String {
        let line = format!("postfix/smtpd[7]: warning: unknown[192.0.2.1]: {message}");
        let parts: Vec<_> = line.as_bytes().chunks(size).collect();
        let kind = |at: usize| if at + 1 < parts.len() { 'P' } else { 'F' };
        let text = |(at, part): (usize, &&[u8])| {
            format!("2026-06-01T00:00:45Z stdout {} {}\n", kind(at), String::from_utf8_lossy(part))
        };
        parts.iter().enumerate().map(text).collect()
    }

    /// The records of a log that is read in blocks of at least `size` bytes, and how many lines are
    /// unreadable.
    fn read_in_blocks(log: &[u8], size: usize) -> (String, usize) {
        let args = Args::parse_from(["mls-parse", "--timezone=UTC"]);
        let mut scanner = Scanner::new(&args, &Filter::default()).unwrap();
        let (mut waiting, mut out, mut at) = (Waiting::default(), Vec::new(), 0);
        while at < log.len() {
            let least = (at + size).min(log.len()) - 1;
            let newline = memchr::memchr(b'\n', &log[least..]);
            let end = newline.map_or(log.len(), |newline| least + newline + 1);
            let before = &last_lines(&log[..at]);
            let place = BlockPosition { segment: None, offset: at as u64, before };
            let lines = &log[at..end];
            let parts = waiting.pass(&place, lines);
            scanner.block_after(parts, lines, place, &mut out);
            at = end;
        }
        waiting.take().into_iter().for_each(|line| scanner.unfinished(line));
        (String::from_utf8(out).unwrap(), scanner.take_unreadable().len())
    }

    #[test]
    fn a_line_in_parts_is_read_or_counted_once_however_blocks_cut_the_log() {
        let failed = "SASL LOGIN authentication failed";
        let reason_of =
            |length: usize| format!("{failed}: #{}, sasl_username=u1", "x".repeat(length));
        let whole = "Jun  1 00:00:46 vm postfix/smtpd[7]: connect from unknown[192.0.2.1]\n";
        for size in [7, 300, 3000, 16 * 1024] {
            // The runtime writes a stamp before each part. With the stamps, only the longest line is
            // too long.
            let most = |length: usize| reason_of(length.min(size * 1000));
            let longest = parts_of(&reason_of((size * 2000).min(100_000)), size);
            let cut = parts_of(&most(30_000), size);
            let cut = cut.rsplit_once("2026").unwrap().0;
            let log = [
                &parts_of(&reason_of(1000), size),
                whole,
                &parts_of(&most(40_000), size),
                &longest,
                whole,
                cut,
                whole,
                &parts_of(&format!("{failed}: x"), size),
                cut,
            ]
            .concat();
            // Each `#` becomes a byte that is not UTF-8.
            let log: Vec<_> = log.bytes().map(|b| if b == b'#' { 0xff } else { b }).collect();
            let expected = read_in_blocks(&log, log.len());
            let records = expected.0.lines().count();
            assert_eq!((records, expected.1), (3, 3), "parts of {size} bytes: {}", expected.0);
            for block in [1, 100, 2048, 5000, 17_000, 64 * 1024] {
                let found = read_in_blocks(&log, block);
                assert!(found == expected, "parts of {size} bytes in blocks of {block}: {found:?}");
            }
        }
    }

    #[test]
    fn a_part_of_the_other_stream_begins_another_line_however_blocks_cut_the_log() {
        let part = |tag: &str, text: &str| format!("2026-06-01T00:00:45Z {tag} {text}\n");
        let failure = |user: &str| {
            format!(
                "postfix/smtpd[7]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, \
                 sasl_username={user}"
            )
        };
        let whole = failure("u1");
        let (first, rest) = whole.split_at(70);
        let cut = part("stdout P", &failure("u0"));
        let log = cut.clone() + &part("stderr P", first) + &part("stderr F", rest);
        let other = cut + &part("stderr P", first) + &part("stdout F", rest);
        for (log, rows, unreadable) in [(log, 1, 1), (other, 0, 2)] {
            for block in [1, 200, 400, log.len()] {
                let found = read_in_blocks(log.as_bytes(), block);
                let counts = (found.0.lines().count(), found.1);
                assert_eq!(counts, (rows, unreadable), "blocks of {block}: {log}");
            }
        }
    }

    #[test]
    fn parts_make_the_line_that_was_written() {
        let mut parts = unfinished(
            b"2026-06-01T00:00:45Z stdout F x\n\
            2026-06-01T00:00:45Z stdout P ab\n\
            2026-06-01T00:00:46Z stdout P:x cd\n",
        );
        assert_eq!(parts.add(b"2026-06-01T00:00:47Z stdout F ef"), Some(false));
        assert_eq!(parts.line, b"2026-06-01T00:00:45Z stdout P abcdef");
        assert!(unfinished(b"2026-06-01T00:00:45Z stdout F x\n").line.is_empty());
        assert!(unfinished(b"").line.is_empty());
    }
}
