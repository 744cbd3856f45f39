//! A CSV of failed logins, as mls-csv writes it.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, TimeDelta};
use mls_event::Column;

use crate::ipdb::{COUNTRIES, ORGANISATIONS};
use crate::random::Random;

/// How often addresses and users repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Variety {
    /// About 20,000 addresses and 4,000 users; a few of them make most attempts
    Usual,
    /// A different address and user in each row: the worst case for the memory of a report
    Distinct,
}

const STATUSES: [&str; 4] = ["Errno 1", "Errno 1", "Errno 2", "Errno 4"];

/// Writes the header and `rows` rows in order of time. They are spread evenly over `days` days; the
/// last day is 30 June 2026.
///
/// # Errors
/// Any error of `out`.
pub fn write(
    seed: u64,
    rows: u64,
    days: u32,
    logins: Variety,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut random = Random::new(seed);
    // 1 July 2026.
    let end = DateTime::from_timestamp(1_782_864_000, 0).unwrap_or_default();
    let minutes = u64::from(days) * 24 * 60;
    writeln!(out, "{}", Column::HEADER)?;
    for i in 0..rows {
        let left = minutes
            - u64::try_from(u128::from(minutes) * u128::from(i) / u128::from(rows))
                .unwrap_or_default();
        let at = end - TimeDelta::minutes(left.cast_signed());
        let (ip, user) = match logins {
            Variety::Usual => (skewed(&mut random, 20_000), skewed(&mut random, 4_000)),
            Variety::Distinct => (i, i),
        };
        // All rows of an address have the same host name, country and AS.
        let mut of_ip = Random::new(seed ^ (ip + 1));
        write!(out, "mx1,{},{},", at.format("%Y-%m-%d %H:%M"), address(ip, of_ip.below(10) == 0))?;
        match user % 50 {
            0 => write!(out, "\"evil{user}\"\"; DROP TABLE x;--\"")?,
            1 => write!(out, "'=cmd{user}|' /C calc'!A0")?,
            2 => write!(out, "élève{user}@exémple.test")?,
            _ => write!(out, "user{user}@example.test")?,
        }
        if of_ip.below(3) == 0 {
            write!(out, ",host{ip}.example.net,OK")?;
        } else {
            write!(out, ",null,{}", of_ip.pick(&STATUSES))?;
        }
        let (country, asn) = (of_ip.pick::<&str>(&COUNTRIES), 1 + of_ip.below(40_000));
        let organisation = Random::new(asn).pick::<&str>(&ORGANISATIONS);
        writeln!(out, ",{country},{asn},{organisation}")?;
    }
    Ok(())
}

/// Returns a random number below `bound`. Small numbers are far more frequent.
fn skewed(random: &mut Random, bound: u64) -> u64 {
    random.below(bound) * random.below(bound) / bound
}

/// Returns a different address for each number.
fn address(number: u64, v6: bool) -> String {
    if v6 {
        return Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(number) << 64 | 1).to_string();
    }
    // Multiplication by an odd factor maps different numbers to different numbers.
    let spread = u32::try_from(number % (1 << 32)).unwrap_or_default().wrapping_mul(0x9e37_79b1);
    Ipv4Addr::from_bits(spread).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn rows(logins: Variety) -> Vec<String> {
        let mut out = Vec::new();
        write(1, 10_000, 30, logins, &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn rows_are_in_order_and_spread_over_the_days() {
        let dates: Vec<_> = rows(Variety::Usual)
            .iter()
            .map(|row| row.split(',').nth(1).unwrap().to_owned())
            .collect();
        assert!(dates.is_sorted());
        assert_eq!((dates[0].as_str(), &dates[9999][..10]), ("2026-06-01 00:00", "2026-06-30"));
        let days: BTreeSet<_> = dates.iter().map(|date| &date[..10]).collect();
        assert_eq!(days.len(), 30);
    }

    #[test]
    fn addresses_repeat_in_usual_rows_and_not_in_distinct_rows() {
        let addresses = |logins| {
            rows(logins)
                .iter()
                .map(|row| row.split(',').nth(2).unwrap().to_owned())
                .collect::<BTreeSet<_>>()
                .len()
        };
        assert_eq!(addresses(Variety::Distinct), 10_000);
        assert!(addresses(Variety::Usual) < 7_000);
    }
}
