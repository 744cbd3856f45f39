//! Writes and reads the values of members.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use serde::Deserialize;
use serde_json::json;

use crate::fast_path::Rest;
use crate::members::{Members, write_json};
use crate::text::find_control_or;
use crate::{BadRecord, Timestamp};

/// The type of a member's value.
pub(crate) trait MemberValue<'a>: Sized {
    /// Appends the value's JSON text.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads the JSON text that [`write`](MemberValue::write) writes. If the result is `None`,
    /// [`from_json`](MemberValue::from_json) must read the record.
    fn read(rest: &mut Rest<'a>) -> Option<Self>;

    /// Reads any JSON text that the type allows. `json` is `None` if the record lacks the member.
    fn from_json(json: Option<&'a str>) -> Result<Self, Cow<'static, str>>;

    /// The JSON Schema of the values that [`write`](MemberValue::write) writes.
    fn schema() -> serde_json::Value;
}

pub(crate) fn member<'a, T: MemberValue<'a>>(
    members: &Members<'a>,
    name: &'static str,
) -> Result<T, BadRecord> {
    let json = members.get(name).map(serde_json::value::RawValue::get);
    T::from_json(json).map_err(|why| BadRecord::Member { name, why })
}

const MISSING: &str = "it is missing";

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Cow<'static, str>> {
    serde_json::from_str(json).map_err(|error| {
        let message = error.to_string();
        // Omit the position: it counts from the beginning of the value, not of the line.
        message.split(" at line ").next().unwrap_or(&message).to_owned().into()
    })
}

/// A string that borrows from the line if it has no JSON escapes. serde borrows a `Cow` only in a field
/// with this attribute.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> MemberValue<'a> for Option<Cow<'a, str>> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            None => out.extend_from_slice(b"null"),
            Some(text) => write_text(out, text),
        }
    }

    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.text()
    }

    fn from_json(json: Option<&'a str>) -> Result<Self, Cow<'static, str>> {
        let text: Option<Text<'a>> = json.map_or(Ok(None), parse)?;
        Ok(text.map(|Text(text)| text))
    }

    fn schema() -> serde_json::Value {
        json!({"type": ["string", "null"]})
    }
}

impl<'a> MemberValue<'a> for Timestamp<'a> {
    fn write(&self, out: &mut Vec<u8>) {
        write_plain(out, self.as_str());
    }

    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        Self::parse(rest.text()??).ok()
    }

    fn from_json(json: Option<&'a str>) -> Result<Self, Cow<'static, str>> {
        required(json)
    }

    fn schema() -> serde_json::Value {
        json!({"type": "string", "format": "date-time"})
    }
}

/// An address in canonical form: an IPv4-mapped IPv6 address becomes IPv4.
impl<'a> MemberValue<'a> for Option<IpAddr> {
    fn write(&self, out: &mut Vec<u8>) {
        let Some(ip) = self else { return out.extend_from_slice(b"null") };
        out.push(b'"');
        write_ip(out, *ip);
        out.push(b'"');
    }

    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        match rest.text()? {
            Some(ip) => Some(Some(read_ip(ip.as_bytes())?.to_canonical())),
            None => Some(None),
        }
    }

    fn from_json(json: Option<&'a str>) -> Result<Self, Cow<'static, str>> {
        let ip: Option<IpAddr> = json.map_or(Ok(None), parse)?;
        Ok(ip.map(|ip| ip.to_canonical()))
    }

    fn schema() -> serde_json::Value {
        json!({"type": ["string", "null"], "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})
    }
}

/// A count of at least 1. It is 1 if the record does not have the member.
impl<'a> MemberValue<'a> for u32 {
    fn write(&self, out: &mut Vec<u8>) {
        write_json(out, self);
    }

    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.number::<NonZeroU32>()?.map(NonZeroU32::get)
    }

    fn from_json(json: Option<&'a str>) -> Result<Self, Cow<'static, str>> {
        json.map_or(Ok(1), |json| parse::<NonZeroU32>(json).map(NonZeroU32::get))
    }

    fn schema() -> serde_json::Value {
        json!({"type": "integer", "minimum": 1, "maximum": u32::MAX})
    }
}

/// Numbers that may be null.
macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl<'a> MemberValue<'a> for Option<$number> {
            fn write(&self, out: &mut Vec<u8>) {
                write_json(out, self);
            }

            fn read(rest: &mut Rest<'a>) -> Option<Self> {
                rest.number()
            }

            fn from_json(json: Option<&'a str>) -> Result<Self, Cow<'static, str>> {
                json.map_or(Ok(None), parse)
            }

            fn schema() -> serde_json::Value {
                json!({"type": ["integer", "null"], "minimum": 0, "maximum": <$number>::MAX})
            }
        })*
    };
}
numbers!(u16 u32 u64);

