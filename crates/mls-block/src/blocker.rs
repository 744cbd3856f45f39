//! The main loop: reads alerts, and updates state and lists.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use chrono::Utc;
use ipnet::IpNet;
use mls_config::Config;
use mls_config::zone::Zone;
use mls_diag::{Exit, count, summary, thousands};
use mls_event::{Alert, AlertKind, Record};
use mls_stream::ndjson::Reader;
use mls_stream::signals;
use mls_stream::unreadable::NOT_ALERTS;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::allow::Allow;
use crate::args::Args;
use crate::list::{BlockList, Limits};
use crate::logins::RecentLogins;
use crate::offender::{BlockTime, Offence};
use crate::output::{ListOutput, print};
use crate::state_file::StateFile;

/// The largest number of alerts before a commit.
const MAX_PENDING: usize = 50_000;

/// How many seconds the date of an alert may be in the future. An alert from next year would block
/// its address until next year.
const AHEAD: i64 = 3600;

/// The shortest time between two replacements of the files.
const PAUSE: Duration = Duration::from_secs(1);

/// While the input pauses, the logins are read again after this number of seconds.
const LOOK_AGAIN: i64 = 60;

pub(crate) struct Blocker {
    pub(crate) output: ListOutput,
    /// The time zone of dates in messages.
    pub(crate) zone: Zone,
    /// The time of `--now`, if it is given.
    fixed_now: Option<i64>,
    pub(crate) time: BlockTime,
    pub(crate) limits: Limits,
    pub(crate) allow: Allow,
    pub(crate) state: StateFile,
    pending: Vec<Update>,
    /// The list that is in the files.
    written: Option<BlockList>,
    committed: Option<Instant>,
    counts: Counts,
}

/// The change that an alert causes.
#[derive(Clone, Copy, Debug)]
enum Update {
    Offence(Offence),
    /// A suspicious login: its address and its time.
    Suspicion(std::net::IpAddr, i64),
}

/// The numbers in the summary of the run.
#[derive(Debug, Default)]
struct Counts {
    alerts: u64,
    /// New alerts that block an address, and new alerts about suspicious logins.
    new: u64,
    suspicious: u64,
    other: u64,
}

impl Blocker {
    /// Reads the state. Options override the configuration.
    pub(crate) fn new(args: Args, config: Config) -> anyhow::Result<Self> {
        let block = config.block;
        let of_config = || config.paths.state_dir.map(|dir| dir.join("block.state"));
        let recorded = config.paths.logins_filename.filter(|_| config.logins.record);
        let logins = RecentLogins::new(args.logins.or(recorded), args.zone.timezone);
        Ok(Self {
            time: BlockTime {
                first: args.time.unwrap_or(block.time).seconds,
                longest: args.max_time.unwrap_or(block.max_time).seconds,
            },
            limits: Limits {
                max_entries: args.max_entries.unwrap_or(block.max_entries),
                network_from: args.network_from.unwrap_or(block.network_from),
            },
            allow: Allow { networks: [args.allow, block.allow].concat(), logins },
            state: StateFile::open(args.state.or_else(of_config))?,
            output: ListOutput {
                directory: args.directory.or(block.directory),
                asked: args.format,
                formats: block.formats,
                jail: args.jail,
            },
            zone: args.zone.timezone,
            fixed_now: args.now.map(|now| now.timestamp()),
            pending: Vec::new(),
            written: None,
            committed: None,
            counts: Counts::default(),
        })
    }

    pub(crate) fn now(&self) -> i64 {
        self.fixed_now.unwrap_or_else(|| Utc::now().timestamp())
    }

    /// Reads the input to its end. Commits whenever the input pauses.
    pub(crate) fn read_alerts(mut self) -> anyhow::Result<()> {
        if !std::io::stdin().is_terminal() {
            // mls-alert writes each alert only once. So after a signal, first read the alerts that
            // are in the pipe, then stop.
            signals::drain_until_end_of_input();
        }
        let mut reader = Reader::stdin()?;
        while let Some(line) = reader.next(|| self.pause())? {
            match Record::parse(line) {
                Ok(Record::Alert(alert)) => {
                    if let Err(why) = self.take(&alert) {
                        reader.bad(why);
                    }
                }
                Ok(Record::Auth(_)) => return Err(Exit::DataErr.error(NOT_ALERTS)),
                Ok(_) => {}
                Err(why) => reader.bad(why),
            }
            if self.pending.len() >= MAX_PENDING {
                self.commit()?;
            }
        }
        self.commit()?;
        let list = self.written.take().unwrap_or_default();
        let Counts { alerts, new, suspicious, other } = self.counts;
        summary(format_args!(
            "read {}, {} of them new and {} not about an address; the block list has {}",
            count(alerts, "alert", "alerts"),
            thousands(new + suspicious),
            thousands(other),
            count(list.entries.len() as u64, "entry", "entries")
        ));
        if self.output.directory.is_some() {
            return Ok(());
        }
        if new > 0 && list.entries.is_empty() {
            log::warn!(
                "no address is blocked: the blocks of the alerts have expired, or a warning above \
                 gives the reason; --now TIME prints the list of an earlier time"
            );
        }
        print(&self.output.text(&list, self.now()))
    }

