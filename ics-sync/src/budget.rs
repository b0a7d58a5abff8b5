//! Budgets: how much of something may pass in a time. A second's worth may pass at once, the rest at an even pace.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How much may pass at once, in seconds of the budget.
const BURST: Duration = Duration::from_secs(1);

/// A number of units, such as bytes or requests, per time.
#[derive(Debug)]
pub struct Budget {
    units: u64,
    time: Duration,
    /// When everything that has passed so far would have passed at an even pace.
    paid_until: Mutex<Option<Instant>>,
}

impl Budget {
    /// A budget of this many units per time.
    #[must_use]
    pub const fn new(units: u64, time: Duration) -> Self {
        Self { units, time, paid_until: Mutex::new(None) }
    }

    /// Notes that this many units pass now; returns how long to wait before more may.
    pub fn spend(&self, units: u64, now: Instant) -> Duration {
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let from = paid_until.map_or(now, |until| until.max(now));
        let until = from + self.time_for(units);
        *paid_until = Some(until);
        until.saturating_duration_since(now + self.burst())
    }

    /// How long to wait, as things stand, until something may pass.
    #[must_use]
    pub fn wait(&self, now: Instant) -> Duration {
        let paid_until = *self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        paid_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now + self.burst()))
    }

    /// The same for callers that must leave half of the burst to others.
    #[must_use]
    pub fn wait_for_half(&self, now: Instant) -> Duration {
        let paid_until = *self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        paid_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now + self.burst() / 2))
    }

    /// The time in which this many units pass at an even pace.
    #[must_use]
    pub fn time_for(&self, units: u64) -> Duration {
        self.time.mul_f64(units as f64 / self.units.max(1) as f64)
    }

    /// The units that pass at an even pace in a time.
    #[must_use]
    pub fn within(&self, time: Duration) -> u64 {
        (self.units as f64 * time.as_secs_f64() / self.time.as_secs_f64()) as u64
    }

    /// The burst: at least one unit passes at once, however long it takes at an even pace.
    fn burst(&self) -> Duration {
        BURST.max(self.time.div_f64(self.units.max(1) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_passes_at_once_and_the_rest_at_an_even_pace() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let budget = Budget::new(1_000, Duration::from_secs(1));
        assert_eq!(budget.spend(1_000, at(0)), Duration::ZERO);
        assert_eq!((budget.wait_for_half(at(0)), budget.wait(at(0))), (Duration::from_millis(500), Duration::ZERO));
        assert_eq!(budget.spend(500, at(0)), Duration::from_millis(500));
        assert_eq!((budget.wait(at(100)), budget.wait(at(500))), (Duration::from_millis(400), Duration::ZERO));
        assert_eq!(budget.spend(100, at(500)), Duration::from_millis(100));
        assert_eq!(budget.spend(1_000, at(60_000)), Duration::ZERO, "what was not used is not saved up");
        assert_eq!(budget.spend(1, at(60_000)), Duration::from_millis(1));
        assert_eq!(budget.within(Duration::from_secs(30)), 30_000);
        assert_eq!(budget.time_for(30_000), Duration::from_secs(30));
    }

    #[test]
    fn a_slow_budget_lets_one_pass() {
        let now = Instant::now();
        let budget = Budget::new(1, Duration::from_secs(60));
        assert_eq!(budget.spend(1, now), Duration::ZERO);
        assert_eq!(budget.wait(now), Duration::ZERO);
        assert!(budget.spend(1, now) > Duration::from_secs(50));
    }
}
