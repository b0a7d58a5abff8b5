//! The growing tree.

use std::collections::BTreeMap;

use super::prover::Prover;
use super::{fold_peaks, parents};
use crate::log::hash::Hash;
use crate::log::merkle::node_hash;
use crate::log::tile::{TILE_WIDTH, TileId};

/// A Merkle tree that only grows, without its past: the right edge of every level of tiles (at most 255 hashes each),
/// and the full tiles that have not been taken yet.
///
/// Adding a leaf costs one node hash on average (a million take under half a second); the root costs as many as the
/// size has bits set. A clone is cheap (at most 32 KiB at four billion leaves, once full tiles are taken), so a batch
/// can be tried on one that is then dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    size: u64,
    /// By level: the hashes of its partial tile.
    edge: Vec<Vec<Hash>>,
    /// The roots of the complete subtrees that make up the tree, one for every bit of the size, largest first.
    peaks: Vec<Hash>,
    /// Full tiles that wait for [`Tree::take_full_tiles`].
    full: BTreeMap<TileId, Vec<u8>>,
}

/// Why a tree could not be restored or give a proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A tile that the tree's size demands is missing.
    #[error("the tile {0} is missing")]
    MissingTile(TileId),
    /// A tile has another length than its width demands.
    #[error("the tile {0} has the wrong length")]
    TileLength(TileId),
    /// The proof asked for reaches outside the tree.
    #[error("{asked} lies outside a tree of {size} leaves")]
    OutsideTree {
        /// The index or size asked for.
        asked: u64,
        /// Leaves in the tree.
        size: u64,
    },
}

