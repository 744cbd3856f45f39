//! Reverse lookups in flight: at most [`IN_FLIGHT`] at a time and one an address, within the budget, answered from the
//! cache where it can.
//!
//! The resolver's thread starts with the first lookup, so that a run that has nothing to ask costs nothing.

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

/// Each lookup may have three sockets open at a time (hickory sends again after a third of a second), and a process 1024.
const IN_FLIGHT: usize = 128;

/// How to ask.
pub(crate) struct Settings {
    pub(crate) server: Option<SocketAddr>,
    pub(crate) timeout: Duration,
    pub(crate) budget: Duration,
    pub(crate) private: bool,
    pub(crate) cache: DnsCache,
    pub(crate) cache_file: Option<PathBuf>,
}

/// An answer that is on its way; `None` once it is given up.
pub(crate) type Promise = Rc<OnceCell<Option<Answer>>>;

/// What is known of an address at once.
pub(crate) enum Asked {
    /// No lookup was made, and none will be.
    Not,
    Known(Answer),
    Waits(Promise),
}

pub(crate) struct Dns {
    settings: Settings,
    budget: Budget,
    /// Read with the first lookup.
    cache: Option<Cache>,
    /// What is asked for, since when.
    pending: HashMap<IpAddr, (Instant, Promise)>,
    /// Started with the first lookup that the cache cannot answer.
    resolver: Option<Resolver>,
    /// There is no server to ask.
    off: bool,
    /// Records that have no answer because the budget was spent, since this was last said.
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
            off: false,
            given_up: 0,
        }
    }

    /// The answer for an address, or the promise of one. Waits where too many lookups are in flight.
    pub(crate) fn ask(&mut self, ip: IpAddr) -> Asked {
        if self.off || (is_private(ip) && !self.settings.private) {
            return Asked::Not;
        }
        if let Some((_, promise)) = self.pending.get(&ip) {
            return Asked::Waits(Rc::clone(promise));
        }
        let now = cache::now();
        let Settings { cache, cache_file, .. } = &self.settings;
        let cache = self.cache.get_or_insert_with(|| Cache::load(cache, cache_file.clone(), now));
        if let Some(answer) = cache.get(ip, now) {
            return Asked::Known(answer.clone());
        }
        while self.pending.len() >= IN_FLIGHT {
            self.wait(false);
        }
        if !self.budget.allows_lookups(Instant::now()) {
            self.given_up += 1;
            return Asked::Not;
        }
        self.say_what_was_given_up();
        match self.start(ip) {
            Ok(promise) => Asked::Waits(promise),
            Err(error) => {
                log::warn!("no reverse DNS: {error:#}");
                self.off = true;
                Asked::Not
            }
        }
    }

    fn start(&mut self, ip: IpAddr) -> anyhow::Result<Promise> {
        let resolver = match &mut self.resolver {
            Some(resolver) => resolver,
            none => none.insert(Resolver::start(self.settings.server, self.settings.timeout)?),
        };
        resolver.ask(ip);
        let promise = Promise::default();
        self.pending.insert(ip, (Instant::now(), Rc::clone(&promise)));
        Ok(promise)
    }

    /// Waits until answers have come, what is asked for must be given up or, where `or_input`, standard input has something
    /// to read. Returns whether it has. A wait for nothing but answers holds the run up.
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
        // An interrupted wait is one that was short.
        let _ = poll(&mut fds[..if or_input { 2 } else { 1 }], left.try_into().ok().as_ref());
        let [thread_ended, input] =
            [fds[0].revents().contains(PollFlags::HUP), !fds[1].revents().is_empty()];
        for (ip, answer) in resolver.answers() {
            if let Some(cache) = &mut self.cache {
                cache.insert(ip, answer.clone(), cache::now());
            }
            if let Some((_, promise)) = self.pending.remove(&ip) {
                // It has just been taken out of `pending`, so nobody has kept it before.
                let _ = promise.set(Some(answer));
            }
        }
        if !or_input {
            self.budget.used(now, Instant::now());
        }
        if thread_ended || (!self.pending.is_empty() && now.elapsed() >= left) {
            self.give_up();
        }
        input
    }

    /// Nobody waits any longer.
    fn give_up(&mut self) {
        self.budget.spend(Instant::now());
        self.resolver = None;
        for (_, (_, promise)) in self.pending.drain() {
            // Every record that waits holds one, and this is the other.
            self.given_up += Rc::strong_count(&promise) - 1;
            let _ = promise.set(None);
        }
    }

    fn say_what_was_given_up(&mut self) {
        if self.given_up > 0 {
            log::warn!(
                "the DNS took longer than --dns-budget of {} seconds: {} records have no reverse DNS status",
                self.settings.budget.as_secs_f64(),
                self.given_up
            );
            self.given_up = 0;
        }
    }

    /// Keeps the cache for the next run.
    pub(crate) fn finish(&mut self) {
        self.say_what_was_given_up();
        if let Some(cache) = &mut self.cache {
            cache.save(cache::now());
        }
    }
}
