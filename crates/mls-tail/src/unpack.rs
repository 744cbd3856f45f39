//! A gzip file as the lines it holds, read once from front to back.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use flate2::bufread::MultiGzDecoder;
use mls_event::MAX_LINE;
use mls_state::cursor_file::WINDOW;

/// A position in the decompressed bytes.
pub(crate) struct Unpacked {
    decoder: MultiGzDecoder<BufReader<File>>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    damage: Option<io::Error>,
    position: u64,
    window: Vec<u8>,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// Whole lines. The last line of a file may lack its newline: a compressed file does not grow any more.
    Lines(&'a [u8]),
    /// A line of so many bytes, which is more than [`MAX_LINE`].
    TooLong(u64),
}

impl Unpacked {
    /// Starts at the beginning of `file`. Only one reader of a file can be used at a time: they share its position.
    pub(crate) fn open(file: &File) -> io::Result<Self> {
        let mut file = file.try_clone()?;
        file.rewind()?;
        Ok(Self {
            decoder: MultiGzDecoder::new(BufReader::with_capacity(128 * 1024, file)),
            buffer: vec![0; MAX_LINE],
            start: 0,
            end: 0,
            at_end: false,
            damage: None,
            position: 0,
            window: Vec::new(),
        })
    }

    /// The offset of what comes next.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The last bytes before the position, up to [`WINDOW`] of them.
    pub(crate) fn window(&self) -> &[u8] {
        &self.window
    }

    /// What ended the bytes early: they are not gzip, or not all of it.
    pub(crate) fn damage(&self) -> Option<&io::Error> {
        self.damage.as_ref()
    }

    /// The next bytes, as many as `length` if there are.
    pub(crate) fn peek(&mut self, length: u64) -> io::Result<&[u8]> {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(MAX_LINE);
        while self.end - self.start < length && self.fill()? {}
        Ok(&self.buffer[self.start..self.end.min(self.start + length)])
    }

    /// Goes on to `offset`; false if the bytes end before it.
    pub(crate) fn skip_to(&mut self, offset: u64) -> io::Result<bool> {
        while self.position < offset {
            if self.start == self.end && !self.fill()? {
                return Ok(false);
            }
            let left = usize::try_from(offset - self.position).unwrap_or(usize::MAX);
            self.take(left.min(self.end - self.start));
        }
        Ok(true)
    }

    /// The next lines; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        while self.fill()? {}
        let have = &self.buffer[self.start..self.end];
        let length = match memchr::memrchr(b'\n', have) {
            Some(newline) => newline + 1,
            None if !self.at_end => {
                return self.skip_line().map(|length| Some(Piece::TooLong(length)));
            }
            // Half a line that damage has cut.
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

    /// Decompresses some more; false where the buffer is full or the bytes have ended.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end || self.end - self.start == self.buffer.len() {
            return Ok(false);
        }
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start.., 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match self.decoder.read(&mut self.buffer[self.end..]) {
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

fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(members: &[&[u8]]) -> Vec<u8> {
        let members = members.iter().map(|member| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(member).unwrap();
            encoder.finish().unwrap()
        });
        members.collect::<Vec<_>>().concat()
    }

    fn pieces(packed: &[u8]) -> (Vec<String>, bool) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(packed).unwrap();
        let mut unpacked = Unpacked::open(&file).unwrap();
        let mut seen = Vec::new();
        while let Some(piece) = unpacked.next().unwrap() {
            seen.push(match piece {
                Piece::Lines(lines) => String::from_utf8_lossy(lines).into_owned(),
                Piece::TooLong(length) => format!("<{length}>"),
            });
        }
        (seen, unpacked.damage().is_some())
    }

    #[test]
    fn members_are_one_file_and_the_last_line_needs_no_newline() {
        assert_eq!(
            pieces(&gzip(&[b"a\nb", b"c\n", b"d"])),
            (vec!["a\nbc\n".into(), "d".into()], false)
        );
        assert_eq!(pieces(&gzip(&[b""])), (vec![], false));
    }

    #[test]
    fn half_a_file_gives_its_whole_lines_and_says_so() {
        let noise: Vec<u8> = (0..50_000u32)
            .flat_map(|n| format!("{}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        let whole = gzip(&[&noise]);
        let (lines, damaged) = pieces(&whole[..whole.len() / 2]);
        let lines = lines.concat();
        assert!(
            damaged
                && lines.len() > 1000
                && lines.ends_with('\n')
                && noise.starts_with(lines.as_bytes())
        );
        assert_eq!(pieces(b"no gzip"), (vec![], true));
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_passed_over() {
        let long = vec![b'x'; 5 * MAX_LINE];
        let (seen, _) = pieces(&gzip(&[b"a\n", &long, b"\nb\n"]));
        assert_eq!(seen, ["a\n".to_owned(), format!("<{}>", long.len() + 1), "b\n".into()]);
    }
}
