//! Records in, records out in the same order, although some wait for the DNS.
//!
//! What comes after a record that waits is held behind it, a checkpoint too: it is forwarded when every record before it has
//! been, which takes no longer than the budget.

use std::collections::VecDeque;
use std::net::IpAddr;

use mls_event::{Auth, BadRecord, Begin, Body, Enrichment};
use mls_ipdb::{Databases, Location};
use mls_stream::ndjson::{Reader, Writer};
use mls_stream::signals;

use crate::answer::Answer;
use crate::dns::{Asked, Dns, Promise};
use crate::record::Record;

/// So many bytes are held before reading waits for the DNS.
const MAX_HELD: usize = 4 << 20;

pub(crate) struct Stream {
    databases: Databases,
    /// None with `--no-dns`.
    dns: Option<Dns>,
    writer: Writer,
    held: VecDeque<Held>,
    /// How many bytes `held` has.
    size: usize,
}

enum Held {
    /// Whole lines.
    Lines(Vec<u8>),
    /// A line that waits.
    Waiting { line: Vec<u8>, location: Location, promise: Promise },
}

impl Stream {
    pub(crate) fn new(databases: Databases, dns: Option<Dns>, writer: Writer) -> Self {
        Self { databases, dns, writer, held: VecDeque::new(), size: 0 }
    }

    /// Runs until the input ends.
    pub(crate) fn run(mut self, mut reader: Reader) -> anyhow::Result<()> {
        reader.watch_stdout()?;
        while let Some(line) = reader.next(|| self.pause())? {
            let result = match mls_event::kind(line) {
                Ok(kind) if kind == Auth::KIND => self.auth(line)?,
                Ok(kind) => {
                    if kind == Begin::KIND {
                        signals::drain_until_end_of_input();
                    }
                    self.append(|out| {
                        out.extend_from_slice(line);
                        out.push(b'\n');
                    })?;
                    Ok(())
                }
                Err(why) => Err(why),
            };
            if let Err(why) = result {
                reader.bad(why);
            }
            while self.size > MAX_HELD {
                self.wait(false)?;
            }
        }
        while !self.held.is_empty() {
            self.wait(false)?;
        }
        self.writer.flush()?;
        if let Some(dns) = &mut self.dns {
            dns.finish();
        }
        Ok(())
    }

    fn auth(&mut self, line: &[u8]) -> anyhow::Result<Result<(), BadRecord>> {
        let record = match Record::parse(line) {
            Ok(record) => record,
            Err(why) => return Ok(Err(why)),
        };
        let ip = record.ip();
        let location = ip.map_or_else(Location::default, |ip| locate(&mut self.databases, ip));
        let asked = match (ip, &mut self.dns) {
            (Some(ip), Some(dns)) => dns.ask(ip),
            _ => Asked::Not,
        };
        match asked {
            Asked::Not => self.append(|out| record.write(&enrichment(&location, None), out))?,
            Asked::Known(answer) => {
                self.append(|out| record.write(&enrichment(&location, Some(&answer)), out))?;
            }
            Asked::Waits(promise) => {
                self.size += line.len();
                self.held.push_back(Held::Waiting { line: line.to_vec(), location, promise });
            }
        }
        Ok(Ok(()))
    }

    /// Lets `write` append whole lines, behind what is held.
    fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<()> {
        if self.held.is_empty() {
            return self.writer.with(write);
        }
        if !matches!(self.held.back(), Some(Held::Lines(_))) {
            self.held.push_back(Held::Lines(Vec::new()));
        }
        if let Some(Held::Lines(lines)) = self.held.back_mut() {
            let before = lines.len();
            write(lines);
            self.size += lines.len() - before;
        }
        Ok(())
    }

    /// The input makes us wait: until there is more of it, let go what gets its answer.
    fn pause(&mut self) -> anyhow::Result<()> {
        self.release()?;
        loop {
            self.writer.flush()?;
            if self.held.is_empty() || self.wait(true)? {
                return Ok(());
            }
        }
    }

    fn wait(&mut self, or_input: bool) -> anyhow::Result<bool> {
        let input = self.dns.as_mut().is_none_or(|dns| dns.wait(or_input));
        self.release()?;
        Ok(input)
    }

    /// Writes what waits for nothing any more.
    fn release(&mut self) -> anyhow::Result<()> {
        while let Some(held) = self.held.pop_front() {
            match held {
                Held::Lines(lines) => {
                    self.size -= lines.len();
                    self.writer.with(|out| out.extend_from_slice(&lines))?;
                }
                Held::Waiting { line, location, promise } => {
                    let Some(answer) = promise.get() else {
                        self.held.push_front(Held::Waiting { line, location, promise });
                        return Ok(());
                    };
                    self.size -= line.len();
                    // It was parsed before it was held.
                    if let Ok(record) = Record::parse(&line) {
                        self.writer.with(|out| {
                            record.write(&enrichment(&location, answer.as_ref()), out);
                        })?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn enrichment<'a>(location: &'a Location, answer: Option<&'a Answer>) -> Enrichment<'a> {
    Enrichment {
        hostname: answer.and_then(|answer| answer.hostname.as_deref()).map(Into::into),
        reverse_dns_status: answer.map(|answer| answer.status.text().into()),
        country_code: location.country_code.as_deref().map(Into::into),
        asn: location.asn,
        aso: location.aso.as_deref().map(Into::into),
    }
}

/// A database that turns out to be damaged is no reason to stop the log.
fn locate(databases: &mut Databases, ip: IpAddr) -> Location {
    loop {
        match databases.locate(ip) {
            Ok(location) => return location,
            Err(why) => log::warn!("{why}; going on without it"),
        }
    }
}
