//! The place of an entry in a domain's log, with everything that proves it.

use crate::limits;
use crate::log::checkpoint::{Checkpoint, CheckpointError, Origin};
use crate::log::entry::Header;
use crate::log::entry::{HeaderError, LeafData, Salt, leaf_data};
use crate::log::hash::Hash;
use crate::log::merkle::{ProofError, leaf_hash, verify_inclusion};
use crate::log::verifier_key::VerifierKey;
use crate::time::Timestamp;

/// Where an adopted entry was taken from. Together with the body it proves, against the key of the source domain's
/// home, that the entry is in that log at this index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The domain.
    pub origin: Origin,
    /// The entry's index there.
    pub index: u64,
    /// The entry's salt there.
    pub salt: Salt,
    /// The entry's header there, in its binary form.
    pub header: Vec<u8>,
    /// The inclusion proof.
    pub proof: Vec<Hash>,
    /// The checkpoint that the proof leads to, a signed note.
    pub checkpoint: String,
}

/// Why an entry is not proven to be in a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The header is malformed.
    #[error("the entry's header: {0}")]
    Header(#[from] HeaderError),
    /// The checkpoint is malformed or not signed by the home.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is another domain's.
    #[error("the checkpoint is that of `{found}`, not of `{expected}`")]
    Origin {
        /// The domain that the evidence names.
        expected: String,
        /// The domain that the checkpoint names.
        found: String,
    },
    /// More hashes than any tree needs.
    #[error("the proof has {0} hashes; at most {max} are allowed", max = limits::PROOF_HASHES)]
    ProofHashes(usize),
    /// The inclusion proof is wrong.
    #[error("the inclusion proof: {0}")]
    Proof(#[from] ProofError),
    /// Salt, header and body do not give the leaf that the receipt names.
    #[error("salt, header and body do not give the leaf that the receipt names")]
    Leaf,
    /// Entry 0 is not the one that the origin names.
    #[error("entry 0 is not the one by which the domain is known")]
    Entry0,
}

impl Source {
    /// The leaf data of the entry with this body.
    #[must_use]
    pub fn leaf_data(&self, body: &[u8]) -> LeafData {
        leaf_data(&self.salt, &self.header, body)
    }

    /// When the home of that domain admitted the entry, from its header there. Proven once [`Self::verify`] has
    /// succeeded.
    ///
    /// # Errors
    /// When the header is malformed.
    pub fn admitted_at(&self) -> Result<Timestamp, HeaderError> {
        Ok(Header::decode(&self.header)?.admitted_at)
    }

    /// Checks that the entry with this body is at this index in the log of the domain whose home has this key. Nothing
    /// is checked about the body itself, nor about a source that the header may name in turn.
    ///
    /// # Errors
    /// When the header is malformed, the checkpoint not the home's, or the proof wrong.
    pub fn verify(&self, body: &[u8], home_key: &VerifierKey) -> Result<Checkpoint, EvidenceError> {
        Header::decode(&self.header)?;
        self.verify_leaf(&self.leaf_data(body), home_key)
    }

    /// Checks that an entry with this leaf data is at this index: all that can be checked once the body is erased.
    ///
    /// # Errors
    /// When the checkpoint is not the home's, or the proof wrong.
    pub fn verify_leaf(&self, leaf: &LeafData, home_key: &VerifierKey) -> Result<Checkpoint, EvidenceError> {
        if self.proof.len() > limits::PROOF_HASHES {
            return Err(EvidenceError::ProofHashes(self.proof.len()));
        }
        let checkpoint = Checkpoint::open(&self.checkpoint, home_key)?;
        if checkpoint.origin != self.origin {
            let (expected, found) = (self.origin.to_string(), checkpoint.origin.to_string());
            return Err(EvidenceError::Origin { expected, found });
        }
        if self.index == 0 && *leaf != self.origin.entry0 {
            return Err(EvidenceError::Entry0);
        }
        verify_inclusion(&leaf_hash(leaf), self.index, checkpoint.size, &self.proof, &checkpoint.root)?;
        Ok(checkpoint)
    }
}
