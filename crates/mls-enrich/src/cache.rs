//! Answers of the DNS, kept for a time in memory and, for the next run, in a file: a tool that is started every hour has
//! no use for a cache that dies with it.
//!
//! The file has a line of JSON for each answer. It is replaced as a whole, so two runs at once do it no harm: each keeps what
//! the other has written before.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use mls_config::config::DnsCache;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Status};

/// A larger file is not ours: this is ten times the default number of the longest names.
const MAX_FILE: u64 = 256 << 20;

/// For so many seconds a failure of the server is not tried again (RFC 2308, section 7.1, allows 300). It is not kept for
/// the next run.
const FAILURE_SECONDS: u64 = 60;

/// Room is made for so many answers, the default number, at once.
const ROOM: usize = 100_000;

pub(crate) struct Cache {
    path: Option<PathBuf>,
    size: usize,
    ttl: u64,
    entries: HashMap<IpAddr, Entry>,
    /// The keys, oldest first: what is dropped when there is no more room.
    order: VecDeque<IpAddr>,
    changed: bool,
}

struct Entry {
    answer: Answer,
    /// Seconds since 1970.
    expires: u64,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    ip: IpAddr,
    expires: u64,
    status: Status,
    hostname: Option<Box<str>>,
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Cache {
    /// A cache as configured, with what `path` holds. A file that cannot be used is a warning.
    pub(crate) fn load(config: &DnsCache, path: Option<PathBuf>, now: u64) -> Self {
        let size = if config.enabled { config.size } else { 0 };
        let mut cache = Self {
            path: path.filter(|_| size > 0),
            size,
            ttl: config.ttl_seconds,
            // Growing would for a moment need half as much again; memory that is not touched costs nothing.
            entries: HashMap::with_capacity(size.min(ROOM)),
            order: VecDeque::with_capacity(size.min(ROOM)),
            changed: false,
        };
        if let (Err(error), Some(path)) = (cache.adopt(now), &cache.path) {
            log::warn!("DNS cache {} is dropped: {error:#}", path.display());
            // Where that fails, so will writing it, which says so.
            let _ = std::fs::remove_file(path);
            cache.entries.clear();
            cache.order.clear();
        }
        cache
    }

    /// The answer, if it is still good.
    pub(crate) fn get(&self, ip: IpAddr, now: u64) -> Option<&Answer> {
        self.entries.get(&ip).filter(|entry| entry.expires > now).map(|entry| &entry.answer)
    }

    pub(crate) fn insert(&mut self, ip: IpAddr, answer: Answer, now: u64) {
        let failure = answer.status.is_failure();
        let expires =
            now.saturating_add(if failure { self.ttl.min(FAILURE_SECONDS) } else { self.ttl });
        self.changed |= !failure;
        self.put(ip, Entry { answer, expires });
    }

    fn put(&mut self, ip: IpAddr, entry: Entry) {
        if self.size == 0 {
            return;
        }
        if self.entries.insert(ip, entry).is_some()
            && let Some(place) = self.order.iter().position(|known| *known == ip)
        {
            // It had expired, and is among the oldest.
            self.order.remove(place);
        }
        self.order.push_back(ip);
        if self.entries.len() > self.size
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    /// Takes what the file holds, if there is one, and is still good and new here, as far as there is room. An answer that would
    /// live longer than one of now is from a clock that has been set back, or was kept under another ttl.
    fn adopt(&mut self, now: u64) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        for (line, number) in BufReader::new(file.take(MAX_FILE)).lines().zip(1..) {
            if self.entries.len() >= self.size {
                break;
            }
            let line = serde_json::from_str(&line?).with_context(|| format!("line {number}"))?;
            let Line { ip, expires, status, hostname } = line;
            if (now + 1..=now.saturating_add(self.ttl)).contains(&expires)
                && !self.entries.contains_key(&ip)
            {
                self.put(ip, Entry { answer: Answer { status, hostname }, expires });
            }
        }
        Ok(())
    }

    /// Writes the file if there is something new. That it cannot be written is a warning: the next run asks again.
    pub(crate) fn save(&mut self, now: u64) {
        if !self.changed {
            return;
        }
        // Another run may have written since. It wrote whole lines or none.
        let _ = self.adopt(now);
        let Some(path) = &self.path else { return };
        let written = mls_state::atomic::write_with(path, 0o640, |file| {
            let mut out = BufWriter::new(file);
            for ip in &self.order {
                let Some(Entry { answer, expires }) =
                    self.entries.get(ip).filter(|entry| entry.expires > now)
                else {
                    continue;
                };
                if !answer.status.is_failure() {
                    let (status, hostname) = (answer.status, answer.hostname.clone());
                    serde_json::to_writer(
                        &mut out,
                        &Line { ip: *ip, expires: *expires, status, hostname },
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

    fn named(name: &str) -> Answer {
        Answer { status: Status::Ok, hostname: Some(name.into()) }
    }

    #[test]
    fn answers_and_their_absence_outlive_the_run_and_failures_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut cache = Cache::load(&config(9), Some(path.clone()), NOW);
        cache.insert(ip(1), named("a.example"), NOW);
        cache.insert(ip(2), Status::NotFound.into(), NOW);
        cache.insert(ip(3), Status::NoData.into(), NOW);
        cache.insert(ip(4), Status::ServerFailed.into(), NOW);
        cache.insert(ip(5), Status::Refused.into(), NOW);
        assert_eq!(cache.get(ip(4), NOW + 59).unwrap().status, Status::ServerFailed);
        assert!(cache.get(ip(4), NOW + 60).is_none());
        cache.save(NOW);

        let cache = Cache::load(&config(9), Some(path), NOW + 99);
        assert_eq!(cache.get(ip(1), NOW + 99), Some(&named("a.example")));
        assert_eq!(cache.get(ip(1), NOW + 100), None);
        let kept: Vec<_> = (1..=5).filter(|n| cache.get(ip(*n), NOW + 99).is_some()).collect();
        assert_eq!(kept, [1, 2, 3]);
    }

    #[test]
    fn the_oldest_answers_make_room() {
        let mut cache = Cache::load(&config(2), None, NOW);
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
    fn an_answer_that_was_asked_for_again_is_new() {
        let mut cache = Cache::load(&config(2), None, NOW);
        for (n, at) in [(1, NOW), (2, NOW + 50), (1, NOW + 100), (3, NOW + 100)] {
            cache.insert(ip(n), named("x"), at);
        }
        assert_eq!(
            (1..=3).map(|n| cache.get(ip(n), NOW + 100).is_some()).collect::<Vec<_>>(),
            [true, false, true]
        );
    }

    #[test]
    fn a_cache_that_is_off_keeps_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut cache =
            Cache::load(&DnsCache { enabled: false, ..config(9) }, Some(path.clone()), NOW);
        cache.insert(ip(1), named("x"), NOW);
        assert_eq!(cache.get(ip(1), NOW), None);
        cache.save(NOW);
        assert!(!path.exists());
    }

    #[test]
    fn two_runs_at_once_keep_each_others_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut runs = [1, 2].map(|n| (n, Cache::load(&config(9), Some(path.clone()), NOW)));
        for (n, run) in &mut runs {
            run.insert(ip(*n), named("x"), NOW);
        }
        for (_, run) in &mut runs {
            run.save(NOW);
        }
        let cache = Cache::load(&config(9), Some(path), NOW);
        assert!(cache.get(ip(1), NOW).is_some() && cache.get(ip(2), NOW).is_some());
    }

    #[test]
    fn a_corrupt_file_is_dropped_whole_and_the_next_save_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut cache = Cache::load(&config(9), Some(path.clone()), NOW);
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
            let mut cache = Cache::load(&config(9), Some(path.clone()), NOW);
            assert!(cache.entries.is_empty(), "{broken:?}");
            cache.insert(ip(3), named("z"), NOW);
            cache.save(NOW);
            assert_eq!(Cache::load(&config(9), Some(path.clone()), NOW).entries.len(), 1);
        }
    }

    #[test]
    fn answers_from_a_clock_that_was_set_back_are_not_kept_for_years() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut cache = Cache::load(&config(9), Some(path.clone()), NOW);
        cache.insert(ip(1), named("x"), NOW);
        cache.save(NOW);
        assert!(Cache::load(&config(9), Some(path), NOW - 1000).entries.is_empty());
    }
}
