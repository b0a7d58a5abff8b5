//! Receipts: what a submitter gets and keeps, a proof that can be checked without asking anybody.

use serde::{Deserialize, Serialize};

use crate::log::checkpoint::{Checkpoint, Origin};
use crate::log::entry::{LeafData, Salt};
use crate::log::hash::Hash;
use crate::log::note::VerifierKey;
pub use crate::log::source::EvidenceError;
use crate::log::source::Source;
use crate::log::text;
pub use crate::log::tlog_proof::{PROOF_BYTES, TlogProofError};
use crate::statement::StatementId;

/// The proof that an entry is in a domain's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The domain.
    pub origin: Origin,
    /// The entry's index in its log.
    pub index: u64,
    /// The id of the body. No signature covers it here: it can be computed from the body (docs/formats.md).
    pub id: StatementId,
    /// The entry's header in its binary form; in JSON base64.
    #[serde(with = "text::base64")]
    pub header: Vec<u8>,
    /// The entry's salt; in JSON base64.
    #[serde(with = "text::base64")]
    pub salt: Salt,
    /// The entry's leaf data; in JSON hex.
    #[serde(with = "text::hex")]
    pub leaf: LeafData,
    /// The inclusion proof, from the leaf's sibling upwards; in JSON base64 each.
    #[serde(with = "text::hashes")]
    pub proof: Vec<Hash>,
    /// The checkpoint that the proof leads to: a signed note.
    pub checkpoint: String,
}

impl Receipt {
    /// The place of the entry, as stated by the header of an entry that adopts it.
    #[must_use]
    pub fn source(&self) -> Source {
        Source {
            origin: self.origin.clone(),
            index: self.index,
            salt: self.salt,
            header: self.header.clone(),
            proof: self.proof.clone(),
            checkpoint: self.checkpoint.clone(),
        }
    }

    /// Checks that the entry with this body is in the log of the domain whose home has this key.
    ///
    /// # Errors
    /// When salt, header and body do not give the leaf, the header is malformed, the checkpoint is not the home's, or
    /// the proof is wrong.
    pub fn verify(&self, body: &[u8], home_key: &VerifierKey) -> Result<Checkpoint, EvidenceError> {
        let source = self.source();
        if source.leaf_data(body) != self.leaf {
            return Err(EvidenceError::Leaf);
        }
        source.verify(body, home_key)
    }

    /// The receipt as a C2SP tlog-proof; see [`Source::to_tlog_proof`].
    #[must_use]
    pub fn to_tlog_proof(&self) -> String {
        self.source().to_tlog_proof()
    }
}

#[cfg(test)]
mod tests;
