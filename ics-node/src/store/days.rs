//! On which days a node has looked at its clock, and so what is over for long.
//!
//! What is deleted some time after its end cannot be brought back, so no single look decides: each day on which the
//! node looks is noted, and what is over for long was over on [`KEPT_DAYS`] of them. A clock that is ahead, even by
//! years, adds one day for each that it is ahead for, and these are forgotten once it is right again.

use ics_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::Store;
use super::columns::{millis, time};
use super::error::StoreError;

/// On how many days the node sees that something is over before it counts as over for long.
const KEPT_DAYS: u32 = 30;
/// The milliseconds of a day.
pub(super) const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

impl Store {
    /// The time before which whatever ended is over for long; `None` if the node has not seen enough days. This one is
    /// noted, and if it is new, copies of what was deleted before are removed from the file.
    ///
    /// # Errors
    /// When the database fails.
    pub fn long_ago(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        // Only looking is free: an idle node writes nothing.
        if !self.shared.pool.read(|reader| is_noted(&reader.log, now))? {
            self.desk(move |log| note(log, now))?;
            self.clean_if_due()?;
        }
        self.shared.pool.read(|reader| long_ago(&reader.log))
    }
}

/// Whether this day is noted already, and none that has yet to come.
fn is_noted(connection: &Connection, now: Timestamp) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT max(at) FROM day")?;
    let newest: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(newest.map(time).is_some_and(|newest| newest <= now && now.millis_since(newest) < DAY_MILLIS))
}

/// Notes this day. Those that have yet to come are of a clock that was ahead.
pub(super) fn note(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let at = millis(now);
    connection.prepare_cached("DELETE FROM day WHERE at > ?1")?.execute([at])?;
    if !is_noted(connection, now)? {
        connection.prepare_cached("INSERT INTO day (at) VALUES (?1)")?.execute([at])?;
        // Nobody asks for more of them.
        let sql = "DELETE FROM day WHERE at < (SELECT at FROM day ORDER BY at DESC LIMIT 1 OFFSET ?1)";
        connection.prepare_cached(sql)?.execute([KEPT_DAYS])?;
    }
    Ok(())
}

/// The time before which whatever ended is over for long, once this day is noted.
pub(super) fn long_ago(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT at FROM day ORDER BY at DESC LIMIT 1 OFFSET ?1")?;
    let found: Option<i64> = statement.query_row([KEPT_DAYS], |row| row.get(0)).optional()?;
    Ok(found.map(time))
}
