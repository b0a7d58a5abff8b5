//! Whether a file is the software that a domain permits.

use core::fmt;
use std::fs::File;
use std::path::Path;

use ics_core::evidence::Verified;
use ics_core::identity::IdentityId;
use ics_core::log::checkpoint::Origin;
use ics_core::record::Record;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Effect, StatusName};

use super::thing;

/// Returns the id of a piece of software: the SHA-256 of the file.
///
/// # Errors
/// When the file cannot be read.
pub fn id_of(path: &Path) -> std::io::Result<IdentityId> {
    thing::sha256(File::open(path)?).map(IdentityId::Software)
}

/// Why a file must not be used, although the evidence is genuine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactRefusal {
    /// The evidence is about something else.
    #[error("it is not what the evidence is about")]
    Other,
    /// Its status blocks its use.
    #[error("its status is `{0}`, which blocks its use")]
    Blocked(StatusName),
    /// A domain at the node blocks its use, whether it is the one that was asked or another.
    #[error("{domain} says that it is `{status}`, which blocks its use")]
    BlockedBy {
        /// The domain that blocks it.
        domain: DomainName,
        /// Its status there.
        status: StatusName,
    },
    /// The evidence is too old to permit anything.
    #[error("the news is too old: {0}")]
    Stale(Age),
    /// The evidence is dated later than the time by which it is judged, so nobody can tell how old it is.
    #[error(
        "its home confirmed it at {0}, which is later than the time by which it is judged. Set this machine's clock if it \
         is behind"
    )]
    ClockBehind(Timestamp),
    /// Nobody vouches that the file is what it claims to be.
    #[error("nobody who is entitled to do so vouches for it")]
    NotVouched,
    /// No status permits its use.
    #[error("no status permits its use{}", .0.as_ref().map(|status| format!(": it is `{status}`")).unwrap_or_default())]
    NotPermitted(Option<StatusName>),
    /// It would be permitted, but by a domain that anybody may have founded under that name.
    #[error(
        "nothing shows that this is the domain that you mean. Compare its origin with what its owners told you, then \
         add --pin {0}"
    )]
    NotPinned(Origin),
    /// It would be permitted, but statements that block it may have been left out.
    #[error(
        "nothing proves that nothing was left out of the evidence, such as a withdrawal. Get it again from the home of \
         the domain, which signs that it is complete (`ics export`); --incomplete accepts what you have"
    )]
    NotComplete,
    /// It would be permitted, but somebody on the network path to the node may have left out what blocks it.
    #[error(
        "nothing proves that nothing was left out: the node was asked over plain HTTP, where anybody on the way may \
         answer. Ask a node over https, or the home of the domain, which signs that it is complete"
    )]
    Exposed,
}

impl ArtifactRefusal {
    /// Whether nothing speaks against its use, and it is merely unknown whether it may be used.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Stale(_) | Self::ClockBehind(_) | Self::NotPinned(_) | Self::NotComplete | Self::Exposed)
    }
}

/// The age of the evidence, and its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// When the home stated that there was nothing newer.
    pub as_of: Option<Timestamp>,
    /// The number of seconds for which that may be relied on.
    pub bound: u64,
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_of {
            Some(time) => write!(f, "it is of {time} and holds for {} s", self.bound),
            None => f.write_str("the home has not said that this is its newest state"),
        }
    }
}

/// Decides about a file by genuine evidence. A block counts however old it is, a permit only while it is fresh.
///
/// # Errors
/// The first reason against its use.
pub fn check(artifact: IdentityId, verified: &Verified) -> Result<(), ArtifactRefusal> {
    let record = &verified.record;
    if artifact != verified.identity() {
        return Err(ArtifactRefusal::Other);
    }
    let status = record.status.as_ref().map(|status| status.decides.name.clone());
    match (record.effect(), status) {
        (effect, Some(status)) if effect.blocks() => Err(ArtifactRefusal::Blocked(status)),
        _ if !verified.fresh => Err(not_fresh(verified)),
        _ if record.vouched.is_empty() => Err(ArtifactRefusal::NotVouched),
        (Effect::Permits, _) => Ok(()),
        (_, status) => Err(ArtifactRefusal::NotPermitted(status)),
    }
}

/// Refuses what any domain known to a node blocks: recalls often arrive last in the domain that is asked. This rests on
/// the node's word, which may refuse but never permit.
///
/// # Errors
/// The first domain that blocks.
pub fn check_all<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<(), ArtifactRefusal> {
    for record in records {
        if let Some(status) = record.status.as_ref().filter(|status| status.decides.effect.blocks()) {
            let (domain, status) = (record.domain.clone(), status.decides.name.clone());
            return Err(ArtifactRefusal::BlockedBy { domain, status });
        }
    }
    Ok(())
}

fn not_fresh(verified: &Verified) -> ArtifactRefusal {
    match verified.made_later {
        Some(at) => ArtifactRefusal::ClockBehind(at),
        None => ArtifactRefusal::Stale(Age { as_of: verified.as_of, bound: verified.freshness.default }),
    }
}

/// Checks what evidence carried by somebody must prove before it permits anything: the carrier may have founded a
/// domain of that name, and left out what blocks.
///
/// # Errors
/// What is not proven; an incomplete pack may be accepted all the same.
pub fn check_carried(verified: &Verified, is_pinned: bool, takes_incomplete: bool) -> Result<(), ArtifactRefusal> {
    match (is_pinned, verified.complete || takes_incomplete) {
        (false, _) => Err(ArtifactRefusal::NotPinned(verified.origin.clone())),
        (true, false) => Err(ArtifactRefusal::NotComplete),
        (true, true) => Ok(()),
    }
}

/// As [`check_carried`], for evidence that came over plain HTTP from another machine: anybody on the network path may
/// have supplied it.
///
/// # Errors
/// What is not proven.
pub fn check_exposed(verified: &Verified, is_pinned: bool) -> Result<(), ArtifactRefusal> {
    check_carried(verified, is_pinned, false).map_err(|refusal| match refusal {
        ArtifactRefusal::NotComplete => ArtifactRefusal::Exposed,
        other => other,
    })
}
