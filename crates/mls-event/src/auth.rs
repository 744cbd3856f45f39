//! One authentication attempt.

use std::borrow::Cow;
use std::net::IpAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize};

use crate::members::write_json;
use crate::{Body, Timestamp};

/// An `auth` record. The members stand in the crate's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire<'a>", bound(deserialize = "'de: 'a"))]
#[expect(
    missing_docs,
    reason = "each field is the member of the same name in the wire specification"
)]
pub struct Auth<'a> {
    pub date: Timestamp<'a>,
    pub server: Option<Cow<'a, str>>,
    pub service: Option<Cow<'a, str>>,
    pub pid: Option<u32>,
    pub outcome: Outcome,
    pub attempts: u32,
    pub mechanism: Option<Cow<'a, str>>,
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    pub client: Option<Cow<'a, str>>,
    pub user: Option<Cow<'a, str>>,
    pub reason: Option<Cow<'a, str>>,
    pub pos: Option<Cow<'a, str>>,
    /// What mls-enrich added; `None` where it has not run.
    pub enrichment: Option<Enrichment<'a>>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The server refused the credentials or could not check them.
    Failure,
    /// The client logged in.
    Success,
    /// The client gave up before it sent a password.
    Aborted,
}

impl Outcome {
    /// As records have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Success => "success",
            Self::Aborted => "aborted",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Failure, Self::Success, Self::Aborted]
            .into_iter()
            .find(|outcome| outcome.name() == name)
    }
}

/// The members that mls-enrich adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is the member of the same name in the wire specification"
)]
pub struct Enrichment<'a> {
    pub hostname: Option<Cow<'a, str>>,
    pub reverse_dns_status: Option<Cow<'a, str>>,
    pub country_code: Option<Cow<'a, str>>,
    pub asn: Option<u32>,
    pub aso: Option<Cow<'a, str>>,
}

impl Enrichment<'_> {
    /// The names of its members, in the order in which they are written.
    pub const MEMBERS: [&'static str; 5] =
        ["hostname", "reverse_dns_status", "country_code", "asn", "aso"];

    /// Appends each member as `,"name":value`.
    pub fn write_members(&self, out: &mut Vec<u8>) {
        text(out, ",\"hostname\":", self.hostname.as_deref());
        text(out, ",\"reverse_dns_status\":", self.reverse_dns_status.as_deref());
        text(out, ",\"country_code\":", self.country_code.as_deref());
        value(out, ",\"asn\":", &self.asn);
        text(out, ",\"aso\":", self.aso.as_deref());
    }
}

/// An event is never more rows than this, whatever its `attempts` say.
pub const MAX_ROWS: u32 = 1000;

impl<'a> Auth<'a> {
    /// How many rows a sink writes for it: one for each failed attempt, at most [`MAX_ROWS`].
    #[must_use]
    pub fn rows(&self) -> u32 {
        if self.outcome == Outcome::Failure { self.attempts.min(MAX_ROWS) } else { 0 }
    }

    /// An attempt with nothing known but when it was and how it ended.
    #[must_use]
    pub fn new(date: Timestamp<'a>, outcome: Outcome) -> Self {
        Self {
            date,
            server: None,
            service: None,
            pid: None,
            outcome,
            attempts: 1,
            mechanism: None,
            ip: None,
            port: None,
            client: None,
            user: None,
            reason: None,
            pos: None,
            enrichment: None,
        }
    }
}

