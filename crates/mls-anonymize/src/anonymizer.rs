//! Anonymizes texts. A text gets the same pseudonym in a log and in the records of this log.

use bstr::ByteSlice;
use data_encoding::BASE64;

use crate::class::Class;
use crate::pseudonym::Pseudonyms;
use crate::rules::Rules;
use crate::secrets;
use crate::text::{LineContext, QUERY, TextPass};

/// The pseudonyms, the rules and the options of a run.
pub struct Anonymizer {
    pub(crate) pseudonyms: Pseudonyms,
    rules: Rules,
    pub(crate) queue_ids: bool,
    pub(crate) buffer: Vec<u8>,
}

impl Anonymizer {
    /// Makes an anonymizer. With `queue_ids`, it also replaces queue IDs.
    #[must_use]
    pub fn new(pseudonyms: Pseudonyms, rules: Rules, queue_ids: bool) -> Self {
        Self { pseudonyms, rules, queue_ids, buffer: Vec::new() }
    }

    /// Appends anonymized free text. Secrets are replaced first, then matches of the rules, then
    /// words that look like names or addresses.
    pub fn text(&mut self, text: &[u8], mut context: LineContext<'_>, out: &mut Vec<u8>) {
        let mut at = 0;
        let mut query = None;
        while let Some(secret) = secrets::find(text, at) {
            self.text_without_secrets(&text[at..secret.start], context, out);
            self.pseudonyms.text(Class::Secret, &text[secret.clone()], out);
            at = secret.end;
            // Search only lines with a secret, which are rare: the search takes time.
            if query.get_or_insert_with(|| text.find(QUERY)).is_some_and(|query| query < at) {
                context.in_query = true;
                // The quote after the secret ends an SQL literal. It must not begin another one.
                if let Some(quote @ (b'\'' | b'"')) = text.get(at) {
                    out.push(*quote);
                    at += 1;
                }
            }
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

    /// Appends the pseudonym of a text that a rule matched. `class` is the class of the rule.
    fn replace(&mut self, class: Class, text: &[u8], out: &mut Vec<u8>) {
        match class {
            Class::Ip | Class::Host => self.pseudonyms.host(text, out),
            Class::User => self.pseudonyms.user(&mls_event::clean(text), out),
            _ => self.pseudonyms.text(class, text, out),
        }
    }

    /// Appends the name of a SASL mechanism. A name that is not valid (RFC 4422, section 3.1) is
    /// replaced, because clients can send any text, maybe a user name. The pseudonym is in upper
    /// case, because mls-parse writes mechanisms in upper case.
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

    /// Appends the reason of a failure. A challenge is decoded and anonymized, because it can contain
    /// the name of the server.
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

/// Decodes a reason that is base64. A reason with only lower-case letters after the first character
/// is an English word, even if it is valid base64.
fn challenge(reason: &str) -> Option<Vec<u8>> {
    let looks = reason.len() >= 8
        && reason.as_bytes()[1..].find_byteset(b"=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ").is_some();
    looks.then(|| BASE64.decode(reason.as_bytes()).ok())?
}
