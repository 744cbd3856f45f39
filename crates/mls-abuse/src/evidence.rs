//! Collects the failed logins from the reported network.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use ipnet::IpNet;
use mls_config::zone::Zone;
use mls_diag::{Exit, OnFile, OrExit};
use mls_event::{Auth, MAX_LINE, Outcome, Record, clean};
use mls_rows::row::Decoder;
use mls_state::regular;
use mls_stream::content;
use mls_stream::ndjson::Reader;
use mls_stream::sink::CUT_OFF;
use mls_stream::unreadable::not_logins;

/// A report has at most this number of attempts and of log lines: the last of the input.
const MAX_SHOWN: usize = 50;

/// The largest number of services, of ports and of addresses that are counted separately.
const MAX_NAMES: usize = 1000;

/// The failed logins from one network.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) attempts: u64,
    pub(crate) first: Option<DateTime<Utc>>,
    pub(crate) last: Option<DateTime<Utc>>,
    /// The number of attempts for each address, service and client port.
    pub(crate) addresses: BTreeMap<String, u64>,
    pub(crate) services: BTreeMap<String, u64>,
    pub(crate) ports: BTreeMap<u16, u64>,
    /// The data of the IP databases, such as `AS64500 Example, FR`.
    pub(crate) network: Option<String>,
    /// The last failures, in the order of the input.
    pub(crate) newest: VecDeque<FailedLogin>,
    /// The last log lines that contain an address of the network, in the order of the log.
    pub(crate) lines: VecDeque<String>,
}

/// One failed login, without the user name.
#[derive(Debug)]
pub(crate) struct FailedLogin {
    pub(crate) at: DateTime<Utc>,
    pub(crate) ip: String,
    pub(crate) port: Option<u16>,
    pub(crate) server: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) mechanism: Option<String>,
}

impl Evidence {
    /// Reads CSV or records. Reports and skips bad lines. Exit 75 if a framed stream has no `end`
    /// record.
    pub(crate) fn read(mut reader: Reader, network: IpNet, zone: Zone) -> anyhow::Result<Self> {
        let (mut evidence, mut rows) = (Self::default(), Decoder::new(zone));
        let mut is_cut_off = false;
        while let Some(line) = reader.next(|| Ok(()))? {
            let event = if line.starts_with(b"{") {
                match Record::parse(line) {
                    Ok(Record::Auth(event)) => Ok(Some(event)),
                    Ok(Record::Alert(_)) => return Err(not_logins(reader.name())),
                    Ok(record) => {
                        is_cut_off = matches!(record, Record::Begin(_))
                            || (is_cut_off && !matches!(record, Record::End(_)));
                        Ok(None)
                    }
                    Err(why) => Err(why.to_string()),
                }
            } else {
                rows.decode(line).map_err(|why| why.to_string())
            };
            match event {
                Ok(Some(event)) => evidence.add(&event, network),
                Ok(None) => {}
                Err(why) => reader.bad(why),
            }
        }
        if is_cut_off {
            return Err(Exit::TempFail.error(CUT_OFF));
        }
        Ok(evidence)
    }

    fn add(&mut self, event: &Auth<'_>, network: IpNet) {
        let Some(ip) = event.ip.filter(|ip| network.contains(ip)) else { return };
        if event.outcome != Outcome::Failure {
            return;
        }
        let (at, n) = (event.date.at().to_utc(), u64::from(event.rows(Outcome::Failure)));
        self.attempts += n;
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        let text = |text: Option<&std::borrow::Cow<'_, str>>| {
            text.map(|text| clean(text.as_bytes()).into_owned())
        };
        let service = text(event.service.as_ref());
        count(&mut self.addresses, Some(ip.to_string()), n);
        count(&mut self.services, service.clone(), n);
        count(&mut self.ports, event.port, n);
        if let Some(added) = &event.enrichment {
            let asn = added.asn.map(|asn| format!("AS{asn}"));
            let parts = [asn, text(added.aso.as_ref()), text(added.country_code.as_ref())];
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            self.network = (!parts.is_empty()).then(|| parts.join(", ")).or(self.network.take());
        }
        let (server, mechanism) = (text(event.server.as_ref()), text(event.mechanism.as_ref()));
        let (ip, port) = (ip.to_string(), event.port);
        push(&mut self.newest, FailedLogin { at, ip, port, server, service, mechanism });
    }

    /// Adds the lines of the log `path` that contain an address of `network`.
    pub(crate) fn read_log(&mut self, path: &Path, network: IpNet) -> anyhow::Result<()> {
        let mut log = BufReader::new(regular::open(path).on_file("reading", path)?);
        let head = log.fill_buf().on_file("reading", path).or_exit(Exit::IoErr)?;
        if let Some(what) = content::not_text(head) {
            return Err(Exit::DataErr.error(format!("{} {what}", path.display())));
        }
        self.read_lines(log, network).on_file("reading", path).or_exit(Exit::IoErr)
    }

    /// Adds the lines of `log` that contain an address of `network`. A line longer than `MAX_LINE`
    /// counts as several lines.
    pub(crate) fn read_lines(&mut self, mut log: impl BufRead, network: IpNet) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut log).take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(());
            }
            if contains_address(&line, network) {
                let line = clean(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
                push(&mut self.lines, line);
            }
        }
    }
}

fn push<T>(newest: &mut VecDeque<T>, item: T) {
    if newest.len() == MAX_SHOWN {
        newest.pop_front();
    }
    newest.push_back(item);
}

fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, key: Option<K>, n: u64) {
    let Some(key) = key else { return };
    if counts.len() < MAX_NAMES || counts.contains_key(&key) {
        *counts.entry(key).or_default() += n;
    }
}

/// Whether an address of `network` is a word of the line.
fn contains_address(line: &[u8], network: IpNet) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'.' || *byte == b':';
    line.split(|byte| !is_part(byte)).any(|word| {
        // A full stop or a colon may follow the address.
        let text = str::from_utf8(word).unwrap_or_default().trim_end_matches(['.', ':']);
        let ip = text.parse::<std::net::IpAddr>();
        ip.is_ok_and(|ip| network.contains(&ip.to_canonical()))
    })
}

pub(crate) fn utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_only_as_a_whole_word() {
        let network: IpNet = "192.0.2.1/32".parse().unwrap();
        for (line, named) in [
            ("unknown[192.0.2.1]: x", true),
            ("rip=192.0.2.1, lip=1", true),
            ("ended by 192.0.2.1.", true),
            ("rip=::ffff:192.0.2.1,", true),
            ("unknown[192.0.2.10]: x", false),
            ("unknown[1192.0.2.1]: x", false),
            ("version 4.192.0.2.1", false),
            ("", false),
        ] {
            assert_eq!(contains_address(line.as_bytes(), network), named, "{line}");
        }
        assert!(contains_address(b"a[2001:db8::7]", "2001:db8::/64".parse().unwrap()));
    }
}
