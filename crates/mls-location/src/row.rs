//! One row of a database: `start,end,country` or `start,end,asn,organisation`.
//!
//! ip-location-db uses these layouts: there is no header, addresses are text (`1.0.0.0`) or decimal
//! numbers (`16777216`), and a field is quoted if necessary.

use std::borrow::Cow;
use std::net::IpAddr;

/// The address family of a whole file. A single number such as 16777216 can be IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The family of a file with this highest address. If the number is too large for IPv4, the
    /// family is IPv6.
    pub(crate) fn of_highest(number: u128) -> Self {
        if number > Self::V4.last() { Self::V6 } else { Self::V4 }
    }

    /// The number of the last address.
    pub(crate) fn last(self) -> u128 {
        match self {
            Self::V4 => u32::MAX.into(),
            Self::V6 => u128::MAX,
        }
    }
}

/// The notation of an address in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    Number,
    Text(Family),
}

/// The number of an address, by which the rows are sorted.
#[must_use]
pub(crate) fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The number of `1.0.0.0`, the first public IPv4 address.
const FIRST_PUBLIC_V4: u128 = 1 << 24;

/// A row: the addresses from `start` to `end` (both included), and the other fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeRow<'a> {
    pub(crate) start: u128,
    pub(crate) end: u128,
    /// The notation of the first address.
    pub(crate) spelling: Spelling,
    pub(crate) fields: Fields<'a>,
    /// The length of the line in bytes, without its newline.
    pub(crate) length: usize,
}

/// The fields of a row after its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> RangeRow<'a> {
    /// Reads a line that has no newline at its end. Returns `None` if the line is not a row.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut rest = line.strip_suffix(b"\r").unwrap_or(line);
        let ((start, spelling), (end, _)) = (take_address(&mut rest)?, take_address(&mut rest)?);
        (start <= end && !rest.is_empty()).then_some(Self {
            start,
            end,
            spelling,
            fields: Fields(rest),
            length: line.len(),
        })
    }

    /// Whether the row can be in a file of this family. A number can be IPv4 or IPv6. But a range
    /// of numbers between `1.0.0.0` and `255.255.255.255` is IPv4, because IPv6 files do not have
    /// such ranges.
    pub(crate) fn is_of(&self, family: Family) -> bool {
        match (self.spelling, family) {
            (Spelling::Text(of), family) => of == family,
            (Spelling::Number, Family::V4) => self.end <= Family::V4.last(),
            (Spelling::Number, Family::V6) => {
                self.end > Family::V4.last() || self.start < FIRST_PUBLIC_V4
            }
        }
    }

    /// The first address of a line. The binary search needs no other field.
    pub(crate) fn start_of(mut line: &[u8]) -> Option<u128> {
        take_address(&mut line).map(|(start, _)| start)
    }
}

impl Fields<'_> {
    /// The country code in upper case; none if the field is not two letters.
    pub(crate) fn country(&self) -> Option<String> {
        Some(String::from_utf8_lossy(&self.code()?).into_owned())
    }

    pub(crate) fn has_country(&self) -> bool {
        self.code().is_some()
    }

    fn code(&self) -> Option<[u8; 2]> {
        let code: [u8; 2] = field(&mut { self.0 })?.as_ref().try_into().ok()?;
        code.iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| code.map(|letter| letter.to_ascii_uppercase()))
    }

    /// The number of the autonomous system; none if the range is not routed (AS 0, RFC 7607).
    pub(crate) fn asn(&self) -> Option<u32> {
        let asn = field(&mut { self.0 })?;
        let asn = str::from_utf8(asn.strip_prefix(b"AS").unwrap_or(&asn)).ok()?.parse().ok()?;
        (asn != 0).then_some(asn)
    }

    /// The organisation of the autonomous system. Control characters are replaced.
    pub(crate) fn organisation(&self) -> Option<String> {
        let mut rest = self.0;
        field(&mut rest)?;
        let name = field(&mut rest).filter(|name| !name.is_empty())?;
        Some(mls_event::clean(&name).into_owned())
    }
}

/// Removes the first field from `rest` and unquotes it (RFC 4180, section 2).
fn field<'a>(rest: &mut &'a [u8]) -> Option<Cow<'a, [u8]>> {
    if rest.is_empty() {
        return None;
    }
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
        let text = &rest[..end];
        *rest = rest.get(end + 1..).unwrap_or_default();
        return Some(Cow::Borrowed(text));
    };
    let mut text = Cow::Borrowed(&quoted[..memchr::memchr(b'"', quoted)?]);
    let mut after = &quoted[text.len() + 1..];
    while let Some(more) = after.strip_prefix(b"\"") {
        let end = memchr::memchr(b'"', more)?;
        text.to_mut().push(b'"');
        text.to_mut().extend_from_slice(&more[..end]);
        after = &more[end + 1..];
    }
    *rest = if after.is_empty() { after } else { after.strip_prefix(b",")? };
    Some(text)
}

/// Removes the first field, an address, from `rest`.
fn take_address(rest: &mut &[u8]) -> Option<(u128, Spelling)> {
    // Most addresses are a number before a comma, without quotes.
    let (number, digits) = leading_number(rest);
    if rest.get(digits) == Some(&b',') {
        let number =
            if digits <= SURE { (digits > 0).then_some(number) } else { decimal(&rest[..digits]) };
        *rest = &rest[digits + 1..];
        return Some((number?, Spelling::Number));
    }
    address(&field(rest)?)
}

