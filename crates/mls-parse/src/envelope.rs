//! The envelope of a message in a log: time stamp, host and program. Every tool that reads log lines
//! uses this module.
//!
//! `open` finds the message in a line of any of these forms. [`stamp`] lists the forms of stamps.
//!
//! | writer | example |
//! |---|---|
//! | rsyslog, sysklogd, syslog-ng, journalctl | `Jun  1 00:00:45 vm postfix/smtpd[7491]: …` |
//! | the same without a host, also in Postfix's `maillog_file` | `Jun  1 00:00:45 postfix/smtpd[7491]: …` |
//! | with a priority | `<22>Jun  1 00:00:45 vm …`, `<22> Jun  1 …` |
//! | FreeBSD's syslogd `-v` | `Jun  1 00:00:45 <mail.warn> vm postfix/smtpd[7491]: …` |
//! | busybox syslogd, `OpenWrt`'s logread | `Jun  1 00:00:45 vm mail.warn postfix/smtpd[7491]: …` |
//! | socklog, svlogd | `@400000006745d6a2… mail.info: Jun  1 00:00:45 postfix/smtpd[7491]: …` |
//! | docker-postfix | `2026-11-21T07:11:22+00:00 INFO    postfix/smtpd[7491]: …` |
//! | RFC 5424 | `1 2026-11-21T07:11:22Z vm postfix/smtpd 7491 - - …` |
//! | Dovecot's `log_path` and `info_log_path` | `Jun  1 00:00:45 imap-login: Info: …`, `… imap(USER)<812><SESSION>: Info: …` |
//! | Dovecot's log files before version 2 | `dovecot: Jun 01 00:00:45 Info: imap-login: …` |
//! | Docker's syslog driver: a line inside a line | `Jun  1 00:00:45 vm 3f2a9c01b7de[812]: Jun  1 00:00:45 mx postfix/smtpd[7491]: …` |
//! | Kubernetes (CRI) | `2026-11-21T07:11:22.1Z stdout F Jun  1 00:00:45 mx postfix/smtpd[7491]: …` |
//! | Docker's syslog driver, if the container's lines have no stamps | `Jun  1 00:00:45 vm 3f2a9c01b7de[812]: postfix/smtpd[7491]: …` |
//! | `docker compose logs`, with or without `-t` and colours | `postfix-1  \| Jun  1 00:00:45 mx postfix/smtpd[7491]: …` |
//! | `docker service logs`, `kubectl logs --prefix` | `mail.1.x7k2@node1 \| …`, `[pod/mail-0/postfix] …` |
//! | metalog | `Jun  1 00:00:45 [postfix/smtpd] …` |
//! | AIX | `Jun  1 00:00:45 vm mail:warn\|warning postfix/smtpd[7491]: …` |
//! | RFC 6587, octet counting | `133 <22>1 2026-11-21T07:11:22Z …` |
//! | Docker's json-file | see [`docker`](crate::docker) |
//!
//! An envelope may contain another envelope, up to [`MAX_DEPTH`] levels. The host, program and
//! process of the innermost envelope count. A container often has another time zone than its host.
//! So the innermost stamp with a zone or with seconds since 1970 counts, else the innermost stamp.
//! A line in the envelope of a container needs no stamp.
//!
//! From the message, rsyslog's `message repeated 3 times: [ … ]` is removed. At the beginning of a
//! line, blanks, a byte order mark and NUL bytes are skipped. (A file has NUL bytes if it was
//! truncated while its writer kept the offset.) Before the message, tabs count as blanks.
//!
//! # What can be forged
//! A message of a program may be a whole log line, because containers log this way and can have any
//! name. If a program other than Postfix and Dovecot begins its messages with text from the
//! network, an attacker can forge a line of a mail server through this program.

mod header;

use bstr::ByteSlice;
use mls_event::ContainerStream;

use crate::stamp;

pub use header::is_facility_and_level;
use header::{
    Header, header, is_level, is_mail_server, metalog, next_word, split_blank, split_byte, tagged,
    trim_spaces,
};
pub(crate) use header::{has_dovecot_level, is_in_process_name, number};

