//! A sorted CSV in memory, for many lookups.

use std::fs::File;
use std::io;
use std::ops;

use crate::row::{Family, Fields};
use crate::survey::{Flaw, Order};

/// The ranges and fields of a file. [`LoadedCsv::read`] has checked that the rows are sorted.
#[derive(Debug)]
pub(crate) struct LoadedCsv {
    family: Family,
    ranges: Ranges,
    /// `heads[n]` is the number of ranges whose first 16 bits are less than `n`. So a search for an
    /// address that begins with `n` reads only the ranges from `heads[n]` to `heads[n + 1]`.
    heads: Vec<u32>,
    /// The fields of the rows. A newline follows the fields of each row. Fields that are only a
    /// country code are not here: the [`FieldsRef`] contains the code.
    fields: Vec<u8>,
}

/// The rows and the gaps between rows, in order. A search spends most of its time on memory access,
/// so the array that it reads must be small and contiguous.
#[derive(Debug)]
enum Ranges {
    V4(Vec<LoadedRange<u32>>),
    V6(Vec<LoadedRange<u128>>),
}

/// A row or a gap: the addresses from `start` up to the start of the next range.
#[derive(Clone, Copy, Debug)]
struct LoadedRange<T> {
    start: T,
    fields_ref: FieldsRef,
}

/// The fields of a range. If the first byte is [`INLINE`], the last two bytes are a country code.
/// If not, the four bytes are the offset of the fields in [`LoadedCsv::fields`], big-endian.
type FieldsRef = [u8; 4];

/// The first byte of a [`FieldsRef`] with a country code. Offsets are too small for this byte.
const INLINE: u8 = 0x80;

/// The [`FieldsRef`] of a gap: an offset after the end of all fields.
const GAP: FieldsRef = [0xff; 4];

impl LoadedCsv {
    /// Reads the first `length` bytes of `file`, and checks that the rows are sorted. The inner
    /// error says what is wrong with the rows.
    pub(crate) fn read(file: &File, family: Family, length: u64) -> io::Result<Result<Self, Flaw>> {
        let ranges = match family {
            Family::V4 => Ranges::V4(Vec::new()),
            Family::V6 => Ranges::V6(Vec::new()),
        };
        let mut loaded = Self { family, ranges, heads: vec![0; HEADS + 1], fields: Vec::new() };
        let mut order = Order::default();
        // If there is no gap, the next row starts here.
        let mut next = Some(0);
        let rows = order.read(file, length, |row| {
            if let Some(gap) = next.filter(|next| *next < row.start) {
                loaded.push(gap, GAP);
            }
            let fields_ref = loaded.fields_ref(row.fields);
            loaded.push(row.start, fields_ref);
            next = row.end.checked_add(1).filter(|next| *next <= family.last());
        })?;
        if let Err(flaw) = rows {
            return Ok(Err(flaw));
        }
        if let Some(gap) = next {
            loaded.push(gap, GAP);
        }
        for n in 1..loaded.heads.len() {
            loaded.heads[n] += loaded.heads[n - 1];
        }
        Ok(order.sorted().map(|()| loaded))
    }

    fn fields_ref(&mut self, fields: Fields<'_>) -> FieldsRef {
        if let [a, b] = *fields.0 {
            return [INLINE, 0, a, b];
        }
        let place = u32::try_from(self.fields.len()).map_or(GAP, u32::to_be_bytes);
        self.fields.extend_from_slice(fields.0);
        self.fields.push(b'\n');
        place
    }

    fn push(&mut self, start: u128, fields_ref: FieldsRef) {
        self.heads[head(start, self.family) + 1] += 1;
        match &mut self.ranges {
            Ranges::V4(ranges) => {
                ranges.push(LoadedRange {
                    start: u32::try_from(start).unwrap_or(u32::MAX),
                    fields_ref,
                });
            }
            Ranges::V6(ranges) => ranges.push(LoadedRange { start, fields_ref }),
        }
    }

    /// The fields of the row whose range contains `number`.
    pub(crate) fn find(&self, number: u128) -> Option<Fields<'_>> {
        let head = head(number, self.family);
        let among = self.heads[head] as usize..self.heads[head + 1] as usize;
        let fields_ref = match &self.ranges {
            Ranges::V4(ranges) => find(ranges, among, u32::try_from(number).ok()?),
            Ranges::V6(ranges) => find(ranges, among, number),
        };
        match fields_ref? {
            [INLINE, _, letters @ ..] => Some(Fields(letters)),
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

/// The fields of the last range that starts at `number` or before it.
fn find<T: PartialOrd + Copy>(
    ranges: &[LoadedRange<T>],
    among: ops::Range<usize>,
    number: T,
) -> Option<&FieldsRef> {
    let after = among.start + ranges[among].partition_point(|range| range.start <= number);
    Some(&ranges[after.checked_sub(1)?].fields_ref)
}
