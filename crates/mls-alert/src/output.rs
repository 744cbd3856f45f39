//! Writes alerts, and remembers them.

use chrono::Utc;
use mls_diag::{count, summary};
use mls_event::{Alert, Begin, End, Outcome};
use mls_state::alerted::Alerted;
use mls_stream::ndjson::Writer;

use crate::cursor::AlertCursor;

/// Writes alerts, and stores them in the cursor file. In a framed stream, the reader of the stream
/// stores them instead.
pub(crate) struct AlertWriter {
    pub(crate) out: Writer,
    pub(crate) cursor: Option<AlertCursor>,
    pub(crate) alerted: Alerted,
    /// Whether [`Self::commit`] must write the cursor file.
    is_dirty: bool,
    pub(crate) counts: Counts,
}

impl AlertWriter {
    pub(crate) fn new(
        out: Writer,
        cursor: Option<AlertCursor>,
        alerted: Alerted,
        is_dirty: bool,
    ) -> Self {
        Self { out, cursor, alerted, is_dirty, counts: Counts::default() }
    }

    pub(crate) fn begin(&mut self) -> anyhow::Result<()> {
        match &self.cursor {
            Some(cursor) if cursor.is_framed() => self.out.record(&Begin { base: cursor.sequence }),
            _ => Ok(()),
        }
    }

    pub(crate) fn write(&mut self, alerts: &[Alert<'_>]) -> anyhow::Result<()> {
        for alert in alerts {
            self.out.record(alert)?;
            self.is_dirty = true;
            self.counts.alerts += 1;
            self.counts.suspicious += u64::from(alert.kind.is_suspicious_login());
        }
        Ok(())
    }

    /// Flushes the output, then stores the alerts. With `--framed`, the reader of the stream stores
    /// the alerts instead.
    pub(crate) fn commit(&mut self) -> anyhow::Result<()> {
        self.out.flush()?;
        if let Some(cursor) =
            self.cursor.as_mut().filter(|cursor| self.is_dirty && !cursor.is_framed())
        {
            self.alerted.forget_old(Utc::now().timestamp());
            cursor.store(&self.alerted)?;
        }
        self.is_dirty = false;
        Ok(())
    }

    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        if self.cursor.as_ref().is_some_and(AlertCursor::is_framed) {
            self.out.record(&End {})?;
        }
        self.commit()
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    failures: u64,
    pub(crate) logins: u64,
    alerts: u64,
    suspicious: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, outcome: Outcome, attempts: u64) {
        match outcome {
            Outcome::Failure => self.failures += attempts,
            Outcome::Success => self.logins += attempts,
            Outcome::Aborted | Outcome::Error => {}
        }
    }

    pub(crate) fn report(self) {
        summary(format_args!(
            "raised {}, {} of them about suspicious logins, from {} and {}",
            count(self.alerts, "alert", "alerts"),
            self.suspicious,
            count(self.failures, "failure", "failures"),
            count(self.logins, "login", "logins"),
        ));
    }
}
