//! The one thread that writes.
//!
//! Jobs that wait are run one after the other and share one commit, because the fsync is what costs. The order of a
//! commit, and what a crash at each point means:
//!
//! 1. The root is computed and the checkpoint signed. *Crash:* a checkpoint was signed that nobody has seen; the
//!    database is as before.
//! 2. Entries, tiles and head are written in one transaction. *Crash:* as before, SQLite forgets the transaction.
//! 3. COMMIT. *Crash after it:* the entries are in the log, but nobody was told: a submitter who tries again gets the
//!    receipt of a duplicate. *Power cut:* they may be there or not. The index learns of them, and the next group is
//!    begun upon them, while another thread ([`flush`](super::flush)) does the rest.
//! 4. The write-ahead log is synced: from here on no power cut takes them away.
//! 5. The checkpoint goes to the head's file. *Crash before it:* the file is behind the database, which the next start
//!    makes good. The other order would leave a file ahead of the database, which is the sign of a restore.
//! 6. Readers learn of it, and at the same moment of what its jobs have made of the domain ([`WriteTx::once_durable`]).
//!    Only now can anybody publish the checkpoint: it is durable in both places.
//! 7. The jobs are answered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::certified::{self, unconfirmed};
use super::clean::{Cleaning, note_due};
use super::draft::Draft;
use super::error::{Full, StoreError, is_full};
use super::flush::{Committed, Flusher, new_seal};
use super::heads::Staged;
use super::index::Reading;
use super::sight::Show;
use super::state::DomainState;
use super::table;
use super::transaction::WriteTx;
use super::types::{DomainNumber, Head, Key, Position, Seal, Standing, StoredEntry};
use super::{KeysOf, Shared};
use crate::open_files::are_short;

/// The numbers of jobs, bytes and entries above which no further job joins a commit.
const GROUP_JOBS: usize = 1024;
const GROUP_BYTES: usize = 8 << 20;
const GROUP_ENTRIES: usize = 10_000;

/// The number of entries above which no job joins even if nothing is being synced: judging this many takes as long as a
/// sync. Otherwise all bulk submitters would wait for the same commit, and then all have their next statements checked
/// at once while the writer is idle.
const WORTH_ENTRIES: usize = 500;

/// How many bytes may be in the write-ahead log before it is copied into the database.
const CHECKPOINT_BYTES: usize = 8 << 20;

/// A task for the writer.
pub(crate) enum Task {
    /// A job on one domain, to share a commit with others.
    Write(Write),
    /// Other work, in a transaction of its own.
    Desk(DeskWork),
}

/// Work other than appending that only the writer may do.
pub(crate) type DeskWork = Box<dyn FnOnce(Result<&mut Writer, StoreError>) + Send>;

/// A job on one domain.
pub(crate) struct Write {
    pub(crate) domain: DomainNumber,
    /// Whether it restores the lost tail of a domain that is behind.
    pub(crate) restoring: bool,
    pub(crate) job: Job,
}

