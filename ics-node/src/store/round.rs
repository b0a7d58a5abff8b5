//! A slow round through the log while a node runs: whether each entry is what was logged, and is found by all of its keys.
//! Whoever looks for something does not meet a row of the index that is gone, or has come under another key.

use core::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::Store;
use super::error::StoreError;
use super::state::DomainState;
use super::types::StoredEntry;

/// Where the round goes on: the number of a domain, and an index in it.
#[derive(Debug, Default)]
pub(crate) struct Round(Mutex<(u32, u64)>);

impl Store {
    /// Looks at the next entries of the round, `most` of them. What does not fit is noted as if a reader had met it.
    pub fn look_over(&self, most: u64) {
        let Some((state, part)) = self.next_part(most) else { return };
        for index in part {
            if let Err(error) = self.look_at(&state, index) {
                tracing::debug!(domain = %state.info.name, %error, "an entry could not be looked at");
            }
        }
    }

    /// Nothing once all domains were gone through: then it begins again.
    fn next_part(&self, most: u64) -> Option<(Arc<DomainState>, Range<u64>)> {
        let mut place = self.shared.round.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, index) = *place;
        let all = self.shared.published.all();
        let Some(state) = all.into_iter().find(|state| state.info.number.get() >= number) else {
            *place = (0, 0);
            return None;
        };
        let here = state.info.number.get();
        let from = if here == number { index } else { 0 };
        let (size, end) = (state.head.size, state.head.size.min(from.saturating_add(most)));
        *place = if end < size { (here, end) } else { (here.saturating_add(1), 0) };
        Some((state, from..end))
    }

    fn look_at(&self, state: &DomainState, index: u64) -> Result<(), StoreError> {
        let is_found = || self.is_found(&self.entry(state.info.number, index)?);
        // Between the two looks it may have been erased, and the index have forgotten it.
        if is_found()? || is_found()? { Ok(()) } else { Err(self.shared.met.unfound(&state.info, index)) }
    }

    /// Of an entry that is not here whole the index need not know anything.
    fn is_found(&self, entry: &StoredEntry) -> Result<bool, StoreError> {
        let keys = if entry.content.is_some() { (self.shared.keys_of)(entry) } else { Vec::new() };
        for key in keys {
            let page = self.positions(entry.domain, &[key], entry.index..entry.index + 1, 1)?;
            if page.indices.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
