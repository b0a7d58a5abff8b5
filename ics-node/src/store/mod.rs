//! The store of a node: the logs of its domains in SQLite, durable before they are acknowledged.
//!
//! Its directory holds `ics.db` (the logs, and what cannot be derived), `index.db` (what entries are found by,
//! derived), `acme.db` (what ACME clients were told, if there is an ACME server), `heads/` (the highest checkpoint
//! signed for each domain, see [`heads`], and the highest number of a revocation list, see [`list_numbers`]), `seen/`
//! (the highest checkpoints seen of other nodes' logs), `lists/` (revocation lists that are signed elsewhere), `told`
//! (until when alerts were sent), `round` (how far the log was checked for damage), `lock`, and `restoring` while a
//! copy is being put there. Access is by (domain, index) or by key, so that domains can be spread over several stores.
//!
//! One thread writes ([`writer`]): [`Store::write`] hands it a job that sees everything before it and appends; waiting
//! jobs share one commit. Reading never waits for writing. All calls block; asynchronous callers make them in the
//! [`background`], or use [`Pending::done`] for the result of a write.

mod acme;
mod backup;
mod certified;
mod check;
mod clean;
mod columns;
mod damage;
mod days;
mod desk;
mod draft;
mod emptied;
mod error;
mod flush;
mod follow;
mod given_up;
mod granted;
mod heads;
mod index;
mod list_numbers;
mod lists;
mod outbox;
mod pool;
mod read;
mod replay;
mod restore;
mod round;
mod schema;
mod scrub;
mod sight;
mod state;
mod table;
mod told;
mod transaction;
mod types;
mod wal;
mod witnessed;
mod write;
mod writer;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use ics_core::log::Hash;
use ics_core::time::Timestamp;
use tokio::sync::watch;

use crate::background;
use crate::open_files::open_patiently;

pub use acme::keeping::{Speaking, is_of_copy, speaking};
pub use acme::{AcmeStore, AcmeTx, Block as AcmeBlock, Credential, Durability, Issued as AcmeIssued, Made as AcmeMade};
pub(crate) use backup::open_log;
pub use backup::{
    Moved, backup, begin_put_back, check_backup, copied_at, copy_files, is_anything_in, is_read_by_writing, put_back,
    signed_logs,
};
pub use certified::{Certified, Unconfirmed, Word};
pub use check::{Inspector, Report, inspect};
pub(crate) use damage::misled;
pub use desk::{Alarm, Enrolment, EnrolmentState, Fork};
pub use emptied::{empty_copy, forget_seen, forks_in, held, scan_copy};
pub use error::{Full, StoreError, WriteError};
pub use follow::Following;
pub use granted::Unheeded;
pub use index::Page;
pub use outbox::Posted;
pub use replay::Replay;
pub use sight::{Filling, Holding, RightsMark, Sight};
pub(crate) use state::Erasures;
pub use transaction::WriteTx;
pub use types::{
    Change, Content, DOMAIN_ENTRIES, DomainInfo, DomainNumber, Head, Key, NewContent, NewEntry, Part, Reach, Seal,
    Standing, StoredEntry,
};
pub use witnessed::Witnessed;
pub use write::{Pending, Written};

use damage::Met;
use heads::HeadFiles;
use index::Index;
use list_numbers::ListNumbers;
use pool::Pool;
use round::Round;
use state::{Erasing, Published};
use wal::open_log_to_write;
use writer::{Task, Writer};

/// Gives the keys under which an entry is found. They must be the same whenever the index is rebuilt from the log as
/// when the entry was appended. An entry without content has the keys that its header gives.
pub type KeysOf = Arc<dyn Fn(&StoredEntry) -> Vec<Key> + Send + Sync>;

/// Signs the checkpoint of a domain that is at home at this node, for a size and root, or says why it cannot.
pub type Sealer = Arc<dyn Fn(&DomainInfo, u64, &Hash) -> Result<SignedNote, String> + Send + Sync>;

/// Called with every commit before readers can see it, so that cached answers which it ends are forgotten; once more
/// after that if the commit shows what was filled in.
pub type Announce = Arc<dyn Fn(&Change<'_>) + Send + Sync>;

/// What a [`Sealer`] makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    /// The checkpoint as a signed note.
    pub note: String,
    /// The time of the node's own cosignature in it, if it has one.
    pub cosigned_at: Option<Timestamp>,
}

