//! The cursor in a mail from mls-report to mls-mail.
//!
//! `mls-report --since-last --format mail` writes the header field `MailLogSentinel-Period`. It holds
//! the period that the mail covers, and the position where the next period begins. `mls-mail`
//! removes the field, sends the mail, and commits this position together with the mail.
//!
//! ```text
//! MailLogSentinel-Period: base=12; until=2026-06-01T23:59:00+02:00; cursor=eyJ1bnRpbCI6…
//! ```

use chrono::{DateTime, FixedOffset};
use data_encoding::BASE64;
use serde_json::Value;

/// The name of the header field.
pub const FIELD: &str = "MailLogSentinel-Period";

/// The cursor has a blank after each group of this many characters, so that the field can be folded.
const PIECE: usize = 60;

/// A cursor with the end of the last digest and no position in the data. With such a cursor,
/// mls-report selects rows by their dates.
#[must_use]
pub fn ended_at(until: DateTime<FixedOffset>) -> Value {
    serde_json::json!({ "until": until.to_rfc3339() })
}

/// The cursor that mls-mail commits with a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailCursor {
    /// The sequence number of the ledger at the start of the period; 0 before the first commit.
    pub base: u64,
    /// The end of the period.
    pub until: DateTime<FixedOffset>,
    /// The position where the next period begins. Only mls-report understands it.
    pub cursor: Value,
}

impl MailCursor {
    /// The value of the header field.
    #[must_use]
    pub fn to_field(&self) -> String {
        let cursor = BASE64.encode(self.cursor.to_string().as_bytes());
        let pieces: Vec<_> = cursor.as_bytes().chunks(PIECE).map(String::from_utf8_lossy).collect();
        format!(
            "base={}; until={}; cursor={}",
            self.base,
            self.until.to_rfc3339(),
            pieces.join(" ")
        )
    }

    /// Reads the value of the header field, folded or not.
    #[must_use]
    pub fn from_field(value: &str) -> Option<Self> {
        let value: String = value.split_whitespace().collect();
        let (mut base, mut until, mut cursor) = (None, None, None);
        for parameter in value.split(';') {
            match parameter.split_once('=')? {
                ("base", n) => base = n.parse().ok(),
                ("until", at) => until = DateTime::parse_from_rfc3339(at).ok(),
                ("cursor", text) => {
                    let json = BASE64.decode(text.as_bytes()).ok()?;
                    cursor = serde_json::from_slice(&json).ok();
                }
                _ => {}
            }
        }
        Some(Self { base: base?, until: until?, cursor: cursor? })
    }
}

/// Makes text safe for a header field: it cannot start another field, and no part of it is decoded as
/// an encoded word (RFC 2047).
#[must_use]
pub fn header_text(text: &str) -> String {
    mls_event::display_text(text.trim()).replace("=?", "= ?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_field_gives_the_same_cursor() {
        let cursor = MailCursor {
            base: 12,
            until: DateTime::parse_from_rfc3339("2026-06-01T23:59:00+02:00").unwrap(),
            cursor: serde_json::json!({"path": "é".repeat(300), "length": 7}),
        };
        let field = cursor.to_field();
        assert!(field.is_ascii());
        assert_eq!(MailCursor::from_field(&field.replace(' ', "\r\n ")), Some(cursor));
        assert_eq!(MailCursor::from_field("base=1; until=2026-06-01T23:59:00Z; cursor=!"), None);
        assert_eq!(MailCursor::from_field(""), None);
    }
}
