//! Making proofs from tiles.

use std::collections::BTreeMap;

use super::tree::{Tree, TreeError};
use super::{fold_peaks, parents};
use crate::log::hash::Hash;
use crate::log::tile::TileId;

/// Makes proofs in a tree. It keeps every tile that it has read, with the nodes inside (16 KiB each), so it is made for
/// one batch of proofs and then dropped.
pub struct Prover<'t, R> {
    tree: &'t Tree,
    read: R,
    /// By level and index of a tile: its 8 rows of nodes, beginning with its own hashes.
    tiles: BTreeMap<(u8, u64), Vec<Vec<Hash>>>,
    /// Roots over ranges that are not complete subtrees: those at the right edge, which all proofs of a batch share.
    edges: BTreeMap<(u64, u64), Hash>,
}

impl<'t, R: FnMut(TileId) -> Option<Vec<u8>>> Prover<'t, R> {
    pub(super) const fn new(tree: &'t Tree, read: R) -> Self {
        Self { tree, read, tiles: BTreeMap::new(), edges: BTreeMap::new() }
    }

    /// The proof that leaf `index` is in the tree of `size` leaves; see [`Tree::inclusion_proof`].
    ///
    /// # Errors
    /// When the index or size lies outside the tree, or a tile is missing.
    pub fn inclusion(&mut self, index: u64, size: u64) -> Result<Vec<Hash>, TreeError> {
        self.check_within(size)?;
        if index >= size {
            return Err(TreeError::OutsideTree { asked: index, size });
        }
        let (mut from, mut to) = (0, size);
        let mut path = Vec::with_capacity(size.checked_ilog2().unwrap_or_default() as usize + 1);
        while to - from > 1 {
            let middle = split(from, to);
            if index < middle {
                path.push(self.range(middle, to)?);
                to = middle;
            } else {
                path.push(self.range(from, middle)?);
                from = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// The proof that the tree of `old` leaves is the beginning of the one of `new`; see [`Tree::consistency_proof`].
    ///
    /// # Errors
    /// When `old` is larger than `new`, or `new` larger than the tree, or a tile is missing.
    pub fn consistency(&mut self, old: u64, new: u64) -> Result<Vec<Hash>, TreeError> {
        self.check_within(new)?;
        if old > new {
            return Err(TreeError::OutsideTree { asked: old, size: new });
        }
        if old == 0 || old == new {
            return Ok(Vec::new());
        }
        let (mut from, mut to) = (0, new);
        let mut path = Vec::new();
        while old != to {
            let middle = split(from, to);
            if old <= middle {
                path.push(self.range(middle, to)?);
                to = middle;
            } else {
                path.push(self.range(from, middle)?);
                from = middle;
            }
        }
        // If nothing was split off on the left, the node reached is the older tree itself, whose root is known.
        if from > 0 {
            path.push(self.range(from, to)?);
        }
        path.reverse();
        Ok(path)
    }

    /// The root that the tree had when it was of this size.
    ///
    /// # Errors
    /// When the tree was never that large, or a tile is missing.
    pub fn root_at(&mut self, size: u64) -> Result<Hash, TreeError> {
        self.check_within(size)?;
        self.range(0, size)
    }

    const fn check_within(&self, size: u64) -> Result<(), TreeError> {
        if size > self.tree.size() {
            return Err(TreeError::OutsideTree { asked: size, size: self.tree.size() });
        }
        Ok(())
    }

    /// The root over leaves `from` to `to`, where `from` is a multiple of the smallest power of two not below their
    /// number, as is always the case where RFC 6962 splits.
    fn range(&mut self, from: u64, to: u64) -> Result<Hash, TreeError> {
        if (to - from).is_power_of_two() {
            let height = (to - from).ilog2();
            return self.node(height, from >> height);
        }
        if let Some(root) = self.edges.get(&(from, to)) {
            return Ok(*root);
        }
        let mut start = from;
        let mut peaks = Vec::new();
        for height in (0..u64::BITS).rev().filter(|height| ((to - from) >> height) & 1 == 1) {
            peaks.push(self.node(height, start >> height)?);
            start += 1 << height;
        }
        let root = fold_peaks(&peaks);
        self.edges.insert((from, to), root);
        Ok(root)
    }

    /// The root of the complete subtree of 2^`height` leaves with this index at that height.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, TreeError> {
        let level = u8::try_from(height / 8).unwrap_or(u8::MAX);
        let (row, columns) = (height % 8, 8 - height % 8);
        let tile = index >> columns;
        let column = usize::try_from(index & ((1 << columns) - 1)).unwrap_or(usize::MAX);
        let rows = self.rows(level, tile)?;
        let missing = TreeError::MissingTile(TileId::full(level, tile));
        rows.get(row as usize).and_then(|row| row.get(column)).copied().ok_or(missing)
    }

    fn rows(&mut self, level: u8, index: u64) -> Result<&[Vec<Hash>], TreeError> {
        use std::collections::btree_map::Entry;
        match self.tiles.entry((level, index)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let hashes = self.tree.hashes(level, index, &mut self.read)?;
                let rows = core::iter::successors(Some(hashes), |row| Some(parents(row))).take(8).collect();
                Ok(place.insert(rows))
            }
        }
    }
}

/// Where RFC 6962 splits a range: after the largest power of two of leaves that is smaller than their number.
const fn split(from: u64, to: u64) -> u64 {
    from + (1 << (to - from - 1).ilog2())
}
