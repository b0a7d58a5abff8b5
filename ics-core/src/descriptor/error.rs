//! Why a descriptor is refused: which field, and which rule it breaks.

use super::RULES;
use crate::canonical_json::JsonError;
use crate::identity::{Fingerprint, Kind};
use crate::limits;
use crate::log::Hash;
use crate::openpgp::key::KeyError;
use crate::policy::PolicyError;

/// Why a descriptor is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// Longer than [`limits::DESCRIPTOR_BYTES`].
    #[error("the descriptor has {0} bytes, the limit is {max}", max = limits::DESCRIPTOR_BYTES)]
    TooLong(usize),
    /// JSON, but not of a descriptor: an unknown or missing member, or a value of the wrong form.
    #[error("the descriptor is not formed: {0}")]
    Json(String),
    /// Not canonical JSON: its content could be written in other bytes, and its hash would differ.
    #[error("in the descriptor, {0}")]
    Encoding(JsonError),
    /// A member without content, such as an empty list, or a fingerprint in capitals: its content could likewise be
    /// written in other bytes.
    #[error(
        "the descriptor has an empty member that must be left out, or a value not in its shortest or lower-case form"
    )]
    Superfluous,
    /// A field breaks a rule.
    #[error("descriptor {0}")]
    Field(#[from] FieldError),
    /// A signature that no owner has made.
    #[error("a signature names `{0}` as its signer, but it is not a good signature by an owner's key")]
    Stranger(Fingerprint),
    /// Signed by too few owners.
    #[error("signed by {signed} of the owners of version {version}, which asks for {threshold}")]
    BelowThreshold {
        /// Distinct owners whose signatures are good.
        signed: usize,
        /// How many the version asks for.
        threshold: u32,
        /// The version whose owners count.
        version: u64,
    },
}

/// A field of a document breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: {problem}")]
pub struct FieldError {
    /// Path of the field, such as `owners.keys[1].fingerprint`.
    pub field: String,
    /// The rule that it breaks.
    pub problem: Problem,
}

/// The rule that a field breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Outside its bounds.
    #[error("{value} is outside {min} to {max}")]
    Range {
        /// The value.
        value: u64,
        /// The smallest value allowed.
        min: u64,
        /// The largest value allowed.
        max: u64,
    },
    /// Empty where something is required.
    #[error("must not be empty")]
    Empty,
    /// More than [`limits::TEXT_BYTES`].
    #[error("has {0} bytes, the limit is {max}", max = limits::TEXT_BYTES)]
    TooLong(usize),
    /// An element that occurs twice.
    #[error("`{0}` stands here twice")]
    Duplicate(String),
    /// A version of the rules that is not known here.
    #[error("rules version {0} is not known here: this is an implementation of {RULES}")]
    Rules(u64),
    /// A version that does not follow the previous one.
    #[error("version {version} does not follow version {previous}: the next is {next}", next = .previous + 1)]
    Version {
        /// The version of the new descriptor.
        version: u64,
        /// The version in force.
        previous: u64,
    },
    /// `previous` is missing in a later version, or present in version 1.
    #[error("must stand here in every version but the first, and not in that")]
    Previous,
    /// The hash of another descriptor.
    #[error("is not the hash of the previous version, which is {0}")]
    PreviousHash(Hash),
    /// Another domain's descriptor.
    #[error("`{0}` is another domain's name")]
    OtherDomain(String),
    /// A domain that the trust policy does not count.
    #[error("`{0}` is not among `domains`")]
    Uncounted(String),
    /// A source that is this domain itself.
    #[error("is this domain itself: entries are adopted from others")]
    OwnDomain,
    /// A home that is its own witness.
    #[error("has the key of the home, which its witnesses are to watch")]
    OwnWitness,
    /// No set of signatures could ever reach the threshold.
    #[error("{threshold} owners of one OpenPGP version are needed, there are {owners}")]
    Unreachable {
        /// How many are needed.
        threshold: u32,
        /// The most that can sign one message.
        owners: usize,
    },
    /// Not base64.
    #[error("is not base64 (RFC 4648, section 4)")]
    Base64,
    /// Not an OpenPGP key.
    #[error("is not the key of an owner: {0}")]
    OpenPgpKey(KeyError),
    /// The key has another fingerprint.
    #[error("is not the fingerprint of the key beside it, which is {0}")]
    Fingerprint(Fingerprint),
    /// Not an Ed25519 key.
    #[error("is not an Ed25519 public key: 32 canonical bytes in base64, not of small order")]
    NodeKey,
    /// Not a host name.
    #[error("`{0}` is not a node's name: it is formed as a DNS name, in lower case")]
    NodeName(String),
    /// A role that `roles` does not define.
    #[error("the role `{0}` is not defined in `roles`")]
    Role(String),
    /// A status that neither the system nor the descriptor has.
    #[error("`{0}` is not a status of this domain")]
    Status(String),
    /// A built-in status, which every domain has.
    #[error("`{0}` is a status that every domain has, and cannot be defined again")]
    Builtin(String),
    /// A status that no single role may lift.
    #[error("`{0}` blocks for ever: only the owners' threshold lifts it, by a statement's id in `lifted`")]
    ForEver(String),
    /// Not a pattern of names.
    #[error(
        "`{0}` is not a pattern of names: `*`, or a canonical name such as `urn:dev:os:32473-*` with one `*` at most"
    )]
    Pattern(String),
    /// Such a pattern of IPv6 addresses.
    #[error(
        "`{0}` is not a pattern of names: patterns compare text, and an IPv6 address is written without its zeros (RFC \
         5952), so the addresses of one network do not all begin alike; list each address, or use host names, as in \
         `host:*.acme.example`"
    )]
    AddressPattern(String),
    /// A kind of things without a key, which get no certificate.
    #[error("a {0} has no key that a certificate could be about")]
    NoKey(Kind),
    /// A number of shards that does not divide the 256 buckets of revocation lists.
    #[error("{0} is not a power of two up to 256")]
    Shards(u16),
    /// Not the address of a web server.
    #[error("`{0}` is not http://… or https://… without a final slash")]
    Url(String),
    /// Not an object identifier.
    #[error("`{0}` is not an object identifier such as 1.3.6.1.4.1.32473.1")]
    ObjectIdentifier(String),
    /// The home's key was replaced without stating the last good head under the former key.
    #[error("must stand here when the home's key changes: the last size and root that count under the former key")]
    HeadMissing,
    /// A last head in version 1.
    #[error("has no meaning in version 1")]
    HeadFirst,
    /// The access rules are refused.
    #[error(transparent)]
    Access(PolicyError),
}
