//! Reverse lookups: from the cache if possible, else from the DNS within the budget. At most
//! [`MAX_IN_FLIGHT`] are in flight, and at most one for each address. If more addresses wait, the
//! address with the most waiting records is next. So if the budget is used up, only few records
//! have no name.
//!
//! The resolver's thread starts with the first lookup, so a run without lookups costs nothing.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use mls_config::config::DnsCache;
use rustix::event::{PollFd, PollFlags, poll};

use crate::answer::DnsAnswer;
use crate::args::Args;
use crate::budget::Budget;
use crate::cache::{self, AnswerCache};
use crate::private::is_private;
use crate::resolve::Resolver;

/// A lookup may have three sockets open at a time, because hickory sends again after a third of a
/// second. A process may have 1024.
const MAX_IN_FLIGHT: usize = 128;

/// An answer that is set later; `None` if the lookup was given up.
pub(crate) type Pending = Rc<OnceCell<Option<DnsAnswer>>>;

/// What [`Dns::look_up`] returns.
pub(crate) enum Lookup {
    /// The address is not looked up.
    Skipped,
    Done(DnsAnswer),
    Pending(Pending),
}

/// The number of records that wait for an address; if two numbers are equal, the older address has
/// the larger rank. The address with the largest rank is looked up next.
type Rank = (usize, Reverse<u64>);

/// An address that records wait for.
struct Awaited {
    since: Instant,
    answer: Pending,
    /// `None` after the lookup has started.
    rank: Option<Rank>,
}

pub(crate) struct Dns {
    args: Args,
    cache_settings: DnsCache,
    cache_file: Option<PathBuf>,
    budget: Budget,
    /// The cache; it is read at the first lookup.
    cache: Option<AnswerCache>,
    /// Addresses that records wait for.
    pending: HashMap<IpAddr, Awaited>,
    /// Pending addresses whose lookup has not started. The last one is looked up next.
    waiting: BTreeSet<(Rank, IpAddr)>,
    /// Pending addresses by age. It can also hold addresses that are no longer pending.
    by_age: VecDeque<(Instant, IpAddr)>,
    /// The number of lookups without an answer yet.
    in_flight: usize,
    /// The number of addresses that became pending in this run.
    asked: u64,
    /// The resolver; it starts with the first lookup that the cache cannot answer.
    resolver: Option<Resolver>,
    /// The resolver could not be started.
    is_disabled: bool,
    /// The number of records that got no answer because the budget was spent, since the last
    /// warning.
    given_up: usize,
}

impl Dns {
    pub(crate) fn new(args: Args, cache_settings: DnsCache, cache_file: Option<PathBuf>) -> Self {
        let budget = Budget::new(args.dns_budget, Instant::now());
        Self {
            args,
            cache_settings,
            cache_file,
            budget,
            cache: None,
            pending: HashMap::new(),
            waiting: BTreeSet::new(),
            by_age: VecDeque::new(),
            in_flight: 0,
            asked: 0,
            resolver: None,
            is_disabled: false,
            given_up: 0,
        }
    }

    /// Looks up an address, now or when other lookups have ended.
    pub(crate) fn look_up(&mut self, ip: IpAddr) -> Lookup {
        if self.is_disabled || (is_private(ip) && !self.args.dns_private) {
            return Lookup::Skipped;
        }
        if let Some(awaited) = self.pending.get_mut(&ip) {
            if let Some(rank) = &mut awaited.rank {
                self.waiting.remove(&(*rank, ip));
                rank.0 += 1;
                self.waiting.insert((*rank, ip));
            }
            return Lookup::Pending(Rc::clone(&awaited.answer));
        }
        let now = cache::now();
        let cache = self.cache.get_or_insert_with(|| {
            AnswerCache::load(&self.cache_settings, self.cache_file.clone(), now)
        });
        if let Some(answer) = cache.get(ip, now) {
            return Lookup::Done(answer.clone());
        }
        if !self.budget.allows_lookups(Instant::now()) {
            self.given_up += 1;
            return Lookup::Skipped;
        }
        self.report_given_up();
        let (since, answer) = (Instant::now(), Pending::default());
        self.asked += 1;
        let rank = (1, Reverse(self.asked));
        self.waiting.insert((rank, ip));
        self.by_age.push_back((since, ip));
        self.pending.insert(ip, Awaited { since, answer: Rc::clone(&answer), rank: Some(rank) });
        self.start_next();
        Lookup::Pending(answer)
    }

    /// Starts lookups up to [`MAX_IN_FLIGHT`].
    fn start_next(&mut self) {
        while self.in_flight < MAX_IN_FLIGHT
            && let Some((_, ip)) = self.waiting.pop_last()
        {
            let resolver = match &mut self.resolver {
                Some(resolver) => resolver,
                none => match Resolver::start(self.args.dns_server, self.args.dns_timeout) {
                    Ok(resolver) => none.insert(resolver),
                    Err(error) => {
                        log::warn!("reverse DNS is off: {error:#}");
                        self.is_disabled = true;
                        self.give_up();
                        // The DNS was not too slow, so do not report that.
                        self.given_up = 0;
                        return;
                    }
                },
            };
            resolver.look_up(ip);
            self.in_flight += 1;
            if let Some(awaited) = self.pending.get_mut(&ip) {
                awaited.rank = None;
            }
        }
    }

    /// The time at which the oldest pending address began to wait.
    fn oldest(&mut self) -> Option<Instant> {
        while let Some((since, ip)) = self.by_age.front() {
            if self.pending.get(ip).is_some_and(|awaited| awaited.since == *since) {
                return Some(*since);
            }
            self.by_age.pop_front();
        }
        None
    }

    /// Waits until answers arrive or their time is over. If `or_input`, the wait also ends when
    /// standard input is readable. Returns whether standard input is readable. A wait without
    /// `or_input` uses the budget, because it delays the run.
    pub(crate) fn wait(&mut self, or_input: bool) -> bool {
        let now = Instant::now();
        let oldest = self.oldest();
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
            if let Some(awaited) = self.pending.remove(&ip) {
                self.in_flight -= 1;
                // This cannot fail: an answer is set only once, after its removal from the map.
                let _ = awaited.answer.set(Some(answer));
            }
        }
        self.start_next();
        if !or_input {
            self.budget.use_up(now, Instant::now());
        }
        if thread_ended || (!self.pending.is_empty() && now.elapsed() >= left) {
            self.give_up();
        }
        input
    }

    /// Gives up all pending addresses.
    fn give_up(&mut self) {
        self.budget.spend(Instant::now());
        self.resolver = None;
        self.waiting.clear();
        self.by_age.clear();
        self.in_flight = 0;
        for (_, Awaited { answer, .. }) in self.pending.drain() {
            // Each waiting record holds one reference. This function holds one more.
            self.given_up += Rc::strong_count(&answer) - 1;
            let _ = answer.set(None);
        }
    }

    fn report_given_up(&mut self) {
        if self.given_up > 0 {
            log::warn!(
                "the DNS was too slow (more than --dns-budget, {} s): {} no reverse DNS status; \
                 addresses with more records were looked up first",
                self.args.dns_budget.as_secs_f64(),
                mls_diag::count(self.given_up as u64, "record has", "records have")
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
