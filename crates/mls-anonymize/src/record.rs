//! An NDJSON record: members by their names, and text wherever else it stands.

use bstr::ByteSlice;
use mls_event::{BadRecord, Members};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::anonymizer::Anonymizer;
use crate::class::Class;
use crate::text::Context;

/// What a member of any record holds.
#[derive(Clone, Copy)]
enum Holds {
    /// Nothing to hide.
    Facts,
    Name,
    User,
    Mechanism,
    Reason,
    /// In an alert, what its `kind` says.
    Key,
    /// What was derived from the address, and would tell it.
    Derived,
    /// Something that this version does not know: replaced where it looks like a name or an address.
    Anything,
}

fn holds(name: &str) -> Holds {
    match name {
        "v" | "type" | "date" | "service" | "pid" | "outcome" | "attempts" | "port" | "pos" | "reverse_dns_status"
        | "country_code" => Holds::Facts,
        "server" | "client" | "hostname" | "ip" => Holds::Name,
        "user" => Holds::User,
        "mechanism" => Holds::Mechanism,
        "reason" => Holds::Reason,
        "key" => Holds::Key,
        "asn" | "aso" => Holds::Derived,
        _ => Holds::Anything,
    }
}

impl Anonymizer {
    /// Appends a record, given and written without its newline. Members keep their order; numbers, and what is null, stay.
    ///
    /// # Errors
    /// Where the line is no JSON object, or of a later version of the contract.
    pub fn record(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), BadRecord> {
        mls_event::kind(line)?;
        let members = Members::parse(line)?;
        let server = members.get("server").and_then(|server| serde_json::from_str::<String>(server.get()).ok());
        let context = Context { host: server.as_deref().map(str::as_bytes), dovecot: false };
        let key = match members.get("kind").map(RawValue::get) {
            Some("\"user\"") => Holds::User,
            Some("\"ip\"") => Holds::Name,
            _ => Holds::Anything,
        };
        out.push(b'{');
        for (i, (name, value)) in members.as_slice().iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            let holds = match holds(name) {
                Holds::Key => key,
                holds => holds,
            };
            if matches!(holds, Holds::Anything) {
                self.json_string(name, Holds::Anything, context, out);
            } else {
                write_json(out, name);
            }
            out.push(b':');
            match holds {
                Holds::Derived if !self.pseudonyms.keeps(Class::Asn) => out.extend_from_slice(b"null"),
                Holds::Facts | Holds::Derived => out.extend_from_slice(value.get().as_bytes()),
                _ if !value.get().starts_with(['"', '[', '{']) => out.extend_from_slice(value.get().as_bytes()),
                _ => {
                    // What is nested deeper than JSON readers go is nothing that anybody reads.
                    let value = serde_json::from_str(value.get()).unwrap_or_default();
                    self.value(&value, holds, context, out);
                }
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn value(&mut self, value: &Value, member: Holds, context: Context<'_>, out: &mut Vec<u8>) {
        match value {
            Value::String(text) => self.json_string(text, member, context, out),
            Value::Array(values) => {
                out.push(b'[');
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    self.value(value, member, context, out);
                }
                out.push(b']');
            }
            Value::Object(members) => {
                out.push(b'{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    self.json_string(name, Holds::Anything, context, out);
                    out.push(b':');
                    self.value(value, holds(name), context, out);
                }
                out.push(b'}');
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => write_json(out, value),
        }
    }

    fn json_string(&mut self, text: &str, member: Holds, context: Context<'_>, out: &mut Vec<u8>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        match member {
            Holds::Facts => buffer.extend_from_slice(text.as_bytes()),
            Holds::Name => self.pseudonyms.host(text.as_bytes(), &mut buffer),
            Holds::User => self.pseudonyms.user(text, &mut buffer),
            Holds::Mechanism => self.mechanism(text, &mut buffer),
            Holds::Reason => self.reason(text, context, &mut buffer),
            Holds::Derived => self.pseudonyms.text(Class::Asn, text.as_bytes(), &mut buffer),
            Holds::Anything | Holds::Key => self.text(text.as_bytes(), context, &mut buffer),
        }
        write_json(out, &buffer.to_str_lossy());
        self.buffer = buffer;
    }
}

/// Writing to memory cannot fail, and neither can these types.
fn write_json(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}
