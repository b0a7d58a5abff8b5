//! What was erased must survive nowhere: not in the write-ahead log, and not in the unallocated parts of the file's pages.

use std::time::{Duration, Instant};

use rusqlite::{Connection, ffi};

use super::error::StoreError;
use super::schema;
use super::scrub::Scrub;
use super::writer::Writer;

/// Between two attempts to empty the write-ahead log, and before anything that has failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a store that closes goes on with it. What is left then is done by the next start.
const AT_CLOSE: Duration = Duration::from_secs(2);
/// Between two lots of pages, for whoever wants to write or to read the disk.
const BETWEEN: Duration = Duration::from_millis(5);

/// What there is still to do.
pub(crate) struct Cleaning {
    /// Whether the write-ahead log may still hold what was erased.
    wal_holds_erased: bool,
    /// The round through the file's pages.
    scrub: Option<Scrub>,
    tried: Instant,
    /// Whether the last attempt has failed. That is told once.
    has_failed: bool,
}

impl Cleaning {
    /// What a process that was killed may have left.
    pub(crate) fn after_start(log: &Connection) -> Result<Self, StoreError> {
        let scrub = is_due(log)?.then(Scrub::new);
        Ok(Self { wal_holds_erased: true, scrub, tried: Instant::now(), has_failed: false })
    }

    /// How long the next step waits for a time when nobody writes; `None` if there is nothing to do.
    pub(crate) fn next(&self) -> Option<Duration> {
        match self {
            Self { wal_holds_erased: true, .. } | Self { scrub: Some(_), has_failed: true, .. } => Some(AGAIN),
            Self { scrub: Some(_), .. } => Some(BETWEEN),
            _ => None,
        }
    }

    /// Notes that something stands in the way, and tells of it unless it did before: a full disk is one for hours.
    fn note_failure(&mut self, error: &StoreError, what: &str) {
        if core::mem::replace(&mut self.has_failed, true) {
            tracing::debug!(%error, "{what}");
        } else {
            tracing::warn!(%error, "{what}");
        }
    }

    /// Whether the next step is taken although jobs wait: where something always comes in, there is no other time.
    pub(crate) fn is_overdue(&self) -> bool {
        self.next().is_some() && self.tried.elapsed() >= AGAIN
    }
}

impl Writer {
    /// Notes that something was deleted that must not survive. The transaction of the deletion has said [`note_due`].
    pub(crate) fn note_erased(&mut self) {
        self.cleaning.wal_holds_erased = true;
        self.cleaning.scrub = Some(self.cleaning.scrub.map_or(Scrub::new(), Scrub::again));
    }

    /// Does what is left to do before the store closes, unless that takes long: what a command erases that opens the store
    /// for itself is gone when it ends. What fails is left to the next start.
    pub(crate) fn end_cleaning(&mut self) {
        let begun = Instant::now();
        while self.cleaning.next().is_some() && self.may_copy_wal() && begun.elapsed() < AT_CLOSE {
            self.clean();
            if self.cleaning.has_failed {
                break;
            }
            if self.cleaning.wal_holds_erased {
                std::thread::sleep(BETWEEN);
            }
        }
    }

    /// Takes the next step. All that was committed must be on the disk: it may be copied into the database.
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

    /// Empties the write-ahead log. While a reader needs it, that is tried again.
    fn empty_wal(&mut self) {
        match truncate_wal(&self.log) {
            Ok(true) => (self.cleaning.wal_holds_erased, self.cleaning.has_failed) = (false, false),
            Ok(false) => tracing::debug!("readers keep an erased entry in the write-ahead log for the moment"),
            // It syncs as any commit does: what could not be written may be gone, and the next sync say that all is well.
            Err(error) => {
                let error = self.assess(error);
                self.cleaning.note_failure(&error, "an erased entry is still in the write-ahead log");
            }
        }
    }

    /// Cleans the next pages. What is zeroed there reaches the file when the write-ahead log is emptied, which comes next.
    fn scrub(&mut self) {
        let Some(mut round) = self.cleaning.scrub else { return };
        let done = super::writer::sync_with_commit(&self.log, true).and_then(|()| round.step(&self.log, end));
        match done {
            Ok(zeroed) => {
                (self.cleaning.wal_holds_erased, self.cleaning.has_failed) = (zeroed > 0, false);
                self.cleaning.scrub = (!round.has_ended()).then_some(round);
            }
            Err(error) => {
                // A round reads every page, also those that nobody may ever ask for. To take no more writes because of one
                // would end the node at each of its starts, which go through the pages again.
                let error = if is_of_reading(&error) { error } else { self.assess(error) };
                self.cleaning.note_failure(&error, "copies of erased entries may be left in the database");
                // What else stands in the way will do so again: the next start tries it.
                if !matches!(error, StoreError::NoRoom) {
                    (self.cleaning.scrub, self.cleaning.has_failed) = (None, false);
                }
            }
        }
    }
}

/// Whether a page could not be read, or is damaged, which says nothing of what was written. A disk that says itself that
/// it failed to read is damage to SQLite as well.
fn is_of_reading(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt { .. } => true,
        StoreError::Sqlite { source } => source.sqlite_extended_error_code() == Some(ffi::SQLITE_IOERR_READ),
        _ => false,
    }
}

/// Has the transaction that deletes what must not survive say so: a start after a crash goes through the pages, too.
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
    // Nobody is to be waited for: it is tried again.
    connection.busy_timeout(Duration::ZERO)?;
    // The first column is 1 when somebody was in the way: that is no error for SQLite.
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(schema::BUSY)?;
    Ok(busy? == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a full disk would be tried, and told of, two hundred times in a second.
    #[test]
    fn what_has_failed_waits_longer_until_it_is_tried_again() {
        let cleaning = |has_failed| Cleaning {
            wal_holds_erased: false,
            scrub: Some(Scrub::new()),
            tried: Instant::now(),
            has_failed,
        };
        assert_eq!([false, true].map(|has_failed| cleaning(has_failed).next()), [Some(BETWEEN), Some(AGAIN)]);
        assert_eq!(Cleaning { scrub: None, ..cleaning(true) }.next(), None, "it was given up");
    }

    #[test]
    fn a_page_that_cannot_be_read_is_told_from_one_that_cannot_be_written() {
        let sqlite = |code| StoreError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [ffi::SQLITE_IOERR_READ, ffi::SQLITE_CORRUPT] {
            assert!(is_of_reading(&sqlite(code)), "{code}");
        }
        for code in [ffi::SQLITE_IOERR, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_FULL] {
            assert!(!is_of_reading(&sqlite(code)), "{code}");
        }
    }
}