/// Runs on the domain's draft, or is told why it cannot; then says how it is to be answered.
pub(crate) type Job = Box<dyn FnOnce(Result<&mut WriteTx<'_>, StoreError>) -> Done + Send>;

/// The end of a job.
pub(crate) struct Done {
    /// Whether its changes are to be kept.
    pub(crate) keep: bool,
    /// Answers the job once the commit has succeeded or failed.
    pub(crate) answer: Answer,
}

/// Takes the new head, or the reason why there is none.
pub(crate) type Answer = Box<dyn FnOnce(Result<Head, StoreError>) + Send>;

/// The writer's own connections and state.
pub(crate) struct Writer {
    pub(crate) log: Connection,
    reading: Reading,
    pub(crate) shared: Arc<Shared>,
    flusher: Flusher,
    /// The states of domains with everything committed; readers may not see it yet.
    ahead: BTreeMap<DomainNumber, Arc<DomainState>>,
    /// Roughly how many bytes of the write-ahead log may not be in the database.
    since_checkpoint: usize,
    /// The removal of erased data.
    pub(crate) cleaning: Cleaning,
}

/// The jobs of one group commit.
#[derive(Default)]
struct Group {
    drafts: BTreeMap<DomainNumber, Draft>,
    answers: Vec<(DomainNumber, Answer)>,
}

impl Group {
    fn has_room(&self) -> bool {
        self.answers.len() < GROUP_JOBS
            && self.drafts.values().map(|draft| draft.bytes).sum::<usize>() < GROUP_BYTES
            && self.entries() < GROUP_ENTRIES
    }

    fn entries(&self) -> usize {
        self.drafts.values().map(|draft| draft.entries.len()).sum()
    }
}

impl Writer {
    pub(crate) fn new((path, log): (&Path, Connection), index: &Path, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let reading = Reading::open(index)?;
        let flusher = Flusher::start(path, Arc::clone(&shared))?;
        let cleaning = Cleaning::after_start(&log)?;
        Ok(Self { log, reading, shared, flusher, ahead: BTreeMap::new(), since_checkpoint: 0, cleaning })
    }

    /// Works until the store closes and nothing waits.
    pub(crate) fn run(mut self, tasks: &Receiver<Task>) {
        while let Some(task) = self.next(tasks) {
            let mut group = Group::default();
            let mut next = Some(task);
            while let Some(task) = next.take() {
                match task {
                    Task::Write(write) => {
                        self.join(&mut group, write);
                        let is_due = group.entries() >= WORTH_ENTRIES && self.flusher.is_idle();
                        next = if group.has_room() && !is_due { self.another(&group, tasks) } else { None };
                    }
                    Task::Desk(work) => {
                        self.finish(core::mem::take(&mut group));
                        // It must find, and leave, the state that readers see.
                        self.flusher.wait();
                        self.ahead.clear();
                        let ready = self.shared.check_writable().and_then(|()| sync_with_commit(&self.log, true));
                        work(ready.map(|()| &mut self));
                    }
                }
            }
            self.finish(group);
            if self.cleaning.is_overdue() {
                // If something is always waiting, there is no better time for this.
                self.flusher.wait();
                self.clean();
            }
        }
        // What was committed must be on disk before the last connection cleans up.
        self.flusher.wait();
        self.end_cleaning();
        if !self.may_copy_wal()
            && let Err(error) = self.log.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::warn!(%error, "the write-ahead log is copied into the database as it is");
        }
    }

    /// Whether the write-ahead log may be copied into the database: not after a sync of it has failed. SQLite would
    /// sync it again and believe the result, and a power cut might leave part of a commit whose rest is nowhere.
    pub(crate) fn may_copy_wal(&self) -> bool {
        self.shared.check_writable().is_ok()
    }

    /// Takes another task into a group, if one waits. While another group is being synced, a small one is not worth a
    /// commit of its own: it would become durable no sooner than together with all that come until then.
    fn another(&self, group: &Group, tasks: &Receiver<Task>) -> Option<Task> {
        tasks.try_recv().ok().or_else(|| {
            if group.entries() >= WORTH_ENTRIES || self.flusher.is_idle() {
                return None;
            }
            self.flusher.wait();
            tasks.try_recv().ok()
        })
    }

    /// The next task; `None` when the store closes. In pauses, erased data are cleared away.
    fn next(&mut self, tasks: &Receiver<Task>) -> Option<Task> {
        while let Some(wait) = self.cleaning.next() {
            match tasks.recv_timeout(wait) {
                Ok(task) => return Some(task),
                Err(RecvTimeoutError::Timeout) => {
                    self.flusher.wait();
                    self.clean();
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        tasks.recv().ok()
    }

    /// Runs a job on its domain's draft.
    fn join(&self, group: &mut Group, write: Write) {
        let Write { domain, restoring, job } = write;
        let done = match self.prepare(group, domain, restoring) {
            Err(error) => job(Err(error)),
            Ok(draft) => {
                let mark = draft.mark();
                let Shared { index, met, .. } = &*self.shared;
                let mut tx = WriteTx { draft, log: &self.log, reading: &self.reading, index, met };
                let done = job(Ok(&mut tx));
                let restored = draft.check_restored();
                if !done.keep || restored.is_err() {
                    draft.roll_back(mark);
                }
                match restored {
                    Ok(()) => done,
                    Err(error) => return (done.answer)(Err(error)),
                }
            }
        };
        group.answers.push((domain, done.answer));
    }

    fn prepare<'g>(
        &self,
        group: &'g mut Group,
        domain: DomainNumber,
        restoring: bool,
    ) -> Result<&'g mut Draft, StoreError> {
        self.shared.check_writable()?;
        self.shared.index.wait_for_room()?;
        let state = match self.ahead.get(&domain) {
            Some(state) => Arc::clone(state),
            None => self.shared.published.get(domain)?,
        };
        match (&state.standing, restoring) {
            (Standing::Behind { .. }, true) => state.check_sound()?,
            (Standing::Current, true) => {
                return Err(StoreError::refused(format!("domain `{}` has nothing to be restored", state.info.name)));
            }
            _ => state.check_current()?,
        }
        Ok(group.drafts.entry(domain).or_insert_with(|| Draft::new(state)))
    }

    /// Commits a group, and hands it on to be made durable and answered.
    fn finish(&mut self, group: Group) {
        let Group { drafts, answers } = group;
        if let Err(error) = self.reading.end() {
            tracing::warn!(%error, "a read transaction of the index could not be ended");
        }
        let mut outcomes = BTreeMap::new();
        let mut changed = Vec::new();
        for (number, draft) in drafts {
            match self.sealed(&draft) {
                Ok(_) if draft.is_empty() => {
                    outcomes.insert(number, Ok(draft.base.head.clone()));
                }
                Ok(state) => changed.push((state, draft)),
                Err(error) => {
                    outcomes.insert(number, Err(error));
                }
            }
        }
        let committed = self.stage(&changed).and_then(|staged| self.commit(&changed).map(|()| staged));
        let staged = committed.unwrap_or_else(|error| {
            let failed = changed.drain(..).map(|(state, _)| (state.info.number, Err(error.clone())));
            outcomes.extend(failed);
            BTreeMap::new()
        });
        if answers.is_empty() {
            return;
        }
        self.since_checkpoint += changed.iter().map(|(_, draft)| draft.wal_bytes()).sum::<usize>();
        self.flusher.take(Committed { changed, staged, outcomes, answers });
        if self.since_checkpoint >= CHECKPOINT_BYTES {
            self.flusher.wait();
            self.checkpoint();
        }
    }

    /// Writes the new heads' files, which are put in place when the commit is durable: if the disk has no room for
    /// them, or the system no file, nothing is committed.
    fn stage(&self, changed: &[(DomainState, Draft)]) -> Result<BTreeMap<DomainNumber, Staged>, StoreError> {
        let new = changed.iter().filter_map(|(state, draft)| Some((state.info.number, new_seal(state, draft)?)));
        let staged = new.map(|(number, seal)| Ok((number, self.shared.heads.stage(seal)?)));
        staged.collect::<Result<_, StoreError>>().map_err(|error| match self.assess(error) {
            refused @ (StoreError::NoRoom | StoreError::Full(_)) => refused,
            other => self.shared.halt(&other),
        })
    }

    /// Copies the write-ahead log into the database, as far as readers allow. All of it must be on disk.
    fn checkpoint(&mut self) {
        if !self.may_copy_wal() {
            return;
        }
        self.since_checkpoint = 0;
        let copied = self.log.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = copied {
            let error = self.assess(error.into());
            tracing::warn!(%error, "the write-ahead log could not be copied into the database");
        }
    }

    /// The state that the draft results in, with its checkpoint.
    fn sealed(&self, draft: &Draft) -> Result<DomainState, StoreError> {
        let mut state = DomainState::clone(&draft.base);
        let (size, root) = (draft.tree.size(), draft.tree.root());
        if let Some((first, _)) = draft.entries.first().filter(|(first, _)| first.index == 0) {
            state.info.entry0 = Some(first.leaf);
        }
        let signs = draft.is_own() && size > draft.base.head.size && !draft.waits;
        let shown = state.head.seal.as_ref().map_or(0, |seal| seal.size);
        let brought = draft.seal.clone().filter(|seal| !draft.is_own() || seal.size >= shown);
        state.head.seal = match brought {
            Some(seal) if !signs || seal.size == size => Some(seal),
            _ if signs => Some(self.sign(&state, size, root)?),
            _ => state.head.seal,
        };
        if let Standing::Behind { signed: Some(signed) } = &state.standing
            && signed.size == size
        {
            // Its root is the same, since the job was checked. Everything that was signed is here again.
            state.head.seal = Some(signed.clone());
            state.standing = if state.held { Standing::Behind { signed: None } } else { Standing::Current };
        }
        (state.head.size, state.head.root) = (size, root);
        state.sight = draft.sight();
        state.returns += u64::from(draft.amendments.follow_back.is_some() || draft.amendments.follows_anew);
        state.tree = draft.tree.clone();
        // The full tiles will be in the database.
        drop(state.tree.take_full_tiles());
        Ok(state)
    }

    pub(crate) fn sign(&self, state: &DomainState, size: u64, root: ics_core::log::Hash) -> Result<Seal, StoreError> {
        let signed = (self.shared.sealer)(&state.info, size, &root)
            .map_err(|reason| StoreError::Unsealed { domain: state.info.name.clone(), reason })?;
        Ok(Seal { size, root, note: signed.note, cosigned_at: signed.cosigned_at })
    }

    /// Writes drafts to the database and updates the index. Erasures are durable at once, because the index forgets at
    /// once.
    fn commit(&mut self, changed: &[(DomainState, Draft)]) -> Result<(), StoreError> {
        if changed.is_empty() {
            return Ok(());
        }
        let forgotten = self.to_forget(changed)?;
        if !forgotten.is_empty() {
            // After a crash before the index has forgotten, the next start rebuilds it.
            self.shared.index.will_forget(&self.shared.index_path).map_err(|error| self.assess(error))?;
        }
        let erasing = changed.iter().filter(|(_, draft)| !draft.erased.is_empty());
        let erasing: Vec<DomainNumber> = erasing.map(|(state, _)| state.info.number).collect();
        let erases = !erasing.is_empty();
        erasing.iter().for_each(|domain| self.shared.erasing.begin(*domain));
        let stored =
            sync_with_commit(&self.log, erases).and_then(|()| store(&mut self.log, changed, &self.shared.keys_of));
        if let Err(error) = stored.map_err(|error| self.assess(error)) {
            // After a disk failure only a restart can tell what was written; then the index must be rebuilt.
            if self.shared.check_writable().is_ok() {
                erasing.iter().for_each(|domain| self.shared.erasing.give_up(*domain));
                if !forgotten.is_empty() {
                    self.shared.index.will_not_forget(&self.shared.index_path);
                }
            }
            return Err(error);
        }
        self.shared.note_room(true);
        for (state, draft) in changed {
            self.shared.index.push_all(draft);
            self.ahead.insert(state.info.number, Arc::new(state.clone()));
        }
        if erases {
            self.note_erased();
            self.clean();
        }
        if !forgotten.is_empty() {
            self.shared.index.forget(forgotten);
        }
        Ok(())
    }

    /// The keys under which erased entries must no longer be found.
    fn to_forget(&self, changed: &[(DomainState, Draft)]) -> Result<Vec<(Key, Position)>, StoreError> {
        let mut forgotten = Vec::new();
        for (state, draft) in changed {
            let domain = state.info.number;
            // What is filled in is found beside the log. The index still knows what a peer had said to be left of it.
            for index in draft.amendments.filled.keys() {
                let former = table::entry(&self.log, domain, *index, Show::Logged)?;
                let keys = former.map_or_else(Vec::new, |former| (self.shared.keys_of)(&former));
                forgotten.extend(keys.into_iter().map(|key| (key, Position::new(domain, *index))));
            }
            for (index, remnant) in &draft.erased {
                let entry = match draft.entry(*index) {
                    Some(entry) => Some(entry.clone()),
                    None => table::entry(&self.log, domain, *index, Show::Logged)?,
                };
                let Some(entry) = entry else { continue };
                let before = (self.shared.keys_of)(&entry);
                let left = StoredEntry { header: remnant.clone(), content: None, ..entry };
                let after = (self.shared.keys_of)(&left);
                let gone = before.into_iter().filter(|key| !after.contains(key));
                forgotten.extend(gone.map(|key| (key, Position::new(domain, *index))));
            }
        }
        Ok(forgotten)
    }

    /// Decides what an error means for the store. Room can be made on a full disk, and rules can be kept. But after a
    /// failed fsync the kernel may have dropped what it could not write and report success the next time, so nothing
    /// afterwards could be relied upon.
    pub(crate) fn assess(&self, error: StoreError) -> StoreError {
        match &error {
            StoreError::Sqlite { source } if source.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                let dir = self.shared.index_path.parent().unwrap_or(Path::new("."));
                self.shared.halt(&error.of_disk(dir))
            }
            StoreError::Corrupt { .. } => self.shared.halt(&error),
            StoreError::NoRoom => {
                self.shared.note_room(false);
                error
            }
            // This concerns a file beside the database, before anything was committed.
            StoreError::Io { source, .. } if is_full(source.kind()) => {
                self.shared.note_room(false);
                StoreError::NoRoom
            }
            StoreError::Io { source, .. } if are_short(source) => StoreError::Full(Full::Files),
            _ => error,
        }
    }
}

