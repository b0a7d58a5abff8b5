//! What a mirror holds of a domain of which it may not read everything.
//!
//! An entry that came as a bare leaf may be filled in later, and one that may no longer be read is deleted. What was
//! filled in is kept from readers until its round is settled, which happens together with the page that made it
//! readable; so they see each identity completely or not at all.

use core::ops::Range;
use std::collections::BTreeMap;

use rusqlite::Connection;

use super::draft::Draft;
use super::error::StoreError;
use super::follow::{follow_anew, follow_back};
use super::index::Page;
use super::table;
use super::transaction::WriteTx;
use super::types::{Content, DomainNumber, Key, StoredEntry};
use super::{KeysOf, Store};

/// A mark that stands for the rights of a reader: see `ics_sync::wire::Rights`.
pub type RightsMark = [u8; 16];

/// What a mirror may read of a domain, and how far changes of that have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sight {
    /// Its rights; `None` if it may read everything.
    pub rights: Option<RightsMark>,
    /// The last round of filling in that has taken effect.
    pub settled: i64,
    /// Whether a round is under way.
    pub unsettled: bool,
}

impl Sight {
    /// Whether the mirror has ever been refused anything.
    pub(crate) const fn is_partial(self) -> bool {
        self.rights.is_some() || self.settled > 0 || self.unsettled
    }
}

/// How an entry is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Its index.
    pub index: u64,
    /// Its leaf data.
    pub leaf: [u8; 32],
    /// Whether header and body are here.
    pub is_whole: bool,
}

/// The content of an entry that is held only as a leaf.
#[derive(Debug, Clone)]
pub struct Filling {
    /// Its index.
    pub index: u64,
    /// Its header, encoded.
    pub header: Vec<u8>,
    /// Salt and body.
    pub content: Content,
    /// The keys under which it is found.
    pub keys: Vec<Key>,
}

/// Which entries' contents a read of the table returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// Those that may be read once this round is settled.
    Settled(i64),
    /// All that are there: those that may be read, and those that may be when the present round is settled.
    Unsettled,
    /// Those that came with the log, whose postings are in the index.
    Logged,
}

