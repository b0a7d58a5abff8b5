//! Postings that are not yet in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::Progress;
use super::filter::Filter;
use crate::store::error::StoreError;
use crate::store::types::{DomainNumber, Key, Position};

/// How many postings of one key a search copies from memory at once, under the lock.
const SNAPSHOT: usize = 1024;

/// Key and position in one number, with the same order: most of the work on runs is comparing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packed(u128);

impl Packed {
    /// Maps the order of signed numbers to that of unsigned ones.
    const SIGN: u64 = 1 << 63;

    fn new(key: Key, position: Position) -> Self {
        let of = |number: i64| u128::from(number.cast_unsigned() ^ Self::SIGN);
        Self(of(key.0) << 64 | of(position.0))
    }

    /// The part to which it belongs, by the upper bits of the key, so parts are in key order.
    const fn part(self) -> usize {
        (self.0 >> (u128::BITS - PARTS.ilog2())) as usize
    }

    fn posting(self) -> (Key, Position) {
        let of = |half: u128| ((half & u128::from(u64::MAX)) as u64 ^ Self::SIGN).cast_signed();
        (Key(of(self.0 >> 64)), Position(of(self.0)))
    }
}

/// How many runs of similar length are merged into one.
const ALIKE: usize = 4;

/// Sorted runs of postings, older and longer ones first: whenever [`ALIKE`] runs have similar length, they are merged.
/// So every posting is moved only a few times, takes no more than its 16 bytes, and is found in a few runs.
#[derive(Debug, Default, Clone)]
struct Runs(Vec<Vec<Packed>>);

impl Runs {
    fn push(&mut self, mut run: Vec<Packed>) {
        let order = |run: &Vec<Packed>| run.len().checked_ilog(ALIKE);
        loop {
            let shorter = self.0.iter().rev().take_while(|before| order(before) <= order(&run)).count();
            if shorter + 1 < ALIKE {
                break;
            }
            let mut runs = self.0.split_off(self.0.len() - shorter);
            runs.push(run);
            run = runs.concat();
            // The stable sort recognises the runs and merges them.
            run.sort();
        }
        self.0.push(run);
    }

    fn of(&self, from: Packed, end: Packed) -> impl Iterator<Item = Position> {
        self.0.iter().flat_map(move |run| {
            let first = run.partition_point(|posting| *posting < from);
            let rest = run.get(first..).unwrap_or_default().iter();
            rest.map_while(move |posting| (*posting < end).then_some(posting.posting().1))
        })
    }

    fn sorted(&self) -> Vec<(Key, Position)> {
        let mut all = self.0.concat();
        all.sort();
        all.into_iter().map(Packed::posting).collect()
    }
}

/// The number of parts into which keys are divided; as hashes, they spread evenly. A merge within one part stays in the
/// processor's caches; a single part would be tens of megabytes, for which the system maps new pages each time.
const PARTS: usize = 256;

/// Postings in memory.
#[derive(Debug)]
pub(crate) struct Postings {
    parts: Vec<Runs>,
    count: usize,
}

impl Default for Postings {
    fn default() -> Self {
        Self { parts: vec![Runs::default(); PARTS], count: 0 }
    }
}

impl Postings {
    pub(crate) fn push(&mut self, postings: impl IntoIterator<Item = (Key, Position)>) {
        let mut run: Vec<_> = postings.into_iter().map(|(key, position)| Packed::new(key, position)).collect();
        run.sort_unstable();
        self.count += run.len();
        for of_part in run.chunk_by(|a, b| a.part() == b.part()) {
            let part = of_part.first().and_then(|posting| self.parts.get_mut(posting.part()));
            part.into_iter().for_each(|part| part.push(of_part.to_vec()));
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// The positions of a key from `from` up to `end` (exclusive). Within a domain they are in order, because later
    /// postings belong to later entries.
    pub(crate) fn of(&self, key: Key, from: Position, end: Position) -> impl Iterator<Item = Position> {
        let (from, end) = (Packed::new(key, from), Packed::new(key, end));
        self.parts.get(from.part()).into_iter().flat_map(move |part| part.of(from, end))
    }

    /// All postings in order, part by part; those of one key are in one part.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = Vec<(Key, Position)>> {
        self.parts.iter().map(Runs::sorted)
    }

    pub(crate) fn retain(&mut self, keeps: impl Fn(&(Key, Position)) -> bool) {
        for run in self.parts.iter_mut().flat_map(|part| &mut part.0) {
            run.retain(|posting| keeps(&posting.posting()));
        }
        self.count = self.runs().map(Vec::len).sum();
    }

    fn all(&self) -> impl Iterator<Item = (Key, Position)> {
        self.runs().flatten().map(|posting| posting.posting())
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = &Vec<Packed>> {
        self.parts.iter().flat_map(|part| &part.0)
    }
}

/// Postings, and how far each domain is indexed once they are in the file.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) postings: Postings,
    pub(crate) progress: BTreeMap<DomainNumber, Progress>,
    /// Postings of erased entries, which are removed from the file in the same transaction.
    pub(crate) forgotten: BTreeSet<(Key, Position)>,
}

/// What has come in since the last merge began, and what is being merged. A failed merge is repeated with everything
/// that it had.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    waiting: Batch,
    merging: Option<Arc<Batch>>,
    /// How often something has come in.
    pub(super) pushes: u64,
    /// How many merges have succeeded.
    pub(super) merges: u64,
    /// Why the last merge failed, if it did.
    pub(super) failure: Option<StoreError>,
    /// Whether the store closes.
    pub(super) stopped: bool,
    /// Erasures that were announced and have not happened yet.
    expected: u32,
    /// Whether the file's write-ahead log may still hold what was forgotten.
    wal_holds_forgotten: bool,
    /// When emptying it was last tried.
    tried_to_empty: Option<Instant>,
    /// Whether clearing the file has failed for a reason that stays.
    gave_up: bool,
    /// All keys in the file and in memory, once those of the file have been read.
    keys: Option<Filter>,
}

