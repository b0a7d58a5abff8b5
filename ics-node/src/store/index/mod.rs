//! What entries are found by: an index derived from the log, in a file of its own, with its newest part in memory.
//!
//! Keys are hashes and arrive in random order, which costs a B-tree a page per posting; the index, not the log, would
//! set the pace of the node. So the postings of new entries first go to sorted runs in memory (the tail), and a thread
//! merges them into the file in large batches, in order. A look-up reads both. After a crash the file lacks what was in
//! memory, and [`build`] reads those entries again.

pub(crate) mod build;
pub(crate) mod file;
mod filter;
mod search;
mod tail;

use core::cell::Cell;
use core::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::clean::truncate_wal;
use super::draft::Draft;
use super::error::StoreError;
use super::schema;
use super::scrub;
use super::types::{DomainNumber, Key, Position};
use crate::background;
use crate::locked::Locked as _;
pub(crate) use file::Progress;
use filter::Filter;
pub use search::Page;
use search::Search;
use tail::Tail;

/// How many postings are merged at once: 32 MiB of memory, from some 160,000 entries. Each merge rewrites nearly every
/// page of the file, so fewer and larger ones cost less.
const MERGE_POSTINGS: usize = 2_000_000;

/// How many postings may be in memory, including those being merged, before the writer waits for the merge.
const TAIL_POSTINGS: usize = 2 * MERGE_POSTINGS;

/// A small tail is merged once nothing has come in for this long.
const IDLE: Duration = Duration::from_secs(2);

/// The index: the tail and the thread that merges it.
#[derive(Debug)]
pub(crate) struct Index {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    tail: Mutex<Tail>,
    /// Notified when the tail is worth merging, or the store closes.
    work: Condvar,
    /// Notified when a merge has ended, successfully or not.
    merged: Condvar,
}

