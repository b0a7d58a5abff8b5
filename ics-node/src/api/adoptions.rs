//! Adopting from other domains, and following them.

use ics_core::vocabulary::DomainName;
use serde::{Deserialize, Serialize};

use super::Problem;

/// `POST /v1/domains/{domain}/adoptions`: which entries of another domain to adopt into this one. At least one of
/// `ids`, `model` and `lot` is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdoptionRequest {
    /// The domain to adopt from: one that this node holds, or one about whose things it asks a peer.
    pub source: String,
    /// Identities by id or name.
    pub ids: Vec<String>,
    /// All identities of this model.
    pub model: Option<String>,
    /// All identities of this lot; together with `model` if both are given.
    pub lot: Option<String>,
    /// Whether to adopt later statements about them automatically; `false` ends that and adopts nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}

/// What a domain takes over from another one automatically, and the state of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowInfo {
    /// The domain that is followed.
    pub source: DomainName,
    /// The number of identities that are followed one by one.
    pub identities: u64,
    /// What else is followed: everything of a model or a lot, in words.
    pub choices: Vec<String>,
    /// `current`, `behind` or `failing`.
    pub state: String,
    /// How many entries at the end of this node's copy of the source have still to be examined under the rules now in
    /// force; after a change of these rules, new entries are examined before old ones. While `state` is `failing`, or
    /// if this node has no copy of the source, the number does not show how much remains to be taken over.
    pub lag_entries: u64,
    /// What prevents further progress, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The outcome of an adoption.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionResult {
    /// Identities of which something was adopted.
    pub identities: Vec<String>,
    /// Entries appended now.
    pub adopted: u64,
    /// Entries that had been adopted before.
    pub present: u64,
    /// Entries refused, with the reason.
    pub refused: Vec<Problem>,
    /// Entries that are left in the source by rule: statements by its issuers of X.509 certificates, if the adopting
    /// domain gives these issuers no role.
    #[serde(default)]
    pub left_out: u64,
    /// How many of the identities to be followed the source's rules do not allow to be followed.
    #[serde(default)]
    pub barred: u64,
}
