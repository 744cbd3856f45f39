//! Text from outside, made safe to print where it enters.

use std::borrow::Cow;

/// `text` as UTF-8 with every C0, DEL and C1 control character replaced by `?`, as Postfix's `printable()` does it
/// (`src/util/printable.c`), and every invalid sequence by U+FFFD. Borrows where nothing changes.
#[must_use]
pub fn clean(text: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(text);
    // C1 controls are two bytes, C2 80 to C2 9F: only text that holds C2 needs a look at its characters.
    let suspect = |b: u8| b < 0x20 || b == 0x7f || b == 0xc2;
    if !text.bytes().any(suspect) || !text.contains(char::is_control) {
        return text;
    }
    Cow::Owned(text.chars().map(|c| if c.is_control() { '?' } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_is_borrowed() {
        assert!(matches!(clean("élève@exémple.test ©".as_bytes()), Cow::Borrowed(_)));
    }

    #[test]
    fn every_control_character_becomes_a_question_mark() {
        assert_eq!(clean(b"a\x00b\x1bc\x7fd\ne\tf"), "a?b?c?d?e?f");
        assert_eq!(clean("a\u{80}b\u{9f}c\u{a0}d".as_bytes()), "a?b?c\u{a0}d");
    }

    #[test]
    fn half_a_character_becomes_the_replacement_character() {
        assert_eq!(clean(b"el\xc3"), "el\u{fffd}");
    }
}
