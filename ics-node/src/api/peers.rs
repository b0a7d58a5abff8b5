//! What an operator is told of other nodes, and of what went wrong with them.

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use serde::{Deserialize, Serialize};

use crate::config::PeerConfig;

/// The kind of alarm about a signer who has revoked his key.
pub const SIGNER_REVOKED: &str = "signer-revoked";

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

/// `POST /v1/domains/{domain}/alarms/acknowledge`, and `/v1/alarms/acknowledge` for those about no domain: which alarms an
/// operator has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// All that were raised until then.
    pub until: Timestamp,
}

/// The answer to [`Acknowledgement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// How many were there.
    pub alarms: usize,
}

/// Two signed heads of one domain that cannot both be of one log: C2SP notes, as they came, for anybody to verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkNotes {
    /// When it was noticed.
    pub at: Timestamp,
    /// The note to which the log that was held here led; empty if it had come to none.
    pub ours: String,
    /// The note that contradicts it.
    pub theirs: String,
}

/// How a mirror is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorInfo {
    /// The peer that it pulls from.
    pub peer: String,
    /// `current`, `unconfirmed`, `catching-up`, `waiting` or `stopped`.
    pub state: String,
    /// Entries that the peer has and this node has not.
    pub lag_entries: u64,
    /// The last failure, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Where this node may read a part only: the peers other than the home upon whose word it rests that nothing was left
    /// out of it. Absent where the home has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_on: Option<String>,
    /// Whether the domain's rules hide something of it from this node, as the peer knows it. Over what is not TLS a
    /// peer knows no node.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub partial: bool,
}

impl MirrorInfo {
    /// The state of a copy that takes nothing more.
    pub const STOPPED: &'static str = "stopped";

    /// Whether it takes nothing more, for what it was shown.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state == Self::STOPPED
    }
}

/// A peer and how it is doing: `/v1/peers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// What is configured.
    pub peer: PeerConfig,
    /// What is copied from it.
    pub pulls: Vec<Pulled>,
    /// What it has taken since this node started.
    pub serves: Vec<Served>,
    /// What it has cosigned as a witness since this node started; empty if it is none.
    #[serde(default)]
    pub cosigns: Vec<Cosigns>,
    /// About what it is asked, thing by thing, where no copy is kept.
    #[serde(default)]
    pub asks: Vec<Asks>,
}

/// How it goes with a domain about whose things a peer is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    /// The domain.
    pub domain: DomainName,
    /// Entries of the largest log of it that this node has seen, whoever showed it.
    pub seen: u64,
    /// When the peer last had an answer that was proved, since it was configured here or this node started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// Why it had none the last time, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The domains of this node that follow things of it without a copy.
    pub followed_by: Vec<FollowedBy>,
}

/// A domain that follows another one without a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowedBy {
    /// The domain that takes over.
    pub domain: DomainName,
    /// What is in the way, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What a peer has cosigned of one domain of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosigns {
    /// The domain.
    pub domain: DomainName,
    /// Entries of the last checkpoint that it has cosigned.
    pub size: u64,
    /// Entries that have come in since.
    pub lag_entries: u64,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosigned_at: Option<Timestamp>,
    /// Why it has not cosigned the last one that it was asked for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// How the copy of one domain is doing that is made from one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// The domain.
    pub domain: DomainName,
    /// `current`, `unconfirmed` where all is here that others than the home say may be read, `catching-up`, `waiting`,
    /// `stopped`, `standby` while another peer is asked for it, or `by-hand` where all of it is brought in bundles.
    pub state: String,
    /// Entries held, wherever they are from.
    pub size: u64,
    /// Entries that the peer is known to have and this node has not.
    pub lag_entries: u64,
    /// The home's newest cosigned time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Seconds since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<u64>,
    /// What is in the way, in words.
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

/// What a peer has taken of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The domain.
    pub domain: DomainName,
    /// Entries up to which it has asked.
    pub size: u64,
    /// Entries that this node has and the peer has not asked for.
    pub lag_entries: u64,
    /// When it asked last.
    pub seen_at: Timestamp,
    /// Bytes of answers.
    pub bytes: u64,
}