impl Store {
    /// What this mirror may read of a domain.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn sight(&self, domain: DomainNumber) -> Result<Sight, StoreError> {
        Ok(self.shared.published.get(domain)?.sight)
    }

    /// What of a domain rests on the word of others than its home, as JSON.
    ///
    /// # Errors
    /// When the database fails.
    pub fn doubt(&self, domain: DomainNumber) -> Result<Option<String>, StoreError> {
        self.shared.pool.read(|reader| table::doubt(&reader.log, domain))
    }

    /// How the next entries from an index on are held, at most `limit`; only those in `among`, if that is given.
    ///
    /// # Errors
    /// When there is no such domain, or the database fails.
    pub fn holdings(
        &self,
        domain: DomainNumber,
        from: u64,
        among: Option<&[u64]>,
        limit: usize,
    ) -> Result<Vec<Holding>, StoreError> {
        let end = self.shared.published.get(domain)?.head.size;
        self.shared.pool.read(|reader| match among {
            None => table::holdings(&reader.log, domain, from..end, limit),
            Some(among) => {
                let mut found = Vec::new();
                for index in among.iter().filter(|index| (from..end).contains(index)).take(limit) {
                    found.extend(table::holdings(&reader.log, domain, *index..*index + 1, 1)?);
                }
                Ok(found)
            }
        })
    }

    /// Whether any of the entries with a key was deleted because this mirror may no longer read it: then what is held
    /// about the thing is not complete.
    ///
    /// # Errors
    /// When there is no such domain, or the database fails.
    pub fn is_lost(&self, domain: DomainNumber, key: Key) -> Result<bool, StoreError> {
        let state = self.shared.published.get(domain)?;
        if !state.sight.is_partial() {
            return Ok(false);
        }
        for index in self.all_positions(domain, &[key], 0..state.head.size, usize::MAX)? {
            if self.shared.pool.read(|reader| table::is_lost(&reader.log, domain, index))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Completes a page of a search with entries that were filled in since the index was built.
pub(crate) fn with_filled(
    log: &Connection,
    domain: DomainNumber,
    keys: &[Key],
    range: Range<u64>,
    limit: usize,
    page: Page,
) -> Result<Page, StoreError> {
    let reached = page.next.unwrap_or(range.end);
    let filled = table::filled(log, domain, keys, range.start..reached)?;
    if filled.is_empty() {
        return Ok(page);
    }
    let Page { mut indices, mut next } = page;
    indices.extend(filled);
    indices.sort_unstable();
    indices.dedup();
    if indices.len() > limit {
        indices.truncate(limit);
        next = indices.last().map(|last| last + 1);
    }
    Ok(Page { indices, next })
}

/// The changes that a group commit makes to earlier entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Amendments {
    pub(crate) filled: BTreeMap<u64, (StoredEntry, Vec<Key>)>,
    /// Entries that were judged again, and whether they have effect.
    pub(crate) judged: BTreeMap<u64, bool>,
    /// Entries that are deleted because they may no longer be read, with the keys under which they are known to be
    /// missing.
    pub(crate) lost: BTreeMap<u64, Vec<Key>>,
    /// The rights from now on; setting them makes everything filled in take effect.
    pub(crate) rights: Option<Option<RightsMark>>,
    /// What from now on rests on the word of others than the home.
    pub(crate) doubt: Option<Option<String>>,
    /// From which index domains that follow this one must look again.
    pub(crate) follow_back: Option<u64>,
    /// Whether the domain must look again, from the beginning, at everything that it follows.
    pub(crate) follows_anew: bool,
}

impl Amendments {
    pub(crate) fn is_empty(&self) -> bool {
        self.filled.is_empty() && self.judged.is_empty() && self.lost.is_empty() && self.rights.is_none()
    }

    /// Whether it changes what readers see of earlier entries.
    pub(crate) fn shows(&self) -> bool {
        !self.judged.is_empty() || !self.lost.is_empty() || self.rights.is_some()
    }

    /// Writes what is filled in; must precede erasures. By what a peer had said to be left of an entry it is found no
    /// longer.
    pub(crate) fn fill(
        &self,
        log: &Connection,
        domain: DomainNumber,
        sight: Sight,
        keys_of: &KeysOf,
    ) -> Result<(), StoreError> {
        let round = sight.settled + i64::from(self.rights.is_none());
        for (entry, keys) in self.filled.values() {
            if let Some(former) = table::entry(log, domain, entry.index, Show::Unsettled)? {
                for key in keys_of(&former) {
                    table::remove_filled_from(log, domain, key, entry.index)?;
                }
            }
            table::fill_entry(log, entry, round)?;
            for key in keys {
                table::insert_filled(log, domain, *key, entry.index)?;
            }
        }
        Ok(())
    }

    /// Writes everything else; lost entries have already been erased, with their keys.
    pub(crate) fn write(&self, log: &Connection, domain: DomainNumber, sight: Sight) -> Result<(), StoreError> {
        for (index, effective) in &self.judged {
            table::set_effective(log, domain, *index, *effective)?;
        }
        for (index, keys) in &self.lost {
            table::set_lost(log, domain, *index)?;
            for key in keys {
                table::insert_filled(log, domain, *key, *index)?;
            }
        }
        if !self.is_empty() {
            table::put_sight(log, domain, sight)?;
        }
        if let Some(doubt) = &self.doubt {
            table::put_doubt(log, domain, doubt.as_deref())?;
        }
        if self.follows_anew {
            follow_anew(log, domain)?;
        }
        self.follow_back.map_or(Ok(()), |index| follow_back(log, domain, index))
    }
}

impl Draft {
    /// The sight that the draft results in.
    pub(crate) fn sight(&self) -> Sight {
        let before = self.base.sight;
        match self.amendments.rights {
            Some(rights) => Sight { rights, settled: before.settled + 1, unsettled: false },
            None => Sight { unsettled: before.unsettled || !self.amendments.is_empty(), ..before },
        }
    }
}

impl WriteTx<'_> {
    /// What this mirror may read, as of the last commit.
    #[must_use]
    pub fn sight(&self) -> Sight {
        self.draft.base.sight
    }

    /// Fills in an entry that is held only as a leaf; readers see it when the round is settled.
    ///
    /// # Errors
    /// When there is no such entry, the content does not have its leaf, or the database fails.
    pub fn fill(&mut self, filling: Filling, effective: bool) -> Result<(), StoreError> {
        let Filling { index, header, content, keys } = filling;
        let held = table::entry(self.log, self.domain().number, index, Show::Unsettled)?;
        let held = held.ok_or_else(|| StoreError::not_found(format!("entry {index}")))?;
        if ics_core::log::entry::leaf_data(&content.salt, &header, &content.body) != held.leaf {
            return Err(StoreError::refused(format!("entry {index} has another leaf than what was to be filled in")));
        }
        if held.content.is_some() {
            return Ok(());
        }
        self.draft.bytes += header.len() + content.body.len();
        let entry = StoredEntry { effective, header, content: Some(content), ..held };
        self.draft.file(&keys, index);
        self.draft.amendments.filled.insert(index, (entry, keys));
        Ok(())
    }

    /// Notes what is said to be left of an erased entry that is held only as a leaf. From now on it is found by these
    /// keys, beside the log.
    ///
    /// # Errors
    /// When there is no such entry, or the database fails.
    pub fn leave(&mut self, index: u64, remnant: Vec<u8>, keys: Vec<Key>) -> Result<(), StoreError> {
        let held = self.entry(index)?;
        if held.content.is_some() || held.header == remnant {
            return Ok(());
        }
        self.draft.bytes += remnant.len();
        self.draft.file(&keys, index);
        let entry = StoredEntry { effective: false, header: remnant, ..held };
        self.draft.amendments.filled.insert(index, (entry, keys));
        Ok(())
    }

    /// Records again whether an entry has effect: entries filled in before it may have changed that.
    pub fn judge_again(&mut self, index: u64, effective: bool) {
        match self.draft.amendments.filled.get_mut(&index) {
            Some((entry, _)) => entry.effective = effective,
            None => drop(self.draft.amendments.judged.insert(index, effective)),
        }
    }

    /// Deletes header, salt and body of an entry that this mirror may no longer read, and all its keys. `keys` are
    /// those under which it is known to be missing from now on.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn lose(&mut self, index: u64, keys: Vec<Key>) -> Result<(), StoreError> {
        self.erase(index, Vec::new())?;
        self.draft.amendments.lost.insert(index, keys);
        Ok(())
    }

    /// Sets what this mirror may read from now on, and what of it rests on the word of others than the home, as JSON;
    /// everything filled in takes effect. With other rights, there may also be more to follow.
    pub fn settle(&mut self, rights: Option<RightsMark>, doubt: Option<String>) {
        if self.draft.base.sight.rights != rights {
            self.follow_back(0);
        }
        // Where the rights are the same and nothing waits to take effect, nothing changes for readers. Caches, directories
        // and copies of this copy would else begin anew with every page.
        let before = self.draft.sight();
        if before.rights != rights || before.unsettled {
            self.draft.amendments.rights = Some(rights);
        }
        self.doubt(doubt);
    }

    /// Sets what rests on the word of others than the home, as JSON; nothing takes effect by this.
    pub fn doubt(&mut self, doubt: Option<String>) {
        self.draft.amendments.doubt = Some(doubt);
    }
}
