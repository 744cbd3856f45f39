//! IP databases in the layouts of ip-location-db, and the ranges in them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::random::Random;

/// The number of rows of the published databases in 2026: first countries, then AS, each with the
/// number for IPv4 and the number for IPv6.
const ROWS: [[usize; 2]; 2] = [[237_000, 110_000], [427_000, 95_000]];

/// File names of the databases: countries for IPv4 and IPv6, then AS for IPv4 and IPv6.
pub(crate) const FILES: [&str; 4] =
    ["country_aside.csv", "country_aside-ipv6.csv", "asn.csv", "asn-ipv6.csv"];

pub(crate) const COUNTRIES: [&str; 8] = ["FR", "DE", "US", "CN", "BR", "VN", "ZA", "AU"];
pub(crate) const ORGANISATIONS: [&str; 6] = [
    "Google LLC",
    "\"Example, Inc.\"",
    "\"The \"\"Quoted\"\" Company\"",
    "Orange S.A.",
    "Société Générale",
    "Ü",
];

/// A range of addresses, including both ends, and its entry in the database.
#[derive(Clone, Debug)]
pub struct IpRange {
    /// First address, as a number.
    pub start: u128,
    /// Last address.
    pub end: u128,
    /// Country, or AS number and organisation. The organisation is quoted as in the database.
    pub entry: RangeValue,
}

/// The content of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the kinds of database")]
pub enum RangeValue {
    Country(&'static str),
    System(u32, &'static str),
}

/// Makes sorted ranges, spread over all addresses of the family. Many ranges have only one address,
/// and between many ranges there is no gap.
fn ranges(seed: u64, kind: usize, family: usize) -> Vec<IpRange> {
    let rows = ROWS[kind][family];
    let mut random = Random::new(seed ^ (kind * 2 + family + 1) as u64);
    // IPv4 from 1.0.0.0 to 223.255.255.255, IPv6 the unicast addresses: 2000::/3.
    let (mut at, end) = if family == 0 { (1 << 24, 224 << 24) } else { (1u128 << 125, 1 << 126) };
    let mut ranges = Vec::with_capacity(rows);
    for left in (1..=rows as u128).rev() {
        // A range has at most twice the mean length, so that enough addresses remain for all rows.
        let most = (end - at) / left * 2 - 1;
        let wide = u128::from(random.number()) << 64 | u128::from(random.number());
        let gap = if random.below(4) == 0 { wide % most / 2 } else { 0 };
        let length = if random.below(8) == 0 { 1 } else { 1 + (wide >> 32) % (most - gap) };
        let entry = if kind == 0 {
            RangeValue::Country(random.pick::<&str>(&COUNTRIES))
        } else {
            RangeValue::System(
                u32::try_from(1 + random.below(400_000)).unwrap_or(1),
                random.pick::<&str>(&ORGANISATIONS),
            )
        };
        let start = at + gap;
        at = start + length;
        ranges.push(IpRange { start, end: at - 1, entry });
    }
    ranges
}

/// Converts a number to an address.
#[must_use]
pub fn address(number: u128, family: usize) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if family == 0 => Ipv4Addr::from_bits(number).into(),
        _ => Ipv6Addr::from_bits(number).into(),
    }
}

/// Writes a database of the published size into `directory` under its published name, with addresses
/// as numbers. `kind` is 0 for countries or 1 for AS, `family` is 0 for IPv4 or 1 for IPv6.
/// Returns the rows.
///
/// # Errors
/// Any I/O error.
pub fn save(directory: &Path, seed: u64, kind: usize, family: usize) -> io::Result<Vec<IpRange>> {
    let ranges = ranges(seed, kind, family);
    let mut out = BufWriter::new(File::create(directory.join(FILES[2 * kind + family]))?);
    for IpRange { start, end, entry } in &ranges {
        match entry {
            RangeValue::Country(code) => writeln!(out, "{start},{end},{code}")?,
            RangeValue::System(asn, name) => writeln!(out, "{start},{end},{asn},{name}")?,
        }
    }
    out.flush()?;
    Ok(ranges)
}
