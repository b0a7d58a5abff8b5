//! The thread that makes commits durable and publishes them while the writer goes on.
//!
//! A sync takes as long as judging some hundred statements. So the writer commits without syncing and hands the commit
//! over; here it is synced, its heads go to the heads' files, it becomes visible, and only then are its jobs answered.
//! Commits are finished in order, because an answer may rest on earlier ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::draft::{Call, Draft};
use super::error::StoreError;
use super::heads::Staged;
use super::state::DomainState;
use super::types::{Change, DomainNumber, Head, Part, Seal};
use super::wal::wal_of;
use super::writer::Answer;
use super::{Shared, sync_names};
use crate::background;
use crate::open_files::open_patiently;

/// How many commits may wait here: while one is synced, the next is made.
const COMMITS: usize = 1;

/// A group of jobs that is committed but perhaps not durable yet.
#[derive(Default)]
pub(crate) struct Committed {
    /// The states that the commit leads to, and the drafts that did it.
    pub(crate) changed: Vec<(DomainState, Draft)>,
    /// Their new checkpoints, already written beside the heads' files.
    pub(crate) staged: BTreeMap<DomainNumber, Staged>,
    /// The heads of domains that it left unchanged, or why there is none.
    pub(crate) outcomes: BTreeMap<DomainNumber, Result<Head, StoreError>>,
    pub(crate) answers: Vec<(DomainNumber, Answer)>,
}

enum Task {
    Commit(Committed),
    /// Dropped when everything before it is done.
    Mark(SyncSender<()>),
}

/// The thread, as the writer knows it.
pub(crate) struct Flusher {
    tasks: Option<SyncSender<Task>>,
    thread: Option<JoinHandle<()>>,
    /// The number of commits handed over that are not yet durable and visible.
    under_way: Arc<AtomicUsize>,
}

impl Flusher {
    /// Starts the thread for the store with this log.
    pub(crate) fn start(log: &Path, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let (tasks, waiting) = sync_channel(COMMITS);
        let under_way = Arc::new(AtomicUsize::new(0));
        let halting = Arc::clone(&shared);
        let flush = Flush { shared, wal_path: wal_of(log), wal: None, under_way: Arc::clone(&under_way) };
        let thread = std::thread::Builder::new()
            .name("ics-flush".to_owned())
            .spawn(move || {
                background::lower();
                halting.or_halt(|| flush.run(&waiting));
            })
            .map_err(StoreError::io(log))?;
        Ok(Self { tasks: Some(tasks), thread: Some(thread), under_way })
    }

    /// Takes over a commit. If the thread is gone, dropping the answers tells the jobs.
    pub(crate) fn take(&self, committed: Committed) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.send(Task::Commit(committed));
    }

    /// Whether everything handed over is durable and visible, or has failed.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// Waits until everything handed over is durable and visible, or the store takes no more writes.
    pub(crate) fn wait(&self) {
        let (mark, reached) = sync_channel(0);
        self.send(Task::Mark(mark));
        // Nothing is ever sent: this returns when the mark is dropped.
        let _ = reached.recv();
    }

    fn send(&self, task: Task) {
        if self.tasks.as_ref().is_none_or(|tasks| tasks.send(task).is_err()) {
            tracing::error!("nothing makes commits durable any more");
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        drop(self.tasks.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that makes commits durable panicked");
        }
    }
}

/// The checkpoint that a commit brings for a home domain, which goes to the head's file.
pub(crate) fn new_seal<'a>(state: &'a DomainState, draft: &Draft) -> Option<&'a Seal> {
    let before = draft.base.head.seal.as_ref().map_or(0, |seal| seal.size);
    // One that has waited for its witnesses went to the file when it was signed; a higher one may have followed since.
    let is_new = |seal: &&Seal| seal.size > before && seal.size == state.head.size;
    state.head.seal.as_ref().filter(is_new).filter(|_| state.info.part == Part::Home)
}

struct Flush {
    shared: Arc<Shared>,
    wal_path: PathBuf,
    wal: Option<File>,
    under_way: Arc<AtomicUsize>,
}

impl Flush {
    fn run(mut self, tasks: &Receiver<Task>) {
        while let Ok(task) = tasks.recv() {
            match task {
                Task::Commit(committed) => self.end(committed),
                Task::Mark(mark) => drop(mark),
            }
        }
    }

    fn end(&mut self, committed: Committed) {
        let Committed { changed, staged, mut outcomes, answers } = committed;
        let result = self.make_durable(&changed, staged);
        for (state, draft) in changed {
            let (number, head) = (state.info.number, state.head.clone());
            if result.is_ok() {
                self.publish(state, &draft);
            }
            outcomes.insert(number, Ok(head));
        }
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        for (domain, answer) in answers {
            let gone = || Err(StoreError::not_found(format!("domain number {}", domain.get())));
            let outcome = outcomes.get(&domain).cloned().unwrap_or_else(gone);
            answer(result.clone().and(outcome));
        }
    }

    /// Makes a commit durable in the database, and then in the heads' files. If that fails, or has failed before, the
    /// entries may be stored but must not be acknowledged: only a restart puts this right.
    fn make_durable(
        &mut self,
        changed: &[(DomainState, Draft)],
        mut staged: BTreeMap<DomainNumber, Staged>,
    ) -> Result<(), StoreError> {
        self.shared.check_writable()?;
        if changed.is_empty() {
            return Ok(());
        }
        self.sync().map_err(|error| self.halt(error))?;
        for (state, _) in changed {
            if let Some(staged) = staged.remove(&state.info.number) {
                let put = self.shared.heads.raise_staged(&state.info.name, staged);
                put.map_err(|error| self.halt(error))?;
            }
        }
        Ok(())
    }

    /// This applies even if only room is missing: the system may have dropped what a sync could not write, and call the
    /// file clean. So it is reported as a full disk, but handled like a broken one.
    fn halt(&self, error: StoreError) -> StoreError {
        self.shared.halt(&error.of_disk(&self.wal_path))
    }

    /// Syncs the write-ahead log, which holds the commit. The first time its name is synced too: SQLite would do that
    /// only when it syncs the file itself.
    fn sync(&mut self) -> Result<(), StoreError> {
        let io = || StoreError::io(&self.wal_path);
        match &self.wal {
            Some(wal) => wal.sync_data().map_err(io()),
            None => {
                let wal = open_patiently(|| File::open(&self.wal_path)).map_err(io())?;
                wal.sync_data().map_err(io())?;
                self.wal_path.parent().map_or(Ok(()), sync_names)?;
                self.wal = Some(wal);
                Ok(())
            }
        }
    }

    /// Makes a commit visible to readers; caches are told first, so that no answer is given under a head that has ended
    /// it. What the jobs want called is called together with that. The entries can be found in the index since the
    /// commit.
    ///
    /// What was filled in is shown only from here on, perhaps under the same head. Nobody can tell by the size whether
    /// what was read in between lacks it, so then caches are told once more.
    fn publish(&self, state: DomainState, draft: &Draft) {
        let fills_in = draft.amendments.rights.is_some();
        let amends = !draft.erased.is_empty() || draft.amendments.shows();
        let (domain, size) = (state.info.number, state.head.size);
        let change = Change { domain, size, entries: &draft.entries, amends };
        (self.shared.announce)(&change);
        self.shared.published.put_with(state, || draft.call.as_ref().map(|Call(call)| call()));
        if !draft.erased.is_empty() {
            self.shared.erasing.end(domain);
        }
        if fills_in {
            (self.shared.announce)(&change);
        }
    }
}
