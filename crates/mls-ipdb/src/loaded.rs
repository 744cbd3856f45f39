//! A sorted CSV in memory, for many lookups.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops;

use crate::row::{Family, Fields};
use crate::survey::{Flaw, Order, lines};

/// What a file says of all addresses; its rows are known to be sorted.
#[derive(Debug)]
pub(crate) struct Loaded {
    family: Family,
    ranges: Ranges,
    /// How many ranges start below each value of the first 16 bits: where the search begins and ends.
    heads: Vec<u32>,
    /// What follows the addresses in the rows, each with a newline.
    fields: Vec<u8>,
}

/// The rows, and the gaps between them, in their order. What a search looks at is small and lies in one place: memory that is far
/// apart takes most of its time.
#[derive(Debug)]
enum Ranges {
    V4(Vec<Range<u32>>),
    V6(Vec<Range<u128>>),
}

/// The addresses up to the start of the next range.
#[derive(Clone, Copy, Debug)]
struct Range<T> {
    start: T,
    said: Said,
}

/// What is said of a range: [`HERE`] and, at the end, two letters, as a country has; or where in the fields it stands, big-endian.
type Said = [u8; 4];

/// No file is as large, nor its fields.
const HERE: u8 = 0x80;

/// Behind the end of the fields.
const NOTHING: Said = [0xff; 4];

/// So many bytes of a file are taken at a time.
const CHUNK: u64 = 1 << 18;

impl Loaded {
    /// Reads `length` bytes of `file` from its beginning, and checks that they are sorted rows.
    ///
    /// # Errors
    /// Those of reading; what is wrong with the rows is inside.
    pub(crate) fn read(file: &File, family: Family, length: u64) -> io::Result<Result<Self, Flaw>> {
        let ranges = match family {
            Family::V4 => Ranges::V4(Vec::new()),
            Family::V6 => Ranges::V6(Vec::new()),
        };
        let mut file = file;
        // Who is told why it cannot be loaded may ask once more.
        file.rewind()?;
        let mut loaded = Self { family, ranges, heads: vec![0; HEADS + 1], fields: Vec::new() };
        let (mut file, mut chunk, mut order) = (file.take(length), Vec::new(), Order::default());
        // Where the next row starts if there is no gap.
        let mut next = Some(0);
        loop {
            let read = file.by_ref().take(CHUNK).read_to_end(&mut chunk)?;
            let end = if read == 0 { Some(chunk.len()) } else { memchr::memrchr(b'\n', &chunk) };
            let Some(end) = end else { continue };
            for line in lines(&chunk[..end]) {
                let row = match order.row(line) {
                    Ok(row) => row,
                    Err(flaw) => return Ok(Err(flaw)),
                };
                if let Some(gap) = next.filter(|next| *next < row.start) {
                    loaded.push(gap, NOTHING);
                }
                let said = loaded.said(row.fields);
                loaded.push(row.start, said);
                next = row.end.checked_add(1).filter(|next| *next <= family.last());
            }
            if read == 0 {
                break;
            }
            chunk.drain(..=end);
        }
        if let Some(gap) = next {
            loaded.push(gap, NOTHING);
        }
        for n in 1..loaded.heads.len() {
            loaded.heads[n] += loaded.heads[n - 1];
        }
        Ok(order.sorted().map(|()| loaded))
    }

    fn said(&mut self, fields: Fields<'_>) -> Said {
        if let [a, b] = *fields.0 {
            return [HERE, 0, a, b];
        }
        let place = u32::try_from(self.fields.len()).map_or(NOTHING, u32::to_be_bytes);
        self.fields.extend_from_slice(fields.0);
        self.fields.push(b'\n');
        place
    }

    fn push(&mut self, start: u128, said: Said) {
        self.heads[head(start, self.family) + 1] += 1;
        match &mut self.ranges {
            Ranges::V4(ranges) => {
                ranges.push(Range { start: u32::try_from(start).unwrap_or(u32::MAX), said });
            }
            Ranges::V6(ranges) => ranges.push(Range { start, said }),
        }
    }

    /// What the row says whose range holds `number`.
    pub(crate) fn look(&self, number: u128) -> Option<Fields<'_>> {
        let head = head(number, self.family);
        let among = self.heads[head] as usize..self.heads[head + 1] as usize;
        let said = match &self.ranges {
            Ranges::V4(ranges) => find(ranges, among, u32::try_from(number).ok()?),
            Ranges::V6(ranges) => find(ranges, among, number),
        };
        match said? {
            [HERE, _, letters @ ..] => Some(Fields(letters)),
            place => {
                let fields = self.fields.get(u32::from_be_bytes(*place) as usize..)?;
                Some(Fields(&fields[..memchr::memchr(b'\n', fields)?]))
            }
        }
    }
}

const HEADS: usize = 1 << 16;

/// The first 16 bits of an address.
fn head(number: u128, family: Family) -> usize {
    let bits = match family {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    (number >> (bits - 16)) as usize % HEADS
}

/// What is said of `number`: by the last of these that does not start behind it, or the one before them.
fn find<T: PartialOrd + Copy>(
    ranges: &[Range<T>],
    among: ops::Range<usize>,
    number: T,
) -> Option<&Said> {
    let behind = among.start + ranges[among].partition_point(|range| range.start <= number);
    Some(&ranges[behind.checked_sub(1)?].said)
}
