//! Proofs as text (C2SP tlog-proof), for other tools.
//!
//! The `extra` line holds the other parts of the leaf data, besides the body: the salt, 16 bytes, and the header.

use data_encoding::BASE64;

use crate::identity::excerpt;
use crate::limits;
use crate::log::checkpoint::{Checkpoint, CheckpointError, parse_decimal};
use crate::log::hash::{Hash, HashError};
use crate::log::source::Source;
use crate::log::text::from_base64;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Bytes of a proof as text: the note, the header in base64, a line for every hash, and the short lines.
pub const PROOF_BYTES: usize = limits::NOTE_BYTES + limits::HEADER_BYTES * 4 / 3 + limits::PROOF_HASHES * 45 + 128;

/// Why a text is not a proof that an entry of a domain was logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Longer than allowed.
    #[error("the proof has {0} bytes; at most {PROOF_BYTES} are allowed")]
    TooLong(usize),
    /// The lines are not those of a proof.
    #[error("the proof lacks {0}")]
    Lacks(&'static str),
    /// The index is not a decimal number in its shortest form.
    #[error("`{0}` is not an index")]
    Index(String),
    /// More hashes than any tree needs.
    #[error("the proof has more than {max} hashes", max = limits::PROOF_HASHES)]
    ProofHashes,
    /// A line of the proof is not a hash.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The checkpoint is malformed.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
}

impl Source {
    /// The proof as text (C2SP tlog-proof), with salt and header as extra data.
    #[must_use]
    pub fn to_tlog_proof(&self) -> String {
        let extra = BASE64.encode(&[self.salt.as_slice(), &self.header].concat());
        let mut text = format!("{FIRST_LINE}\nextra {extra}\nindex {}\n", self.index);
        for hash in &self.proof {
            text.push_str(&hash.to_base64());
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Whether a file begins as a proof does (C2SP tlog-proof).
    #[must_use]
    pub fn is_tlog_proof(bytes: &[u8]) -> bool {
        bytes.strip_prefix(FIRST_LINE.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'\n'))
    }

    /// Reads what [`Source::to_tlog_proof`] writes. Nothing is verified yet.
    ///
    /// # Errors
    /// When the text is too long, a line is missing or malformed, or there is no extra data of at least 16 bytes.
    pub fn from_tlog_proof(text: &str) -> Result<Self, TlogProofError> {
        if text.len() > PROOF_BYTES {
            return Err(TlogProofError::TooLong(text.len()));
        }
        let (lines, checkpoint) = text.split_once("\n\n").ok_or(TlogProofError::Lacks("an empty line"))?;
        let mut lines = lines.split('\n');
        lines.next().filter(|line| *line == FIRST_LINE).ok_or(TlogProofError::Lacks("the first line"))?;
        let extra = lines.next().and_then(|line| line.strip_prefix("extra ")).and_then(decode_extra);
        let (salt, header) = extra.ok_or(TlogProofError::Lacks("an extra line with salt and header"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.ok_or(TlogProofError::Lacks("an index line"))?;
        let index = parse_decimal(index).ok_or_else(|| TlogProofError::Index(excerpt(index)))?;
        let proof: Vec<Hash> = lines.take(limits::PROOF_HASHES + 1).map(Hash::from_base64).collect::<Result<_, _>>()?;
        if proof.len() > limits::PROOF_HASHES {
            return Err(TlogProofError::ProofHashes);
        }
        let origin = Checkpoint::claimed(checkpoint)?.origin;
        Ok(Self { origin, index, salt, header, proof, checkpoint: checkpoint.to_owned() })
    }
}

fn decode_extra(base64: &str) -> Option<([u8; 16], Vec<u8>)> {
    let bytes = from_base64(base64).ok()?;
    bytes.split_first_chunk().map(|(salt, header)| (*salt, header.to_vec()))
}
