//! Whose signature a checkpoint needs: the chain of descriptors from entry 0 on.
//!
//! A descriptor is in force because the owners that the version before it names signed it, and the first because its
//! entry is pinned. So the chain is believed before the log that holds it: it tells which key signed the log.

use std::sync::{Arc, OnceLock};

use ics_core::descriptor::Descriptor;
use ics_core::log::checkpoint::{Checkpoint, CheckpointError, Origin};
use ics_core::log::cosignature;
use ics_core::log::note::{KeyError, NoteError, VerifierKey};
use ics_core::policy::{AccessPolicy, Action, Principal, Request, Resource};
use ics_core::statement::SignedErasure;
use ics_core::time::Timestamp;

use super::descriptors::{Refusal, admit};
use super::doubt::Source;
use super::stop::Stop;
use crate::wire;

/// A checkpoint with the home's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedCheckpoint {
    /// The head of the log.
    pub checkpoint: Checkpoint,
    /// The note as received, with cosignatures.
    pub note: String,
    /// When the home cosigned it: there were no more entries then. Absent if it did not, or claims a time in the
    /// future.
    pub as_of: Option<Timestamp>,
    /// When the home claims to have cosigned it, whatever this node's clock shows.
    pub claimed: Option<Timestamp>,
    /// The version of the descriptor that names the key.
    pub descriptor: u64,
}

impl SignedCheckpoint {
    /// The same checkpoint as it counts at another time. Its signatures have been verified and need not be again.
    pub(super) fn looked_at(&self, now: Timestamp) -> Self {
        Self { as_of: self.claimed.and_then(|time| time.believed_at(now)), ..self.clone() }
    }
}

/// The descriptors that count.
#[derive(Debug, Clone)]
pub(super) struct Charter {
    pub(super) origin: Origin,
    /// The version in force at this mirror's place in the log.
    current: Version,
    /// The versions that the log puts in force later.
    following: Vec<Version>,
}

/// A descriptor with its home's keys prepared: doing that for each checkpoint would cost a quarter of checking it.
#[derive(Debug, Clone)]
struct Version {
    descriptor: Arc<Descriptor>,
    /// No descriptor is admitted with a home whose key cannot be used.
    home: Result<Home, KeyError>,
    /// Whether anybody may copy all of the domain; computed only for partial copies, and once, because reading rules
    /// takes long.
    is_public: OnceLock<bool>,
}

/// The keys that verify a home's checkpoints, and the times at which it vouches for them.
#[derive(Debug, Clone)]
struct Home {
    key: VerifierKey,
    cosigner: VerifierKey,
}

impl Version {
    fn new(origin: &Origin, descriptor: Descriptor) -> Self {
        let home = &descriptor.home;
        let key = home.verifying_key().ok_or(KeyError::Key).and_then(|key| origin.key(key.as_bytes()));
        let home = key.and_then(|key| Ok(Home { key, cosigner: home.cosigner()? }));
        Self { descriptor: Arc::new(descriptor), home, is_public: OnceLock::new() }
    }

    fn is_public(&self) -> bool {
        *self.is_public.get_or_init(|| {
            let (principal, resource) = (Principal::default(), Resource::Domain(self.descriptor.domain.clone()));
            let request = Request { principal, action: Action::Mirror, resource };
            AccessPolicy::compile(&self.descriptor).is_ok_and(|policy| policy.decide(&request).allow)
        })
    }
}

impl Charter {
    pub(super) fn resume(origin: Origin, current: Descriptor) -> Self {
        let current = Version::new(&origin, current);
        Self { origin, current, following: Vec::new() }
    }

    /// Reads entry 0, which is pinned.
    pub(super) fn found(pinned: &Origin, entry0: &wire::Entry) -> Result<Self, Stop> {
        let origin = Origin { domain: pinned.domain.clone(), entry0: entry0.leaf_data() };
        if *pinned != origin {
            return Err(Stop::Origin { expected: pinned.clone(), found: origin.to_string() });
        }
        let founding = |problem: String| Stop::Founding { domain: pinned.domain.clone(), problem };
        let first = admit(None, body(entry0)).map_err(|refusal| refusal.into_stop(1, true, founding))?;
        if first.domain != pinned.domain {
            return Err(founding(format!("it founds `{}`", first.domain)));
        }
        Ok(Self::resume(origin, first))
    }

    /// Whether a peer is the home in force, as far as the operator says so: by the name or key in the descriptor.
    pub(super) fn is_home(&self, source: &Source) -> bool {
        let Version { descriptor, home, .. } = &self.current;
        let has_key = || home.as_ref().is_ok_and(|home| Some(home.key.key()) == source.key);
        source.is_shown && (source.name == descriptor.home.name || has_key())
    }

    /// Whether the rules in force at this mirror's place in the log let anybody copy all of the domain.
    pub(super) fn is_public(&self) -> bool {
        self.current.is_public()
    }

    /// Whether the owners have signed an erasure that stands next in the log.
    pub(super) fn is_by_owners(&self, erasure: &SignedErasure) -> bool {
        self.current.descriptor.require_owners(erasure).is_ok()
    }

