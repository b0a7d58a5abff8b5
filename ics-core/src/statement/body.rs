//! The bodies of log entries, read in their one canonical form.

use std::sync::Arc;

use super::certification::UnverifiedCertification;
use super::members::ClaimsError;
use super::message::{self, Message};
use super::signed::{SignedDescriptor, SignedErasure};
use super::verify::{Content, Purpose, Unverified, names_of};
use super::{StatementId, Subject, document, notations};
use crate::canonical_json::{self, JsonError};
use crate::identity::{Fingerprint, IdentityId, excerpt};
use crate::limits;
use crate::log::entry::EntryKind;
use crate::openpgp::certificate::{Certificate, CertificateError, SELF_SIGNATURE_SUBPACKETS, UserIdError, user_id};
use crate::openpgp::key::{KeyError, PublicKey};
use crate::openpgp::packet::{self, Packet};
use crate::openpgp::reader::WireError;
use crate::openpgp::signature::{
    self, CERTIFICATION, CERTIFICATION_REVOCATION, Over, POSITIVE_CERTIFICATION, Signature, SignatureError,
};
use crate::openpgp::subpacket as sub;
use crate::openpgp::verify::SignedDigest;
use crate::vocabulary::Act;

/// The private reason code (RFC 9580, 5.2.3.31: 100 to 110) of this system's revoking certifications.
pub(crate) const REASON_CODE: u8 = 100;

/// Subpackets that certifications may mark as critical.
const UNDERSTOOD: [u8; 8] = [
    sub::CREATED,
    sub::EXPORTABLE,
    sub::REVOCABLE,
    sub::ISSUER,
    sub::ISSUER_FINGERPRINT,
    sub::SIGNERS_USER_ID,
    sub::POLICY_URI,
    sub::REASON,
];

/// Subpackets that would make a certification mean something different to OpenPGP. The claims of a statement say when
/// it is in force, so its signature does not expire on its own.
const REFUSED: [u8; 4] = [sub::SIGNATURE_EXPIRATION, sub::TRUST, sub::REGULAR_EXPRESSION, sub::EMBEDDED_SIGNATURE];

/// What a log entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A statement about an identity.
    Statement(Box<Unverified>),
    /// A signer's own certificate, its self-signatures verified.
    Certificate(Certificate),
    /// A certification that is not a statement of this system.
    Certification(UnverifiedCertification),
    /// A policy descriptor.
    Descriptor(SignedDescriptor),
    /// An erasure.
    Erasure(SignedErasure),
}

impl Body {
    /// Its id: that of the statement, or what stands for it: see [`StatementId`].
    #[must_use]
    pub fn id(&self) -> StatementId {
        match self {
            Self::Statement(statement) => statement.id(),
            Self::Certificate(certificate) => certificate.id(),
            Self::Certification(certification) => certification.id(),
            Self::Descriptor(descriptor) => descriptor.id(),
            Self::Erasure(erasure) => erasure.id(),
        }
    }

    /// The kind in the header of its entry.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::Statement(statement) => statement.subject().entry_kind(),
            Self::Certificate(_) => EntryKind::Certificate,
            Self::Certification(_) => EntryKind::Certification,
            Self::Descriptor(_) => EntryKind::Descriptor,
            Self::Erasure(_) => EntryKind::Erasure,
        }
    }
}

/// Why bytes are not a body in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than such a body may have.
    #[error("the {what} takes {max} bytes at most, this one has {found}")]
    TooLong {
        /// What is too long: a kind of body, or an upload.
        what: &'static str,
        /// The limit.
        max: usize,
        /// Its length.
        found: usize,
    },
    /// Not canonical OpenPGP.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Text that is not armor of keys, messages or signatures.
    #[error(
        "the text is not an armored OpenPGP public key, message or signature; a clear-signed text is not accepted: sign \
         with `gpg --sign --compress-level 0`"
    )]
    Armor,
    /// A packet that no body may have.
    #[error("{0} packets have no place in a body")]
    Packet(&'static str),
    /// Packets in another order or number than any body has.
    #[error(
        "the packets do not form a body: a statement is key, User ID, signatures; a document is one-pass signature, \
         literal data, signature"
    )]
    Sequence,
    /// The public key is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The User ID is refused.
    #[error(transparent)]
    UserId(#[from] UserIdError),
    /// A signature is refused.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A signature before the signer's that is not a self-signature of the subject.
    #[error("the signature before the signer's is not the subject's own certification of its User ID")]
    SelfSignature,
    /// The claims are refused.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The document is not canonical JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The certificate is refused.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Literal data that is not binary, or has a name or a date, which no signature covers.
    #[error("the literal data packet must be binary (`b`), without name and date")]
    Literal,
    /// A one-pass packet that does not announce its signature.
    #[error("a one-pass signature packet does not match its signature")]
    OnePass,
    /// A statement with more or fewer than one signature, or a descriptor with too many.
    #[error("the message has {0} signatures: a statement has one, a descriptor or an erasure 1 to {max}", max = limits::DESCRIPTOR_SIGNATURES)]
    Signatures(usize),
    /// Two signatures of one issuer.
    #[error("`{0}` has signed the message twice")]
    SameIssuer(Fingerprint),
    /// A revocation by the holder that does not count here.
    #[error(
        "the revocation of `{of}`, of the key `{key}`, is NOT accepted, and nothing is revoked by it: {why}. Make it \
         again with SHA-512 (`gpg --cert-digest-algo SHA512`); if the key is lost, the domain's owners end it with \
         `ics domain update --compromised`"
    )]
    RevocationRefused {
        /// The primary key.
        key: Fingerprint,
        /// What it revokes: a User ID, or a key by its fingerprint.
        of: String,
        /// What is wrong with it.
        why: String,
    },
    /// A revocation by a designated revoker, or by any other key.
    #[error(
        "a revocation of `{0}` by another key is NOT accepted, and nothing is revoked by it: designated revokers, \
         which RFC 9580 deprecates, do not count here. Revoke it with the key itself; if that is lost, the domain's \
         owners end it with `ics domain update --compromised`, and whoever vouched for it withdraws that statement"
    )]
    RevokedByAnother(Fingerprint),
    /// Signatures of version 4 and 6 in one message.
    #[error("the message mixes signatures of OpenPGP version 4 and 6")]
    MixedVersions,
}

