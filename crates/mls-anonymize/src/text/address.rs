//! IP addresses and mail addresses in free text.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use bstr::ByteSlice;

use super::{BYTE_CLASSES, ByteClass, ESCAPE, TextPass, is_escape, near};

impl TextPass<'_, '_> {
    /// Replaces the IPv4 addresses in a word, which may contain several: `192.0.2.1-192.0.2.9`.
    /// Numbers after a `v` are a version: `v1.2.3.4`.
    pub(super) fn ipv4(&mut self, range: Range<usize>) -> usize {
        let mut at = range.start;
        while at < range.end {
            let length = self.text[at..range.end]
                .iter()
                .take_while(|b| b.is_ascii_digit() || **b == b'.')
                .count();
            let run = self.text[at..at + length].trim_end_with(|c| c == '.');
            let version = self.text[..at].ends_with(b"v");
            if let Some(ip) = run
                .to_str()
                .ok()
                .filter(|run| run.len() >= 7 && !version)
                .and_then(|run| run.parse::<Ipv4Addr>().ok())
            {
                self.replace(at..at + run.len(), |anonymizer, text, out| {
                    anonymizer.pseudonyms.ip(ip.into(), text, out);
                });
            }
            at += length.max(1);
        }
        range.end
    }

    /// Replaces the IPv6 address at `at`, if there is one.
    pub(super) fn ipv6(&mut self, at: usize) -> Option<usize> {
        let run = self.text[at..]
            .iter()
            .take(46)
            .take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
            .count();
        let run = self.text[at..at + run].to_str().ok()?;
        // A colon or a full stop of the sentence may follow the address.
        let trimmed = run.trim_end_matches('.');
        let candidates = [trimmed, trimmed.strip_suffix(':').unwrap_or(trimmed)];
        let (text, ip) =
            candidates.iter().find_map(|text| Some((*text, text.parse::<Ipv6Addr>().ok()?)))?;
        // `::` alone is usually a separator.
        (text.len() > 2).then(|| {
            self.replace(at..at + text.len(), |anonymizer, text, out| {
                anonymizer.pseudonyms.ip(ip.into(), text, out);
            })
        })
    }

    /// Returns the start of a local part. `at` is the start of its last word. RFC 5322, section
    /// 3.2.3, has the syntax, but here `/` and `=` separate words.
    pub(super) fn local_start(&self, at: usize) -> usize {
        let atext =
            |b: &u8| BYTE_CLASSES[usize::from(*b)] == ByteClass::Word || b"!#$&'*?^{|}".contains(b);
        let before = &self.text[self.done..at];
        let length = before.iter().rev().take_while(|b| atext(b)).count();
        let local = &before[before.len() - length..];
        let escaped =
            (0..local.len()).rev().find(|i| is_escape(&local[*i..])).map_or(0, |i| i + ESCAPE);
        let quotes = local[escaped..].iter().take_while(|b| **b == b'\'').count();
        at - length + escaped + quotes
    }

    /// The domain of a mail address; `at` is the position after its `@`.
    pub(super) fn domain(&self, at: usize) -> Range<usize> {
        if self.text.get(at) == Some(&b'[') {
            let end = near(&self.text[at..]).find_byte(b']').map_or(at, |close| at + close + 1);
            return at..end;
        }
        let end = self.word_end(at);
        at..at + self.text[at..end].trim_end_with(|c| matches!(c, '.' | '-' | '_')).len()
    }
}
