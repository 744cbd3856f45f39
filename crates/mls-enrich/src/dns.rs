//! Reverse lookups: from the cache if possible, if not, from the DNS within the budget. At most
//! [`MAX_IN_FLIGHT`] lookups run at the same time, at most one lookup for each address. The address
//! with the most waiting records is looked up next. So if the budget is used up, few records have
//! no name.
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

/// The largest number of lookups at the same time. A lookup may have three open sockets, because
/// hickory repeats a query after a third of a second. A process may have 1024 open files.
const MAX_IN_FLIGHT: usize = 128;

/// An answer that is set later; `None` if the lookup was given up.
pub(crate) type Pending = Rc<OnceCell<Option<DnsAnswer>>>;

pub(crate) enum Lookup {
    /// The address is not looked up.
    Skipped,
    Done(DnsAnswer),
    Pending(Pending),
}

/// The number of records that wait for an address. If two numbers are equal, the address that waits
/// longer has the larger rank. The address with the largest rank is looked up next.
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
    pending: HashMap<IpAddr, Awaited>,
    /// Pending addresses whose lookup has not started. The last address is looked up next.
    waiting: BTreeSet<(Rank, IpAddr)>,
    /// Pending addresses by age. Addresses that are no longer pending may also be here.
    by_age: VecDeque<(Instant, IpAddr)>,
    /// The number of lookups that have started and have no answer.
    in_flight: usize,
    /// The number of addresses that became pending in this run.
    asked: u64,
    /// The resolver; it starts with the first lookup that the cache cannot answer.
    resolver: Option<Resolver>,
    /// Whether the resolver could not be started.
    is_disabled: bool,
    /// The number of records since the last warning that got no answer because the budget was
    /// spent.
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

    /// Looks up an address. If too many lookups are running, this lookup starts later.
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

    /// Starts waiting lookups until [`MAX_IN_FLIGHT`] lookups are running.
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
                        // The DNS was not too slow, so avoid the warning of `report_given_up`.
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

    /// Waits until answers arrive or the allowed time is over. If `or_input` is true, the wait also
    /// ends when standard input is readable. If it is false, the wait delays the run and uses the
    /// budget. Returns whether standard input is readable.
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
        // If a signal interrupts `poll`, the wait only ends earlier.
        let _ = poll(&mut fds[..if or_input { 2 } else { 1 }], left.try_into().ok().as_ref());
        let [thread_ended, input] =
            [fds[0].revents().contains(PollFlags::HUP), !fds[1].revents().is_empty()];
        for (ip, answer) in resolver.answers() {
            if let Some(cache) = &mut self.cache {
                cache.insert(ip, answer.clone(), cache::now());
            }
            if let Some(awaited) = self.pending.remove(&ip) {
                self.in_flight -= 1;
                // This cannot fail: each answer is removed from the map, and so is set only once.
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

    fn give_up(&mut self) {
        self.budget.spend(Instant::now());
        self.resolver = None;
        self.waiting.clear();
        self.by_age.clear();
        self.in_flight = 0;
        for (_, Awaited { answer, .. }) in self.pending.drain() {
            // Each waiting record has one reference to the answer. This function has one more.
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
