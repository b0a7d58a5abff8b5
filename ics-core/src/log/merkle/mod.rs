//! The Merkle tree of RFC 6962, section 2.1: hashing, the growing tree, and proofs. RFC 9162, section 2.1, has the same
//! tree and proofs, and also specifies how proofs are checked.

mod proof;
mod prover;
mod tree;

pub use proof::{ProofError, verify_consistency, verify_inclusion};
pub use prover::Prover;
pub use tree::{Tree, TreeError};

use sha2::{Digest, Sha256};

use crate::log::hash::Hash;

/// The hash of a leaf: SHA-256(0x00 ‖ data). In a domain's log `data` is the entry's leaf data.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    Hash(Sha256::new_with_prefix([0]).chain_update(data).finalize().into())
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new_with_prefix([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of a tree without leaves: SHA-256 of the empty string.
#[must_use]
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// The root over the roots of complete subtrees, of decreasing size from left to right.
fn fold_peaks(peaks: &[Hash]) -> Hash {
    peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}

/// The row above a row of nodes; a last node without a sibling has no parent yet.
fn parents(row: &[Hash]) -> Vec<Hash> {
    let (pairs, _) = row.as_chunks::<2>();
    pairs.iter().map(|[left, right]| node_hash(left, right)).collect()
}

#[cfg(test)]
mod tests;
