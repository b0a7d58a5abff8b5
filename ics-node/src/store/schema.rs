//! Connections and schemas: pragmas in the order that SQLite requires; migrations go forward only.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::fs::Access;
use rustix::io::Errno;

use super::error::StoreError;
use super::wal::wal_of;

/// Marks a database file as ours in its header (`PRAGMA application_id`): "ICSl", "ICSx", "ICSa".
const LOG_APPLICATION: i64 = 0x4943_536c;
const INDEX_APPLICATION: i64 = 0x4943_5378;
const ACME_APPLICATION: i64 = 0x4943_5361;

/// The steps from an empty file to the newest schema of `ics.db`; the first leads to `user_version` 1. They are never
/// changed, only added to: other installations have already gone through them.
const LOG_STEPS: &[&str] = &[
    include_str!("schema/log-1.sql"),
    include_str!("schema/log-2.sql"),
    include_str!("schema/log-3.sql"),
    include_str!("schema/log-4.sql"),
    include_str!("schema/log-5.sql"),
    include_str!("schema/log-6.sql"),
    include_str!("schema/log-7.sql"),
    include_str!("schema/log-8.sql"),
    include_str!("schema/log-9.sql"),
    include_str!("schema/log-10.sql"),
    include_str!("schema/log-11.sql"),
    include_str!("schema/log-12.sql"),
    include_str!("schema/log-13.sql"),
    include_str!("schema/log-14.sql"),
    include_str!("schema/log-15.sql"),
    include_str!("schema/log-16.sql"),
    include_str!("schema/log-17.sql"),
    include_str!("schema/log-18.sql"),
    include_str!("schema/log-19.sql"),
    include_str!("schema/log-20.sql"),
    include_str!("schema/log-21.sql"),
];
/// The index has no history, since it is derived: its one step makes it anew.
const INDEX_STEPS: &[&str] = &[include_str!("schema/index.sql")];
/// The version to which that step leads. To be raised when `index.sql` changes, or what entries are found by.
const INDEX_VERSION: i64 = 9;
const ACME_STEPS: &[&str] = &[
    include_str!("schema/acme-1.sql"),
    include_str!("schema/acme-2.sql"),
    include_str!("schema/acme-3.sql"),
    include_str!("schema/acme-4.sql"),
    include_str!("schema/acme-5.sql"),
    include_str!("schema/acme-6.sql"),
    include_str!("schema/acme-7.sql"),
    include_str!("schema/acme-8.sql"),
];

/// The page cache of a connection, in which the trees' inner pages stay. With a million entries there are some 150 of
/// them, of 8 KiB each, and each look-up also brings in a leaf that nobody will ask for again.
const CACHE_KIB: i64 = 4096;

/// How much of each file a connection maps into memory; the rest goes through the page cache. Writing connections map
/// as much as SQLite allows. Pages touched by readers count as the node's memory, separately for each connection: with
/// a large store they would exceed everything else that it keeps, while copying a page takes only a microsecond.
const WRITER_MAP_BYTES: i64 = 0x7fff_0000;
const READER_MAP_BYTES: i64 = 8 << 20;

/// How long a connection waits for another one's lock.
pub(crate) const BUSY: Duration = Duration::from_secs(10);

/// How much of the write-ahead log's file is kept after it was copied into the database.
const WAL_KEPT_BYTES: i64 = 16 << 20;

/// The files of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    /// `ics.db`: the log and everything else that cannot be derived. What is acknowledged has been fsynced.
    Log,
    /// `index.db`: derived. A power cut may lose its last transactions, but never its consistency.
    Index,
    /// `acme.db`: what ACME clients were told. Each transaction says whether it must be on disk.
    Acme,
}

impl File {
    const fn application(self) -> i64 {
        match self {
            Self::Log => LOG_APPLICATION,
            Self::Index => INDEX_APPLICATION,
            Self::Acme => ACME_APPLICATION,
        }
    }

