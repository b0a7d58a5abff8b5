//! What travels where no copy is kept: evidence with the home's record head.

use ics_core::evidence::Evidence;
use ics_core::limits;
use serde::{Deserialize, Serialize};

use super::{ANSWER_BYTES, Base64, WireError, parse};

/// What a home attests of one thing, for somebody who keeps no copy of the domain: see [`ics_core::evidence::attested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// All that its domain says of it, with the home's record head.
    pub evidence: Evidence,
    /// Consistency proof (RFC 9162, section 2.1.4) from the size that the asker has seen to that of the evidence; empty
    /// where he has seen none, the same, or more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consistency: Vec<Base64<[u8; 32]>>,
}

/// The hashes of a proof that stands in an answer with other members.
pub(crate) fn decode_proof(json: &[u8]) -> Result<Vec<Base64<[u8; 32]>>, WireError> {
    #[derive(Deserialize)]
    struct Proof {
        proof: Vec<Base64<[u8; 32]>>,
    }
    let Proof { proof } = parse(json, ANSWER_BYTES)?;
    if proof.len() > limits::PROOF_HASHES { Err(WireError::Proof(proof.len())) } else { Ok(proof) }
}

impl Attestation {
    /// Reads what was answered, and holds it to its bounds. Nothing is verified.
    ///
    /// # Errors
    /// When it is not such an answer, or goes past one of them.
    pub fn decode(json: &[u8]) -> Result<Self, WireError> {
        let answer: Self = parse(json, limits::ROAMING_BYTES)?;
        match answer.consistency.len() {
            hashes if hashes > limits::PROOF_HASHES => Err(WireError::Proof(hashes)),
            _ => Ok(answer),
        }
    }
}
