//! A message from standard input: header fields and a body. The body is parsed only if the message
//! is too large for the server.

use anyhow::Context;
use mls_diag::{Exit, OrExit, count};
use mls_state::mail_cursor::{FIELD, MailCursor};

/// Fields that the recipients must not get. mls-mail does not send mail to the addresses in `Bcc`.
const REMOVED: [&str; 3] = ["Bcc", "Return-Path", FIELD];

/// A message whose lines end in CRLF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Each field with its continuation lines, without the last CRLF.
    fields: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Message {
    /// Reads a message with lines that end in LF or CRLF. Exit 65 if it does not begin with header
    /// fields, 75 if it is multipart and its last boundary is missing.
    pub(crate) fn parse(text: &[u8]) -> anyhow::Result<Self> {
        let mut fields: Vec<Vec<u8>> = Vec::new();
        let mut rest = text;
        let mut number = 0;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1);
            let (line, after) = rest.split_at(end);
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (rest, number) = (after, number + 1);
            if line.is_empty() {
                break;
            }
            // A bare CR would end the line for some readers.
            let line =
                &line.iter().map(|b| if *b == b'\r' { b' ' } else { *b }).collect::<Vec<_>>()[..];
            match fields.last_mut() {
                Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                    field.extend_from_slice(b"\r\n");
                    field.extend_from_slice(line);
                }
                _ if is_field(line) => fields.push(line.to_vec()),
                _ => {
                    return Err(Exit::DataErr.error(format!(
                        "line {number}: not a header field (found {:?}); a message begins \
                        with fields such as Subject: hello, and a blank line ends them",
                        String::from_utf8_lossy(&line[..line.len().min(80)])
                    )));
                }
            }
        }
        let message = Self { fields, body: with_crlf(rest) };
        if let Some(boundary) = message.boundary()
            && memchr::memmem::rfind(&message.body, format!("--{boundary}--").as_bytes()).is_none()
        {
            return Err(Exit::TempFail.error(
                "the message ends too early (its last boundary is missing); nothing is sent",
            ));
        }
        Ok(message)
    }

    /// The value of a field, unfolded.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let raw = self.fields.iter().find(|field| is_named(field, name))?;
        let value = String::from_utf8_lossy(&raw[name.len() + 1..]).replace("\r\n", "");
        Some(value.trim().to_owned())
    }

    /// The cursor that mls-mail commits with the message. Exit 65 if the field is damaged.
    pub(crate) fn cursor(&self) -> anyhow::Result<Option<MailCursor>> {
        let Some(value) = self.get(FIELD) else { return Ok(None) };
        let cursor = MailCursor::from_field(&value);
        cursor
            .map(Some)
            .with_context(|| format!("stdin: the field {FIELD} is damaged"))
            .or_exit(Exit::DataErr)
    }

    /// Removes the fields that are not for the recipients. Adds each of `fields` whose name is not
    /// in the message yet.
    pub(crate) fn complete(&mut self, fields: impl IntoIterator<Item = String>) {
        self.fields.retain(|field| !REMOVED.iter().any(|name| is_named(field, name)));
        let missing: Vec<_> = fields
            .into_iter()
            .filter(|new| {
                let name = new.split(':').next().unwrap_or_default();
                !self.fields.iter().any(|field| is_named(field, name))
            })
            .map(String::into_bytes)
            .collect();
        self.fields.splice(..0, missing);
    }

    /// The message as SMTP sends it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.body.len() + 4096);
        for field in &self.fields {
            bytes.extend_from_slice(field);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Returns the message for a server that allows `size` bytes. If the message is larger, a line
    /// replaces each attachment. Fails if the server cannot accept the result.
    pub(crate) fn for_server(&self, size: Option<u64>, eight_bit: bool) -> Result<Vec<u8>, String> {
        let limit = size.map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let whole = self.to_bytes();
        let bytes = if whole.len() <= limit {
            whole
        } else {
            let why = format!(
                "Not attached: the message with its attachment has {}, and the mail server takes at most {limit}.",
                count(whole.len() as u64, "byte", "bytes")
            );
            let smaller = self.without_attachments(&why).to_bytes();
            if smaller.len() > limit {
                let length = count(smaller.len() as u64, "byte", "bytes");
                return Err(format!(
                    "the message has {length}, and the mail server takes at most \
                    {limit}"
                ));
            }
            log::warn!("{why}");
            smaller
        };
        if !eight_bit && !bytes.is_ascii() {
            return Err("the message is not ASCII, and the mail server does not offer 8BITMIME: \
                encode the message, for example as quoted-printable"
                .to_owned());
        }
        Ok(bytes)
    }

    /// Returns the message with the text `why` in place of each attachment.
    fn without_attachments(&self, why: &str) -> Self {
        let Some(boundary) = self.boundary() else { return self.clone() };
        let delimiter = format!("--{boundary}");
        let mut body = Vec::new();
        // The lines of a part are collected until the next delimiter.
        let mut part: Vec<u8> = Vec::new();
        let finish = |part: &mut Vec<u8>, body: &mut Vec<u8>| {
            if is_attachment(part) {
                let text = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{why}\r\n");
                body.extend_from_slice(text.as_bytes());
            } else {
                body.extend_from_slice(part);
            }
            part.clear();
        };
        for line in self.body.split_inclusive(|b| *b == b'\n') {
            let is_delimiter = line.starts_with(delimiter.as_bytes()) && {
                let rest = line[delimiter.len()..].trim_ascii_end();
                rest.is_empty() || rest == b"--"
            };
            if is_delimiter {
                finish(&mut part, &mut body);
                body.extend_from_slice(line);
            } else {
                part.extend_from_slice(line);
            }
        }
        finish(&mut part, &mut body);
        Self { fields: self.fields.clone(), body }
    }

    /// The boundary between the parts of a multipart message (RFC 2046, section 5.1.1).
    fn boundary(&self) -> Option<String> {
        let value = self.get("Content-Type")?;
        if !value.to_ascii_lowercase().starts_with("multipart/") {
            return None;
        }
        let start = value.to_ascii_lowercase().find("boundary=")? + "boundary=".len();
        let rest = &value[start..];
        let boundary = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?,
            None => rest.split([';', ' ', '\t']).next()?,
        };
        (!boundary.is_empty()).then(|| boundary.to_owned())
    }
}

