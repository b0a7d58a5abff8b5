//! What a home sends to a witness.

use core::fmt;
use core::str::FromStr;

use ics_core::limits;
use ics_core::log::Hash;

use super::REQUEST_BYTES;

/// The body of an `add-checkpoint` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size up to which, as far as the home knows, the witness has cosigned.
    pub old: u64,
    /// The consistency proof from there to the checkpoint (RFC 6962, section 2.1.2).
    pub proof: Vec<Hash>,
    /// The checkpoint, a signed note.
    pub checkpoint: String,
}

/// Why a text is not such a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Longer than any request need be.
    #[error("the request has {0} bytes; at most {REQUEST_BYTES} are allowed")]
    TooLong(usize),
    /// No line `old` and a size.
    #[error("the first line is not `old` and a size")]
    Old,
    /// No empty line before the checkpoint.
    #[error("no empty line divides proof and checkpoint")]
    Checkpoint,
    /// A line of the proof is not a hash in base64.
    #[error("a line of the proof is not a hash in base64")]
    Hash,
    /// More hashes than any proof needs.
    #[error("the proof has more than {} hashes", limits::PROOF_HASHES - 1)]
    ProofHashes,
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        if text.len() > REQUEST_BYTES {
            return Err(RequestError::TooLong(text.len()));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(RequestError::Checkpoint)?;
        let mut lines = head.split('\n');
        let size = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(RequestError::Old)?;
        // Only in its shortest form.
        let old = size.parse().ok().filter(|old: &u64| old.to_string() == size).ok_or(RequestError::Old)?;
        let lines: Vec<&str> = lines.collect();
        // C2SP tlog-witness: at most 63 lines.
        if lines.len() >= limits::PROOF_HASHES {
            return Err(RequestError::ProofHashes);
        }
        let proof = lines.into_iter().map(|line| Hash::from_base64(line).map_err(|_| RequestError::Hash));
        Ok(Self { old, proof: proof.collect::<Result<_, _>>()?, checkpoint: checkpoint.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_of_a_request() {
        let request =
            AddCheckpoint { old: 12, proof: vec![Hash([1; 32])], checkpoint: "o\n13\nr\n\n— s x\n".to_owned() };
        let text = format!("old 12\n{}\n\no\n13\nr\n\n— s x\n", Hash([1; 32]).to_base64());
        assert_eq!(request.to_string(), text);
        assert_eq!(text.parse(), Ok(request));
        let first = AddCheckpoint { old: 0, proof: vec![], checkpoint: "o\n".to_owned() };
        assert_eq!(first.to_string().parse(), Ok(first));
    }

    #[test]
    fn what_is_no_request() {
        let line = Hash([1; 32]).to_base64();
        for (text, expected) in [
            (String::new(), RequestError::Checkpoint),
            ("old 1\no\n".to_owned(), RequestError::Checkpoint),
            ("\n\no\n".to_owned(), RequestError::Old),
            ("old 01\n\no\n".to_owned(), RequestError::Old),
            ("old -1\n\no\n".to_owned(), RequestError::Old),
            ("new 1\n\no\n".to_owned(), RequestError::Old),
            ("old 1\nAAAA\n\no\n".to_owned(), RequestError::Hash),
            (format!("old 1\n{}\no\n", format!("{line}\n").repeat(64)), RequestError::ProofHashes),
            ("x".repeat(REQUEST_BYTES + 1), RequestError::TooLong(REQUEST_BYTES + 1)),
        ] {
            assert_eq!(text.parse::<AddCheckpoint>(), Err(expected), "{text:.60}");
        }
        assert!(format!("old 1\n{}\no\n", format!("{line}\n").repeat(63)).parse::<AddCheckpoint>().is_ok());
    }

    proptest! {
        #[test]
        fn anything_else_is_refused_or_read_as_written(text in "(old )?[0-9\n a-zA-Z+/=]{0,200}") {
            if let Ok(request) = text.parse::<AddCheckpoint>() {
                prop_assert_eq!(request.to_string(), text);
            }
        }
    }
}
