//! What a job of the writer sees and may do.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::log::Hash;
use ics_core::time::Timestamp;
use rusqlite::Connection;

use super::damage::{self, Met, Place};
use super::desk::is_alarmed;
use super::draft::{Call, Draft, DraftAlarm};
use super::error::StoreError;
use super::index::{Index, Reading};
use super::sight::{Show, with_filled};
use super::state::leads_to;
use super::table;
use super::types::{DomainInfo, Head, Key, NewEntry, Seal, StoredEntry};

/// One job's view of its domain: everything stored, and everything that earlier jobs of the same group commit have
/// added. No other job runs at the same time.
#[derive(Debug)]
pub struct WriteTx<'w> {
    pub(crate) draft: &'w mut Draft,
    pub(crate) log: &'w Connection,
    pub(crate) reading: &'w Reading,
    pub(crate) index: &'w Index,
    pub(crate) met: &'w Met,
}

impl WriteTx<'_> {
    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &DomainInfo {
        &self.draft.base.info
    }

    /// The head of the last commit, before anything that this group commit adds.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.draft.base.head
    }

    /// The number of entries so far, which is the index of the next one.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.draft.tree.size()
    }

    /// The root over the entries so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.draft.tree.root()
    }

    /// An entry.
    ///
    /// # Errors
    /// When there is none at this index, it is not what was logged, or the database fails.
    pub fn entry(&self, index: u64) -> Result<StoredEntry, StoreError> {
        let mut entry = match self.draft.entry(index) {
            Some(entry) => entry.clone(),
            None => {
                let stored = table::entry(self.log, self.domain().number, index, Show::Unsettled);
                let checked = |entry| damage::checked(self.log, entry);
                let checked = stored.and_then(|stored| stored.map(checked).transpose());
                self.met
                    .noted(self.domain(), Place::Log, checked)?
                    .ok_or_else(|| StoreError::not_found(format!("entry {index} in `{}`", self.domain().name)))?
            }
        };
        if let Some(effective) = self.draft.amendments.judged.get(&index) {
            entry.effective = *effective;
        }
        if let Some(remnant) = self.draft.erased.get(&index) {
            entry.header.clone_from(remnant);
            entry.content = None;
        }
        Ok(entry)
    }

    /// The first `limit` entries, in log order, that have all the keys or collide with them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn lookup(&self, keys: &[Key], limit: usize) -> Result<Vec<u64>, StoreError> {
        let mut indices = self.stored(keys, limit)?;
        let base = self.head().size;
        if self.draft.amendments.filled.is_empty() {
            indices.extend(self.draft.with_keys(keys).take(limit - indices.len()));
            return Ok(indices);
        }
        let filled = self.draft.with_keys(keys).take_while(|index| *index < base);
        let mut indices = indices.into_iter().chain(filled).collect::<BTreeSet<_>>();
        indices.extend(self.draft.with_keys(keys).skip_while(|index| *index < base));
        Ok(indices.into_iter().take(limit).collect())
    }

    /// As [`WriteTx::lookup`], in the log before this group commit, but without entries of which this commit stores
    /// something else than was there: those are found by the keys that they have now.
    fn stored(&self, keys: &[Key], limit: usize) -> Result<Vec<u64>, StoreError> {
        let mut indices = Vec::new();
        let mut from = Some(0);
        while let Some(start) = from.filter(|_| indices.len() < limit) {
            let range = start..self.head().size;
            let (domain, missing) = (self.domain().number, limit - indices.len());
            let found = self.index.search_in(self.reading, domain, keys, range.clone(), missing);
            let mut page = self.met.noted(self.domain(), Place::Index, found)?;
            if self.draft.base.sight.is_partial() {
                let filled = with_filled(self.log, domain, keys, range, missing, page);
                page = self.met.noted(self.domain(), Place::Log, filled)?;
            }
            let filled = &self.draft.amendments.filled;
            indices.extend(page.indices.into_iter().filter(|index| !filled.contains_key(index)));
            from = page.next;
        }
        Ok(indices)
    }

    /// Records that the index led to an entry that says nothing of what was looked for, and returns the error.
    pub(crate) fn misled(&self, entry: u64) -> StoreError {
        self.met.misled(self.domain(), entry)
    }

    /// Appends an entry and returns its index.
    ///
    /// # Errors
    /// When the domain is at its limit, entry 0 is not the one that was pinned, or a restored domain would grow beyond
    /// what was signed for it.
    pub fn append(&mut self, entry: NewEntry) -> Result<u64, StoreError> {
        self.append_with_leaf(entry).map(|(index, _)| index)
    }

    /// As [`WriteTx::append`]; also returns the entry's leaf data.
    ///
    /// # Errors
    /// As [`WriteTx::append`].
    pub fn append_with_leaf(&mut self, entry: NewEntry) -> Result<(u64, [u8; 32]), StoreError> {
        self.draft.append(entry)
    }

    /// Deletes salt, body and header of an entry, and all its keys except those that `keys_of` gives for `remnant`,
    /// which replaces the header; the leaf stays.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn erase(&mut self, index: u64, remnant: Vec<u8>) -> Result<(), StoreError> {
        self.entry(index)?;
        self.draft.erased.insert(index, remnant);
        Ok(())
    }

    /// Stores a checkpoint: at a mirror the home's, which must be for this size or a larger one; at the home one for
    /// exactly this size with new cosignatures, or one for a committed size that has waited for its witnesses.
    ///
    /// # Errors
    /// When it is for another size or has another root; nothing is stored if the job then gives up.
    pub fn seal(&mut self, seal: Seal) -> Result<(), StoreError> {
        let log = self.log;
        self.draft.seal(seal, |state, seal| leads_to(log, state, seal))
    }

    /// Says whether the checkpoint over what is appended needs witnesses. If so, it is not signed with the commit but
    /// when they are asked ([`Store::sign_head`](super::Store::sign_head)), and until then the last witnessed one is
    /// still shown.
    pub const fn wait_for_witnesses(&mut self, waits: bool) {
        self.draft.waits = waits;
    }

    /// Has something called at the moment at which readers come to see what the commit leaves of the domain: never if
    /// the commit fails or this job gives up, and only for the last job on the domain that says so. It must be brief
    /// and must not use the store, which is locked meanwhile. What takes long to free it returns: that is dropped after
    /// the lock.
    pub fn once_durable<T: 'static>(&mut self, call: impl Fn() -> T + Send + Sync + 'static) {
        self.draft.call = Some(Call(Arc::new(move || -> Box<dyn Any> { Box::new(call()) })));
    }

    /// Raises an alarm, stored together with what the job adds.
    pub fn alarm(&mut self, at: Timestamp, kind: &str, text: &str) {
        self.draft.alarms.push(DraftAlarm { at, kind: kind.to_owned(), text: text.to_owned() });
    }

    /// Raises an alarm unless the same one is already kept.
    ///
    /// # Errors
    /// When the database fails.
    pub fn alarm_once(&mut self, at: Timestamp, kind: &str, text: &str) -> Result<(), StoreError> {
        let is_raised = self.draft.alarms.iter().any(|alarm| alarm.kind == kind && alarm.text == text);
        if !is_raised && !is_alarmed(self.log, self.domain().number, kind, text)? {
            self.alarm(at, kind, text);
        }
        Ok(())
    }
}
