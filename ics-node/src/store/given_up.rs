//! Giving up the last entries of a copy, which no checkpoint covers yet: they were judged without something that
//! whoever brought them had kept back, and are copied again.
//!
//! What erasures among them have erased is gone for good, also where a checkpoint covers it, while what they restate is
//! missing until they are copied again. Until then that is not all that is said, as if the erasures were held and not
//! shown yet.

use core::ops::Range;
use std::sync::Arc;

use ics_core::log::merkle::Tree;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::damage;
use super::error::StoreError;
use super::sight::Show;
use super::state::{DomainState, Published, with_tiles};
use super::types::{Change, DomainNumber, Key, Part, Position};
use super::write::in_transaction;
use super::writer::Writer;
use super::{KeysOf, Store, table};

/// How many entries are given up at once, at most.
const AT_ONCE: u64 = 16_384;
/// Levels of tiles, at most: each covers 256 times as many entries as the one below.
const LEVELS: u32 = 8;

impl Store {
    /// Gives up the last entries of a copy that its checkpoint does not cover, or some of them; returns how many of
    /// them are still held. `doubt` is what rests on the word of others than the home, as JSON, once all of them are
    /// gone, and `erased_upto` the index behind the last erasure among them. Nobody else may write to the domain
    /// meanwhile, and what is known of it beside the store is to be read anew.
    ///
    /// # Errors
    /// When there is no such copy, or the database or the index fails.
    pub fn give_up_unshown(
        &self,
        domain: DomainNumber,
        doubt: Option<String>,
        erased_upto: u64,
    ) -> Result<u64, StoreError> {
        self.with_writer(move |writer| {
            let state = writer.shared.published.get(domain)?;
            if state.info.part != Part::Mirror {
                return Err(StoreError::refused(format!("this node is the home of `{}`", state.info.name)));
            }
            let shown = shown(&state);
            let size = state.head.size.saturating_sub(AT_ONCE).max(shown);
            if size < state.head.size {
                cut(writer, &state, size, (doubt.as_deref(), erased_upto))?;
            }
            Ok(size.saturating_sub(shown))
        })
    }

    /// Up to which index erasures were given up that had erased something: what they restate is missing until a
    /// checkpoint covers as much again.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn given_up(&self, domain: DomainNumber) -> Result<u64, StoreError> {
        Ok(self.shared.published.get(domain)?.given_up)
    }
}

/// How many entries the checkpoint covers.
fn shown(state: &DomainState) -> u64 {
    state.head.seal.as_ref().map_or(0, |seal| seal.size)
}

/// Leaves this many entries. If the node is killed half-way, the next start builds the index again.
fn cut(
    writer: &mut Writer,
    before: &DomainState,
    size: u64,
    (doubt, erased_upto): (Option<&str>, u64),
) -> Result<(), StoreError> {
    let (domain, shared) = (before.info.number, Arc::clone(&writer.shared));
    let gone = size..before.head.size;
    let mut after = before.clone();
    after.tree = with_tiles(&writer.log, domain, |read| Tree::restore(size, read))?;
    (after.head.size, after.head.root) = (size, after.tree.root());
    after.given_up = before.given_up.max(erased_upto);
    let last = table::leaves(&writer.log, domain, size.saturating_sub(1), size)?.pop().unwrap_or_default();
    let postings = postings(&writer.log, domain, gone.clone(), &shared.keys_of)?;
    shared.index.check_merges()?;
    shared.index.will_forget(&shared.index_path).map_err(|error| writer.assess(error))?;
    let deleted = in_transaction(&mut writer.log, |log| {
        delete(log, domain, &gone)?;
        log.execute(
            "INSERT OR REPLACE INTO given_up VALUES (?1, ?2)",
            params![domain.get(), after.given_up.cast_signed()],
        )?;
        // Until all are gone, it is still in doubt what may be read of the rest.
        if size == shown(before) {
            table::put_doubt(log, domain, doubt)?;
        }
        table::put_head(log, domain, &after.head)
    });
    if let Err(error) = deleted.map_err(|error| writer.assess(error)) {
        if shared.check_writable().is_ok() {
            shared.index.will_not_forget(&shared.index_path);
        }
        return Err(error);
    }
    (shared.announce)(&Change { domain, size, entries: &[], amends: true });
    shared.published.put(after);
    shared.index.forget_last(postings, domain, (size, last)).map_err(|error| shared.halt(&error))
}

/// Reads at the start up to which index erasures of each domain were given up.
pub(crate) fn recall(published: &Published, log: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT upto FROM given_up WHERE domain = ?1";
    for state in published.all() {
        let upto = log.query_row(sql, [state.info.number.get()], |row| row.get::<_, i64>(0)).optional()?;
        if let Some(upto) = upto {
            let mut known = DomainState::clone(&state);
            known.given_up = upto.cast_unsigned();
            published.put(known);
        }
    }
    Ok(())
}

/// What leads to entries in the index, or would if they were damaged. So there is something to forget even where only
/// leaves were held, and the file says how far it goes before the same entries come again: if it said too much then,
/// the next start after a crash would take what has come for indexed.
fn postings(
    log: &Connection,
    domain: DomainNumber,
    gone: Range<u64>,
    keys_of: &KeysOf,
) -> Result<Vec<(Key, Position)>, StoreError> {
    let mut postings = Vec::new();
    table::scan_entries(log, domain, gone, Show::Logged, |entry| {
        let position = Position::new(domain, entry.index);
        let keys = keys_of(&entry).into_iter().chain([damage::key()]);
        postings.extend(keys.map(|key| (key, position)));
        Ok(true)
    })?;
    Ok(postings)
}

fn delete(log: &Connection, domain: DomainNumber, gone: &Range<u64>) -> Result<(), StoreError> {
    // What is recorded as without effect stays so: a reader who has an entry in hand would else take it for damaged.
    table::remove_entries(log, domain, gone)?;
    for level in 0..LEVELS {
        // The first tile that is no longer full.
        let first = gone.start.checked_shr(8 * (level + 1)).unwrap_or_default();
        let sql = "DELETE FROM tile WHERE domain = ?1 AND level = ?2 AND number >= ?3";
        log.execute(sql, params![domain.get(), level, first.cast_signed()])?;
    }
    Ok(())
}
