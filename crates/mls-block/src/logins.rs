//! The addresses from which users log in, read from the CSV of successful logins.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;
use ipnet::IpNet;
use mls_config::zone::Zone;
use mls_diag::{Exit, OnFile, OrExit, diag};
use mls_event::{Auth, MAX_LINE, Outcome, Record};
use mls_rotation::{Chain, Layout};
use mls_rows::row::Decoder;
use mls_state::regular;

use crate::offender::{Offender, RECENT, household};

/// The largest number of addresses in memory. If there are more, a warning reports that logins do
/// not protect the other addresses.
const MAX_ADDRESSES: usize = 200_000;

/// The largest number of characters of a user name in memory.
const MAX_NAME: usize = 64;

/// The logins from one address; for IPv6, from one /64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressLogins {
    pub(crate) user: Box<str>,
    first: i64,
    pub(crate) last: i64,
}

/// The logins of the last seven days. The file is read once; later only new lines are read.
#[derive(Default)]
pub(crate) struct RecentLogins {
    pub(crate) path: Option<PathBuf>,
    zone: Zone,
    /// The inode of the file that was read, and the number of bytes that were read.
    read: Option<(u64, u64)>,
    pub(crate) seen: HashMap<IpAddr, AddressLogins, RandomState>,
    is_missing: bool,
    is_full: bool,
}

impl RecentLogins {
    /// The logins in `path`. [`refresh`](Self::refresh) reads them.
    pub(crate) fn new(path: Option<PathBuf>, zone: Zone) -> Self {
        Self { path, zone, ..Self::default() }
    }

    /// The logins from `ip`, if they protect it. The first login must be older than the attempts
    /// that the alert counts, so that an attacker who guesses a password does not get this
    /// protection. The last login must not be older than seven days at the time of the alert.
    pub(crate) fn before(&self, ip: IpAddr, offender: &Offender) -> Option<&AddressLogins> {
        let attack = offender.alerted - i64::from(offender.threshold.seconds);
        let login = self.seen.get(&household(ip))?;
        (login.first < attack && login.last > offender.alerted - RECENT).then_some(login)
    }

    /// Whether there was a login from `network`.
    pub(crate) fn are_in(&self, network: IpNet) -> bool {
        match network {
            IpNet::V4(network) => {
                network.hosts().any(|ip| self.seen.contains_key(&ip.into()))
                    || self.seen.contains_key(&network.network().into())
                    || self.seen.contains_key(&network.broadcast().into())
            }
            IpNet::V6(network) => self.seen.contains_key(&household(network.addr().into())),
        }
    }

    /// Reads the new lines of the file. Logs a warning if the file does not exist yet. Fails if the
    /// file cannot be read.
    pub(crate) fn refresh(&mut self, now: i64) -> anyhow::Result<()> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        let file = regular::if_there(regular::open(&path)).on_file("opening", &path)?;
        let Some(mut file) = file else {
            if !std::mem::replace(&mut self.is_missing, true) {
                let name = path.display();
                log::warn!(
                    "{name} does not exist: mls-block does not know from where users log in, and \
                     can block their addresses"
                );
            }
            return Ok(());
        };
        self.is_missing = false;
        self.seen.retain(|_, login| login.last > now - RECENT);
        let found = file.metadata().on_file("reading", &path)?;
        let start = match self.read {
            Some((inode, length)) if inode == found.ino() && length <= found.len() => length,
            // First read, or the CSV was rotated or pruned. The logins in memory stay valid.
            _ => {
                self.read_rotated(&path, now)?;
                0
            }
        };
        file.seek(SeekFrom::Start(start)).on_file("reading", &path)?;
        let length = self
            .read_lines(file, start, now, &path)
            .on_file("reading", &path)
            .or_exit(Exit::IoErr)?;
        self.read = Some((found.ino(), length));
        Ok(())
    }

    fn read_rotated(&mut self, path: &Path, now: i64) -> anyhow::Result<()> {
        for file in Chain::open(path, &Layout::default())?.files {
            if file.is_rotated && file.stat.mtime / 1_000_000_000 > now - RECENT {
                let content = file.reader(0, u64::MAX).on_file("reading", &file.path)?;
                self.read_lines(content, 0, now, &file.path)
                    .on_file("reading", &file.path)
                    .or_exit(Exit::IoErr)?;
            }
        }
        Ok(())
    }

    /// Reads whole lines from offset `start` on. Returns the offset after the last whole line.
    pub(crate) fn read_lines(
        &mut self,
        content: impl Read,
        start: u64,
        now: i64,
        path: &Path,
    ) -> std::io::Result<u64> {
        let mut lines = BufReader::with_capacity(64 * 1024, content);
        let (mut rows, mut line, mut offset) = (Decoder::new(self.zone), Vec::new(), start);
        loop {
            line.clear();
            let length = (&mut lines).take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') && length < MAX_LINE {
                return Ok(offset);
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            if let Err(why) = self.take(text, &mut rows, now) {
                diag::bad_record(format_args!("{}, byte {offset}", path.display()), why);
            }
            offset += length as u64;
        }
    }

    fn take(&mut self, line: &[u8], rows: &mut Decoder, now: i64) -> Result<(), String> {
        if !line.starts_with(b"{") {
            if let Some(row) = rows.decode(line).map_err(|why| why.to_string())? {
                // The date of a row can have no seconds. In this case use the end of its minute, so
                // that a login during an attack does not seem to be older than the attack.
                let at = row.date.at().timestamp();
                self.add(&row, if at % 60 == 0 { at + 59 } else { at }, now);
            }
            return Ok(());
        }
        if let Record::Auth(auth) = Record::parse(line).map_err(|why| why.to_string())?
            && auth.outcome == Outcome::Success
        {
            self.add(&auth, auth.date.at().timestamp(), now);
        }
        Ok(())
    }

    fn add(&mut self, auth: &Auth<'_>, at: i64, now: i64) {
        let (Some(ip), Some(user)) = (auth.ip, &auth.user) else { return };
        if at <= now - RECENT {
            return;
        }
        let ip = household(ip);
        if let Some(login) = self.seen.get_mut(&ip) {
            login.first = login.first.min(at);
            if at >= login.last {
                login.last = at;
                login.user = name(user);
            }
        } else if self.seen.len() < MAX_ADDRESSES {
            self.seen.insert(ip, AddressLogins { user: name(user), first: at, last: at });
        } else if !std::mem::replace(&mut self.is_full, true) {
            log::warn!(
                "users log in from more than {MAX_ADDRESSES} addresses; mls-block ignores the \
                 other addresses, and can block them"
            );
        }
    }
}

fn name(user: &str) -> Box<str> {
    user.chars().take(MAX_NAME).collect::<String>().into()
}