/// The number of connections for reading, and so of threads that can read at a time. Each costs up to 4 MiB of page
/// caches, and what it has mapped of its two files.
const READERS: usize = 4;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// Gives the keys under which an entry is found.
    pub keys_of: KeysOf,
    /// Signs checkpoints.
    pub sealer: Sealer,
    /// Called with every commit.
    pub announce: Announce,
    /// The key with which the node cosigns others' logs. Doubt about what one key has cosigned concerns no other key.
    pub cosigner: Option<[u8; 32]>,
    /// How many writes may wait; further ones are refused. What the faces work on at a time should find room: they say
    /// themselves how much that may be, and how much of it may be large.
    pub queue: usize,
}

impl Options {
    /// With 512 waiting writes.
    #[must_use]
    pub fn new(keys_of: KeysOf, sealer: Sealer) -> Self {
        Self { keys_of, sealer, announce: Arc::new(|_| ()), cosigner: None, queue: 512 }
    }
}

/// An open store. Dropping it finishes the writes that wait and merges the index.
pub struct Store {
    shared: Arc<Shared>,
    tasks: Option<SyncSender<Task>>,
    writer: Option<JoinHandle<()>>,
    queue: usize,
    dir: PathBuf,
    /// Held for as long as the store is open: a second process would fork the log.
    _lock: File,
}

/// What the writer and the readers share.
pub(crate) struct Shared {
    published: Published,
    erasing: Erasing,
    pool: Pool,
    index: Index,
    index_path: PathBuf,
    /// The damage found since the start.
    met: Met,
    /// How far the log has been checked for damage.
    round: Round,
    heads: HeadFiles,
    list_numbers: ListNumbers,
    /// The largest heads seen of other nodes' logs.
    seen: HeadFiles,
    cosigner: Option<[u8; 32]>,
    sealer: Sealer,
    announce: Announce,
    keys_of: KeysOf,
    /// Why no more writes are taken, if so.
    halted: watch::Sender<Option<StoreError>>,
    /// Whether the disk was full at the last write.
    lacks_room: AtomicBool,
}

impl Shared {
    fn check_writable(&self) -> Result<(), StoreError> {
        self.halted.borrow().clone().map_or(Ok(()), Err)
    }

    /// Notes whether a write found room on the disk.
    fn note_room(&self, has_room: bool) {
        match (self.lacks_room.swap(!has_room, Ordering::Relaxed), has_room) {
            (false, false) => tracing::error!("the disk is full: nothing is stored until there is room on it again"),
            (true, true) => tracing::info!("there is room on the disk again"),
            _ => {}
        }
    }

    /// Stops taking writes until a restart.
    fn halt(&self, why: &impl core::fmt::Display) -> StoreError {
        tracing::error!(error = %why, "the store accepts no more writes");
        let mut halted = StoreError::Halted { why: why.to_string() };
        self.halted.send_modify(|first| halted = first.get_or_insert_with(|| halted.clone()).clone());
        halted
    }

    /// Runs a thread that writing depends on: if it panics, no more writes are taken.
    fn or_halt(&self, work: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            self.halt(&write::GONE);
            resume_unwind(panic);
        }
    }
}

