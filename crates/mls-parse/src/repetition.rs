//! Lines that count repetitions of an earlier message.
//!
//! | writer | example |
//! |---|---|
//! | sysklogd, BSD syslogd, busybox, older rsyslog | `Jun  1 00:00:45 vm last message repeated 3 times` |
//! | syslog-ng | `Jun  1 00:00:45 vm Last message 'postfix/smtpd[9]: wa' repeated 3 times, suppressed by syslog-ng on vm` |
//! | metalog | `                - Last output repeated 3 times -`, `… repeated twice -` (one more time) |
//!
//! The count belongs to the last message of the same host. If the line quotes a message, the count
//! belongs to the last message of the same host that begins with the quoted text. Between that
//! message and the count, there may be other counts of the same message and lines of other hosts.

use std::borrow::Cow;

use bstr::ByteSlice;
use mls_event::{ContainerStream, without_nul};

use crate::docker;
use crate::envelope::{self, Envelope, number};
use crate::journal::JournalEntry;

/// The texts that the search looks for.
pub(crate) const WORDS: [&str; 3] =
    ["last message repeated ", "Last message '", "- Last output repeated "];

/// The largest number of earlier lines to search. Lines of other hosts may come between.
const MAX_LINES: usize = 1000;

#[derive(Debug)]
pub(crate) struct Repetition {
    /// The line with [`TAG`] before the count, for [`envelope::open`]; empty for metalog, whose
    /// lines have no envelope.
    text: Vec<u8>,
    pub(crate) times: u32,
    /// The quoted beginning of the message, perhaps with its program; `None` without a quote.
    quoted: Option<Vec<u8>>,
}

/// The program to add to a line that counts repetitions, because such a line names no program.
const TAG: &[u8] = b"repetition[0]: ";

impl Repetition {
    /// Reads a line; `None` if it contains [`WORDS`] but is not a count.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        let line = plain(line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let at = WORDS.iter().filter_map(|words| line.find(words)).min()?;
        let (front, count) = line.split_at(at);
        let front = front.strip_suffix(b"--- ").unwrap_or(front);
        let (times, quoted) = read_count(count)?;
        if count.starts_with(b"- ") {
            let is_alone = front.iter().all(|byte| *byte == b' ');
            return is_alone.then_some(Self { text: Vec::new(), times, quoted: None });
        }
        let text = [front, TAG, count].concat();
        let envelope = envelope::open(&text)?;
        // A daemon of syslog may name itself. The line of any other program is not a count.
        let is_syslog = envelope.program.starts_with(b"syslog") || envelope.program == b"rsyslogd";
        let counts =
            envelope.program == b"repetition" || (is_syslog && envelope.message.starts_with(TAG));
        let quoted = quoted.map(<[u8]>::to_vec);
        counts.then_some(())?;
        Some(Self { text, times, quoted })
    }

    pub(crate) fn envelope(&self) -> Option<Envelope<'_>> {
        envelope::open(&self.text)
    }

    /// Finds the line that this count belongs to, and returns it as [plain] text. `earlier` and
    /// then `later` are the lines before the count.
    pub(crate) fn counted<'a>(&self, earlier: &'a [u8], later: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let host = self.envelope().and_then(|count| count.host.map(<[u8]>::to_vec));
        let lines =
            later.rsplit(|byte| *byte == b'\n').chain(earlier.rsplit(|byte| *byte == b'\n'));
        let mut lines = lines.map(without_nul).filter(|line| !line.is_empty());
        for _ in 0..MAX_LINES {
            let line = lines.next()?;
            // A part of a longer line can begin with any text of a client, so it cannot be trusted.
            if is_part(line, lines.clone()) {
                return None;
            }
            // Skip another count of an earlier message.
            if WORDS.iter().any(|words| line.contains_str(words)) && Self::read(line).is_some() {
                continue;
            }
            let line = plain(line);
            let envelope = envelope::open(&line)?;
            if !is_of(host.as_deref(), envelope.host) {
                continue;
            }
            match &self.quoted {
                None => return Some(line),
                Some(quoted) if begins_with(&envelope, quoted) => return Some(line),
                Some(_) => {}
            }
        }
        None
    }
}

/// Whether a line of a container is a part of a longer line. The lines `before` it are in reverse order.
fn is_part<'a>(line: &[u8], before: impl Iterator<Item = &'a [u8]>) -> bool {
    let Some((stream, is_part)) = ContainerStream::of_line(line) else { return false };
    // A line that no container has written ends the lines of both streams.
    let mut before = before.map_while(ContainerStream::of_line);
    is_part || before.find(|(other, _)| *other == stream).is_some_and(|(_, is_part)| is_part)
}

/// Converts a line of Docker's JSON to the form that `docker logs --timestamps` shows. Any other
/// line stays unchanged.
fn plain(line: &[u8]) -> Cow<'_, [u8]> {
    if !line.starts_with(b"{") {
        return Cow::Borrowed(line);
    }
    let docker = || docker::DockerLine::parse(line).map(|line| line.to_text());
    let entry = || JournalEntry::parse(line).and_then(|entry| entry.container_line());
    docker().or_else(entry).map_or(Cow::Borrowed(line), Cow::Owned)
}

