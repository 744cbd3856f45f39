//! Tests of reading blocks.

use mls_event::{Begin, Body, Checkpoint, End, Timestamp};

use super::*;

/// A reader like a pipe: one read returns at most `.1` bytes.
struct Pieces(Vec<u8>, usize);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.1.min(self.0.len()).min(buffer.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0.drain(..n);
        Ok(n)
    }
}

fn before_last_block(input: &[u8], piece: usize) -> Vec<u8> {
    let mut blocks = Blocks::new(Box::new(Pieces(input.to_vec(), piece)), "old.log");
    let (mut before, mut batch) = (Vec::new(), Batch::default());
    while let Some(next) = blocks.next(batch, || Ok(())).unwrap() {
        for block in next.blocks() {
            if let Block::Lines(_, place) = block {
                before = place.before.to_vec();
            }
        }
        batch = next;
    }
    before
}

fn read(input: &[u8], piece: usize) -> anyhow::Result<Vec<String>> {
    let mut blocks = Blocks::new(Box::new(Pieces(input.to_vec(), piece)), "old.log");
    let (mut seen, mut batch) = (Vec::new(), Batch::default());
    while let Some(next) = blocks.next(batch, || Ok(()))? {
        for block in next.blocks() {
            match block {
                Block::Record(line) => seen.push(mls_event::kind(line).unwrap().into_owned()),
                Block::Lines(bytes, place) => {
                    let mut offset = place.offset;
                    for line in bytes.split_inclusive(|b| *b == b'\n') {
                        seen.push(format!("{offset} {}", String::from_utf8_lossy(line)));
                        offset += line.len() as u64;
                    }
                }
            }
        }
        batch = next;
    }
    Ok(seen)
}

fn segment(offset: u64, content: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mtime = Timestamp::parse("2026-11-21T07:00:00Z").unwrap();
    let (source, generation, length) = ("/log".into(), "g".into(), content.len() as u64);
    Segment { source, generation, offset, length, mtime, before: String::new() }
        .write_line(&mut out);
    out.extend_from_slice(content.as_bytes());
    out
}

fn framed(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    Begin { base: 1 }.write_line(&mut out);
    out.extend(parts.concat());
    Checkpoint { cursor: serde_json::json!(1) }.write_line(&mut out);
    out
}

#[test]
fn plain_lines_are_whole_however_reads_cut_them() {
    for piece in [1, 2, 3, 7, 100] {
        assert_eq!(
            read(b"one\ntwo\n\nthree", piece).unwrap(),
            ["0 one\n", "4 two\n", "8 \n", "9 three"]
        );
        assert!(read(b"", piece).unwrap().is_empty());
    }
}

#[test]
fn gzip_is_refused_for_every_size_of_reads() {
    for piece in [1, 2, 100] {
        let error = read(b"\x1f\x8b\x08\0no newline", piece).unwrap_err();
        assert_eq!(
            (Exit::of(&error), error.to_string().contains("gzip")),
            (Exit::DataErr, true),
            "{error}"
        );
        for plain in [&b"\x1f"[..], b"\x1f\n\x8b\n", b"a\n\x1f\x8b\n"] {
            assert_eq!(
                read(plain, piece).unwrap().len(),
                plain.split_inclusive(|b| *b == b'\n').count()
            );
        }
    }
}

#[test]
fn lines_of_segments_have_offsets_and_are_never_records() {
    let mut input = framed(&[segment(10, "a\n{\"v\":1,\"type\":\"end\"}\n"), segment(90, "b\n")]);
    End {}.write_line(&mut input);
    input.extend_from_slice(b"after the end\n");
    for piece in [1, 5, 64, 1000] {
        let seen = read(&input, piece).unwrap();
        assert_eq!(
            seen,
            ["begin", "10 a\n", "12 {\"v\":1,\"type\":\"end\"}\n", "90 b\n", "checkpoint", "end"]
        );
    }
}

#[test]
fn frames_that_stop_early_or_are_broken_are_errors() {
    let whole = framed(&[segment(0, "a\nb\n")]);
    for cut in [whole.len(), whole.len() - 5, whole.len() - 40] {
        assert_eq!(Exit::of(&read(&whole[..cut], 9).unwrap_err()), Exit::TempFail, "{cut}");
    }
    for broken in [b"no record\n".to_vec(), segment(0, "no newline"), segment(u64::MAX, "a\n")]
        .map(|part| framed(&[part]))
    {
        let error = read(&broken, 9).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::DataErr);
        assert!(error.to_string().starts_with("old.log: "), "{error}");
    }
}

#[test]
fn whether_a_line_is_too_long_does_not_depend_on_the_size_of_reads() {
    for (length, kept) in [(MAX_LINE - 1, true), (MAX_LINE, false), (3 * MAX_LINE + 5, false)] {
        let mut input = b"first\n".to_vec();
        input.extend(std::iter::repeat_n(b'x', length));
        input.extend_from_slice(b"\nlast\n");
        for piece in [4096, 1 << 30] {
            let seen = read(&input, piece).unwrap();
            assert_eq!(seen.len(), if kept { 3 } else { 2 }, "{length}, {piece}");
            assert_eq!(*seen.last().unwrap(), format!("{} last\n", length + 7));
        }
    }
}

#[test]
fn the_lines_before_a_segment_are_those_that_it_names() {
    for content in ["a\n".to_owned(), "\0".repeat(3 * MAX_LINE) + "a\n"] {
        let mtime = Timestamp::parse("2026-11-21T07:00:00Z").unwrap();
        let named = Segment {
            source: "/log".into(),
            generation: "g".into(),
            offset: 90,
            length: content.len() as u64,
            mtime,
            before: "named\n".into(),
        };
        let mut second = Vec::new();
        named.write_line(&mut second);
        second.extend_from_slice(content.as_bytes());
        let mut input = framed(&[segment(10, "old\n"), second]);
        End {}.write_line(&mut input);
        assert_eq!(before_last_block(&input, 1 << 30), b"named\n", "{} bytes", content.len());
    }
}

#[test]
fn the_lines_before_a_block_do_not_depend_on_the_size_of_reads() {
    let long = format!("{}\n", "x".repeat(700));
    for (lines, expected) in [
        ("one\ntwo\nthree\nlast".to_owned(), "one\ntwo\nthree\n".to_owned()),
        (long.repeat(5) + "two\nlast", long.repeat(2) + "two\n"),
        ("y".repeat(3000) + "\nlast", "\n".to_owned()),
    ] {
        for piece in [1, 2, 7, 100, 701, 1000] {
            let before = before_last_block(lines.as_bytes(), piece);
            assert_eq!(String::from_utf8_lossy(&before), expected, "{piece}");
        }
    }
}
