//! Records, and streams of records.

use std::io::{self, Read};

use mls_event::{Body, Record, kind};
use mls_stream::blocks::{Batch, Block, Blocks};
use mls_stream::ndjson::Reader;

/// A record that is printed and parsed again is the same.
pub(crate) fn records(line: &[u8]) {
    let printed = |record: &dyn Fn(&mut Vec<u8>)| {
        let mut line = Vec::new();
        record(&mut line);
        assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
        line.pop();
        line
    };
    match Record::parse(line) {
        Ok(Record::Auth(auth)) => {
            let again = printed(&|out| auth.write_line(out));
            assert!(matches!(Record::parse(&again), Ok(Record::Auth(read)) if read == auth));
        }
        Ok(Record::Alert(alert)) => {
            let again = printed(&|out| alert.write_line(out));
            assert!(matches!(Record::parse(&again), Ok(Record::Alert(read)) if read == alert));
        }
        Ok(Record::Segment(segment)) => {
            let again = printed(&|out| segment.write_line(out));
            assert!(matches!(Record::parse(&again), Ok(Record::Segment(read)) if read == segment));
        }
        Ok(Record::Checkpoint(checkpoint)) => {
            let again = printed(&|out| checkpoint.write_line(out));
            assert!(
                matches!(Record::parse(&again), Ok(Record::Checkpoint(read)) if read == checkpoint)
            );
        }
        Ok(Record::Gap(gap)) => {
            let again = printed(&|out| gap.write_line(out));
            assert!(matches!(Record::parse(&again), Ok(Record::Gap(read)) if read == gap));
        }
        Ok(Record::Begin(_) | Record::End(_) | Record::Other(_)) => assert!(kind(line).is_ok()),
        Err(_) => {}
    }
}

/// A reader that returns the bytes in pieces of one size, as a pipe can.
struct Pieces {
    bytes: Vec<u8>,
    start: usize,
    size: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = (&self.bytes[self.start..]).take(self.size as u64).read(buffer)?;
        self.start += n;
        Ok(n)
    }
}

/// The content of a framed or plain stream: lines, records, and the error or success at its end.
#[derive(Debug, PartialEq)]
struct Content {
    lines: Vec<u8>,
    records: Vec<Vec<u8>>,
    end: Result<(), String>,
}

fn content(bytes: &[u8], size: usize) -> Content {
    let pieces = Pieces { bytes: bytes.to_vec(), start: 0, size };
    let mut blocks = Blocks::new(Box::new(pieces), "input");
    let (mut lines, mut records) = (Vec::new(), Vec::new());
    let mut batch = Batch::default();
    let end = loop {
        match blocks.next(batch, || Ok(())) {
            Ok(Some(next)) => batch = next,
            Ok(None) => break Ok(()),
            Err(error) => break Err(format!("{error:#}")),
        }
        for block in batch.blocks() {
            match block {
                Block::Lines(text, place) => {
                    if let Some(segment) = place.segment {
                        let end = place.offset + text.len() as u64;
                        assert!(
                            place.offset >= segment.offset
                                && end <= segment.offset + segment.length
                        );
                        assert!(text.ends_with(b"\n"));
                    }
                    lines.extend_from_slice(text);
                }
                Block::Record(line) => records.push(line.to_vec()),
            }
        }
    };
    Content { lines, records, end }
}

/// A stream has the same content for all sizes of reads.
pub(crate) fn frames(bytes: &[u8]) {
    let all = content(bytes, usize::MAX);
    let size = 1 + bytes.first().map_or(0, |first| usize::from(*first) % 7);
    // Each read may search all earlier bytes again, so long inputs are read in larger pieces.
    assert_eq!(content(bytes, size.max(bytes.len() / 64)), all);
}

/// Lines and their offsets must be the same for all sizes of reads.
pub(crate) fn ndjson(bytes: &[u8]) {
    let read = |size| {
        let pieces = Pieces { bytes: bytes.to_vec(), start: 0, size };
        let mut reader = Reader::new(Box::new(pieces), "input");
        let mut lines = Vec::new();
        loop {
            match reader.next_at(|| Ok(())) {
                Ok(Some((offset, line))) => {
                    let start = usize::try_from(offset).expect("a place in the input");
                    assert_eq!(&bytes[start..start + line.len()], line);
                    lines.push((start, line.len()));
                }
                Ok(None) => return (lines, None),
                Err(error) => return (lines, Some(format!("{error:#}"))),
            }
        }
    };
    assert_eq!(read(usize::MAX), read((bytes.len() / 64).max(3)));
}
