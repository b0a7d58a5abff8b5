//! A signer's own certificate (RFC 9580, 10.1): primary key, User IDs and subkeys, each with self-signatures only.
//!
//! Here it is decided which self-signatures count, what they permit and until when (`rules: 1`):
//! - A self-signature counts from its creation, as seen by a clock that may be [`limits::CLOCK_SKEW_MILLIS`] behind,
//!   until it expires or, on a User ID, until that User ID is revoked. On the key, each User ID and each subkey the
//!   newest of those that count decides; of two from the same second, the later in the certificate.
//! - The primary key's flags and expiration are those in the newest self-signature on the key itself; what that does
//!   not state is taken from the newest on the User IDs, as GnuPG does. If none has key flags, the key may certify and
//!   sign; if none has an expiration, or only one of zero seconds, it does not expire. To achieve that, the expiration
//!   must be removed from all of them, as stock programs do.
//! - A subkey may sign if its newest binding says so and holds the subkey's own signature (0x19).
//! - A revocation as superseded or retired (reasons 1 and 3) counts from its creation, any other for all times; in a
//!   log, neither counts before the log has heard of it ([`Certificate::heard_at`]).

mod read;
mod said;
mod union;

use std::collections::BTreeSet;

use self::read::Reader;
pub(crate) use self::read::{accepts, are_too_many};
use self::said::{Said, said};
use super::key::{KeyError, PublicKey};
use super::packet;
use super::reader::WireError;
use super::signature::{self as sig, DIRECT_KEY, Draft, Over, POSITIVE_CERTIFICATION, SignatureError};
use super::signer::Signer;
use super::subpacket as sub;
use super::verify::SignatureFault;
use crate::identity::{Fingerprint, excerpt};
use crate::limits;
use crate::statement::StatementId;
use crate::statement::make::MakeError;
use crate::time::Timestamp;

/// Subpackets that self-signatures may mark as critical.
pub(crate) const SELF_SIGNATURE_SUBPACKETS: [u8; 19] = [
    sub::CREATED,
    sub::SIGNATURE_EXPIRATION,
    sub::EXPORTABLE,
    sub::REVOCABLE,
    sub::KEY_EXPIRATION,
    sub::PREFERRED_SYMMETRIC,
    sub::ISSUER,
    sub::PREFERRED_HASH,
    sub::PREFERRED_COMPRESSION,
    sub::KEY_SERVER_PREFERENCES,
    sub::KEY_SERVER,
    sub::PRIMARY_USER_ID,
    sub::POLICY_URI,
    sub::KEY_FLAGS,
    sub::REASON,
    sub::FEATURES,
    sub::EMBEDDED_SIGNATURE,
    sub::ISSUER_FINGERPRINT,
    sub::PREFERRED_AEAD,
];

/// Key flags (RFC 9580, 5.2.3.29).
const MAY_CERTIFY: u8 = 0x01;
const MAY_SIGN: u8 = 0x02;

/// Why a User ID is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// Empty or too long.
    #[error("a User ID takes 1 to {max} bytes, this one has {0}", max = limits::USER_ID_BYTES)]
    Length(usize),
    /// Not UTF-8.
    #[error("the User ID is not UTF-8")]
    Utf8,
    /// A control character.
    #[error("the User ID `{0}` contains a control character")]
    Control(String),
}

/// Reads a User ID.
///
/// # Errors
/// When it is empty, longer than [`limits::USER_ID_BYTES`], not UTF-8, or has control characters.
pub fn user_id(bytes: &[u8]) -> Result<String, UserIdError> {
    if bytes.is_empty() || bytes.len() > limits::USER_ID_BYTES {
        return Err(UserIdError::Length(bytes.len()));
    }
    let text = core::str::from_utf8(bytes).map_err(|_| UserIdError::Utf8)?;
    if text.chars().any(char::is_control) {
        return Err(UserIdError::Control(excerpt(&text.escape_debug().to_string())));
    }
    Ok(text.to_owned())
}