/// Declares an enum. In records, each value is written as a word.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $type:ident { $($(#[$word_meta:meta])* $variant:ident $word:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $type {
            $($(#[$word_meta])* #[serde(rename = $word)] $variant,)*
        }

        impl $type {
            /// Every value.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// The word for the value in records.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The value whose word is `name`.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.name() == name)
            }
        }

        impl<'a> $crate::value::MemberValue<'a> for $type {
            fn write(&self, out: &mut Vec<u8>) {
                $crate::value::write_plain(out, self.name());
            }

            fn read(rest: &mut $crate::fast_path::Rest<'a>) -> Option<Self> {
                Self::from_name(&rest.text()??)
            }

            fn from_json(json: Option<&'a str>) -> Result<Self, std::borrow::Cow<'static, str>> {
                $crate::value::required(json)
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({"type": "string", "enum": Self::ALL.map(Self::name)})
            }
        }
    };
}
pub(crate) use words;

pub(crate) fn required<'a, T: Deserialize<'a>>(
    json: Option<&'a str>,
) -> Result<T, Cow<'static, str>> {
    parse(json.ok_or(MISSING)?)
}

/// Reads the text of an address.
#[must_use]
pub fn read_ip(text: &[u8]) -> Option<IpAddr> {
    ipv4(text).map(IpAddr::V4).or_else(|| str::from_utf8(text).ok()?.parse().ok())
}

/// Reads an IPv4 address. The standard library takes several times as long.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut address, mut octet, mut digits, mut dots) = (0, 0, 0, 0_usize);
    for byte in text {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        // An octet must not begin with the digit zero, except the number zero.
        if digit < 10 && (digits == 0 || octet > 0) {
            (octet, digits) = (10 * octet + digit, digits + 1);
        } else if *byte == b'.' && digits > 0 {
            (address, octet, digits, dots) = (address << 8 | octet, 0, 0, dots + 1);
        } else {
            return None;
        }
        if octet > 255 {
            return None;
        }
    }
    (dots == 3 && digits > 0).then(|| Ipv4Addr::from_bits(address << 8 | octet))
}

/// Appends the canonical text of an address.
pub fn write_ip(out: &mut Vec<u8>, ip: IpAddr) {
    let IpAddr::V4(ip) = ip else {
        // Writing to memory cannot fail.
        return drop(write!(out, "{ip}"));
    };
    // The formatter of the standard library takes several times as long.
    for (n, octet) in ip.octets().into_iter().enumerate() {
        if n > 0 {
            out.push(b'.');
        }
        if octet >= 100 {
            out.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            out.push(b'0' + octet / 10 % 10);
        }
        out.push(b'0' + octet % 10);
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    if find_control_or([b'"', b'\\'], text.as_bytes()).is_some() {
        return write_json(out, text);
    }
    write_plain(out, text);
}

/// Appends `text`, which must not need escapes.
pub(crate) fn write_plain(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_the_standard_library_reads_it() {
        let texts = [
            "",
            "0",
            "1.2.3",
            "1.2.3.4",
            "1.2.3.4.",
            ".1.2.3.4",
            "1..3.4",
            "1.2.3.4.5",
            "0.0.0.0",
            "00.0.0.0",
            "1.02.3.4",
            "255.255.255.255",
            "256.1.1.1",
            "1.2.3.999",
            "1.2.3.4 ",
            "1.2.3.1000",
            "1.2.3.-4",
            "::1",
            "::ffff:1.2.3.4",
            "+1.2.3.4",
        ];
        for text in texts {
            assert_eq!(read_ip(text.as_bytes()), text.parse().ok(), "{text}");
            assert_eq!(ipv4(text.as_bytes()), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for octet in 0..=255 {
            let ip = Some(IpAddr::from([octet, 0, 255 - octet, octet]));
            let mut out = Vec::new();
            ip.write(&mut out);
            assert_eq!(out, serde_json::to_vec(&ip).unwrap());
        }
    }
}
