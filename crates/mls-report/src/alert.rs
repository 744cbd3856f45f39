//! `--alert`: a record for each key that fails too often within too short a time.
//!
//! ```json
//! {"v":1,"type":"alert","date":"2026-06-01T10:30:00+02:00","kind":"ip","key":"192.0.2.1","attempts":20,"threshold":"20/10m"}
//! ```
//!
//! | member | meaning |
//! |---|---|
//! | `date` | of the attempt that reached the threshold |
//! | `kind` | `ip`, `user` or `total` |
//! | `key` | the address or the user; null for `total` |
//! | `attempts` | within the threshold's time, up to that attempt |
//! | `threshold` | as it was given |
//!
//! While a key stays at or above its threshold there is one record in each stretch of the threshold's time. With `--config`,
//! `state_dir` holds when each key was last alerted, so the same CSV can be read again every ten minutes; the first run looks
//! no further back than a day. Memory stays below 80 MiB: where more than 50,000 keys of a kind alert, further ones are not told
//! of, and a warning says so.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use mls_config::config::Threshold;
use mls_diag::{Exit, OrExit};
use mls_state::atomic;
use mls_state::lock::Lock;
use mls_stream::ndjson::Writer;
use serde::{Deserialize, Serialize};

use crate::mail::Post;
use crate::rows::Row;
use crate::run::Job;
use crate::text::known;
use crate::window::Windows;

const VERSION: u32 = 1;

/// How far back an attempt may be that still alerts.
const LATE: i64 = 86400;

/// How far ahead of the clock an attempt may be: one from next year would keep all others from counting.
const AHEAD: i64 = 3600;

/// How many alerts a mail has.
const MOST_UNSENT: usize = 1000;

/// How many keys of a kind are remembered; further ones do not alert, which a warning says.
const MOST_ALERTED: usize = 50_000;

/// Where there are as many, room is looked for no more often than after so many seconds.
const PAUSE: i64 = 60;

/// The record.
#[derive(Clone, Debug, Serialize)]
struct Alert {
    v: u64,
    r#type: &'static str,
    date: String,
    kind: Kind,
    key: Option<String>,
    attempts: u64,
    threshold: String,
}

/// What a threshold is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Ip,
    User,
    Total,
}

/// Reads the input to its end, and acts whenever it pauses.
pub(crate) fn run(job: &Job) -> anyhow::Result<()> {
    let (args, alert) = (&job.args, &job.config.alert);
    let watch = |kind, flag: Option<Threshold>, config| {
        flag.or(config).map(|threshold| (kind, Windows::new(threshold)))
    };
    let watches: Vec<_> = [
        watch(Kind::Ip, args.alert_ip, alert.ip),
        watch(Kind::User, args.alert_user, alert.user),
        watch(Kind::Total, args.alert_total, alert.total),
    ]
    .into_iter()
    .flatten()
    .collect();
    if watches.is_empty() {
        return Err(Exit::Usage.error(
            "--alert needs a threshold: --alert-ip 20/10m, or [alert] in the configuration",
        ));
    }
    let post = if args.mail { Some(job.post()?) } else { None };
    let file = match &job.config.paths.state_dir {
        Some(directory) => Some(State::open(directory, job.now.timestamp())?),
        None => None,
    };
    let (state, file) = match file {
        Some((state, path, lock)) => (state, Some((path, lock))),
        None => (State::default(), None),
    };
    let longest = watches
        .iter()
        .map(|(_, windows)| i64::from(windows.threshold.seconds))
        .max()
        .unwrap_or_default();
    let horizon = state.since.and_then(|since| DateTime::from_timestamp(since - longest, 0));
    let desk = RefCell::new(Desk {
        job,
        post,
        watches,
        state,
        file,
        horizon: horizon.map_or_else(String::new, |at| {
            args.timezone.show(&at).format("%Y-%m-%d %H:%M").to_string()
        }),
        unsent: Vec::new(),
        untold: 0,
        news: false,
        out: Writer::stdout()?,
    });
    let read = job.source()?.follow(
        args.timezone,
        |row, _| desk.borrow_mut().count(row),
        || {
            // A server that is away now may be back at the next pause.
            desk.borrow_mut().act().or_else(|error| {
                if mls_stream::ndjson::output_closed(&error) {
                    return Err(error);
                }
                log::warn!("{error:#}");
                Ok(())
            })
        },
    );
    // Whatever ended it: nobody will count these rows again.
    desk.into_inner().act()?;
    read.map(drop)
}

