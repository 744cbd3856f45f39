//! Joins the lines of containers that Kubernetes or Docker has cut into parts. A cut can be within
//! a name. mls-anonymize would not recognize the two halves as a name, and would not replace them.

use std::borrow::Cow;

use bstr::ByteSlice;
use mls_event::{ContainerStream, MAX_PARTS_BEFORE, Members, without_nul, write_json};
use mls_parse::docker;

/// For each stream (stdout, stderr), the line that waits for its last part.
#[derive(Default)]
pub(crate) struct Joiner {
    waiting: [Option<Parts>; 2],
    lost: u64,
}

struct Parts {
    /// The first part, as it is in the log.
    first: Vec<u8>,
    text: Vec<u8>,
    /// The number of bytes of the log since the beginning of the first part. mls-parse does not
    /// read a line for which this number is more than [`MAX_PARTS_BEFORE`].
    length: usize,
}

impl Joiner {
    /// Adds a line, with its newline if it has one. Returns the line to anonymize: this line if it is
    /// not a part, the joined line if it is the last part, and nothing if more parts must follow.
    pub(crate) fn add<'l>(&mut self, line: &'l [u8]) -> Option<Cow<'l, [u8]>> {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let part =
            ContainerStream::of_line(content).and_then(|part| Some((part, text_of(content)?)));
        let Some(((stream, goes_on), text)) = part else {
            self.end();
            return Some(Cow::Borrowed(line));
        };
        let waiting = &mut self.waiting[stream as usize];
        let is_part = waiting.is_some() || goes_on;
        if is_part {
            let first =
                || Parts { first: without_nul(content).to_vec(), text: Vec::new(), length: 0 };
            let parts = waiting.get_or_insert_with(first);
            if parts.length <= MAX_PARTS_BEFORE {
                parts.text.extend_from_slice(&text);
            }
        }
        for parts in self.waiting.iter_mut().flatten() {
            parts.length += content.len() + 1;
        }
        if !is_part {
            return Some(Cow::Borrowed(line));
        }
        if goes_on {
            return None;
        }
        let joined = self.waiting[stream as usize].take().and_then(Parts::join);
        self.lost += u64::from(joined.is_none());
        Some(Cow::Owned([&joined?[..], &line[content.len()..]].concat()))
    }

    /// Counts each line without its last part as lost, because its last part will not come.
    pub(crate) fn end(&mut self) {
        for waiting in &mut self.waiting {
            self.lost += u64::from(waiting.take().is_some());
        }
    }

    /// The number of lines without a last part, or with too much text, since the last call.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

impl Parts {
    /// The whole line as Kubernetes or Docker would write it without a cut; `None` if it is too
    /// long.
    fn join(self) -> Option<Vec<u8>> {
        let Self { first, mut text, length } = self;
        if length > MAX_PARTS_BEFORE {
            return None;
        }
        if !first.starts_with(b"{") {
            let mut words = first.splitn(4, |byte| *byte == b' ');
            let (stamp, stream, tags) = (words.next()?, words.next()?, words.next()?);
            return Some([stamp, b" ", stream, b" F", &tags[1..], b" ", &text].concat());
        }
        text.push(b'\n');
        let mut line = Vec::with_capacity(2 * text.len());
        Members::parse(&first).ok()?.write_values(&mut line, |name, value, line| match name {
            "log" => write_json(line, &text.to_str_lossy()),
            _ => line.extend_from_slice(value.as_bytes()),
        });
        line.push(b'}');
        Some(line)
    }
}

/// The text that a container wrote, without its newline.
fn text_of(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    let line = without_nul(line);
    if !line.starts_with(b"{") {
        return Some(Cow::Borrowed(
            line.splitn(4, |byte| *byte == b' ').nth(3).unwrap_or_default(),
        ));
    }
    let log = docker::DockerLine::parse(line)?.log;
    Some(Cow::Owned(log.strip_suffix('\n').unwrap_or(&log).as_bytes().to_vec()))
}
