//! A sorted CSV in memory, for many lookups.

use std::fs::File;
use std::io;
use std::ops;

use crate::row::{Family, Fields};
use crate::survey::{Flaw, Order};

/// The ranges and fields of a file. Its rows were checked to be sorted.
#[derive(Debug)]
pub(crate) struct LoadedCsv {
    family: Family,
    ranges: Ranges,
    /// For each value of the first 16 bits, the number of ranges that start below it. A search is
    /// limited to the ranges between two of these numbers.
    heads: Vec<u32>,
    /// The fields of the rows, each with a newline. Fields that are only a country code are not
    /// here, because a [`FieldsRef`] holds them.
    fields: Vec<u8>,
}

/// The rows and the gaps between them, in order. Access to distant memory takes most of the time of
/// a search, so the array that a search reads is small and contiguous.
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
/// Otherwise the bytes are the offset of the fields, big-endian.
type FieldsRef = [u8; 4];

/// The first byte of inline fields. An offset is never large enough to begin with it.
const INLINE: u8 = 0x80;

/// An offset beyond the end of all fields: a gap.
const GAP: FieldsRef = [0xff; 4];

impl LoadedCsv {
    /// Reads `length` bytes of `file` from its beginning, and checks that they are sorted rows. The
    /// inner result says what is wrong with the rows.
    pub(crate) fn read(file: &File, family: Family, length: u64) -> io::Result<Result<Self, Flaw>> {
        let ranges = match family {
            Family::V4 => Ranges::V4(Vec::new()),
            Family::V6 => Ranges::V6(Vec::new()),
        };
        let mut loaded = Self { family, ranges, heads: vec![0; HEADS + 1], fields: Vec::new() };
        let mut order = Order::default();
        // The start of the next row if there is no gap.
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

    /// The fields of the row whose range holds `number`.
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