impl Tree {
    /// A tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root hash (RFC 6962, section 2.1); for an empty tree, the hash of no leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold_peaks(&self.peaks)
    }

    /// Adds a leaf by its leaf hash. Tiles that it completes wait for [`Tree::take_full_tiles`].
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut height = 0_u8;
        loop {
            // A complete subtree of 256^n leaves is one hash of a tile of level n.
            if height.is_multiple_of(8) {
                self.push_to_level(height / 8, hash);
            }
            if self.size.checked_shr(height.into()).is_none_or(|rest| rest & 1 == 0) {
                break;
            }
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            height += 1;
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    fn push_to_level(&mut self, level: u8, hash: Hash) {
        let tile = TileId::full(level, self.size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0));
        if self.edge.len() <= usize::from(level) {
            self.edge.push(Vec::new());
        }
        let Some(edge) = self.edge.get_mut(usize::from(level)) else { return };
        edge.push(hash);
        if edge.len() == usize::from(TILE_WIDTH) {
            self.full.insert(tile, to_bytes(edge));
            edge.clear();
        }
    }

    /// The tiles that have become full since the last call, each 8,192 bytes, to be stored permanently. Proofs find
    /// them here until then, and in storage afterwards.
    #[must_use]
    pub fn take_full_tiles(&mut self) -> Vec<(TileId, Vec<u8>)> {
        core::mem::take(&mut self.full).into_iter().collect()
    }

    /// Builds the tree of this size from what was stored.
    ///
    /// `read` is asked for the partial tile of level 0, if the size has one (the leaf hashes of the last size mod 256
    /// entries), and for at most 255 full tiles of every level, whose roots make the edge above them. Partial tiles of
    /// higher levels need not be stored. The caller compares the root with the stored head.
    ///
    /// # Errors
    /// When a tile is missing or has the wrong length.
    pub fn restore(size: u64, mut read: impl FnMut(TileId) -> Option<Vec<u8>>) -> Result<Self, TreeError> {
        let mut tree = Self { size, ..Self::default() };
        let mut count = size;
        let mut level = 0_u8;
        while count > 0 {
            let (index, width) = (count / u64::from(TILE_WIDTH), count % u64::from(TILE_WIDTH));
            tree.edge.push(match level.checked_sub(1) {
                None => read_leaves(index, width, &mut read)?,
                Some(below) => {
                    (count - width..count).map(|tile| read_root(below, tile, &mut read)).collect::<Result<_, _>>()?
                }
            });
            count = index;
            level += 1;
        }
        tree.peaks = tree.edge.iter().rev().flat_map(|edge| peaks_of_row(edge)).collect();
        Ok(tree)
    }

    /// The proof that leaf `index` is in the tree of `size` leaves, which is this tree or an earlier state of it (RFC
    /// 6962, section 2.1.1). For many proofs at once, [`Tree::prover`] reads and hashes every tile only once.
    ///
    /// # Errors
    /// When the index or size lies outside the tree, or a tile is missing.
    pub fn inclusion_proof(
        &self,
        index: u64,
        size: u64,
        read: impl FnMut(TileId) -> Option<Vec<u8>>,
    ) -> Result<Vec<Hash>, TreeError> {
        self.prover(read).inclusion(index, size)
    }

    /// The proof that the tree of `old` leaves is the beginning of the one of `new` leaves (RFC 6962, section 2.1.2);
    /// empty if `old` is 0 or equals `new`.
    ///
    /// # Errors
    /// When `old` is larger than `new`, or `new` larger than the tree, or a tile is missing.
    pub fn consistency_proof(
        &self,
        old: u64,
        new: u64,
        read: impl FnMut(TileId) -> Option<Vec<u8>>,
    ) -> Result<Vec<Hash>, TreeError> {
        self.prover(read).consistency(old, new)
    }

    /// A prover for this tree. `read` yields full tiles from storage; the right edge comes from the tree.
    pub fn prover<R: FnMut(TileId) -> Option<Vec<u8>>>(&self, read: R) -> Prover<'_, R> {
        Prover::new(self, read)
    }

    /// The bytes of a tile as C2SP tlog-tiles serves it, including partial tiles of earlier sizes; `None` if the tree
    /// does not reach that far or storage does not have it.
    #[must_use]
    pub fn tile(&self, id: TileId, read: impl FnMut(TileId) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        let hashes = self.hashes(id.level, id.index, read).ok()?;
        hashes.get(..usize::from(id.width)).filter(|hashes| !hashes.is_empty()).map(to_bytes)
    }

    /// All hashes that the tree has in the tile of this level and index.
    pub(super) fn hashes(
        &self,
        level: u8,
        index: u64,
        mut read: impl FnMut(TileId) -> Option<Vec<u8>>,
    ) -> Result<Vec<Hash>, TreeError> {
        let below = self.size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let full = TileId::full(level, index);
        match index.cmp(&(below / u64::from(TILE_WIDTH))) {
            core::cmp::Ordering::Greater => Ok(Vec::new()),
            core::cmp::Ordering::Equal => Ok(self.edge.get(usize::from(level)).cloned().unwrap_or_default()),
            core::cmp::Ordering::Less => read_tile(full, &mut |id| self.full.get(&id).cloned().or_else(|| read(id))),
        }
    }
}

fn to_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn read_tile(id: TileId, read: &mut impl FnMut(TileId) -> Option<Vec<u8>>) -> Result<Vec<Hash>, TreeError> {
    let bytes = read(id).ok_or(TreeError::MissingTile(id))?;
    id.hashes(&bytes).map_err(|_| TreeError::TileLength(id))
}

fn read_leaves(
    index: u64,
    width: u64,
    read: &mut impl FnMut(TileId) -> Option<Vec<u8>>,
) -> Result<Vec<Hash>, TreeError> {
    let width = u16::try_from(width).unwrap_or(TILE_WIDTH);
    if width == 0 { Ok(Vec::new()) } else { read_tile(TileId { level: 0, index, width }, read) }
}

/// The root of a full tile.
fn read_root(level: u8, index: u64, read: &mut impl FnMut(TileId) -> Option<Vec<u8>>) -> Result<Hash, TreeError> {
    let hashes = read_tile(TileId::full(level, index), read)?;
    Ok(fold_peaks(&peaks_of_row(&hashes)))
}

/// The roots of the complete subtrees over a row of nodes that starts at the left end of a subtree, largest first.
fn peaks_of_row(row: &[Hash]) -> Vec<Hash> {
    let mut peaks = Vec::new();
    let mut row = row.to_vec();
    while !row.is_empty() {
        if row.len() % 2 == 1 {
            peaks.extend(row.last());
        }
        row = parents(&row);
    }
    peaks.reverse();
    peaks
}
