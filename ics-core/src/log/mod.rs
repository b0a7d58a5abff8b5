//! The log of a domain: a Merkle tree over its entries (RFC 6962, section 2.1), cut into tiles (C2SP tlog-tiles), its
//! head signed as a checkpoint (C2SP tlog-checkpoint, signed-note) and cosigned with a time (C2SP tlog-cosignature).
//!
//! Two kinds of 32 bytes must not be confused and have separate types: the **leaf data** of an entry is SHA-256(salt ‖
//! header ‖ body) and is what bundles hold ([`LeafData`]); the **leaf hash** is SHA-256(0x00 ‖ leaf data) and is what
//! the tree is built from ([`struct@Hash`]).

pub mod checkpoint;
pub mod cosignature;
pub mod entry;
mod hash;
mod header;
pub mod merkle;
pub mod note;
pub mod receipt;
pub mod record_head;
pub mod source;
pub(crate) mod text;
pub mod tile;
mod tlog_proof;
mod verifier_key;

pub use entry::{LeafData, Salt};
pub use hash::{Hash, HashError};

#[cfg(test)]
mod cross_checks;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod vectors;