impl BodyError {
    /// The primary key of which a revocation was not taken: whoever sent it believes that it is revoked. `None` for
    /// every other error.
    #[must_use]
    pub const fn not_revoked(&self) -> Option<Fingerprint> {
        match self {
            Self::RevocationRefused { key, .. } | Self::RevokedByAnother(key) => Some(*key),
            _ => None,
        }
    }

    /// Whether it is such a revocation, and what that was meant to end stands in a state of the certificate. If it does
    /// not, nobody needs to be told: old keys bring User IDs and subkeys that were revoked with SHA-1 long ago and were
    /// never taken.
    #[must_use]
    pub fn leaves_standing(&self, held: &Certificate) -> bool {
        if self.not_revoked() != Some(held.primary()) {
            return false;
        }
        let Self::RevocationRefused { of, .. } = self else { return true };
        held.user_ids().iter().any(|user_id| excerpt(user_id) == *of)
            || held.all_keys().any(|key| key.to_string() == *of)
    }
}

/// Reads a body, which must have its one canonical form, byte for byte. What is not verified yet has a type that says
/// so.
///
/// # Errors
/// The first rule that the bytes break.
pub fn parse(bytes: &[u8]) -> Result<Body, BodyError> {
    too_long("body", limits::PERSON_CERTIFICATE_BYTES, bytes.len())?;
    let packets = packet::all(bytes)?;
    match packets.first().map(|packet| packet.tag) {
        Some(packet::PUBLIC_KEY) => parse_key(bytes, &packets),
        Some(packet::ONE_PASS) => parse_message(bytes, message::parse(&packets)?),
        Some(tag) => Err(packet_name(tag).map_or(BodyError::Sequence, BodyError::Packet)),
        None => Err(WireError::Truncated.into()),
    }
}

pub(crate) fn too_long(what: &'static str, max: usize, found: usize) -> Result<(), BodyError> {
    if found > max { Err(BodyError::TooLong { what, max, found }) } else { Ok(()) }
}

/// Names of packets that people send and that are refused everywhere.
pub(crate) const fn packet_name(tag: u8) -> Option<&'static str> {
    match tag {
        1 | 3 => Some("session key"),
        5 | 7 => Some("secret key"),
        8 => Some("compressed data"),
        9 | 18 | 20 => Some("encrypted data"),
        packet::MARKER => Some("marker"),
        packet::TRUST => Some("trust"),
        packet::USER_ATTRIBUTE => Some("user attribute"),
        packet::PADDING => Some("padding"),
        _ => None,
    }
}