    const fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Log => LOG_STEPS,
            Self::Index => INDEX_STEPS,
            Self::Acme => ACME_STEPS,
        }
    }

    /// The version to which the first step leads.
    const fn first_version(self) -> i64 {
        match self {
            Self::Log | Self::Acme => 1,
            Self::Index => INDEX_VERSION,
        }
    }

    const fn synchronous(self) -> &'static str {
        match self {
            Self::Log | Self::Acme => "FULL",
            Self::Index => "NORMAL",
        }
    }
}

/// Opens a file for writing, creates it if it is missing, and brings it to the newest schema.
pub(crate) fn open_writer(file: File, path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open_with_flags(path, flags() | OpenFlags::SQLITE_OPEN_CREATE)?;
    connection.busy_timeout(BUSY)?;
    // The page size takes effect only before anything is written, even by changing the journal mode.
    connection.pragma_update(None, "page_size", 8192)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::corrupt(format!("`{}` cannot use a write-ahead log", path.display())));
    }
    connection.pragma_update(None, "synchronous", file.synchronous())?;
    // An erased body must not survive in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    tune(&connection, WRITER_MAP_BYTES)?;
    migrate(file, path, &mut connection)?;
    Ok(connection)
}

/// Opens an existing file for reading only.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = (flags() | OpenFlags::SQLITE_OPEN_READ_ONLY).difference(OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = if is_frozen(path) {
        Connection::open_with_flags(immutable(path), flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(path, flags)?
    };
    connection.busy_timeout(BUSY)?;
    tune(&connection, READER_MAP_BYTES)?;
    Ok(connection)
}

/// Whether a file cannot change and has everything committed in it: its disk is mounted read-only, and there is nothing
/// in a write-ahead log beside it. The file is not opened to find out, since closing it again would release all locks
/// that this process has on it (fcntl(2)).
fn is_frozen(path: &Path) -> bool {
    let is_on_read_only_disk = rustix::fs::access(path, Access::WRITE_OK) == Err(Errno::ROFS);
    let has_commits_beside_it = std::fs::metadata(wal_of(path)).is_ok_and(|wal| wal.len() > 0);
    is_on_read_only_disk && !has_commits_beside_it
}

/// The URI with which SQLite creates no files beside a database; it needs those only to share the database with others.
fn immutable(path: &Path) -> String {
    format!("file:{}?immutable=1", percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC))
}

/// Makes a connection map as much of its file as the writing ones do: for the one with which the writer reads.
pub(crate) fn map_all(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection.pragma_update_and_check(None, "mmap_size", WRITER_MAP_BYTES, |_| Ok(()))?)
}

/// SQLite's verdict on the file's structure: `ok`, or the first thing that is wrong.
pub(crate) fn quick_check(connection: &Connection) -> Result<String, StoreError> {
    Ok(connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?)
}

/// Every connection is used by one thread at a time, so SQLite's own lock per connection is left out.
fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn tune(connection: &Connection, map_bytes: i64) -> Result<(), StoreError> {
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update_and_check(None, "mmap_size", map_bytes, |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Refuses databases of other programs and of newer versions of this one; returns the version of the schema.
pub(crate) fn check_known(file: File, path: &Path, connection: &Connection) -> Result<i64, StoreError> {
    let (found, known) = (pragma(connection, "user_version")?, newest(file));
    let application = pragma(connection, "application_id")?;
    if found > 0 && application != file.application() {
        return Err(StoreError::corrupt(format!("`{}` is a database of another program", path.display())));
    }
    if found > known {
        return Err(StoreError::Newer { file: path.to_owned(), found, known });
    }
    Ok(found)
}

/// The newest version of a schema.
pub(crate) fn newest(file: File) -> i64 {
    file.first_version() - 1 + i64::try_from(file.steps().len()).unwrap_or_default()
}

/// Applies the missing steps, each in its own transaction together with its version number: after a crash the schema is
/// as before or after a step.
fn migrate(file: File, path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let found = check_known(file, path, connection)?;
    for (version, step) in (file.first_version()..).zip(file.steps()).skip_while(|(version, _)| *version <= found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", file.application())?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

#[cfg(test)]
mod tests;