impl Index {
    /// Starts the merging thread on an index that [`build::open`] has brought up to date.
    pub(crate) fn start(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        if file::is_empty(&connection)? {
            shared.tail().learn_keys(Filter::default());
        }
        let (of_thread, its_path) = (Arc::clone(&shared), path.to_owned());
        let thread = std::thread::Builder::new()
            .name("ics-index".to_owned())
            .spawn(move || {
                background::lower();
                of_thread.run(connection, &its_path);
            })
            .map_err(StoreError::io(path))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Adds the postings of committed entries; from now on look-ups see them.
    pub(crate) fn push_all(&self, draft: &Draft) {
        let Some((last, _)) = draft.entries.last() else { return };
        let progress = Progress { upto: last.index + 1, leaf: last.leaf };
        let postings = draft.entries.iter().flat_map(|(entry, keys)| {
            let position = Position::new(entry.domain, entry.index);
            keys.iter().map(move |key| (*key, position))
        });
        self.push(postings, (last.domain, progress));
    }

    fn push(&self, postings: impl IntoIterator<Item = (Key, Position)>, progress: (DomainNumber, Progress)) {
        let mut tail = self.shared.tail();
        tail.push(postings, progress);
        if tail.waiting() >= MERGE_POSTINGS {
            self.shared.work.notify_one();
        }
    }

    /// Records durably that the file holds postings of an entry that is about to be erased: until they are gone, the
    /// next start rebuilds the index.
    pub(crate) fn will_forget(&self, path: &Path) -> Result<(), StoreError> {
        let mut tail = self.shared.tail();
        let marked = build::mark_erasing(path);
        match &marked {
            Ok(()) => tail.expect_forgetting(),
            // The mark's file may exist all the same.
            Err(_) => unmark(&tail, path),
        }
        marked
    }

    /// Takes the mark back: nothing was erased.
    pub(crate) fn will_not_forget(&self, path: &Path) {
        let mut tail = self.shared.tail();
        tail.expect_no_more();
        unmark(&tail, path);
    }

    /// Removes postings of entries that were erased or changed: from memory at once, and from the file as soon as
    /// possible. A look-up that begins from now on does not meet them: to an entry that says something else now, a
    /// damaged index would lead as well.
    pub(crate) fn forget(&self, postings: Vec<(Key, Position)>) {
        self.shared.tail().forget(postings);
        self.shared.work.notify_one();
    }

    /// As [`Index::forget`], for the last entries of a domain, of which this many are left, the last with that leaf.
    /// Waits until the postings are gone from the file: the same ones may come again.
    ///
    /// # Errors
    /// When merging fails. What is in the file is then known only after the next start, which builds it again.
    pub(crate) fn forget_last(
        &self,
        postings: Vec<(Key, Position)>,
        domain: DomainNumber,
        (upto, leaf): (u64, [u8; 32]),
    ) -> Result<(), StoreError> {
        let mut tail = self.shared.tail();
        tail.forget(postings);
        tail.push(core::iter::empty(), (domain, Progress { upto, leaf }));
        drop(tail);
        self.shared.work.notify_one();
        let forgets = |tail: &mut Tail| tail.is_forgetting() && tail.failure.is_none();
        let tail = self.shared.merged.wait_while(self.shared.tail(), forgets).unwrap_or_else(PoisonError::into_inner);
        tail.failure.clone().map_or(Ok(()), Err)
    }

    /// Refuses while merging fails, as on a full disk: nothing could wait then until something is forgotten.
    pub(crate) fn check_merges(&self) -> Result<(), StoreError> {
        self.shared.tail().failure.clone().map_or(Ok(()), Err)
    }

    /// Waits until the tail has room again.
    ///
    /// # Errors
    /// When merging fails, so that there will be no room.
    pub(crate) fn wait_for_room(&self) -> Result<(), StoreError> {
        let full = |tail: &mut Tail| tail.len() >= TAIL_POSTINGS && tail.failure.is_none();
        let tail = self.shared.merged.wait_while(self.shared.tail(), full).unwrap_or_else(PoisonError::into_inner);
        match &tail.failure {
            Some(failure) if tail.len() >= TAIL_POSTINGS => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// The entries in `range` of a domain that have all the keys, at most `limit`.
    pub(crate) fn search(
        &self,
        connection: &Connection,
        domain: DomainNumber,
        keys: &[Key],
        range: Range<u64>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        match self.begin(connection, domain, keys, range) {
            Some((search, _)) => search.page(limit),
            None => Ok(Page::default()),
        }
    }

    /// As [`Index::search`], for a caller that looks up often.
    pub(crate) fn search_in(
        &self,
        reading: &Reading,
        domain: DomainNumber,
        keys: &[Key],
        range: Range<u64>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let Some((search, merges)) = self.begin(&reading.connection, domain, keys, range) else {
            return Ok(Page::default());
        };
        reading.see(merges)?;
        search.page(limit)
    }

    /// Begins a search with what is in memory; also returns the number of merges so far. `None` if memory shows that
    /// some key has no entry.
    fn begin<'c>(
        &self,
        connection: &'c Connection,
        domain: DomainNumber,
        keys: &[Key],
        range: Range<u64>,
    ) -> Option<(Search<'c>, u64)> {
        let tail = self.shared.tail();
        let may_be = keys.iter().all(|key| tail.may_have(*key));
        may_be.then(|| (Search::new(connection, domain, keys, range, &tail), tail.merges))
    }
}

/// A connection to the file whose read transaction stays open from one look-up to the next: beginning one costs more
/// than many look-ups do.
#[derive(Debug)]
pub(crate) struct Reading {
    connection: Connection,
    /// The number of merges when the transaction began.
    since: Cell<Option<u64>>,
}

impl Reading {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_reader(path)?;
        schema::map_all(&connection)?;
        Ok(Self { connection, since: Cell::new(None) })
    }

    /// Makes the transaction see the file as it is after this many merges or more: what they moved into the file is no
    /// longer in memory. The tail was read before.
    fn see(&self, merges: u64) -> Result<(), StoreError> {
        if self.since.get() != Some(merges) {
            self.end()?;
            self.connection.execute_batch("BEGIN")?;
            self.since.set(Some(merges));
        }
        Ok(())
    }

    /// Ends the transaction: while it is open, the write-ahead log cannot be emptied.
    pub(crate) fn end(&self) -> Result<(), StoreError> {
        if self.since.take().is_some() {
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }
}

impl Drop for Index {
    /// Merges what is left, so that the next start has nothing to catch up on.
    fn drop(&mut self) {
        self.shared.tail().stopped = true;
        self.shared.work.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the index thread panicked; the next start reads the entries that it did not merge");
        }
    }
}

impl Shared {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.locked()
    }

