//! The input of resolution: what was said, and where it stands in the log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::identity::{Fingerprint, IdentityId};
use crate::statement::{Claims, Grant, StatementId, Subject};
use crate::time::Timestamp;
use crate::vocabulary::{Act, DomainName, Role};

/// The facts of one statement, without its bytes. Only verification makes one, or a store from a row that it has
/// verified before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) id: StatementId,
    /// Primary fingerprint of the certificate whose key signed.
    pub(crate) signer: Fingerprint,
    pub(crate) signed_at: Timestamp,
    /// A certification revocation (0x30) instead of a certification.
    pub(crate) revokes: bool,
    pub(crate) subject: Subject,
    pub(crate) subject_id: IdentityId,
    pub(crate) claims: Claims,
}

/// One domain through which an adopted entry came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRef {
    /// The domain's name.
    pub domain: DomainName,
    /// Leaf data of its entry 0: with the name, the domain's identity.
    #[serde(with = "hex32")]
    pub entry0: [u8; 32],
    /// The entry's index in that domain's log.
    pub index: u64,
}

mod hex32 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::HEXLOWER.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::identity::digest(&text).map_err(serde::de::Error::custom)
    }
}

/// A verified statement at its place in a domain's log. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    index: u64,
    admitted_at: Timestamp,
    source: Arc<[SourceRef]>,
    refused: bool,
    said: Arc<Said>,
}

impl Logged {
    pub(crate) fn from_said(index: u64, admitted_at: Timestamp, source: &[SourceRef], said: Said) -> Self {
        Self { index, admitted_at, source: source.into(), refused: false, said: Arc::new(said) }
    }

    /// The same entry, marked as one that a mirror's own reading of the policy would not have admitted: it stays in the
    /// log and has no effect.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// Whether it has no effect because the policy did not allow it.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.refused
    }

    /// Index in the domain's log.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// When the domain's home admitted it.
    #[must_use]
    pub const fn admitted_at(&self) -> Timestamp {
        self.admitted_at
    }

    /// The domains through which it was adopted, nearest first; empty if it was said in this domain.
    #[must_use]
    pub fn source(&self) -> &[SourceRef] {
        &self.source
    }

    /// The statement's id.
    #[must_use]
    pub fn id(&self) -> StatementId {
        self.said.id
    }

    /// Primary fingerprint of the signer's certificate.
    #[must_use]
    pub fn signer(&self) -> Fingerprint {
        self.said.signer
    }

    /// When the signer says he signed it.
    #[must_use]
    pub fn signed_at(&self) -> Timestamp {
        self.said.signed_at
    }

    /// Whether it is a certification revocation (0x30).
    #[must_use]
    pub fn revokes(&self) -> bool {
        self.said.revokes
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.said.subject
    }

    /// The id of what it is about.
    #[must_use]
    pub fn subject_id(&self) -> IdentityId {
        self.said.subject_id
    }

    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.said.claims
    }

    pub(crate) fn act(&self) -> Act {
        self.said.claims.act
    }

    pub(crate) fn role(&self) -> &Role {
        &self.said.claims.role
    }

    /// The grant that it makes, if it is one.
    pub(crate) fn grant(&self) -> Option<&Grant> {
        self.said.claims.grant.as_ref().filter(|_| self.act() == Act::Grant)
    }
}