/// Why a certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Too long.
    #[error("a certificate takes {max} bytes at most, this one has {0}", max = limits::PERSON_CERTIFICATE_BYTES)]
    TooLong(usize),
    /// Too many signatures.
    #[error("a certificate takes {max} self-signatures at most", max = limits::CERTIFICATE_SIGNATURES)]
    TooMany,
    /// Not canonical OpenPGP.
    #[error("in the certificate, {0}")]
    Wire(#[from] WireError),
    /// A packet that certificates do not have, or not in that place.
    #[error("a packet of type {0} does not belong at that place in a certificate")]
    Packet(u8),
    /// A key is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A User ID is refused.
    #[error(transparent)]
    UserId(#[from] UserIdError),
    /// The same User ID or subkey twice.
    #[error("the certificate has a User ID or subkey twice")]
    Repeated,
    /// A signature is refused.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A self-signature is not good.
    #[error("a self-signature of the certificate is not good: {0}")]
    Fault(#[from] SignatureFault),
    /// A signature by another key, or the same one twice.
    #[error("a certificate holds only signatures by `{0}` itself, each once")]
    Foreign(Fingerprint),
    /// A User ID or subkey without a self-signature, or a key without any; in version 6 the key itself needs one.
    #[error("the {0} has no self-signature of its own")]
    Unsigned(&'static str),
}

/// Why a key may not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// Not a key of this certificate.
    #[error("`{0}` is not a key of the signer's certificate")]
    Unknown(Fingerprint),
    /// Created later than that time.
    #[error("`{0}` does not exist yet at that time")]
    NotYet(Fingerprint),
    /// Expired.
    #[error("`{0}` has expired at that time")]
    Expired(Fingerprint),
    /// Revoked.
    #[error("`{0}` is revoked")]
    Revoked(Fingerprint),
    /// No self-signature counts at that time.
    #[error("`{0}` has no self-signature that counts at that time")]
    Unbound(Fingerprint),
    /// Not entitled to this purpose.
    #[error("`{0}` is not entitled by its certificate to {1}")]
    Purpose(Fingerprint, Purpose),
}

/// The purpose of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Certifications of keys: the primary key only.
    Certify,
    /// Signatures over documents.
    Sign,
}

impl core::fmt::Display for Purpose {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Certify => "certify keys",
            Self::Sign => "sign documents",
        })
    }
}

/// What a self-signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Binding {
    /// What it is made on: 0 is the key itself, higher numbers are User IDs.
    component: usize,
    created: Timestamp,
    expires: Option<Timestamp>,
    flags: Option<u8>,
    key_expires_after: Option<u32>,
    /// When the User ID that it is made on was last revoked.
    void_from: Option<Timestamp>,
    /// Whether the subkey has agreed, by its own signature.
    is_mutual: bool,
}

/// What the revocation of a key means for what the key signed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// Nothing: the key was replaced or retired.
    FromThen,
    /// It may have been made by somebody else: the key was stolen, or no reason is given.
    ForAllTimes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Revocation {
    created: Timestamp,
    is_for_all_times: bool,
    /// When a log heard of it: what the log had admitted before stands.
    heard_at: Timestamp,
}

/// A key of the certificate with what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    fingerprint: Fingerprint,
    /// `None` for subkeys of algorithms that cannot sign.
    key: Option<PublicKey>,
    created: Timestamp,
    bindings: Vec<Binding>,
    revocations: Vec<Revocation>,
}

/// A signer's own certificate, in canonical form, every self-signature verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    id: StatementId,
    bytes: usize,
    primary: Held,
    subkeys: Vec<Held>,
    user_ids: Vec<String>,
    revoked_user_ids: Vec<String>,
    signatures: BTreeSet<StatementId>,
}

