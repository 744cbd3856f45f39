//! Reads the decompressed lines of a file once, from the beginning to the end.

use std::fs::File;
use std::io::{self, Read};

use mls_event::{ContainerStream, MAX_LINE, without_nul};
use mls_state::cursor_file::WINDOW;

use crate::Compression;
use crate::compression::{CompressedAt, is_damage};
use crate::file::FileRange;

/// A reader of the lines of a file. Its position is an offset in the decompressed bytes.
pub struct Lines {
    content: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    damage: Option<io::Error>,
    compressed_at: CompressedAt,
    position: u64,
    window: Vec<u8>,
}

/// What [`Lines::next`] has read.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Whole lines. At the end of a file, the last line may have no newline.
    Lines(&'a [u8]),
    /// A line of more than [`MAX_LINE`] bytes, or the text of such a line before its last NUL byte.
    TooLong {
        /// The length in bytes.
        length: u64,
        /// If the line is from a container, the result of [`ContainerStream::of_line`].
        container: Option<(ContainerStream, bool)>,
    },
    /// The number of NUL bytes before a line. After `copytruncate`, such bytes come from a writer
    /// that keeps its old offset.
    Nul(u64),
}

impl Lines {
    /// Starts at the beginning of `file` and ends after `limit` bytes.
    pub(crate) fn open(
        file: &File,
        compression: Option<Compression>,
        limit: u64,
    ) -> io::Result<Self> {
        let packed = FileRange { file: file.try_clone()?, offset: 0, end: u64::MAX };
        let compressed_at = CompressedAt::default();
        let content: Box<dyn Read + Send> = match compression {
            Some(Compression::Gzip) => Box::new(compressed_at.gzip_reader(packed)),
            Some(method) => method.decoder(packed),
            None => Box::new(packed),
        };
        Ok(Self {
            content: Box::new(content.take(limit)),
            buffer: vec![0; MAX_LINE],
            start: 0,
            end: 0,
            at_end: false,
            damage: None,
            compressed_at,
            position: 0,
            window: Vec::new(),
        })
    }

    /// Returns the offset of the next byte to read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the last bytes before the position, at most [`WINDOW`].
    #[must_use]
    pub fn window(&self) -> &[u8] {
        &self.window
    }

    /// If the compressed bytes are damaged or not complete, returns the error.
    #[must_use]
    pub fn damage(&self) -> Option<&io::Error> {
        self.damage.as_ref()
    }

    /// Returns the time in the gzip headers that were read so far.
    #[must_use]
    pub fn compressed_at(&self) -> CompressedAt {
        self.compressed_at.clone()
    }

    /// Returns the next `length` bytes, or fewer at the end. Does not move the position.
    ///
    /// # Errors
    /// Any I/O error except damage.
    pub fn peek(&mut self, length: u64) -> io::Result<&[u8]> {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(MAX_LINE);
        while self.end - self.start < length && self.fill()? {}
        Ok(&self.buffer[self.start..self.end.min(self.start + length)])
    }

    /// Skips to `offset`. Returns false if the bytes end before `offset`.
    ///
    /// # Errors
    /// Any I/O error except damage.
    pub fn skip_to(&mut self, offset: u64) -> io::Result<bool> {
        while self.position < offset {
            if self.start == self.end && !self.fill()? {
                return Ok(false);
            }
            let left = usize::try_from(offset - self.position).unwrap_or(usize::MAX);
            self.take(left.min(self.end - self.start));
        }
        Ok(true)
    }

