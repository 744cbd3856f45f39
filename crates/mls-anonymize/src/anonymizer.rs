//! Texts of a log and of its records, which get the same pseudonyms.

use bstr::ByteSlice;
use data_encoding::BASE64;

use crate::class::Class;
use crate::pseudonym::Pseudonyms;
use crate::rules::Rules;
use crate::secrets;
use crate::text::{LineContext, TextPass};

/// Everything that is replaced, and how.
pub struct Anonymizer {
    pub(crate) pseudonyms: Pseudonyms,
    rules: Rules,
    pub(crate) queue_ids: bool,
    /// For texts that are taken apart by rules and for records.
    pub(crate) buffer: Vec<u8>,
}

impl Anonymizer {
    /// Replaces by `pseudonyms` what `rules` and shape say, and queue IDs if you like.
    #[must_use]
    pub fn new(pseudonyms: Pseudonyms, rules: Rules, queue_ids: bool) -> Self {
        Self { pseudonyms, rules, queue_ids, buffer: Vec::new() }
    }

    /// What was replaced, where that was asked for.
    pub(crate) fn take_map(&mut self) -> Option<crate::pseudonym_map::PseudonymMap> {
        self.pseudonyms.map.take()
    }

    /// Appends free text. Secrets come first, then rules, then what the shape of words says.
    pub fn text(&mut self, text: &[u8], context: LineContext<'_>, out: &mut Vec<u8>) {
        let mut at = 0;
        while let Some(secret) = secrets::find(text, at) {
            self.text_without_secrets(&text[at..secret.start], context, out);
            self.pseudonyms.secret(&text[secret.clone()], out);
            at = secret.end;
        }
        self.text_without_secrets(&text[at..], context, out);
    }

    fn text_without_secrets(&mut self, text: &[u8], context: LineContext<'_>, out: &mut Vec<u8>) {
        let mut at = 0;
        while let Some((class, range)) = self.rules.find(text, at) {
            TextPass::new(self, &text[at..range.start], context, out).run();
            self.replace(class, &text[range.clone()], out);
            at = range.end;
        }
        TextPass::new(self, &text[at..], context, out).run();
    }

    /// Appends what stands for a text that is known to be of `class`.
    pub(crate) fn replace(&mut self, class: Class, text: &[u8], out: &mut Vec<u8>) {
        match class {
            Class::Ip | Class::Host => self.pseudonyms.host(text, out),
            Class::User => self.pseudonyms.user(&mls_event::clean(text), out),
            Class::QueueId => self.pseudonyms.queue_id(text, out),
            Class::Secret => self.pseudonyms.secret(text, out),
            Class::MessageId | Class::Subject | Class::Session | Class::Challenge | Class::Asn => {
                self.pseudonyms.text(class, text, out);
            }
        }
    }

    /// Appends the name of a mechanism. What cannot be one (RFC 4422, section 3.1) is what a client sent in its place, maybe a
    /// name; as records have mechanisms in upper case, so is its pseudonym.
    pub fn mechanism(&mut self, name: &str, out: &mut Vec<u8>) {
        let is_mechanism = name.len() <= 20
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if is_mechanism || self.pseudonyms.keeps(Class::User) {
            out.extend_from_slice(name.as_bytes());
        } else {
            let start = out.len();
            self.pseudonyms.text(Class::User, name.to_ascii_uppercase().as_bytes(), out);
            out[start..].make_ascii_uppercase();
        }
    }

    /// Appends the reason of a failure. A challenge is looked at decoded, because the name of the server is in it.
    pub fn reason(&mut self, reason: &str, context: LineContext<'_>, out: &mut Vec<u8>) {
        let Some(challenge) =
            challenge(reason).filter(|_| !self.pseudonyms.keeps(Class::Challenge))
        else {
            return self.text(reason.as_bytes(), context, out);
        };
        if challenge.iter().any(|b| !(b' '..=b'~').contains(b)) {
            return self.pseudonyms.base64(reason.as_bytes(), out);
        }
        let mut text = Vec::with_capacity(2 * challenge.len());
        self.text(&challenge, context, &mut text);
        out.extend_from_slice(BASE64.encode(&text).as_bytes());
    }
}

/// What a reason is the base64 of. Words of eight, twelve, … letters are none: base64 has capitals, digits or padding.
fn challenge(reason: &str) -> Option<Vec<u8>> {
    let looks = reason.len() >= 8
        && reason.as_bytes()[1..].find_byteset(b"=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ").is_some();
    looks.then(|| BASE64.decode(reason.as_bytes()).ok())?
}
