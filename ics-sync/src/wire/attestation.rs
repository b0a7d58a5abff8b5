//! The answer to a node that keeps no copy: evidence with the home's record head.

use ics_core::evidence::Evidence;
use ics_core::limits;
use serde::{Deserialize, Serialize};

use super::{ANSWER_BYTES, Base64, WireError, parse};

/// What a home attests about one thing, for a node that keeps no copy of the domain: see
/// [`ics_core::evidence::attested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// Everything that its domain says about the thing, with the home's record head.
    pub evidence: Evidence,
    /// Consistency proof (RFC 9162, section 2.1.4) from the size that the asker has seen to that of the evidence; empty
    /// if they have seen none, the same, or more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consistency: Vec<Base64<[u8; 32]>>,
}

/// The hashes of a proof that is one member of an answer.
pub(crate) fn decode_proof(json: &[u8]) -> Result<Vec<Base64<[u8; 32]>>, WireError> {
    #[derive(Deserialize)]
    struct Proof {
        proof: Vec<Base64<[u8; 32]>>,
    }
    let Proof { proof } = parse(json, ANSWER_BYTES)?;
    if proof.len() > limits::PROOF_HASHES { Err(WireError::Proof(proof.len())) } else { Ok(proof) }
}

impl Attestation {
    /// Writes it, if the asker would read one of that length.
    ///
    /// # Errors
    /// When it exceeds the bound of [`Attestation::decode`].
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let json = serde_json::to_vec(self).map_err(|error| WireError::Json(error.to_string()))?;
        if json.len() > limits::ROAMING_BYTES { Err(WireError::TooLong(limits::ROAMING_BYTES)) } else { Ok(json) }
    }

    /// Reads an answer and checks its bounds. Nothing is verified.
    ///
    /// # Errors
    /// When it is not such an answer, or exceeds a bound.
    pub fn decode(json: &[u8]) -> Result<Self, WireError> {
        let answer: Self = parse(json, limits::ROAMING_BYTES)?;
        match answer.consistency.len() {
            hashes if hashes > limits::PROOF_HASHES => Err(WireError::Proof(hashes)),
            _ => Ok(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_as_long_as_is_read() {
        let said = |length: usize| Attestation {
            evidence: Evidence {
                version: 1,
                id: "x".repeat(length),
                domain: "devices.acme.example".parse().expect("a name"),
                checkpoint: String::new(),
                head: None,
                entries: Vec::new(),
            },
            consistency: Vec::new(),
        };
        let most = limits::ROAMING_BYTES - said(0).encode().expect("short").len();
        let longest = said(most).encode().expect("as long as it may be");
        assert_eq!(Attestation::decode(&longest), Ok(said(most)));
        assert_eq!(said(most + 1).encode(), Err(WireError::TooLong(limits::ROAMING_BYTES)));
    }
}