    /// Returns the next lines; `None` at the end.
    ///
    /// # Errors
    /// Any I/O error except damage.
    #[expect(clippy::should_implement_trait, reason = "it lends its buffer, which Iterator cannot")]
    pub fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        while self.fill()? {}
        let have = &self.buffer[self.start..self.end];
        let length = match memchr::memrchr(b'\n', have) {
            Some(newline) => newline + 1,
            None if !self.at_end => {
                let container = ContainerStream::of_line(have);
                if let Some(nul) = memchr::memrchr(0, have) {
                    let length = nul as u64 + 1;
                    let is_nul = without_nul(&have[..nul]).is_empty();
                    self.take(nul + 1);
                    let skipped = Piece::TooLong { length, container };
                    return Ok(Some(if is_nul { Piece::Nul(length) } else { skipped }));
                }
                let length = self.skip_line()?;
                return Ok(Some(Piece::TooLong { length, container }));
            }
            // Damage has cut this line, so do not return it.
            None if self.damage.is_some() => 0,
            None => have.len(),
        };
        let lines = self.start..self.start + length;
        self.take(length);
        Ok((length > 0).then(|| Piece::Lines(&self.buffer[lines])))
    }

    fn skip_line(&mut self) -> io::Result<u64> {
        let start = self.position;
        loop {
            let newline = memchr::memchr(b'\n', &self.buffer[self.start..self.end]);
            self.take(newline.map_or(self.end - self.start, |newline| newline + 1));
            if newline.is_some() || !self.fill()? {
                return Ok(self.position - start);
            }
        }
    }

    fn take(&mut self, length: usize) {
        let keep = usize::try_from(WINDOW).unwrap_or(usize::MAX);
        let taken = &self.buffer[self.start..self.start + length];
        let old = self.window.len().min(keep.saturating_sub(length));
        self.window.drain(..self.window.len() - old);
        self.window.extend_from_slice(&taken[length.saturating_sub(keep)..]);
        self.start += length;
        self.position += length as u64;
    }

    /// Decompresses more bytes. Returns false if the buffer is full or there are no more bytes.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end || self.end - self.start == self.buffer.len() {
            return Ok(false);
        }
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start.., 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match self.content.read(&mut self.buffer[self.end..]) {
            Ok(n) => {
                self.end += n;
                self.at_end = n == 0;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_damage(&error) => (self.at_end, self.damage) = (true, Some(error)),
            Err(error) => return Err(error),
        }
        Ok(!self.at_end)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const METHODS: [Compression; 4] = Compression::ALL;

    fn pack(method: Compression, members: &[&[u8]]) -> Vec<u8> {
        let mut packed = Vec::new();
        for member in members {
            method.compress(&mut &**member, &mut packed).unwrap();
        }
        packed
    }

    fn pieces(method: Compression, packed: &[u8]) -> (Vec<String>, bool) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(packed).unwrap();
        let mut lines = Lines::open(&file, Some(method), u64::MAX).unwrap();
        let mut seen = Vec::new();
        while let Some(piece) = lines.next().unwrap() {
            seen.push(match piece {
                Piece::Lines(lines) => String::from_utf8_lossy(lines).into_owned(),
                Piece::TooLong { length, .. } => format!("<{length}>"),
                Piece::Nul(length) => format!("<{length} NUL>"),
            });
        }
        (seen, lines.damage().is_some())
    }

    #[test]
    fn members_are_one_file_and_the_last_line_needs_no_newline() {
        for method in METHODS {
            assert_eq!(
                pieces(method, &pack(method, &[b"a\nb", b"c\n", b"d"])),
                (vec!["a\nbc\n".into(), "d".into()], false),
                "{method:?}"
            );
            assert_eq!(pieces(method, &pack(method, &[b""])), (vec![], false), "{method:?}");
        }
    }

    #[test]
    fn half_a_file_gives_its_whole_lines_and_is_damaged() {
        let noise: Vec<u8> = (0..250_000u32)
            .flat_map(|n| format!("{}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        for method in METHODS {
            let whole = pack(method, &[&noise]);
            let (lines, damaged) = pieces(method, &whole[..whole.len() / 2]);
            let lines = lines.concat();
            assert!(damaged, "{method:?}");
            assert!(lines.len() > 1000 && lines.ends_with('\n'), "{method:?}: {}", lines.len());
            assert!(noise.starts_with(lines.as_bytes()), "{method:?}");
            for cut in [1, whole.len() - 1] {
                assert!(pieces(method, &whole[..cut]).1, "{method:?} cut at {cut}");
            }
            assert_eq!(pieces(method, b"not compressed"), (vec![], true), "{method:?}");
        }
    }

    #[test]
    fn a_changed_byte_is_damage() {
        let lines = (0..2000u32).flat_map(|n| format!("line {n}\n").into_bytes());
        let lines = lines.collect::<Vec<u8>>();
        for method in METHODS {
            let mut packed = pack(method, &[&lines]);
            let middle = packed.len() / 2;
            packed[middle] ^= 1;
            let (read, damaged) = pieces(method, &packed);
            assert!(damaged || read.concat().as_bytes() == lines, "{method:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_skipped() {
        let long = vec![b'x'; 5 * MAX_LINE];
        let (seen, _) =
            pieces(Compression::Gzip, &pack(Compression::Gzip, &[b"a\n", &long, b"\nb\n"]));
        assert_eq!(seen, ["a\n".to_owned(), format!("<{}>", long.len() + 1), "b\n".into()]);
    }

    #[test]
    fn nul_bytes_in_front_of_a_line_are_skipped_and_text_before_them_is_reported() {
        let nul = vec![0; 5 * MAX_LINE];
        let packed = pack(Compression::Gzip, &[b"a\n", &nul, b"b\n"]);
        let mut seen = pieces(Compression::Gzip, &packed).0;
        seen.retain(|piece| !piece.ends_with(" NUL>"));
        assert_eq!((seen[0].as_str(), seen[1].trim_start_matches('\0')), ("a\n", "b\n"));
        let packed = pack(Compression::Gzip, &[b"a\nhalf a line", &nul, b"b\n"]);
        let mut seen = pieces(Compression::Gzip, &packed).0;
        seen.retain(|piece| !piece.ends_with(" NUL>"));
        let [a, skipped, b] = &seen[..] else { panic!("{}", seen.len()) };
        assert_eq!((a.as_str(), skipped.as_str()), ("a\n", "<1048576>"));
        assert_eq!(b.trim_start_matches('\0'), "b\n");
    }
}
