//! What entries are found by. Derived from the log, in a file of its own, behind a tail in memory.
//!
//! Keys are hashes and so arrive in random order, which costs a B-tree a page per posting; the index, not the log,
//! would set the pace of the node. So the postings of new entries first go to sorted runs in memory, and a thread
//! merges them into the file in large batches, in order. A look-up reads both. After a crash the file is behind by
//! what was in memory, and [`build`] reads those entries again.

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
pub(crate) use file::Progress;
use filter::Filter;
pub use search::Page;
use search::Search;
use tail::Tail;

/// Postings that are merged at once: 32 MiB of memory, and some 160,000 entries. Each merge writes nearly every page of the
/// file, so fewer and larger ones cost less.
const MERGE_POSTINGS: usize = 2_000_000;

/// Postings in memory, those being merged included, above which the writer waits for the merging.
const TAIL_POSTINGS: usize = 2 * MERGE_POSTINGS;

/// How long nothing must have come in before a small tail is merged.
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
    /// Told when the tail is worth merging, or the store closes.
    work: Condvar,
    /// Told when a merge has ended, well or not.
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

    /// Adds the postings of committed entries; from here on look-ups see them.
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

    /// Says, durably, that the file holds postings of an entry that is about to be erased: until they are gone, the next
    /// start builds the index anew.
    pub(crate) fn will_forget(&self, path: &Path) -> Result<(), StoreError> {
        let mut tail = self.shared.tail();
        let marked = build::mark_erasing(path);
        match &marked {
            Ok(()) => tail.expect_forgetting(),
            // Its file may be there all the same.
            Err(_) => unmark(&tail, path),
        }
        marked
    }

    /// Takes that back: nothing was erased.
    pub(crate) fn will_not_forget(&self, path: &Path) {
        let mut tail = self.shared.tail();
        tail.expect_no_more();
        unmark(&tail, path);
    }

    /// Takes postings of erased entries out of memory, and out of the file as soon as may be. Whoever meets one until
    /// then finds an entry without content behind it.
    pub(crate) fn forget(&self, postings: Vec<(Key, Position)>) {
        self.shared.tail().forget(postings);
        self.shared.work.notify_one();
    }

    /// Waits until the tail has room again.
    ///
    /// # Errors
    /// When the merging fails, so that it will have none.
    pub(crate) fn wait_for_room(&self) -> Result<(), StoreError> {
        let full = |tail: &mut Tail| tail.len() >= TAIL_POSTINGS && tail.failure().is_none();
        let tail = self.shared.merged.wait_while(self.shared.tail(), full).unwrap_or_else(PoisonError::into_inner);
        match tail.failure() {
            Some(failure) if tail.len() >= TAIL_POSTINGS => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// Entries in `range` of a domain that have all the keys, `limit` at most.
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

    /// The same by somebody who asks over and over.
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

    /// A search that has what memory has, and after how many merges that was. `None` if nothing has one of the keys.
    fn begin<'c>(
        &self,
        connection: &'c Connection,
        domain: DomainNumber,
        keys: &[Key],
        range: Range<u64>,
    ) -> Option<(Search<'c>, u64)> {
        let tail = self.shared.tail();
        let may_be = keys.iter().all(|key| tail.may_have(*key));
        may_be.then(|| (Search::new(connection, domain, keys, range, &tail), tail.merges()))
    }
}

/// A connection to the file whose read transaction stays open from one look-up to the next: beginning one costs more
/// than many a look-up does.
#[derive(Debug)]
pub(crate) struct Reading {
    connection: Connection,
    /// Merges after which the transaction was begun.
    since: Cell<Option<u64>>,
}

impl Reading {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_reader(path)?;
        schema::map_all(&connection)?;
        Ok(Self { connection, since: Cell::new(None) })
    }

    /// Has the transaction see the file as it is after so many merges, or later: what those have placed is not in memory
    /// any more. The tail was read before.
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
    /// Merges what is left, so that the next start has nothing to catch up with.
    fn drop(&mut self) {
        self.shared.tail().stop();
        self.shared.work.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the index thread panicked; the next start reads the entries that it did not merge");
        }
    }
}

