//! How much a peer has sent, and how fast it may.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{ENTRY_BYTES, PAGE_TIME, time_for};
use crate::budget::Budget;

/// What has been received, and how fast it may be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    received: Arc<AtomicU64>,
    pub(crate) budget: Option<Arc<Budget>>,
}

impl Meter {
    /// With a count of its own, and the same budget.
    pub(crate) fn apart(&self) -> Self {
        Self { received: Arc::default(), budget: self.budget.clone() }
    }

    /// Bytes so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Counts what has been received, and waits where it was more than may be.
    pub(crate) async fn count(&self, bytes: usize) {
        tokio::time::sleep(self.note(bytes)).await;
    }

    /// Counts what has been received; how long to wait where it was more than may be.
    pub(crate) fn note(&self, bytes: usize) -> Duration {
        let bytes = bytes as u64;
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.budget.as_ref().map_or(Duration::ZERO, |budget| budget.spend(bytes, Instant::now()))
    }

    /// Waits until more may be asked for where what came before was more than may be. That is no matter of what came: much
    /// that is of no use is found out at once, and another peer asked.
    pub(super) async fn ready(&self) {
        let wait = self.budget.as_ref().map_or(Duration::ZERO, |budget| budget.wait(Instant::now()));
        tokio::time::sleep(wait).await;
    }

    /// In which time an answer must have come beyond so many bytes, with the pauses that the budget makes within it.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        let pauses = self.budget.as_ref().map_or(Duration::ZERO, |budget| budget.time_for(bytes));
        pauses + time_for(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Entries of a page that comes within a while, if there are as many as are asked for.
    pub(crate) fn entries(&self, limit: usize) -> usize {
        let fits = |budget: &Arc<Budget>| usize::try_from(budget.within(PAGE_TIME) / ENTRY_BYTES).unwrap_or(limit);
        self.budget.as_ref().map_or(limit, |budget| fits(budget).clamp(1, limit))
    }
}
