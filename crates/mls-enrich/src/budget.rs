//! How long a run may be held up by the DNS.
//!
//! Being held up uses the budget up; all other time brings it back, second for second. Once it is spent there are no lookups
//! for as long again. So a run over a backlog is held up once, and a pipeline that follows a log has its whole budget again
//! after each quiet time.

use std::time::{Duration, Instant};

pub(crate) struct Budget {
    total: Duration,
    /// What was left at `since`.
    left: Duration,
    since: Instant,
    spent_until: Option<Instant>,
}

impl Budget {
    pub(crate) fn new(total: Duration, now: Instant) -> Self {
        Self { total, left: total, since: now, spent_until: None }
    }

    /// The whole of it, which is also how long any one record may be held.
    pub(crate) fn total(&self) -> Duration {
        self.total
    }

    /// What is left, if nothing has held the run up since it was last used.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.total.min(self.left + now.saturating_duration_since(self.since))
    }

    /// The run was held up.
    pub(crate) fn used(&mut self, from: Instant, to: Instant) {
        self.left = self.left(from).saturating_sub(to.saturating_duration_since(from));
        self.since = to;
    }

    pub(crate) fn spend(&mut self, now: Instant) {
        (self.left, self.since, self.spent_until) = (Duration::ZERO, now, Some(now + self.total));
    }

    /// Whether lookups may start.
    pub(crate) fn allows_lookups(&self, now: Instant) -> bool {
        self.spent_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn being_held_up_uses_the_budget_up_and_all_other_time_brings_it_back() {
        let start = Instant::now();
        let mut budget = Budget::new(10 * SECOND, start);
        budget.used(start, start + 6 * SECOND);
        assert_eq!(budget.left(start + 6 * SECOND), 4 * SECOND);
        budget.used(start + 8 * SECOND, start + 9 * SECOND);
        assert_eq!(budget.left(start + 9 * SECOND), 5 * SECOND);
        assert_eq!(budget.left(start + 90 * SECOND), 10 * SECOND);
        budget.used(start + 90 * SECOND, start + 120 * SECOND);
        assert_eq!(budget.left(start + 120 * SECOND), Duration::ZERO);
    }

    #[test]
    fn a_spent_budget_allows_nothing_for_as_long_again_and_is_then_whole() {
        let start = Instant::now();
        let mut budget = Budget::new(10 * SECOND, start);
        assert!(budget.allows_lookups(start));
        budget.spend(start);
        assert!(!budget.allows_lookups(start + 9 * SECOND));
        assert!(budget.allows_lookups(start + 10 * SECOND));
        assert_eq!(budget.left(start + 10 * SECOND), 10 * SECOND);
    }
}
