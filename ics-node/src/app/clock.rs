//! Where time enters: everything below takes it as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ics_core::time::Timestamp;

/// The node's clock, which never goes back while the node runs.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// The system's time, or the latest time that this clock has given if the system's was set back.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(system.as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(self.0.fetch_max(millis, Ordering::AcqRel).max(millis))
    }

    /// Lets so many milliseconds pass.
    #[cfg(test)]
    pub(crate) fn pass(&self, millis: u64) {
        let later = self.now().as_millis() + millis;
        self.0.fetch_max(later, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back() {
        let clock = Clock::default();
        let ahead = clock.now().as_millis() + 60_000;
        clock.0.store(ahead, Ordering::Release);
        assert_eq!(clock.now().as_millis(), ahead);
    }
}
