//! One connection whose jobs are written together: what need not be on disk at once waits in one transaction for what
//! must, or for a moment. So a job costs no commit of its own, and jobs that change the same pages write them once.
//!
//! Waiting jobs have no savepoints: for each of them, SQLite would copy every page that the job is about to change, and
//! with more than eight it would write the copies to a file. Instead a job decides before it writes, so a refusal
//! leaves nothing to undo. A job that fails later, for example on a full disk, takes all that waits with it, as a
//! failed commit does.
//!
//! After a failed sync, what it was to write may be missing from the write-ahead log on the disk, although the next sync
//! reports success. After a crash nobody would find what stands behind that, so nothing is acknowledged any more until
//! all of the log was copied into the database and the log begun anew, which is tried at once and again and again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Row, TransactionBehavior};

use super::Durability;
use crate::locked::Locked as _;
use crate::store::clean::truncate_wal;
use crate::store::error::StoreError;
use crate::store::scrub::Scrub;

/// How long what need not be on disk at once waits for more.
const WAITS: Duration = Duration::from_millis(200);

/// After how many rows the write-ahead log is copied into the database, however they were written. SQLite would do that
/// within a commit, after some 1,000 pages, and jobs would wait for it.
const ROWS: u64 = 2_000;

/// A connection, and the thread that ends its transactions.
#[derive(Debug)]
pub(super) struct Together {
    shared: Arc<Shared>,
    ends: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    open: Mutex<Open>,
    changed: Condvar,
    /// A second connection, which copies the write-ahead log while jobs go on. Whoever needs both takes this first.
    copier: Mutex<Connection>,
    /// How many use the first connection and wait for the disk meanwhile, or are about to.
    at_disk: AtomicUsize,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// How many rows had been written when the write-ahead log was last copied.
    copied: u64,
    /// Whether the disk has failed since the write-ahead log began.
    is_in_doubt: bool,
    is_over: bool,
}

impl Together {
    /// Two connections to the same file.
    pub(super) fn new([connection, copier]: [Connection; 2]) -> Result<Self, StoreError> {
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        let open = Open { copied: connection.total_changes(), connection, is_in_doubt: false, is_over: false };
        let (open, copier) = (Mutex::new(open), Mutex::new(copier));
        let shared = Arc::new(Shared { open, changed: Condvar::new(), copier, at_disk: AtomicUsize::new(0) });
        let of_thread = Arc::clone(&shared);
        let ends = std::thread::Builder::new().name("ics-acme".to_owned()).spawn(move || of_thread.end_each());
        let ends = ends.map_err(|error| StoreError::refused(format!("the thread of acme.db: {error}")))?;
        Ok(Self { shared, ends: Some(ends) })
    }

    /// Whether no job that is under way waits for the disk: all others end within a fraction of a millisecond, or a few
    /// if they end a transaction.
    pub(super) fn is_quick(&self) -> bool {
        self.shared.at_disk.load(Ordering::Relaxed) == 0
    }

    /// Runs a job that only reads, alone.
    pub(super) fn look<T>(&self, job: impl FnOnce(&Connection) -> T) -> T {
        job(&self.shared.lock().connection)
    }

    /// Runs a job, alone; if it fails, nothing of it remains. A job that may wait must decide before it writes.
    pub(super) fn run<T, E: From<StoreError>>(
        &self,
        durability: Durability,
        job: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let _at_disk = (durability == Durability::Now).then(|| AtDisk::of(&self.shared));
        match durability {
            Durability::Now => {
                let mut open = self.shared.lock_settled()?;
                let done = open.now(job);
                self.wake_if_due(&open);
                done
            }
            Durability::Soon => {
                let open = self.shared.lock();
                if open.begin().map_err(StoreError::from)? {
                    self.shared.changed.notify_one();
                }
                open.soon(job)
            }
        }
    }

    /// See [`super::AcmeStore::clean`]. Other jobs come between its steps.
    pub(super) fn clean(&self) -> Result<(), StoreError> {
        // Of what is deleted from now on, a page that was passed already may have a copy.
        let (deleted, _) = self.look(scrubbed)?;
        let mut round = Scrub::new();
        while !round.has_ended() {
            let mut open = self.shared.lock();
            open.end()?;
            round.step(&open.connection, |_| Ok(()))?;
            self.wake_if_due(&open);
        }
        let (_copier, _at_disk) = (self.shared.copier(), AtDisk::of(&self.shared));
        let mut open = self.shared.lock();
        open.end()?;
        open.begin_log_anew()?;
        open.connection.execute("UPDATE scrubbed SET cleaned = max(cleaned, ?1)", [deleted])?;
        Ok(())
    }

    /// Has the write-ahead log copied if that is due. The thread looks by itself only where a transaction waited.
    fn wake_if_due(&self, open: &Open) {
        if open.is_due() {
            self.shared.changed.notify_one();
        }
    }
}

