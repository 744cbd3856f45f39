//! The loop of a sink: a tool that commits data and cursor together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mls_event::{Auth, MAX_ROWS, Record};
use serde_json::Value;

use crate::ndjson::Reader;
use crate::signals;
use mls_diag::Exit;

/// Where the events of a stream end up.
pub trait Sink {
    /// A checkpoint that comes sooner after the last commit may be skipped for a later one: half of the second within which
    /// data that flows is committed. `None` commits once, at the end of the stream.
    const COMMIT_EVERY: Option<Duration> = Some(Duration::from_millis(500));

    /// Whether it takes a stream that is not framed, which has neither checkpoints nor `end` and is committed once, with a null
    /// cursor, when it ends; or none at all. Who commits a cursor cannot.
    fn takes_plain(&self) -> bool {
        false
    }

    /// The stream starts from the cursor with sequence number `base`: refuse it with exit 75 if that is not the one last
    /// committed, because somebody else has committed since.
    ///
    /// # Errors
    /// Whatever keeps the sink from accepting records.
    fn begin(&mut self, base: u64) -> anyhow::Result<()>;

    /// Takes one event; nothing is durable yet.
    ///
    /// # Errors
    /// Whatever keeps the sink from taking it; the run ends.
    fn event(&mut self, auth: &Auth<'_>) -> anyhow::Result<()>;

    /// Makes all events taken so far durable together with `cursor`: both or neither.
    ///
    /// # Errors
    /// Whatever keeps the sink from doing so; the run ends and nothing is tried again.
    fn commit(&mut self, cursor: Value) -> anyhow::Result<()>;
}

/// What is wrong with a framed stream that has no `end`.
pub const CUT_OFF: &str = "the input stopped before its end record: whoever wrote it has died";

/// The first record decides what the stream is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Unknown,
    Framed,
    Plain,
}

/// How many rows `event` is; says once that an event is more than [`MAX_ROWS`].
pub fn rows(event: &Auth<'_>) -> u32 {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let rows = event.rows();
    if rows == MAX_ROWS && event.attempts > MAX_ROWS && !TOLD.swap(true, Ordering::Relaxed) {
        log::warn!(
            "an event of {} attempts at {} is {MAX_ROWS} rows (told once)",
            event.attempts,
            event.date
        );
    }
    rows
}

/// Feeds a stream into `sink` until its end. A framed one is committed at the last checkpoint, when the input pauses after one,
/// and at least every second.
///
/// # Errors
/// Exit 65 where the input is not framed and the sink wants it so, 75 where a framed one stops before `end` (what was not
/// committed is read again by the next run), and the sink's own errors.
pub fn drain<S: Sink>(mut reader: Reader, sink: &mut S) -> anyhow::Result<()> {
    let mut stream = Stream::Unknown;
    let mut pending: Option<Value> = None;
    // Records have come since the last checkpoint.
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
                if stream != Stream::Framed =>
            {
                return Err(Exit::DataErr.error(format!(
                    "line {}: a framed stream without its begin record",
                    reader.line()
                )));
            }
            _ if stream == Stream::Unknown && !sink.takes_plain() => {
                return Err(Exit::DataErr.error(
                    "the input is not framed: --cursor-file needs mls-tail --framed at its head",
                ));
            }
            _ if stream == Stream::Unknown => stream = Stream::Plain,
            _ => {}
        }
        match record {
            Record::Begin(head) if stream == Stream::Unknown => {
                signals::drain_until_end_of_input();
                stream = Stream::Framed;
                sink.begin(head.base)?;
            }
            Record::Begin(_) => {
                return Err(
                    Exit::DataErr.error(format!("line {}: a second begin record", reader.line()))
                );
            }
            Record::Auth(auth) => {
                // A row that the checkpoint does not cover: from here on only a later one will do.
                pending = None;
                uncovered = true;
                sink.event(&auth)?;
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
                    "line {}: the stream ends after records that no checkpoint covers; they were not committed",
                    reader.line()
                )));
            }
            Record::End(_) => {
                return pending.map_or(Ok(()), |cursor| sink.commit(cursor));
            }
            Record::Gap(_) | Record::Segment(_) | Record::Alert(_) | Record::Other(_) => {}
        }
    }
    match stream {
        Stream::Plain => sink.commit(Value::Null),
        Stream::Framed => Err(Exit::TempFail
            .error(format!("{CUT_OFF}; the next run reads again what was not committed"))),
        Stream::Unknown if sink.takes_plain() => Ok(()),
        Stream::Unknown => Err(Exit::TempFail.error("the input is empty: nothing was written")),
    }
}