/// Reads a key and what is signed about it: a statement or certification if the last signature is by another key, else
/// its holder's certificate.
fn parse_key(bytes: &[u8], packets: &[Packet<'_>]) -> Result<Body, BodyError> {
    if let [key, user_id, own @ .., last] = packets
        && key.tag == packet::PUBLIC_KEY
        && user_id.tag == packet::USER_ID
        && last.tag == packet::SIGNATURE
        && own.len() <= 1
    {
        let (key, glance) = (PublicKey::from_body(key.body)?, signature::glance(last.body)?);
        let is_own = glance.is_by(&key.fingerprint());
        if !is_own && own.is_empty() && !notations::has_ours(&glance.hashed) {
            let read = UnverifiedCertification::read(bytes, key, user_id.body, last, &glance);
            return read.map(Body::Certification);
        }
        if !is_own {
            let signature = Signature::parse(last.body)?;
            return parse_certification(bytes, key, user_id.body, own.first(), &signature)
                .map(|statement| Body::Statement(Box::new(statement)));
        }
    }
    Ok(Body::Certificate(Certificate::parse(bytes)?))
}

fn parse_certification(
    bytes: &[u8],
    key: PublicKey,
    user_id_bytes: &[u8],
    own: Option<&Packet<'_>>,
    signature: &Signature<'_>,
) -> Result<Unverified, BodyError> {
    let post_quantum = key.algorithm().is_post_quantum() || matches!(signature.algorithm, 30 | 31);
    let max = if post_quantum { limits::STATEMENT_PQC_BYTES } else { limits::STATEMENT_BYTES };
    too_long("statement", max, bytes.len())?;
    let user_id = user_id(user_id_bytes)?;
    check_certification(signature)?;
    let (claims, kind) = notations::read(signature)?;
    let revokes = signature.kind == CERTIFICATION_REVOCATION;
    claims.check_revokes(kind, revokes)?;
    let over = Over::UserId { key: key.body(), user_id: user_id_bytes };
    let own = own.map(|packet| self_signature(packet, &key, over)).transpose()?;
    let signed = signature.over(over)?;
    let subject = Subject::Key { fingerprint: key.fingerprint(), kind, user_id };
    // Only an introduction gives the thing this name.
    let spki = if claims.act == Act::Identity { key.spki_sha256() } else { None };
    let names = names_of(&subject, &claims, spki);
    let own = own.map(|own| (key.clone(), own));
    let content = Content {
        id: signed.id(),
        identity: IdentityId::Key(key.fingerprint()),
        subject,
        claims,
        issuer: signed.issuer,
        signed_at: signed.created,
        revokes,
        names,
        key: Some(key),
    };
    Ok(Unverified { content: Arc::new(content), purpose: Purpose::Certify, signed, own })
}

fn check_certification(signature: &Signature<'_>) -> Result<(), SignatureError> {
    let reason = signature.one(sub::REASON)?;
    match (signature.kind, reason) {
        (CERTIFICATION, None) => {}
        (CERTIFICATION, Some(_)) => return Err(SignatureError::NotAllowed(sub::REASON)),
        (CERTIFICATION_REVOCATION, Some([REASON_CODE, ..])) => {}
        (CERTIFICATION_REVOCATION, Some(_)) => return Err(SignatureError::Malformed(sub::REASON)),
        (CERTIFICATION_REVOCATION, None) => return Err(SignatureError::Missing("reason for revocation")),
        (other, _) => return Err(SignatureError::Kind(other)),
    }
    if signature.one(sub::REVOCABLE)?.is_some_and(|data| data != [1]) {
        return Err(SignatureError::NotAllowed(sub::REVOCABLE));
    }
    signature.understands_only(&UNDERSTOOD)?;
    signature.refuses(&REFUSED)?;
    signature.is_exportable()
}

/// The subject's own certification of its User ID, to be verified with the signer's signature.
fn self_signature(packet: &Packet<'_>, key: &PublicKey, over: Over<'_>) -> Result<SignedDigest, BodyError> {
    if packet.tag != packet::SIGNATURE {
        return Err(BodyError::Sequence);
    }
    let signature = Signature::parse_by(packet.body, Some(&key.fingerprint()))?;
    let is_certification = (CERTIFICATION..=POSITIVE_CERTIFICATION).contains(&signature.kind);
    if signature.issuer != key.fingerprint() || !is_certification {
        return Err(BodyError::SelfSignature);
    }
    signature.understands_only(&SELF_SIGNATURE_SUBPACKETS)?;
    signature.is_exportable()?;
    Ok(signature.over(over)?)
}

/// Reads a signed message; the members of its JSON say what it is.
fn parse_message(bytes: &[u8], message: Message<'_>) -> Result<Body, BodyError> {
    too_long("descriptor", limits::DESCRIPTOR_BYTES, message.document.len())?;
    let document = canonical_json::parse_value(message.document)?;
    if document.get("erasure").is_some() {
        return Ok(Body::Erasure(SignedErasure::new(message)?));
    }
    if document.get("statement").is_none() {
        return Ok(Body::Descriptor(SignedDescriptor::new(message)));
    }
    too_long("document", limits::DOCUMENT_BYTES, message.document.len())?;
    too_long("signed document", limits::MESSAGE_BYTES, bytes.len())?;
    let count = message.signatures.len();
    let [signed] = <[SignedDigest; 1]>::try_from(message.signatures).map_err(|_| BodyError::Signatures(count))?;
    let (subject, claims) = document::read(document)?;
    let names = names_of(&subject, &claims, None);
    let content = Content {
        id: signed.id(),
        identity: subject.id()?,
        subject,
        claims,
        issuer: signed.issuer,
        signed_at: signed.created,
        revokes: false,
        names,
        key: None,
    };
    let content = Arc::new(content);
    Ok(Body::Statement(Box::new(Unverified { content, purpose: Purpose::Sign, signed, own: None })))
}

#[cfg(test)]
mod tests;