/// The parts of one log line. The stamp and the message are not parsed yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The text of the time stamp, for [`Clock`](crate::clock::Clock); `None` if there is no stamp.
    pub stamp: Option<&'a [u8]>,
    /// The host field.
    pub host: Option<&'a [u8]>,
    /// The host fields and names of containers in outer envelopes, the outermost first.
    pub outer_hosts: Vec<&'a [u8]>,
    /// The program name, without the user and session that may follow. In a log file that Dovecot
    /// writes itself, this is the process, such as `imap-login`.
    pub program: &'a [u8],
    /// The process ID of the program.
    pub pid: Option<u32>,
    /// How often the message was logged: 3 for `message repeated 3 times: [ … ]`.
    pub repeated: u32,
    /// The message. In a log file that Dovecot writes itself, it begins with the process and the
    /// level: `imap-login: Info: …`.
    pub message: &'a [u8],
}

/// The largest number of envelopes around the innermost envelope.
pub const MAX_DEPTH: usize = 4;

/// Splits a line, without its newline, into its parts.
#[must_use]
pub fn open(line: &[u8]) -> Option<Envelope<'_>> {
    common(line).or_else(|| open_inside(line, Outside::default(), MAX_DEPTH))
}

/// Opens `STAMP HOST PROGRAM[PID]: MESSAGE` of a mail server, the form of almost every line about a
/// login. For all other forms that [`open_inside`] knows, returns `None`. `open_inside` takes four
/// times as long.
fn common(line: &[u8]) -> Option<Envelope<'_>> {
    let is_plain = line.first()?.is_ascii_alphanumeric() && !line.ends_with(b"\r");
    let (stamp, text) = stamp::split(line).filter(|_| is_plain)?;
    let (host, rest) = split_blank(text)?;
    let is_host =
        host.first()?.is_ascii_alphabetic() && !host.ends_with(b":") && !is_level(host, false);
    let header = tagged(Some(host), rest).filter(|header| {
        is_host && header.pid.is_some() && is_mail_server(header.program) && cri(text).is_none()
    })?;
    finish(&header, Outside { stamp: Some(stamp), ..Outside::default() })
}

/// Parses a message of `program` that may be a whole log line: Docker's syslog and journald drivers
/// write such messages. A message of Postfix or Dovecot is never read as a log line.
pub(crate) fn open_message<'a>(
    program: &[u8],
    message: &'a [u8],
    in_container: bool,
) -> Option<Envelope<'a>> {
    if is_mail_server(program) || !(in_container || may_be_a_line(message)) {
        return None;
    }
    let outside = Outside { in_container, ..Outside::default() };
    open_inside(message, outside, MAX_DEPTH - 1)
}

/// The data of the outer envelopes.
#[derive(Clone, Debug, Default)]
struct Outside<'a> {
    stamp: Option<&'a [u8]>,
    /// Hosts and names of containers.
    hosts: Vec<&'a [u8]>,
    /// The innermost host.
    host: Option<&'a [u8]>,
    /// Whether the line is the output of a container. Such a line needs no stamp.
    in_container: bool,
}

impl<'a> Outside<'a> {
    /// Replaces the stamp by `inner`, except if the stamp is absolute and `inner` is not.
    fn add_stamp(&mut self, inner: &'a [u8]) {
        if !self.stamp.is_some_and(stamp::is_absolute) || stamp::is_absolute(inner) {
            self.stamp = Some(inner);
        }
    }
}

