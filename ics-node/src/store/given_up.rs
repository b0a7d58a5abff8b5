//! Giving up the last entries of a copy, which no checkpoint covers yet: they were judged without something that whoever
//! brought them had kept back, and are copied again.

use core::ops::Range;
use std::sync::Arc;

use ics_core::log::merkle::Tree;
use rusqlite::{Connection, params};

use super::error::StoreError;
use super::sight::Show;
use super::state::{DomainState, with_tiles};
use super::types::{Change, DomainNumber, Key, Part, Position};
use super::write::in_transaction;
use super::writer::Writer;
use super::{KeysOf, Store, table};

/// How many entries are given up at once, at most.
const AT_ONCE: u64 = 16_384;
/// Levels of tiles, at most: each covers 256 times as many entries as the one below.
const LEVELS: u32 = 8;

impl Store {
    /// Gives up the last entries of a copy that its checkpoint does not cover, or some of them; returns how many are
    /// held then. `doubt` is what rests on the word of others than the home, as JSON, once all of them are gone. Nobody
    /// else may write to the domain meanwhile, and what is known of it beside the store is to be read anew.
    ///
    /// # Errors
    /// When there is no such copy, or the database or the index fails.
    pub fn give_up_unshown(&self, domain: DomainNumber, doubt: Option<String>) -> Result<u64, StoreError> {
        self.with_writer(move |writer| {
            let state = writer.shared.published.get(domain)?;
            if state.info.part != Part::Mirror {
                return Err(StoreError::refused(format!("this node is the home of `{}`", state.info.name)));
            }
            let size = state.head.size.saturating_sub(AT_ONCE).max(shown(&state));
            if size < state.head.size {
                cut(writer, &state, size, doubt.as_deref())?;
            }
            Ok(size)
        })
    }
}

/// How many entries the checkpoint covers.
fn shown(state: &DomainState) -> u64 {
    state.head.seal.as_ref().map_or(0, |seal| seal.size)
}

/// Leaves this many entries. If the node is killed half-way, the next start builds the index again.
fn cut(writer: &mut Writer, before: &DomainState, size: u64, doubt: Option<&str>) -> Result<(), StoreError> {
    let (domain, shared) = (before.info.number, Arc::clone(&writer.shared));
    let gone = size..before.head.size;
    let mut after = before.clone();
    after.tree = with_tiles(&writer.log, domain, |read| Tree::restore(size, read))?;
    (after.head.size, after.head.root) = (size, after.tree.root());
    let last = table::leaves(&writer.log, domain, size.saturating_sub(1), size)?.pop().unwrap_or_default();
    let postings = postings(&writer.log, domain, gone.clone(), &shared.keys_of)?;
    let forgets = !postings.is_empty();
    if forgets {
        shared.index.will_forget(&shared.index_path).map_err(|error| writer.assess(error))?;
    }
    let deleted = in_transaction(&mut writer.log, |log| {
        delete(log, domain, &gone)?;
        // Until all are gone, it is still in doubt what may be read of the rest.
        if size == shown(before) {
            table::put_doubt(log, domain, doubt)?;
        }
        table::put_head(log, domain, &after.head)
    });
    if let Err(error) = deleted.map_err(|error| writer.assess(error)) {
        if forgets && shared.check_writable().is_ok() {
            shared.index.will_not_forget(&shared.index_path);
        }
        return Err(error);
    }
    (shared.announce)(&Change { domain, size, entries: &[], amends: true });
    shared.published.put(after);
    shared.index.forget_last(postings, domain, (size, last)).map_err(|error| shared.halt(&error))
}

/// What leads to entries in the index.
fn postings(
    log: &Connection,
    domain: DomainNumber,
    gone: Range<u64>,
    keys_of: &KeysOf,
) -> Result<Vec<(Key, Position)>, StoreError> {
    let mut postings = Vec::new();
    table::scan_entries(log, domain, gone, Show::Logged, |entry| {
        let position = Position::new(domain, entry.index);
        postings.extend(keys_of(&entry).into_iter().map(|key| (key, position)));
        Ok(true)
    })?;
    Ok(postings)
}

fn delete(log: &Connection, domain: DomainNumber, gone: &Range<u64>) -> Result<(), StoreError> {
    table::remove_entries(log, domain, gone)?;
    for level in 0..LEVELS {
        // The first tile that is no longer full.
        let first = gone.start.checked_shr(8 * (level + 1)).unwrap_or_default();
        let sql = "DELETE FROM tile WHERE domain = ?1 AND level = ?2 AND number >= ?3";
        log.execute(sql, params![domain.get(), level, first.cast_signed()])?;
    }
    Ok(())
}
