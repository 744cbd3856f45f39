//! Lines of Docker's json-file logging driver: `{"log":"…\n","stream":"stdout","time":"…"}`.

use std::borrow::Cow;

use serde::Deserialize;

/// The object that Docker's json-file driver writes for a line of a container's output
/// (`daemon/logger/jsonfilelog/jsonlog/jsonlog.go` of github.com/moby/moby).
#[derive(Debug, Deserialize)]
pub struct DockerLine<'a> {
    /// The line, with its newline. A line of more than 16 KiB becomes several objects. Only the
    /// last object has a newline.
    #[serde(borrow)]
    pub log: Cow<'a, str>,
    /// `stdout` or `stderr`.
    #[serde(borrow, default)]
    pub stream: Cow<'a, str>,
    /// The time when Docker received the line: RFC 3339 in UTC.
    #[serde(borrow, default)]
    pub time: Cow<'a, str>,
}

impl<'a> DockerLine<'a> {
    /// Reads a line; `None` if the json-file driver has not written the line.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        if !line.starts_with(b"{") || memchr::memmem::find(line, b"\"log\"").is_none() {
            return None;
        }
        // The driver writes only UTF-8. Check the whole line, because serde_json does not check the
        // members that it skips.
        serde_json::from_str(str::from_utf8(line).ok()?).ok()
    }

    /// The container's line in the form of `docker logs --timestamps`.
    /// [`open`](crate::envelope::open) reads this form.
    #[must_use]
    pub fn to_text(&self) -> Vec<u8> {
        let log = self.log.strip_suffix('\n').unwrap_or(&self.log);
        format!("{} {log}", self.time).into_bytes()
    }
}

/// Whether Docker's json-file driver has written `line`.
pub(crate) fn is_line(line: &[u8]) -> bool {
    DockerLine::parse(line).is_some()
}

#[cfg(test)]
mod tests {
    use crate::envelope;

    use super::*;

    #[test]
    fn the_line_inside_is_read_with_the_time_outside() {
        let line = br#"{"log":"Jun  1 00:00:44 mx postfix/smtpd[7]: a \u003cb\u003e\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-06-01T00:00:45.123456789Z"}"#;
        let text = DockerLine::parse(line).unwrap().to_text();
        let envelope = envelope::open(&text).unwrap();
        assert_eq!(envelope.stamp, Some(&b"2026-06-01T00:00:45.123456789Z"[..]));
        assert_eq!((envelope.host, envelope.pid), (Some(&b"mx"[..]), Some(7)));
        assert_eq!(envelope.message, b"a <b>");
    }

    #[test]
    fn other_lines_are_not_read_as_lines_of_docker() {
        for line in ["", "{}", "{\"log\":1}", "{\"log\"", "{\"MESSAGE\":\"log\"}", "Jun  1 \"log\""]
        {
            assert!(DockerLine::parse(line.as_bytes()).is_none(), "{line}");
        }
        assert!(DockerLine::parse(b"{\"log\":\"a\",\"tag\":\"\xff\"}").is_none());
    }
}
