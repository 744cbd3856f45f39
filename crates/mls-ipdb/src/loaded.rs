//! A sorted CSV in memory, for many lookups.

use std::fs::File;
use std::io::{self, Read};
use std::ops;

use crate::row::{Family, Fields};
use crate::survey::{self, Flaw};

/// A file in memory, all of whose rows are known to be sorted.
#[derive(Debug)]
pub(crate) struct Loaded {
    bytes: Vec<u8>,
    family: Family,
    rows: Rows,
    /// How many rows start below each value of the first 16 bits: where the search begins and ends.
    heads: Vec<u32>,
}

/// The rows in their order. What a search looks at lies in one place: memory that is far apart takes most of its time.
#[derive(Debug)]
enum Rows {
    V4(Vec<Range<u32>>),
    V6(Vec<Range<u128>>),
}

/// A row's first and last address, and what it says of them.
#[derive(Clone, Copy, Debug)]
struct Range<T> {
    start: T,
    end: T,
    said: Said,
}

/// What a row says.
#[derive(Clone, Copy, Debug)]
enum Said {
    /// These two bytes, as all rows of a database of countries do: no look at the file, which is far away.
    Here([u8; 2]),
    /// What stands in the file from here to the end of the line: no file has 4 GiB.
    At(u32),
}

impl Loaded {
    /// Reads `length` bytes of `file` from its beginning, and checks that they are sorted rows.
    ///
    /// # Errors
    /// Those of reading; what is wrong with the rows is inside.
    pub(crate) fn read(file: &File, family: Family, length: u64) -> io::Result<Result<Self, Flaw>> {
        let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Self::of(bytes, family))
    }

    fn of(bytes: Vec<u8>, family: Family) -> Result<Self, Flaw> {
        let mut rows = match family {
            Family::V4 => Rows::V4(Vec::new()),
            Family::V6 => Rows::V6(Vec::new()),
        };
        let mut heads = vec![0; HEADS + 1];
        let order = survey::rows(&bytes, |offset, row| {
            let said = match bytes[offset..] {
                [a, b, b'\n', ..] => Said::Here([a, b]),
                _ => Said::At(u32::try_from(offset).unwrap_or(u32::MAX)),
            };
            heads[head(row.start, family) + 1] += 1;
            let narrow = |number| u32::try_from(number).unwrap_or(u32::MAX);
            match &mut rows {
                Rows::V4(rows) => rows.push(Range { start: narrow(row.start), end: narrow(row.end), said }),
                Rows::V6(rows) => rows.push(Range { start: row.start, end: row.end, said }),
            }
        })?;
        if !order.sorted {
            return Err("the rows are not sorted".into());
        }
        for n in 1..heads.len() {
            heads[n] += heads[n - 1];
        }
        Ok(Self { bytes, family, rows, heads })
    }

    /// What the row says whose range holds `number`.
    pub(crate) fn look(&self, number: u128) -> Option<Fields<'_>> {
        let head = head(number, self.family);
        let among = self.heads[head] as usize..self.heads[head + 1] as usize;
        let said = match &self.rows {
            Rows::V4(rows) => find(rows, among, u32::try_from(number).ok()?),
            Rows::V6(rows) => find(rows, among, number),
        };
        match said? {
            Said::Here(fields) => Some(Fields::of(fields)),
            Said::At(place) => {
                let line = self.bytes.get(*place as usize..)?;
                Some(Fields::of(&line[..memchr::memchr(b'\n', line).unwrap_or(line.len())]))
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

/// What the row says that holds `number`: the last of these that does not start behind it, or the one before them.
fn find<T: PartialOrd + Copy>(rows: &[Range<T>], among: ops::Range<usize>, number: T) -> Option<&Said> {
    let after = among.start + rows[among].partition_point(|row| row.start <= number);
    let row = &rows[after.checked_sub(1)?];
    (number <= row.end).then_some(&row.said)
}