/// How many times something was deleted, and of how many of them no copy is left.
pub(super) fn scrubbed(connection: &Connection) -> Result<(i64, i64), StoreError> {
    let row = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    Ok(connection.query_row("SELECT ended, cleaned FROM scrubbed", [], row)?)
}

impl Drop for Together {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_one();
        // A thread that panicked has nothing more to say.
        let _ = self.ends.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.locked()
    }

    fn copier(&self) -> MutexGuard<'_, Connection> {
        self.copier.locked()
    }

    /// As `lock`, for what is acknowledged as being on the disk.
    fn lock_settled(&self) -> Result<MutexGuard<'_, Open>, StoreError> {
        let open = self.lock();
        if !open.is_in_doubt {
            return Ok(open);
        }
        drop(open);
        let _copier = self.copier();
        let mut open = self.lock();
        open.settle()?;
        Ok(open)
    }

    /// Until the store is closed, ends each transaction a moment after it began, and copies the write-ahead log when
    /// that is due.
    fn end_each(&self) {
        let (mut open, mut has_failed) = (self.lock(), false);
        loop {
            let idle = |open: &mut Open| open.connection.is_autocommit() && !open.is_due() && !open.is_over;
            open = self.changed.wait_while(open, idle).unwrap_or_else(PoisonError::into_inner);
            let early = |open: &mut Open| !open.is_over;
            open = self.changed.wait_timeout_while(open, WAITS, early).unwrap_or_else(PoisonError::into_inner).0;
            open.end_or_give_up();
            if open.is_over {
                return;
            }
            if open.is_due() {
                // Also if that fails: it is tried again after as many rows, or soon if the disk has failed.
                open.copied = open.connection.total_changes();
                drop(open);
                let copied = self.copy();
                if let (Err(error), false) = (&copied, has_failed) {
                    tracing::warn!(%error, "the write-ahead log of acme.db is not copied, and grows");
                }
                has_failed = copied.is_err();
                open = self.lock();
            }
        }
    }

    /// Copies the write-ahead log into the database while jobs go on, and then what they have added meanwhile: SQLite
    /// begins the log anew only if a transaction begins when all of it has been copied.
    fn copy(&self) -> Result<(), StoreError> {
        let copier = self.copier();
        let copied = copy(&copier);
        let _at_disk = AtDisk::of(self);
        let mut open = self.lock();
        open.end_or_give_up();
        let copied = copied.and_then(|()| copy(&open.connection));
        let copied = open.noting(copied);
        if open.is_in_doubt { open.settle() } else { copied }
    }
}

/// Somebody who uses the connection, or is about to, and lets all others wait for the disk.
struct AtDisk<'s>(&'s Shared);

