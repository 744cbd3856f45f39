//! Lines of containers, which Kubernetes and Docker cut into parts, and the last lines before a
//! segment.

use memchr::memmem;

/// The largest length in bytes of the member `before`, if no line waits for its last part.
pub const MAX_BEFORE: usize = 2048;

/// The largest length of a line of a container in parts, in bytes of the log, with the lines of the
/// other stream between the parts. Longer lines are not read. Kubernetes writes parts of 16 KiB.
pub const MAX_PARTS_BEFORE: usize = 64 * 1024;

/// The number of bytes of a line that Docker reads before it cuts the line (`defaultBufSize`,
/// `daemon/logger/copier.go` of github.com/moby/moby).
pub const DOCKER_PART: usize = 16 * 1024;

/// The value of `before` if no line is needed. It is not empty, because an empty `before` means
/// that the segment is the beginning of a log.
const NOTHING: &[u8] = b"\n";

/// A stream of a container's output. A log has the lines of both streams, so a line of one stream
/// may come between two parts of a line of the other stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ContainerStream {
    Stdout,
    Stderr,
}

impl ContainerStream {
    /// Both streams.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Reads the name of a stream in a log.
    #[must_use]
    pub fn of_name(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }

    /// If `line` is a line of a container's output, returns its stream, and whether it is a part
    /// that the next line of this stream continues. Kubernetes writes `STAMP stdout P …` for such a
    /// part, and `STAMP stdout F …` for the last part (Container Runtime Interface). More tags can
    /// follow `P` or `F` after a colon. For Docker, such a part is an object whose text has at
    /// least [`DOCKER_PART`] bytes and no newline at its end.
    #[must_use]
    pub fn of_line(line: &[u8]) -> Option<(Self, bool)> {
        let line = without_nul(line);
        if let Some(text) = line.strip_prefix(br#"{"log":""#) {
            return Self::of_docker_text(text);
        }
        let mut words = line.splitn(4, |byte| *byte == b' ').skip(1);
        let stream = Self::of_name(words.next()?)?;
        match words.next()? {
            [b'P'] | [b'P', b':', ..] => Some((stream, true)),
            [b'F'] | [b'F', b':', ..] => Some((stream, false)),
            _ => None,
        }
    }

    /// The stream of a line that the next line of the stream [continues](Self::of_line).
    #[must_use]
    pub fn of_part(line: &[u8]) -> Option<Self> {
        Self::of_line(line).filter(|(_, is_part)| *is_part).map(|(stream, _)| stream)
    }

