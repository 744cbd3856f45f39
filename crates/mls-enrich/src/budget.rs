//! How long the DNS may delay a run.
//!
//! Each second of delay uses a second of the budget. Each second without delay restores a second.
//! If the budget is spent, lookups pause for the time of the whole budget. So a run over many old
//! lines is delayed only once. If a pipeline follows a log, quiet times restore the budget.

use std::time::{Duration, Instant};

pub(crate) struct Budget {
    total: Duration,
    /// The rest of the budget at `since`.
    left: Duration,
    since: Instant,
    spent_until: Option<Instant>,
}

impl Budget {
    pub(crate) fn new(total: Duration, now: Instant) -> Self {
        Self { total, left: total, since: now, spent_until: None }
    }

    /// The whole budget, which is also the longest delay of a single record.
    pub(crate) fn total(&self) -> Duration {
        self.total
    }

    /// The rest of the budget, if nothing has delayed the run since the last call of `use_up`.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.total.min(self.left + now.saturating_duration_since(self.since))
    }

    /// Subtracts a delay.
    pub(crate) fn use_up(&mut self, from: Instant, to: Instant) {
        self.left = self.left(from).saturating_sub(to.saturating_duration_since(from));
        self.since = to;
    }

    /// Spends the rest of the budget, and pauses lookups for the time of the whole budget.
    pub(crate) fn spend(&mut self, now: Instant) {
        (self.left, self.since, self.spent_until) = (Duration::ZERO, now, Some(now + self.total));
    }

    pub(crate) fn allows_lookups(&self, now: Instant) -> bool {
        self.spent_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_use_the_budget_and_all_other_time_restores_it() {
        let start = Instant::now();
        let mut budget = Budget::new(10 * SECOND, start);
        budget.use_up(start, start + 6 * SECOND);
        assert_eq!(budget.left(start + 6 * SECOND), 4 * SECOND);
        budget.use_up(start + 8 * SECOND, start + 9 * SECOND);
        assert_eq!(budget.left(start + 9 * SECOND), 5 * SECOND);
        assert_eq!(budget.left(start + 90 * SECOND), 10 * SECOND);
        budget.use_up(start + 90 * SECOND, start + 120 * SECOND);
        assert_eq!(budget.left(start + 120 * SECOND), Duration::ZERO);
    }

    #[test]
    fn a_spent_budget_pauses_lookups_until_it_is_restored() {
        let start = Instant::now();
        let mut budget = Budget::new(10 * SECOND, start);
        assert!(budget.allows_lookups(start));
        budget.spend(start);
        assert!(!budget.allows_lookups(start + 9 * SECOND));
        assert!(budget.allows_lookups(start + 10 * SECOND));
        assert_eq!(budget.left(start + 10 * SECOND), 10 * SECOND);
    }
}
