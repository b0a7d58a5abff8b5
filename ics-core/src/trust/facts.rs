//! What a relying party's rules may know about a thing: the evaluated view of the domains that count.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::identity::Kind;
use crate::vocabulary::{Attribute, Effect};

/// What stands about one thing, over all domains that count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// What kind of thing it is.
    pub kind: Kind,
    /// The attributes on which all who vouch agree, if the role of at least one of them counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<Attribute, String>,
    /// The most restrictive effect of the statuses that count.
    pub effect: Effect,
    /// The status with that effect, if any counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The roles in which entitled signers vouch for its identity, if the trust policy counts the role.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub vouching_roles: BTreeSet<String>,
    /// The roles in which entitled signers approve it, likewise.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub approving_roles: BTreeSet<String>,
    /// The roles in which signers formerly approved it, for a time that is over, without having taken that back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub formerly_approving_roles: BTreeSet<String>,
    /// The trust labels that stand and were given in a role in which the trust policy accepts labels.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// Whether the statuses that stand differ in effect.
    #[serde(default)]
    pub conflict: bool,
}