/// Whether `other` is the same host as `host`. If one host is missing, the result is true, because
/// the log probably has only one host.
fn is_of(host: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    host.is_none() || other.is_none() || host == other
}

fn read_count(text: &[u8]) -> Option<(u32, Option<&[u8]>)> {
    if let Some(count) = text.strip_prefix(b"- Last output repeated ") {
        let times = match count.strip_suffix(b" -")? {
            b"twice" => 1,
            count => number(count.strip_suffix(b" times")?).filter(|times| *times > 0)?,
        };
        return Some((times, None));
    }
    let (quoted, rest) = match text.strip_prefix(b"Last message '") {
        Some(rest) => {
            let (quoted, rest) = rest.rsplit_once_str("' repeated ")?;
            (Some(quoted), rest)
        }
        None => (None, text.strip_prefix(b"last message repeated ")?),
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let times = number(&rest[..digits]).filter(|times| *times > 0)?;
    let rest = rest[digits..].strip_prefix(b" time")?;
    let rest = rest.strip_prefix(b"s").unwrap_or(rest);
    let ends = rest.is_empty() || rest == b" ---" || rest.starts_with(b", suppressed by syslog-ng");
    ends.then_some((times, quoted))
}

fn begins_with(envelope: &Envelope<'_>, quoted: &[u8]) -> bool {
    if envelope.message.starts_with(quoted) {
        return true;
    }
    let pid = envelope.pid.map_or(String::new(), |pid| format!("[{pid}]"));
    [envelope.program, pid.as_bytes(), b": ", envelope.message].concat().starts_with(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Jun  1 00:00:40 vm postfix/smtpd[9]: warning: x\n";
    const OTHER: &str = "Jun  1 00:00:41 mx postfix/smtpd[9]: other\n";

    fn counted(line: &str, before: &str) -> Option<(u32, String)> {
        let repetition = Repetition::read(line.as_bytes())?;
        let line = repetition.counted(before.as_bytes(), b"")?;
        Some((repetition.times, String::from_utf8_lossy(&line).into_owned()))
    }

    #[test]
    fn the_last_message_of_the_same_host_is_counted() {
        let message = Some((3, BEFORE.trim_end().to_owned()));
        let again = "Jun  1 00:00:42 vm last message repeated 2 times\n";
        for line in [
            "Jun  1 00:00:45 vm last message repeated 3 times",
            "Jun  1 00:00:45 vm last message repeated 3 times\r",
            "Jun  1 00:00:45 last message repeated 3 times",
            "2026-06-01T00:00:45Z vm --- last message repeated 3 times ---",
            "Jun  1 00:00:45 vm syslog.info last message repeated 3 times",
            "Jun  1 00:00:45 vm syslogd: last message repeated 3 times",
            "Jun  1 00:00:45 vm Last message 'postfix/smtpd[9]: wa' repeated 3 times, suppressed by syslog-ng on vm",
            "Jun  1 00:00:45 vm Last message 'warning: x' repeated 3 times, suppressed by syslog-ng on vm",
        ] {
            assert_eq!(counted(line, BEFORE), message, "{line}");
        }
        let line = "Jun  1 00:00:45 vm last message repeated 3 times";
        assert_eq!(counted(line, &[BEFORE, OTHER, again, OTHER].concat()), message);
        let between = "Jun  1 00:00:41 vm cron[1]: x\n";
        let other = Some((3, between.trim_end().to_owned()));
        assert_eq!(counted(line, &[BEFORE, between].concat()), other);
        let named = "Jun  1 00:00:45 vm Last message 'postfix/smtpd[9]: wa' repeated 3 times, suppressed by syslog-ng on vm";
        assert_eq!(counted(named, &[BEFORE, between].concat()), message);
        assert_eq!(counted(line, OTHER), None);
        assert_eq!(counted(line, ""), None);
        let parts = ["stderr F", "stdout P", "stdout F"]
            .map(|tag| format!("2026-06-01T00:00:40Z {tag} postfix/smtpd[9]: x\n"));
        for (n, is_counted) in [(1, true), (2, false), (3, false)] {
            let before = parts[..n].concat();
            assert_eq!(counted(line, &before).is_some(), is_counted, "{before}");
        }
        let metalog = "Jun  1 00:00:40 [postfix/smtpd] warning: x\n";
        for (count, times) in [("3 times", 3), ("twice", 1)] {
            let line = format!("                - Last output repeated {count} -");
            assert_eq!(counted(&line, metalog), Some((times, metalog.trim_end().to_owned())));
        }
    }

    #[test]
    fn text_from_clients_is_not_a_count() {
        for line in [
            "Jun  1 00:00:45 vm postfix/smtpd[9]: warning: last message repeated 3 times",
            "Jun  1 00:00:45 vm app: last message repeated 3 times",
            "Jun  1 00:00:45 vm last message repeated 0 times",
            "Jun  1 00:00:45 vm last message repeated 3 times or more",
            "last message repeated 3 times",
            "Jun  1 00:00:45 vm app: - Last output repeated 3 times -",
            "                - Last output repeated 0 times -",
        ] {
            assert!(Repetition::read(line.as_bytes()).is_none(), "{line}");
        }
    }
}
