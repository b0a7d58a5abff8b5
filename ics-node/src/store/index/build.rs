//! Opening the index: whether it is usable, and which part of the log it still lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use super::MERGE_POSTINGS;
use super::file::{self, Progress};
use crate::store::damage;
use crate::store::error::StoreError;
use crate::store::schema::{self, File};
use crate::store::sight::Show;
use crate::store::table;
use crate::store::types::{DomainNumber, Position};
use crate::store::wal::beside;
use crate::store::{KeysOf, gone, sync_names};

/// After this many entries, catching up records its progress even if they had few keys.
const MERGE_ENTRIES: u64 = 100_000;

/// Opens the index, rebuilding it if it is missing, damaged or made from another log, and brings it up to the sizes of
/// the domains.
pub(crate) fn open(
    path: &Path,
    log: &Connection,
    domains: &BTreeMap<DomainNumber, u64>,
    keys_of: &KeysOf,
) -> Result<Connection, StoreError> {
    if is_stale(path) {
        tracing::info!("the index is built again from the log: a copy was emptied, or `ics fsck --repair` does it");
        remove(path)?;
    }
    let mut index = match usable(path, log, domains) {
        Ok(index) => index,
        // The index is derived: an unusable one is rebuilt, even one written by a newer version.
        Err(reason @ (StoreError::Corrupt { .. } | StoreError::Newer { .. })) => {
            tracing::warn!(%reason, "the index is built again from the log");
            remove(path)?;
            schema::open_writer(File::Index, path)?
        }
        Err(error) => return Err(error),
    };
    for (domain, size) in domains {
        catch_up(&mut index, log, *domain, *size, keys_of)?;
    }
    Ok(index)
}

/// Records that the index is damaged, so that the next start rebuilds it.
pub(crate) fn mark_damaged(path: &Path) -> Result<(), StoreError> {
    let mark = beside(path, "-damaged");
    std::fs::write(&mark, []).map_err(StoreError::io(&mark))
}

/// Records that the index is to be rebuilt, though nothing is wrong with it.
pub(crate) fn mark_stale(path: &Path) -> Result<(), StoreError> {
    let mark = beside(path, "-stale");
    std::fs::write(&mark, []).map_err(StoreError::io(&mark))
}

/// Whether it is to be rebuilt for that reason.
pub(crate) fn is_stale(path: &Path) -> bool {
    beside(path, "-stale").exists()
}

/// Records durably that the index holds postings of what is being erased.
pub(crate) fn mark_erasing(path: &Path) -> Result<(), StoreError> {
    let mark = beside(path, "-erasing");
    std::fs::write(&mark, []).map_err(StoreError::io(&mark))?;
    path.parent().map_or(Ok(()), sync_names)
}

/// Removes that record, when it no longer does.
pub(crate) fn unmark(path: &Path) -> Result<(), StoreError> {
    let mark = beside(path, "-erasing");
    gone(&mark, std::fs::remove_file(&mark))
}

fn usable(path: &Path, log: &Connection, domains: &BTreeMap<DomainNumber, u64>) -> Result<Connection, StoreError> {
    if beside(path, "-damaged").exists() {
        return Err(StoreError::corrupt("a look-up met a damaged page of the index"));
    }
    if beside(path, "-erasing").exists() {
        return Err(StoreError::corrupt("the index may hold what was erased"));
    }
    // SQLite removes the write-ahead log when a database is closed properly.
    let closed_in_order = !beside(path, "-wal").exists();
    let index = schema::open_writer(File::Index, path)?;
    if !closed_in_order {
        let verdict = schema::quick_check(&index)?;
        if verdict != "ok" {
            return Err(StoreError::corrupt(format!("index: {verdict}")));
        }
    }
    for number in file::domains(&index)? {
        belongs(&index, log, number, domains)?;
    }
    // Each start reads what is filed as damaged; if a row with that is itself damaged, no start would succeed.
    domains.keys().try_for_each(|domain| damage::first(log, &index, *domain).map(drop))?;
    Ok(index)
}

/// Checks that the index of a domain was made from this log, and not from one that has since been replaced by a copy.
fn belongs(
    index: &Connection,
    log: &Connection,
    number: u32,
    domains: &BTreeMap<DomainNumber, u64>,
) -> Result<(), StoreError> {
    let other = || StoreError::corrupt(format!("the index of domain number {number} is of another log"));
    let (domain, size) = DomainNumber::new(number).and_then(|n| domains.get_key_value(&n)).ok_or_else(other)?;
    let progress = file::progress(index, *domain)?.ok_or_else(other)?;
    let last = progress.upto.checked_sub(1).filter(|last| last < size).ok_or_else(other)?;
    let leaves = table::leaves(log, *domain, last, last + 1)?;
    if leaves == [progress.leaf] { Ok(()) } else { Err(other()) }
}

/// Indexes the entries that the index lacks. After a crash, only what was not yet merged has to be read again.
fn catch_up(
    index: &mut Connection,
    log: &Connection,
    domain: DomainNumber,
    size: u64,
    keys_of: &KeysOf,
) -> Result<(), StoreError> {
    let from = file::progress(index, domain)?.map_or(0, |progress| progress.upto);
    if from < size {
        tracing::info!(domain = domain.get(), from, size, "indexing");
        if from == 0 {
            file_filled(log, domain, keys_of)?;
        }
    }
    let mut postings = Vec::new();
    let mut progress = BTreeMap::new();
    table::scan_entries(log, domain, from..size, Show::Logged, |entry| {
        let position = Position::new(domain, entry.index);
        postings.extend(keys_of(&entry).into_iter().map(|key| (key, position)));
        let upto = entry.index + 1;
        progress.insert(domain, Progress { upto, leaf: entry.leaf });
        if postings.len() >= MERGE_POSTINGS || (upto - from).is_multiple_of(MERGE_ENTRIES) {
            postings.sort_unstable();
            file::merge(index, [core::mem::take(&mut postings)], &progress, &BTreeSet::new())?;
        }
        Ok(true)
    })?;
    postings.sort_unstable();
    file::merge(index, [postings], &progress, &BTreeSet::new())
}

/// Entries that were filled in later are found by keys stored beside the log, not in the index. When the index is
/// rebuilt, for example because there are now more kinds of keys, these are refreshed too.
fn file_filled(log: &Connection, domain: DomainNumber, keys_of: &KeysOf) -> Result<(), StoreError> {
    let transaction = log.unchecked_transaction()?;
    let filled = table::all_filled(&transaction, domain)?;
    // What was damaged when it was last looked at need not be now.
    table::remove_filled(&transaction, domain, damage::key())?;
    for index in filled {
        let Some(entry) = table::entry(&transaction, domain, index, Show::Unsettled)? else { continue };
        for key in keys_of(&entry) {
            table::insert_filled(&transaction, domain, key, index)?;
        }
    }
    Ok(transaction.commit()?)
}

/// Removes the index and all files beside it.
fn remove(path: &Path) -> Result<(), StoreError> {
    let files = ["-wal", "-shm", "", "-damaged", "-erasing", "-stale"].map(|end| beside(path, end));
    files.iter().try_for_each(|file| gone(file, std::fs::remove_file(file)))
}