/// The result of removing one envelope from a line.
enum Layer<'a> {
    /// The rest of the line. Another envelope must follow in the rest.
    Around(&'a [u8]),
    /// The envelope names a program. The message of the program may be another line.
    Program(Header<'a>),
}

fn open_inside<'a>(
    line: &'a [u8],
    mut outside: Outside<'a>,
    mut depth: usize,
) -> Option<Envelope<'a>> {
    let mut rest = trim_front(line.strip_suffix(b"\r").unwrap_or(line));
    loop {
        match layer(rest, &mut outside)? {
            Layer::Around(inner) => {
                depth = depth.checked_sub(1)?;
                rest = trim_front(inner);
            }
            Layer::Program(header) => {
                if depth == 0 || is_mail_server(header.program) {
                    return finish(&header, outside);
                }
                let has_stamp = may_be_a_line(header.message);
                if has_stamp || begins_with_a_server(header.message) {
                    let mut outside = outside.clone();
                    // A container's line without a stamp gets the stamp of its envelope.
                    outside.in_container = !has_stamp;
                    outside.host = header.host.or(outside.host);
                    outside.hosts.extend(header.host);
                    if let Some(inner) = open_inside(header.message, outside, depth - 1) {
                        return Some(inner);
                    }
                }
                return finish(&header, outside);
            }
        }
    }
}

/// Skips NUL bytes, blanks, tabs, a byte order mark, and the escape sequences of colours.
fn trim_front(mut text: &[u8]) -> &[u8] {
    loop {
        match text {
            [0 | b' ' | b'\t', rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] => text = rest,
            [b'\x1b', b'[', rest @ ..] => {
                let is_parameter = |byte: &&u8| byte.is_ascii_digit() || **byte == b';';
                let parameters = rest.iter().take_while(is_parameter).count();
                let Some((b'm', rest)) = rest[parameters..].split_first() else { return text };
                text = rest;
            }
            _ => return text,
        }
    }
}

/// Whether a message may be a whole log line. For most messages, this cheap check avoids the full
/// parsing.
fn may_be_a_line(message: &[u8]) -> bool {
    stamp::split(trim_front(without_priority(message))).is_some()
        || facility_and_rest(message).is_some()
}

/// Whether a message begins with the tag of a mail server: `postfix/smtpd[7491]: …`, `dovecot: …`.
/// Docker's syslog driver writes such messages for a container whose lines have no stamps.
fn begins_with_a_server(message: &[u8]) -> bool {
    tagged(None, trim_front(message)).is_some_and(|header| {
        let is_postfix = header.pid.is_some() && header.program.contains(&b'/');
        is_mail_server(header.program) && (is_postfix || header.program == b"dovecot")
    })
}

fn layer<'a>(line: &'a [u8], outside: &mut Outside<'a>) -> Option<Layer<'a>> {
    let line = without_priority(without_length(line));
    if let Some(line) = line.strip_prefix(b"1 ") {
        return rfc5424(line, outside).map(Layer::Program);
    }
    if let Some((name, inner)) = compose(line).or_else(|| kubectl(line)) {
        outside.hosts.push(name);
        outside.in_container = true;
        return Some(Layer::Around(inner));
    }
    let Some((stamp, rest)) = stamp::split(without_master(line)) else {
        return without_stamp(line, outside);
    };
    outside.add_stamp(stamp);
    if let Some(inner) = cri(rest) {
        outside.in_container = true;
        return Some(Layer::Around(inner.text));
    }
    if let Some(inner) = facility_and_rest(rest) {
        return Some(Layer::Around(inner));
    }
    if let Some(header) = metalog(rest) {
        return Some(Layer::Program(header));
    }
    if stamp::split(without_priority(trim_front(rest))).is_some() {
        outside.in_container = true;
        return Some(Layer::Around(rest));
    }
    header(without_level(stamp, rest)).map(Layer::Program)
}

/// Removes `dovecot: ` from `dovecot: STAMP Info: …`. In log files that Dovecot before version 2
/// wrote itself, each line begins with this name of the master process.
fn without_master(line: &[u8]) -> &[u8] {
    let inner = line
        .strip_prefix(b"dovecot: ")
        .filter(|inner| stamp::split(inner).is_some_and(|(_, message)| has_dovecot_level(message)));
    inner.unwrap_or(line)
}

