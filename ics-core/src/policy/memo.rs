//! Decisions that are remembered for as long as their policy: evaluating Cedar takes longer than everything else about
//! them.

use core::hash::Hash;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Decision;
use crate::limits;

/// Decisions by what they depend on, at most [`limits::DECISIONS_CACHED`].
#[derive(Debug)]
pub(crate) struct Memo<K>(Mutex<HashMap<K, Decision>>);

impl<K> Default for Memo<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Memo<K> {
    /// The decision for a key, made if it is not remembered.
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

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    fn decision(reason: &str) -> Decision {
        Decision { allow: true, reasons: vec![reason.to_owned()], errors: Vec::new() }
    }

    #[test]
    fn a_question_is_decided_once_for_as_long_as_there_is_room() {
        let (memo, asked) = (Memo::default(), Cell::new(0_usize));
        let ask = |key: usize| {
            let decide = |key: &usize| {
                asked.set(asked.get() + 1);
                decision(&key.to_string())
            };
            assert_eq!(memo.decide(key, decide), decision(&key.to_string()));
            asked.get()
        };
        for key in 0..limits::DECISIONS_CACHED {
            assert_eq!((ask(key), ask(key)), (key + 1, key + 1));
        }
        assert_eq!(ask(0), limits::DECISIONS_CACHED, "all of them are known");
        assert_eq!(ask(limits::DECISIONS_CACHED), limits::DECISIONS_CACHED + 1);
        assert_eq!(ask(0), limits::DECISIONS_CACHED + 2, "there was no room for one more");
    }
}
