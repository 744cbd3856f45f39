//! Files that are not lines of text, recognized by their first bytes.

use mls_diag::Exit;

/// The first bytes of a kind of file, and the text that says what the file is and what to do with
/// it.
const KINDS: [(&[u8], &str); 9] = [
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
    (
        b"PK\x03\x04",
        "is a spreadsheet or a ZIP file: save the sheet as CSV with commas, or unpack the file first",
    ),
    (
        b"SQLite format 3\0",
        "is an SQLite database: give its records to this tool with mls-sql dump --url sqlite:FILE",
    ),
    (b"LPKSHHRH", "is a journal of systemd: run journalctl --file FILE -o json --all | mls-parse"),
    (b"\x89PNG", "is a picture, not text"),
    (b"\xff\xd8\xff", "is a picture, not text"),
    (b"%PDF-", "is a PDF file, not text"),
    (b"\x7fELF", "is a program, not text"),
];

/// The method of compression of a file, and the text that says what to do with the file.
const COMPRESSED: [(&str, &str); 4] = [
    ("gzip", "is compressed by gzip: decompress it first, for example with zcat"),
    ("xz", "is compressed by xz: decompress it first, for example with xzcat"),
    ("bzip2", "is compressed by bzip2: decompress it first, for example with bzcat"),
    ("zstd", "is compressed by zstd: decompress it first, for example with zstdcat"),
];

const UTF_16: &str = "is text in UTF-16: convert it first, for example with iconv --from-code=UTF-16 --to-code=UTF-8";

/// The program that has compressed a file that begins with these bytes: `gzip` (RFC 1952), `xz`,
/// `bzip2` or `zstd` (RFC 8878).
#[must_use]
pub fn compression_of(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        // The fourth byte is the level of compression.
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', ..] => Some("bzip2"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

/// Says what a file with these first bytes is, and what to do with it. Returns `None` if the file
/// can be text.
#[must_use]
pub fn not_text(head: &[u8]) -> Option<&'static str> {
    // UTF-16 has a NUL at every second byte. A crash can leave NUL bytes in a log, but not in this
    // pattern.
    if let [a, b, c, d, ..] = *head
        && ((a != 0 && b == 0 && c != 0 && d == 0) || (a == 0 && b != 0 && c == 0 && d != 0))
    {
        return Some(UTF_16);
    }
    if let Some(name) = compression_of(head) {
        return COMPRESSED.iter().find(|(known, _)| *known == name).map(|(_, what)| *what);
    }
    KINDS.iter().find(|(start, _)| head.starts_with(start)).map(|(_, what)| *what)
}

/// Fails with exit 65 if `head`, the first bytes of the input, are not text. Without this check, no
/// line would be recognized, and the run could find nothing and exit with 0.
pub(crate) fn check(name: &str, head: &[u8]) -> anyhow::Result<()> {
    not_text(head).map_or(Ok(()), |what| Err(Exit::DataErr.error(format!("{name} {what}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_begins_with_nul_bytes_is_text() {
        for text in [&b"\0\0\0\0\0\0Jun  1"[..], b"Jun  1", b"a\0b", b"", b"\0", b"\xef\xbb\xbfa"] {
            assert_eq!(not_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn bzip2_is_recognized_with_every_level_of_compression() {
        for level in 1..=9 {
            let head = format!("BZh{level}1AY&SY");
            assert_eq!(compression_of(head.as_bytes()), Some("bzip2"), "{level}");
            assert!(not_text(head.as_bytes()).unwrap().contains("bzcat"), "{level}");
        }
        assert_eq!(not_text(b"BZh and other words"), None);
    }

    #[test]
    fn utf_16_is_recognized_with_and_without_a_byte_order_mark() {
        for text in [&b"\xff\xfea\0b\0"[..], b"\xfe\xff\0a\0b", b"2\x000\0", b"\x002\x000"] {
            assert_eq!(not_text(text), Some(UTF_16), "{text:?}");
        }
    }
}