/// Sets whether a commit syncs what it has written. To be called before each transaction: if it fails, nothing has
/// happened.
///
/// A caller that leaves syncing to others must not copy the write-ahead log into the database either: SQLite syncs it
/// for that, and does not report a failure.
pub(crate) fn sync_with_commit(log: &Connection, syncs: bool) -> Result<(), StoreError> {
    let (synchronous, pages) = if syncs { ("FULL", 1000) } else { ("NORMAL", 0) };
    log.pragma_update(None, "synchronous", synchronous)?;
    Ok(log.pragma_update_and_check(None, "wal_autocheckpoint", pages, |_| Ok(()))?)
}

/// Writes everything in one transaction.
fn store(log: &mut Connection, changed: &[(DomainState, Draft)], keys_of: &KeysOf) -> Result<(), StoreError> {
    let transaction = log.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (state, draft) in changed {
        let number = state.info.number;
        table::insert_entries(&transaction, draft.entries.iter().map(|(entry, _)| entry))?;
        for (tile, hashes) in draft.tree.clone().take_full_tiles() {
            table::insert_tile(&transaction, number, tile, &hashes)?;
        }
        if draft.base.standing != Standing::Current {
            unconfirmed::forget_all(&transaction, number)?;
        }
        certified::keep(&transaction, number, &draft.certified)?;
        // What is filled in and erased by the same commit must not come back.
        draft.amendments.fill(&transaction, number, state.sight, keys_of)?;
        for (index, remnant) in &draft.erased {
            let (leaf, header) = ([0; 32], remnant.clone());
            let left = StoredEntry { domain: number, index: *index, effective: false, leaf, header, content: None };
            table::erase_entry(&transaction, number, *index, remnant, &keys_of(&left))?;
        }
        if !draft.erased.is_empty() {
            note_due(&transaction)?;
        }
        draft.amendments.write(&transaction, number, state.sight)?;
        super::granted::note(&transaction, number, &draft.granted)?;
        for alarm in &draft.alarms {
            super::desk::insert_alarm(&transaction, Some(number), alarm.at, &alarm.kind, &alarm.text)?;
        }
        if draft.base.info.entry0 != state.info.entry0
            && let Some(leaf) = &state.info.entry0
        {
            table::set_entry0(&transaction, number, leaf)?;
        }
        table::put_head(&transaction, number, &state.head)?;
    }
    Ok(transaction.commit()?)
}
