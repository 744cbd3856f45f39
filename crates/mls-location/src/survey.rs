//! Reads a whole database, checks it, and counts what it holds.

use crate::database::Form;
use crate::kind::Kind;
use crate::mmdb;
use crate::row::{Family, Row, Spelling};
use crate::search::MAX_ROW;

/// What a database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Number of rows, or of networks in an MMDB database.
    pub rows: u64,
    /// Number of IPv4 addresses that the rows cover.
    pub ipv4: u128,
    /// Number of IPv6 addresses that the rows cover.
    pub ipv6: u128,
    /// Number of rows with a country, and of rows with an AS number.
    countries: u64,
    systems: u64,
    /// Whether the rows are in the order of their addresses.
    pub sorted: bool,
}

/// What is wrong with a database, and where.
pub type Flaw = String;

impl Survey {
    /// Surveys the content of a file in the given format.
    ///
    /// # Errors
    /// What is wrong with the content.
    pub fn of(bytes: &[u8], form: Form) -> Result<Self, Flaw> {
        if form.mmdb { Self::of_mmdb(bytes) } else { Self::of_csv(bytes) }
    }

    /// Surveys rows. They may be in any order, which `sorted` reports. Sorted rows must not
    /// overlap.
    ///
    /// # Errors
    /// What is wrong with the rows.
    pub fn of_csv(text: &[u8]) -> Result<Self, Flaw> {
        let text = text.trim_ascii_end();
        if text.is_empty() {
            return Err("it is empty".into());
        }
        let (mut survey, mut order) = (Self::default(), Order::default());
        for line in lines(text) {
            let row = order.row(line)?;
            survey.count(row.fields.has_country(), row.fields.asn().is_some());
        }
        survey.sorted = !order.unsorted;
        match order.family()? {
            Family::V4 => survey.ipv4 = order.covered,
            Family::V6 => survey.ipv6 = order.covered,
        }
        Ok(survey)
    }

    /// Surveys an MMDB file.
    fn of_mmdb(bytes: &[u8]) -> Result<Self, Flaw> {
        let mut survey = Self { sorted: true, ..Self::default() };
        let visited = mmdb::visit(bytes, |network| {
            let covered = match network.family {
                Family::V4 => &mut survey.ipv4,
                Family::V6 => &mut survey.ipv6,
            };
            *covered = covered.saturating_add(network.size);
            survey.count(network.has_country, network.has_asn);
        });
        visited.map_err(|error| error.to_string())?;
        if survey.rows == 0 { Err("it is empty".into()) } else { Ok(survey) }
    }

    fn count(&mut self, country: bool, system: bool) {
        self.rows += 1;
        self.countries += u64::from(country);
        self.systems += u64::from(system);
    }

    /// Whether it is a database of this kind: at least half of the rows have a value. The others
    /// may have none.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        let with_value = match kind {
            Kind::Country => self.countries,
            Kind::System => self.systems,
        };
        with_value * 2 >= self.rows
    }

    /// Whether it covers the same families as another.
    #[must_use]
    pub fn same_families(&self, other: &Self) -> bool {
        (self.ipv4 > 0, self.ipv6 > 0) == (other.ipv4 > 0, other.ipv6 > 0)
    }
}

/// Checks the rows of a CSV one after the other.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Offset of the next line.
    offset: usize,
    /// The last row's addresses.
    last: Option<(u128, u128)>,
    unsorted: bool,
    highest: u128,
    /// Number of addresses that the rows cover.
    covered: u128,
    /// Offset of a row that writes an address as text, for IPv4 and for IPv6.
    spelled: [Option<usize>; 2],
}