impl Certificate {
    /// Reads a certificate in canonical form and verifies its self-signatures.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > limits::PERSON_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLong(bytes.len()));
        }
        let packets = packet::all(bytes)?;
        let signatures = packets.iter().filter(|packet| packet.tag == packet::SIGNATURE);
        if are_too_many(signatures.map(|packet| packet.body)) {
            return Err(CertificateError::TooMany);
        }
        let mut components = packets.chunk_by(|_, next| next.tag == packet::SIGNATURE);
        let mut reader = match components.next() {
            Some([key, signatures @ ..]) if key.tag == packet::PUBLIC_KEY => Reader::new(key, signatures)?,
            Some([other, ..]) => return Err(CertificateError::Packet(other.tag)),
            _ => return Err(WireError::Truncated.into()),
        };
        for component in components {
            match component {
                [packet, signatures @ ..] if packet.tag == packet::USER_ID => {
                    reader.user_id(packet.body, signatures)?
                }
                [packet, signatures @ ..] if packet.tag == packet::PUBLIC_SUBKEY => {
                    reader.subkey(packet.body, signatures)?
                }
                [packet, ..] => return Err(CertificateError::Packet(packet.tag)),
                [] => {}
            }
        }
        reader.finish(bytes)
    }

    /// Makes a certificate with one key, which may certify and sign, and one User ID. `at` counts in whole seconds;
    /// `salt` is used by version 6 and must then be unpredictable.
    ///
    /// # Errors
    /// When the User ID is refused or the key does not sign.
    pub fn make(signer: &dyn Signer, user_id_text: &str, at: Timestamp, salt: &[u8; 32]) -> Result<Vec<u8>, MakeError> {
        user_id(user_id_text.as_bytes())?;
        let key = signer.public_key();
        let user_id = user_id_text.as_bytes();
        let mut out = key.to_packet();
        if key.version() == 6 {
            let direct = with_preferences(Draft::new(DIRECT_KEY, signer, at), key.version());
            sig::write_packet(&mut out, &direct.sign(signer, Over::Key(key.body()), &sig::derived_salt(salt, 1))?);
        }
        packet::write(&mut out, packet::USER_ID, user_id);
        let binding = with_preferences(Draft::new(POSITIVE_CERTIFICATION, signer, at), key.version());
        sig::write_packet(&mut out, &binding.sign(signer, Over::UserId { key: key.body(), user_id }, salt)?);
        Ok(out)
    }

    /// SHA-256 of its canonical bytes.
    #[must_use]
    pub const fn id(&self) -> StatementId {
        self.id
    }

    /// Bytes of its canonical form.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The fingerprint of the primary key, which identifies the signer.
    #[must_use]
    pub const fn primary(&self) -> Fingerprint {
        self.primary.fingerprint
    }

    /// The User IDs that are not revoked.
    #[must_use]
    pub fn user_ids(&self) -> &[String] {
        &self.user_ids
    }

    /// The User IDs that were revoked: certifications of them can still be read.
    #[must_use]
    pub fn revoked_user_ids(&self) -> &[String] {
        &self.revoked_user_ids
    }

    /// The fingerprints of the primary key and of every subkey, whatever their purpose.
    pub fn all_keys(&self) -> impl Iterator<Item = Fingerprint> {
        core::iter::once(&self.primary).chain(&self.subkeys).map(|held| held.fingerprint)
    }

    /// The fingerprints of all keys that may sign for the holder at some time: the primary key, then subkeys that have
    /// agreed.
    pub fn keys(&self) -> impl Iterator<Item = Fingerprint> {
        let signing = self.subkeys.iter().filter(|held| held.bindings.iter().any(|binding| binding.is_mutual));
        core::iter::once(&self.primary).chain(signing).map(|held| held.fingerprint)
    }

    /// The primary key and the subkeys, whatever their purpose, except those of algorithms that cannot sign.
    pub fn public_keys(&self) -> impl Iterator<Item = &PublicKey> {
        core::iter::once(&self.primary).chain(&self.subkeys).filter_map(|held| held.key.as_ref())
    }

    /// The keys that may sign documents at a time, with which the holder can prove their identity: none once the
    /// primary key is revoked or has expired.
    pub fn signing_keys(&self, at: Timestamp) -> impl Iterator<Item = &PublicKey> {
        self.public_keys().filter(move |key| self.key_for(&key.fingerprint(), Purpose::Sign, at).is_ok())
    }

    /// Whether this certificate has every self-signature that an earlier state of it has, and more. Only then does it
    /// replace that state, because anybody can submit a state without its revocations.
    #[must_use]
    pub fn extends(&self, earlier: &Self) -> bool {
        self.covers(earlier) && self.signatures != earlier.signatures
    }

    /// Whether this certificate has every self-signature that another state of it has.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.primary() == other.primary() && self.signatures.is_superset(&other.signatures)
    }

    /// Whether it ends the key of an earlier state, which its holder may always do. Either it revokes the key for all
    /// times, after which nothing else that comes with it entitles to anything, or it revokes the key for the first
    /// time and brings nothing else. In both cases its additional length is bounded.
    #[must_use]
    pub fn ends(&self, earlier: &Self) -> bool {
        let (new, former) = (&self.primary, &earlier.primary);
        let ends_for_ever = new.is_revoked_for_all_times() && !former.is_revoked_for_all_times();
        let is_first = former.revocations.is_empty() && !new.revocations.is_empty();
        let brings = |more: usize| self.signatures.len() == earlier.signatures.len() + more;
        (ends_for_ever || is_first && brings(new.revocations.len()))
            && self.extends(earlier)
            && self.bytes <= earlier.bytes + limits::KEY_REVOCATION_BYTES
    }

    /// Whether the key of another state of it is revoked, and the key of this one by every revocation that the other
    /// has. Where the rules of a domain keep the other state out, its revocations are all that goes in; this tells that
    /// they have.
    #[must_use]
    pub fn is_revoked_as(&self, other: &Self) -> bool {
        let (own, others) = (&self.primary.revocations, &other.primary.revocations);
        // When a log has heard of each makes no difference here.
        let what = |it: &Revocation| (it.created, it.is_for_all_times);
        let is_own = |it: &Revocation| own.iter().any(|held| what(held) == what(it));
        self.primary() == other.primary() && !others.is_empty() && others.iter().all(is_own)
    }

    /// How its primary key is revoked, if it is.
    #[must_use]
    pub fn revoked(&self) -> Option<Revoked> {
        let for_all_times = self.primary.is_revoked_for_all_times();
        let how = if for_all_times { Revoked::ForAllTimes } else { Revoked::FromThen };
        (!self.primary.revocations.is_empty()).then_some(how)
    }

    /// The same certificate as a log has it: the log heard at that time of what revokes its keys, and what is proven to
    /// have been admitted before was good. Without this, revocations count as if they had always been known.
    #[must_use]
    pub fn heard_at(mut self, at: Timestamp) -> Self {
        let keys = core::iter::once(&mut self.primary).chain(&mut self.subkeys);
        for revocation in keys.flat_map(|held| &mut held.revocations) {
            revocation.heard_at = at;
        }
        self
    }

    /// The same certificate after an earlier state, which may already have had the revocations of its keys.
    #[must_use]
    pub fn behind(mut self, earlier: &Self) -> Self {
        for held in core::iter::once(&mut self.primary).chain(&mut self.subkeys) {
            let mut before = core::iter::once(&earlier.primary).chain(&earlier.subkeys);
            if let Some(before) = before.find(|it| it.fingerprint == held.fingerprint) {
                held.revocations.iter_mut().for_each(|revocation| revocation.behind(&before.revocations));
            }
        }
        self
    }

    /// The primary key, if it may certify others at some time: it is not revoked for all times, and its newest
    /// self-signatures do not deny it that.
    ///
    /// # Errors
    /// When it may not.
    pub fn certifying_key(&self) -> Result<&PublicKey, KeyRefusal> {
        let fingerprint = self.primary.fingerprint;
        if self.primary.is_revoked_for_all_times() {
            return Err(KeyRefusal::Revoked(fingerprint));
        }
        let flags = said(&self.primary.bindings, |_| true).and_then(|said| said.flags);
        let may = flags.is_none_or(|flags| flags & MAY_CERTIFY != 0);
        let key = self.primary.key.as_ref().filter(|_| may);
        key.ok_or(KeyRefusal::Purpose(fingerprint, Purpose::Certify))
    }

    /// The key that made a signature, if it may do so at a time.
    ///
    /// # Errors
    /// When it is not in the certificate, or was not alive or not entitled at that time.
    pub fn key_for(&self, issuer: &Fingerprint, purpose: Purpose, at: Timestamp) -> Result<&PublicKey, KeyRefusal> {
        let purpose_refused = KeyRefusal::Purpose(*issuer, purpose);
        let primary = self.primary.alive_at(at)?;
        if *issuer == self.primary.fingerprint {
            let flag = if purpose == Purpose::Certify { MAY_CERTIFY } else { MAY_SIGN };
            let key = self.primary.key.as_ref().filter(|_| primary.flags.is_none_or(|flags| flags & flag != 0));
            return key.ok_or(purpose_refused);
        }
        let subkey =
            self.subkeys.iter().find(|held| held.fingerprint == *issuer).ok_or(KeyRefusal::Unknown(*issuer))?;
        let said = subkey.alive_at(at)?;
        let may_sign = said.is_mutual && said.flags.is_some_and(|flags| flags & MAY_SIGN != 0);
        subkey.key.as_ref().filter(|_| may_sign && purpose == Purpose::Sign).ok_or(purpose_refused)
    }
}

