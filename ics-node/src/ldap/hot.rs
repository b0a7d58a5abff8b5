//! Answers given before, kept as bytes: a search that repeats the bytes of an earlier one gets the same answer again.
//!
//! An answer holds until what it rests on changes, or until its time is up. How complete and fresh it is, is added anew
//! each time. The memory is bounded; the older half goes first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use ics_core::time::Timestamp;

use super::encode::Encoded;
use super::rests::Rests;
use crate::app::Reader;
use crate::locked::Locked as _;

/// The longest request, in bytes, whose answer is remembered.
pub(super) const REQUEST_BYTES: usize = 1024;
/// The longest answer, in bytes, that is remembered.
pub(super) const ANSWER_BYTES: usize = 64 * 1024;
/// The cost of a remembered answer in bytes, besides the answer itself.
const OVERHEAD: usize = 160;

/// The operations of an answer, in order.
#[derive(Debug)]
pub(super) struct Answer {
    rests: Rests,
    until: Option<Timestamp>,
    operations: Box<[Encoded]>,
}

impl Answer {
    pub(super) fn new(rests: Rests, until: Option<Timestamp>, operations: Vec<Encoded>) -> Self {
        Self { rests, until, operations: operations.into() }
    }

    pub(super) fn operations(&self) -> &[Encoded] {
        &self.operations
    }

    /// The size of the answer in memory.
    fn bytes(&self) -> usize {
        self.operations.iter().map(|operation| operation.len() + size_of::<Encoded>()).sum()
    }
}

type Answers = HashMap<Box<[u8]>, Arc<Answer>>;

/// The remembered answers of a server.
#[derive(Debug)]
pub(super) struct Hot {
    half: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    young: Answers,
    old: Answers,
    /// The size of the young half in bytes.
    bytes: usize,
}

impl Hot {
    /// Remembers up to `bytes` bytes of answers.
    pub(super) fn new(bytes: usize) -> Self {
        Self { half: bytes / 2, kept: Mutex::default() }
    }

    /// The key of an answer: who asks, and the operation as it came. There is none for a party with a key: what it may
    /// read can change at any time with the configuration, so its answers are always made anew.
    pub(super) fn key(reader: Reader, operation: &[u8]) -> Option<Box<[u8]>> {
        let reader = match reader {
            Reader::Anonymous => 0_u8,
            Reader::Operator => 1,
            Reader::Key(_) => return None,
        };
        Some([operation, &[reader]].concat().into())
    }

    /// The answer, if it still holds; `bears` tells whether what it rests on is unchanged.
    pub(super) fn get(&self, key: &[u8], now: Timestamp, bears: impl FnOnce(&Rests) -> bool) -> Option<Arc<Answer>> {
        let (answer, is_young) = {
            let kept = self.kept();
            match kept.young.get(key) {
                Some(answer) => (Arc::clone(answer), true),
                None => (Arc::clone(kept.old.get(key)?), false),
            }
        };
        if answer.until.is_some_and(|until| until <= now) || !bears(&answer.rests) {
            return None;
        }
        if !is_young {
            let mut kept = self.kept();
            if let Some((key, answer)) = kept.old.remove_entry(key) {
                self.keep(&mut kept, key, answer);
            }
        }
        Some(answer)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.locked()
    }

    /// Remembers an answer.
    pub(super) fn put(&self, key: Box<[u8]>, answer: Answer) {
        self.keep(&mut self.kept(), key, Arc::new(answer));
    }

    fn keep(&self, kept: &mut Kept, key: Box<[u8]>, answer: Arc<Answer>) {
        let added = key.len() + answer.bytes() + OVERHEAD;
        if kept.bytes + added > self.half {
            kept.old = std::mem::take(&mut kept.young);
            kept.bytes = 0;
        }
        if added <= self.half {
            // A second answer to the same question is counted in addition, until the half is dropped.
            kept.young.insert(key, answer);
            kept.bytes += added;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Asks while everything is at the given stamp.
    fn get(hot: &Hot, key: &[u8], stamp: u128, now: Timestamp) -> Option<Arc<Answer>> {
        hot.get(key, now, |rests| *rests == Rests::OnAll(stamp))
    }

    fn answer(stamp: u128, until: Option<Timestamp>, bytes: Vec<u8>) -> Answer {
        Answer::new(Rests::OnAll(stamp), until, vec![Encoded::whole(bytes)])
    }

    #[test]
    fn answers_hold_until_something_changes() {
        let hot = Hot::new(1 << 20);
        let key = Hot::key(Reader::Anonymous, b"search").expect("a key");
        hot.put(key.clone(), answer(7, Some(at(100)), vec![1]));
        let held = get(&hot, &key, 7, at(99)).expect("holds");
        assert_eq!(held.operations(), [Encoded::whole(vec![1])]);
        assert!(get(&hot, &key, 7, at(100)).is_none(), "time has changed it");
        assert!(get(&hot, &key, 8, at(1)).is_none(), "an entry has come");
        assert!(
            get(&hot, &Hot::key(Reader::Operator, b"search").expect("a key"), 7, at(1)).is_none(),
            "another reader"
        );
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_stays() {
        let hot = Hot::new(100_000);
        let first = Hot::key(Reader::Anonymous, b"first").expect("a key");
        hot.put(first.clone(), answer(1, None, vec![0; 100]));
        for number in 0..10_000_u32 {
            let key = Hot::key(Reader::Anonymous, &number.to_be_bytes()).expect("a key");
            hot.put(key.clone(), answer(0, None, vec![0; 100]));
            hot.put(key, answer(1, None, vec![0; 100]));
            assert!(get(&hot, &first, 1, at(0)).is_some(), "{number}");
        }
        let kept = hot.kept.lock().expect("lock");
        assert!((kept.young.len() + kept.old.len()) * (OVERHEAD + 100) <= 100_000);
        assert!(kept.young.len() + kept.old.len() > 100);
    }
}