impl Shared {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut connection: Connection, path: &Path) {
        while let Some(batch) = self.next_batch() {
            // A crash in here leaves the file as it was: postings and progress are one transaction.
            let result = file::merge(&mut connection, batch.postings.sorted(), &batch.progress, &batch.forgotten);
            if let Err(error) = &result {
                tracing::error!(%error, "the index could not be merged; it stays in memory and is tried again");
                if matches!(error, StoreError::Corrupt { .. }) {
                    // If that fails too, the next start meets what this one has met.
                    let _ = build::mark_damaged(path);
                }
            }
            let mut tail = self.tail();
            if !batch.forgotten.is_empty() && result.is_ok() {
                // Gone from the file's pages; what the write-ahead log still has goes with it when it is emptied.
                tail.must_empty_wal();
            }
            tail.end_merge(result);
            // Whoever appends little asks the file: reading all its keys takes longer.
            let learns = !tail.knows_keys() && batch.postings.len() >= MERGE_POSTINGS && tail.failure().is_none();
            drop(tail);
            self.merged.notify_all();
            if learns {
                self.learn_keys(&connection);
            }
            self.end_forgetting(&connection, path);
        }
        // Keeps the next start from having to replay the write-ahead log; if it fails, that one does.
        if let Err(error) = truncate_wal(&connection) {
            tracing::debug!(%error, "checkpoint of the index at the end");
        }
        self.end_forgetting(&connection, path);
    }

    /// Reads the keys of the file, which nobody but this thread changes.
    fn learn_keys(&self, connection: &Connection) {
        match file::keys(connection) {
            Ok(keys) => self.tail().learn_keys(keys),
            Err(error) => tracing::warn!(%error, "look-ups go on without a filter"),
        }
    }

    /// Clears the write-ahead log and the file's pages of what was forgotten, and takes the mark away. If a reader is in the
    /// way, it is tried again.
    fn end_forgetting(&self, connection: &Connection, path: &Path) {
        if !self.tail().must_clear() {
            return;
        }
        self.tail().tries_to_empty();
        match is_cleared(connection) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                // A full disk is emptied one day.
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
        let mut seen = tail.pushes();
        loop {
            if tail.stopped() {
                return if tail.failure().is_none() { tail.begin_merge() } else { None };
            }
            if tail.waiting() >= MERGE_POSTINGS && tail.failure().is_none() {
                return tail.begin_merge();
            }
            let (guard, wait) = self.work.wait_timeout(tail, IDLE).unwrap_or_else(PoisonError::into_inner);
            tail = guard;
            // Where something always comes in, there is no other time to empty the log.
            if (tail.forgets() || tail.must_try_again(IDLE)) && tail.failure().is_none() {
                return tail.begin_merge();
            }
            // Idle, or after a failure the time to try again.
            let works = tail.len() > 0 || tail.must_clear();
            if wait.timed_out() && (tail.pushes() == seen || tail.failure().is_some()) && works {
                return tail.begin_merge();
            }
            seen = tail.pushes();
        }
    }
}

/// Clears the file and its write-ahead log of what was deleted; false if a reader is in the way.
fn is_cleared(connection: &Connection) -> Result<bool, StoreError> {
    Ok(truncate_wal(connection)? && (scrub::all(connection)? == 0 || truncate_wal(connection)?))
}

/// Takes the mark of erasures away if there is nothing left to forget. The tail is locked meanwhile: an erasure that begins
/// now sets the mark again after this.
fn unmark(tail: &Tail, path: &Path) {
    if tail.has_forgotten()
        && let Err(error) = build::unmark(path)
    {
        tracing::warn!(%error, "the next start builds the index again, without need");
    }
}

#[cfg(test)]
mod tests;
