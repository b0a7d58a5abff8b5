//! Reading: domains, heads, entries, tiles, proofs, look-ups. Everything is as of the last durable commit.

use core::ops::Range;
use std::time::{Duration, Instant};

use ics_core::log::Hash;
use ics_core::log::merkle::Tree;
use ics_core::log::tile::TileId;
use ics_core::vocabulary::DomainName;

use super::damage::{self, Place};
use super::error::StoreError;
use super::index::Page;
use super::sight::{Show, with_filled};
use super::state::{DomainState, Erasures, with_tiles};
use super::table;
use super::types::{DomainInfo, DomainNumber, Head, Key, Reach, Standing, StoredEntry};
use super::{Shared, Store};
use crate::background::breathe_among;

/// How long erasures under way are waited for: after that the disk must be failing.
const ERASURES_AWAITED: Duration = Duration::from_secs(1);
/// The pause between two looks at them.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

impl Store {
    /// All domains, in the order in which they were made.
    #[must_use]
    pub fn domains(&self) -> Vec<DomainInfo> {
        self.shared.published.all().iter().map(|state| state.info.clone()).collect()
    }

    /// A domain by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn domain(&self, name: &DomainName) -> Result<DomainInfo, StoreError> {
        let state = self.shared.published.by_name(name);
        state.map(|state| state.info.clone()).ok_or_else(|| StoreError::not_found(format!("domain `{name}`")))
    }

    /// How far a domain's log goes.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn head(&self, domain: DomainNumber) -> Result<Head, StoreError> {
        Ok(self.shared.published.get(domain)?.head.clone())
    }

    /// What has been erased of a domain so far: to be asked before reading, and compared after that.
    pub(crate) fn erasures(&self, domain: DomainNumber) -> Erasures {
        self.shared.erasing.of(domain)
    }

    /// Waits until the erasures of a domain that are under way are shown, which is a matter of one sync; returns
    /// whether they are. If no more is written until a restart, that is not waited for.
    pub(crate) fn await_erasures(&self, domain: DomainNumber) -> bool {
        let (before, began) = (self.erasures(domain), Instant::now());
        while !self.erasures(domain).are_over_since(before) {
            if began.elapsed() >= ERASURES_AWAITED || self.shared.check_writable().is_err() {
                return false;
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        true
    }

    /// How far answers from a domain reach: its last checkpoint, unless the domain is damaged or behind what this node
    /// has signed.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn reach(&self, domain: DomainNumber) -> Result<Option<Reach>, StoreError> {
        let state = self.shared.published.get(domain)?;
        let is_silent = matches!(state.standing, Standing::Behind { .. }) || state.check_sound().is_err();
        let seal = state.head.seal.as_ref().filter(|_| !is_silent);
        Ok(seal.map(|seal| Reach { size: seal.size, root: seal.root, cosigned_at: seal.cosigned_at }))
    }

    /// Whether a domain may be written.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn standing(&self, domain: DomainNumber) -> Result<Standing, StoreError> {
        Ok(self.shared.published.get(domain)?.standing.clone())
    }

    /// Checks that a domain can be read, as far as is known since the index was last built or caught up: a damaged
    /// entry may have been a block.
    ///
    /// # Errors
    /// The damage; or when there is no such domain.
    pub fn check_sound(&self, domain: DomainNumber) -> Result<(), StoreError> {
        self.shared.published.get(domain)?.check_sound()
    }

    /// Silences a domain if one of its entries is damaged, and returns whether one is: for callers who could not load
    /// the domain from its log. Reads all of the log.
    ///
    /// # Errors
    /// When there is no such domain, or the database fails.
    pub(crate) fn fall_silent(&self, domain: DomainNumber) -> Result<bool, StoreError> {
        let state = self.shared.published.get(domain)?;
        let damaged = self.shared.pool.read(|reader| damage::seek(&reader.log, &state))?;
        if let Some(entry) = damaged {
            damage::silence(&self.shared.published, &state, entry);
        }
        Ok(damaged.is_some())
    }

    /// The damage found in a domain since the start, with the way to repair it, for the operator.
    pub(crate) fn damage_met(&self, domain: DomainNumber) -> Vec<String> {
        self.shared.met.of(domain)
    }

    /// Records that the index led to an entry that says nothing of what was looked for, and returns the error.
    pub(crate) fn misled(&self, domain: DomainNumber, entry: u64) -> StoreError {
        self.shared.published.get(domain).map_or_else(|error| error, |state| self.shared.met.misled(&state.info, entry))
    }

    /// An entry.
    ///
    /// # Errors
    /// When there is none at this index, it is not what was logged, or the database fails.
    pub fn entry(&self, domain: DomainNumber, index: u64) -> Result<StoredEntry, StoreError> {
        let mut entries = self.entries_at(domain, &[index])?;
        entries.pop().ok_or_else(|| StoreError::not_found(format!("entry {index}")))
    }

    /// Entries at the given indices, in that order.
    ///
    /// # Errors
    /// When there is none at one of them, one is not what was logged, or the database fails.
    pub fn entries_at(&self, domain: DomainNumber, indices: &[u64]) -> Result<Vec<StoredEntry>, StoreError> {
        self.entries_as(domain, indices, None)
    }

    /// As [`Store::entries_at`], with what was filled in and has not taken effect yet.
    ///
    /// # Errors
    /// As [`Store::entries_at`].
    pub fn entries_held(&self, domain: DomainNumber, indices: &[u64]) -> Result<Vec<StoredEntry>, StoreError> {
        self.entries_as(domain, indices, Some(Show::Unsettled))
    }

    fn entries_as(
        &self,
        domain: DomainNumber,
        indices: &[u64],
        show: Option<Show>,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let state = self.shared.published.get(domain)?;
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let show = show.unwrap_or(Show::Settled(state.sight.settled));
        let missing = |index| StoreError::not_found(format!("entry {index} in `{}`", state.info.name));
        let entries = self.shared.pool.read(|reader| {
            // One transaction for all, so that SQLite takes its locks only once. A single read has its own.
            let _transaction = (indices.len() > 1).then(|| reader.log.unchecked_transaction()).transpose()?;
            let read = |index: &u64| {
                if *index >= state.head.size {
                    return Err(missing(*index));
                }
                let entry = table::entry(&reader.log, domain, *index, show)?.ok_or_else(|| missing(*index))?;
                damage::checked(&reader.log, entry)
            };
            indices.iter().map(read).collect()
        });
        self.shared.met.noted(&state.info, Place::Log, entries)
    }

    /// The entries from `from` on, in order: at most `limit`, and at most `max_bytes` of headers and bodies, but at
    /// least one if there is one.
    ///
    /// # Errors
    /// When there is no such domain, one of them is not what was logged, or the database fails.
    pub fn entries(
        &self,
        domain: DomainNumber,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let state = self.shared.published.get(domain)?;
        let (end, show) = (state.head.size, Show::Settled(state.sight.settled));
        let mut entries = Vec::new();
        let mut bytes = 0;
        let read = self.shared.pool.read(|reader| {
            table::scan_entries(&reader.log, domain, from..end, show, |entry| {
                bytes += entry.header.len() + entry.content.as_ref().map_or(0, |content| content.body.len());
                let fits = entries.len() < limit && (bytes <= max_bytes || entries.is_empty());
                if fits {
                    entries.push(damage::checked(&reader.log, entry)?);
                }
                Ok(fits)
            })
        });
        self.shared.met.noted(&state.info, Place::Log, read)?;
        Ok(entries)
    }

    /// The leaf data of the entries in a range, as far as the log goes: what entry bundles are made of.
    ///
    /// # Errors
    /// When there is no such domain, or the database fails.
    pub fn leaves(&self, domain: DomainNumber, range: Range<u64>) -> Result<Vec<[u8; 32]>, StoreError> {
        let end = range.end.min(self.shared.published.get(domain)?.head.size);
        self.shared.pool.read(|reader| table::leaves(&reader.log, domain, range.start, end))
    }

    /// The bytes of a tile of the tree, 32 times its width; also partial tiles of earlier sizes.
    ///
    /// # Errors
    /// When the tree does not reach that far, or the database fails.
    pub fn tile(&self, domain: DomainNumber, tile: TileId) -> Result<Vec<u8>, StoreError> {
        let found = self.with_tree(domain, |state, read| Ok(state.tree.tile(tile, read)))?;
        found.ok_or_else(|| StoreError::not_found(format!("{tile}")))
    }

    /// The tree over the present entries, to which more can be added.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn tree(&self, domain: DomainNumber) -> Result<Tree, StoreError> {
        Ok(self.shared.published.get(domain)?.tree.clone())
    }

    /// The proof that an entry is in the tree of the first `size` entries.
    ///
    /// # Errors
    /// When index or size lie outside the log, or the database fails.
    pub fn inclusion_proof(&self, domain: DomainNumber, index: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
        self.with_tree(domain, |state, read| state.tree.inclusion_proof(index, size, read))
    }

    /// Inclusion proofs of several entries for one size; reads every tile once.
    ///
    /// # Errors
    /// As [`Store::inclusion_proof`].
    pub fn inclusion_proofs(
        &self,
        domain: DomainNumber,
        indices: &[u64],
        size: u64,
    ) -> Result<Vec<Vec<Hash>>, StoreError> {
        self.with_tree(domain, |state, read| {
            let mut prover = state.tree.prover(read);
            let prove = |index: &u64| {
                breathe_among(indices.len());
                prover.inclusion(*index, size)
            };
            indices.iter().map(prove).collect()
        })
    }

    /// The proof that the tree of `old` entries is a prefix of the one of `new` entries.
    ///
    /// # Errors
    /// When the sizes lie outside the log or are in the wrong order, or the database fails.
    pub fn consistency_proof(&self, domain: DomainNumber, old: u64, new: u64) -> Result<Vec<Hash>, StoreError> {
        self.with_tree(domain, |state, read| state.tree.consistency_proof(old, new, read))
    }

    /// The root that a domain had at a size.
    ///
    /// # Errors
    /// When the log does not reach that far, or the database fails.
    pub fn root_at(&self, domain: DomainNumber, size: u64) -> Result<Hash, StoreError> {
        self.with_tree(domain, |state, read| state.tree.prover(read).root_at(size))
    }

    fn with_tree<T>(
        &self,
        domain: DomainNumber,
        work: impl FnOnce(
            &DomainState,
            &mut dyn FnMut(TileId) -> Option<Vec<u8>>,
        ) -> Result<T, ics_core::log::merkle::TreeError>,
    ) -> Result<T, StoreError> {
        let state = self.shared.published.get(domain)?;
        self.shared.pool.read(|reader| with_tiles(&reader.log, domain, |read| work(&state, read)))
    }

    /// The first `limit` entries in a range of indices, in log order, that have all the keys or collide with them: the
    /// caller must compare the bodies. The range is cut to what the log has; a page may be short and yet have a next
    /// one.
    ///
    /// # Errors
    /// When there is no such domain or it is damaged, or the database fails. If the index is damaged, the next start
    /// rebuilds it.
    pub fn positions(
        &self,
        domain: DomainNumber,
        keys: &[Key],
        range: Range<u64>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let Range { start, end } = range;
        let state = self.shared.published.get(domain)?;
        state.check_sound()?;
        let range = start..end.min(state.head.size);
        let Shared { pool, index, met, .. } = &*self.shared;
        let found = pool.read(|reader| index.search(&reader.index, domain, keys, range.clone(), limit));
        let page = met.noted(&state.info, Place::Index, found)?;
        if !state.sight.is_partial() {
            return Ok(page);
        }
        let all = pool.read(|reader| with_filled(&reader.log, domain, keys, range, limit, page));
        met.noted(&state.info, Place::Log, all)
    }

    /// As [`Store::positions`], through as many pages as it takes: fewer than `limit` are all that there are. For
    /// callers who must not decide by an empty page.
    ///
    /// # Errors
    /// As [`Store::positions`].
    pub fn all_positions(
        &self,
        domain: DomainNumber,
        keys: &[Key],
        range: Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let mut indices = Vec::new();
        let mut from = Some(range.start);
        while let Some(start) = from.filter(|_| indices.len() < limit) {
            let page = self.positions(domain, keys, start..range.end, limit - indices.len())?;
            indices.extend(page.indices);
            from = page.next;
        }
        Ok(indices)
    }
}
