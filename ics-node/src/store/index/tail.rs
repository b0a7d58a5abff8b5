//! Postings that are not yet in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::file::Progress;
use crate::store::error::StoreError;
use crate::store::types::{DomainNumber, Key, Position};

/// Postings of one key that a search takes out of memory at once, which it does under the lock.
const SNAPSHOT: usize = 1024;

/// Postings, and how far the domains are indexed once they are in the file.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) postings: BTreeSet<(Key, Position)>,
    pub(crate) progress: BTreeMap<DomainNumber, Progress>,
}

/// What came in since the last merge began, and what is being merged. A merge that failed is taken up again with all
/// that it had.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    waiting: Batch,
    merging: Option<Arc<Batch>>,
    pushes: u64,
    failure: Option<StoreError>,
    stopped: bool,
}

impl Tail {
    pub(crate) fn push(
        &mut self,
        postings: impl IntoIterator<Item = (Key, Position)>,
        (domain, progress): (DomainNumber, Progress),
    ) {
        self.waiting.postings.extend(postings);
        self.waiting.progress.insert(domain, progress);
        self.pushes += 1;
    }

    /// The first postings of a key from `from` to below `end`, in order, and where they were cut off, if they were.
    pub(crate) fn of(&self, key: Key, from: Position, end: Position) -> (Vec<Position>, Option<Position>) {
        if from >= end {
            return (Vec::new(), None);
        }
        let range = (key, from)..(key, end);
        let merging = self.merging.iter().flat_map(|batch| batch.postings.range(range.clone()));
        // In log order: within a domain all that is being merged is older than all that waits.
        let mut positions = merging.chain(self.waiting.postings.range(range.clone())).map(|(_, position)| *position);
        let first = positions.by_ref().take(SNAPSHOT).collect();
        (first, positions.next())
    }

    /// Takes up all that waits, or again what a failed merge has left.
    pub(crate) fn begin_merge(&mut self) -> Option<Arc<Batch>> {
        if self.merging.is_none() && !self.waiting.progress.is_empty() {
            self.merging = Some(Arc::new(core::mem::take(&mut self.waiting)));
        }
        self.merging.clone()
    }

    pub(crate) fn end_merge(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => {
                self.merging = None;
                self.failure = None;
            }
            Err(failure) => self.failure = Some(failure),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.postings.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting() + self.merging.as_ref().map_or(0, |batch| batch.postings.len())
    }

    pub(crate) const fn pushes(&self) -> u64 {
        self.pushes
    }

    pub(crate) const fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }

    pub(crate) const fn stop(&mut self) {
        self.stopped = true;
    }

    pub(crate) const fn stopped(&self) -> bool {
        self.stopped
    }
}
