//! Reads records and writes them in the same order, although some records wait for the DNS.
//!
//! If a record waits, all lines after this record are queued, also checkpoints. So a checkpoint is
//! written after all records that precede it. The DNS delays a checkpoint at most by the budget.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;

use foldhash::fast::RandomState;
use mls_event::{Auth, BadRecord, Begin, Body, Enrichment};
use mls_location::{IpDatabases, Location};
use mls_stream::ndjson::{Reader, Writer};
use mls_stream::signals;

use crate::answer::DnsAnswer;
use crate::dns::{Dns, Lookup, Pending};
use crate::record::UnenrichedRecord;

/// If more bytes than this number are queued, the tool stops reading until the DNS answers.
/// Addresses with more records in the queue are looked up first.
const MAX_QUEUED: usize = 16 << 20;

/// Largest number of addresses whose locations are remembered. Remembering saves lookups, because
/// an attacker's address usually has many records.
const MAX_RECENT: usize = 4096;

pub(crate) struct Enricher {
    databases: IpDatabases,
    /// Locations of the last addresses.
    recent: HashMap<IpAddr, Rc<Location>, RandomState>,
    /// `None` with the flag `--no-dns`.
    dns: Option<Dns>,
    writer: Writer,
    queue: VecDeque<Queued>,
    /// Number of bytes in `queue`.
    size: usize,
    counts: Counts,
}

enum Queued {
    /// Whole lines.
    Lines(Vec<u8>),
    /// A line that waits for the DNS.
    Waiting { line: Vec<u8>, location: Rc<Location>, answer: Pending },
}

impl Enricher {
    pub(crate) fn new(databases: IpDatabases, dns: Option<Dns>, writer: Writer) -> Self {
        Self {
            databases,
            recent: HashMap::default(),
            dns,
            writer,
            queue: VecDeque::new(),
            size: 0,
            counts: Counts::default(),
        }
    }

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
            while self.size > MAX_QUEUED {
                self.wait(false)?;
            }
        }
        while !self.queue.is_empty() {
            self.wait(false)?;
        }
        self.writer.flush()?;
        if let Some(dns) = &mut self.dns {
            dns.finish();
        }
        self.counts.report();
        Ok(())
    }

    fn auth(&mut self, line: &[u8]) -> anyhow::Result<Result<(), BadRecord>> {
        let record = match UnenrichedRecord::parse(line) {
            Ok(record) => record,
            Err(why) => return Ok(Err(why)),
        };
        let ip = record.ip;
        let location = ip.map(|ip| self.locate(ip)).unwrap_or_default();
        let lookup = match (ip, &mut self.dns) {
            (Some(ip), Some(dns)) => dns.look_up(ip),
            _ => Lookup::Skipped,
        };
        let answer = match lookup {
            Lookup::Skipped => None,
            Lookup::Done(answer) => Some(answer),
            Lookup::Pending(answer) => {
                self.size += line.len();
                self.queue.push_back(Queued::Waiting { line: line.to_vec(), location, answer });
                return Ok(Ok(()));
            }
        };
        let added = enrichment(&location, answer.as_ref());
        self.counts.add(&added);
        self.append(|out| record.write(&added, out))?;
        Ok(Ok(()))
    }

    /// Looks up an address in the databases. Drops a damaged database with a warning.
    fn locate(&mut self, ip: IpAddr) -> Rc<Location> {
        if let Some(known) = self.recent.get(&ip) {
            return Rc::clone(known);
        }
        let location = loop {
            match self.databases.locate(ip) {
                Ok(location) => break Rc::new(location),
                Err(why) => log::warn!("{why}; continuing without this database"),
            }
            self.recent.clear();
        };
        if self.recent.len() >= MAX_RECENT {
            self.recent.clear();
        }
        self.recent.insert(ip, Rc::clone(&location));
        location
    }

    /// Lets `write` append whole lines after the queued lines.
    fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<()> {
        if self.queue.is_empty() {
            return self.writer.with(write);
        }
        if !matches!(self.queue.back(), Some(Queued::Lines(_))) {
            self.queue.push_back(Queued::Lines(Vec::new()));
        }
        if let Some(Queued::Lines(lines)) = self.queue.back_mut() {
            let before = lines.len();
            write(lines);
            self.size += lines.len() - before;
        }
        Ok(())
    }

    /// Runs while the input pauses: writes each record when its answer arrives.
    fn pause(&mut self) -> anyhow::Result<()> {
        self.release()?;
        loop {
            self.writer.flush()?;
            if self.queue.is_empty() || self.wait(true)? {
                return Ok(());
            }
        }
    }

    /// Waits for the DNS or, with `or_input`, for input. Returns whether the input is readable.
    fn wait(&mut self, or_input: bool) -> anyhow::Result<bool> {
        let input = self.dns.as_mut().is_none_or(|dns| dns.wait(or_input));
        self.release()?;
        Ok(input)
    }

    /// Writes the queue up to the first record that still waits.
    fn release(&mut self) -> anyhow::Result<()> {
        while let Some(queued) = self.queue.pop_front() {
            match queued {
                Queued::Lines(lines) => {
                    self.size -= lines.len();
                    self.writer.with(|out| out.extend_from_slice(&lines))?;
                }
                Queued::Waiting { line, location, answer } => {
                    let Some(known) = answer.get() else {
                        self.queue.push_front(Queued::Waiting { line, location, answer });
                        return Ok(());
                    };
                    self.size -= line.len();
                    // The line was parsed before it was queued, so this cannot fail.
                    if let Ok(record) = UnenrichedRecord::parse(&line) {
                        let added = enrichment(&location, known.as_ref());
                        self.counts.add(&added);
                        self.writer.with(|out| record.write(&added, out))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The numbers in the summary of the run.
#[derive(Default)]
struct Counts {
    records: u64,
    countries: u64,
    systems: u64,
    hostnames: u64,
}

impl Counts {
    fn add(&mut self, added: &Enrichment<'_>) {
        self.records += 1;
        self.countries += u64::from(added.country_code.is_some());
        self.systems += u64::from(added.asn.is_some());
        self.hostnames += u64::from(added.hostname.is_some());
    }

    fn report(&self) {
        let [countries, systems, hostnames] =
            [self.countries, self.systems, self.hostnames].map(mls_diag::thousands);
        mls_diag::summary(format_args!(
            "enriched {} ({countries} with a country, {systems} with an AS, {hostnames} with a hostname)",
            mls_diag::count(self.records, "record", "records")
        ));
    }
}

fn enrichment<'a>(location: &'a Location, answer: Option<&'a DnsAnswer>) -> Enrichment<'a> {
    Enrichment {
        hostname: answer.and_then(|answer| answer.hostname.as_deref()).map(Into::into),
        reverse_dns_status: answer.map(|answer| answer.status.text().into()),
        country_code: location.country_code.as_deref().map(Into::into),
        asn: location.asn,
        aso: location.aso.as_deref().map(Into::into),
    }
}
