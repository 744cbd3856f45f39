//! The subcommands: `list`, `why` and `remove`.

use std::net::IpAddr;

use mls_diag::count;

use crate::args::Command;
use crate::blocker::Blocker;
use crate::list::{Cause, ListEntry};
use crate::output::print;
use crate::show_time;

impl Blocker {
    pub(crate) fn run_command(mut self, command: &Command) -> anyhow::Result<()> {
        let now = self.now();
        self.state.expect()?;
        self.allow.logins.refresh(now)?;
        let answer = match command {
            Command::List if self.output.asked.is_empty() => {
                self.list(now).entries.iter().map(|entry| self.line(entry) + "\n").collect()
            }
            Command::List => self.output.text(&self.list(now), now),
            Command::Why { ip } => self.why(ip.to_canonical(), now) + "\n",
            Command::Remove { network } => match self.remove(*network)? {
                0 => format!("{network}: no address in it is blocked\n"),
                blocked => {
                    format!("{network} is unblocked; addresses that were blocked: {blocked}\n")
                }
            },
        };
        print(&answer)
    }

    /// Describes an entry, as in `192.0.2.1/32 from 2026-06-01T10:30:00Z until
    /// 2026-06-01T11:30:00Z: 20 failed logins (20/10m), attack number 1`.
    fn line(&self, entry: &ListEntry) -> String {
        let ListEntry { network, since, until, cause } = entry;
        let (since, until) = (show_time(*since, self.zone), show_time(*until, self.zone));
        let attack = match cause {
            Cause::Offender(offender) => format!(", attack number {}", offender.offences),
            Cause::Addresses(_) => String::new(),
        };
        format!("{network} from {since} until {until}: {cause}{attack}")
    }

    fn why(&self, ip: IpAddr, now: i64) -> String {
        let zone = self.zone;
        let list = self.list(now);
        if let Some(entry) = list.find(ip) {
            return format!("{ip} is blocked: {}", self.line(entry));
        }
        let offenders = &self.state.offenders;
        if let Some(offender) = offenders.addresses.get(&ip) {
            let what = format!(
                "{} ({}) at {}, attack number {}",
                count(offender.attempts, "failed login", "failed logins"),
                offender.threshold,
                show_time(offender.alerted, zone),
                offender.offences
            );
            let why = match self.allow.reason(ip, offender, offenders) {
                Some(reason) => reason.show(ip, zone).to_string(),
                None if offender.until > now => format!(
                    "the list is full (--max-entries or [block] max_entries is {})",
                    self.limits.max_entries
                ),
                None => format!("its block ended at {}", show_time(offender.until, zone)),
            };
            return format!("{ip} is not blocked: {what}, but {why}");
        }
        match offenders.removal(ip.into()) {
            Some(removal) => {
                let at = show_time(removal.at, zone);
                format!("{ip} is not blocked: {} was unblocked at {at}", removal.network)
            }
            None => format!("{ip} is not blocked: the state file has no alert about this address"),
        }
    }
}