/// Removes a level such as `mail.info` after a stamp that ends in a year. The logread of `OpenWrt`
/// writes such lines, without a host.
fn without_level<'a>(stamp: &[u8], rest: &'a [u8]) -> &'a [u8] {
    match next_word(rest) {
        Some((level, after)) if stamp::ends_in_a_year(stamp) && is_facility_and_level(level) => {
            after
        }
        _ => rest,
    }
}

/// Reads an envelope without a stamp. Only socklog and containers write such lines.
fn without_stamp<'a>(line: &'a [u8], outside: &Outside<'a>) -> Option<Layer<'a>> {
    if let Some(inner) = facility_and_rest(line) {
        return Some(Layer::Around(inner));
    }
    let header = header(line).filter(|header| header.host.is_none())?;
    (outside.in_container || outside.stamp.is_some()).then_some(Layer::Program(header))
}

fn finish<'a>(header: &Header<'a>, outside: Outside<'a>) -> Option<Envelope<'a>> {
    let Header { host, program, pid, message } = *header;
    if program.is_empty() || program.contains(&b' ') {
        return None;
    }
    // rsyslog's own template for RFC 5424 writes a blank before the message, which also begins with
    // a blank.
    let message = trim_spaces(message);
    let (repeated, message) = without_repetition(without_message_id(message))?;
    let host = host.filter(|host| !host.is_empty() && *host != b"-");
    let Outside { stamp, hosts: mut outer_hosts, host: outer_host, .. } = outside;
    // If the innermost envelope has no host, take the host of the outer envelope.
    let host = host.or(outer_host);
    outer_hosts.retain(|outer| !host.is_some_and(|host| std::ptr::eq(*outer, host)));
    Some(Envelope { stamp, host, outer_hosts, program, pid, repeated, message })
}

/// Removes a priority such as `<22>`, and a blank after it (RFC 3164 section 4.1.1).
fn without_priority(line: &[u8]) -> &[u8] {
    let priority = line.strip_prefix(b"<").and_then(|rest| split_byte(rest, b'>'));
    match priority {
        Some((digits, rest))
            if (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) =>
        {
            rest.strip_prefix(b" ").unwrap_or(rest)
        }
        _ => line,
    }
}

/// Removes the length from `LENGTH <22>…` (RFC 6587 section 3.4.1).
fn without_length(line: &[u8]) -> &[u8] {
    match split_byte(line, b' ') {
        Some((digits, rest)) if number(digits).is_some() && rest.starts_with(b"<") => rest,
        _ => line,
    }
}

/// Reads `TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG` (RFC 5424 section 6).
fn rfc5424<'a>(line: &'a [u8], outside: &mut Outside<'a>) -> Option<Header<'a>> {
    let mut fields = line.splitn_str(6, " ");
    let (stamp, host, program) = (fields.next()?, fields.next()?, fields.next()?);
    let (pid, _message_id, rest) = (fields.next()?, fields.next()?, fields.next()?);
    if stamp != b"-" {
        outside.add_stamp(stamp::split(stamp)?.0);
    }
    let rest = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => after_structured_data(rest)?,
    };
    let message = trim_spaces(rest);
    let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
    Some(Header { host: Some(host), program, pid: number(pid), message })
}

/// Returns the text after `[id name="value" …][id …]`. Inside values, `"`, `\` and `]` are escaped.
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

/// Splits `[pod/POD/CONTAINER] …` into the name and the text after it.
fn kubectl(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, inner) = line.strip_prefix(b"[pod/")?.split_once_str("] ")?;
    (!name.contains(&b' ')).then_some((name, inner))
}

/// Splits `NAME-1  | …` into the name of a container and the text after `| `. For a task of a
/// swarm, the name is `NAME.1.ID@NODE`.
fn compose(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_part =
        |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'-' | b'_' | b'.' | b'@');
    let name = line.iter().take_while(is_part).count();
    let rest = trim_spaces(&line[name..]);
    let padding = line.len() - rest.len() - name;
    let inner = rest.strip_prefix(b"|")?;
    (name > 0 && padding > 0).then(|| (&line[..name], inner.strip_prefix(b" ").unwrap_or(inner)))
}

