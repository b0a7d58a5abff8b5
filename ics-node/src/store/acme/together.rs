//! One connection whose jobs are written together: what need not be on disk at once waits in one transaction for what
//! must, or for a moment. So a job costs no commit of its own, and jobs that change the same pages write them once.
//!
//! Waiting jobs have no savepoints: for each of them, SQLite would copy every page that the job is about to change, and
//! with more than eight it would write the copies to a file. Instead a job decides before it writes, so a refusal
//! leaves nothing to undo. A job that fails later, for example on a full disk, takes all that waits with it, as a
//! failed commit does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, Row, TransactionBehavior};

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
    is_over: bool,
}

impl Together {
    /// Two connections to the same file.
    pub(super) fn new([connection, copier]: [Connection; 2]) -> Result<Self, StoreError> {
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        let open = Open { copied: connection.total_changes(), connection, is_over: false };
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
        let mut open = self.shared.lock();
        match durability {
            Durability::Now => {
                let done = open.now(job);
                self.wake_if_long(&open);
                done
            }
            Durability::Soon => {
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
            let open = self.shared.lock();
            open.end()?;
            round.step(&open.connection, |_| Ok(()))?;
            self.wake_if_long(&open);
        }
        let (_copier, _at_disk) = (self.shared.copier(), AtDisk::of(&self.shared));
        let open = self.shared.lock();
        open.end()?;
        if !truncate_wal(&open.connection)? {
            return Err(StoreError::refused("nobody may be reading the write-ahead log of acme.db"));
        }
        open.connection.execute("UPDATE scrubbed SET cleaned = max(cleaned, ?1)", [deleted])?;
        Ok(())
    }

    /// Has the write-ahead log copied if it is long. The thread looks by itself only where a transaction waited.
    fn wake_if_long(&self, open: &Open) {
        if open.is_long() {
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

    /// Until the store is closed, ends each transaction a moment after it began, and copies the write-ahead log when it
    /// is long.
    fn end_each(&self) {
        let mut open = self.lock();
        loop {
            let idle = |open: &mut Open| open.connection.is_autocommit() && !open.is_long() && !open.is_over;
            open = self.changed.wait_while(open, idle).unwrap_or_else(PoisonError::into_inner);
            let early = |open: &mut Open| !open.is_over;
            open = self.changed.wait_timeout_while(open, WAITS, early).unwrap_or_else(PoisonError::into_inner).0;
            open.end_or_give_up();
            if open.is_over {
                return;
            }
            if open.is_long() {
                // Also if that fails: it is tried again after as many rows.
                open.copied = open.connection.total_changes();
                drop(open);
                if let Err(error) = self.copy() {
                    tracing::warn!(%error, "the write-ahead log of acme.db is not copied, and grows");
                }
                open = self.lock();
            }
        }
    }

    /// Copies the write-ahead log into the database while jobs go on, and then what they have added meanwhile: SQLite
    /// begins the log anew only if a transaction begins when all of it has been copied.
    fn copy(&self) -> rusqlite::Result<()> {
        copy(&self.copier())?;
        let _at_disk = AtDisk::of(self);
        let open = self.lock();
        open.end_or_give_up();
        copy(&open.connection)
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
    /// Whether so much was written since the write-ahead log was last copied that it is to be copied again.
    fn is_long(&self) -> bool {
        self.connection.total_changes() - self.copied >= ROWS
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
    fn end(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("COMMIT") }
    }

    fn end_or_give_up(&self) {
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
        self.end().map_err(sqlite)?;
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
        tx.commit().map_err(sqlite)?;
        Ok(done)
    }
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