impl Revocation {
    /// Takes over when it was heard of from an earlier state. Of two that were created in the same second and do the
    /// same, it does not matter which.
    fn behind(&mut self, earlier: &[Self]) {
        let is_it = |it: &&Self| (it.created, it.is_for_all_times) == (self.created, self.is_for_all_times);
        let heard_at = earlier.iter().filter(is_it).map(|it| it.heard_at).min();
        self.heard_at = heard_at.map_or(self.heard_at, |heard_at| heard_at.min(self.heard_at));
    }
}

impl Held {
    fn new(key: PublicKey) -> Self {
        let (fingerprint, created) = (key.fingerprint(), key.created());
        Self { fingerprint, key: Some(key), created, bindings: Vec::new(), revocations: Vec::new() }
    }

    fn is_revoked_for_all_times(&self) -> bool {
        self.revocations.iter().any(|revocation| revocation.is_for_all_times)
    }

    /// What is said of the key at a time, if it is valid then.
    fn alive_at(&self, at: Timestamp) -> Result<Said, KeyRefusal> {
        let latest = at.plus_millis(limits::CLOCK_SKEW_MILLIS);
        if self.created > latest {
            return Err(KeyRefusal::NotYet(self.fingerprint));
        }
        let is_revoked = |r: &Revocation| r.heard_at <= at && (r.is_for_all_times || r.created <= at);
        if self.revocations.iter().any(is_revoked) {
            return Err(KeyRefusal::Revoked(self.fingerprint));
        }
        let counts = |b: &Binding| {
            b.created <= latest
                && b.expires.is_none_or(|expires| expires > at)
                && b.void_from.is_none_or(|void| b.created > void)
        };
        let said = said(&self.bindings, counts).ok_or(KeyRefusal::Unbound(self.fingerprint))?;
        let ends = said.key_expires_after.map(|seconds| later(self.created, seconds));
        if ends.is_some_and(|ends| ends <= at) { Err(KeyRefusal::Expired(self.fingerprint)) } else { Ok(said) }
    }
}

const fn later(time: Timestamp, seconds: u32) -> Timestamp {
    time.plus_millis(seconds as u64 * 1000)
}

fn with_preferences(draft: Draft, version: u8) -> Draft {
    // AES-256, AES-128; SHA-512, SHA-256; the encryption containers that the version can read (RFC 9580, 5.2.3.32).
    let features: u8 = if version == 6 { 0x09 } else { 0x01 };
    draft
        .with(sub::KEY_FLAGS, &[MAY_CERTIFY | MAY_SIGN])
        .with(sub::PREFERRED_SYMMETRIC, &[9, 7])
        .with(sub::PREFERRED_HASH, &[10, 8])
        .with(sub::FEATURES, &[features])
}

#[cfg(test)]
mod tests;