/// Where alerts arise and go out.
struct Desk<'a> {
    job: &'a Job,
    post: Option<Post>,
    watches: Vec<(Kind, Windows)>,
    state: State,
    file: Option<(PathBuf, Lock)>,
    /// Older rows cannot alert, nor help to.
    horizon: String,
    unsent: Vec<Alert>,
    /// How many more there are.
    untold: u64,
    /// Whether there is anything to remember.
    news: bool,
    out: Writer,
}

impl Desk<'_> {
    fn count(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
        if row.date < self.horizon.as_str() {
            return Ok(());
        }
        let format = if row.date.len() > 16 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" };
        // A date that no calendar has cannot be near another.
        let Ok(naive) = NaiveDateTime::parse_from_str(row.date, format) else { return Ok(()) };
        let zone = self.job.args.timezone;
        let date = row.at.map_or_else(|| zone.read(naive), |at| zone.show(&at));
        let at = date.timestamp();
        if at > chrono::Utc::now().timestamp() + AHEAD {
            return Ok(());
        }
        for (kind, windows) in &mut self.watches {
            let key = match kind {
                Kind::Ip => row.ip,
                Kind::User => row.user,
                Kind::Total => Some(""),
            };
            let Some(key) = key else { continue };
            let attempts = windows.add(key, at, row.attempts);
            if attempts < windows.threshold.count.into()
                || !self.state.alert(*kind, key, at, windows.threshold.seconds.into())
            {
                continue;
            }
            let alert = Alert {
                v: mls_event::VERSION,
                r#type: "alert",
                date: date.to_rfc3339_opts(SecondsFormat::Secs, false),
                kind: *kind,
                // A CSV can be edited.
                key: (*kind != Kind::Total).then(|| mls_event::clean_str(key).into_owned()),
                attempts,
                threshold: windows.threshold.to_string(),
            };
            self.news = true;
            self.out.line(&serde_json::to_vec(&alert)?)?;
            if self.post.is_some() && self.unsent.len() < MOST_UNSENT {
                self.unsent.push(alert);
            } else if self.post.is_some() {
                self.untold += 1;
            }
        }
        Ok(())
    }

    /// Lets everything out, and remembers it.
    fn act(&mut self) -> anyhow::Result<()> {
        self.out.flush()?;
        let mut sent = Ok(());
        if let (Some(post), [first, ..]) = (&self.post, &self.unsent[..]) {
            let subject = match self.unsent.len() as u64 + self.untold {
                1 => format!("alert: {}", first.sentence()),
                n => format!("{n} alerts from {}", self.job.server.name),
            };
            let more = (self.untold > 0)
                .then(|| format!("and {} more, which the records tell\n", self.untold));
            let text: String =
                self.unsent.iter().map(|alert| alert.sentence() + "\n").chain(more).collect();
            let fate = self.job.send_plain(post, &subject, &text, text.clone())?;
            let anybody = !fate.delivered.is_empty() || self.job.is_dry();
            sent = fate.into_result(&post.server);
            if !anybody {
                return sent;
            }
            // Who has got it shall not get it again because another has not.
            self.unsent.clear();
            self.untold = 0;
        }
        if let Some((path, _)) = self.file.as_ref().filter(|_| self.news) {
            self.state.store(path)?;
            self.news = false;
        }
        sent
    }
}

