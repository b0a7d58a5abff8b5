//! Access policy: who may read, append to, mirror and follow a domain.
//!
//! The descriptor states it in Cedar; [`AccessPolicy`] is that text, validated, and decides single requests.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::identity::{Fingerprint, IdentityId, Kind};
use crate::statement::Claims;
use crate::vocabulary::{Act, Attribute, DomainName, Effect, Role, StatusName};

mod access;
mod memo;
mod rules;
mod shape;

pub use access::AccessPolicy;
pub(crate) use memo::Memo;
pub use rules::PolicyError;
pub(crate) use rules::{Asked, OwnSchema, Rules, check_bounds, entity, read_schema, uid};

/// What somebody wants to do with an identity or a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Request {
    /// Who asks.
    pub principal: Principal,
    /// What they want to do.
    pub action: Action,
    /// With what.
    pub resource: Resource,
}

/// Who asks: the signer of an entry, or a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Principal {
    /// Primary fingerprint of the signer, or of a reader who has proven it; absent if anonymous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// The roles held over the resource: by the descriptor and by live grants. For a certificate, which is about
    /// nothing else, the roles of live grants over anything.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<Role>,
    /// Name of the peer node, from its pinned key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Reading one identity's record and history.
    Read,
    /// Being told of later statements about one identity, so as to adopt them.
    Follow,
    /// Copying the whole domain.
    Mirror,
    /// Appending a statement.
    Append(Append),
    /// Appending a signer's own certificate.
    Certificate {
        /// The domain from which it is adopted.
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<DomainName>,
    },
    /// Appending somebody's certification of another's certificate, which entitles to nothing.
    Certification {
        /// The domain from which it is adopted.
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<DomainName>,
    },
}

/// What a rule may know about a statement that is to be appended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Append {
    /// What the statement does.
    pub act: Act,
    /// The role that its signer claims.
    pub role: Role,
    /// The status given; exactly in acts `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusName>,
    /// The status's effect on things of this kind; exactly in acts `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The label given; exactly in acts `label`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The role granted; exactly in acts `grant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Role>,
    /// The domain from which the entry is adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<DomainName>,
    /// Whether its signer has the role only through grants that rest on what was said in other domains.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub granted_elsewhere: bool,
    /// Whether it ends a status that somebody else gave and that was not adopted from the same domain; only in acts
    /// `status`.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub lifts: bool,
}

/// What the request is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// A whole domain; for [`Action::Mirror`].
    Domain(DomainName),
    /// One identity; for everything else.
    Identity {
        /// Its id; absent if only its kind is known yet.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<IdentityId>,
        /// What kind of thing it is.
        kind: Kind,
        /// Attributes that entitled signers give it.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        attributes: BTreeMap<Attribute, String>,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Whether it is allowed.
    pub allow: bool,
    /// The ids of the rules that decided, sorted. Empty when no rule permits it.
    pub reasons: Vec<String>,
    /// Errors while deciding, sorted. Any error denies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl Append {
    /// What a rule may know about these claims.
    ///
    /// `effect` is that of the status given, according to the descriptor; `source` is the domain that an adopted entry
    /// comes from. `granted_elsewhere` and `lifts` are left unset, since only the record shows them, not the claims.
    #[must_use]
    pub fn new(claims: &Claims, effect: Option<Effect>, source: Option<DomainName>) -> Self {
        Self {
            act: claims.act,
            role: claims.role.clone(),
            status: claims.status.clone(),
            effect,
            label: claims.label.clone(),
            grants: claims.grant.as_ref().map(|grant| grant.role.clone()),
            source,
            granted_elsewhere: false,
            lifts: false,
        }
    }
}

impl Resource {
    /// An identity with its known attributes.
    #[must_use]
    pub const fn identity(id: IdentityId, kind: Kind, attributes: BTreeMap<Attribute, String>) -> Self {
        Self::Identity { id: Some(id), kind, attributes }
    }
}
