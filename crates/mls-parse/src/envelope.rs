//! What stands around a message in a log: when, where, who.
//!
//! | format | example |
//! |---|---|
//! | rsyslog's default since Debian 12, and `journalctl -o short-iso` | `2026-11-21T07:11:22.212047+00:00 vm postfix/smtpd[7491]: …` |
//! | RFC 3164, and Postfix's `maillog_file` | `Jun  1 00:00:45 vm postfix/smtpd[7491]: …` |
//! | the same with a year | `2025 Jun  1 00:00:45 vm …` |
//! | `journalctl -o short-full` | `Thu 2026-11-26 00:30:46 UTC vm postfix/smtpd[7491]: …` |
//! | RFC 5424 | `1 2026-11-21T07:11:22Z vm postfix/smtpd 7491 - - …` |
//!
//! each of them with or without a priority (`<22>`) and, but for RFC 5424, a host, and rsyslog's `message repeated 3 times: [ … ]`
//! around the message.

use bstr::ByteSlice;

/// One log line, taken apart and not yet understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The time stamp's text; [`stamp`](crate::stamp) reads it.
    pub stamp: &'a [u8],
    /// The host field.
    pub host: Option<&'a [u8]>,
    /// The program name.
    pub program: &'a [u8],
    /// Its process ID.
    pub pid: Option<u32>,
    /// How often the message was seen.
    pub repeated: u32,
    /// The message.
    pub message: &'a [u8],
}

/// Takes a line apart, given without its newline.
#[must_use]
pub fn open(line: &[u8]) -> Option<Envelope<'_>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = without_priority(line);
    if let Some(line) = line.strip_prefix(b"1 ") {
        return rfc5424(line);
    }
    let (stamp, rest) = split_stamp(line)?;
    let word = |text| split_byte(text, b' ').unwrap_or((text, b""));
    let (host, tag, message) = match word(rest) {
        // A template without a host. With one, a colon may follow the host.
        (tag, message) if tag.ends_with(b"]:") || tag == b"dovecot:" => (&b"-"[..], tag, message),
        (host, rest) => (host, word(rest).0, word(rest).1),
    };
    let tag = tag.strip_suffix(b":")?;
    let (program, pid) = match tag.strip_suffix(b"]").and_then(|tag| split_byte(tag, b'[')) {
        Some((program, pid)) => (program, Some(number(pid)?)),
        None => (tag, None),
    };
    finish(stamp, host, program, pid, message)
}

fn finish<'a>(
    stamp: &'a [u8],
    host: &'a [u8],
    program: &'a [u8],
    pid: Option<u32>,
    message: &'a [u8],
) -> Option<Envelope<'a>> {
    if program.is_empty() || program.contains(&b' ') {
        return None;
    }
    // rsyslog's own template for RFC 5424 writes a blank before the message, which has one of its own.
    let message = message.trim_start_with(|c| c == ' ');
    let (repeated, message) = repeats(without_message_id(message))?;
    let host = (!host.is_empty() && host != b"-").then_some(host);
    Some(Envelope { stamp, host, program, pid, repeated, message })
}

/// `<PRI>`, RFC 3164 section 4.1.1.
fn without_priority(line: &[u8]) -> &[u8] {
    let priority = line.strip_prefix(b"<").and_then(|rest| split_byte(rest, b'>'));
    match priority {
        Some((digits, rest)) if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => rest,
        _ => line,
    }
}

/// `TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG`, RFC 5424 section 6.
fn rfc5424(line: &[u8]) -> Option<Envelope<'_>> {
    let mut fields = line.splitn_str(6, " ");
    let (stamp, host, program) = (fields.next()?, fields.next()?, fields.next()?);
    let (pid, _message_id, rest) = (fields.next()?, fields.next()?, fields.next()?);
    let rest = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => after_structured_data(rest)?,
    };
    let message = rest.trim_start_with(|c| c == ' ');
    let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
    finish(stamp, host, program, number(pid), message)
}

/// `[id name="value" …][id …]`, where `"`, `\` and `]` are escaped inside values.
fn after_structured_data(text: &[u8]) -> Option<&[u8]> {
    let (mut quoted, mut escaped, mut inside) = (false, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if inside => quoted = !quoted,
            b'[' if !inside => inside = true,
            b']' if inside && !quoted => inside = false,
            _ if inside => {}
            b' ' if at > 0 => return Some(&text[at..]),
            _ => return None,
        }
    }
    (!inside && !text.is_empty()).then_some(b"")
}

/// Splits off the time stamp: one word, or three or four of the BSD form and of journalctl's long one.
fn split_stamp(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_month = |text: &[u8]| {
        text.first().is_some_and(u8::is_ascii_uppercase) && text.get(3) == Some(&b' ')
    };
    let words = match line.get(..5) {
        Some([b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b' '])
            if is_month(&line[5..]) =>
        {
            4
        }
        _ if is_month(line) && line.get(8) != Some(&b'-') => 3,
        // A weekday.
        _ if is_month(line) => 4,
        _ => 1,
    };
    let mut end = 0;
    for _ in 0..words {
        // The day is padded with a blank to two characters.
        end += line[end..].find_not_byteset(b" ")?;
        end += line[end..].find_byte(b' ')?;
    }
    // `warning: header Subject: …` is a message without an envelope.
    if line[..end].ends_with(b":") {
        return None;
    }
    Some((&line[..end], &line[end + 1..]))
}

