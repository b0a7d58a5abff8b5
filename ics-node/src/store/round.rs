//! A slow pass through the log while a node runs, checking that each entry is what was logged and is found under all of
//! its keys. A look-up does not notice an index row that is missing or has moved to another key.

use core::ops::Range;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::error::StoreError;
use super::state::DomainState;
use super::types::StoredEntry;
use super::{Store, replace_file};
use crate::background::breathe;
use crate::locked::Locked as _;

const FILE: &str = "round";
const NEW: &str = ".new-round";
/// After this many parts the place is stored; what was checked since is checked again after a crash.
const KEPT_EVERY: u32 = 10;

/// How far the pass has come, across restarts: a node that is restarted daily would otherwise check only the beginning
/// of a large log.
#[derive(Debug)]
pub(crate) struct Round {
    dir: PathBuf,
    at: Mutex<At>,
}

/// The place where the pass continues.
#[derive(Debug, Default)]
struct At {
    /// The number of a domain, and an index in it.
    next: (u32, u64),
    /// The place stored in the file.
    kept: (u32, u64),
    /// How many parts were checked since it was stored.
    parts: u32,
}

impl Round {
    /// Continues at the place in the file, or at the beginning; a place that does not exist is skipped.
    pub(crate) fn open(dir: &Path) -> Self {
        let text = fs::read_to_string(dir.join(FILE)).unwrap_or_default();
        let place = |(number, index): (&str, &str)| Some((number.parse().ok()?, index.parse().ok()?));
        let next: (u32, u64) = text.trim().split_once(' ').and_then(place).unwrap_or_default();
        Self { dir: dir.to_owned(), at: Mutex::new(At { next, kept: next, parts: 0 }) }
    }

    /// Stores the place. If that fails, the next start begins at an earlier one.
    pub(crate) fn keep(&self) {
        let mut at = self.at.locked();
        at.parts = 0;
        if at.next == at.kept {
            return;
        }
        let (number, index) = at.next;
        match replace_file(&self.dir, NEW, FILE, &format!("{number} {index}\n")) {
            Ok(()) => at.kept = at.next,
            Err(error) => tracing::warn!(%error, "how far the log has been checked could not be stored"),
        }
    }

    /// Whether enough parts were checked to store the place.
    fn is_far(&self) -> bool {
        self.at.locked().parts >= KEPT_EVERY
    }
}

impl Store {
    /// Checks the next entries of the pass, at most `most`. Damage is recorded as if a reader had found it.
    pub fn look_over(&self, most: u64) {
        let Some((state, part)) = self.next_part(most) else { return };
        for index in part {
            breathe();
            if let Err(error) = self.look_at(&state, index) {
                tracing::debug!(domain = %state.info.name, %error, "an entry could not be checked");
            }
        }
        if self.shared.round.is_far() {
            self.shared.round.keep();
        }
    }

    /// `None` once all domains have been checked; then the pass begins again.
    fn next_part(&self, most: u64) -> Option<(Arc<DomainState>, Range<u64>)> {
        let mut at = self.shared.round.at.locked();
        at.parts = at.parts.saturating_add(1);
        let (number, index) = at.next;
        let all = self.shared.published.all();
        let Some(state) = all.into_iter().find(|state| state.info.number.get() >= number) else {
            at.next = (0, 0);
            return None;
        };
        let here = state.info.number.get();
        let from = if here == number { index } else { 0 };
        let (size, end) = (state.head.size, state.head.size.min(from.saturating_add(most)));
        at.next = if end < size { (here, end) } else { (here.saturating_add(1), 0) };
        Some((state, from..end))
    }

    fn look_at(&self, state: &DomainState, index: u64) -> Result<(), StoreError> {
        let is_found = || self.is_found(&self.entry(state.info.number, index)?);
        // Between the two look-ups it may have been erased, and dropped from the index.
        if is_found()? || is_found()? { Ok(()) } else { Err(self.shared.met.unfound(&state.info, index)) }
    }

    /// If an entry is not complete here, the index need not know anything about it.
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