impl Body for Auth<'_> {
    const KIND: &'static str = "auth";

    /// Written out by hand, because this is what mls-parse spends its time with: as a `Serialize` it took twice as long, half of
    /// it looking for characters to escape in the names of members.
    fn write_members(&self, out: &mut Vec<u8>) {
        text(out, ",\"date\":", Some(self.date.as_str()));
        text(out, ",\"server\":", self.server.as_deref());
        text(out, ",\"service\":", self.service.as_deref());
        value(out, ",\"pid\":", &self.pid);
        text(out, ",\"outcome\":", Some(self.outcome.name()));
        value(out, ",\"attempts\":", &self.attempts);
        text(out, ",\"mechanism\":", self.mechanism.as_deref());
        value(out, ",\"ip\":", &self.ip);
        if let Some(port) = self.port {
            value(out, ",\"port\":", &port);
        }
        text(out, ",\"client\":", self.client.as_deref());
        text(out, ",\"user\":", self.user.as_deref());
        text(out, ",\"reason\":", self.reason.as_deref());
        if let Some(pos) = &self.pos {
            text(out, ",\"pos\":", Some(pos));
        }
        if let Some(added) = &self.enrichment {
            added.write_members(out);
        }
    }
}

fn value(out: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    out.extend_from_slice(name.as_bytes());
    write_json(out, value);
}

#[expect(
    clippy::needless_bitwise_bool,
    reason = "without a way out of the loop it is a few vector instructions"
)]
fn text(out: &mut Vec<u8>, name: &str, text: Option<&str>) {
    out.extend_from_slice(name.as_bytes());
    match text {
        None => out.extend_from_slice(b"null"),
        Some(text)
            if text.bytes().fold(false, |any, b| any | (b < b' ') | (b == b'"') | (b == b'\\')) =>
        {
            write_json(out, text);
        }
        Some(text) => {
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
    }
}

/// A string that borrows from the line where JSON has no escape in it (serde does so for `Cow` only when told).
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The record as it is read: hand-made records may leave members out, and all but `date` and `outcome` may be null.
#[derive(Deserialize)]
#[expect(
    clippy::option_option,
    reason = "missing and null differ: a record is enriched when a member is there"
)]
struct Wire<'a> {
    #[serde(borrow)]
    date: Timestamp<'a>,
    #[serde(borrow, default)]
    server: Option<Text<'a>>,
    #[serde(borrow, default)]
    service: Option<Text<'a>>,
    #[serde(default)]
    pid: Option<u32>,
    outcome: Outcome,
    #[serde(default = "one")]
    attempts: NonZeroU32,
    #[serde(borrow, default)]
    mechanism: Option<Text<'a>>,
    #[serde(default)]
    ip: Option<IpAddr>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(borrow, default)]
    client: Option<Text<'a>>,
    #[serde(borrow, default)]
    user: Option<Text<'a>>,
    #[serde(borrow, default)]
    reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    pos: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    hostname: Option<Option<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    reverse_dns_status: Option<Option<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    country_code: Option<Option<Text<'a>>>,
    #[serde(default, deserialize_with = "present")]
    asn: Option<Option<u32>>,
    #[serde(borrow, default, deserialize_with = "present")]
    aso: Option<Option<Text<'a>>>,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// Tells a member that is null (`Some(None)`) from one that is missing (`None`).
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'a> From<Wire<'a>> for Auth<'a> {
    fn from(wire: Wire<'a>) -> Self {
        let text = |t: Option<Text<'a>>| t.map(|Text(t)| t);
        let enriched = wire.hostname.is_some()
            || wire.reverse_dns_status.is_some()
            || wire.country_code.is_some()
            || wire.asn.is_some()
            || wire.aso.is_some();
        Self {
            date: wire.date,
            server: text(wire.server),
            service: text(wire.service),
            pid: wire.pid,
            outcome: wire.outcome,
            attempts: wire.attempts.get(),
            mechanism: text(wire.mechanism),
            ip: wire.ip.map(|ip| ip.to_canonical()),
            port: wire.port,
            client: text(wire.client),
            user: text(wire.user),
            reason: text(wire.reason),
            pos: text(wire.pos),
            enrichment: enriched.then(|| Enrichment {
                hostname: text(wire.hostname.flatten()),
                reverse_dns_status: text(wire.reverse_dns_status.flatten()),
                country_code: text(wire.country_code.flatten()),
                asn: wire.asn.flatten(),
                aso: text(wire.aso.flatten()),
            }),
        }
    }
}