/// Parses an address: a text such as `1.0.0.0`, or a decimal number.
fn address(text: &[u8]) -> Option<(u128, Spelling)> {
    if text.iter().all(u8::is_ascii_digit) {
        return Some((decimal(text)?, Spelling::Number));
    }
    let ip: IpAddr = str::from_utf8(text).ok()?.parse().ok()?;
    Some((number(ip), Spelling::Text(Family::of(ip))))
}

/// A number of at most this many digits always fits into 128 bits.
const SURE: usize = 38;

/// Converts a text of digits to a number.
fn decimal(text: &[u8]) -> Option<u128> {
    match leading_number(text) {
        (_, 0) => None,
        (number, ..=SURE) => Some(number),
        _ => str::from_utf8(text).ok()?.parse().ok(),
    }
}

/// Returns the number at the beginning of `text`, and how many digits it has. If there are more
/// than [`SURE`] digits, the number is wrong.
fn leading_number(text: &[u8]) -> (u128, usize) {
    let (mut number, mut digits) = (0_u128, 0);
    // Reading numbers takes most of the time of loading a database. So read eight digits at a time:
    // a loop over single digits takes twice as long.
    while let Some(eight) = text[digits..].first_chunk().and_then(|eight| eight_digits(*eight)) {
        number = number.wrapping_mul(100_000_000).wrapping_add(eight.into());
        digits += 8;
    }
    let (mut rest, mut scale) = (0_u64, 1_u64);
    for byte in &text[digits..] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        (rest, scale) = (10 * rest + u64::from(digit), 10 * scale);
        digits += 1;
    }
    (number.wrapping_mul(scale.into()).wrapping_add(rest.into()), digits)
}

/// Converts eight digits to a number: joins digits to pairs, pairs to groups of four, and these to
/// eight. Returns `None` if a byte is not a digit.
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let digits = u64::from_le_bytes(text) ^ (EACH * 0x30);
    let is_other = (digits | digits.wrapping_add(EACH * 6)) & (EACH * 0xf0) != 0;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let eight = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    (!is_other).then_some(eight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_organisations_are_unquoted_and_cleaned() {
        let row = RangeRow::parse(br#"1.0.0.0,1.0.0.255,13335,"Cloud ""Flare"", Inc.""#).unwrap();
        assert_eq!(
            (row.fields.asn(), row.fields.organisation().as_deref()),
            (Some(13335), Some("Cloud \"Flare\", Inc."))
        );
        let row = RangeRow::parse(b"16777216,16777471,AS7,a\x1b[31m\xff\r").unwrap();
        assert_eq!(
            (row.fields.asn(), row.fields.organisation().as_deref()),
            (Some(7), Some("a?[31m\u{fffd}"))
        );
        let row = RangeRow::parse(br#""16777216","16777471","AU""#).unwrap();
        assert_eq!(
            (row.start, row.end, row.fields.country()),
            (0x0100_0000, 0x0100_00ff, Some("AU".into()))
        );
    }

    #[test]
    fn fields_without_a_value_are_unknown() {
        assert_eq!(RangeRow::parse(b"1,2,0,Not routed").unwrap().fields.asn(), None);
        let row = RangeRow::parse(b"1,2,64500").unwrap();
        assert_eq!((row.fields.asn(), row.fields.organisation()), (Some(64500), None));
        assert_eq!(RangeRow::parse(b"1,2,-").unwrap().fields.country(), None);
        assert_eq!(RangeRow::parse(b"1,2,fr").unwrap().fields.country(), Some("FR".into()));
    }

    #[test]
    fn numbers_of_every_width_are_read_and_too_large_ones_refused() {
        let start = |text: &str| RangeRow::start_of(format!("{text},").as_bytes());
        let quoted = |text: &str| RangeRow::start_of(format!("\"{text}\",").as_bytes());
        for (text, number) in [
            ("", None),
            ("0", Some(0)),
            ("9999999999999999999", Some(9_999_999_999_999_999_999)),
            ("18446744073709551616", Some(1 << 64)),
            ("99999999999999999999999999999999999999", Some(10u128.pow(38) - 1)),
            (&u128::MAX.to_string(), Some(u128::MAX)),
            ("340282366920938463463374607431768211456", None),
            ("2001:db8::1", Some(0x2001_0db8_u128 << 96 | 1)),
        ] {
            assert_eq!((start(text), quoted(text)), (number, number), "{text}");
        }
    }

    #[test]
    fn eight_digits_are_read_as_the_standard_library_reads_them() {
        for at in 0..8 {
            for byte in 0..=255 {
                let mut text = *b"90817263";
                text[at] = byte;
                let expected = str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                let expected = expected.filter(|_| byte != b'+');
                assert_eq!(eight_digits(text), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn lines_that_are_not_rows_are_refused() {
        for line in [
            "",
            ",",
            "start,end,country",
            "5,4,FR",
            "1,2",
            "1,2,",
            "\"1,2,FR",
            "\"1\"2,3,FR",
            "<html>",
            "-1,2,FR",
        ] {
            assert_eq!(RangeRow::parse(line.as_bytes()), None, "{line:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic_the_reader(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            if let Some(row) = RangeRow::parse(&[b"1,2,".as_slice(), &line].concat()) {
                let _ = (row.fields.country(), row.fields.asn(), row.fields.organisation());
            }
            let _ = RangeRow::parse(&line);
        }
    }
}