    /// Like [`of_line`](Self::of_line), for a line of Docker's json-file driver. The text ends at
    /// the first `","stream":"`. The text cannot contain these characters, because each quote in it
    /// has a backslash before it.
    fn of_docker_text(line: &[u8]) -> Option<(Self, bool)> {
        let at = memmem::find(line, br#"","stream":""#)?;
        let (text, rest) = (&line[..at], &line[at + br#"","stream":""#.len()..]);
        let stream = Self::of_name(&rest[..memchr::memchr(b'"', rest)?])?;
        let ends_in_newline = text.strip_suffix(b"n").is_some_and(|text| {
            text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
        });
        // A shorter text without a newline is the last text of its container.
        let is_part = !ends_in_newline && unescaped_length(text) >= DOCKER_PART;
        Some((stream, is_part))
    }

    /// A line that replaces the missing first part of a line of this stream. The lines before a
    /// segment begin with it in two cases:
    ///
    /// - A line waits for its last part, and its first part is more than [`MAX_PARTS_BEFORE`] bytes
    ///   before the segment.
    /// - The lines before the segment contain the last part of a line, but not its first part.
    #[must_use]
    pub fn long_parts(self) -> &'static [u8] {
        match self {
            Self::Stdout => b"- stdout P:long \n",
            Self::Stderr => b"- stderr P:long \n",
        }
    }
}

/// Removes the NUL bytes before a line. A file has them if it was truncated, and its writer
/// continued at the old offset.
#[must_use]
pub fn without_nul(line: &[u8]) -> &[u8] {
    &line[line.iter().take_while(|byte| **byte == 0).count()..]
}

/// The number of bytes that a container wrote. `text` is the JSON text that Docker made from these
/// bytes. An escape (two or six bytes, such as `\n` or `\u003c`) is one byte, even if this byte is
/// not UTF-8. Only the escapes of U+2028 and U+2029 are three bytes.
/// (`daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go`)
fn unescaped_length(text: &[u8]) -> usize {
    let (mut length, mut rest) = (0, text);
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let escape = &rest[at + 1..];
        let is_long = escape.starts_with(b"u");
        let has_three = escape.starts_with(b"u2028") || escape.starts_with(b"u2029");
        length += at + if has_three { 3 } else { 1 };
        rest = escape.get(if is_long { 5 } else { 1 }..).unwrap_or_default();
    }
    length + rest.len()
}

/// The offsets of the lines that are [parts](ContainerStream::of_part) of Docker. No fixed text
/// identifies these lines, but they are long, and long lines are rare. So this function searches
/// each window of `WINDOW` bytes for its last newline, and skips the window up to this newline.
#[must_use]
pub fn long_docker_lines(lines: &[u8]) -> Vec<usize> {
    const WINDOW: usize = DOCKER_PART / 2;
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(window) = lines.get(at..at + WINDOW) {
        if let Some(newline) = memchr::memrchr(b'\n', window) {
            at += newline + 1;
            continue;
        }
        let end = line_end(lines, at);
        let line = without_nul(&lines[at..end]);
        if line.starts_with(b"{") && ContainerStream::of_part(line).is_some() {
            found.push(end - line.len());
        }
        at = end + 1;
    }
    found
}

/// Removes the [`long_parts`](ContainerStream::long_parts) at the beginning of the lines before a
/// segment. The `long_parts` are not lines of the log.
#[must_use]
pub fn without_long_parts(mut before: &[u8]) -> &[u8] {
    for stream in ContainerStream::ALL {
        before = before.strip_prefix(stream.long_parts()).unwrap_or(before);
    }
    before
}

/// Returns new lines for `before` if the lines after `before` or its text are lost. If a line waits
/// for its last part, the new lines tell mls-parse to skip the rest of this line.
#[must_use]
pub fn lost_lines(before: &[u8]) -> Vec<u8> {
    let mut unfinished = Unfinished::default();
    unfinished.read(before, 0);
    unfinished.lost()
}

/// Returns the last whole lines of `lines`, at most [`MAX_BEFORE`] bytes. If a line of a container
/// waits for its last part, the result can be longer: it begins with the first part of this line,
/// with an earlier line, or with [`long_parts`](ContainerStream::long_parts).
#[must_use]
pub fn last_lines(lines: &[u8]) -> Vec<u8> {
    let mut last = Vec::new();
    add_last_lines(&mut last, lines);
    last
}

/// Adds `lines` to `last`, and removes all lines except the [last lines](last_lines). A caller may
/// add the lines of a log in one call or in several calls: the result is the same.
pub fn add_last_lines(last: &mut Vec<u8>, lines: &[u8]) {
    if lines.is_empty() {
        return;
    }
    let mut unfinished = Unfinished::default();
    // A line that no container wrote ends the open lines of both streams.
    if ends_in_a_containers_line(lines) {
        unfinished.read(last, 0);
        unfinished.read(lines, last.len());
    }
    let length = last.len() + lines.len();
    let split = |at: usize| {
        (last.split_at(at.min(last.len())), lines.split_at(at.saturating_sub(last.len())))
    };
    let marks = last.len() - without_long_parts(last).len();
    let earliest = length.saturating_sub(MAX_BEFORE).max(marks);
    let ((before, old), (passed, new)) = split(earliest);
    // A line begins at `earliest` if only NUL bytes are between the last newline and `earliest`.
    let text = passed.iter().rev().chain(before.iter().rev()).find(|byte| **byte != 0);
    let begin = if text.is_none_or(|byte| *byte == b'\n') {
        earliest
    } else {
        let newline = memchr::memchr(b'\n', old)
            .or_else(|| memchr::memchr(b'\n', new).map(|newline| old.len() + newline));
        newline.map_or(length, |newline| earliest + newline + 1)
    };
    let start = unfinished.first().map_or(begin, |first| first.min(begin));
    let ((before, old), (passed, new)) = split(start);
    let mut kept = [old, new].concat();
    let has_no_first_part = |stream: &ContainerStream| {
        unfinished.is_long(*stream) || begins_within(*stream, &kept, passed, before)
    };
    let front = long_parts(has_no_first_part);
    let blank = kept.iter().take_while(|byte| matches!(byte, 0 | b'\n')).count();
    kept.splice(0..blank, front);
    *last = if kept.is_empty() { NOTHING.to_vec() } else { kept };
}

/// Whether `kept` has the last parts of a line of this stream, but not the first part. In the log,
/// `before` comes first, then `passed`, then `kept`.
fn begins_within(stream: ContainerStream, kept: &[u8], passed: &[u8], before: &[u8]) -> bool {
    let is_newline = |byte: &u8| *byte == b'\n';
    // A line that no container wrote ends the open lines of both streams.
    let counts = |line: &&[u8]| {
        !without_nul(line).is_empty()
            && ContainerStream::of_line(line).is_none_or(|(other, _)| other == stream)
    };
    let has_part = kept.split(is_newline).find(counts).and_then(ContainerStream::of_line).is_some();
    let mut earlier = passed.rsplit(is_newline).chain(before.rsplit(is_newline));
    has_part && earlier.find(counts).and_then(ContainerStream::of_part).is_some()
}

fn ends_in_a_containers_line(lines: &[u8]) -> bool {
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    let start = memchr::memrchr(b'\n', lines).map_or(0, |newline| newline + 1);
    ContainerStream::of_line(&lines[start..]).is_some()
}

/// Adds a skipped line to `last`, and removes all earlier lines. The line was skipped because it is
/// too long. `line` is the result of [`ContainerStream::of_line`] for this line.
pub fn add_skipped(last: &mut Vec<u8>, line: Option<(ContainerStream, bool)>) {
    let mut unfinished = Unfinished::default();
    if let Some((stream, is_part)) = line {
        unfinished.read(last, 0);
        unfinished.0[stream as usize] = is_part.then_some(LineBegin::Long);
    }
    *last = unfinished.lost();
}

/// The offsets of the lines that are [parts](ContainerStream::of_part).
fn part_lines(lines: &[u8]) -> Vec<usize> {
    let mut parts = long_docker_lines(lines);
    for words in ["stdout P", "stderr P"] {
        let words = memmem::Finder::new(words);
        let mut from = 0;
        while let Some(at) = words.find(&lines[from..]) {
            let start =
                memchr::memrchr(b'\n', &lines[..from + at]).map_or(0, |newline| newline + 1);
            from = line_end(lines, from + at);
            let line = without_nul(&lines[start..from]);
            if ContainerStream::of_part(line).is_some() {
                parts.push(from - line.len());
            }
        }
    }
    parts.sort_unstable();
    parts
}

fn line_end(lines: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &lines[from..]).map_or(lines.len(), |newline| from + newline)
}

