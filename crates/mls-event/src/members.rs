//! The members of a record with unparsed values, for filters that only add members.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::BadRecord;
use crate::record::begins_an_object;

/// A member's name and the JSON text of its value, byte for byte as in the line.
pub type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// The members of one line, in order.
#[derive(Clone, Debug)]
pub struct Members<'a>(Vec<Member<'a>>);

impl<'a> Members<'a> {
    /// Splits a line, with or without its newline, into members.
    ///
    /// # Errors
    /// [`BadRecord::NotAnObject`] or [`BadRecord::Json`] if the line is not one JSON object.
    pub fn parse(line: &'a [u8]) -> Result<Self, BadRecord> {
        begins_an_object(line)?;
        Ok(read_json(line)?)
    }

    /// The JSON text of the member `name`. If JSON repeats a name, the last one counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// The members, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Member<'a>] {
        &self.0
    }

    /// Removes every member that has one of these names.
    pub fn remove(&mut self, names: &[&str]) {
        self.0.retain(|(name, _)| !names.contains(&name.as_ref()));
    }

    /// Appends the object to `out` without its closing brace. The caller can add members, each with
    /// a comma before it, and must write the closing brace.
    pub fn write_open(&self, out: &mut Vec<u8>) {
        self.write_values(out, |_, value, out| out.extend_from_slice(value.as_bytes()));
    }

    /// Like [`Self::write_open`], but `write` appends each value. `write` gets the name and the
    /// JSON text of the value.
    pub fn write_values(&self, out: &mut Vec<u8>, mut write: impl FnMut(&str, &str, &mut Vec<u8>)) {
        out.push(b'{');
        for (i, (name, value)) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_json(out, name);
            out.push(b':');
            write(name, value.get(), out);
        }
    }
}

/// Reads a line. Checking the whole line for UTF-8 in one pass is faster than checking each string.
pub(crate) fn read_json<'a, T: Deserialize<'a>>(line: &'a [u8]) -> serde_json::Result<T> {
    match str::from_utf8(line) {
        Ok(line) => serde_json::from_str(line),
        Err(_) => serde_json::from_slice(line),
    }
}

/// Appends a value as JSON. The value must be text, a number, or a struct of texts and numbers:
/// JSON can represent these values.
pub fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    if let Err(error) = serde_json::to_writer(&mut *out, value) {
        unreachable!("a record could not be written as JSON: {error}");
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut members = Vec::with_capacity(24);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
