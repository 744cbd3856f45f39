//! An NDJSON record: members by their names, and text wherever else it stands.

use bstr::ByteSlice;
use mls_event::{BadRecord, Members, write_json};
use serde_json::value::RawValue;

use crate::anonymizer::Anonymizer;
use crate::class::Class;
use crate::text::LineContext;

/// What a member of any record holds.
#[derive(Clone, Copy)]
enum MemberContent {
    /// Nothing to hide.
    Facts,
    Name,
    User,
    Mechanism,
    Reason,
    /// In an alert, what its `kind` says.
    Key,
    /// Derived from the address, which it would reveal.
    Derived,
    /// A sentence with names and addresses in it.
    Sentence,
    /// Something that this version does not know: replaced where it looks like a name or an address.
    Anything,
}

fn holds(name: &str) -> MemberContent {
    match name {
        "v" | "type" | "date" | "service" | "pid" | "outcome" | "attempts" | "port" | "pos"
        | "queue_id" | "reverse_dns_status" | "country_code" => MemberContent::Facts,
        "server" | "client" | "hostname" | "ip" => MemberContent::Name,
        "user" => MemberContent::User,
        "mechanism" => MemberContent::Mechanism,
        "reason" => MemberContent::Reason,
        "key" => MemberContent::Key,
        "asn" | "aso" => MemberContent::Derived,
        "evidence" => MemberContent::Sentence,
        _ => MemberContent::Anything,
    }
}

/// Readers of JSON go little deeper (127, most of them), and each level is read anew: what is nested deeper becomes null.
const DEPTH: u8 = 100;

impl Anonymizer {
    /// Appends a record, given and written without its newline. Members keep their order; numbers, and what is null, stay.
    ///
    /// # Errors
    /// Where the line is no JSON object, or of a later version of the contract.
    pub fn record(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), BadRecord> {
        mls_event::kind(line)?;
        let members = Members::parse(line)?;
        let server = members
            .get("server")
            .and_then(|server| serde_json::from_str::<String>(server.get()).ok());
        let context = LineContext { host: server.as_deref().map(str::as_bytes), dovecot: false };
        self.object(&members, context, DEPTH, out);
        Ok(())
    }

    /// Appends a line of Docker's json-file driver, whose member `log` becomes `inside`.
    ///
    /// # Errors
    /// The line is not a JSON object.
    pub(crate) fn docker_members(
        &mut self,
        line: &[u8],
        inside: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), BadRecord> {
        let members = Members::parse(line)?;
        out.push(b'{');
        for (i, (name, value)) in members.as_slice().iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_json(out, name);
            out.push(b':');
            match &**name {
                "log" => write_json(out, inside),
                "time" | "stream" => out.extend_from_slice(value.get().as_bytes()),
                _ => {
                    let context = LineContext::default();
                    self.value(value.get(), MemberContent::Anything, context, DEPTH, out);
                }
            }
        }
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
            let holds = match holds(name) {
                MemberContent::Key => key,
                holds => holds,
            };
            if matches!(holds, MemberContent::Anything) {
                self.json_string(name, MemberContent::Anything, context, out);
            } else {
                write_json(out, name);
            }
            out.push(b':');
            match holds {
                MemberContent::Derived if !self.pseudonyms.keeps(Class::Asn) => {
                    out.extend_from_slice(b"null");
                }
                MemberContent::Sentence => out.extend_from_slice(b"null"),
                _ => self.value(value.get(), holds, context, depth, out),
            }
        }
        out.push(b'}');
    }

    /// What is no text is never read as anything else: a number of any size stays as it is written.
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
            MemberContent::Facts
            | MemberContent::Derived
            | MemberContent::Sentence
            | MemberContent::Anything
            | MemberContent::Key => {
                self.text(text.as_bytes(), context, &mut buffer);
            }
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
        // The words of `kind` and the numbers of `threshold` look like no name.
        let by_shape = ["kind", "threshold"];
        for name in [Auth::MEMBERS, Enrichment::MEMBERS, Alert::MEMBERS].concat() {
            let rule = holds(name);
            assert_eq!(matches!(rule, MemberContent::Anything), by_shape.contains(&name), "{name}");
        }
    }
}
