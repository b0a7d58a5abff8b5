//! Whose log it is, and which head of it the home has signed.

use super::open::Opened;
use super::verified::Cosigned;
use super::{EntryFault, EvidenceRefusal};
use crate::descriptor::{Descriptor, NodeKey, admit};
use crate::log::checkpoint::{Checkpoint, CheckpointError, Origin};
use crate::log::note::{NoteError, VerifierKey};
use crate::log::record_head::RecordHead;
use crate::statement::Body;
use crate::time::Timestamp;

/// Admits the chain of descriptors by the owners' signatures, before the log that holds them is believed, because the
/// chain gives the key that signed the log. Each comes with its index.
pub(super) fn descriptors(entries: &[Opened<'_>]) -> Result<Vec<(u64, Descriptor)>, EvidenceRefusal> {
    let mut chain: Vec<(u64, Descriptor)> = Vec::new();
    for opened in entries {
        let Body::Descriptor(signed) = &opened.body else { continue };
        let former = chain.last().map(|(_, descriptor)| descriptor);
        let descriptor = admit(former, signed).map_err(|error| EntryFault::from(error).at(opened.index()))?;
        chain.push((opened.index(), descriptor));
    }
    Ok(chain)
}

/// A checkpoint that the home has signed, with who confirms it as the newest, and when.
pub(crate) struct Head {
    pub(super) key: VerifierKey,
    pub(crate) checkpoint: Checkpoint,
    /// The home's statement of which entries there are, if given.
    pub(super) record: Option<RecordHead>,
    /// The time of the home's newest cosignature, or of its record head, whatever the time is here.
    pub(crate) cosigned_at: Option<Timestamp>,
    pub(super) witnesses: Vec<Cosigned>,
}

impl Head {
    /// Opens the checkpoint of a domain with the key that its newest descriptor names.
    pub(super) fn open(note: &str, origin: &Origin, newest: &Descriptor) -> Result<Self, EvidenceRefusal> {
        let key = home_key(origin, &newest.home)?;
        let checkpoint = Checkpoint::open(note, &key)?;
        let cosigned_at = newest.vouched_at(note)?;
        let witnesses = newest.cosigned_by(note)?;
        if witnesses.len() < newest.quorum() {
            return Err(EvidenceRefusal::Witnesses { cosigned: witnesses.len(), quorum: newest.quorum() });
        }
        let witnesses = witnesses.into_iter().map(|(name, at)| Cosigned { name, at }).collect();
        Ok(Self { key, checkpoint, record: None, cosigned_at, witnesses })
    }

    /// When the home stated that this was its newest head.
    pub(super) fn as_of(&self, now: Timestamp) -> Option<Timestamp> {
        self.cosigned_at.and_then(|at| at.believed_at(now))
    }
}

/// The key of a domain's home for its checkpoints.
pub(super) fn home_key(origin: &Origin, home: &NodeKey) -> Result<VerifierKey, CheckpointError> {
    home.home_of(origin).map_err(|unusable| NoteError::from(unusable).into())
}
