//! A cache of DNS answers, in memory and in a file. The tool may be started every hour, so the
//! cache must outlive a run.
//!
//! The file has a line of JSON for each answer. Each run replaces the whole file by its own answers
//! and the answers that other runs wrote. So two runs at the same time do not damage the file.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use mls_config::config::DnsCache;
use mls_state::regular;
use serde::{Deserialize, Serialize};

use crate::answer::{DnsAnswer, Status};

/// At most this number of bytes of the file is read. If a cache of the default size has only the
/// longest names, its file has about a tenth of this.
const MAX_FILE: u64 = 256 << 20;

/// After a failure of the server, an address is not looked up again for this number of seconds (RFC
/// 2308, section 7.1, allows up to 300 seconds). Failures are not written to the file.
const FAILURE_SECONDS: u64 = 60;

/// At the start, the cache reserves memory for at most this number of answers, the default size.
const MAX_RESERVED: usize = 100_000;

pub(crate) struct AnswerCache {
    path: Option<PathBuf>,
    size: usize,
    ttl: u64,
    entries: HashMap<IpAddr, CacheEntry>,
    /// The addresses in `entries`, oldest answer first. A full cache drops the oldest answer.
    order: VecDeque<IpAddr>,
    changed: bool,
}

struct CacheEntry {
    answer: DnsAnswer,
    /// Seconds since 1970.
    expires: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheLine {
    ip: IpAddr,
    expires: u64,
    status: Status,
    hostname: Option<Box<str>>,
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl AnswerCache {
    /// Makes a cache with the settings `config` and the answers of the file `path`. If the file
    /// cannot be used, logs a warning and removes the file.
    pub(crate) fn load(config: &DnsCache, path: Option<PathBuf>, now: u64) -> Self {
        let size = if config.enabled { config.size } else { 0 };
        let mut cache = Self {
            path: path.filter(|_| size > 0),
            size,
            ttl: config.ttl_seconds,
            // A table that grows needs memory for the old and the new table for a moment. Memory
            // that is reserved but never used costs nothing.
            entries: HashMap::with_capacity(size.min(MAX_RESERVED)),
            order: VecDeque::with_capacity(size.min(MAX_RESERVED)),
            changed: false,
        };
        if let (Err(error), Some(path)) = (cache.merge_file(now), &cache.path) {
            log::warn!("DNS cache {} cannot be read and is removed: {error:#}", path.display());
            // If the file cannot be removed, `save` cannot write it, and reports an error.
            let _ = std::fs::remove_file(path);
            cache.entries.clear();
            cache.order.clear();
        }
        cache
    }

    /// The answer, if it has not expired.
    pub(crate) fn get(&self, ip: IpAddr, now: u64) -> Option<&DnsAnswer> {
        self.entries.get(&ip).filter(|entry| entry.expires > now).map(|entry| &entry.answer)
    }

    pub(crate) fn insert(&mut self, ip: IpAddr, answer: DnsAnswer, now: u64) {
        let failure = answer.status.is_failure();
        let expires =
            now.saturating_add(if failure { self.ttl.min(FAILURE_SECONDS) } else { self.ttl });
        self.changed |= !failure;
        self.put(ip, CacheEntry { answer, expires });
    }

    fn put(&mut self, ip: IpAddr, entry: CacheEntry) {
        if self.size == 0 {
            return;
        }
        if self.entries.insert(ip, entry).is_some()
            && let Some(index) = self.order.iter().position(|known| *known == ip)
        {
            // The old answer has expired. An expired name is among the oldest answers, so the
            // search is short. A failure expires earlier, so this search can be longer.
            self.order.remove(index);
        }
        self.order.push_back(ip);
        if self.entries.len() > self.size
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    /// If the file exists, adds its answers until the cache is full. Ignores answers that have
    /// expired or are already in the cache. Also ignores answers that expire later than a new
    /// answer: the clock was set back, or the configured time was longer.
    fn merge_file(&mut self, now: u64) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let Some(file) = regular::if_there(regular::open(path))? else { return Ok(()) };
        for (line, number) in BufReader::new(file.take(MAX_FILE)).lines().zip(1..) {
            if self.entries.len() >= self.size {
                break;
            }
            let line = serde_json::from_str(&line?).with_context(|| format!("line {number}"))?;
            let CacheLine { ip, expires, status, hostname } = line;
            if (now + 1..=now.saturating_add(self.ttl)).contains(&expires)
                && !self.entries.contains_key(&ip)
            {
                self.put(ip, CacheEntry { answer: DnsAnswer { status, hostname }, expires });
            }
        }
        Ok(())
    }

    /// If there are new answers, writes the file. A failure is only a warning, because the next run
    /// can look the addresses up again.
    pub(crate) fn save(&mut self, now: u64) {
        if !self.changed {
            return;
        }
        // Another run may have written the file since this run read it. If the file cannot be read,
        // it is replaced without its answers.
        let _ = self.merge_file(now);
        let Some(path) = &self.path else { return };
        let written = mls_state::atomic::write_with(path, 0o640, |file| {
            let mut out = BufWriter::new(file);
            for ip in &self.order {
                let Some(CacheEntry { answer, expires }) =
                    self.entries.get(ip).filter(|entry| entry.expires > now)
                else {
                    continue;
                };
                if !answer.status.is_failure() {
                    let (status, hostname) = (answer.status, answer.hostname.clone());
                    serde_json::to_writer(
                        &mut out,
                        &CacheLine { ip: *ip, expires: *expires, status, hostname },
                    )?;
                    out.write_all(b"\n")?;
                }
            }
            out.flush()
        });
        if let Err(error) = written {
            log::warn!("DNS cache {} cannot be written: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn config(size: usize) -> DnsCache {
        DnsCache { enabled: true, size, ttl_seconds: 100 }
    }

    fn ip(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn named(name: &str) -> DnsAnswer {
        DnsAnswer { status: Status::Ok, hostname: Some(name.into()) }
    }

    #[test]
    fn names_and_negative_answers_are_saved_for_the_next_run_and_failures_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut cache = AnswerCache::load(&config(9), Some(path.clone()), NOW);
        cache.insert(ip(1), named("a.example"), NOW);
        cache.insert(ip(2), Status::NotFound.into(), NOW);
        cache.insert(ip(3), Status::NoData.into(), NOW);
        cache.insert(ip(4), Status::ServerFailed.into(), NOW);
        cache.insert(ip(5), Status::Refused.into(), NOW);
        assert_eq!(cache.get(ip(4), NOW + 59).unwrap().status, Status::ServerFailed);
        assert!(cache.get(ip(4), NOW + 60).is_none());
        cache.save(NOW);

        let cache = AnswerCache::load(&config(9), Some(path), NOW + 99);
        assert_eq!(cache.get(ip(1), NOW + 99), Some(&named("a.example")));
        assert_eq!(cache.get(ip(1), NOW + 100), None);
        let kept: Vec<_> = (1..=5).filter(|n| cache.get(ip(*n), NOW + 99).is_some()).collect();
        assert_eq!(kept, [1, 2, 3]);
    }

    #[test]
    fn a_full_cache_drops_the_oldest_answers() {
        let mut cache = AnswerCache::load(&config(2), None, NOW);
        for n in 1..=3 {
            cache.insert(ip(n), named("x"), NOW);
        }
        assert_eq!(
            (1..=3).map(|n| cache.get(ip(n), NOW).is_some()).collect::<Vec<_>>(),
            [false, true, true]
        );
        assert_eq!((cache.entries.len(), cache.order.len()), (2, 2));
    }

    #[test]
    fn an_answer_that_was_refreshed_is_the_newest() {
        let mut cache = AnswerCache::load(&config(2), None, NOW);
        for (n, at) in [(1, NOW), (2, NOW + 50), (1, NOW + 100), (3, NOW + 100)] {
            cache.insert(ip(n), named("x"), at);
        }
        assert_eq!(
            (1..=3).map(|n| cache.get(ip(n), NOW + 100).is_some()).collect::<Vec<_>>(),
            [true, false, true]
        );
    }

    #[test]
    fn two_runs_at_once_keep_each_others_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut runs = [1, 2].map(|n| (n, AnswerCache::load(&config(9), Some(path.clone()), NOW)));
        for (n, run) in &mut runs {
            run.insert(ip(*n), named("x"), NOW);
        }
        for (_, run) in &mut runs {
            run.save(NOW);
        }
        let cache = AnswerCache::load(&config(9), Some(path), NOW);
        assert!(cache.get(ip(1), NOW).is_some() && cache.get(ip(2), NOW).is_some());
    }

    #[test]
    fn a_corrupt_file_is_dropped_as_a_whole_and_replaced_by_the_next_save() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut cache = AnswerCache::load(&config(9), Some(path.clone()), NOW);
        cache.insert(ip(1), named("x"), NOW);
        cache.insert(ip(2), named("y"), NOW);
        cache.save(NOW);
        let whole = std::fs::read(&path).unwrap();
        for broken in [
            &whole[..whole.len() - 9],
            b"\0\0\0\0",
            b"\xff\n",
            b"{}\n",
            &[&whole[..], b"<html>"].concat(),
        ] {
            mls_state::atomic::write(&path, broken, 0o640).unwrap();
            let mut cache = AnswerCache::load(&config(9), Some(path.clone()), NOW);
            assert!(cache.entries.is_empty(), "{broken:?}");
            cache.insert(ip(3), named("z"), NOW);
            cache.save(NOW);
            assert_eq!(AnswerCache::load(&config(9), Some(path.clone()), NOW).entries.len(), 1);
        }
    }

    #[test]
    fn answers_from_a_clock_that_was_set_back_are_not_kept_for_years() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut cache = AnswerCache::load(&config(9), Some(path.clone()), NOW);
        cache.insert(ip(1), named("x"), NOW);
        cache.save(NOW);
        assert!(AnswerCache::load(&config(9), Some(path), NOW - 1000).entries.is_empty());
    }
}
