//! Statements: what one signer says about one identity, and the bodies in which it is said.

pub mod body;
pub mod certification;
mod developer;
mod document;
pub mod draft;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod make;
mod members;
mod message;
mod notations;
mod remnant;
pub mod signed;
mod split;
pub mod verify;

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::body::{Body, BodyError, parse};
pub use self::certification::{Certification, CertificationError, UnverifiedCertification};
pub use self::developer::{DeveloperSignature, DeveloperSignatureError, SignatureForm};
pub use self::draft::{Draft, DraftSubject};
pub use self::members::ClaimsError;
pub(crate) use self::members::text;
pub use self::message::detached;
pub use self::remnant::Remnant;
pub use self::signed::{Erasure, SaidBy, SignedDescriptor, SignedErasure};
pub use self::split::{LeftOut, Split, is_certificate, openpgp_key_of, openpgp_view, split};
pub use self::verify::{SignedHere, Statement, Unverified, VerifyError, verify, verify_batch};
use crate::canonical_json;
use crate::identity::{self, Fingerprint, IdentityError, IdentityId, Kind, serde_as_text, write_hex};
use crate::log::entry::EntryKind;
use crate::name::Name;
use crate::openpgp::algorithm::sha256;
use crate::openpgp::signature::{CERTIFICATION, CERTIFICATION_REVOCATION};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, DomainName, Effect, Role, StatusName};

/// The domain part of the notations: one constant, until the project has a domain name.
pub const NOTATION_DOMAIN: &str = "cm4it.example";

/// What is signed, not how it is wrapped: SHA-256(signature version ‖ hash algorithm ‖ issuer fingerprint ‖ OpenPGP
/// digest), so that nobody can make a "new" statement out of an old one.
///
/// Bodies that are not statements have an id of the same form: SHA-256 of the canonical bytes of a certificate, or of
/// the JSON of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementId(pub [u8; 32]);

impl fmt::Display for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl FromStr for StatementId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        identity::digest(text).map(Self).map_err(|_| IdentityError::Statement(identity::excerpt(text)))
    }
}

serde_as_text!(StatementId);

/// The thing that a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A thing with a key.
    Key {
        /// Its OpenPGP fingerprint.
        fingerprint: Fingerprint,
        /// What kind of thing the signer says it is.
        kind: Kind,
        /// The User ID that was certified.
        user_id: String,
    },
    /// A piece of software.
    Software(Software),
    /// A group.
    Group(Group),
}

/// The `subject` of a document about software: the same canonical bytes from every signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// Always `software`.
    pub kind: Kind,
    /// Product or package name.
    pub name: String,
    /// Version, as its developer writes it.
    pub version: String,
    /// Digests of the artifact by lower-case algorithm name; `sha256` is mandatory and makes the id.
    pub digests: BTreeMap<String, String>,
}

/// The `subject` of a document about a group; SHA-256 of its canonical bytes is the group's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Always `group`.
    pub kind: Kind,
    /// Its name for people.
    pub name: String,
    /// The attributes that select the members: every thing that has all of them, according to entitled signers. Only
    /// [`Attribute::SELECTING`] may be used. If empty, the members are only those that name the group.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<Attribute, String>,
}

impl Subject {
    /// The kind of thing.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Key { kind, .. } => *kind,
            Self::Software(_) => Kind::Software,
            Self::Group(_) => Kind::Group,
        }
    }

    /// The kind in the header of an entry with a statement about it.
    #[must_use]
    pub const fn entry_kind(&self) -> EntryKind {
        if self.kind().has_key() { EntryKind::Statement } else { EntryKind::Document }
    }

    /// Its name for people.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Key { user_id, .. } => user_id.clone(),
            Self::Software(software) => format!("{} {}", software.name, software.version),
            Self::Group(group) => group.name.clone(),
        }
    }

    /// The id of the identity: its fingerprint, the digest of the artifact, or the digest of the group's canonical
    /// bytes.
    ///
    /// # Errors
    /// When the subject does not have the form that documents about such things require.
    pub fn id(&self) -> Result<IdentityId, ClaimsError> {
        match self {
            Self::Key { fingerprint, .. } => Ok(IdentityId::Key(*fingerprint)),
            Self::Software(software) => software.id(),
            Self::Group(group) => group.id(),
        }
    }
}