impl Store {
    /// Opens the store in a directory, which is created (for the owner only) if it is missing; brings its schema and
    /// index up to date. With a million entries this takes well below a second; rebuilding the index, some seconds.
    ///
    /// # Errors
    /// When another process uses it, a newer version has written it, it is damaged, the disk is full or failing, or the
    /// operating system refuses.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        Self::start(dir, options).map_err(|error| error.of_disk(dir))
    }

    fn start(dir: &Path, options: Options) -> Result<Self, StoreError> {
        make_private(dir)?;
        let lock = lock(dir)?;
        backup::refuse_unfinished(dir)?;
        let (log_path, index_path) = (dir.join(LOG_FILE), dir.join(INDEX_FILE));
        // Before the database is created, which would hide that everything is gone.
        let seen = open_seen(dir, options.cosigner.as_ref())?;
        let log = open_log_to_write(&log_path)?;
        witnessed::make_good(&log, &seen)?;
        let heads = HeadFiles::open(&dir.join(HEADS_DIR))?;
        heads.sweep()?;
        let list_numbers = ListNumbers::open(&dir.join(HEADS_DIR))?;
        let published = state::load(&log, &heads)?;
        given_up::recall(&published, &log)?;
        let sizes: BTreeMap<_, _> = published.all().iter().map(|state| (state.info.number, state.head.size)).collect();
        let keys_of = damage::filed(options.keys_of);
        let index = index::build::open(&index_path, &log, &sizes, &keys_of)?;
        damage::note(&published, &log, &index)?;
        let shared = Arc::new(Shared {
            published,
            erasing: Erasing::default(),
            pool: Pool::new(&log_path, &index_path, READERS),
            index: Index::start(index, &index_path)?,
            met: Met::new(index_path.clone()),
            round: Round::open(dir),
            index_path,
            heads,
            list_numbers,
            seen,
            cosigner: options.cosigner,
            sealer: options.sealer,
            announce: options.announce,
            keys_of,
            halted: watch::Sender::new(None),
            lacks_room: AtomicBool::new(false),
        });
        let writer = Writer::new((&log_path, log), &shared.index_path, Arc::clone(&shared))?;
        let queue = options.queue.max(1);
        let (tasks, waiting) = std::sync::mpsc::sync_channel(queue);
        let halting = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("ics-writer".to_owned())
            .spawn(move || {
                background::lower();
                halting.or_halt(|| writer.run(&waiting));
            })
            .map_err(StoreError::io(dir))?;
        let (tasks, writer) = (Some(tasks), Some(writer));
        Ok(Self { shared, tasks, writer, queue, dir: dir.to_owned(), _lock: lock })
    }

    /// Rebuilds the index of the store in a directory from its log; no other process may be using the store.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn rebuild_index(dir: &Path, options: Options) -> Result<(), StoreError> {
        let lock = lock(dir)?;
        index::build::mark_stale(&dir.join(INDEX_FILE))?;
        drop(lock);
        Self::open(dir, options).map(drop)
    }

    /// Checks that the store takes writes.
    ///
    /// # Errors
    /// With the reason why it takes none until it is opened again.
    pub(crate) fn writable(&self) -> Result<(), StoreError> {
        self.shared.check_writable()
    }

    /// Whether the disk was full at the last write.
    pub(crate) fn lacks_room(&self) -> bool {
        self.shared.lacks_room.load(Ordering::Relaxed)
    }

    /// A number for a revocation list that is signed now, larger than all earlier ones.
    pub(crate) fn number_list(&self, now: Timestamp) -> u64 {
        self.shared.list_numbers.next(now)
    }

    /// Waits until the store takes no more writes until it is opened again, and returns the reason.
    pub(crate) async fn until_halted(&self) -> StoreError {
        let mut halts = self.shared.halted.subscribe();
        let halted = halts.wait_for(Option::is_some).await.ok().and_then(|halted| halted.clone());
        halted.unwrap_or_else(write::gone)
    }

    /// The directory of the store.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

const LOG_FILE: &str = "ics.db";
const INDEX_FILE: &str = "index.db";
const HEADS_DIR: &str = "heads";
/// Made together with a node's new key: if it exists, no cosignature was made and forgotten.
pub(crate) const SEEN_DIR: &str = "seen";
const LOCK_FILE: &str = "lock";

impl Drop for Store {
    fn drop(&mut self) {
        // Readers first: SQLite cleans up if the last connection to close is the one that can write.
        self.shared.pool.close();
        self.shared.round.keep();
        drop(self.tasks.take());
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer panicked");
        }
    }
}

/// Opens the record of heads seen of others' logs. If it is gone together with the database, nobody knows what was
/// cosigned.
fn open_seen(dir: &Path, cosigner: Option<&[u8; 32]>) -> Result<HeadFiles, StoreError> {
    let path = dir.join(SEEN_DIR);
    if !path.exists() && !dir.join(LOG_FILE).exists() {
        HeadFiles::make_doubted(&path)?;
    }
    let seen = HeadFiles::open(&path)?;
    cosigner.map_or(Ok(()), |key| seen.tie_doubt(key))?;
    Ok(seen)
}

/// Makes a directory that others cannot read, because entries in it may be hidden by policy. It is made durable: a
/// power cut that removes the directory's name would take everything synced in it along.
pub(crate) fn make_private(dir: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(StoreError::io(dir))?;
    missing.into_iter().filter_map(Path::parent).try_for_each(sync_names)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_names(dir: &Path) -> Result<(), StoreError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    open_patiently(|| File::open(dir)).and_then(|dir| dir.sync_all()).map_err(StoreError::io(dir))
}

