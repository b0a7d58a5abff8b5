//! By what a statement is found: index keys, as a function of the statement.

use std::collections::BTreeSet;

use super::Logged;
use crate::identity::{Fingerprint, IdentityId, Kind};
use crate::name::Name;
use crate::statement::StatementId;
use crate::vocabulary::{Act, Attribute, Role, StatusName};

/// One key under which a statement is filed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Posting {
    /// What it is about.
    Subject(IdentityId),
    /// Its id.
    Statement(StatementId),
    /// A name that it gives.
    Name(Name),
    /// Who signed it.
    Signer(Fingerprint),
    /// The kind of thing that it is about.
    Kind(Kind),
    /// What it does.
    Act(Act),
    /// The capacity in which its signer speaks.
    Role(Role),
    /// An attribute that it gives, or by which its subject selects.
    Attribute(Attribute, String),
    /// The status that it gives.
    Status(StatusName),
    /// The label that it gives.
    Label(String),
    /// A group that it puts its subject into.
    Member([u8; 32]),
    /// What its subject, a group, selects: see [`crate::statement::Group::selector_key`].
    Selector([u8; 32]),
    /// Whom it entitles.
    Grantee(Fingerprint),
    /// The software that it says is installed.
    Installed([u8; 32]),
}

impl Posting {
    /// The key's bytes: one that tells the keys apart, then the value. A store may hash them; it then compares
    /// [`postings`] of what it found, because hashes collide.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (tag, value): (u8, Vec<u8>) = match self {
            Self::Subject(id) => (1, id.to_tagged_bytes()),
            Self::Statement(id) => (2, id.0.to_vec()),
            Self::Name(name) => (3, name.to_string().into_bytes()),
            Self::Signer(fingerprint) => (4, fingerprint.as_bytes().to_vec()),
            Self::Kind(kind) => (5, kind.as_str().into()),
            Self::Act(act) => (6, act.as_str().into()),
            Self::Role(role) => (7, role.as_str().into()),
            Self::Attribute(attribute, value) => (8, [attribute.as_str(), "=", value].concat().into_bytes()),
            Self::Status(status) => (9, status.as_str().into()),
            Self::Label(label) => (10, label.clone().into_bytes()),
            Self::Member(group) => (11, group.to_vec()),
            Self::Selector(key) => (12, key.to_vec()),
            Self::Grantee(fingerprint) => (13, fingerprint.as_bytes().to_vec()),
            Self::Installed(software) => (14, software.to_vec()),
        };
        [&[tag], value.as_slice()].concat()
    }
}

/// The attributes by which listings are filtered.
const LISTED: [Attribute; 4] = Attribute::SELECTING;

/// All keys of a statement.
#[must_use]
pub fn postings(statement: &Logged) -> BTreeSet<Posting> {
    let claims = statement.claims();
    let mut keys = BTreeSet::from([
        Posting::Subject(statement.subject_id()),
        Posting::Statement(statement.id()),
        Posting::Signer(statement.signer()),
        Posting::Kind(statement.subject().kind()),
        Posting::Act(claims.act),
        Posting::Role(claims.role.clone()),
    ]);
    let selector = statement.subject().as_group();
    let attributes = claims.attributes.iter().chain(selector.iter().flat_map(|group| &group.attributes));
    keys.extend(
        attributes
            .filter(|(attribute, _)| LISTED.contains(attribute))
            .map(|(attribute, value)| Posting::Attribute(*attribute, value.clone())),
    );
    keys.extend(statement.names().iter().cloned().map(Posting::Name));
    keys.extend(claims.groups.iter().copied().map(Posting::Member));
    keys.extend(selector.and_then(|group| group.selector_key()).map(Posting::Selector));
    keys.extend(claims.status.clone().map(Posting::Status));
    keys.extend(claims.label.clone().map(Posting::Label));
    keys.extend(claims.grant.as_ref().map(|grant| Posting::Grantee(grant.grantee)));
    keys.extend(claims.installed.map(Posting::Installed));
    keys
}
