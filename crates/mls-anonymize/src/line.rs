//! Anonymizes a line of a raw log: the envelope, the fields that the parser reads from the message,
//! and the free text between them.

use bstr::ByteSlice;
use mls_event::{DOCKER_PART, clean};
use mls_parse::grammar::login_process;
use mls_parse::{envelope, pieces};

use crate::anonymizer::Anonymizer;
use crate::secrets;
use crate::text::{LineContext, name_in_parentheses};

type Replace = fn(&mut Anonymizer, &[u8], LineContext<'_>, &mut Vec<u8>);

/// The queue ID at the beginning of a message, in Postfix's short or long form.
fn queue_id(message: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b':', message)
        .filter(|end| (5..=20).contains(end) && message.get(end + 1) == Some(&b' '))?;
    let id = &message[..end];
    let hexadecimal = id.iter().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b));
    let long =
        end >= 10 && id.iter().all(u8::is_ascii_alphanumeric) && id.iter().any(u8::is_ascii_digit);
    (hexadecimal || long).then_some(id)
}

/// Whether Dovecot wrote the line, to syslog under any name or to its own log file.
fn is_dovecot(envelope: &envelope::Envelope<'_>) -> bool {
    let (program, message) = (envelope.program, envelope.message);
    program == b"dovecot"
        || !program.is_empty() && message.starts_with(program)
        || login_process(message).is_some()
}

