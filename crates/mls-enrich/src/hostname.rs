//! The name in a PTR answer. The owner of the address chooses the name, so the name may be hostile.

use hickory_resolver::proto::rr::{Name, RData, Record};

/// The largest number of aliases that are followed; RFC 2317 needs one alias.
const MAX_CHAIN: usize = 8;

/// Returns the name for `asked`, also through aliases (RFC 2317). If there are several names,
/// returns the alphabetically first name, because servers change the order of their answers.
pub(crate) fn hostname(asked: &Name, answers: &[Record]) -> Option<String> {
    let mut owner = asked;
    for _ in 0..MAX_CHAIN {
        let alias =
            answers.iter().filter(|record| record.name == *owner).find_map(|record| match &record
                .data
            {
                RData::CNAME(target) => Some(&target.0),
                _ => None,
            });
        let Some(target) = alias else { break };
        owner = target;
    }
    let names = answers.iter().filter(|record| record.name == *owner).filter_map(|record| {
        match &record.data {
            RData::PTR(target) => text(&target.0),
            _ => None,
        }
    });
    names.min()
}

/// Converts a name to printable text without the last dot; at most 253 characters, because a name has at
/// most 253 bytes (RFC 1035, section 2.3.4). Returns `None` for the root, and for a name that looks like
/// an address, because readers of a report would take it for an address.
fn text(name: &Name) -> Option<String> {
    let labels: Vec<Vec<u8>> = name
        .iter()
        // A label that contains a dot would look like two labels.
        .map(|label| label.iter().map(|byte| if *byte == b'.' { b'?' } else { *byte }).collect())
        .collect();
    let text = mls_event::clean(&labels.join(&b'.')).into_owned();
    // Blanks and marks for the direction of text must not hide an address. No real name ends in a
    // number or contains a colon.
    let visible: String = text.chars().filter(char::is_ascii_graphic).collect();
    let last = visible.trim_matches(['[', ']']).rsplit('.').next().unwrap_or_default();
    let number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    (!text.is_empty() && !number && !visible.contains(':')).then_some(text)
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{CNAME, PTR};

    use super::*;

    fn name(labels: &[&[u8]]) -> Name {
        Name::from_labels(labels.iter().copied()).unwrap()
    }

    fn ptr(owner: &Name, target: Name) -> Record {
        Record::from_rdata(owner.clone(), 60, RData::PTR(PTR(target)))
    }

    #[test]
    fn names_that_could_deceive_a_terminal_or_a_reader_are_cleaned_or_ignored() {
        for (labels, expected) in [
            (&[b"mail".as_slice(), b"example", b"com"][..], Some("mail.example.com")),
            (&[b"\x1b[2Jx", b"a\nb", b"c\x7f"], Some("?[2Jx.a?b.c?")),
            (&[b"mail.example.com", b"evil"], Some("mail?example?com.evil")),
            (&["é".as_bytes(), b"\xff\xfe"], Some("é.\u{fffd}\u{fffd}")),
            (&["\u{85}".as_bytes()], Some("?")),
            (&[b"8", b"8", b"8", b"8"], None),
            (&[b"12345"], None),
            (&[b"8", b"8", b"8", b"8 "], None),
            (&["\u{202e}8".as_bytes(), b"8", b"8", b"8"], None),
            (&[b"0x8", b"8", b"8", b"8"], None),
            (&[b"8", b"8", b"8", b"8:25"], None),
            (&[b"fe80::1%eth0"], None),
            (&[b"2001:db8::1"], None),
            (&[b"[::1]"], None),
            (&[], None),
        ] {
            assert_eq!(text(&name(labels)).as_deref(), expected, "{labels:?}");
        }
        let longest = name(&[&[b'a'; 63], &[b'b'; 63], &[b'c'; 63], &[b'd'; 61]]);
        assert_eq!(text(&longest).unwrap().len(), 253);
    }

    #[test]
    fn the_alphabetically_first_name_is_used_for_any_order_of_answers() {
        let asked = name(&[b"7", b"2", b"0", b"192", b"in-addr", b"arpa"]);
        let mut answers = vec![
            ptr(&asked, name(&[b"b"])),
            ptr(&asked, name(&[b"1", b"2"])),
            ptr(&asked, name(&[b"a"])),
        ];
        assert_eq!(hostname(&asked, &answers).as_deref(), Some("a"));
        answers.reverse();
        assert_eq!(hostname(&asked, &answers).as_deref(), Some("a"));
    }

    #[test]
    fn aliases_are_followed_and_records_of_other_names_are_ignored() {
        let asked = name(&[b"7", b"2", b"0", b"192", b"in-addr", b"arpa"]);
        let target = name(&[b"7", b"0-15", b"2", b"0", b"192", b"in-addr", b"arpa"]);
        let alias = Record::from_rdata(asked.clone(), 60, RData::CNAME(CNAME(target.clone())));
        let other = ptr(&name(&[b"8", b"2", b"0", b"192", b"in-addr", b"arpa"]), name(&[b"a"]));
        let answers = [other.clone(), ptr(&target, name(&[b"b"])), alias.clone()];
        assert_eq!(hostname(&asked, &answers).as_deref(), Some("b"));
        let back = Record::from_rdata(target, 60, RData::CNAME(CNAME(asked.clone())));
        assert_eq!(hostname(&asked, &[alias, back, other]), None);
    }
}