/// `[ID 197553 mail.warning] `, which Solaris puts in front (syslogd(8), `msgid`).
fn without_message_id(message: &[u8]) -> &[u8] {
    let id = message.strip_prefix(b"[ID ").and_then(|rest| rest.split_once_str("] "));
    id.map_or(message, |(_, message)| message)
}

/// rsyslog's `$RepeatedMsgReduction`: `message repeated 3 times: [ … ]`.
fn repeats(message: &[u8]) -> Option<(u32, &[u8])> {
    let Some(rest) = message.strip_prefix(b"message repeated ") else { return Some((1, message)) };
    let (count, rest) = rest.split_once_str(" times: [")?;
    let message = rest.strip_suffix(b"]")?;
    let count = number(count).filter(|n| *n > 0)?;
    Some((count, message.trim_start_with(|c| c == ' ')))
}

/// What stands before and after the first `byte`. (bstr would build a searcher for it, which takes longer than the search.)
fn split_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    memchr::memchr(byte, text).map(|at| (&text[..at], &text[at + 1..]))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.first()?;
    digits.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let Some(e) = open(line.as_bytes()) else { return "-".into() };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let host = e.host.map_or("-".into(), text);
        format!(
            "{}|{host}|{}|{:?}|{}|{}",
            text(e.stamp),
            text(e.program),
            e.pid,
            e.repeated,
            text(e.message)
        )
    }

    #[test]
    fn every_framing_gives_the_same_parts() {
        for (line, parts) in [
            (
                "2026-11-21T07:11:22.2+00:00 vm postfix/smtpd[74]: a: b",
                "2026-11-21T07:11:22.2+00:00|vm|postfix/smtpd|Some(74)|1|a: b",
            ),
            (
                "Jun  1 00:00:45 vm postfix/smtpd[74]: a: b",
                "Jun  1 00:00:45|vm|postfix/smtpd|Some(74)|1|a: b",
            ),
            (
                "<22>Jun 01 00:00:45 vm postfix/smtpd[74]: a: b",
                "Jun 01 00:00:45|vm|postfix/smtpd|Some(74)|1|a: b",
            ),
            (
                "Thu 2026-11-26 00:30:46 UTC vm postfix/smtpd[74]: a: b",
                "Thu 2026-11-26 00:30:46 UTC|vm|postfix/smtpd|Some(74)|1|a: b",
            ),
            (
                "2025 Jun  1 00:00:45 vm dovecot: a: b",
                "2025 Jun  1 00:00:45|vm|dovecot|None|1|a: b",
            ),
            (
                "Jun  1 00:00:45 postfix/smtpd[74]: a: b",
                "Jun  1 00:00:45|-|postfix/smtpd|Some(74)|1|a: b",
            ),
            ("Jun  1 00:00:45 dovecot: a: b", "Jun  1 00:00:45|-|dovecot|None|1|a: b"),
            ("Jun  1 00:00:45 vm: dovecot:  a: b", "Jun  1 00:00:45|vm:|dovecot|None|1|a: b"),
            (
                // RSYSLOG_SyslogProtocol23Format
                "<20>1 2026-11-21T07:11:22Z vm postfix/smtpd 74 - -  a: b",
                "2026-11-21T07:11:22Z|vm|postfix/smtpd|Some(74)|1|a: b",
            ),
            (
                "<22>1 2026-11-21T07:11:22Z vm postfix/smtpd 74 - - a: b",
                "2026-11-21T07:11:22Z|vm|postfix/smtpd|Some(74)|1|a: b",
            ),
            (
                "1 2026-11-21T07:11:22Z - postfix/smtpd - - [x y=\"]\\\"\"][z] a",
                "2026-11-21T07:11:22Z|-|postfix/smtpd|None|1|a",
            ),
            (
                "Jun  1 00:00:45 vm p[7]: [ID 197553 mail.warning] a",
                "Jun  1 00:00:45|vm|p|Some(7)|1|a",
            ),
            (
                "Jun  1 00:00:45 vm p[7]: message repeated 3 times: [ a[b]]",
                "Jun  1 00:00:45|vm|p|Some(7)|3|a[b]",
            ),
        ] {
            assert_eq!(shown(line), parts);
        }
    }

    #[test]
    fn what_is_no_log_line_has_no_envelope() {
        for line in [
            "",
            "x",
            "Jun  1",
            "Jun  1 00:00:45 vm",
            "1 2 3 4 5",
            "a b c",
            "Jun  1 00:00:45 vm two words: x",
            "<22>",
            "warning: header Subject: x",
            "1 a b c d e [",
        ] {
            assert_eq!(shown(line), "-", "{line}");
        }
    }
}
