//! What a home attests: everything that its domain says about what was asked for, or that it shows nothing about it.
//!
//! For a node that has no copy of the domain and asks others. It believes nobody but the home, whose key is established
//! by the chain of descriptors, and the home only as far as it signs: see [`crate::evidence`] for what that proves.

use std::collections::{BTreeMap, BTreeSet};

use super::head::home_key;
use super::verified::{Proved, proved, record, replay};
use super::{Evidence, EvidenceRefusal};
use crate::descriptor::{Descriptor, NodeKey};
use crate::domain::Domain;
use crate::log::checkpoint::{Checkpoint, Origin};
use crate::log::record_head::{Finding, HeadReader, RecordHead};
use crate::name::Name;
use crate::record::{Record, ever_given};
use crate::time::Timestamp;
use crate::trust::Testimony;
use crate::vocabulary::Attribute;

/// Evidence that the home has signed to be complete.
#[derive(Debug, Clone)]
pub struct Attested {
    /// What the domain says, as a verdict hears it.
    pub testimony: Testimony,
    /// The latest time that the home has signed in it. A caller who believes only an earlier time puts that into the
    /// testimony.
    pub signed_at: Timestamp,
    /// What the thing was ever given there, including by statements that no longer count: see [`ever_given`].
    pub given: BTreeMap<Attribute, BTreeSet<String>>,
    /// The checkpoint under which all is proven.
    pub checkpoint: Checkpoint,
    /// The home's record head.
    pub head: RecordHead,
    /// The domain as far as the evidence shows it: its descriptors and the certificates of the signers.
    pub domain: Domain,
}

impl Attested {
    /// Whether the home has signed a checkpoint with a key that one of these descriptors gives it. Evidence that leaves
    /// out the last of them may be under a key that the owners have replaced because others have it.
    #[must_use]
    pub fn has_signed(&self, note: &str) -> bool {
        self.domain.descriptors().any(|descriptor| self.is_signed_by(note, &descriptor.home))
    }

    /// How many entries the owners have kept of a log for which the home's former key has signed a checkpoint of `size`
    /// entries, if they are fewer: by the descriptor that replaced the key, they gave up what it signed beyond them.
    #[must_use]
    pub fn given_up(&self, note: &str, size: u64) -> Option<u64> {
        let is_by = |descriptor: &Descriptor| self.is_signed_by(note, &descriptor.home);
        let mut later = self.domain.descriptors().skip_while(|descriptor| !is_by(descriptor));
        let replacing = later.find(|descriptor| !is_by(descriptor))?;
        replacing.last_head.as_ref().map(|head| head.size).filter(|left| *left < size)
    }

    fn is_signed_by(&self, note: &str, home: &NodeKey) -> bool {
        home_key(&self.checkpoint.origin, home).is_ok_and(|key| Checkpoint::open(note, &key).is_ok())
    }
}

/// Verifies an answer to somebody who asked a domain for a thing, and makes the record that follows at `now`.
///
/// `asked` is the question in canonical form, `reader` the key that the asker has shown to whoever answered.
///
/// # Errors
/// The first thing that is wrong. Above all, it is an error if anything that the home's record head names is left out,
/// if there is no such head, or if it answers another question or somebody else.
pub fn attested(
    evidence: &Evidence,
    pin: &Origin,
    asked: &str,
    reader: HeadReader,
    now: Timestamp,
) -> Result<Attested, EvidenceRefusal> {
    let Proved { origin, head, chain, entries } = proved(evidence, Some(pin))?;
    let said = head.record.clone().ok_or(EvidenceRefusal::NoRecordHead)?;
    if said.asked != asked {
        return Err(EvidenceRefusal::OtherQuestion { expected: asked.to_owned(), found: said.asked });
    }
    let Some((_, newest)) = chain.last().cloned() else { return Err(EvidenceRefusal::NoEntry0) };
    let replay = replay(entries, chain)?;
    let record = match &said.finding {
        Finding::Identity(id) => Some(meant(record(evidence, &replay, now)?, asked, id)?),
        Finding::Nothing(to) if *to == reader => None,
        Finding::Nothing(_) => return Err(EvidenceRefusal::OtherReader),
    };
    let about = record.as_ref().and_then(|record| replay.about.get(&record.identity.id));
    let given = ever_given(about.into_iter().flatten());
    let signed_at = head.cosigned_at.unwrap_or_default();
    let testimony = Testimony {
        origin,
        size: head.checkpoint.size,
        root: head.checkpoint.root,
        descriptor: newest.version,
        as_of: signed_at,
        freshness: newest.freshness,
        record,
        withheld: false,
    };
    Ok(Attested { testimony, signed_at, given, checkpoint: head.checkpoint, head: said, domain: replay.domain })
}

/// The record, if what was asked for is its id or one of its names.
fn meant(record: Record, asked: &str, id: &str) -> Result<Record, EvidenceRefusal> {
    let is_its_name = || asked.parse().is_ok_and(|name: Name| record.all_names().any(|its| *its == name));
    if asked == id || is_its_name() { Ok(record) } else { Err(EvidenceRefusal::NotNamed(asked.to_owned())) }
}