impl Software {
    /// `sha256:` of the artifact.
    ///
    /// # Errors
    /// When a text is empty, too long or has control characters, when a digest is not lower-case hex of a named
    /// algorithm, or when `sha256` is missing.
    pub fn id(&self) -> Result<IdentityId, ClaimsError> {
        document::check_software(self)?;
        let digest = self.digests.get("sha256").and_then(|hex| identity::digest(hex).ok());
        digest.map(IdentityId::Software).ok_or(ClaimsError::Digest)
    }
}

impl Group {
    /// `sha256:` of the canonical JSON of this subject.
    ///
    /// # Errors
    /// When the name or an attribute is empty, too long or has control characters, or an attribute cannot select.
    pub fn id(&self) -> Result<IdentityId, ClaimsError> {
        document::check_group(self)?;
        let bytes = canonical_json::to_bytes(self).map_err(ClaimsError::Json)?;
        Ok(IdentityId::Group(sha256(&[&bytes])))
    }
}

/// What a grant gives: a role, to a signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The primary fingerprint of the signer who is entitled.
    pub grantee: Fingerprint,
    /// The role over the subject, or over the members if the subject is a group.
    pub role: Role,
}

/// Everything that a statement says about its subject: the notations of a certification, or the member `statement` of a
/// document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Its act.
    pub act: Act,
    /// The capacity in which the signer speaks.
    pub role: Role,
    /// The domain that it is made for.
    pub domain: DomainName,
    /// The status given; exactly in acts `status`.
    pub status: Option<StatusName>,
    /// Why, in the signer's words.
    pub reason: Option<String>,
    /// The trust label given; exactly in acts `label`.
    pub label: Option<String>,
    /// Earlier statements that this one replaces, or takes back if it is a withdrawal.
    pub supersedes: Vec<StatementId>,
    /// Names given; only in acts `identity`, and in acts `issued`: serial number, digest of the key and digest of the
    /// certificate.
    pub names: Vec<Name>,
    /// Attributes given; only in acts `identity`.
    pub attributes: BTreeMap<Attribute, String>,
    /// Groups that the subject is put into, by id.
    pub groups: Vec<[u8; 32]>,
    /// The identity that this one succeeds; only in acts `identity`.
    pub replaces: Option<IdentityId>,
    /// What is granted; exactly in acts `grant`.
    pub grant: Option<Grant>,
    /// The developer's own signatures over a piece of software; only in acts `identity`.
    pub signatures: Vec<DeveloperSignature>,
    /// The software that is installed, by SHA-256; exactly in acts `installed`.
    pub installed: Option<[u8; 32]>,
    /// From when on it is in force; if absent, from its admission.
    pub from: Option<Timestamp>,
    /// Until when it is in force, exclusively; if absent, without end.
    pub until: Option<Timestamp>,
}

impl Claims {
    /// Claims that say nothing beyond act, role and domain.
    #[must_use]
    pub const fn new(act: Act, role: Role, domain: DomainName) -> Self {
        Self {
            act,
            role,
            domain,
            status: None,
            reason: None,
            label: None,
            supersedes: Vec::new(),
            names: Vec::new(),
            attributes: BTreeMap::new(),
            groups: Vec::new(),
            replaces: None,
            grant: None,
            signatures: Vec::new(),
            installed: None,
            from: None,
            until: None,
        }
    }

    /// Whether a time is within its `from` and `until`.
    #[must_use]
    pub fn is_in_time(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }

    /// Whether a certification with these claims is a revoking one (0x30), made where the signer no longer vouches, so
    /// that clients that read no notations stop counting that signer. `None` if this does not follow from the claims
    /// alone: for a withdrawal (revoking if it takes back an identity or an approval) and for a status that a
    /// descriptor adds (revoking if its effect blocks). Documents about software and groups never revoke: they carry
    /// their status.
    #[must_use]
    pub fn revokes(&self, kind: Kind) -> Option<bool> {
        match (self.act, &self.status) {
            _ if !kind.has_key() => Some(false),
            (Act::Withdrawal, _) => None,
            (Act::Status, Some(status)) => status.builtin_effect(kind).map(Effect::blocks),
            _ => Some(false),
        }
    }

    /// Checks that a certification revokes if these claims say so, and only then.
    pub(crate) fn check_revokes(&self, kind: Kind, revokes: bool) -> Result<(), ClaimsError> {
        let expected = if revokes { CERTIFICATION } else { CERTIFICATION_REVOCATION };
        match self.revokes(kind) {
            Some(should) if should != revokes => Err(ClaimsError::Revokes { expected }),
            _ => Ok(()),
        }
    }
}