    fn run(&self, mut connection: Connection, path: &Path) {
        while let Some(batch) = self.next_batch() {
            // A crash in here leaves the file as it was: postings and progress are written in one transaction.
            let result = file::merge(&mut connection, batch.postings.sorted(), &batch.progress, &batch.forgotten);
            if let Err(error) = &result {
                tracing::error!(%error, "the index could not be merged; it stays in memory and is tried again");
                if matches!(error, StoreError::Corrupt { .. }) {
                    // If that fails too, the next start finds the same damage.
                    let _ = build::mark_damaged(path);
                }
            }
            let mut tail = self.tail();
            if !batch.forgotten.is_empty() && result.is_ok() {
                // They are gone from the file's pages; what the write-ahead log still holds goes when it is emptied.
                tail.must_empty_wal();
            }
            tail.end_merge(result);
            // A node that appends little looks in the file instead: reading all of its keys takes longer.
            let learns = !tail.knows_keys() && batch.postings.len() >= MERGE_POSTINGS && tail.failure.is_none();
            drop(tail);
            self.merged.notify_all();
            if learns {
                self.learn_keys(&connection);
            }
            self.end_forgetting(&connection, path);
        }
        // So the next start need not replay the write-ahead log; if this fails, it does.
        if let Err(error) = truncate_wal(&connection) {
            tracing::debug!(%error, "checkpoint of the index at the end");
        }
        self.end_forgetting(&connection, path);
    }

    /// Reads the keys of the file, which only this thread changes.
    fn learn_keys(&self, connection: &Connection) {
        match file::keys(connection) {
            Ok(keys) => self.tail().learn_keys(keys),
            Err(error) => tracing::warn!(%error, "look-ups go on without a filter"),
        }
    }

    /// Removes what was forgotten from the write-ahead log and the file's pages, then removes the mark. If a reader is
    /// in the way, this is tried again.
    fn end_forgetting(&self, connection: &Connection, path: &Path) {
        if !self.tail().must_clear() {
            return;
        }
        self.tail().tries_to_empty();
        match is_cleared(connection) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                // A full disk may have room again later; other failures would recur.
                if !matches!(error, StoreError::NoRoom) {
                    self.tail().give_up();
                }
                return tracing::warn!(%error, "the index may still hold what erased entries were found by");
            }
        }
        let mut tail = self.tail();
        tail.emptied_wal();
        unmark(&tail, path);
    }

    /// Waits for something to merge; `None` when the store closes and nothing is left, or the last attempt failed.
    fn next_batch(&self) -> Option<Arc<tail::Batch>> {
        let mut tail = self.tail();
        let mut seen = tail.pushes;
        loop {
            if tail.stopped {
                return if tail.failure.is_none() { tail.begin_merge() } else { None };
            }
            // Whoever waits until something is forgotten may have said so while this thread was at work.
            if (tail.waiting() >= MERGE_POSTINGS || tail.forgets()) && tail.failure.is_none() {
                return tail.begin_merge();
            }
            let (guard, wait) = self.work.wait_timeout(tail, IDLE).unwrap_or_else(PoisonError::into_inner);
            tail = guard;
            // If something always comes in, there is no better time to empty the write-ahead log.
            if tail.must_try_again(IDLE) && tail.failure.is_none() {
                return tail.begin_merge();
            }
            // The store is idle, or it is time to try again after a failure.
            let works = tail.len() > 0 || tail.is_forgetting() || tail.must_clear();
            if wait.timed_out() && (tail.pushes == seen || tail.failure.is_some()) && works {
                return tail.begin_merge();
            }
            seen = tail.pushes;
        }
    }
}

/// Removes what was deleted from the file and its write-ahead log; false if a reader is in the way.
fn is_cleared(connection: &Connection) -> Result<bool, StoreError> {
    Ok(truncate_wal(connection)? && (scrub::all(connection)? == 0 || truncate_wal(connection)?))
}

/// Removes the mark of erasures if nothing is left to forget. The tail is locked meanwhile, so an erasure that begins
/// now sets the mark again afterwards.
fn unmark(tail: &Tail, path: &Path) {
    if tail.has_forgotten()
        && let Err(error) = build::unmark(path)
    {
        tracing::warn!(%error, "the next start builds the index again, without need");
    }
}

#[cfg(test)]
mod tests;
