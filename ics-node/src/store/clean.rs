//! Makes sure that erased data survive nowhere: neither in the write-ahead log nor in the unallocated parts of the
//! file's pages.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::error::StoreError;
use super::schema;
use super::scrub::Scrub;
use super::writer::Writer;

/// The time between two attempts to empty the write-ahead log.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a closing store continues with this. The next start does what is left.
const AT_CLOSE: Duration = Duration::from_secs(2);
/// The pause between two batches of pages, for others who want to write or to use the disk.
const BETWEEN: Duration = Duration::from_millis(5);

/// What remains to be done.
pub(crate) struct Cleaning {
    /// Whether the write-ahead log may still hold erased data.
    wal_holds_erased: bool,
    /// The present pass over the file's pages.
    scrub: Option<Scrub>,
    tried: Instant,
}

impl Cleaning {
    /// What a process that was killed may have left to do.
    pub(crate) fn after_start(log: &Connection) -> Result<Self, StoreError> {
        let scrub = is_due(log)?.then(Scrub::new);
        Ok(Self { wal_holds_erased: true, scrub, tried: Instant::now() })
    }

    /// When to continue; `None` if there is nothing to do.
    pub(crate) fn next(&self) -> Option<Duration> {
        match self {
            Self { wal_holds_erased: true, .. } => Some(AGAIN),
            Self { scrub: Some(_), .. } => Some(BETWEEN),
            _ => None,
        }
    }

    /// Whether this must not wait any longer for a pause between writes.
    pub(crate) fn is_overdue(&self) -> bool {
        self.next().is_some() && self.tried.elapsed() >= AGAIN
    }
}

impl Writer {
    /// Notes that something was deleted that must not survive. The transaction of the deletion has called [`note_due`].
    pub(crate) fn note_erased(&mut self) {
        self.cleaning.wal_holds_erased = true;
        self.cleaning.scrub = Some(self.cleaning.scrub.map_or(Scrub::new(), Scrub::again));
    }

    /// Finishes cleaning if that does not take long: what a command erases that opens the store itself is gone when it
    /// ends.
    pub(crate) fn end_cleaning(&mut self) {
        let begun = Instant::now();
        while self.cleaning.next().is_some() && self.may_copy_wal() && begun.elapsed() < AT_CLOSE {
            self.clean();
            if self.cleaning.wal_holds_erased {
                std::thread::sleep(BETWEEN);
            }
        }
    }

    /// Continues with what remains. Everything that was committed must be on disk.
    pub(crate) fn clean(&mut self) {
        self.cleaning.tried = Instant::now();
        if !self.may_copy_wal() {
            return;
        }
        if self.cleaning.wal_holds_erased {
            self.empty_wal();
        } else {
            self.scrub();
        }
    }

    /// Empties the write-ahead log. If a reader is in the way, this is tried again.
    fn empty_wal(&mut self) {
        match truncate_wal(&self.log) {
            Ok(true) => self.cleaning.wal_holds_erased = false,
            Ok(false) => tracing::debug!("readers keep an erased entry in the write-ahead log for the moment"),
            // This syncs like any commit: after a failure the data may be lost even though the next sync reports
            // success.
            Err(error) => {
                let error = self.assess(error);
                tracing::warn!(%error, "an erased entry is still in the write-ahead log");
            }
        }
    }

    /// Cleans some pages. What is zeroed there reaches the file through the write-ahead log.
    fn scrub(&mut self) {
        let Some(mut round) = self.cleaning.scrub else { return };
        let done = super::writer::sync_with_commit(&self.log, true).and_then(|()| round.step(&self.log, end));
        match done {
            Ok(zeroed) => {
                self.cleaning.wal_holds_erased = zeroed > 0;
                self.cleaning.scrub = (!round.has_ended()).then_some(round);
            }
            Err(error) => {
                let error = self.assess(error);
                tracing::warn!(%error, "copies of erased entries may be left in the database");
                // Any other obstacle would recur: the next start tries again.
                if !matches!(error, StoreError::NoRoom) {
                    self.cleaning.scrub = None;
                }
            }
        }
    }
}

/// Has the transaction that deletes something record that the pages must be cleaned, so that a start after a crash does
/// it.
pub(crate) fn note_due(log: &Connection) -> Result<(), StoreError> {
    log.execute("INSERT OR IGNORE INTO unscrubbed VALUES (1)", [])?;
    Ok(())
}

fn is_due(log: &Connection) -> Result<bool, StoreError> {
    Ok(log.query_row("SELECT EXISTS (SELECT 1 FROM unscrubbed)", [], |row| row.get(0))?)
}

fn end(log: &Connection) -> Result<(), StoreError> {
    log.execute("DELETE FROM unscrubbed", [])?;
    Ok(())
}

/// Copies the write-ahead log into the database and empties it; false if somebody is in the way.
pub(crate) fn truncate_wal(connection: &Connection) -> Result<bool, StoreError> {
    // Nobody is waited for: this is tried again.
    connection.busy_timeout(Duration::ZERO)?;
    // The first column is 1 if somebody was in the way: SQLite does not report that as an error.
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(schema::BUSY)?;
    Ok(busy? == 0)
}
