//! The loop of a sink: a tool that commits data and cursor together.

use std::time::{Duration, Instant};

use mls_event::{Auth, Record};
use serde_json::Value;

use crate::ndjson::Reader;
use crate::{Exit, signals};

/// A checkpoint that comes sooner after the last commit may be skipped for a later one: half of the second within which
/// data that flows is committed.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// Where the events of a framed stream end up.
pub trait Sink {
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

/// Feeds a framed stream into `sink` until `end`. Commits at the last checkpoint, when the input pauses after one, and at
/// least every second.
///
/// # Errors
/// Exit 65 where the input is not framed, 75 where it stops before `end` (what was not committed is read again by the next
/// run), and the sink's own errors.
pub fn drain(mut reader: Reader, sink: &mut impl Sink) -> anyhow::Result<()> {
    let mut begun = false;
    let mut pending: Option<Value> = None;
    let mut committed = Instant::now();
    loop {
        let pause = || match pending.take() {
            Some(cursor) => {
                committed = Instant::now();
                sink.commit(cursor)
            }
            None => Ok(()),
        };
        let Some(line) = reader.next(pause)? else { break };
        match Record::parse(line) {
            Err(why) => reader.bad(why),
            Ok(Record::Begin(head)) if !begun => {
                signals::drain_until_end_of_input();
                begun = true;
                sink.begin(head.base)?;
            }
            Ok(_) if !begun => {
                return Err(
                    Exit::DataErr.error("the input is not framed: --cursor-file needs mls-tail --framed at its head")
                );
            }
            Ok(Record::Begin(_)) => {
                return Err(Exit::DataErr.error(format!("line {}: a second begin record", reader.line())));
            }
            Ok(Record::Auth(auth)) => {
                // A row that the checkpoint does not cover: from here on only a later one will do.
                pending = None;
                sink.event(&auth)?;
            }
            Ok(Record::Checkpoint(checkpoint)) if committed.elapsed() >= COMMIT_EVERY => {
                pending = None;
                sink.commit(checkpoint.cursor)?;
                committed = Instant::now();
            }
            Ok(Record::Checkpoint(checkpoint)) => pending = Some(checkpoint.cursor),
            Ok(Record::End(_)) => {
                return pending.map_or(Ok(()), |cursor| sink.commit(cursor));
            }
            Ok(Record::Gap(_) | Record::Segment(_) | Record::Other(_)) => {}
        }
    }
    Err(Exit::TempFail.error(if begun {
        "the input stopped before its end record; the next run reads again what was not committed"
    } else {
        "the input is empty: nothing was written"
    }))
}
