//! Whether a witness cosigns a checkpoint.

use ics_core::log::Hash;
use ics_core::log::checkpoint::{Checkpoint, CheckpointError, Origin};
use ics_core::log::merkle::{ProofError, empty_root, verify_consistency};
use ics_core::log::note::{NoteError, VerifierKey};

use super::request::{AddCheckpoint, RequestError};

/// The largest tree of a log that a witness has cosigned, or holds itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Entries.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

impl Seen {
    /// What a witness has seen of a log that is new to it.
    #[must_use]
    pub fn nothing() -> Self {
        Self { size: 0, root: empty_root() }
    }
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A malformed request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Not a checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(CheckpointError),
    /// A log for which this witness is not configured.
    #[error("this node is no witness of `{0}`")]
    UnknownLog(Origin),
    /// No signature by the log's key, or a wrong one.
    #[error("the checkpoint is not signed by the log's key: {0}")]
    Unsigned(CheckpointError),
    /// The old size is the larger one.
    #[error("the old size, {old}, is more than the {size} entries of the checkpoint")]
    Shrinks {
        /// The old size that the request names.
        old: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The old size differs from what the witness has seen.
    #[error("this witness has seen {seen} entries, not {old}")]
    Size {
        /// The old size that the request names.
        old: u64,
        /// The size that the witness has seen.
        seen: u64,
    },
    /// The log's key has signed two trees of the same size.
    #[error("fork: this witness has seen another root for {0} entries")]
    Fork(u64),
    /// The log of the checkpoint does not begin with what the witness has seen: the proof itself shows that.
    #[error("fork: the log of {size} entries does not begin with the {old} that this witness has seen")]
    Diverges {
        /// The size that the witness has seen.
        old: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The proof does not lead from what the witness has seen to the checkpoint. Anybody may have made it, so it says
    /// nothing about the log.
    #[error(
        "the proof does not lead from the {old} entries that this witness has seen to the {size} of the checkpoint"
    )]
    Inconsistent {
        /// The size that the witness has seen.
        old: u64,
        /// The checkpoint's size.
        size: u64,
    },
}

impl Refusal {
    /// The HTTP status that C2SP tlog-witness gives it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Request(_) | Self::Checkpoint(_) | Self::Shrinks { .. } => 400,
            Self::Unsigned(_) => 403,
            Self::UnknownLog(_) => 404,
            Self::Size { .. } | Self::Fork(_) => 409,
            Self::Diverges { .. } | Self::Inconsistent { .. } => 422,
        }
    }

    /// The size that the witness has seen, if the answer states it.
    #[must_use]
    pub const fn seen(&self) -> Option<u64> {
        match self {
            Self::Size { seen: size, .. } | Self::Fork(size) => Some(*size),
            _ => None,
        }
    }

    /// Whether the request contradicts what the witness has seen, under the log's own signature.
    #[must_use]
    pub const fn is_misbehaviour(&self) -> bool {
        matches!(self, Self::Fork(_) | Self::Diverges { .. })
    }
}

/// Opens the checkpoint of a request with the key of its log; `key_of` gives the keys of the logs for which the witness
/// is configured.
///
/// # Errors
/// When it is not a checkpoint, its log is unknown, or the log's key did not sign it.
pub fn open(
    request: &AddCheckpoint,
    key_of: impl FnOnce(&Origin) -> Option<VerifierKey>,
) -> Result<Checkpoint, Refusal> {
    let claimed = Checkpoint::claimed(&request.checkpoint).map_err(Refusal::Checkpoint)?;
    let key = key_of(&claimed.origin).ok_or_else(|| Refusal::UnknownLog(claimed.origin.clone()))?;
    Checkpoint::open(&request.checkpoint, &key).map_err(|error| match error {
        error @ CheckpointError::Note(NoteError::Unsigned(_) | NoteError::BadSignature(_)) => Refusal::Unsigned(error),
        error => Refusal::Checkpoint(error),
    })
}