/// Whether a line is `Name: value` (RFC 5322, section 2.2).
fn is_field(line: &[u8]) -> bool {
    let colon = memchr::memchr(b':', line).unwrap_or_default();
    colon > 0 && line[..colon].iter().all(u8::is_ascii_graphic)
}

fn is_named(field: &[u8], name: &str) -> bool {
    field.get(name.len()) == Some(&b':')
        && field[..name.len()].eq_ignore_ascii_case(name.as_bytes())
}

fn is_attachment(part: &[u8]) -> bool {
    let end = memchr::memmem::find(part, b"\r\n\r\n").unwrap_or(part.len());
    let header = part[..end].to_ascii_lowercase();
    memchr::memmem::find(&header, b"content-disposition: attachment").is_some()
}

/// Replaces each bare CR and each bare LF by CRLF. Some servers take a bare CR or LF as the end of
/// a line, and others do not. This difference would allow a message to hide a second message.
fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 64);
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if_eq(&b'\n');
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            byte => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "Subject: x\nContent-Type: multipart/mixed;\n boundary=\"b b\"\n\n\
        --b b\nContent-Type: text/plain\n\nhello\n\
        --b b\nContent-Disposition: attachment; filename=\"x\"\n\nAAAA\n--b b--\n";

    #[test]
    fn missing_fields_are_added_and_private_ones_are_removed() {
        let mut message = Message::parse(
            b"subject: a\n b\nBCC: x@example.com\nFrom: me@example.com\n\nbody\n.\n",
        )
        .unwrap();
        message.complete(["From: other@example.com".to_owned(), "To: you@example.com".to_owned()]);
        let text = String::from_utf8(message.to_bytes()).unwrap();
        assert_eq!(
            text,
            "To: you@example.com\r\nsubject: a\r\n b\r\nFrom: me@example.com\r\n\r\nbody\r\n.\r\n"
        );
    }

    #[test]
    fn an_attachment_that_is_too_large_becomes_a_line() {
        let message = Message::parse(MIXED.as_bytes()).unwrap();
        let whole = message.to_bytes();
        assert_eq!(message.for_server(Some(whole.len() as u64), false).unwrap(), whole);
        let message = Message::parse(MIXED.replace("AAAA", &"A".repeat(1000)).as_bytes()).unwrap();
        let text = String::from_utf8(message.for_server(Some(500), false).unwrap()).unwrap();
        assert!(text.contains("hello") && !text.contains("AAAA"), "{text}");
        assert!(text.contains("Not attached: ") && text.ends_with("--b b--\r\n"), "{text}");
        assert!(message.for_server(Some(100), false).is_err());
    }

    #[test]
    fn an_incomplete_message_is_refused() {
        assert!(Message::parse(b"hello\n").is_err());
        assert!(Message::parse(&MIXED.as_bytes()[..MIXED.len() - 5]).is_err());
    }

    #[test]
    fn bare_ends_of_lines_are_completed() {
        assert_eq!(with_crlf(b"a\nb\r\nc\rd\r\r\n"), b"a\r\nb\r\nc\r\nd\r\n\r\n");
    }
}
