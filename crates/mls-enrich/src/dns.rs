//! Reverse lookups: from the cache if possible, else from the DNS within the budget. At most
//! [`MAX_IN_FLIGHT`] are in flight, and at most one for each address.
//!
//! The resolver's thread starts with the first lookup, so a run without lookups costs nothing.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mls_config::config::DnsCache;
use rustix::event::{PollFd, PollFlags, poll};

use crate::answer::Answer;
use crate::budget::Budget;
use crate::cache::{self, Cache};
use crate::private::is_private;
use crate::resolve::Resolver;

/// A lookup may have three sockets open at a time, because hickory sends again after a third of a
/// second. A process may have 1024.
const MAX_IN_FLIGHT: usize = 128;

/// How to look names up.
pub(crate) struct Settings {
    pub(crate) server: Option<SocketAddr>,
    pub(crate) timeout: Duration,
    pub(crate) budget: Duration,
    pub(crate) private: bool,
    pub(crate) cache: DnsCache,
    pub(crate) cache_file: Option<PathBuf>,
}

/// An answer that is set later; `None` if the lookup was given up.
pub(crate) type Pending = Rc<OnceCell<Option<Answer>>>;

/// What [`Dns::look_up`] returns.
pub(crate) enum Lookup {
    /// The address is not looked up.
    Skipped,
    Done(Answer),
    Pending(Pending),
}

pub(crate) struct Dns {
    settings: Settings,
    budget: Budget,
    /// Read with the first lookup.
    cache: Option<Cache>,
    /// Lookups in flight, and when they started.
    pending: HashMap<IpAddr, (Instant, Pending)>,
    /// Starts with the first lookup that the cache cannot answer.
    resolver: Option<Resolver>,
    /// The resolver could not be started.
    is_disabled: bool,
    /// Records without an answer since the last warning, because the budget was spent.
    given_up: usize,
}

impl Dns {
    pub(crate) fn new(settings: Settings) -> Self {
        let budget = Budget::new(settings.budget, Instant::now());
        Self {
            settings,
            budget,
            cache: None,
            pending: HashMap::new(),
            resolver: None,
            is_disabled: false,
            given_up: 0,
        }
    }

    /// Looks an address up. Waits if too many lookups are in flight.
    pub(crate) fn look_up(&mut self, ip: IpAddr) -> Lookup {
        if self.is_disabled || (is_private(ip) && !self.settings.private) {
            return Lookup::Skipped;
        }
        if let Some((_, pending)) = self.pending.get(&ip) {
            return Lookup::Pending(Rc::clone(pending));
        }
        let now = cache::now();
        let Settings { cache, cache_file, .. } = &self.settings;
        let cache = self.cache.get_or_insert_with(|| Cache::load(cache, cache_file.clone(), now));
        if let Some(answer) = cache.get(ip, now) {
            return Lookup::Done(answer.clone());
        }
        while self.pending.len() >= MAX_IN_FLIGHT {
            self.wait(false);
        }
        if !self.budget.allows_lookups(Instant::now()) {
            self.given_up += 1;
            return Lookup::Skipped;
        }
        self.report_given_up();
        match self.start(ip) {
            Ok(pending) => Lookup::Pending(pending),
            Err(error) => {
                log::warn!("reverse DNS is off: {error:#}");
                self.is_disabled = true;
                Lookup::Skipped
            }
        }
    }

    fn start(&mut self, ip: IpAddr) -> anyhow::Result<Pending> {
        let resolver = match &mut self.resolver {
            Some(resolver) => resolver,
            none => none.insert(Resolver::start(self.settings.server, self.settings.timeout)?),
        };
        resolver.look_up(ip);
        let pending = Pending::default();
        self.pending.insert(ip, (Instant::now(), Rc::clone(&pending)));
        Ok(pending)
    }

    /// Waits until answers arrive, until the time for them is over or, if `or_input`, until standard
    /// input is readable. Returns whether it is readable. A wait without `or_input` delays the run.
    pub(crate) fn wait(&mut self, or_input: bool) -> bool {
        let now = Instant::now();
        let oldest = self.pending.values().map(|(since, _)| *since).min();
        let (Some(resolver), Some(oldest)) = (&mut self.resolver, oldest) else { return true };
        let mut left = (oldest + self.budget.total()).saturating_duration_since(now);
        if !or_input {
            left = left.min(self.budget.left(now));
        }
        let input = io::stdin();
        let mut fds =
            [resolver.as_fd(), input.as_fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // An interrupted wait only ends early.
        let _ = poll(&mut fds[..if or_input { 2 } else { 1 }], left.try_into().ok().as_ref());
        let [thread_ended, input] =
            [fds[0].revents().contains(PollFlags::HUP), !fds[1].revents().is_empty()];
        for (ip, answer) in resolver.answers() {
            if let Some(cache) = &mut self.cache {
                cache.insert(ip, answer.clone(), cache::now());
            }
            if let Some((_, pending)) = self.pending.remove(&ip) {
                // It is set only after it was removed from the map, so this is the first time.
                let _ = pending.set(Some(answer));
            }
        }
        if !or_input {
            self.budget.use_up(now, Instant::now());
        }
        if thread_ended || (!self.pending.is_empty() && now.elapsed() >= left) {
            self.give_up();
        }
        input
    }

    /// Gives up all lookups in flight.
    fn give_up(&mut self) {
        self.budget.spend(Instant::now());
        self.resolver = None;
        for (_, (_, pending)) in self.pending.drain() {
            // Each waiting record holds one reference; the other is this one.
            self.given_up += Rc::strong_count(&pending) - 1;
            let _ = pending.set(None);
        }
    }

    fn report_given_up(&mut self) {
        if self.given_up > 0 {
            log::warn!(
                "the DNS took longer than --dns-budget of {} seconds: {} got no reverse DNS status",
                self.settings.budget.as_secs_f64(),
                mls_diag::count(self.given_up as u64, "record", "records")
            );
            self.given_up = 0;
        }
    }

    /// Saves the cache for the next run.
    pub(crate) fn finish(&mut self) {
        self.report_given_up();
        if let Some(cache) = &mut self.cache {
            cache.save(cache::now());
        }
    }
}