impl Order {
    /// Reads the row of the next line, which has no newline. While the rows are sorted, a row must
    /// not overlap the one before.
    pub(crate) fn row<'a>(&mut self, line: &'a [u8]) -> Result<Row<'a>, Flaw> {
        let offset = self.offset;
        if line.len() as u64 > MAX_ROW {
            return Err(format!("byte {offset}: a line is longer than any row"));
        }
        let row = Row::parse(line).ok_or_else(|| format!("byte {offset}: {}", not_a_row(line)))?;
        if let Some((start, end)) = self.last {
            if row.start < start {
                self.unsorted = true;
            } else if !self.unsorted && row.start <= end {
                return Err(format!("byte {offset}: the range overlaps the one before it"));
            }
        }
        match row.spelling {
            Spelling::Number => {}
            Spelling::Text(Family::V4) => self.spelled[0] = Some(offset),
            Spelling::Text(Family::V6) => self.spelled[1] = Some(offset),
        }
        self.last = Some((row.start, row.end));
        self.highest = self.highest.max(row.end);
        self.covered = self.covered.saturating_add(row.end - row.start).saturating_add(1);
        self.offset += line.len() + 1;
        Ok(row)
    }

    /// The family of all rows, after the last.
    fn family(&self) -> Result<Family, Flaw> {
        let family = Family::of_highest(self.highest);
        match (family, self.spelled) {
            (Family::V4, [_, None]) | (Family::V6, [None, _]) => Ok(family),
            (_, [v4, v6]) => {
                let offset = v4.or(v6).unwrap_or(0);
                Err(format!("byte {offset}: IPv4 and IPv6 need a file each"))
            }
        }
    }

    /// After the last row: whether all rows are of one family and sorted.
    pub(crate) fn sorted(&self) -> Result<(), Flaw> {
        self.family()?;
        if self.unsorted { Err("the rows are not sorted".into()) } else { Ok(()) }
    }
}

/// The lines of a text, without their newlines.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', text).chain([text.len()]).map(move |end| {
        let line = &text[start..end];
        start = end + 1;
        line
    })
}

pub(crate) fn not_a_row(line: &[u8]) -> String {
    let text: String = mls_event::clean(line).chars().take(60).collect();
    format!("{text:?} is not a row such as 16777216,16777471,AU")
}

/// Sorts the rows by their first addresses.
#[must_use]
pub fn sort(text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<_> =
        lines(text.trim_ascii_end()).map(|line| (Row::start_of(line), line)).collect();
    lines.sort_by_key(|(start, _)| *start);
    lines.iter().flat_map(|(_, line)| line.iter().chain(b"\n")).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(text: &str) -> String {
        Survey::of_csv(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_survey_has_rows_coverage_kind_and_order() {
        let survey = Survey::of_csv(b"10,19,FR\n30,39,-\n20,29,DE\n").unwrap();
        assert_eq!((survey.rows, survey.ipv4, survey.ipv6, survey.sorted), (3, 30, 0, false));
        assert!(survey.is(Kind::Country) && !survey.is(Kind::System));
        let survey = Survey::of_csv(b"2a00::,2a00::ff,64500,x\n2a01::,2a01::,0,none").unwrap();
        assert_eq!((survey.rows, survey.ipv4, survey.ipv6, survey.sorted), (2, 0, 257, true));
        assert!(survey.is(Kind::System) && !survey.is(Kind::Country));
        let all = format!("0,{},ZZ", u128::MAX);
        assert_eq!(Survey::of_csv(all.as_bytes()).unwrap().ipv6, u128::MAX);
    }

    #[test]
    fn what_is_wrong_is_reported_with_its_offset() {
        assert_eq!(flaw(""), "it is empty");
        assert_eq!(flaw("\r\n \n"), "it is empty");
        assert!(flaw("1,2,FR\n<html>\n").starts_with("byte 7: \"<html>\" is not a row"));
        assert!(flaw("1,2,FR\n\n3,4,FR").starts_with("byte 7: \"\" is not a row"));
        assert_eq!(
            flaw(&format!("1,2,FR\n3,4,FR,{}", "x".repeat(70_000))),
            "byte 7: a line is longer than any row"
        );
        assert_eq!(flaw("1,5,FR\n5,9,FR"), "byte 7: the range overlaps the one before it");
        assert_eq!(
            flaw("1.0.0.0,1.0.0.1,FR\n2a00::,2a00::1,FR"),
            "byte 0: IPv4 and IPv6 need a file each"
        );
    }

    #[test]
    fn sorting_keeps_the_rows_and_reveals_overlaps() {
        assert_eq!(sort(b"30,39,FR\r\n10,19,FR\n20,29,FR"), b"10,19,FR\n20,29,FR\n30,39,FR\r\n");
        let sorted = sort(b"30,39,FR\n10,30,FR\n");
        assert_eq!(
            Survey::of_csv(&sorted).unwrap_err(),
            "byte 9: the range overlaps the one before it"
        );
    }
}
