//! The log of a mail server during password guessing. One line in twenty is a failed login, and one
//! address in ten is IPv6.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, TimeDelta, Utc};

use crate::random::Random;

/// The format of timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stamps {
    /// `2026-06-01T00:00:45.123456+00:00`
    Rfc3339,
    /// `Jun  1 00:00:45`
    Bsd,
    /// Both formats in turn
    Mixed,
}

const MECHANISMS: [&str; 4] = ["LOGIN", "PLAIN", "CRAM-MD5", "login"];
const SERVICES: [&str; 4] = [
    "postfix/smtpd",
    "postfix/submission/smtpd",
    "postfix/smtps/smtpd",
    "postfix-in/submission/smtpd",
];
const REASONS: [&str; 4] = [
    "(reason unavailable)",
    "authentication failure",
    "UGFzc3dvcmQ6",
    "Invalid base64 data in continued response",
];
const USERS: [&str; 12] = [
    "admin",
    "info@example.test",
    "office",
    "test",
    "a, sasl_username=fake",
    "evil\"; DROP TABLE x;--",
    "=cmd|' /C calc'!A0",
    "élève@exémple.test",
    "<script>alert(1)</script>",
    "client=x[1.2.3.4]",
    "user name with spaces",
    "",
];

/// Generates log lines.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    stamps: Stamps,
    at: DateTime<Utc>,
    lines: u64,
    failures: BTreeMap<String, u64>,
}

impl Generator {
    /// A generator with this seed. The log begins on 1 June 2026 and has about forty lines a second.
    #[must_use]
    pub fn new(seed: u64, stamps: Stamps) -> Self {
        let at = DateTime::from_timestamp(1_780_272_000, 0).unwrap_or_default();
        Self { random: Random::new(seed), stamps, at, lines: 0, failures: BTreeMap::new() }
    }

    /// The number of failures written so far, by mechanism in upper case.
    #[must_use]
    pub fn failures(&self) -> &BTreeMap<String, u64> {
        &self.failures
    }

    /// Appends the next line.
    pub fn line(&mut self, out: &mut Vec<u8>) {
        self.lines += 1;
        let step = self.random.below(50_000);
        self.at += TimeDelta::microseconds(step.cast_signed());
        let bsd = self.stamps == Stamps::Bsd
            || (self.stamps == Stamps::Mixed && self.lines.is_multiple_of(2));
        let stamp = if bsd {
            self.at.format("%b %e %H:%M:%S")
        } else {
            self.at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00")
        };
        let (ip, pid) = (self.ip(), 1000 + self.random.below(30_000));
        let service = *self.random.pick(&SERVICES);
        // Writing to memory cannot fail.
        let _ = write!(out, "{stamp} mx1 ");
        let _ = match self.random.below(100) {
            0..5 => self.failure(out, service, pid, ip),
            5..8 => writeln!(
                out,
                "{service}[{pid}]: warning: hostname h{pid}.example.net does not resolve to address {ip}: Name or service not known"
            ),
            8..35 => writeln!(out, "{service}[{pid}]: connect from unknown[{ip}]"),
            35..60 => {
                writeln!(
                    out,
                    "{service}[{pid}]: disconnect from unknown[{ip}] ehlo=1 auth=0/1 quit=1 commands=2/3"
                )
            }
            60..70 => writeln!(
                out,
                "postfix/qmgr[{pid}]: {:010X}: from=<u{pid}@example.test>, size={pid}, nrcpt=1 (queue active)",
                pid * 7_919
            ),
            70..80 => writeln!(
                out,
                "postfix/smtp[{pid}]: {:010X}: to=<u{pid}@example.net>, relay=mx.example.net[{ip}]:25, delay=0.9, delays=0.1/0/0.3/0.5, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4F2C)",
                pid * 7_919
            ),
            80..90 => writeln!(
                out,
                "postfix/cleanup[{pid}]: {:010X}: message-id=<{step}.{pid}@mail.example.test>",
                pid * 7_919
            ),
            90..95 => writeln!(
                out,
                "{service}[{pid}]: {:010X}: client=h{pid}.example.net[{ip}], sasl_method=PLAIN, sasl_username=good{pid}@example.test",
                pid * 7_919
            ),
            _ => writeln!(
                out,
                "{service}[{pid}]: NOQUEUE: reject: RCPT from unknown[{ip}]: 554 5.7.1 <x@example.test>: Relay access denied; from=<a@example.net> to=<x@example.test> proto=ESMTP helo=<h{pid}>"
            ),
        };
    }

    fn failure(
        &mut self,
        out: &mut Vec<u8>,
        service: &str,
        pid: u64,
        ip: IpAddr,
    ) -> std::io::Result<()> {
        let mechanism = *self.random.pick(&MECHANISMS);
        let (reason, user) = (*self.random.pick(&REASONS), *self.random.pick(&USERS));
        *self.failures.entry(mechanism.to_uppercase()).or_default() += 1;
        write!(
            out,
            "{service}[{pid}]: warning: unknown[{ip}]: SASL {mechanism} authentication failed: {reason}"
        )?;
        // Postfix before 3.7.8 does not log the user.
        if self.random.below(4) > 0 {
            writeln!(out, ", sasl_username={user}")
        } else {
            writeln!(out)
        }
    }

    fn ip(&mut self) -> IpAddr {
        let n = self.random.number();
        if n.is_multiple_of(10) {
            return Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(n)).into();
        }
        let [.., a, b, c] = n.to_be_bytes();
        Ipv4Addr::new(1 + a % 223, b, c, 1 + c % 254).into()
    }
}
