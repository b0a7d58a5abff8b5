//! What operators are told of other nodes, and of what went wrong with them.

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use serde::{Deserialize, Serialize};

use crate::config::PeerConfig;

/// The kind of alarm about a signer who has revoked their key.
pub const SIGNER_REVOKED: &str = "signer-revoked";

/// The age in seconds from which a home that confirms its newest checkpoint every minute has missed one.
const QUIET_SECONDS: u64 = 120;

/// Whether a home should have confirmed anew, by the age of its last word here: a peer that shows all that it has may not
/// have heard from the home for long. `interval_ms` is how often that peer is asked; 0 at the home itself.
#[must_use]
pub fn is_quiet(age_seconds: Option<u64>, interval_ms: u64) -> bool {
    age_seconds.is_none_or(|age| age > QUIET_SECONDS.saturating_add(interval_ms / 1000))
}

/// Something an operator must look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// When it was noticed.
    pub at: Timestamp,
    /// `entry-without-effect`, `fork`, `behind`, …
    pub kind: String,
    /// What happened, in words.
    pub text: String,
}

/// `POST /v1/domains/{domain}/alarms/acknowledge`, and `/v1/alarms/acknowledge` for alarms that are not about a domain
/// held here: which alarms an operator has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The alarms raised up to this time, as many of the latest as are shown.
    pub until: Timestamp,
}

/// The answer to [`Acknowledgement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// How many alarms were acknowledged.
    pub alarms: usize,
}

/// Two signed heads of one domain that cannot belong to one log: C2SP notes as received, for anyone to verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkNotes {
    /// When it was noticed.
    pub at: Timestamp,
    /// The note that the log held here led to; empty if there was none yet.
    pub ours: String,
    /// The note that contradicts it.
    pub theirs: String,
}

/// The state of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorInfo {
    /// The peer that it pulls from.
    pub peer: String,
    /// `current`, `unconfirmed`, `catching-up`, `waiting` or `stopped`.
    pub state: String,
    /// Entries that the peer has and this node lacks.
    pub lag_entries: u64,
    /// The last failure, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// If this node may read only a part: the peers other than the home on whose word it rests that nothing was left
    /// out of that part. Absent if the home has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_on: Option<String>,
    /// Whether the domain's rules hide something from this node, by what the peer knows of it. Without TLS, a peer does
    /// not know which node asks.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub partial: bool,
}

impl MirrorInfo {
    /// The state of a copy that takes no more entries.
    pub const STOPPED: &'static str = "stopped";

    /// Whether the copy takes no more entries, because of what it was shown.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state == Self::STOPPED
    }
}

/// A peer and its state: `/v1/peers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Its configuration.
    pub peer: PeerConfig,
    /// The domains that are copied from it.
    pub pulls: Vec<Pulled>,
    /// What it has asked for since this node started.
    pub serves: Vec<Served>,
    /// What it has cosigned as a witness since this node started; empty if it is not one.
    #[serde(default)]
    pub cosigns: Vec<Cosigns>,
    /// The domains about whose things it is asked, of which no copy is kept here.
    #[serde(default)]
    pub asks: Vec<Asks>,
}

/// The state of a domain about whose things a peer is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    /// The domain.
    pub domain: DomainName,
    /// The size of the largest log of it that this node has seen, from whatever source.
    pub seen: u64,
    /// When the peer last gave a proven answer, since it was configured or this node started, whichever was later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// Why the last question failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The domains of this node that follow things of that domain without a copy.
    pub followed_by: Vec<FollowedBy>,
}

/// A domain that follows another one without a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowedBy {
    /// The domain that adopts.
    pub domain: DomainName,
    /// What prevents following, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What a peer has cosigned of one of this node's domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosigns {
    /// The domain.
    pub domain: DomainName,
    /// The size of the last checkpoint that it cosigned.
    pub size: u64,
    /// Entries that were added since.
    pub lag_entries: u64,
    /// When it cosigned that checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosigned_at: Option<Timestamp>,
    /// Why it did not cosign the last checkpoint that it was asked for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The state of the copy of one domain from one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// The domain.
    pub domain: DomainName,
    /// `current`; `unconfirmed` if everything is here that this node may read by the word of others than the home;
    /// `catching-up`; `waiting`; `stopped`; `standby` while another peer is asked for it; or `by-hand` if it is carried
    /// in bundles.
    pub state: String,
    /// Entries held, from any source.
    pub size: u64,
    /// Entries that the peer is known to have and this node lacks.
    pub lag_entries: u64,
    /// The home's newest cosigned time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Seconds since that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<u64>,
    /// What prevents copying, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// As in [`MirrorInfo`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_on: Option<String>,
    /// As in [`MirrorInfo`].
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub partial: bool,
    /// Bytes received from this peer for this domain since the peer was configured.
    pub bytes: u64,
}

/// What a peer has asked for of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The domain.
    pub domain: DomainName,
    /// The index up to which it has asked for entries.
    pub size: u64,
    /// Entries that this node has and the peer has not asked for.
    pub lag_entries: u64,
    /// When it last asked.
    pub seen_at: Timestamp,
    /// Bytes of answers.
    pub bytes: u64,
}
