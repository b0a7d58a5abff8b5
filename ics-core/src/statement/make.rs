//! Making bodies. No randomness is drawn here: times and salts are arguments, and what is signed is what
//! [`super::parse`] accepts.

use super::body::{BodyError, REASON_CODE, parse};
use super::members::{self, ClaimsError};
use super::{Claims, Subject, document, message, notations};
use crate::canonical_json::{self, JsonError};
use crate::identity::{Fingerprint, Kind};
use crate::limits;
use crate::openpgp::certificate::{UserIdError, user_id};
use crate::openpgp::key::PublicKey;
use crate::openpgp::packet;
use crate::openpgp::reader::WireError;
use crate::openpgp::signature::{self, BINARY, CERTIFICATION, CERTIFICATION_REVOCATION, Draft, Over, SignatureError};
use crate::openpgp::signer::{Signer, SignerError};
use crate::openpgp::subpacket as sub;
use crate::time::Timestamp;
use crate::vocabulary::Act;

/// Why no body was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// The claims could not be read back.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The User ID is refused.
    #[error(transparent)]
    UserId(#[from] UserIdError),
    /// The JSON is not canonical.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The body would be refused, because of the self-signature that was given.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A given signature or message is not in canonical form.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A given packet is not canonical.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The key does not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A signer cannot make a statement about their own key: to OpenPGP it would be a self-signature.
    #[error("`{0}` cannot make a statement about its own key")]
    OwnKey(Fingerprint),
    /// What was given is not a message that can take another signature.
    #[error("this is not a signed descriptor or erasure")]
    NotAMessage,
    /// No signer was given.
    #[error("at least one signer is needed")]
    NoSigner,
    /// The body would be longer than its kind allows.
    #[error("the body would have {found} bytes, the limit is {max}")]
    TooLong {
        /// The limit.
        max: usize,
        /// The length that it would have.
        found: usize,
    },
}

/// Makes a certification of somebody's User ID that is not a statement, as gpg makes it: type 0x10, without notations.
///
/// # Errors
/// When the User ID is refused, the key is the signer's own, or the key does not sign.
pub fn certify_user_id(
    signer: &dyn Signer,
    key: &PublicKey,
    user_id_text: &str,
    at: Timestamp,
    salt: &[u8; 32],
) -> Result<Vec<u8>, MakeError> {
    user_id(user_id_text.as_bytes())?;
    if signer.public_key().fingerprint() == key.fingerprint() {
        return Err(MakeError::OwnKey(key.fingerprint()));
    }
    let over = Over::UserId { key: key.body(), user_id: user_id_text.as_bytes() };
    let signature = Draft::new(CERTIFICATION, signer, at).sign(signer, over, salt)?;
    let mut body = key.to_packet();
    packet::write(&mut body, packet::USER_ID, user_id_text.as_bytes());
    signature::write_packet(&mut body, &signature);
    Ok(body)
}

fn bounded(body: Vec<u8>, max: usize) -> Result<Vec<u8>, MakeError> {
    if body.len() > max { Err(MakeError::TooLong { max, found: body.len() }) } else { Ok(body) }
}

/// Makes a statement about a thing with a key: Public-Key, User ID, the thing's own signature if it has one, and the
/// signer's certification, which revokes (0x30) if [`Claims::revokes`] says so.
///
/// `self_signature` is a whole Signature packet in canonical form; `at` counts in whole seconds; `salt` is used by
/// version 6 signers and must then be unpredictable.
///
/// # Errors
/// When the claims, the User ID or the given self-signature are refused, when signer and subject are one key, or when
/// the key does not sign.
#[expect(
    clippy::too_many_arguments,
    reason = "one statement has this many independent parts, and a struct for one call names them no better"
)]
pub fn certify(
    signer: &dyn Signer,
    key: &PublicKey,
    user_id_text: &str,
    self_signature: Option<&[u8]>,
    kind: Kind,
    claims: &Claims,
    revokes: bool,
    at: Timestamp,
    salt: &[u8; 32],
) -> Result<Vec<u8>, MakeError> {
    user_id(user_id_text.as_bytes())?;
    if signer.public_key().fingerprint() == key.fingerprint() {
        return Err(MakeError::OwnKey(key.fingerprint()));
    }
    let members = members::write(claims, Some(kind));
    members::read(members.clone(), None)?;
    let kind_of_signature = if revokes { CERTIFICATION_REVOCATION } else { CERTIFICATION };
    claims.check_revokes(kind, revokes)?;
    let mut draft = Draft::new(kind_of_signature, signer, at);
    if revokes {
        draft = draft.with(sub::REASON, &[&[REASON_CODE], reason(claims).as_bytes()].concat());
    }
    let user_id = user_id_text.as_bytes();
    let over = Over::UserId { key: key.body(), user_id };
    let signed = notations::write(draft, &members).sign(signer, over, salt)?;
    let mut body = key.to_packet();
    packet::write(&mut body, packet::USER_ID, user_id);
    body.extend_from_slice(self_signature.unwrap_or_default());
    signature::write_packet(&mut body, &signed);
    let algorithms = [key.algorithm(), signer.public_key().algorithm()];
    let post_quantum = algorithms.iter().any(|algorithm| algorithm.is_post_quantum());
    let body = bounded(body, if post_quantum { limits::STATEMENT_PQC_BYTES } else { limits::STATEMENT_BYTES })?;
    if self_signature.is_some() {
        parse(&body)?;
    }
    Ok(body)
}