impl Anonymizer {
    /// Appends a line, given without its newline.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if let Some(docker) = mls_parse::docker::DockerLine::parse(line) {
            return self.docker_line(line, &docker.log, out);
        }
        let Some(envelope) = envelope::open(line) else {
            return self.text(line, LineContext::default(), out);
        };
        // All parts of an envelope are slices of the line.
        let offset = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
        let message = match envelope.message {
            b"" => line.len()..line.len(),
            text => offset(text)..offset(text) + text.len(),
        };
        // The reason of a record is cleaned text, and may contain the host. So clean the host too,
        // as mls-parse does.
        let host = envelope.host.map(clean);
        let context = LineContext {
            host: host.as_deref().map(str::as_bytes),
            dovecot: is_dovecot(&envelope),
            in_query: false,
        };
        // In Dovecot's own log file, the message begins with the program.
        let head_end = (offset(envelope.program) + envelope.program.len()).min(message.start);
        let mut done = 0;
        let mut hosts: Vec<_> = envelope.outer_hosts.iter().copied().chain(envelope.host).collect();
        hosts.sort_by_key(|host| offset(host));
        for host in hosts {
            let start = offset(host);
            if start >= done && start + host.len() <= head_end {
                out.extend_from_slice(&line[done..start]);
                self.pseudonyms.host(clean(host).as_bytes(), out);
                done = start + host.len();
            }
        }
        out.extend_from_slice(&line[done..head_end]);
        let head = &line[head_end..message.start];
        if head.contains(&b'"') {
            self.structured_data(head, context, out);
        } else if head.starts_with(b"(") || head.starts_with(b"<") {
            // Only Dovecot writes `(USER)` or `<SESSION>` after the program.
            let context = LineContext { dovecot: true, ..context };
            let head = self.user_of_program(envelope.program, head, context, out);
            self.text(head, context, out);
        } else {
            out.extend_from_slice(head);
        }
        self.message(envelope.program, &line[message.clone()], context, out);
        out.extend_from_slice(&line[message.end..]);
    }

    /// Appends a line of Docker's json-file driver. Anonymizes the member `log` as a line of a log.
    /// Copies `time` and `stream`, and anonymizes the other members as unknown members.
    fn docker_line(&mut self, line: &[u8], log: &str, out: &mut Vec<u8>) {
        let (text, newline) = match log.strip_suffix('\n') {
            Some(text) => (text, "\n"),
            None => (log, ""),
        };
        let mut inside = Vec::with_capacity(2 * text.len());
        self.line(text.as_bytes(), &mut inside);
        if newline.is_empty() && text.len() >= DOCKER_PART {
            // mls-parse joins a next line only to a line of `DOCKER_PART` bytes: fill the line.
            inside.resize(inside.len().max(DOCKER_PART), b'?');
        }
        inside.extend_from_slice(newline.as_bytes());
        let start = out.len();
        if self.docker_members(line, &inside.to_str_lossy(), out).is_err() {
            // If `line` cannot be read as a JSON object, write none of its text.
            out.truncate(start);
            out.extend_from_slice(b"{}");
        }
    }

    /// Appends structured data (RFC 5424), which may contain addresses and host names. Separators
    /// and escapes do not change.
    fn structured_data(&mut self, mut data: &[u8], context: LineContext<'_>, out: &mut Vec<u8>) {
        while let Some(at) = data.find_byteset(b"\"\\[] ") {
            self.text(&data[..at], context, out);
            out.push(data[at]);
            data = &data[at + 1..];
        }
        self.text(data, context, out);
    }

    /// Appends the user name after a program: `imap(NAME): `. Returns the text after the name.
    fn user_of_program<'t>(
        &mut self,
        program: &[u8],
        text: &'t [u8],
        context: LineContext<'_>,
        out: &mut Vec<u8>,
    ) -> &'t [u8] {
        let Some(name) = name_in_parentheses(program, text, context) else { return text };
        out.extend_from_slice(&text[..name.start]);
        self.pseudonyms.user(&clean(&text[name.clone()]), out);
        &text[name.end..]
    }

    fn message(
        &mut self,
        program: &[u8],
        message: &[u8],
        context: LineContext<'_>,
        out: &mut Vec<u8>,
    ) {
        let mut done = 0;
        if self.queue_ids
            && let Some(id) = queue_id(message)
        {
            self.pseudonyms.queue_id(id, out);
            done = id.len();
        }
        let Some(pieces) = pieces(program, message) else {
            let mut text = &message[done..];
            // In Dovecot's own log file, the message begins with the program, which stays.
            if let Some(rest) = text.strip_prefix(program)
                && !program.is_empty()
                && rest.first().is_some_and(|byte| b"(<[:".contains(byte))
            {
                out.extend_from_slice(program);
                text = self.user_of_program(program, rest, context, out);
            }
            return self.message_text(text, context, out);
        };
        let offset = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(message.as_ptr() as usize);
        let untrusted = offset(pieces.untrusted);
        out.extend_from_slice(&message[done..untrusted]);
        done = untrusted;
        let user: Replace = |names, name, _, out| names.pseudonyms.user(&clean(name), out);
        let fields: [(Replace, _); 5] = [
            (
                |names, name, _, out| names.pseudonyms.host(clean(name).as_bytes(), out),
                pieces.client,
            ),
            (Self::address, pieces.address),
            (|names, name, _, out| names.mechanism(&clean(name), out), pieces.mechanism),
            (user, pieces.user),
            (|names, text, context, out| names.reason(&clean(text), context, out), pieces.reason),
        ];
        let fields = fields.into_iter().filter_map(|(replace, text)| Some((replace, text?, text?)));
        // Dovecot writes the whole user name after `proxy(`, but can cut the name in `user=<…>`.
        // Both names get the pseudonym of the name in `user=<…>`.
        let proxied = pieces.proxied_user.and_then(|name| Some((user, name, pieces.user?)));
        let mut fields: Vec<_> = fields.chain(proxied).collect();
        fields.sort_by_key(|(_, place, _)| offset(place));
        for (replace, place, text) in fields {
            self.message_text(&message[done..offset(place)], context, out);
            replace(self, text, context, out);
            done = offset(place) + place.len();
        }
        self.message_text(&message[done..], context, out);
    }

    /// Appends free text of a message. mls-parse reads Dovecot's address after the last ` rip=` of
    /// the message, so the last ` rip=` of the text is copied. If the text contains a secret,
    /// ` rip=` can be part of the secret. In this case ` rip=` is copied only at the end of the
    /// text, because there the address follows it.
    fn message_text(&mut self, mut text: &[u8], context: LineContext<'_>, out: &mut Vec<u8>) {
        if context.dovecot
            && let Some((before, after)) = text.rsplit_once_str(" rip=")
            && (after.is_empty() || secrets::find(text, 0).is_none())
        {
            self.text(before, context, out);
            out.extend_from_slice(b" rip=");
            text = after;
        }
        self.text(text, context, out);
    }

    fn address(&mut self, text: &[u8], _: LineContext<'_>, out: &mut Vec<u8>) {
        let (before, address) = text.split_at(if text.starts_with(b"IPv6:") { 5 } else { 0 });
        out.extend_from_slice(before);
        self.pseudonyms.host(address, out);
    }
}
