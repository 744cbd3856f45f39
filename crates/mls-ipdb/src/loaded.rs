//! A sorted CSV in memory, for many lookups.

use std::fs::File;
use std::io::{self, Read};

use crate::row::{Family, Row};
use crate::survey::{self, Flaw};

/// A file in memory, all of whose rows are known to be sorted.
#[derive(Debug)]
pub(crate) struct Loaded {
    bytes: Vec<u8>,
    starts: Starts,
    /// Where each row stands, and where one more would; no file has 4 GiB.
    offsets: Vec<u32>,
}

/// The first address of each row. What the search touches stands close together: memory far apart took most of its time.
#[derive(Debug)]
enum Starts {
    V4(Vec<u32>),
    V6(Vec<u128>),
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
        let mut starts = match family {
            Family::V4 => Starts::V4(Vec::new()),
            Family::V6 => Starts::V6(Vec::new()),
        };
        let mut offsets = Vec::new();
        let order = survey::rows(&bytes, |offset, row| {
            match &mut starts {
                Starts::V4(starts) => starts.push(u32::try_from(row.start).unwrap_or(u32::MAX)),
                Starts::V6(starts) => starts.push(row.start),
            }
            offsets.push(u32::try_from(offset).unwrap_or(u32::MAX));
        })?;
        if !order.sorted {
            return Err("the rows are not sorted".into());
        }
        offsets.push(u32::try_from(bytes.len() + 1).unwrap_or(u32::MAX));
        Ok(Self { bytes, starts, offsets })
    }

    /// The row whose range holds `number`.
    pub(crate) fn look(&self, number: u128) -> Option<Row<'_>> {
        let after = match &self.starts {
            Starts::V4(starts) => starts.partition_point(|start| u128::from(*start) <= number),
            Starts::V6(starts) => starts.partition_point(|start| *start <= number),
        };
        let row = after.checked_sub(1)?;
        let line = self.bytes.get(self.offsets[row] as usize..self.offsets[row + 1] as usize - 1)?;
        Row::parse(line).filter(|row| number <= row.end)
    }
}