    fn take(&mut self, alert: &Alert<'_>) -> Result<(), String> {
        self.counts.alerts += 1;
        let at = alert.date.at().timestamp();
        if at > self.now() + AHEAD {
            return Err(format!(
                "the alert has a date in the future ({}); check the clock of this machine, or give \
                 a later --now",
                alert.date
            ));
        }
        match alert.kind {
            AlertKind::Ip => self.pending.push(Update::Offence(offence(alert, at)?)),
            AlertKind::User | AlertKind::Total => self.counts.other += 1,
            AlertKind::Guessed | AlertKind::Spread | AlertKind::Targeted => {
                let ip = alert.ip.ok_or("member ip: it is missing")?;
                self.pending.push(Update::Suspicion(ip.to_canonical(), at));
            }
        }
        Ok(())
    }

    /// Commits pending alerts, and keeps the files up to date until more input arrives.
    fn pause(&mut self) -> anyhow::Result<()> {
        loop {
            let wait =
                self.committed.map_or(Duration::ZERO, |at| PAUSE.saturating_sub(at.elapsed()));
            if !wait.is_zero() && !self.pending.is_empty() {
                if waits_for_input(Some(wait)) {
                    continue;
                }
                return Ok(());
            }
            self.commit()?;
            if !waits_for_input(self.until_next_change()) {
                return Ok(());
            }
        }
    }

    /// How long the files stay up to date without input; `None` if only input can change them.
    fn until_next_change(&self) -> Option<Duration> {
        let now = self.now();
        let end = self.written.as_ref().and_then(BlockList::next_end);
        let look = self.allow.logins.path.is_some().then_some(now + LOOK_AGAIN);
        let next = [end, look].into_iter().flatten().min()?;
        let seconds = u64::try_from(next - now).unwrap_or_default().max(1);
        self.fixed_now.is_none().then(|| Duration::from_secs(seconds))
    }

    /// Replaces the state file and then the lists, each atomically. The state file is first,
    /// because lists can be made again from the state.
    fn commit(&mut self) -> anyhow::Result<()> {
        let lock = self.state.lock()?;
        self.state.reload()?;
        let now = self.now();
        self.allow.logins.refresh(now)?;
        let mut changed = false;
        for update in std::mem::take(&mut self.pending) {
            changed |= match update {
                Update::Suspicion(ip, at) => {
                    let is_new = self.state.offenders.suspect(ip, at);
                    self.counts.suspicious += u64::from(is_new);
                    is_new
                }
                Update::Offence(offence) => self.offend(offence, now),
            };
        }
        changed |= self.state.offenders.forget(now, self.time);
        if changed {
            self.state.store()?;
        }
        self.write_lists(now)?;
        drop(lock);
        self.committed = Some(Instant::now());
        Ok(())
    }

    fn offend(&mut self, offence: Offence, now: i64) -> bool {
        let changed = self.state.offenders.offend(offence, self.time);
        self.counts.new += u64::from(changed);
        let ip = offence.ip;
        let Some(offender) = self.state.offenders.addresses.get(&ip) else { return changed };
        if !changed || offender.until <= now {
            return changed;
        }
        if let Some(reason) = self.allow.reason(ip, offender, &self.state.offenders) {
            log::warn!(
                "{ip} is not blocked after {} ({}): {}",
                count(offence.attempts, "failed login", "failed logins"),
                offence.threshold,
                reason.show(ip, self.zone)
            );
        }
        changed
    }

    pub(crate) fn list(&self, now: i64) -> BlockList {
        BlockList::new(&self.state.offenders, &self.allow, self.limits, now)
    }

    fn write_lists(&mut self, now: i64) -> anyhow::Result<()> {
        let list = self.list(now);
        if self.written.as_ref() == Some(&list) {
            return Ok(());
        }
        let were_omitted = self.written.as_ref().map_or(0, |written| written.omitted);
        if list.omitted > 0 && were_omitted == 0 {
            log::warn!(
                "the block list has more entries ({}) than --max-entries or [block] max_entries \
                 ({}); the entries that end first are omitted",
                list.entries.len() + list.omitted,
                self.limits.max_entries
            );
        }
        self.output.write(&list, now)?;
        self.written = Some(list);
        Ok(())
    }

    pub(crate) fn remove(&mut self, network: IpNet) -> anyhow::Result<usize> {
        let lock = self.state.lock()?;
        self.state.reload()?;
        let now = self.now();
        let blocked = self.state.offenders.remove(network, now);
        self.state.store()?;
        self.allow.logins.refresh(now)?;
        self.write_lists(now)?;
        drop(lock);
        Ok(blocked)
    }
}

/// Waits for input or its end. Returns true if the time is over, or if a signal ended the wait.
fn waits_for_input(timeout: Option<Duration>) -> bool {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let stdin = std::io::stdin();
    let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
    matches!(poll(&mut fds, timeout.as_ref()), Ok(0) | Err(rustix::io::Errno::INTR))
}

pub(crate) fn offence(alert: &Alert<'_>, at: i64) -> Result<Offence, String> {
    let key = alert.key.as_deref().unwrap_or_default();
    let ip = key
        .parse::<std::net::IpAddr>()
        .map_err(|_| format!("the key {key:?} of an alert of kind ip is not an address"))?;
    let threshold = alert.threshold.as_deref().unwrap_or_default().parse()?;
    let attempts = alert.attempts.ok_or("member attempts: it is missing")?;
    Ok(Offence { ip: ip.to_canonical(), at, attempts, threshold })
}
