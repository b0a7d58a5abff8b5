//! When a domain's outbox is sent next, from which body on, and how much of it at once.

use std::time::{Duration, Instant};

use ics_core::limits;

/// The first pause after a failure, which doubles with each further one, and the longest.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(5 * 60);

/// When a domain's outbox is sent next.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    pub(super) failures: u32,
    next: Option<Instant>,
    last: Option<Instant>,
    /// How many bodies a batch may hold, after one was refused as a whole.
    most: Option<usize>,
    /// The last body that was passed over, and when it is begun with the first one again.
    passed: Option<(u64, Instant)>,
    /// How often nothing was taken behind that.
    in_vain: u32,
}

impl Retry {
    pub(super) fn failed(&mut self, jitter: u8) {
        self.next = Some(after_pause(self.failures, jitter));
        self.failures = self.failures.saturating_add(1);
    }

    /// After an answer, full batches are sent again; after a batch that was too large, the size grows by one each time.
    pub(super) fn answered(&mut self) {
        let most = self.most.map(|most| most + 1).filter(|most| *most < limits::BATCH_STATEMENTS);
        *self = Self { last: self.last, passed: self.passed, most, ..Self::default() };
    }

    pub(super) fn halve(&mut self, sent: usize) {
        self.most = Some((sent / 2).max(1));
    }

    /// Passes over a body that is not taken even alone: what waits behind it goes on, and it is sent again in a while.
    pub(super) fn pass_over(&mut self, id: u64) {
        let again = self.passed.map_or_else(|| Instant::now() + LONGEST_RETRY, |(_, again)| again);
        (self.passed, self.next) = (Some((id, again)), None);
    }

    /// Nothing more was taken behind what was passed over. Perhaps nothing gets through at present, so it is sent again
    /// as after a failure; what comes in meanwhile need not wait for it.
    pub(super) fn took_nothing_behind(&mut self, jitter: u8) {
        let again = after_pause(self.in_vain, jitter);
        self.in_vain = self.in_vain.saturating_add(1);
        self.passed = self.passed.map(|(id, _)| (id, again));
    }

    /// The body behind which to begin, and how many are sent at once. What was passed over is sent alone.
    pub(super) fn begin(&mut self) -> (u64, usize) {
        let now = Instant::now();
        if self.passed.take_if(|(_, again)| *again <= now).is_some() {
            self.most = Some(1);
        }
        (self.passed.map_or(0, |(id, _)| id), self.most.unwrap_or(usize::MAX))
    }

    /// Notes that something is sent now.
    pub(super) fn sends(&mut self) {
        self.last = Some(Instant::now());
    }

    pub(super) fn may_send(&self, urged: bool) -> bool {
        let now = Instant::now();
        let rested = self.last.is_none_or(|last| last + RETRY <= now);
        self.next.is_none_or(|next| next <= now || urged && rested)
    }
}

/// When the pause ends after something went wrong, as it had this many times before.
fn after_pause(before: u32, jitter: u8) -> Instant {
    let doubled = RETRY.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(LONGEST_RETRY);
    // Between half of the pause and all of it, so that nodes that failed together do not come back together.
    Instant::now() + doubled / 2 + doubled / 2 * u32::from(jitter) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_over_is_sent_again_soon_unless_something_behind_it_is_taken() {
        let mut retry = Retry::default();
        let is_soon = |retry: &Retry| retry.passed.is_some_and(|(_, again)| again <= Instant::now() + RETRY);
        retry.pass_over(7);
        retry.answered();
        assert_eq!((retry.begin().0, is_soon(&retry)), (7, false));
        retry.pass_over(9);
        retry.took_nothing_behind(255);
        assert!(is_soon(&retry));
        assert!(retry.may_send(false), "what comes in meanwhile is sent at once");
        assert_eq!(retry.failures, 0, "and, should it fail, after a pause that is as short as ever");
    }
}
