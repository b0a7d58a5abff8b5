//! From evidence to a record.

use serde::Serialize;

use super::head::{Head, descriptors};
use super::open::{Opened, open};
use super::replay::Replay;
use super::{EntryFault, Evidence, EvidenceRefusal};
use crate::descriptor::{Descriptor, Freshness};
use crate::identity::{Fingerprint, IdentityId};
use crate::log::Hash;
use crate::log::checkpoint::Origin;
use crate::record::{Identity, Record, resolve};
use crate::statement::StatementId;
use crate::time::Timestamp;
use crate::vocabulary::{Act, Role};

/// What evidence proves; the documentation of [`crate::evidence`] says what it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The domain that speaks, by name and entry 0. Without a pin, compare this with what you were told.
    pub origin: Origin,
    /// Entries in its log.
    pub size: u64,
    /// The root of its log.
    pub root: Hash,
    /// The version of the newest descriptor in the evidence.
    pub descriptor: u64,
    /// When the home signed that this was its newest head: the time of its newest cosignature. Absent if there is none,
    /// or it claims a time well ahead of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// The time that it claims, if that is well ahead of now: the verifier's clock is behind, or the question is about
    /// an earlier time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_later: Option<Timestamp>,
    /// Whether [`Self::as_of`] is within the descriptor's default bound.
    pub fresh: bool,
    /// The descriptor's bounds.
    pub freshness: Freshness,
    /// Whether the home has signed that these are all entries on which the record rests.
    pub complete: bool,
    /// Witnesses named by the descriptor that have cosigned.
    pub witnesses: Vec<Cosigned>,
    /// What the domain says of the identity now, according to the evidence.
    pub record: Record,
    /// All statements in the evidence, about the identity and its groups, in the order of the log.
    pub statements: Vec<Line>,
}

/// A cosignature that is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cosigned {
    /// The name of the node.
    pub name: String,
    /// When it cosigned.
    pub at: Timestamp,
}

/// A statement whose place in the log and signature are proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its index in the log.
    pub index: u64,
    /// Its id.
    pub id: StatementId,
    /// The identity, or the group that may hold it.
    pub about: Identity,
    /// Primary fingerprint of the signer's certificate.
    pub signer: Fingerprint,
    /// The first User ID of the signer's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The capacity in which the signer speaks.
    pub role: Role,
    /// Its act.
    pub act: Act,
    /// Why it has no effect, if it should not have been admitted by the policy and the statements before it in the
    /// evidence: either the home has erred, or the evidence leaves out what it rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// Why a statement should not have been admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The stable word: see [`crate::domain::Refusal::code`].
    pub code: &'static str,
    /// The reason in words.
    pub why: String,
}

impl Verified {
    /// The identity that the record is about; for software, the SHA-256 of the artifact.
    #[must_use]
    pub const fn identity(&self) -> IdentityId {
        self.record.identity.id
    }
}

/// Verifies evidence and makes the record that follows from it at `now`.
///
/// `pin` is the origin by which the caller knows the domain. Without it the evidence is only as good as
/// [`Verified::origin`], which a person then compares.
///
/// The documentation of [`crate::evidence`] says what this proves and what it does not. Above all: without a record
/// head, evidence cannot prove that nothing was left out.
///
/// # Errors
/// The first thing that is wrong. A statement that is proven and signed but should not have been admitted is no error:
/// as on a mirror it has no effect, and [`Line::refused`] says why.
pub fn verify(evidence: &Evidence, pin: Option<&Origin>, now: Timestamp) -> Result<Verified, EvidenceRefusal> {
    let Proved { origin, head, chain, entries } = proved(evidence, pin)?;
    let Some((_, newest)) = chain.last().cloned() else { return Err(EvidenceRefusal::NoEntry0) };
    let replay = replay(entries, chain)?;
    let record = record(evidence, &replay, now)?;
    let bound = newest.freshness.default.saturating_mul(1000);
    Ok(Verified {
        origin,
        size: head.checkpoint.size,
        root: head.checkpoint.root,
        descriptor: newest.version,
        as_of: head.as_of(now),
        made_later: head.cosigned_at.filter(|at| at.believed_at(now).is_none()),
        fresh: head.as_of(now).is_some_and(|as_of| now.millis_since(as_of) <= bound),
        freshness: newest.freshness,
        complete: head.record.is_some(),
        witnesses: head.witnesses,
        record,
        statements: replay.lines,
    })
}

