//! Anonymizes a row of the CSV. The column decides how a cell is replaced.

use std::borrow::Cow;

use mls_event::{Column, clean};
use mls_rows::cell::{self, Unknown};
use mls_rows::row::{BadRow, Decoder, is_header};

use crate::anonymizer::Anonymizer;
use crate::class::Class;

impl Anonymizer {
    /// Appends a row, or a header, with its newline.
    ///
    /// # Errors
    /// [`BadRow`] if the line does not have the nine columns.
    pub fn row(
        &mut self,
        line: &[u8],
        decoder: &mut Decoder,
        out: &mut Vec<u8>,
    ) -> Result<(), BadRow> {
        let Some(cells) = decoder.split(line)? else { return Ok(()) };
        let mut row = csv::Writer::from_writer(out);
        let is_header = is_header(&cells);
        for (cell, column) in cells.into_iter().zip(Column::ALL) {
            // Writing to memory cannot fail.
            let _ = if is_header {
                row.write_field(cell)
            } else {
                row.write_field(self.cell(&clean(cell), column).as_bytes())
            };
        }
        let _ = row.write_record(None::<&[u8]>);
        Ok(())
    }

    fn cell<'a>(&mut self, cell: &'a str, column: Column) -> Cow<'a, str> {
        let Some(value) = cell::decode(cell) else { return Cow::Borrowed(cell) };
        let mut text = Vec::new();
        match column {
            Column::Asn | Column::Aso if !self.pseudonyms.keeps(Class::Asn) => {
                return cell::encode(None, Unknown::NotAvailable);
            }
            Column::Date
            | Column::ReverseDnsStatus
            | Column::CountryCode
            | Column::Asn
            | Column::Aso => return Cow::Borrowed(cell),
            Column::User => self.pseudonyms.user(&value, &mut text),
            Column::Server | Column::Ip | Column::Hostname => {
                self.pseudonyms.host(value.as_bytes(), &mut text);
            }
        }
        let text = String::from_utf8_lossy(&text);
        Cow::Owned(cell::encode(Some(&text), Unknown::NotAvailable).into_owned())
    }
}