pub(crate) struct CriText<'a> {
    pub(crate) stream: ContainerStream,
    pub(crate) text: &'a [u8],
}

/// Reads the text after the stamp in a log of the Kubernetes Container Runtime Interface: `stdout F
/// …`. The first tag is `P` or `F`. More tags can follow after colons.
pub(crate) fn cri(rest: &[u8]) -> Option<CriText<'_>> {
    let (stream, rest) = split_byte(rest, b' ')?;
    let stream = ContainerStream::of_name(stream)?;
    let (tags, text) = split_byte(rest, b' ')?;
    let first = tags.split(|byte| *byte == b':').next()?;
    matches!(first, b"F" | b"P").then_some(CriText { stream, text })
}

/// Returns the text after `mail.info: ` in a line of socklog. If another machine has sent the line,
/// the address of this machine comes before `mail.info: `.
fn facility_and_rest(text: &[u8]) -> Option<&[u8]> {
    let (word, rest) = split_byte(text, b' ')?;
    if is_facility_and_level(word.strip_suffix(b":")?) {
        return Some(rest);
    }
    let sender = word.strip_suffix(b":")?.to_str().ok()?;
    let (word, rest) = split_byte(rest, b' ')?;
    let follows = sender.parse::<std::net::IpAddr>().is_ok()
        && is_facility_and_level(word.strip_suffix(b":")?);
    follows.then_some(rest)
}

/// Removes `[ID 197553 mail.warning] `, which Solaris writes before a message (syslogd(8),
/// `msgid`).
fn without_message_id(message: &[u8]) -> &[u8] {
    let id = message.strip_prefix(b"[ID ").and_then(|rest| rest.split_once_str("] "));
    id.map_or(message, |(_, message)| message)
}

/// Reads `message repeated 3 times: [ … ]`, which rsyslog writes with `$RepeatedMsgReduction`.
/// Returns the number of repetitions (1 for other messages) and the message.
fn without_repetition(message: &[u8]) -> Option<(u32, &[u8])> {
    let Some(rest) = message.strip_prefix(b"message repeated ") else { return Some((1, message)) };
    let (count, rest) = rest.split_once_str(" times: [")?;
    let message = rest.strip_suffix(b"]")?;
    let count = number(count).filter(|n| *n > 0)?;
    Some((count, trim_spaces(message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_line_is_opened() {
        for line in [
            "2026-06-01T00:00:45.842540+00:00 mx1 postfix/smtpd[7]: warning: x",
            "Jun  1 00:00:45 mail.example.com postfix-in/submission/smtpd[7]: x",
            "Jun  1 00:00:45 mx dovecot[7]: imap-login: Login: user=<a>",
        ] {
            assert!(common(line.as_bytes()).is_some(), "{line}");
        }
    }

    proptest::proptest! {
        /// For any line, `common` returns `None` or the same result as `open_inside`.
        #[test]
        fn the_fast_path_for_common_lines_agrees_with_the_general_reader(
            stamp in "Jun  1 00:00:45|2026-06-01T00:00:45Z|Mon Jun  1 00:00:45 2026|1795245082[.]2|@400000006745d6a2|x|",
            parts in "( |\t|  |mx|mail.info|mail.info:|INFO|jun|stdout|stderr|F|P|1|<22>|postfix/smtpd|smtpd|dovecot|imap-login|cron|P:|F:|/smtpd|\\[7\\]:|\\[7\\]|:|: |Info: |warning: |x|\\||\r|message repeated 3 times: \\[ x\\]|2026-06-01T00:00:45Z|Jun  1 00:00:45|\u{feff}){0,10}",
        ) {
            for line in [format!("{stamp}{parts}"), format!("{stamp} mx {parts}"), format!("{stamp} {parts} postfix/smtpd[7]: {parts}")] {
                let line = line.as_bytes();
                if let Some(found) = common(line) {
                    let other = open_inside(line, Outside::default(), MAX_DEPTH);
                    proptest::prop_assert_eq!(Some(found), other, "{:?}", bstr::BStr::new(line));
                }
            }
        }
    }
}