/// What the replayed domain says of the identity that the evidence names.
pub(super) fn record(evidence: &Evidence, replay: &Replay, now: Timestamp) -> Result<Record, EvidenceRefusal> {
    let ids = IdentityId::candidates(&evidence.id)?;
    let said = |id: &IdentityId| replay.about.get(id).map(|about| (*id, about));
    let nothing = || EvidenceRefusal::Nothing(evidence.id.clone());
    let (id, about) = ids.iter().find_map(said).ok_or_else(nothing)?;
    if let Some(stranger) = replay.stranger(&id) {
        return Err(EntryFault::Stranger(stranger.subject_id().to_string()).at(stranger.index()));
    }
    resolve(&replay.domain, &id, about, &replay.groups, now).ok_or_else(nothing)
}

/// What proofs and the owners' signatures alone show.
pub(crate) struct Proved<'a> {
    pub(crate) origin: Origin,
    pub(crate) head: Head,
    /// The descriptors with their indices: at least that of entry 0.
    pub(crate) chain: Vec<(u64, Descriptor)>,
    pub(crate) entries: Vec<Opened<'a>>,
}

/// Reads evidence and verifies its proofs, but nothing that signers' keys or the domain's rules decide.
pub(crate) fn proved<'a>(evidence: &'a Evidence, pin: Option<&Origin>) -> Result<Proved<'a>, EvidenceRefusal> {
    evidence.check_bounds()?;
    let entries = open(evidence)?;
    let chain = descriptors(&entries)?;
    let (Some(first), Some((_, newest))) = (entries.first(), chain.last()) else {
        return Err(EvidenceRefusal::NoEntry0);
    };
    let origin = Origin { domain: newest.domain.clone(), entry0: first.leaf_data() };
    check_origin(evidence, pin, &origin)?;
    let mut head = Head::open(&evidence.checkpoint, &origin, newest)?;
    prove(&entries, &head)?;
    head.complete(evidence)?;
    Ok(Proved { origin, head, chain, entries })
}

fn check_origin(evidence: &Evidence, pin: Option<&Origin>, found: &Origin) -> Result<(), EvidenceRefusal> {
    if let Some(pin) = pin.filter(|pin| *pin != found) {
        return Err(EvidenceRefusal::Pin { expected: pin.clone(), found: found.clone() });
    }
    if evidence.domain != found.domain {
        return Err(EvidenceRefusal::Domain { said: evidence.domain.clone(), found: found.domain.clone() });
    }
    Ok(())
}

/// Checks that every receipt holds against the home's key, and all have the same checkpoint.
fn prove(entries: &[Opened<'_>], head: &Head) -> Result<(), EvidenceRefusal> {
    entries.iter().try_for_each(|opened| {
        let proven = opened.entry.receipt.verify(&opened.entry.body, &head.key);
        proven.map(drop).map_err(|error| EntryFault::Unproven(error).at(opened.index()))
    })
}

/// Replays the entries. The chain of descriptors begins with that of entry 0.
pub(super) fn replay(entries: Vec<Opened<'_>>, chain: Vec<(u64, Descriptor)>) -> Result<Replay, EvidenceRefusal> {
    let (mut entries, mut chain) = (entries.into_iter(), chain.into_iter().peekable());
    let (Some(first), Some((0, descriptor))) = (entries.next(), chain.next()) else {
        return Err(EvidenceRefusal::NoEntry0);
    };
    let mut replay = Replay::found(&first, descriptor)?;
    let entries: Vec<Opened<'_>> = entries.collect();
    replay.foresee(&entries);
    for opened in entries {
        let descriptor = chain.next_if(|(index, _)| *index == opened.index()).map(|(_, descriptor)| descriptor);
        replay.take(opened, descriptor)?;
    }
    Ok(replay)
}
