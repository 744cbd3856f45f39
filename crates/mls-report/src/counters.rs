//! Reads the counters of the last run, for `--since-last --format prometheus`.
//!
//! A run needs only the metrics file of the last run. Its first line is a comment with the position
//! at which the last run ended, as JSON. The next run counts the rows after this position. Counters
//! and position are replaced in one step, so every attempt is counted exactly once.

use std::collections::BTreeMap;
use std::path::Path;

use mls_diag::{Exit, OnFile, OrExit};
use mls_state::regular;

use crate::since_last::{DigestEnd, LastDigest};

/// The beginning of the metrics file.
const MARK: &str = "# mls-report: ";

/// The counters in a metrics file, and the position after the last row that they count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// For each counter, its values by labels, such as `{country_code="DE"}`.
    by_name: BTreeMap<String, BTreeMap<String, u64>>,
    end: Option<DigestEnd>,
}

impl Counters {
    /// Reads a metrics file. If the file does not exist, all counters begin at 0. Exit 78 if the
    /// file is damaged, or if `mls-report --since-last` did not write it.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let content = regular::if_there(regular::read(path));
        let content = content.on_file("reading", path).or_exit(Exit::IoErr)?;
        let Some(content) = content else { return Ok(Self::default()) };
        let text = String::from_utf8_lossy(&content);
        Self::parse(&text).ok_or_else(|| {
            Exit::Config.error(format!(
                "{}: mls-report cannot continue the metrics in this file: the file is damaged, or \
                mls-report --since-last did not write the file; if you remove the file, the \
                counters start again at 0",
                path.display()
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let end = serde_json::from_str(lines.next()?.strip_prefix(MARK)?).ok()?;
        let mut by_name: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for line in lines.filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.find('{').unwrap_or(series.len());
            let (name, labels) = series.split_at(labels);
            by_name
                .entry(name.to_owned())
                .or_default()
                .insert(labels.to_owned(), value.parse().ok()?);
        }
        Some(Self { by_name, end: Some(end) })
    }

    /// Returns the position after the last counted row, where the next run begins.
    pub(crate) fn last(&self) -> LastDigest {
        LastDigest { base: 0, end: self.end.clone(), begins_now: true }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Returns the counter `name` plus these samples. New labels are added only until the counter
    /// has `most` series, so the caller must pass the largest samples first. No series is removed.
    pub(crate) fn plus(
        &self,
        name: &str,
        samples: impl IntoIterator<Item = (String, u64)>,
        most: usize,
    ) -> BTreeMap<String, u64> {
        let mut sum = self.by_name.get(name).cloned().unwrap_or_default();
        for (labels, n) in samples {
            if let Some(there) = sum.get_mut(&labels) {
                *there = there.saturating_add(n);
            } else if sum.len() < most {
                sum.insert(labels, n);
            }
        }
        sum
    }
}

/// The first line of the metrics file.
pub(crate) fn first_line(end: &DigestEnd) -> serde_json::Result<String> {
    Ok(format!("{MARK}{}\n", serde_json::to_string(end)?))
}
