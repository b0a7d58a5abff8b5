//! The keys by which a descriptor's nodes sign checkpoints, and whether enough witnesses have cosigned one.

use super::{Descriptor, NodeKey};
use crate::log::checkpoint::{CheckpointError, Origin};
use crate::log::cosignature;
use crate::log::note::{Algorithm, KeyError, NoteError, VerifierKey};
use crate::time::Timestamp;

impl NodeKey {
    /// The key that verifies the checkpoints that the node signs as the home of a domain.
    ///
    /// # Errors
    /// When the node has no usable key; no descriptor with such a node is admitted.
    pub fn home_of(&self, origin: &Origin) -> Result<VerifierKey, KeyError> {
        origin.key(self.verifying_key().ok_or(KeyError::Key)?.as_bytes())
    }

    /// The key that verifies the node's cosignatures.
    ///
    /// # Errors
    /// When the node has no usable key; no descriptor with such a node is admitted.
    pub fn cosigner(&self) -> Result<VerifierKey, KeyError> {
        let key = self.verifying_key().ok_or(KeyError::Key)?;
        VerifierKey::new(&self.name, Algorithm::Cosignature, key.as_bytes())
    }
}

impl Descriptor {
    /// The keys that verify the witnesses' cosignatures, in the form of other tools (C2SP signed-note).
    #[must_use]
    pub fn witness_keys(&self) -> Vec<VerifierKey> {
        let nodes = self.witnesses.iter().flat_map(|witnesses| &witnesses.keys);
        nodes.filter_map(|node| node.cosigner().ok()).collect()
    }

    /// The names of the witnesses that have cosigned a checkpoint, each with the time of the cosignature.
    ///
    /// # Errors
    /// When the note is not a checkpoint, or a cosignature that claims to be a witness's is wrong.
    pub fn cosigned_by(&self, note: &str) -> Result<Vec<(String, Timestamp)>, CheckpointError> {
        let nodes = self.witnesses.iter().flat_map(|witnesses| &witnesses.keys);
        let keys: Vec<VerifierKey> = nodes.map(NodeKey::cosigner).collect::<Result<_, _>>().map_err(NoteError::from)?;
        let times = cosignature::times(note, &keys)?;
        Ok(times.into_iter().map(|(key, time)| (key.name().to_owned(), time)).collect())
    }

    /// When the home claims to have last cosigned a checkpoint, whatever the time is here; `None` if it has not.
    ///
    /// # Errors
    /// When the note is not a checkpoint, or a cosignature that claims to be the home's is wrong.
    pub fn vouched_at(&self, note: &str) -> Result<Option<Timestamp>, CheckpointError> {
        let home = [self.home.cosigner().map_err(NoteError::from)?];
        Ok(cosignature::times(note, &home)?.into_iter().map(|(_, at)| at).max())
    }

    /// How many witnesses must have cosigned a checkpoint before it counts.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.witnesses.as_ref().map_or(0, |witnesses| usize::try_from(witnesses.quorum).unwrap_or(usize::MAX))
    }

    /// Whether the quorum has cosigned a checkpoint.
    ///
    /// # Errors
    /// As [`Descriptor::cosigned_by`]; without a quorum nothing is read, so nothing can be wrong.
    pub fn is_witnessed(&self, note: &str) -> Result<bool, CheckpointError> {
        match self.quorum() {
            0 => Ok(true),
            quorum => Ok(self.cosigned_by(note)?.len() >= quorum),
        }
    }
}
