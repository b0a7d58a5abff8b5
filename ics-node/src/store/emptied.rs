//! Copies of domains in a store that is not open: how much they hold, and emptying one so that all of it is copied
//! again.

use std::fs::File;
use std::path::Path;

use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;
use rusqlite::Connection;

use super::backup::open_log;
use super::desk::{Fork, forks_of};
use super::error::StoreError;
use super::follow::follow_from_the_start;
use super::heads::HeadFiles;
use super::sight::Show;
use super::types::{DOMAIN_ENTRIES, DomainInfo, Part, Position, StoredEntry};
use super::wal::open_log_to_write;
use super::write::in_transaction;
use super::{INDEX_FILE, LOG_FILE, SEEN_DIR, index, lock, table, witnessed};

/// How many forks of a domain are read at once.
const FORKS_READ: usize = 20;
/// How many forks of all domains not held here are read at once.
const FORKS_OF_OTHERS: usize = 10_000;

/// A domain in the store of a directory, and how many entries it has; `None` if there is no store, or no domain of that
/// name in it. Another process may be using the store.
///
/// # Errors
/// When the store cannot be read.
pub fn held(dir: &Path, name: &DomainName) -> Result<Option<(DomainInfo, u64)>, StoreError> {
    let log = match open_log(dir) {
        Err(StoreError::NotFound { .. }) => return Ok(None),
        other => other?,
    };
    let Some(info) = domain_in(&log, name)? else { return Ok(None) };
    let size = table::head(&log, info.number)?.map_or(0, |head| head.size);
    Ok(Some((info, size)))
}

fn domain_in(log: &Connection, name: &DomainName) -> Result<Option<DomainInfo>, StoreError> {
    Ok(table::domains(log)?.into_iter().map(|(info, _)| info).find(|info| info.name == *name))
}

/// The first forks of a domain that were seen, according to the store in a directory, even if the domain is not held
/// there. Another process may be using the store.
///
/// # Errors
/// When the store cannot be read.
pub fn forks_in(dir: &Path, name: &DomainName) -> Result<Vec<Fork>, StoreError> {
    match held(dir, name)? {
        Some((info, _)) => forks_of(&open_log(dir)?, Some(info.number), FORKS_READ),
        None if !dir.join(LOG_FILE).exists() => Ok(Vec::new()),
        None => {
            let mut forks = forks_of(&open_log(dir)?, None, FORKS_OF_OTHERS)?;
            forks.retain(|fork| is_of(&fork.ours, name));
            Ok(forks)
        }
    }
}

/// Whether a note names a log of that domain as its origin.
fn is_of(note: &str, name: &DomainName) -> bool {
    let origin = note.lines().next().and_then(|line| line.parse::<Origin>().ok());
    origin.is_some_and(|origin| origin.domain == *name)
}

/// Passes all entries of a domain in the store of a directory to `take`, in order, including those not shown yet; none
/// if the store does not know the domain. Another process may be using the store.
///
/// # Errors
/// When the store cannot be read.
pub fn scan_copy(dir: &Path, name: &DomainName, mut take: impl FnMut(StoredEntry)) -> Result<(), StoreError> {
    let Some((info, size)) = held(dir, name)? else { return Ok(()) };
    table::scan_entries(&open_log(dir)?, info.number, 0..size, Show::Unsettled, |entry| {
        take(entry);
        Ok(true)
    })
}

/// Empties the copy of a domain in the store of a directory, and returns how many entries it had. What stays is its pin
/// (until another is given, [`super::Store::pin`]), its alarms, the evidence of forks, and what waits to be sent to its
/// home. Domains here that follow it begin again, since the new copy need not match the old one. The next start
/// rebuilds the index; no other process may be using the store.
///
/// # Errors
/// When there is no such domain, this node is its home, another process uses the store, or the database fails.
pub fn empty_copy(dir: &Path, name: &DomainName) -> Result<u64, StoreError> {
    let (_lock, mut log) = open_alone(dir)?;
    let info = domain_in(&log, name)?.ok_or_else(|| StoreError::not_found(format!("domain `{name}`")))?;
    if info.part != Part::Mirror {
        return Err(StoreError::refused(format!("this node is the home of `{name}`: nobody else can supply it again")));
    }
    let size = table::head(&log, info.number)?.map_or(0, |head| head.size);
    // Before the log is emptied: what the index leads to will be gone.
    index::build::mark_stale(&dir.join(INDEX_FILE))?;
    in_transaction(&mut log, |log| empty(log, &info))?;
    Ok(size)
}

/// Forgets what the store in a directory knows about logs of a domain that others have shown, so that another log is
/// accepted. Returns the size of the largest, or `None` if it knew of none. Domains here that follow it begin again. No
/// other process may be using the store.
///
/// # Errors
/// When there is no store, another process uses it, or the database or a file fails.
pub fn forget_seen(dir: &Path, name: &DomainName) -> Result<Option<u64>, StoreError> {
    let (_lock, mut log) = open_alone(dir)?;
    let known = in_transaction(&mut log, |log| {
        follow_from_the_start(log, name)?;
        witnessed::forget(log, name)
    })?;
    // What is in only one of the two places counts too, since this may be repeated after a failure.
    let on_file = HeadFiles::open(&dir.join(SEEN_DIR))?.forget(name)?;
    Ok(known.max(on_file))
}

/// Opens the log of a store for writing, and keeps other processes out until the lock is dropped.
fn open_alone(dir: &Path) -> Result<(File, Connection), StoreError> {
    let path = dir.join(LOG_FILE);
    if !path.exists() {
        return Err(StoreError::not_found(format!("store in `{}`", dir.display())));
    }
    let lock = lock(dir)?;
    Ok((lock, open_log_to_write(&path)?))
}

fn empty(log: &Connection, DomainInfo { number: domain, name, .. }: &DomainInfo) -> Result<(), StoreError> {
    table::remove_entries(log, *domain, &(0..DOMAIN_ENTRIES))?;
    let range = [Position::new(*domain, 0).0, Position::new(*domain, DOMAIN_ENTRIES).0];
    log.execute("DELETE FROM without_effect WHERE position >= ?1 AND position < ?2", range)?;
    for table in ["tile", "head", "sight", "doubt", "unconfirmed", "given_up"] {
        log.execute(&format!("DELETE FROM {table} WHERE domain = ?1"), [domain.get()])?;
    }
    follow_from_the_start(log, name)
}
