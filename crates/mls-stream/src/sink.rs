//! The loop of a sink: a tool that commits data and cursor together.

use std::fmt::Display;
use std::sync::atomic::{self, AtomicBool};
use std::time::{Duration, Instant};

use mls_event::{Auth, MAX_ROWS, Outcome, Record};
use serde_json::Value;

use crate::ndjson::Reader;
use crate::signals;
use crate::unreadable::not_logins;
use mls_diag::{Exit, diag};

/// Stores the events of a stream.
pub trait Sink {
    /// A checkpoint within this time after the last commit may be skipped, because a later
    /// checkpoint covers the same data. `None`: commit once, at the end of the stream.
    const COMMIT_EVERY: Option<Duration> = Some(Duration::from_millis(500));

    /// Whether the sink accepts an empty or a plain stream. A plain stream has neither checkpoints
    /// nor `end`. It is committed once, at its end, with a null cursor. So a sink that commits a
    /// cursor must return false.
    fn takes_plain(&self) -> bool {
        false
    }

    /// Called at the start of a framed stream. `base` is the sequence number of the cursor that the
    /// stream starts from. The sink must check `base` with [`check_base`].
    ///
    /// # Errors
    /// If the sink cannot accept records.
    fn begin(&mut self, base: u64) -> anyhow::Result<()>;

    /// Accepts one event, which becomes durable with the next commit. If the event cannot be
    /// stored, it is skipped, and the inner error says why.
    ///
    /// # Errors
    /// If the sink cannot accept more events; the run ends.
    fn event(&mut self, auth: &Auth<'_>) -> anyhow::Result<Result<(), String>>;

    /// Stores all accepted events and `cursor` durably in one step: all or nothing.
    ///
    /// # Errors
    /// If the commit fails; the run ends without a retry.
    fn commit(&mut self, cursor: Value) -> anyhow::Result<()>;
}

/// The message about a framed stream that has no `end`.
pub const CUT_OFF: &str =
    "the input stopped before its end record: the tool that wrote it has failed or was killed";

/// Whether the stream is framed. The first record decides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamKind {
    Unknown,
    Framed,
    Plain,
}

/// The number of rows that `event` adds to a file or table of this `outcome`. Warns once about an
/// event of more than [`MAX_ROWS`] attempts.
pub fn rows(event: &Auth<'_>, outcome: Outcome) -> u32 {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let rows = event.rows(outcome);
    if rows == MAX_ROWS
        && event.attempts > MAX_ROWS
        && !WARNED.swap(true, atomic::Ordering::Relaxed)
    {
        log::warn!(
            "the record at {} has {} attempts, but a record gets at most {MAX_ROWS} rows; later \
             records with too many attempts give no warning",
            event.date,
            event.attempts
        );
    }
    rows
}

/// Refuses a stream from commit `base` if the last commit in `cursor`, `sequence`, is different.
///
/// # Errors
/// Exit 75. The next run continues if mls-tail reads the right cursor.
pub fn check_base(base: u64, sequence: u64, cursor: impl Display) -> anyhow::Result<()> {
    if base == sequence {
        return Ok(());
    }
    Err(Exit::TempFail.error(format!(
        "the stream starts from commit {base}, but {cursor} is at commit {sequence}. Nothing was \
         written. If another pipeline has committed or somebody has restored {cursor} during this \
         run, the next run continues. If not, mls-tail has not read this cursor: check \
         --cursor-file of mls-tail"
    )))
}

/// Gives a stream to `sink` until its end. Commits a framed stream at its last checkpoint. If
/// [`Sink::COMMIT_EVERY`] is set, also commits in two cases: at a checkpoint if this time has
/// passed since the last commit, and when the input pauses after a checkpoint.
///
/// # Errors
/// Exit 65 if the input has alerts, or is plain and the sink requires a framed stream. Exit 75 if a
/// framed stream stops before `end`; the next run reads again what was not committed. Also the
/// errors of the sink.
pub fn drain<S: Sink>(mut reader: Reader, sink: &mut S) -> anyhow::Result<()> {
    let mut stream = StreamKind::Unknown;
    let mut pending: Option<Value> = None;
    // Whether records have come since the last checkpoint.
    let mut uncovered = false;
    let mut committed = Instant::now();
    loop {
        let pause = || match pending.take_if(|_| S::COMMIT_EVERY.is_some()) {
            Some(cursor) => {
                committed = Instant::now();
                sink.commit(cursor)
            }
            None => Ok(()),
        };
        let Some(line) = reader.next(pause)? else { break };
        let record = match Record::parse(line) {
            Ok(record) => record,
            Err(why) => {
                reader.bad(why);
                continue;
            }
        };
        match record {
            Record::Begin(_) => {}
            Record::Segment(_) | Record::Gap(_) | Record::Checkpoint(_) | Record::End(_)
                if stream != StreamKind::Framed =>
            {
                return Err(Exit::DataErr.error(format!(
                    "line {}: the input is a framed stream without its begin record; give the \
                     whole output of mls-tail --framed",
                    reader.line()
                )));
            }
            _ if stream == StreamKind::Unknown && !sink.takes_plain() => {
                return Err(Exit::DataErr.error(
                    "the input is not framed: --cursor-file needs a pipeline that begins with mls-tail --framed",
                ));
            }
            _ if stream == StreamKind::Unknown => stream = StreamKind::Plain,
            _ => {}
        }
        match record {
            Record::Begin(head) if stream == StreamKind::Unknown => {
                signals::drain_until_end_of_input();
                stream = StreamKind::Framed;
                sink.begin(head.base)?;
            }
            Record::Begin(_) => {
                return Err(Exit::DataErr.error(format!(
                    "line {}: the input has a second begin record; give only one framed stream",
                    reader.line()
                )));
            }
            Record::Auth(auth) => {
                // The pending checkpoint does not cover this row, but a commit would store the row.
                // So drop this checkpoint.
                pending = None;
                uncovered = true;
                if let Err(why) = sink.event(&auth)? {
                    diag::bad_record(format_args!("{}:{}", reader.name(), reader.line()), why);
                }
            }
            Record::Checkpoint(checkpoint)
                if S::COMMIT_EVERY.is_some_and(|every| committed.elapsed() >= every) =>
            {
                (pending, uncovered) = (None, false);
                sink.commit(checkpoint.cursor)?;
                committed = Instant::now();
            }
            Record::Checkpoint(checkpoint) => {
                (pending, uncovered) = (Some(checkpoint.cursor), false);
            }
            Record::End(_) if uncovered => {
                return Err(Exit::DataErr.error(format!(
                    "line {}: the stream ends after records without a checkpoint, so these records \
                     were not committed; do not filter the output of mls-tail --framed",
                    reader.line()
                )));
            }
            Record::End(_) => {
                return pending.map_or(Ok(()), |cursor| sink.commit(cursor));
            }
            Record::Alert(_) => return Err(not_logins(reader.name())),
            Record::Gap(_) | Record::Segment(_) | Record::Other(_) => {}
        }
    }
    match stream {
        StreamKind::Plain => sink.commit(Value::Null),
        StreamKind::Framed => Err(Exit::TempFail
            .error(format!("{CUT_OFF}; the next run reads again what was not committed"))),
        StreamKind::Unknown if sink.takes_plain() => Ok(()),
        StreamKind::Unknown => Err(Exit::TempFail.error(
            "the input is empty: nothing was written; read the messages of the earlier tools in \
             the pipeline",
        )),
    }
}