/// Checks that a checkpoint follows from what the witness has seen, and returns what it has then seen. The caller must
/// store that durably before answering, and let no other request in between.
///
/// # Errors
/// When it does not follow; what the witness has seen is then unchanged.
pub fn follows(request: &AddCheckpoint, checkpoint: &Checkpoint, seen: Seen) -> Result<Seen, Refusal> {
    let (old, size) = (request.old, checkpoint.size);
    if old > size {
        return Err(Refusal::Shrinks { old, size });
    }
    if old != seen.size {
        return Err(Refusal::Size { old, seen: seen.size });
    }
    if old == size && seen.root != checkpoint.root {
        return Err(Refusal::Fork(size));
    }
    verify_consistency(old, &seen.root, size, &checkpoint.root, &request.proof).map_err(|error| match error {
        ProofError::OldRoot => Refusal::Diverges { old, size },
        _ => Refusal::Inconsistent { old, size },
    })?;
    Ok(Seen { size, root: checkpoint.root })
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use ics_core::log::merkle::Tree;
    use proptest::prelude::*;

    use super::*;

    fn home() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    fn origin() -> Origin {
        Origin { domain: "d.example".parse().expect("name"), entry0: [9; 32] }
    }

    fn key(of: &Origin) -> Option<VerifierKey> {
        let key = of.key(&home().verifying_key().to_bytes()).expect("key");
        (*of == origin()).then_some(key)
    }

    /// A tree of this many leaves; those from `other` on differ with the branch.
    fn tree(size: u64, other: u64, branch: u8) -> Tree {
        let mut tree = Tree::new();
        for leaf in 0..size {
            let branch = if leaf < other { 0 } else { branch };
            let mut bytes = [branch; 32];
            bytes[..8].copy_from_slice(&leaf.to_be_bytes());
            tree.push(Hash(bytes));
        }
        tree
    }

    fn signed(tree: &Tree) -> (Checkpoint, String) {
        let checkpoint = Checkpoint { origin: origin(), size: tree.size(), root: tree.root() };
        let note = checkpoint.sign(&home()).expect("signs");
        (checkpoint, note)
    }

    fn request(old: u64, tree: &Tree) -> AddCheckpoint {
        let proof = tree.consistency_proof(old, tree.size(), |_| None).unwrap_or_default();
        AddCheckpoint { old, proof, checkpoint: signed(tree).1 }
    }

    fn ask(seen: Seen, request: &AddCheckpoint) -> Result<Seen, Refusal> {
        follows(request, &open(request, key)?, seen)
    }

    #[test]
    fn each_refusal_has_its_status() {
        let seen = ask(Seen::nothing(), &request(0, &tree(5, 9, 0))).expect("the first");
        assert_eq!(seen.size, 5);
        let longer = tree(8, 9, 0);
        let status = |request: &AddCheckpoint| ask(seen, request).expect_err("refused").status();
        assert_eq!(status(&request(4, &longer)), 409, "not the size that it has seen");
        assert_eq!(status(&request(0, &longer)), 409);
        assert_eq!(ask(seen, &request(0, &longer)).expect_err("refused").seen(), Some(5));
        assert_eq!(status(&AddCheckpoint { old: 9, ..request(5, &longer) }), 400, "more than the checkpoint has");
        assert_eq!(status(&request(5, &tree(8, 3, 1))), 422, "another branch");
        assert_eq!(status(&AddCheckpoint { proof: vec![], ..request(5, &longer) }), 422);
        assert_eq!(status(&request(5, &tree(5, 3, 1))), 409, "another root of the same size");
        assert!(ask(seen, &request(5, &tree(5, 3, 1))).expect_err("refused").is_misbehaviour());
        assert_eq!(status(&AddCheckpoint { checkpoint: "no note".to_owned(), ..request(5, &longer) }), 400);
        let (checkpoint, _) = signed(&longer);
        let stranger = checkpoint.sign(&SigningKey::from_bytes(&[4; 32])).expect("signs");
        assert_eq!(status(&AddCheckpoint { checkpoint: stranger, ..request(5, &longer) }), 403);
        let elsewhere = Origin { entry0: [8; 32], ..origin() };
        let elsewhere = Checkpoint { origin: elsewhere, ..checkpoint }.sign(&home()).expect("signs");
        assert_eq!(status(&AddCheckpoint { checkpoint: elsewhere, ..request(5, &longer) }), 404);
        assert_eq!(ask(seen, &request(5, &longer)).expect("follows").size, 8);
        assert_eq!(ask(seen, &request(5, &tree(5, 9, 0))), Ok(seen), "the same again");
    }

    /// Anybody may send a checkpoint that the log has published, with a proof that they made up.
    #[test]
    fn a_bad_proof_is_no_misbehaviour_of_the_log() {
        let seen = ask(Seen::nothing(), &request(0, &tree(5, 9, 0))).expect("the first");
        let refused = |request: &AddCheckpoint| ask(seen, request).expect_err("refused");
        let longer = request(5, &tree(8, 9, 0));
        for proof in [vec![], vec![Hash([7; 32]); 3], vec![Hash([7; 32]); longer.proof.len()]] {
            let bad = refused(&AddCheckpoint { proof, ..longer.clone() });
            assert!(bad == Refusal::Inconsistent { old: 5, size: 8 } && !bad.is_misbehaviour(), "{bad}");
        }
        let another = refused(&request(5, &tree(8, 3, 1)));
        assert!(another == Refusal::Diverges { old: 5, size: 8 } && another.is_misbehaviour(), "{another}");
    }

    proptest! {
        /// Whatever is requested in whatever order, what was cosigned is one log that only grows.
        #[test]
        fn what_is_cosigned_is_one_growing_log(asked in prop::collection::vec((0_u64..40, 0_u64..40, 0_u64..40, 0_u8..3), 1..40)) {
            let mut seen = Seen::nothing();
            let mut cosigned: Vec<Seen> = Vec::new();
            for (old, size, other, branch) in asked {
                if let Ok(next) = ask(seen, &request(old, &tree(size, other, branch))) {
                    prop_assert!(next.size >= seen.size);
                    seen = next;
                    cosigned.push(next);
                }
            }
            // All are heads of one tree: that with the last size and root, which is one of the branches.
            let branches = (0..40).flat_map(|other| (0..3).map(move |branch| tree(seen.size, other, branch)));
            let fits = |last: &Tree| last.root() == seen.root && cosigned.iter().all(|head| {
                last.prover(|_| None).root_at(head.size).is_ok_and(|root| root == head.root)
            });
            prop_assert!(cosigned.is_empty() || branches.into_iter().any(|last| fits(&last)));
        }
    }
}
