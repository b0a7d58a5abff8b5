//! The policy descriptor: the signed, versioned document that governs a domain.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::identity::{Fingerprint, Kind};
use crate::log::Hash;
use crate::statement::StatementId;
use crate::vocabulary::{DomainName, Effect, Role, StatusName};

mod admit;
mod certificates;
mod error;
pub(crate) mod fields;
mod pattern;
mod rulings;
mod template;
mod validate;
mod witnessed;

pub use admit::{admit, admit_first, admit_next};
pub use certificates::{CertificateProfile, Certificates, ISSUER_ROLE, Issuer};
pub use error::{DescriptorError, FieldError, Problem};
pub use template::{Template, TemplateInput};

/// The version of the acceptance, status and admission rules that this code implements.
pub const RULES: u32 = 1;

/// A policy descriptor as its canonical JSON (RFC 8785) states it. Only [`Descriptor::parse`] makes one that may take
/// effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// The domain's name.
    pub domain: DomainName,
    /// 1 for the first, then one more each time.
    pub version: u64,
    /// SHA-256 of the previous version's JSON; absent in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    /// The version of the rules by which entries are judged from here on; 1.
    pub rules: u32,
    /// For people: what the domain is for, and whom to ask.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who may change the descriptor.
    pub owners: Owners,
    /// The node that sequences the log.
    pub home: NodeKey,
    /// Who speaks in which role.
    pub roles: BTreeMap<Role, RoleSpec>,
    /// The statuses set by others that a role may lift; never one that blocks for ever.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lifts: BTreeMap<Role, BTreeSet<StatusName>>,
    /// How old an answer may be.
    pub freshness: Freshness,
    /// Bounds of this domain, below the system's.
    #[serde(default, skip_serializing_if = "DomainLimits::is_default")]
    pub limits: DomainLimits,
    /// Cosignatures that a checkpoint needs before it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<Witnesses>,
    /// Domains from which entries may be adopted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// The X.509 certificates that the domain issues; if absent, it issues none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Certificates>,
    /// Statuses that this domain adds to the system's table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<StatusName, AddedStatus>,
    /// Access rules: Cedar policies, each with an `@id`.
    pub access: String,
    /// Signers and node keys whose statements no longer count from an index on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compromised: Vec<Compromise>,
    /// Statements that the owners lift by their threshold, whoever made them and however they block. Each version
    /// states them anew: one that it leaves out stands again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lifted: BTreeSet<StatementId>,
    /// The last head that counts before this version. It is given when the home's key is replaced, so that the holder
    /// of the former key can sign nothing more, and when a home that lost its tail begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_head: Option<Head>,
}

/// The owners of a domain and how many of them a new descriptor needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owners {
    /// Number of distinct owners who must sign the next version.
    pub threshold: u32,
    /// Their keys.
    pub keys: Vec<OwnerKey>,
}

/// One owner's key, given in full so that entry 0 can be verified from itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerKey {
    /// Who holds it, for people.
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The OpenPGP Public-Key packet, canonical, in base64 (RFC 4648, section 4).
    pub key: String,
}

/// A node's Ed25519 key for checkpoints and cosignatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeKey {
    /// The node's name, formed as a DNS name; the key name of its cosignatures.
    pub name: String,
    /// The raw Ed25519 public key, 32 bytes in base64.
    pub key: String,
}

/// Who holds a role, and which names the role may give.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSpec {
    /// Primary fingerprints of the signers; more may hold the role by grant.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub signers: BTreeSet<Fingerprint>,
    /// Patterns of the names that the role may give, such as `urn:dev:os:32473-*`; see [`crate::name::Name::fits`].
    /// They compare text, so IPv6 addresses are better listed one by one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<String>,
}

/// How old an answer may be before it is `unknown`, in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// For any use that is not listed.
    pub default: u64,
    /// By use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uses: BTreeMap<String, u64>,
}

/// Bounds of one domain; absent members have the system's value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainLimits {
    /// Bytes of one certificate, up to [`crate::limits::PERSON_CERTIFICATE_BYTES`]; the last ones are kept for
    /// revocations of its key ([`crate::limits::KEY_REVOCATION_BYTES`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_bytes: Option<usize>,
    /// Statements by one signer about one identity, up to [`crate::limits::RECORD_STATEMENTS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements_per_signer_and_identity: Option<usize>,
}

/// The witnesses of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witnesses {
    /// How many of them must cosign.
    pub quorum: u32,
    /// Their keys.
    pub keys: Vec<NodeKey>,
}

/// A domain from which entries may be adopted, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The domain's name.
    pub domain: DomainName,
    /// Leaf data of its entry 0.
    pub entry0: Hash,
    /// Its home node's key.
    pub home: NodeKey,
}

/// A status that a domain adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedStatus {
    /// Its effect.
    pub effect: Effect,
    /// The kinds of identity that it applies to.
    pub kinds: BTreeSet<Kind>,
}

/// A key whose statements no longer count from an index of this domain's log on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compromise {
    /// Primary fingerprint of the signer.
    pub signer: Fingerprint,
    /// The domain whose indices are meant.
    pub domain: DomainName,
    /// The first index from which on nothing counts.
    pub from_index: u64,
}

/// A tree head: how many entries, and their root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Entries.
    pub size: u64,
    /// Root (RFC 6962, section 2.1).
    pub root: Hash,
}
