//! Anonymizes an NDJSON record: known members by their names, other text by its shape.

use bstr::ByteSlice;
use mls_event::{BadRecord, Members, write_json};
use serde_json::value::RawValue;

use crate::anonymizer::Anonymizer;
use crate::class::Class;
use crate::text::LineContext;

#[derive(Clone, Copy)]
enum MemberContent {
    /// Data that identifies nobody.
    Facts,
    Name,
    User,
    Mechanism,
    Reason,
    /// Computed from the address (`asn`, `aso`), so it would reveal the address.
    Derived,
    /// A sentence that contains names and addresses. It becomes null.
    Sentence,
    /// An unknown member: its text is replaced if it looks like a name or an address.
    Anything,
}

/// The content of the member `name`. For the member `key` of an alert, it is the argument `key`: an
/// address or a user name, depending on the member `kind`.
fn content_of(name: &str, key: MemberContent) -> MemberContent {
    match name {
        "v" | "type" | "date" | "service" | "pid" | "outcome" | "attempts" | "port" | "pos"
        | "queue_id" | "reverse_dns_status" | "country_code" => MemberContent::Facts,
        "server" | "client" | "hostname" | "ip" => MemberContent::Name,
        "user" => MemberContent::User,
        "mechanism" => MemberContent::Mechanism,
        "reason" => MemberContent::Reason,
        "key" => key,
        "asn" | "aso" => MemberContent::Derived,
        "evidence" => MemberContent::Sentence,
        _ => MemberContent::Anything,
    }
}

/// The limit of nesting; deeper values become null. Most JSON readers allow 127 levels. Each level is
/// parsed again here, so deep nesting costs time.
const DEPTH: u8 = 100;

impl Anonymizer {
    /// Appends the anonymized record, without a newline. `line` has no newline. Members keep their
    /// order. Numbers and null do not change.
    ///
    /// # Errors
    /// The line is not a JSON object, or it has a later version of the contract.
    pub fn record(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), BadRecord> {
        mls_event::kind(line)?;
        let members = Members::parse(line)?;
        let server = members
            .get("server")
            .and_then(|server| serde_json::from_str::<String>(server.get()).ok());
        let context =
            LineContext { host: server.as_deref().map(str::as_bytes), ..LineContext::default() };
        self.object(&members, context, DEPTH, out);
        Ok(())
    }

    /// Appends a line of Docker's json-file driver, with `inside` as the text of the member `log`.
    /// Fails if the line is not a JSON object.
    pub(crate) fn docker_members(
        &mut self,
        line: &[u8],
        inside: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), BadRecord> {
        Members::parse(line)?.write_values(out, |name, value, out| match name {
            "log" => write_json(out, inside),
            "time" | "stream" => out.extend_from_slice(value.as_bytes()),
            _ => self.value(value, MemberContent::Anything, LineContext::default(), DEPTH, out),
        });
        out.push(b'}');
        Ok(())
    }

    fn object(
        &mut self,
        members: &Members<'_>,
        context: LineContext<'_>,
        depth: u8,
        out: &mut Vec<u8>,
    ) {
        let key = match members.get("kind").map(RawValue::get) {
            Some("\"user\"" | "\"guessed\"" | "\"spread\"" | "\"targeted\"") => MemberContent::User,
            Some("\"ip\"") => MemberContent::Name,
            _ => MemberContent::Anything,
        };
        out.push(b'{');
        for (i, (name, value)) in members.as_slice().iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            let held = content_of(name, key);
            if matches!(held, MemberContent::Anything) {
                self.json_string(name, MemberContent::Anything, context, out);
            } else {
                write_json(out, name);
            }
            out.push(b':');
            match held {
                MemberContent::Derived if !self.pseudonyms.keeps(Class::Asn) => {
                    out.extend_from_slice(b"null");
                }
                MemberContent::Sentence => out.extend_from_slice(b"null"),
                _ => self.value(value.get(), held, context, depth, out),
            }
        }
        out.push(b'}');
    }

    /// Appends a value. Numbers are copied, not parsed, so that a number of any size stays the same.
    fn value(
        &mut self,
        json: &str,
        member: MemberContent,
        context: LineContext<'_>,
        depth: u8,
        out: &mut Vec<u8>,
    ) {
        let read = match (json.as_bytes(), depth.checked_sub(1)) {
            ([b'"', ..], _) if !matches!(member, MemberContent::Facts | MemberContent::Derived) => {
                serde_json::from_str(json)
                    .map(|text: String| self.json_string(&text, member, context, out))
            }
            ([b'[', ..], Some(depth)) => {
                serde_json::from_str(json).map(|values: Vec<&RawValue>| {
                    out.push(b'[');
                    for (i, value) in values.into_iter().enumerate() {
                        if i > 0 {
                            out.push(b',');
                        }
                        self.value(value.get(), member, context, depth, out);
                    }
                    out.push(b']');
                })
            }
            ([b'{', ..], Some(depth)) => serde_json::from_str(json)
                .map(|members: Members<'_>| self.object(&members, context, depth, out)),
            ([b'[' | b'{', ..], None) => return out.extend_from_slice(b"null"),
            _ => return out.extend_from_slice(json.as_bytes()),
        };
        if read.is_err() {
            out.extend_from_slice(b"null");
        }
    }

    fn json_string(
        &mut self,
        text: &str,
        member: MemberContent,
        context: LineContext<'_>,
        out: &mut Vec<u8>,
    ) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        match member {
            MemberContent::Name => self.pseudonyms.host(text.as_bytes(), &mut buffer),
            MemberContent::User => self.pseudonyms.user(text, &mut buffer),
            MemberContent::Mechanism => self.mechanism(text, &mut buffer),
            MemberContent::Reason => self.reason(text, context, &mut buffer),
            _ => self.text(text.as_bytes(), context, &mut buffer),
        }
        write_json(out, &buffer.to_str_lossy());
        self.buffer = buffer;
    }
}

#[cfg(test)]
mod tests {
    use mls_event::{Alert, Auth, Enrichment};

    use super::*;

    #[test]
    fn every_member_of_the_contract_has_a_rule() {
        // No rule for `kind` and `threshold`: their words and numbers do not look like names.
        let by_shape = ["kind", "threshold"];
        for name in [Auth::MEMBERS, Enrichment::MEMBERS, Alert::MEMBERS].concat() {
            let rule = content_of(name, MemberContent::Name);
            assert_eq!(matches!(rule, MemberContent::Anything), by_shape.contains(&name), "{name}");
        }
    }
}
