//! What is taken over from other domains.

use ics_core::vocabulary::DomainName;
use serde::{Deserialize, Serialize};

use super::Problem;

/// `POST /v1/domains/{domain}/adoptions`: which entries of another domain to take into this one. One of `ids`, `model`
/// and `lot` is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdoptionRequest {
    /// The domain to adopt from: this node holds it, or a peer is asked about single things of it.
    pub source: String,
    /// Identities by id or name.
    pub ids: Vec<String>,
    /// All identities of this model.
    pub model: Option<String>,
    /// All identities of this lot; together with `model` if both are given.
    pub lot: Option<String>,
    /// Whether to take over what is said of them later, too, without anyone's hand; `false` ends that and adopts nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}

/// What a domain takes over from another one by itself, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowInfo {
    /// The domain that is followed.
    pub source: DomainName,
    /// Identities that are followed one by one.
    pub identities: u64,
    /// What else is followed: everything of a model or a lot, in words.
    pub choices: Vec<String>,
    /// `current`, `behind` or `failing`.
    pub state: String,
    /// Entries of the source that are here and were not looked at yet by the rules that hold now, the newest first. Of one
    /// that fails, and of a source of which no copy is here, that says nothing: there may be more.
    pub lag_entries: u64,
    /// What is in the way, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What was adopted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionResult {
    /// Identities of which something was taken.
    pub identities: Vec<String>,
    /// Entries appended now.
    pub adopted: u64,
    /// Entries that had been adopted before.
    pub present: u64,
    /// Entries refused, with the reason.
    pub refused: Vec<Problem>,
    /// Entries that stay in the source by rule: what its issuers of X.509 certificates say, where the domain does not
    /// entitle them.
    #[serde(default)]
    pub left_out: u64,
    /// How many of the identities that are to be followed the source's rules do not let be.
    #[serde(default)]
    pub barred: u64,
}