/// Replaces a small file in a directory, durably. A crash before the rename leaves the old file, one after it the new
/// file, never a part of either.
fn replace_file(dir: &Path, new: &str, name: &str, content: &(impl AsRef<[u8]> + ?Sized)) -> Result<(), StoreError> {
    let (new, path) = (dir.join(new), dir.join(name));
    let mut file = File::create(&new).map_err(StoreError::io(&new))?;
    file.write_all(content.as_ref()).and_then(|()| file.sync_all()).map_err(StoreError::io(&new))?;
    std::fs::rename(&new, &path).map_err(StoreError::io(&path))?;
    // Without this, a power cut may bring the old file back.
    sync_names(dir)
}

/// Succeeds if what was to be removed is gone, even if it was gone before.
fn gone(path: &Path, removed: std::io::Result<()>) -> Result<(), StoreError> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io(path)(error)),
        _ => Ok(()),
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(StoreError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io(&path)(error)),
    }
}

#[cfg(test)]
impl Store {
    /// A store whose entries are found by nothing, and whose checkpoints nobody signs.
    pub(crate) fn of_tests(dir: &Path) -> Self {
        let sealer: Sealer = Arc::new(|_, _, _| Ok(SignedNote { note: "a note".to_owned(), cosigned_at: None }));
        Self::open(dir, Options::new(Arc::new(|_| Vec::new()), sealer)).expect("opens")
    }
}

/// Makes the index of a store that is not open lead from a key to exactly these entries, with well-formed rows.
#[cfg(test)]
pub(crate) fn lead(dir: &Path, domain: DomainNumber, key: Key, to: &[u64]) -> Result<(), StoreError> {
    let mut index = schema::open_writer(schema::File::Index, &dir.join(INDEX_FILE))?;
    index.execute("DELETE FROM posting WHERE key = ?1", [key.0])?;
    let postings: Vec<_> = to.iter().map(|index| (key, types::Position::new(domain, *index))).collect();
    index::file::merge(&mut index, [postings], &BTreeMap::new(), &std::collections::BTreeSet::new())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn keys_of(_: &StoredEntry) -> Vec<Key> {
        Vec::new()
    }

    fn sealed(_: &DomainInfo, _: u64, _: &Hash) -> Result<SignedNote, String> {
        Ok(SignedNote { note: "a note".to_owned(), cosigned_at: None })
    }

    fn breaks_the_writer(_: &DomainInfo, _: u64, _: &Hash) -> Result<SignedNote, String> {
        panic!("as by a defect")
    }

    fn announced(_: &Change<'_>) {}

    fn breaks_the_flusher(_: &Change<'_>) {
        panic!("as by a defect")
    }

    /// Otherwise everything would be refused, and nothing would say that the node has to be restarted.
    #[tokio::test]
    async fn a_store_without_one_of_its_threads_takes_no_more_writes_and_says_so() {
        let cases: [(Sealer, Announce); 2] =
            [(Arc::new(breaks_the_writer), Arc::new(announced)), (Arc::new(sealed), Arc::new(breaks_the_flusher))];
        for (sealer, announce) in cases {
            let dir = tempfile::tempdir().expect("dir");
            let options = Options { announce, ..Options::new(Arc::new(keys_of), sealer) };
            let store = Store::open(dir.path(), options).expect("opens");
            let name = "d.example".parse().expect("a name");
            let domain = store.create_domain(&name, Part::Home, None).expect("made").number;
            let content = NewContent::Whole(Content { salt: [0; 16], body: vec![1] });
            let entry = NewEntry { header: vec![1], content, keys: Vec::new(), effective: true };
            assert!(store.writable().is_ok());
            let written = store.write(domain, move |tx| tx.append(entry)).expect("queued").done().await;
            assert!(matches!(written, Err(WriteError::Store(StoreError::Halted { .. }))), "{written:?}");
            let halted = tokio::time::timeout(Duration::from_secs(60), store.until_halted()).await.expect("it is told");
            assert!(halted.to_string().ends_with(write::GONE), "{halted}");
            assert!(store.writable().is_err());
        }
    }
}