/// For each stream, the beginning of the line that waits for its last part.
#[derive(Default)]
struct Unfinished([Option<LineBegin>; 2]);

#[derive(Clone, Copy)]
enum LineBegin {
    At(usize),
    /// The line is too long, or its text is lost.
    Long,
}

impl Unfinished {
    /// Reads the next lines. `base` is the offset of their first byte.
    fn read(&mut self, lines: &[u8], base: usize) {
        let parts = part_lines(lines);
        let mut at = 0;
        while at < lines.len() {
            if self.0.iter().all(Option::is_none) {
                let Some(next) = parts.get(parts.partition_point(|part| *part < at)) else {
                    return;
                };
                at = *next;
            }
            let end = line_end(lines, at);
            self.line(&lines[at..end], base + at);
            self.measure(base + end + 1);
            at = end + 1;
        }
    }

    fn line(&mut self, line: &[u8], at: usize) {
        let Some((stream, is_part)) = ContainerStream::of_line(line) else {
            *self = Self::default();
            return;
        };
        let begin = &mut self.0[stream as usize];
        *begin = if !is_part {
            None
        } else if stream.long_parts().strip_suffix(b"\n") == Some(line) {
            Some(LineBegin::Long)
        } else {
            begin.or(Some(LineBegin::At(at)))
        };
    }