/// The reason of a revocation that GnuPG shows: the status, or the act.
fn reason(claims: &Claims) -> &str {
    claims.status.as_ref().map_or(Act::Withdrawal.as_str(), |status| status.as_str())
}

/// Makes a device's own certification of its User ID, as a whole Signature packet for [`certify`].
///
/// # Errors
/// When the User ID is refused or the key does not sign.
pub fn self_sign(
    signer: &dyn Signer,
    user_id_text: &str,
    at: Timestamp,
    salt: &[u8; 32],
) -> Result<Vec<u8>, MakeError> {
    user_id(user_id_text.as_bytes())?;
    let key = signer.public_key();
    let user_id = user_id_text.as_bytes();
    let over = Over::UserId { key: key.body(), user_id };
    let signed = Draft::new(signature::POSITIVE_CERTIFICATION, signer, at).sign(signer, over, salt)?;
    let mut out = Vec::new();
    signature::write_packet(&mut out, &signed);
    Ok(out)
}

/// Makes a statement about software or a group: a signed message with one signature.
///
/// # Errors
/// When the subject has a key, subject or claims are refused, or the key does not sign.
pub fn sign_document(
    signer: &dyn Signer,
    subject: &Subject,
    claims: &Claims,
    at: Timestamp,
    salt: &[u8; 32],
) -> Result<Vec<u8>, MakeError> {
    let json = bounded(document::write(subject, claims)?, limits::DOCUMENT_BYTES)?;
    let body = sign_message(&[signer], &json, at, salt)?;
    bounded(body, limits::MESSAGE_BYTES)
}

/// Makes a signed policy descriptor or erasure from its canonical JSON. All signers must use the same OpenPGP version.
///
/// `salt` seeds the salts of all signatures.
///
/// # Errors
/// When the JSON is not canonical or too long, there is no signer, or one does not sign.
pub fn sign_descriptor(
    signers: &[&dyn Signer],
    json: &[u8],
    at: Timestamp,
    salt: &[u8; 32],
) -> Result<Vec<u8>, MakeError> {
    canonical_json::parse_value(json)?;
    if json.len() > limits::DESCRIPTOR_BYTES {
        return Err(MakeError::TooLong { max: limits::DESCRIPTOR_BYTES, found: json.len() });
    }
    sign_message(signers, json, at, salt)
}

fn sign_message(signers: &[&dyn Signer], json: &[u8], at: Timestamp, salt: &[u8; 32]) -> Result<Vec<u8>, MakeError> {
    if signers.is_empty() {
        return Err(MakeError::NoSigner);
    }
    let mut signatures = Vec::with_capacity(signers.len());
    for (index, signer) in signers.iter().enumerate() {
        let salt = signature::derived_salt(salt, index);
        signatures.push(Draft::new(BINARY, *signer, at).sign(*signer, Over::Document(json), &salt)?);
    }
    let bodies: Vec<&[u8]> = signatures.iter().map(Vec::as_slice).collect();
    Ok(message::write(json, &bodies)?)
}

/// Adds an owner's signature to a signed descriptor or erasure; what others have signed stays the same byte for byte.
///
/// # Errors
/// When the bytes are not a canonical message, or the key does not sign.
pub fn add_signature(body: &[u8], signer: &dyn Signer, at: Timestamp, salt: &[u8; 32]) -> Result<Vec<u8>, MakeError> {
    let packets = packet::all(body)?;
    let document = message::parse(&packets).map_err(|_| MakeError::NotAMessage)?.document;
    let added = Draft::new(BINARY, signer, at).sign(signer, Over::Document(document), salt)?;
    let mut signatures: Vec<&[u8]> =
        packets.iter().filter(|packet| packet.tag == packet::SIGNATURE).map(|packet| packet.body).collect();
    signatures.push(&added);
    Ok(message::write(document, &signatures)?)
}
