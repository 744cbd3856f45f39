//! The report as a mail message (`--format mail`): text, HTML and the CSV.
//!
//! mls-mail adds sender and recipients. With `--since-last`, the header field
//! `MailLogSentinel-Period` has the end of the period and a cursor ([`mls_state::mail_cursor`]).
//! mls-mail commits this cursor together with the message.

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use lettre::message::header::{
    ContentTransferEncoding, ContentType, Date, HeaderName, HeaderValue, MIME_VERSION_1_0,
    MessageId, Subject,
};
use lettre::message::{
    Attachment as AttachmentPart, Body, MultiPart, MultiPartBuilder, SinglePart,
};
use mls_diag::Exit;
use mls_state::cursor_file::sha256;
use mls_state::mail_cursor::{FIELD, MailCursor, header_text};

use crate::attachment::Attachment;

/// Largest length of a domain name in characters (RFC 1035).
const MAX_LABEL: usize = 253;

pub(crate) struct Message<'a> {
    pub(crate) subject: &'a str,
    /// The Message-ID is a hash of this text, so two copies of a digest have the same Message-ID.
    pub(crate) content_id: &'a str,
    /// The name of this machine, or the title of the report.
    pub(crate) name: &'a str,
    pub(crate) date: DateTime<FixedOffset>,
    pub(crate) text: String,
    pub(crate) html: String,
    pub(crate) attachment: Attachment,
    /// With `--since-last`, the cursor that mls-mail commits.
    pub(crate) cursor: Option<MailCursor>,
}

impl Message<'_> {
    pub(crate) fn into_bytes(self) -> anyhow::Result<Vec<u8>> {
        let label = self.label();
        let message_id = self.message_id(&label);
        let period = self.cursor.as_ref().map(|cursor| (FIELD, cursor.to_field()));
        let head = |parts: MultiPartBuilder| {
            parts
                .header(Date::from(std::time::SystemTime::from(self.date)))
                .header(MessageId::from(message_id))
                .header(Subject::from(header_text(self.subject)))
                .header(MIME_VERSION_1_0)
        };
        let (text, html) = (SinglePart::plain(self.text), SinglePart::html(self.html));
        let mut message = match self.attachment {
            Attachment::File { name, content, content_type } => {
                // In base64, no mail server changes a byte or breaks a long line.
                let body = Body::new_with_encoding(content, ContentTransferEncoding::Base64)
                    .map_err(|_| Exit::Software.error("base64 cannot encode the attachment"))?;
                let part = AttachmentPart::new(mls_event::clean(name.as_bytes()).into_owned())
                    .body(body, ContentType::parse(content_type)?);
                let forms = MultiPart::alternative().singlepart(text).singlepart(html);
                head(MultiPart::mixed()).multipart(forms).singlepart(part)
            }
            Attachment::None | Attachment::LeftOut { .. } => {
                head(MultiPart::alternative()).singlepart(text).singlepart(html)
            }
        };
        let fields = [
            // RFC 3834: this field tells programs not to answer the message.
            ("Auto-Submitted", "auto-generated".to_owned()),
            // RFC 2919: mail programs sort mail by this ID. All digests of a name have the same ID.
            ("List-Id", format!("<digest.maillogsentinel.{label}>")),
        ];
        for (name, value) in fields.into_iter().chain(period) {
            let name = HeaderName::new_from_ascii(name.to_owned()).context("naming a field")?;
            message.headers_mut().insert_raw(HeaderValue::new(name, value));
        }
        Ok(message.formatted())
    }

    fn message_id(&self, label: &str) -> String {
        let hash = sha256(self.content_id.as_bytes());
        format!("<{}.maillogsentinel@{label}>", &hash[..32])
    }

    /// Returns the name as a domain name: `-` replaces forbidden characters, long names are cut.
    fn label(&self) -> String {
        let is_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        self.name.replace(|c| !is_safe(c), "-").chars().take(MAX_LABEL).collect()
    }
}