    /// Sets each begin to `Long` if its line is too long. The log was read up to offset `end`.
    fn measure(&mut self, end: usize) {
        for begin in self.0.iter_mut().flatten() {
            if matches!(begin, LineBegin::At(at) if end - *at > MAX_PARTS_BEFORE) {
                *begin = LineBegin::Long;
            }
        }
    }

    /// The offset of the first line that waits for its last part and is not too long.
    fn first(&self) -> Option<usize> {
        let begins = self.0.iter().flatten().filter_map(|begin| match begin {
            LineBegin::At(at) => Some(*at),
            LineBegin::Long => None,
        });
        begins.min()
    }

    /// The lines before a segment if the text of all lines that wait for their last part is lost.
    fn lost(mut self) -> Vec<u8> {
        self.0.iter_mut().flatten().for_each(|begin| *begin = LineBegin::Long);
        let lines = long_parts(|stream| self.is_long(*stream));
        if lines.is_empty() { NOTHING.to_vec() } else { lines }
    }

    fn is_long(&self, stream: ContainerStream) -> bool {
        matches!(self.0[stream as usize], Some(LineBegin::Long))
    }
}

fn long_parts(is_of: impl Fn(&ContainerStream) -> bool) -> Vec<u8> {
    let streams = ContainerStream::ALL.into_iter().filter(is_of);
    streams.flat_map(ContainerStream::long_parts).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str, stream: &str) -> String {
        format!(r#"{{"log":"{text}","stream":"{stream}","time":"x"}}"#)
    }

    #[test]
    fn an_object_of_docker_is_a_part_if_its_long_text_has_no_newline() {
        for (text, is_part) in [
            ("", true),
            (r"\n", false),
            (r"\\n", true),
            (r"\\\n", false),
            ("n", true),
            (r#"\",\"stream\":\"stderr\n"#, false),
            (r#"\n\",\"stream\":\"stderr"#, true),
        ] {
            for stream in ContainerStream::ALL {
                let name = if stream == ContainerStream::Stdout { "stdout" } else { "stderr" };
                let line = object(&("x".repeat(16_384) + text), name);
                let expected = is_part.then_some(stream);
                assert_eq!(ContainerStream::of_part(line.as_bytes()), expected, "{text}");
            }
        }
    }

    #[test]
    fn the_length_of_an_object_of_docker_is_the_length_of_what_the_container_wrote() {
        // The container ended within a line. Escapes make the JSON text longer than the line.
        for (text, length) in [
            ("x", 1),
            (r"\u0000", 1),
            (r"\ufffd", 1),
            (r"\u2028", 3),
            (r"\u003c", 1),
            (r#"\\\""#, 2),
            (r"a\tb", 3),
            ("\u{fffd}", 3),
        ] {
            for (times, is_part) in
                [(DOCKER_PART / length, DOCKER_PART.is_multiple_of(length)), (3000, false)]
            {
                let line = object(&text.repeat(times), "stdout");
                let part = ContainerStream::of_part(line.as_bytes());
                assert_eq!(part.is_some(), is_part, "{text} {times} times");
            }
        }
        assert_eq!(ContainerStream::of_part(object(r"\", "stdout").as_bytes()), None);
        assert_eq!(ContainerStream::of_part(br#"{"log":"\u"#), None);
    }

    #[test]
    fn last_lines_do_not_depend_on_where_a_log_is_cut() {
        let part = |length| format!("2026-06-01T00:00:45Z stdout P {}\n", "x".repeat(length));
        let whole = |length| part(length).replace("stdout P", "stdout F");
        let error = |length| part(length).replace("stdout", "stderr");
        let whole_error = |length| error(length).replace("stderr P", "stderr F");
        let docker = object(&("x".repeat(16_384) + "zx"), "stdout") + "\n";
        let other = "Jun  1 00:00:45 vm cron[7]: x\n";
        let (out, err) = ContainerStream::ALL.map(|stream| stream.long_parts().len()).into();
        assert_eq!((out, err), (17, 17));
        for (lines, kept) in [
            (whole(100).repeat(30), 131 * 15),
            (whole(3000) + &whole(100), 131),
            (whole(100).repeat(30) + &part(100), 131 * 15),
            (whole(100) + &part(16_000).repeat(3), 16_031 * 3),
            (part(MAX_PARTS_BEFORE - 31), MAX_PARTS_BEFORE),
            (part(MAX_PARTS_BEFORE - 30), out),
            (part(16_000).repeat(5), out),
            (error(16_000).repeat(5), err),
            (part(200_000) + &part(100), out + 131),
            (whole(200_000) + &part(100), 131),
            (whole(200_000), 1),
            // Lines of the other stream are between the parts.
            (part(16_000) + &whole_error(100), 16_162),
            (part(16_000) + &whole_error(100) + &part(100), 16_293),
            (part(16_000) + &whole_error(100) + &whole(100), out + 131 * 2),
            (part(16_000) + &error(100), 16_162),
            (part(16_000) + &error(4000) + &whole(100), out + 4162),
            (part(16_000) + &whole_error(16_000).repeat(4), out),
            (part(16_000).repeat(5) + &error(100), out + 131),
            (part(16_000).repeat(2) + &error(16_000).repeat(3), out + 16_031 * 3),
            (error(200_000) + &part(16_000).repeat(5), out + err),
            (error(200_000) + &part(100), err + 131),
            (error(200_000) + &whole(100).repeat(900), err + 131 * 15),
            (error(200_000) + &whole(100).repeat(900) + &whole_error(1), err + 131 * 15 + 32),
            (part(16_000).repeat(5) + &whole(100), out + 131),
            (part(100).repeat(700) + &whole(100), out + 131 * 15),
            (part(16_000) + &whole(100).repeat(15), out + 131 * 15),
            (part(16_000) + &whole(100).repeat(16), 131 * 15),
            (part(16_000) + &whole(100) + other, out + 131 + other.len()),
            (part(16_000) + other + &whole(100), other.len() + 131),
            (part(16_000) + &error(16_000) + &whole(9) + &whole_error(9), out + err + 80),
            // NUL bytes in front of a line.
            ("\0".repeat(70_000) + &part(100), 131),
            ("\0".repeat(70_000) + &whole(100), 131),
            (whole(100) + &"\0".repeat(70_000) + &whole(100), 131),
            ("x".to_owned() + &"\0".repeat(70_000) + other, 1),
            ("\0".repeat(70_000) + &docker, docker.len()),
            (docker.clone() + "\0" + &docker.replace("zx", r"z\n"), 1),
            (part(16_000) + other, other.len()),
            (error(200_000) + &part(100) + other, 131 + other.len()),
            (whole(100) + &docker.repeat(3), docker.len() * 3),
            (docker.repeat(5), out),
            (docker.repeat(2) + &docker.replace("zx", r"z\n"), 1),
        ] {
            let lines = lines.as_bytes();
            let expected = last_lines(lines);
            assert_eq!(expected.len(), kept, "{}", String::from_utf8_lossy(&expected));
            assert!(lines.ends_with(without_long_parts(&expected)) || expected == b"\n");
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
