//! Entries that are not what was logged.
//!
//! Nobody can tell what such an entry was about: a rebuilt index would not find it at all, or only by what its damaged
//! bytes say now, and what it blocked would be let through. So it is filed as damaged, and its domain answers nothing
//! and takes no writes until `ics restore` or `ics domain recopy` has put this right. An entry damaged after it was
//! indexed is found as before, and its readers notice ([`Met`]). If a domain cannot be loaded without a damaged entry,
//! it is silent from that start on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ics_core::log::entry::leaf_data;
use rusqlite::Connection;

use super::KeysOf;
use super::error::StoreError;
use super::index::{build, file};
use super::sight::Show;
use super::state::{DomainState, Published};
use super::table;
use super::types::{Content, DOMAIN_ENTRIES, DomainInfo, DomainNumber, Key, Position, StoredEntry};
use crate::locked::Locked as _;

/// Whether an entry is what was logged, as far as its content is here.
pub(crate) fn is_sound(entry: &StoredEntry) -> bool {
    let fits = |content: &Content| leaf_data(&content.salt, &entry.header, &content.body) == entry.leaf;
    entry.content.as_ref().is_none_or(fits)
}

/// Returns an entry if it is what was logged: a damaged one may parse just as well. If it is stored as one without
/// effect, a separate record must confirm that, since it may have been a block.
pub(crate) fn checked(log: &Connection, entry: StoredEntry) -> Result<StoredEntry, StoreError> {
    if !is_sound(&entry) {
        return Err(StoreError::corrupt(format!("entry {} is not what was logged", entry.index)));
    }
    if entry.content.is_some() && !entry.effective && !table::is_without_effect(log, &entry)? {
        return Err(StoreError::corrupt(format!("entry {} has lost its effect", entry.index)));
    }
    Ok(entry)
}

/// The key under which damaged entries are filed. No other key's input begins with this byte.
pub(crate) fn key() -> Key {
    Key::of(&[0xff])
}

/// Gives the keys of sound entries unchanged, and files damaged ones under the key of damage alone.
pub(crate) fn filed(keys_of: KeysOf) -> KeysOf {
    Arc::new(move |entry: &StoredEntry| if is_sound(entry) { keys_of(entry) } else { vec![key()] })
}

/// Marks the domains that have a damaged entry, after the index was brought up to date.
pub(crate) fn note(published: &Published, log: &Connection, index: &Connection) -> Result<(), StoreError> {
    for state in published.all() {
        if let Some(entry) = first(log, index, state.info.number)? {
            silence(published, &state, entry);
        }
    }
    Ok(())
}

/// Silences a domain with a damaged entry: it answers nothing and takes no writes.
pub(crate) fn silence(published: &Published, state: &DomainState, entry: u64) {
    let damaged = state.with_damage(entry);
    if let Err(error) = damaged.check_sound() {
        tracing::error!(%error, "a domain is silent");
    }
    published.put(damaged);
}

/// The first entry of a domain that is not what was logged, whatever the index says. Reads the whole log.
pub(crate) fn seek(log: &Connection, state: &DomainState) -> Result<Option<u64>, StoreError> {
    let (all, show) = (0..state.head.size, Show::Settled(state.sight.settled));
    let mut found = None;
    table::scan_entries(log, state.info.number, all, show, |entry| {
        let index = entry.index;
        match checked(log, entry) {
            Ok(_) => {}
            Err(StoreError::Corrupt { .. }) => found = Some(index),
            Err(error) => return Err(error),
        }
        Ok(found.is_none())
    })?;
    Ok(found)
}

/// The first damaged entry of a domain, among those appended and those filled in.
pub(crate) fn first(log: &Connection, index: &Connection, domain: DomainNumber) -> Result<Option<u64>, StoreError> {
    let (start, end) = (Position::new(domain, 0), Position::new(domain, DOMAIN_ENTRIES));
    let logged = file::read(index, key(), start, end, 1)?.positions;
    let filled = table::filled(log, domain, &[key()], 0..DOMAIN_ENTRIES)?;
    Ok(logged.first().map(|position| position.index()).into_iter().chain(filled).min())
}

/// Where something is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Index,
    Log,
}

impl Place {
    /// What the damage means, and how to repair it.
    const fn advice(self) -> &'static str {
        match self {
            Self::Index => {
                "the index is damaged and may have led to a block, so nothing can be read that this part of it leads \
                 to; the next start builds the index again, as `ics fsck --repair` does while the node is stopped"
            }
            Self::Log => {
                "it is damaged on this node's disk and may have been a block, so what rests on it cannot be read; `ics \
                 fsck` shows all that is damaged (`ics fsck --repair` repairs only the index), `ics restore COPY` \
                 restores a copy, and `ics domain recopy` copies another node's domain again"
            }
        }
    }
}

/// The error for an index that leads to an entry which says nothing of what is looked for. While its file is being
/// checked, nothing is recorded.
pub(crate) fn misled(entry: u64) -> StoreError {
    StoreError::corrupt(format!("the index leads to entry {entry}, which says nothing about what is looked for"))
}

/// The damage found since the start, the first for each domain and place. It is logged once; while there is any, the
/// node is not ready and raises alarms.
#[derive(Debug)]
pub(crate) struct Met {
    /// The path of the index file.
    index: PathBuf,
    found: Mutex<BTreeMap<(DomainNumber, Place), String>>,
}

impl Met {
    pub(crate) const fn new(index: PathBuf) -> Self {
        Self { index, found: Mutex::new(BTreeMap::new()) }
    }

    /// Passes on a result; if it reports damage, that is recorded.
    pub(crate) fn noted<T>(
        &self,
        domain: &DomainInfo,
        place: Place,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Err(StoreError::Corrupt { what }) = &result {
            self.note(domain, place, what);
        }
        result
    }

    /// Records that the index led to a wrong entry, and returns the error.
    pub(crate) fn misled(&self, domain: &DomainInfo, entry: u64) -> StoreError {
        let damage = misled(entry);
        if let StoreError::Corrupt { what } = &damage {
            self.note(domain, Place::Index, what);
        }
        damage
    }

    /// Records that the index does not lead to an entry under one of its keys, and returns the error.
    pub(crate) fn unfound(&self, domain: &DomainInfo, entry: u64) -> StoreError {
        let what = format!("entry {entry} is not found by one of its keys");
        self.note(domain, Place::Index, &what);
        StoreError::corrupt(what)
    }

    /// The damage found in a domain, in words.
    pub(crate) fn of(&self, domain: DomainNumber) -> Vec<String> {
        let found = self.found.locked();
        found.range((domain, Place::Index)..=(domain, Place::Log)).map(|(_, text)| text.clone()).collect()
    }

    fn note(&self, domain: &DomainInfo, place: Place, what: &str) {
        if place == Place::Index
            && let Err(error) = build::mark_damaged(&self.index)
        {
            tracing::error!(%error, "the next start does not know that the index is damaged");
        }
        let mut found = self.found.locked();
        if let Entry::Vacant(first) = found.entry((domain.number, place)) {
            let text = format!("{what}: {}", place.advice());
            tracing::error!(domain = %domain.name, "{text}");
            first.insert(text);
        }
    }
}
