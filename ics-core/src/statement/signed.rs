//! What the owners of a domain sign together: policy descriptors and erasures.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::{Remnant, StatementId};
use crate::canonical_json::{self, JsonError};
use crate::identity::Fingerprint;
use crate::openpgp::algorithm::sha256;
use crate::openpgp::key::PublicKey;
use crate::openpgp::verify::SignedDigest;
use crate::record::{Digest, Identity, SourceRef};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, DomainName, Effect, StatusName};

/// Signatures by distinct issuers over one JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signatures {
    id: StatementId,
    signatures: Vec<SignedDigest>,
}

impl Signatures {
    fn new(message: Message<'_>) -> Self {
        Self { id: StatementId(sha256(&[message.document])), signatures: message.signatures }
    }

    fn issuers(&self) -> impl Iterator<Item = Fingerprint> {
        self.signatures.iter().map(|signature| signature.issuer)
    }

    fn signed_at(&self) -> Timestamp {
        self.signatures.iter().map(|signature| signature.created).max().unwrap_or_default()
    }

    fn verified_by(&self, keys: &[PublicKey]) -> BTreeSet<Fingerprint> {
        let is_good = |key: &&PublicKey| self.signatures.iter().any(|signature| signature.verify(key).is_ok());
        keys.iter().filter(is_good).map(PublicKey::fingerprint).collect()
    }
}

/// A policy descriptor with signatures of owners; the previous descriptor says whose count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDescriptor {
    /// The descriptor's JSON, canonical; its content is not read here.
    pub json: Vec<u8>,
    signatures: Signatures,
}

/// Who had said the erased statement, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaidBy {
    /// Primary fingerprint of the certificate whose key signed.
    pub signer: Fingerprint,
    /// The index of the entry that was erased.
    pub index: u64,
    /// The domains through which it had been adopted, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourceRef>,
}

/// The erasure of a statement: its body and salt go; its leaf, and the effects that it still has, stay.
///
/// It restates what must not change: a block, or what would block if what has ended it fell; what the statement had
/// ended itself; on whose word that rests; and which groups the thing may be a member of, because blocks on groups hold
/// for their members. Names, reasons and User IDs are what goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The domain that it is made for.
    pub domain: DomainName,
    /// The statement that is erased.
    pub statement: StatementId,
    /// The index of its entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What the erased statement was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The act of the erased statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Act>,
    /// Who had said it, if it blocks or ends something: the effect falls with that signer, and they may end it. Without
    /// this it is the owners' own word, as in logs from before the field existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_by: Option<SaidBy>,
    /// The effect that outlives it: a block stays, for as long as nothing ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The status that has this effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusName>,
    /// From when on the status has it: not before it was admitted, which the erasure's own place in the log does not
    /// show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when the status has it, exclusively; without end if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The statements that it had ended, whatever else ends them. They stay ended for as long as it would have ended
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<StatementId>,
    /// The groups that it had named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Digest>,
    /// The attributes by which groups select that it had given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<Attribute, String>,
}

/// The JSON around an erasure: `{"erasure":{…}}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErasureDocument {
    erasure: Erasure,
}

/// An erasure with the signatures of owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedErasure {
    /// What it says.
    pub erasure: Erasure,
    signatures: Signatures,
}

impl Erasure {
    /// The erasure of a statement, restating nothing yet.
    #[must_use]
    pub const fn new(domain: DomainName, statement: StatementId) -> Self {
        Self {
            domain,
            statement,
            index: None,
            identity: None,
            act: None,
            said_by: None,
            effect: None,
            status: None,
            from: None,
            until: None,
            ends: Vec::new(),
            groups: Vec::new(),
            attributes: BTreeMap::new(),
        }
    }

    /// The entry that it erases, and the remnant left there; `None` if it does not name them, as every erasure that
    /// counts does.
    #[must_use]
    pub fn leaves(&self) -> Option<(u64, Remnant)> {
        let (index, identity) = self.index.zip(self.identity)?;
        Some((index, Remnant { statement: self.statement, identity: identity.id }))
    }

    /// Its canonical JSON, which is what owners sign.
    ///
    /// # Errors
    /// Never for values that were read; the error type is that of [`canonical_json::to_bytes`].
    pub fn to_json(&self) -> Result<Vec<u8>, JsonError> {
        canonical_json::to_bytes(&ErasureDocument { erasure: self.clone() })
    }
}

impl SignedErasure {
    pub(super) fn new(message: Message<'_>) -> Result<Self, JsonError> {
        let document: ErasureDocument = canonical_json::parse(message.document)?;
        Ok(Self { erasure: document.erasure, signatures: Signatures::new(message) })
    }
}

impl SignedDescriptor {
    pub(super) fn new(message: Message<'_>) -> Self {
        Self { json: message.document.to_vec(), signatures: Signatures::new(message) }
    }
}

/// What both types have.
macro_rules! signed {
    ($($name:ident),+) => {$(
        impl $name {
            /// SHA-256 of the JSON: sets of signatures may differ, what is signed does not.
            #[must_use]
            pub const fn id(&self) -> StatementId {
                self.signatures.id
            }

            /// The keys that claim to have signed; nothing is verified here.
            pub fn issuers(&self) -> impl Iterator<Item = Fingerprint> {
                self.signatures.issuers()
            }

            /// The latest time that a signature claims.
            #[must_use]
            pub fn signed_at(&self) -> Timestamp {
                self.signatures.signed_at()
            }

            /// The fingerprints of those of `keys` whose signature is good, to be counted against a threshold.
            #[must_use]
            pub fn verified_by(&self, keys: &[PublicKey]) -> BTreeSet<Fingerprint> {
                self.signatures.verified_by(keys)
            }
        }
    )+};
}

signed!(SignedDescriptor, SignedErasure);
