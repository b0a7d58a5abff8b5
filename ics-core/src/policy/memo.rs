//! Decisions that are remembered for as long as their policy: evaluating Cedar takes longer than all else about them.

use core::hash::Hash;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Decision;
use crate::limits;

/// Decisions by what they depend on, [`limits::DECISIONS_CACHED`] at most.
#[derive(Debug)]
pub(crate) struct Memo<K>(Mutex<HashMap<K, Decision>>);

impl<K> Default for Memo<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Memo<K> {
    /// The decision for a key, which is made if it is not known.
    pub(crate) fn decide(&self, key: K, decide: impl FnOnce(&K) -> Decision) -> Decision {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&key).cloned();
        found.unwrap_or_else(|| {
            let decision = decide(&key);
            let mut known = known();
            if known.len() >= limits::DECISIONS_CACHED {
                known.clear();
            }
            known.insert(key, decision.clone());
            decision
        })
    }
}
