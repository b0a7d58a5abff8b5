//! Entries that are not what was logged.
//!
//! Nobody can tell what such an entry spoke about: an index that is made anew would find it by nothing, or by what its
//! damaged bytes say now, and what it blocked would be let through. So it is filed as damaged, and nothing is answered of
//! its domain, nor written to it, until `ics restore` or `ics domain recopy` has put that right. What is damaged after it
//! came into the index is found as before, and met by whoever reads it.

use std::sync::Arc;

use ics_core::log::entry::leaf_data;
use rusqlite::Connection;

use super::KeysOf;
use super::error::StoreError;
use super::index::file;
use super::state::Published;
use super::table;
use super::types::{Content, DOMAIN_ENTRIES, DomainNumber, Key, Position, StoredEntry};

/// Whether an entry is what was logged, as far as its content is here.
pub(crate) fn is_sound(entry: &StoredEntry) -> bool {
    let fits = |content: &Content| leaf_data(&content.salt, &entry.header, &content.body) == entry.leaf;
    entry.content.as_ref().is_none_or(fits)
}

/// By what damaged entries are found. No other key begins with this tag.
pub(crate) fn key() -> Key {
    Key::of(&[0xff])
}

/// What entries are found by, where those that are damaged are found as such and by nothing else.
pub(crate) fn filed(keys_of: KeysOf) -> KeysOf {
    Arc::new(move |entry: &StoredEntry| if is_sound(entry) { keys_of(entry) } else { vec![key()] })
}

/// Notes which domains have a damaged entry, after the index was brought up to date.
pub(crate) fn note(published: &Published, log: &Connection, index: &Connection) -> Result<(), StoreError> {
    for state in published.all() {
        if let Some(entry) = first(log, index, state.info.number)? {
            let damaged = state.with_damage(entry);
            if let Err(error) = damaged.check_sound() {
                tracing::error!(%error, "a domain is silent");
            }
            published.put(damaged);
        }
    }
    Ok(())
}

/// The first damaged entry of a domain, among those that came with the log and those that were filled in.
pub(crate) fn first(log: &Connection, index: &Connection, domain: DomainNumber) -> Result<Option<u64>, StoreError> {
    let (start, end) = (Position::new(domain, 0), Position::new(domain, DOMAIN_ENTRIES));
    let logged = file::read(index, key(), start, end, 1)?.positions;
    let filled = table::filled(log, domain, &[key()], 0..DOMAIN_ENTRIES)?;
    Ok(logged.first().map(|position| position.index()).into_iter().chain(filled).min())
}