impl Alert {
    /// `20 failed logins from 192.0.2.1 (20/10m) at 2026-06-01T10:30:00+02:00`
    fn sentence(&self) -> String {
        let key = match (self.kind, &self.key) {
            (Kind::Ip, ip @ Some(_)) => format!("from {}", known(ip.as_ref(), "")),
            (Kind::User, user @ Some(_)) => format!("on {}", known(user.as_ref(), "")),
            _ => "in all".to_owned(),
        };
        format!("{} failed logins {key} ({}) at {}", self.attempts, self.threshold, self.date)
    }
}

/// When each key was last alerted, in seconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    /// Attempts from before then do not alert any more.
    #[serde(skip)]
    since: Option<i64>,
    /// When there were too many, if there still are.
    #[serde(skip)]
    full: Option<i64>,
    alerted: BTreeMap<Kind, BTreeMap<String, i64>>,
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, since: None, full: None, alerted: BTreeMap::new() }
    }
}

impl State {
    /// Reads `report.alerts` in `directory`.
    fn open(directory: &Path, now: i64) -> anyhow::Result<(Self, PathBuf, Lock)> {
        let path = directory.join("report.alerts");
        let lock = Lock::take(&path)?;
        let mut state = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            text => serde_json::from_slice(
                &text.with_context(|| format!("reading {}", path.display()))?,
            )
            .map_err(anyhow::Error::from)
            .and_then(|state: Self| {
                anyhow::ensure!(
                    state.version == VERSION,
                    "it has version {}, not {VERSION}",
                    state.version
                );
                Ok(state)
            })
            .with_context(|| {
                format!("{} cannot be used; remove it, and alerts begin anew", path.display())
            })
            .or_exit(Exit::Config)?,
        };
        state.since = Some(now - LATE);
        Ok((state, path, lock))
    }

    /// Whether an alert of `key` at `at` is one, the last being `seconds` ago or more; then it is the last.
    fn alert(&mut self, kind: Kind, key: &str, at: i64, seconds: i64) -> bool {
        let alerted = self.alerted.entry(kind).or_default();
        let due = self.since.is_none_or(|since| at >= since)
            && alerted.get(key).is_none_or(|last| at - last >= seconds);
        if due && alerted.len() >= MOST_ALERTED && !alerted.contains_key(key) {
            // Looking through all of them for each new one would take for ever.
            if self.full.is_some_and(|full| at < full + PAUSE) {
                return false;
            }
            // Who was alerted so long before is due again; the same input may be read again, from a day ago on.
            let horizon = at - seconds - self.since.map_or(0, |_| LATE);
            alerted.retain(|_, last| *last > horizon);
            if alerted.len() >= MOST_ALERTED {
                if self.full.replace(at).is_none() {
                    log::warn!("more than {MOST_ALERTED} keys alert: further ones are not told of");
                }
                return false;
            }
            self.full = None;
        }
        if due {
            alerted.insert(key.to_owned(), at);
        }
        due
    }

    fn store(&mut self, path: &Path) -> anyhow::Result<()> {
        // Who was alerted longer ago than any threshold's time is due again.
        let horizon = chrono::Utc::now().timestamp() - LATE.max(Threshold::MAX_SECONDS.into());
        for keys in self.alerted.values_mut() {
            keys.retain(|_, at| *at >= horizon);
        }
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        atomic::write(path, text.as_bytes(), 0o640)
            .with_context(|| format!("writing {}", path.display()))
            .or_exit(Exit::IoErr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_keys_are_remembered_and_others_when_there_is_room_again() {
        let mut state = State::default();
        for n in 0..MOST_ALERTED {
            assert!(state.alert(Kind::User, &n.to_string(), 0, 600), "{n}");
        }
        for at in [0, 1, -50, 59, 120, 599] {
            assert!(!state.alert(Kind::User, "one more", at, 600), "{at}");
        }
        assert!(state.alert(Kind::Ip, "192.0.2.1", 599, 600));
        assert!(!state.alert(Kind::User, "1", 599, 600));
        assert!(state.alert(Kind::User, "1", 600, 600));
        assert!(state.alert(Kind::User, "one more", 700, 600));
        assert_eq!(state.alerted[&Kind::User].len(), 2);
    }
}