    /// The first version that is not known yet.
    pub(super) fn next_version(&self) -> u64 {
        self.last().version.saturating_add(1)
    }

    fn last(&self) -> &Descriptor {
        &self.following.last().unwrap_or(&self.current).descriptor
    }

    /// Takes the next version, before the log has reached it.
    pub(super) fn learn(&mut self, entry: &wire::Entry) -> Result<(), Stop> {
        let after = self.last().version;
        let descriptor = |problem| Stop::Descriptor { after, problem };
        let next = admit(Some(self.last()), body(entry));
        let next = next.map_err(|refusal| refusal.into_stop(after + 1, false, descriptor))?;
        self.following.push(Version::new(&self.origin, next));
        Ok(())
    }

    /// Forgets the versions that the log has not reached, after the last one under which the home is known to have
    /// signed. The owners may have signed them and put others in force.
    pub(super) fn forget_after(&mut self, signed_under: u64) {
        self.following.retain(|version| version.descriptor.version <= signed_under);
    }

    /// Takes a descriptor that is in the log, under the checkpoint that proves it. One that the owners did not sign has
    /// no effect.
    pub(super) fn enact(&mut self, body: &[u8], proven_by: &SignedCheckpoint) -> Result<(), Stop> {
        let current = &self.current.descriptor;
        let next = match admit(Some(current), body) {
            Ok(next) => next,
            Err(Refusal::Rules(problem)) => {
                return Err(Stop::Rules { version: current.version + 1, problem, is_logged: true });
            }
            Err(Refusal::Other(_)) => return Ok(()),
        };
        let version = proven_by.descriptor;
        if version < next.version && next.home.key != current.home.key {
            return Err(Stop::FormerKey { size: proven_by.checkpoint.size, version });
        }
        // Later ones are asked for again when a checkpoint needs them.
        self.following.clear();
        self.current = Version::new(&self.origin, next);
        Ok(())
    }

    /// Opens a checkpoint with the key in force, or else with a later one; `None` if neither has signed it.
    pub(super) fn open(&self, note: &str, now: Timestamp) -> Result<Option<SignedCheckpoint>, Stop> {
        for (position, Version { descriptor, home, .. }) in self.versions().enumerate() {
            let home = home.as_ref().map_err(|problem| unusable(problem.clone()))?;
            let checkpoint = match Checkpoint::open(note, &home.key) {
                Ok(checkpoint) => checkpoint,
                Err(CheckpointError::Note(NoteError::Unsigned(_))) => continue,
                Err(CheckpointError::OtherOrigin { found, .. }) => {
                    return Err(Stop::Origin { expected: self.origin.clone(), found });
                }
                Err(problem) => return Err(Stop::Checkpoint(problem)),
            };
            if self.last_size(position).is_some_and(|last| last < checkpoint.size) {
                return Err(Stop::FormerKey { size: checkpoint.size, version: descriptor.version });
            }
            let own = core::slice::from_ref(&home.cosigner);
            let claimed = cosignature::times(note, own).map_err(Stop::Checkpoint)?.into_iter().map(|(_, at)| at).max();
            // What arrives now was signed by now; a time well ahead of this clock counts for nothing.
            let as_of = claimed.and_then(|time| time.believed_at(now));
            return Ok(Some(SignedCheckpoint {
                checkpoint,
                note: note.to_owned(),
                as_of,
                claimed,
                descriptor: descriptor.version,
            }));
        }
        Ok(None)
    }

    /// Whether a checkpoint that counted when it came counts still: a version known since may have replaced its key.
    pub(super) fn still_counts(&self, known: &SignedCheckpoint, now: Timestamp) -> bool {
        // Versions that were forgotten are asked for again.
        known.descriptor > self.last().version || matches!(self.open(&known.note, now), Ok(Some(_)))
    }

    /// Whether enough witnesses have cosigned for the descriptor in force, or for a later one: owners whose witnesses
    /// are gone name others, and the checkpoint over that descriptor is cosigned only by the new ones.
    pub(super) fn is_witnessed(&self, note: &str) -> Result<bool, Stop> {
        for version in self.versions() {
            if version.descriptor.is_witnessed(note).map_err(Stop::Checkpoint)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn versions(&self) -> impl Iterator<Item = &Version> {
        core::iter::once(&self.current).chain(&self.following)
    }

    /// The largest size that the key of a version may sign, if a later version replaces it.
    fn last_size(&self, position: usize) -> Option<u64> {
        let mut versions = self.versions().skip(position).map(|version| &version.descriptor);
        let key = &versions.next()?.home.key;
        versions.find(|later| later.home.key != *key)?.last_head.as_ref().map(|head| head.size)
    }
}

/// Wraps an unusable key as a reason to stop; no descriptor is admitted with such a key.
fn unusable(problem: KeyError) -> Stop {
    Stop::Checkpoint(NoteError::from(problem).into())
}

/// The body of an entry; a descriptor is never hidden.
fn body(entry: &wire::Entry) -> &[u8] {
    match entry {
        wire::Entry::Whole(entry) => &entry.body,
        wire::Entry::Hidden(_) | wire::Entry::Erased { .. } => &[],
    }
}
