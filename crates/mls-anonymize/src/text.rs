//! Free text. One pass finds words that identify somebody, by their shape and by their context.

mod address;
mod quoted;
mod value;
mod word;

use std::ops::Range;

pub(crate) use word::name_in_parentheses;

use bstr::ByteSlice;
use mls_event::clean;

use crate::anonymizer::Anonymizer;
use crate::class::Class;
use crate::pseudonym::is_domain;

/// The line that a text belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineContext<'a> {
    /// The host field of the line. The text may contain the host too.
    pub host: Option<&'a [u8]>,
    /// Whether Dovecot wrote the line. Dovecot puts users and sessions in brackets.
    pub dovecot: bool,
    /// Whether the text is a part of an SQL query, because it comes after `query: `.
    pub in_query: bool,
}

/// The words that Dovecot writes before an SQL query.
pub(crate) const QUERY: &str = "query: ";

/// What can begin at a byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ByteClass {
    Other,
    Word,
    Angle,
    Colon,
    Hash,
    Quote,
}

/// A word consists of the characters of host names and of most local parts of mail addresses.
const BYTE_CLASSES: [ByteClass; 256] = {
    let mut kinds = [ByteClass::Other; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        let [b, ..] = byte.to_le_bytes();
        if b.is_ascii_alphanumeric()
            || b >= 0x80
            || matches!(b, b'.' | b'_' | b'-' | b'+' | b'%' | b'~')
        {
            kinds[byte] = ByteClass::Word;
        }
        byte += 1;
    }
    kinds[b'<' as usize] = ByteClass::Angle;
    kinds[b':' as usize] = ByteClass::Colon;
    kinds[b'#' as usize] = ByteClass::Hash;
    kinds[b'\'' as usize] = ByteClass::Quote;
    kinds[b'"' as usize] = ByteClass::Quote;
    kinds
};

/// A text while it is anonymized. Everything before `done` is written.
pub(crate) struct TextPass<'a, 'o> {
    anonymizer: &'a mut Anonymizer,
    text: &'a [u8],
    context: LineContext<'a>,
    done: usize,
    out: &'o mut Vec<u8>,
}

impl<'a, 'o> TextPass<'a, 'o> {
    pub(crate) fn new(
        anonymizer: &'a mut Anonymizer,
        text: &'a [u8],
        context: LineContext<'a>,
        out: &'o mut Vec<u8>,
    ) -> Self {
        Self { anonymizer, text, context, done: 0, out }
    }

    /// Writes the anonymized text. This is the hot loop: about one nanosecond for each byte, and
    /// some tens of nanoseconds for each replacement.
    pub(crate) fn run(mut self) {
        let mut at = 0;
        while let Some(byte) = self.text.get(at) {
            at = match BYTE_CLASSES[usize::from(*byte)] {
                ByteClass::Word => self.word(at),
                ByteClass::Angle => self.angle(at),
                ByteClass::Colon if self.text[at..].starts_with(b"::") => {
                    self.ipv6(at).unwrap_or(at + 2)
                }
                ByteClass::Hash if is_escape(&self.text[at..]) => at + ESCAPE,
                ByteClass::Quote if self.context.in_query => self.literal(at),
                ByteClass::Colon | ByteClass::Hash | ByteClass::Quote | ByteClass::Other => at + 1,
            };
        }
        self.out.extend_from_slice(&self.text[self.done..]);
    }

    /// Lets `write` append the replacement of `range`. Returns the end of `range`.
    fn replace(
        &mut self,
        range: Range<usize>,
        write: impl FnOnce(&mut Anonymizer, &[u8], &mut Vec<u8>),
    ) -> usize {
        self.out.extend_from_slice(&self.text[self.done..range.start]);
        self.done = range.end;
        write(self.anonymizer, &self.text[range.clone()], self.out);
        range.end
    }

    fn host(&mut self, range: Range<usize>) -> usize {
        self.replace(range, |anonymizer, name, out| anonymizer.pseudonyms.host(name, out))
    }

    fn user(&mut self, range: Range<usize>) -> usize {
        self.replace(range, |anonymizer, name, out| anonymizer.pseudonyms.user(&clean(name), out))
    }

    fn message_id(&mut self, range: Range<usize>) -> usize {
        self.replace(range, |anonymizer, id, out| match id.rsplit_once_str("@") {
            Some((local, domain)) if is_domain(domain) => {
                anonymizer.pseudonyms.mail(Class::MessageId, local, domain, out);
            }
            _ => anonymizer.pseudonyms.text(Class::MessageId, id, out),
        })
    }

    fn queue_id(&mut self, range: Range<usize>) -> usize {
        self.replace(range, |anonymizer, id, out| anonymizer.pseudonyms.queue_id(id, out))
    }

    fn pseudonym(&mut self, class: Class, range: Range<usize>) -> usize {
        self.replace(range, |anonymizer, text, out| anonymizer.pseudonyms.text(class, text, out))
    }

    fn word_end(&self, at: usize) -> usize {
        let length =
            self.text[at..].iter().position(|b| BYTE_CLASSES[usize::from(*b)] != ByteClass::Word);
        length.map_or(self.text.len(), |length| at + length)
    }

    /// The text between the `<` at `at` and the next `>` that is followed by a blank, a separator
    /// or the end of the text.
    fn bracketed(&self, at: usize) -> Option<Range<usize>> {
        let text = near(self.text.get(at..)?).strip_prefix(b"<")?;
        let ends = |close: &usize| {
            text.get(close + 1)
                .is_none_or(|b| matches!(b, b' ' | b',' | b';' | b':' | b')' | b'<' | b'\r'))
        };
        let close = memchr::memchr_iter(b'>', text).find(ends)?;
        Some(at + 1..at + 1 + close)
    }
}

/// Whether `text` begins with a control character as rsyslogd(8) writes it: `#011` for a tab. Such
/// an escape separates words.
pub(crate) fn is_escape(text: &[u8]) -> bool {
    matches!(text, [b'#', b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', ..])
}

/// The length of an escape such as `#011`.
pub(crate) const ESCAPE: usize = 4;

/// The first bytes of `text`, in which to search for the end of a name or address. Names and
/// addresses are not longer. Without this limit, a line full of brackets would take quadratic time.
fn near(text: &[u8]) -> &[u8] {
    &text[..text.len().min(1024)]
}
