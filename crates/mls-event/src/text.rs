//! Makes text from outside safe to print.

use std::borrow::Cow;

/// Replaces every C0, DEL and C1 control character by `?`, as Postfix's `printable()` does
/// (`src/util/printable.c`), and every invalid UTF-8 sequence by U+FFFD. The result borrows if
/// nothing changes.
#[must_use]
pub fn clean(text: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(text) {
        Ok(text) => clean_str(text),
        Err(_) => Cow::Owned(clean_str(&String::from_utf8_lossy(text)).into_owned()),
    }
}

/// [`clean`] for text that is known to be UTF-8.
#[must_use]
pub fn clean_str(text: &str) -> Cow<'_, str> {
    // In UTF-8, C1 controls are C2 80 to C2 9F. So text without C0, DEL and C2 bytes has no control
    // character and need not be decoded.
    if find_control_or([0x7f, 0xc2], text.as_bytes()).is_none() || !text.contains(char::is_control)
    {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if c.is_control() { '?' } else { c }).collect())
}

/// The index of the first byte that is a C0 control character or one of `others`. Most texts are
/// too short for vector instructions, so this function checks eight bytes at a time as one number.
pub(crate) fn find_control_or(others: [u8; 2], text: &[u8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = text.as_chunks::<8>();
    for (n, bytes) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        // In the result, the highest bit is set in the first byte of `word` that is below `limit`.
        // `limit` must be at most 0x80. (In later bytes, this bit may be wrong.)
        let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word;
        let equal = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
        let found = (below(word, 0x20) | equal(others[0]) | equal(others[1])) & (EACH * 0x80);
        if found != 0 {
            return Some(8 * n + (found.trailing_zeros() / 8) as usize);
        }
    }
    let found = rest.iter().position(|byte| *byte < 0x20 || others.contains(byte))?;
    Some(text.len() - rest.len() + found)
}

/// [`clean_str`] for text that people read. Characters that change the direction of text, are invisible,
/// or end a line become U+FFFD too. With them, a client could make `gpj.exe` look like `exe.jpg`, or make
/// two different names look the same.
#[must_use]
pub fn display_text(text: &str) -> Cow<'_, str> {
    let hidden = |c| {
        matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    let text = clean_str(text);
    if text.is_ascii() || !text.contains(hidden) {
        return text;
    }
    Cow::Owned(text.replace(hidden, "\u{fffd}"))
}

/// An autonomous system as text for people: `AS64496 Example`, in the notation of RFC 5396. `None`
/// if number and name are unknown.
#[must_use]
pub fn display_system(asn: Option<u32>, aso: Option<&str>) -> Option<String> {
    join([asn.map(|asn| format!("AS{asn}")), aso.map(|aso| display_text(aso).into_owned())], " ")
}

/// `DE, AS64496 Example`: country and AS of an address, for people; `None` if both are unknown.
#[must_use]
pub fn display_place(country: Option<&str>, asn: Option<u32>, aso: Option<&str>) -> Option<String> {
    let country = country.map(|code| display_text(code).into_owned());
    join([country, display_system(asn, aso)], ", ")
}

fn join(parts: [Option<String>; 2], between: &str) -> Option<String> {
    match parts {
        [Some(first), Some(second)] => Some(first + between + &second),
        [first, second] => first.or(second),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displayed_text_has_no_invisible_and_no_direction_changing_characters() {
        for hidden in
            "\u{61c}\u{200b}\u{200e}\u{2028}\u{2029}\u{202e}\u{2060}\u{2066}\u{feff}\u{e0041}"
                .chars()
        {
            assert_eq!(display_text(&format!("exe{hidden}gnp")), "exe\u{fffd}gnp", "{hidden:?}");
        }
        assert_eq!(display_text("a\u{1b}b"), "a?b");
        assert!(matches!(display_text("日本語 ©"), Cow::Borrowed(_)));
    }

    #[test]
    fn each_control_character_is_found_in_each_place() {
        for length in 0..20 {
            for byte in 0..=255 {
                let mut text = vec![b'a'; length];
                assert_eq!(find_control_or([b'"', 0xc2], &text), None);
                for at in 0..length {
                    text[at] = byte;
                    let is_found = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == 0xc2;
                    let expected = text.iter().position(is_found);
                    assert_eq!(find_control_or([b'"', 0xc2], &text), expected, "{text:?}");
                    text[at] = [0xff, 0x80, b'!', b'z'][at % 4];
                }
            }
        }
    }

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

    #[test]
    fn unknown_parts_of_a_place_are_left_out() {
        let (country, aso) = (Some("DE"), Some("Example\u{202e}"));
        let system = "AS64496 Example\u{fffd}";
        assert_eq!(display_place(country, Some(64496), aso), Some(format!("DE, {system}")));
        assert_eq!(display_place(None, Some(64496), aso), Some(system.to_owned()));
        assert_eq!(display_place(country, Some(64496), None), Some("DE, AS64496".to_owned()));
        assert_eq!(display_place(country, None, Some("Example")), Some("DE, Example".to_owned()));
        assert_eq!(display_place(None, None, None), None);
    }
}
