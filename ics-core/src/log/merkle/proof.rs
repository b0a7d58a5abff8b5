//! Checking proofs. The order of hashes is that of RFC 6962; the procedures are those of RFC 9162.

use super::{empty_root, node_hash};
use crate::log::hash::Hash;

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index lies outside the tree.
    #[error("index {index} lies outside a tree of {size} leaves")]
    OutsideTree {
        /// The index to be proven.
        index: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// The supposedly older tree is the larger one.
    #[error("a tree of {old} leaves cannot be the beginning of a tree of {new}")]
    Shrunk {
        /// Leaves in the tree that should be older.
        old: u64,
        /// Leaves in the tree that should be newer.
        new: u64,
    },
    /// Too few or too many hashes for the sizes.
    #[error("the proof has {0} hashes, which is not the number for this index and size")]
    Length(usize),
    /// The hashes lead to another root.
    #[error("the proof does not lead to the root of the tree")]
    Root,
    /// The hashes lead to the root of the newer tree, but not to that of the older one: the newer tree begins
    /// differently. The hashes themselves prove this, as far as an older tree is not complete.
    #[error("the proof does not lead to the root of the older tree")]
    OldRoot,
}

/// How far a proof has climbed: the node's index, and the last index at the same height.
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    const fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    /// Whether the next hash of the proof is the left sibling. A node without a right sibling first rises to the height
    /// at which it has a left one.
    const fn sibling_is_left(&mut self) -> bool {
        if self.node & 1 == 0 && self.node != self.last {
            return false;
        }
        while self.node & 1 == 0 && self.node != 0 {
            self.up();
        }
        true
    }
}

/// Checks that `leaf` (a leaf hash) is number `index` of the tree with this size and root.
///
/// The proof is the audit path of RFC 6962, section 2.1.1, checked as in RFC 9162, section 2.1.3.2.
///
/// # Errors
/// When the index lies outside the tree, or the proof has the wrong length or leads to another root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutsideTree { index, size });
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        if climb.last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        hash = if climb.sibling_is_left() { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
        climb.up();
    }
    if climb.last != 0 {
        return Err(ProofError::Length(proof.len()));
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of size `old` with root `old_root` is the beginning of that of size `new` with root `new_root`.
///
/// The proof is that of RFC 6962, section 2.1.2, checked as in RFC 9162, section 2.1.4.2. It is empty for equal sizes,
/// whose roots must be equal, and from the empty tree, whose root must be the hash of no leaves.
///
/// # Errors
/// When the older tree is the larger one, or the proof has the wrong length or leads to other roots.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    if old == 0 || old == new {
        return verify_trivial_consistency(old, old_root, new, new_root, proof);
    }
    // A complete older tree is a node of the newer one; its root is known and not repeated in the proof.
    let length = || ProofError::Length(proof.len());
    let (first, rest) =
        if old.is_power_of_two() { (old_root, proof) } else { proof.split_first().ok_or_else(length)? };
    let mut climb = Climb { node: old - 1, last: new - 1 };
    while climb.node & 1 == 1 {
        climb.up();
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if climb.last == 0 {
            return Err(length());
        }
        if climb.sibling_is_left() {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        climb.up();
    }
    if climb.last != 0 {
        return Err(length());
    }
    // Hashes that do not lead to the newer root belong to no tree, and prove nothing about the older one.
    if new_hash != *new_root {
        return Err(ProofError::Root);
    }
    if old_hash == *old_root { Ok(()) } else { Err(ProofError::OldRoot) }
}

fn verify_trivial_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if !proof.is_empty() {
        return Err(ProofError::Length(proof.len()));
    }
    if old == 0 && *old_root != empty_root() {
        return Err(ProofError::OldRoot);
    }
    if old == new && old_root != new_root {
        return Err(ProofError::Root);
    }
    Ok(())
}
