//! How long a run may wait for the DNS.
//!
//! Waiting uses the budget up; while nothing is waited for it comes back, second for second. Once it is spent there are no
//! lookups for as long again. So no record, and no checkpoint behind it, is held for longer than the budget; a run over a
//! backlog waits once; and a pipeline that follows a log has a new budget after each quiet time.

use std::time::{Duration, Instant};

pub(crate) struct Budget {
    total: Duration,
    left: Duration,
    state: State,
}

enum State {
    Idle { since: Instant },
    Waiting { until: Instant },
    Spent { until: Instant },
}

impl Budget {
    pub(crate) fn new(total: Duration, now: Instant) -> Self {
        Self { total, left: total, state: State::Idle { since: now } }
    }

    /// A lookup wants to start. Returns whether it may.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        match self.state {
            State::Waiting { .. } => return true,
            State::Spent { until } if now < until => return false,
            State::Spent { .. } => self.left = self.total,
            State::Idle { since } => self.left = self.total.min(self.left + now.duration_since(since)),
        }
        self.state = State::Waiting { until: now + self.left };
        true
    }

    /// When whatever is waited for is to be given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Idle { .. } | State::Spent { .. } => None,
        }
    }

    /// The last lookup has been answered.
    pub(crate) fn end(&mut self, now: Instant) {
        if let State::Waiting { until } = self.state {
            self.left = until.saturating_duration_since(now);
            self.state = State::Idle { since: now };
        }
    }

    /// The deadline has passed.
    pub(crate) fn spend(&mut self, now: Instant) {
        self.state = State::Spent { until: now + self.total };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waiting_uses_the_budget_up_and_quiet_time_brings_it_back_up_to_the_whole() {
        let start = Instant::now();
        let mut budget = Budget::new(10 * SECOND, start);
        assert!(budget.begin(start));
        budget.end(start + 6 * SECOND);
        assert!(budget.begin(start + 8 * SECOND));
        assert_eq!(budget.deadline(), Some(start + 14 * SECOND));
        budget.end(start + 9 * SECOND);
        assert!(budget.begin(start + 90 * SECOND));
        assert_eq!(budget.deadline(), Some(start + 100 * SECOND));
    }

    #[test]
    fn a_lookup_that_starts_while_others_run_does_not_move_the_deadline() {
        let start = Instant::now();
        let mut budget = Budget::new(10 * SECOND, start);
        assert!(budget.begin(start) && budget.begin(start + 9 * SECOND));
        assert_eq!(budget.deadline(), Some(start + 10 * SECOND));
    }

    #[test]
    fn a_spent_budget_allows_nothing_for_as_long_again() {
        let start = Instant::now();
        let mut budget = Budget::new(10 * SECOND, start);
        assert!(budget.begin(start));
        budget.spend(start + 10 * SECOND);
        assert!(!budget.begin(start + 19 * SECOND));
        assert!(budget.begin(start + 20 * SECOND));
        assert_eq!(budget.deadline(), Some(start + 30 * SECOND));
    }
}
