//! Answers that were given before, as bytes: a search that asks the same in the same bytes gets them again.
//!
//! An answer holds for as long as no domain has a new entry or cosignature, and until time alone changes it. What is
//! remembered is bounded; the oldest half goes first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ics_core::time::Timestamp;

use crate::app::Reader;

/// Bytes of a request that may be remembered.
pub(super) const REQUEST_BYTES: usize = 1024;
/// Bytes of an answer that may be remembered.
pub(super) const ANSWER_BYTES: usize = 64 * 1024;
/// What a remembered answer costs beside its bytes.
const OVERHEAD: usize = 160;

/// The operations of an answer, encoded one behind the other, with the length of each.
#[derive(Debug)]
pub(super) struct Answer {
    stamp: u128,
    until: Option<Timestamp>,
    operations: Box<[u8]>,
    ends: Box<[u32]>,
}

impl Answer {
    pub(super) fn new(stamp: u128, until: Option<Timestamp>, operations: &[Vec<u8>]) -> Self {
        let mut end = 0;
        let ends = operations.iter().map(|operation| {
            end += u32::try_from(operation.len()).unwrap_or(u32::MAX);
            end
        });
        Self { stamp, until, ends: ends.collect(), operations: operations.concat().into() }
    }

    /// The operations, in order.
    pub(super) fn operations(&self) -> impl Iterator<Item = &[u8]> {
        let starts = core::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).filter_map(|(start, end)| self.operations.get(*start as usize..*end as usize))
    }
}

type Answers = HashMap<Box<[u8]>, Arc<Answer>>;

/// The answers of a server.
#[derive(Debug)]
pub(super) struct Hot {
    half: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    young: Answers,
    old: Answers,
    /// Bytes of the young ones.
    bytes: usize,
}

impl Hot {
    /// Remembers answers of so many bytes in all.
    pub(super) fn new(bytes: usize) -> Self {
        Self { half: bytes / 2, kept: Mutex::default() }
    }

    /// By what an answer is found: who asks, and the operation as it came. What a party may read can change at any
    /// time with the configuration, so its answers are made anew.
    pub(super) fn key(reader: Reader, operation: &[u8]) -> Option<Box<[u8]>> {
        let reader = match reader {
            Reader::Anonymous => 0_u8,
            Reader::Operator => 1,
            Reader::Key(_) => return None,
        };
        Some([operation, &[reader]].concat().into())
    }

    /// The answer, if it still holds.
    pub(super) fn get(&self, key: &[u8], stamp: u128, now: Timestamp) -> Option<Arc<Answer>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, is_young) = match kept.young.get(key) {
            Some(answer) => (Arc::clone(answer), true),
            None => (Arc::clone(kept.old.get(key)?), false),
        };
        if answer.stamp != stamp || answer.until.is_some_and(|until| until <= now) {
            return None;
        }
        if !is_young && let Some((key, answer)) = kept.old.remove_entry(key) {
            self.keep(&mut kept, key, answer);
        }
        Some(answer)
    }

    /// Remembers an answer.
    pub(super) fn put(&self, key: Box<[u8]>, answer: Answer) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.keep(&mut kept, key, Arc::new(answer));
    }

    fn keep(&self, kept: &mut Kept, key: Box<[u8]>, answer: Arc<Answer>) {
        let cost = |key: &[u8], answer: &Answer| key.len() + answer.operations.len() + OVERHEAD;
        let added = cost(&key, &answer);
        if kept.bytes + added > self.half {
            kept.old = std::mem::take(&mut kept.young);
            kept.bytes = 0;
        }
        if added <= self.half {
            let bytes = cost(&key, &answer);
            let before = kept.young.insert(key, answer);
            if before.is_none() {
                kept.bytes += bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn answers_hold_until_something_changes() {
        let hot = Hot::new(1 << 20);
        let key = Hot::key(Reader::Anonymous, b"search").expect("a key");
        hot.put(key.clone(), Answer::new(7, Some(at(100)), &[vec![1], vec![], vec![2, 3]]));
        let answer = hot.get(&key, 7, at(99)).expect("holds");
        assert_eq!(answer.operations().collect::<Vec<_>>(), [&[1][..], &[], &[2, 3]]);
        assert!(hot.get(&key, 7, at(100)).is_none(), "time has changed it");
        assert!(hot.get(&key, 8, at(1)).is_none(), "an entry has come");
        assert!(hot.get(&Hot::key(Reader::Operator, b"search").expect("a key"), 7, at(1)).is_none(), "another reader");
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_stays() {
        let hot = Hot::new(100_000);
        let first = Hot::key(Reader::Anonymous, b"first").expect("a key");
        hot.put(first.clone(), Answer::new(1, None, &[vec![0; 100]]));
        for number in 0..10_000_u32 {
            let key = Hot::key(Reader::Anonymous, &number.to_be_bytes()).expect("a key");
            hot.put(key, Answer::new(1, None, &[vec![0; 100]]));
            assert!(hot.get(&first, 1, at(0)).is_some(), "{number}");
        }
        let kept = hot.kept.lock().expect("lock");
        assert!((kept.young.len() + kept.old.len()) * (OVERHEAD + 100) <= 100_000);
        assert!(kept.young.len() + kept.old.len() > 100);
    }
}
