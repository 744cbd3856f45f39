//! Entries of the systemd journal, as `journalctl -o json --all` writes them (systemd.journal-fields(7)).

use std::borrow::Cow;

use chrono::{DateTime, Offset, Utc};
use mls_config::zone::Zone;
use mls_event::Timestamp;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(crate) struct JournalEntry {
    #[serde(rename = "MESSAGE")]
    message: Value,
    #[serde(rename = "SYSLOG_IDENTIFIER", default)]
    identifier: Value,
    #[serde(rename = "SYSLOG_PID", default)]
    syslog_pid: Value,
    #[serde(rename = "_PID", default)]
    pid: Value,
    #[serde(rename = "_HOSTNAME", default)]
    hostname: Value,
    #[serde(rename = "_SOURCE_REALTIME_TIMESTAMP", default)]
    logged: Value,
    #[serde(rename = "__REALTIME_TIMESTAMP", default)]
    received: Value,
    #[serde(rename = "__CURSOR", default)]
    cursor: Value,
    #[serde(rename = "_COMM", default)]
    command: Value,
    #[serde(rename = "CONTAINER_ID", default)]
    container: Value,
    #[serde(rename = "PRIORITY", default)]
    priority: Value,
    #[serde(rename = "CONTAINER_PARTIAL_MESSAGE", default)]
    partial: Value,
    #[serde(rename = "CONTAINER_PARTIAL_ID", default)]
    partial_id: Value,
    #[serde(rename = "CONTAINER_PARTIAL_ORDINAL", default)]
    ordinal: Value,
}

impl JournalEntry {
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    pub(crate) fn message(&self) -> Option<Cow<'_, [u8]>> {
        bytes(&self.message)
    }

    /// The name that the program gave itself, else the name of its command, as in journalctl.
    pub(crate) fn program(&self) -> Option<Cow<'_, [u8]>> {
        bytes(&self.identifier).or_else(|| bytes(&self.command))
    }

    pub(crate) fn host(&self) -> Option<Cow<'_, [u8]>> {
        bytes(&self.hostname)
    }

    /// Whether Docker's journald driver has written the entry for a line of a container's output.
    pub(crate) fn is_container(&self) -> bool {
        !self.container.is_null()
    }

    /// Whether the line of a container's output continues in another entry. Docker's journald
    /// driver cuts lines after 16 KiB. It marks all parts except the last part.
    /// (`daemon/logger/journald/journald.go` of github.com/moby/moby)
    pub(crate) fn goes_on(&self) -> bool {
        self.partial == "true"
    }

    /// Whether the entry is a later part of a line; always false before Docker 19.03.
    pub(crate) fn is_later_part(&self) -> bool {
        self.ordinal.as_str().is_some_and(|ordinal| ordinal != "1")
    }

    /// Whether this entry continues the line of `part`, an earlier entry. From Docker 19.03 on, the
    /// parts of a line have the same ID. Older parts have no ID: the next entry of the same
    /// container and stream is the next part. The priority identifies the stream.
    pub(crate) fn continues(&self, part: &Self) -> bool {
        self.container == part.container
            && self.partial_id == part.partial_id
            && self.priority == part.priority
    }

    pub(crate) fn container(&self) -> Option<&str> {
        self.container.as_str()
    }

    /// The time of the entry, a blank, and the line of the container. `None` if no container wrote
    /// the entry.
    pub(crate) fn container_line(&self) -> Option<Vec<u8>> {
        if !self.is_container() {
            return None;
        }
        let stamp = self.date(Zone::Fixed(Utc.fix()))?;
        Some([stamp.as_str().as_bytes(), b" ", &self.message()?].concat())
    }

    /// The process ID that the program gave to syslog, or else the process ID that the journal saw.
    pub(crate) fn pid(&self) -> Option<u32> {
        [&self.syslog_pid, &self.pid].iter().find_map(|pid| pid.as_str()?.parse().ok())
    }

    /// The time in `zone` when the program logged the message, or else when the journal received
    /// it. The fields are in microseconds since 1970.
    pub(crate) fn date(&self, zone: Zone) -> Option<Timestamp<'static>> {
        let at = [&self.logged, &self.received]
            .iter()
            .find_map(|time| DateTime::from_timestamp_micros(time.as_str()?.parse().ok()?))?;
        let text = zone.show(&at).to_rfc3339_opts(chrono::SecondsFormat::Micros, false);
        Timestamp::parse(text).ok()
    }

    /// Returns `ID:NUMBER`: the sequence ID of the journal file, and the number of the entry in it.
    /// The cursor is `s=ID;i=NUMBER;…`, with a hexadecimal number.
    pub(crate) fn pos(&self) -> Option<String> {
        let mut fields = self.cursor.as_str()?.split(';');
        let (id, number) = (fields.next()?.strip_prefix("s=")?, fields.next()?.strip_prefix("i=")?);
        Some(format!("{id}:{}", u64::from_str_radix(number, 16).ok()?))
    }
}

/// Reads the value of a field. The value is a string, or an array of bytes if it is not UTF-8 text.
/// If the field occurs several times, the value is an array of values, and the first value counts.
/// Without `--all`, journalctl writes null for a value that is too long.
fn bytes(value: &Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.as_bytes())),
        Value::Array(items) => match items.first()? {
            first @ (Value::String(_) | Value::Array(_)) => bytes(first),
            _ => items
                .iter()
                .map(|item| u8::try_from(item.as_u64()?).ok())
                .collect::<Option<Vec<u8>>>()
                .map(Cow::Owned),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_string_or_bytes_or_several_values() {
        let entry = JournalEntry::parse(
            br#"{"__CURSOR":"s=ab12;i=1f;b=c","MESSAGE":[104,105,195],"SYSLOG_IDENTIFIER":["postfix/smtpd","x"],
                "_PID":"74","__REALTIME_TIMESTAMP":"1795245082212047","_HOSTNAME":"vm"}"#,
        )
        .unwrap();
        assert_eq!(entry.message().unwrap().as_ref(), b"hi\xc3");
        assert_eq!(entry.program().unwrap().as_ref(), b"postfix/smtpd");
        assert_eq!(entry.pid(), Some(74));
        assert_eq!(entry.pos().unwrap(), "ab12:31");
        assert_eq!(
            entry.date("UTC".parse().unwrap()).unwrap().as_str(),
            "2026-11-21T07:11:22.212047+00:00"
        );
    }
}
