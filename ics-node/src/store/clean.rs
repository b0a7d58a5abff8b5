//! Makes sure that erased data survive nowhere: neither in the write-ahead log nor in the unallocated parts of the
//! file's pages.

use std::time::{Duration, Instant};

use rusqlite::{Connection, ffi};

use super::error::StoreError;
use super::schema;
use super::scrub::Scrub;
use super::writer::Writer;

/// The time between two attempts to empty the write-ahead log, and before anything that failed is tried again.
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
    /// Whether another pass stays noted as due when this one ends.
    is_due_again: bool,
    tried: Instant,
    /// Whether the last attempt failed; only the first of several failures is logged as a warning.
    has_failed: bool,
}

impl Cleaning {
    /// What a process that was killed may have left to do.
    pub(crate) fn after_start(log: &Connection) -> Result<Self, StoreError> {
        let scrub = is_due(log)?.then(Scrub::new);
        let (is_due_again, has_failed) = (false, false);
        Ok(Self { wal_holds_erased: true, scrub, is_due_again, tried: Instant::now(), has_failed })
    }

    /// How long the next step waits for a pause between writes; `None` if there is nothing to do.
    pub(crate) fn next(&self) -> Option<Duration> {
        match self {
            Self { wal_holds_erased: true, .. } | Self { scrub: Some(_), has_failed: true, .. } => Some(AGAIN),
            Self { scrub: Some(_), .. } => Some(BETWEEN),
            _ => None,
        }
    }

    /// Notes a failure, and logs a warning unless the step before failed too: a full disk stays full for hours.
    fn note_failure(&mut self, error: &StoreError, what: &str) {
        if core::mem::replace(&mut self.has_failed, true) {
            tracing::debug!(%error, "{what}");
        } else {
            tracing::warn!(%error, "{what}");
        }
    }

    /// Whether the next step is taken although jobs wait: if something always comes in, there is no other time.
    pub(crate) fn is_overdue(&self) -> bool {
        self.next().is_some() && self.tried.elapsed() >= AGAIN
    }
}

impl Writer {
    /// Notes that something was deleted that must not survive. The transaction of the deletion has called [`note_due`].
    pub(crate) fn note_erased(&mut self) {
        (self.cleaning.wal_holds_erased, self.cleaning.is_due_again) = (true, false);
        self.cleaning.scrub = Some(self.cleaning.scrub.map_or(Scrub::new(), Scrub::again));
    }

    /// As [`Writer::note_erased`], for what may stay until the next pass. One that is under way must not delete the
    /// note when it ends: it may have passed copies already.
    pub(crate) fn note_forgotten(&mut self) {
        self.cleaning.is_due_again = self.cleaning.scrub.is_some();
    }

    /// Begins a pass if one was noted as due.
    pub(crate) fn note_if_due(&mut self) -> Result<(), StoreError> {
        if self.cleaning.scrub.is_none() && is_due(&self.log)? {
            self.note_erased();
        }
        Ok(())
    }

    /// Finishes cleaning before the store closes, unless that takes long: what a command erases that opens the store
    /// itself is gone when it ends. What fails is left to the next start.
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

    /// Takes the next step. Everything that was committed must be on disk, since it may be copied into the database.
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

    /// Empties the write-ahead log. While a reader needs it, this is tried again.
    fn empty_wal(&mut self) {
        match truncate_wal(&self.log) {
            Ok(true) => (self.cleaning.wal_holds_erased, self.cleaning.has_failed) = (false, false),
            Ok(false) => tracing::debug!("readers keep an erased entry in the write-ahead log for the moment"),
            // This syncs like any commit: after a failure the data may be lost even though the next sync reports
            // success.
            Err(error) => {
                let error = self.assess(error);
                self.cleaning.note_failure(&error, "an erased entry is still in the write-ahead log");
            }
        }
    }

    /// Cleans the next pages. What is zeroed there reaches the file when the write-ahead log is emptied, which comes
    /// next.
    fn scrub(&mut self) {
        let Some(mut round) = self.cleaning.scrub else { return };
        let is_due_again = self.cleaning.is_due_again;
        let at_end = |log: &Connection| if is_due_again { Ok(()) } else { end(log) };
        let done = super::writer::sync_with_commit(&self.log, true).and_then(|()| round.step(&self.log, at_end));
        match done {
            Ok(zeroed) => {
                (self.cleaning.wal_holds_erased, self.cleaning.has_failed) = (zeroed > 0, false);
                self.cleaning.scrub = (!round.has_ended()).then_some(round);
            }
            Err(error) => {
                // A pass reads every page, also those that nobody may ever ask for. If one unreadable page stopped all
                // writes, the node would end at each of its starts, which go through the pages again.
                let error = if is_of_reading(&error) { error } else { self.assess(error) };
                self.cleaning.note_failure(&error, "copies of erased entries may be left in the database");
                // Any other obstacle would recur: the next start tries again.
                if !matches!(error, StoreError::NoRoom) {
                    (self.cleaning.scrub, self.cleaning.has_failed) = (None, false);
                }
            }
        }
    }
}

/// Whether a page could not be read or is damaged, which says nothing about what was written. If the disk itself
/// reports that it failed to read, that too is damage to SQLite.
fn is_of_reading(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt { .. } => true,
        StoreError::Sqlite { source } => source.sqlite_extended_error_code() == Some(ffi::SQLITE_IOERR_READ),
        _ => false,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    /// It may have passed copies of that already.
    #[test]
    fn a_pass_leaves_the_note_of_what_was_forgotten_while_it_was_under_way() {
        let dir = tempfile::tempdir().expect("dir");
        let store = Store::of_tests(dir.path());
        let is_due_at_rest = || {
            let began = Instant::now();
            while !store.with_writer(|writer| Ok(writer.cleaning.next().is_none())).expect("is asked") {
                assert!(began.elapsed() < Duration::from_secs(60), "nobody cleans it");
                std::thread::sleep(Duration::from_millis(10));
            }
            store.with_writer(|writer| is_due(&writer.log)).expect("is asked")
        };
        let forgets = |writer: &mut Writer| {
            writer.note_erased();
            writer.note_forgotten();
            note_due(&writer.log)
        };
        store.with_writer(forgets).expect("is noted");
        assert!(is_due_at_rest());
        store.clean_if_due().expect("begins");
        assert!(!is_due_at_rest());
    }

    /// Otherwise a full disk would be tried again, and logged, two hundred times a second.
    #[test]
    fn what_has_failed_waits_longer_until_it_is_tried_again() {
        let cleaning = |has_failed| Cleaning {
            wal_holds_erased: false,
            scrub: Some(Scrub::new()),
            is_due_again: false,
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
