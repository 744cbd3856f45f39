//! The JSON Schema of the records, for programs that read them.
//!
//! The code that reads and writes `auth` and `alert` is generated from tables. Their schemas are
//! generated from the same tables. A schema allows members and record types that this version does
//! not know, as the contract does.

use serde_json::{Map, Value, json};

use crate::{Alert, Auth, Begin, Body, Checkpoint, End, Gap, Segment, VERSION};

/// The schema of one line of a stream (JSON Schema, draft 2020-12). `$defs` holds the schema of each
/// record type under its name.
#[must_use]
pub fn document() -> Value {
    let types = [
        (Auth::KIND, Object::of(Auth::describe)),
        (Alert::KIND, Object::of(Alert::describe)),
        (Begin::KIND, Object::of(|begin| begin.member("base", natural(0), true))),
        (Segment::KIND, Object::of(segment)),
        (Gap::KIND, Object::of(gap)),
        (Checkpoint::KIND, Object::of(|checkpoint| checkpoint.member("cursor", json!({}), true))),
        (End::KIND, Object::of(|_| {})),
    ];
    let is = |kind: &str| {
        json!({
            "if": {"properties": {"type": {"const": kind}}},
            "then": {"$ref": format!("#/$defs/{kind}")},
        })
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "MailLogSentinel record",
        "description": "One line of a stream. mls-event(5) explains the members.",
        "type": "object",
        "properties": {"v": {"const": VERSION}, "type": {"type": "string"}},
        "required": ["v", "type"],
        "allOf": types.iter().map(|(kind, _)| is(kind)).collect::<Vec<_>>(),
        "$defs": types.into_iter().map(|(kind, object)| (kind.to_owned(), object.into_schema())).collect::<Map<_, _>>(),
    })
}

fn segment(segment: &mut Object) {
    segment.member("source", text(), true);
    segment.member("generation", text(), true);
    segment.member("offset", natural(0), true);
    segment.member("length", natural(1), true);
    segment.member("mtime", json!({"type": "string", "format": "date-time"}), true);
    segment.member("before", text(), false);
}

fn gap(gap: &mut Object) {
    gap.member("source", text(), true);
    gap.member("generation", json!({"type": ["string", "null"]}), true);
    gap.member(
        "offset",
        json!({"type": ["integer", "null"], "minimum": 0, "maximum": u64::MAX}),
        true,
    );
    gap.member("reason", text(), true);
}

fn text() -> Value {
    json!({"type": "string"})
}

fn natural(minimum: u64) -> Value {
    json!({"type": "integer", "minimum": minimum, "maximum": u64::MAX})
}

/// The schema of a record type while its members are added.
#[derive(Default)]
pub(crate) struct Object {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    dependent: Map<String, Value>,
}

impl Object {
    fn of(describe: impl FnOnce(&mut Self)) -> Self {
        let mut object = Self::default();
        describe(&mut object);
        object
    }

    /// Adds a member. An optional member is omitted if it has no value, so it is never null.
    pub(crate) fn member(&mut self, name: &'static str, mut schema: Value, is_required: bool) {
        if is_required {
            self.required.push(name);
        } else if let Some(kind) = schema["type"][0].as_str() {
            schema["type"] = kind.into();
        }
        self.properties.insert(name.to_owned(), schema);
    }

    /// Adds a group of members. A record has all members of the group, or none.
    pub(crate) fn group(&mut self, names: &[&str], describe: impl FnOnce(&mut Self)) {
        self.properties.append(&mut Self::of(describe).properties);
        self.dependent.extend(names.iter().map(|name| ((*name).to_owned(), json!(names))));
    }

    fn into_schema(self) -> Value {
        let mut schema =
            json!({"type": "object", "properties": self.properties, "required": self.required});
        if !self.dependent.is_empty() {
            schema["dependentRequired"] = self.dependent.into();
        }
        schema
    }
}
