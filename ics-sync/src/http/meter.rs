//! Counts how much a peer has sent, and limits how fast it may send.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{ENTRY_BYTES, PAGE_TIME, time_for};
use crate::budget::Budget;

/// What has been received, and the budget for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    received: Arc<AtomicU64>,
    budget: Option<Arc<Budget>>,
}

impl Meter {
    /// A meter with a separate count and the same budget.
    pub(crate) fn apart(&self) -> Self {
        Self { received: Arc::default(), budget: self.budget.clone() }
    }

    /// Limits what is received to this many bytes per second, together with meters that are made of this one later.
    pub(crate) fn limit(&mut self, bytes_per_second: u64) {
        self.budget = Some(Arc::new(Budget::new(bytes_per_second, Duration::from_secs(1))));
    }

    /// Bytes received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Counts bytes received, and waits if they exceed the budget.
    pub(crate) async fn count(&self, bytes: usize) {
        tokio::time::sleep(self.note(bytes)).await;
    }

    /// Counts bytes received; returns how long to wait if they exceed the budget.
    pub(crate) fn note(&self, bytes: usize) -> Duration {
        let bytes = bytes as u64;
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.budget.as_ref().map_or(Duration::ZERO, |budget| budget.spend(bytes, Instant::now()))
    }

    /// Waits until more may be asked for, if what came before exceeded the budget. This is separate from taking what
    /// came: useless data is detected at once, and another peer asked.
    pub(super) async fn ready(&self) {
        tokio::time::sleep(self.wait()).await;
    }

    /// How long to wait, as things stand, until what came before no longer exceeds the budget.
    pub(crate) fn wait(&self) -> Duration {
        self.budget.as_ref().map_or(Duration::ZERO, |budget| budget.wait(Instant::now()))
    }

    /// Whether more has come than the bytes that were `seen`, or a budget pauses what the peer sends. An LDAP entry is
    /// passed on only once it is whole, which may take long over a slow line.
    pub(crate) fn is_sending(&self, seen: &mut u64) -> bool {
        let received = self.received();
        let before = core::mem::replace(seen, received);
        received != before || !self.wait().is_zero()
    }

    /// The time within which an answer must have exceeded this many bytes, including the pauses that the budget makes
    /// meanwhile.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        let pauses = self.budget.as_ref().map_or(Duration::ZERO, |budget| budget.time_for(bytes));
        pauses + time_for(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Entries of a page that arrives within reasonable time, at most as many as asked for.
    pub(crate) fn entries(&self, limit: usize) -> usize {
        let fits = |budget: &Arc<Budget>| usize::try_from(budget.within(PAGE_TIME) / ENTRY_BYTES).unwrap_or(limit);
        self.budget.as_ref().map_or(limit, |budget| fits(budget).clamp(1, limit))
    }
}