impl<'s> AtDisk<'s> {
    fn of(shared: &'s Shared) -> Self {
        shared.at_disk.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for AtDisk<'_> {
    fn drop(&mut self) {
        self.0.at_disk.fetch_sub(1, Ordering::Relaxed);
    }
}

fn copy(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

impl Open {
    /// Whether the write-ahead log is to be copied: so much was written since it last was, or the disk has failed.
    fn is_due(&self) -> bool {
        self.is_in_doubt || self.connection.total_changes() - self.copied >= ROWS
    }

    /// Notes if it was the disk that failed.
    fn noting<T>(&mut self, done: Result<T, impl Into<StoreError>>) -> Result<T, StoreError> {
        let done = done.map_err(Into::into);
        self.is_in_doubt |= done.as_ref().is_err_and(is_of_disk);
        done
    }

    /// Copies all of the write-ahead log into the database and begins it anew.
    fn begin_log_anew(&mut self) -> Result<(), StoreError> {
        let is_empty = truncate_wal(&self.connection);
        if self.noting(is_empty)? {
            return Ok(());
        }
        Err(StoreError::refused("nobody may be reading the write-ahead log of acme.db"))
    }

    /// After the disk has failed, begins the log anew, while the system still has in memory what it has not written.
    fn settle(&mut self) -> Result<(), StoreError> {
        if self.is_in_doubt {
            self.end_or_give_up();
            self.begin_log_anew()?;
            self.is_in_doubt = false;
            tracing::warn!("the disk had failed, and what was to be written to acme.db was written again");
        }
        Ok(())
    }

    /// Begins a transaction unless one is under way; returns whether it did.
    fn begin(&self) -> rusqlite::Result<bool> {
        let begins = self.connection.is_autocommit();
        if begins {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        Ok(begins)
    }

    /// Commits the transaction under way.
    fn end(&mut self) -> Result<(), StoreError> {
        let is_none = self.connection.is_autocommit();
        let ended = if is_none { Ok(()) } else { self.connection.execute_batch("COMMIT") };
        self.noting(ended)
    }

    fn end_or_give_up(&mut self) {
        if let Err(error) = self.end() {
            give_up(&self.connection, &error.to_string());
        }
    }

    fn soon<T, E>(&self, job: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let mut undone = Undone { connection: &self.connection, changes: self.connection.total_changes() };
        let done = job(undone.connection)?;
        undone.changes = undone.connection.total_changes();
        Ok(done)
    }

    /// This also makes durable what was waiting: syncing a write-ahead log syncs everything before.
    fn now<T, E: From<StoreError>>(&mut self, job: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let sqlite = |error: rusqlite::Error| E::from(StoreError::from(error));
        self.end()?;
        self.connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
        let kept = self.transaction(job);
        self.connection.pragma_update(None, "synchronous", "NORMAL").map_err(sqlite)?;
        kept
    }

    fn transaction<T, E: From<StoreError>>(&mut self, job: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let sqlite = |error: rusqlite::Error| E::from(StoreError::from(error));
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
        let changes = tx.total_changes();
        let done = match job(&tx) {
            // It was refused before it had written, so there is nothing to take back: with that, all that is in memory
            // would go as well, and anybody can be refused.
            Err(refused) if tx.total_changes() == changes => {
                let _ = tx.commit();
                return Err(refused);
            }
            done => done?,
        };
        let committed = tx.commit();
        self.noting(committed)?;
        Ok(done)
    }
}

/// Whether a disk has failed.
fn is_of_disk(error: &StoreError) -> bool {
    matches!(error, StoreError::Sqlite { source } if source.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
}

/// Guards a job: if it is dropped after the connection changed without the job succeeding, what waits is rolled back.
struct Undone<'c> {
    connection: &'c Connection,
    changes: u64,
}

impl Drop for Undone<'_> {
    fn drop(&mut self) {
        if self.connection.total_changes() != self.changes {
            give_up(self.connection, "a job failed after it had written");
        }
    }
}

/// Rolls back what waits; if that fails, the next job notices.
fn give_up(connection: &Connection, error: &str) {
    tracing::error!(error, "the last orders of ACME clients are lost");
    let _ = connection.execute_batch("ROLLBACK");
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use rusqlite::ffi;

    use super::*;
    use crate::store::schema;

    fn together(path: &Path) -> Together {
        let open = || schema::open_writer(schema::File::Acme, path).expect("opens");
        Together::new([open(), open()]).expect("begins")
    }

    fn write(together: &Together, durability: Durability) -> Result<(), StoreError> {
        together.run(durability, |connection| {
            connection.execute("UPDATE scrubbed SET ended = ended + 1", [])?;
            Ok(())
        })
    }

    /// Has the disk fail for this connection, as far as it notices.
    fn fail(together: &Together) {
        let failure = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None);
        together.shared.lock().noting(Err::<(), _>(failure)).expect_err("it has failed");
    }

    #[test]
    fn after_the_disk_has_failed_nothing_is_acknowledged_until_all_was_copied() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("acme.db");
        let together = together(&path);
        write(&together, Durability::Now).expect("is kept");
        let reader = schema::open_reader(&path).expect("opens");
        let ended = || reader.query_row("SELECT ended FROM scrubbed", [], |row| row.get::<_, i64>(0)).expect("reads");
        reader.execute_batch("BEGIN").expect("begins");
        let before = ended();
        write(&together, Durability::Now).expect("is kept");
        fail(&together);
        write(&together, Durability::Now).expect_err("nothing can be copied yet");
        write(&together, Durability::Soon).expect("that may be lost");
        reader.execute_batch("COMMIT").expect("ends");
        write(&together, Durability::Now).expect("all is copied");
        assert!(!together.shared.lock().is_in_doubt);
        assert_eq!(ended(), before + 3, "what was acknowledged, and what may have been lost");
    }

    #[test]
    fn after_the_disk_has_failed_all_is_copied_by_itself() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("acme.db");
        let together = together(&path);
        write(&together, Durability::Now).expect("is kept");
        let wal = || std::fs::metadata(crate::store::wal::wal_of(&path)).expect("is there").len();
        assert!(wal() > 0);
        fail(&together);
        together.wake_if_due(&together.shared.lock());
        let began = Instant::now();
        while together.shared.lock().is_in_doubt {
            assert!(began.elapsed() < Duration::from_secs(60), "nobody copies it");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(wal(), 0);
    }

    #[test]
    fn only_a_disk_that_fails_leaves_doubt() {
        let doubts = |code| is_of_disk(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into());
        assert!(doubts(ffi::SQLITE_IOERR_FSYNC) && doubts(ffi::SQLITE_IOERR_WRITE));
        assert!(!doubts(ffi::SQLITE_BUSY) && !doubts(ffi::SQLITE_FULL) && !doubts(ffi::SQLITE_CONSTRAINT));
    }
}