impl Tail {
    pub(crate) fn push(
        &mut self,
        postings: impl IntoIterator<Item = (Key, Position)>,
        (domain, progress): (DomainNumber, Progress),
    ) {
        let keys = &mut self.keys;
        self.waiting.postings.push(postings.into_iter().inspect(|(key, _)| {
            if let Some(keys) = keys {
                keys.insert(*key);
            }
        }));
        self.waiting.progress.insert(domain, progress);
        self.pushes += 1;
    }

    /// The first postings of a key from `from` up to `end` (exclusive), in order, and where they were cut off, if they
    /// were.
    pub(crate) fn of(&self, key: Key, from: Position, end: Position) -> (Vec<Position>, Option<Position>) {
        if from >= end {
            return (Vec::new(), None);
        }
        let merging = self.merging.iter().flat_map(|batch| batch.postings.of(key, from, end));
        // In log order: within a domain, everything being merged is older than everything waiting.
        let mut positions = merging.chain(self.waiting.postings.of(key, from, end));
        let first = positions.by_ref().take(SNAPSHOT).collect();
        (first, positions.next())
    }

    /// The positions of a key from `from` up to `end` (exclusive) that were forgotten and may still be in the file, or
    /// on their way there.
    pub(crate) fn forgotten(&self, key: Key, from: Position, end: Position) -> BTreeSet<Position> {
        if from >= end {
            return BTreeSet::new();
        }
        let batches = self.merging.as_deref().into_iter().chain([&self.waiting]);
        let forgotten = batches.flat_map(|batch| batch.forgotten.range((key, from)..(key, end)));
        forgotten.map(|(_, position)| *position).collect()
    }

    /// Whether the keys of the file are known.
    pub(crate) const fn knows_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Takes the keys of the file, as it is after the last merge, and adds those that are waiting.
    pub(crate) fn learn_keys(&mut self, mut of_file: Filter) {
        self.waiting.postings.all().for_each(|(key, _)| of_file.insert(key));
        self.keys = Some(of_file);
    }

    /// Whether there may be postings of a key, in memory or in the file.
    pub(crate) fn may_have(&self, key: Key) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.may_have(key))
    }

    /// Begins merging all that waits, or repeats a failed merge.
    pub(crate) fn begin_merge(&mut self) -> Option<Arc<Batch>> {
        let works = !self.waiting.progress.is_empty() || !self.waiting.forgotten.is_empty();
        if self.merging.is_none() && (works || self.must_clear() && !self.stopped) {
            self.merging = Some(Arc::new(core::mem::take(&mut self.waiting)));
        }
        self.merging.clone()
    }

    pub(crate) fn end_merge(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => {
                self.merging = None;
                self.merges += 1;
                self.failure = None;
            }
            Err(failure) => self.failure = Some(failure),
        }
    }

    pub(crate) const fn expect_forgetting(&mut self) {
        self.expected += 1;
    }

    /// Withdraws an announced erasure: nothing was erased.
    pub(crate) const fn expect_no_more(&mut self) {
        self.expected = self.expected.saturating_sub(1);
    }

    /// Removes postings from what waits, and remembers to remove them from the file. What is being merged goes into the
    /// file first.
    pub(crate) fn forget(&mut self, postings: Vec<(Key, Position)>) {
        self.expect_no_more();
        let forgotten: BTreeSet<_> = postings.into_iter().collect();
        self.waiting.postings.retain(|posting| !forgotten.contains(posting));
        self.waiting.forgotten.extend(forgotten);
    }

    /// Whether something must be removed from the file.
    pub(crate) fn forgets(&self) -> bool {
        !self.waiting.forgotten.is_empty()
    }

    /// Whether something is still to be removed from the file, or being removed.
    pub(crate) fn is_forgetting(&self) -> bool {
        self.forgets() || self.merging.as_ref().is_some_and(|batch| !batch.forgotten.is_empty())
    }

    pub(crate) const fn must_empty_wal(&mut self) {
        self.wal_holds_forgotten = true;
        self.gave_up = false;
    }

    /// Stops trying until something else is forgotten: a page that cannot be read stays unreadable, and each attempt
    /// reads all the others. The mark of erasures stays, so that the next start rebuilds the index.
    pub(crate) const fn give_up(&mut self) {
        self.gave_up = true;
    }

    /// Records an attempt to empty the write-ahead log.
    pub(crate) fn tries_to_empty(&mut self) {
        self.tried_to_empty = Some(Instant::now());
    }

    /// Whether the write-ahead log must be emptied and that was not tried for `after`.
    pub(crate) fn must_try_again(&self, after: Duration) -> bool {
        self.must_clear() && self.tried_to_empty.is_none_or(|tried| tried.elapsed() >= after)
    }

    pub(crate) const fn emptied_wal(&mut self) {
        self.wal_holds_forgotten = false;
    }

    /// Whether the file must be cleared of what was forgotten.
    pub(crate) const fn must_clear(&self) -> bool {
        self.wal_holds_forgotten && !self.gave_up
    }

    /// Whether everything that was to be forgotten is gone.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.expected == 0 && !self.is_forgetting() && !self.wal_holds_forgotten
    }

    pub(crate) const fn waiting(&self) -> usize {
        self.waiting.postings.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting() + self.merging.as_ref().map_or(0, |batch| batch.postings.len())
    }
}
