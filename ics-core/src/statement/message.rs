//! Signed messages in their one form: one-pass signatures, literal data, signatures (RFC 9580, 10.3).

use super::body::BodyError;
use crate::identity::Fingerprint;
use crate::limits;
use crate::openpgp::packet::{self, Packet};
use crate::openpgp::signature::{self, Over, Signature, SignatureError};
use crate::openpgp::subpacket as sub;
use crate::openpgp::verify::SignedDigest;
use crate::statement::notations;

/// What precedes the data in a Literal Data packet: binary, no name, no date.
const LITERAL_HEADER: [u8; 6] = [b'b', 0, 0, 0, 0, 0];

/// Subpackets that signatures over documents may mark as critical.
const UNDERSTOOD: [u8; 6] =
    [sub::CREATED, sub::EXPORTABLE, sub::ISSUER, sub::ISSUER_FINGERPRINT, sub::SIGNERS_USER_ID, sub::POLICY_URI];

/// A message that is well formed; nothing is verified yet.
pub(crate) struct Message<'a> {
    pub(crate) document: &'a [u8],
    /// In the order of the Signature packets, innermost first; of distinct issuers of one OpenPGP version.
    pub(crate) signatures: Vec<SignedDigest>,
}

/// Reads a message in its one form.
pub(crate) fn parse<'a>(packets: &[Packet<'a>]) -> Result<Message<'a>, BodyError> {
    let one_pass = packets.iter().take_while(|packet| packet.tag == packet::ONE_PASS).count();
    if one_pass > limits::DESCRIPTOR_SIGNATURES {
        return Err(BodyError::Signatures(one_pass));
    }
    let (headers, rest) = packets.split_at_checked(one_pass).ok_or(BodyError::Sequence)?;
    let (literal, signatures) = rest.split_first().ok_or(BodyError::Sequence)?;
    let is_signature = |packet: &Packet<'_>| packet.tag == packet::SIGNATURE;
    if literal.tag != packet::LITERAL || signatures.len() != one_pass || !signatures.iter().all(is_signature) {
        return Err(BodyError::Sequence);
    }
    let document = literal.body.strip_prefix(&LITERAL_HEADER).ok_or(BodyError::Literal)?;
    let mut signed: Vec<SignedDigest> = Vec::with_capacity(one_pass);
    for (index, (header, packet)) in headers.iter().rev().zip(signatures).enumerate() {
        let signature = Signature::parse(packet.body)?;
        check(&signature)?;
        if header.body != one_pass_for(&signature, index == 0) {
            return Err(BodyError::OnePass);
        }
        check_issuer(&signed, signature.issuer)?;
        signed.push(signature.over(Over::Document(document))?);
    }
    Ok(Message { document, signatures: signed })
}

fn check_issuer(before: &[SignedDigest], issuer: Fingerprint) -> Result<(), BodyError> {
    if before.iter().any(|other| other.issuer == issuer) {
        return Err(BodyError::SameIssuer(issuer));
    }
    if before.iter().any(|other| other.issuer.version() != issuer.version()) {
        return Err(BodyError::MixedVersions);
    }
    Ok(())
}

/// Checks that it is a plain signature over a document: the document states the content, and for how long it holds.
fn check(signature: &Signature<'_>) -> Result<(), SignatureError> {
    if signature.kind != signature::BINARY {
        return Err(SignatureError::Kind(signature.kind));
    }
    signature.understands_only(&UNDERSTOOD)?;
    signature.refuses(&[sub::SIGNATURE_EXPIRATION, sub::EMBEDDED_SIGNATURE])?;
    signature.is_exportable()?;
    if notations::has_ours(&signature.subpackets) { Err(SignatureError::NotAllowed(sub::NOTATION)) } else { Ok(()) }
}

/// The content of the One-Pass Signature packet of a signature (RFC 9580, 5.4).
fn one_pass_for(signature: &Signature<'_>, is_last: bool) -> Vec<u8> {
    let is_v6 = signature.version() == 6;
    let mut body = vec![if is_v6 { 6 } else { 3 }, signature.kind, signature.hash.id(), signature.algorithm];
    if is_v6 {
        body.push(u8::try_from(signature.salt.len()).unwrap_or(u8::MAX));
        body.extend_from_slice(signature.salt);
        body.extend_from_slice(signature.issuer.as_bytes());
    } else {
        body.extend_from_slice(&signature.issuer.key_id());
    }
    body.push(is_last.into());
    body
}

/// The message of a document and the contents of its Signature packets, innermost first.
pub(crate) fn write(document: &[u8], signatures: &[&[u8]]) -> Result<Vec<u8>, SignatureError> {
    let mut out = Vec::with_capacity(document.len() + 512 * signatures.len());
    for (index, body) in signatures.iter().enumerate().rev() {
        packet::write(&mut out, packet::ONE_PASS, &one_pass_for(&Signature::parse(body)?, index == 0));
    }
    packet::write(&mut out, packet::LITERAL, &[&LITERAL_HEADER, document].concat());
    signatures.iter().for_each(|body| signature::write_packet(&mut out, body));
    Ok(out)
}

/// A message taken apart into its document and a detached signature, which is the concatenated packets, as `gpg
/// --verify document.sig document.json` expects. `None` if the bytes are not a message.
#[must_use]
pub fn detached(body: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let packets = packet::all(body).ok()?;
    let document = packets.iter().find(|packet| packet.tag == packet::LITERAL)?.body.strip_prefix(&LITERAL_HEADER)?;
    let mut signatures = Vec::new();
    packets
        .iter()
        .filter(|packet| packet.tag == packet::SIGNATURE)
        .for_each(|packet| signature::write_packet(&mut signatures, packet.body));
    Some((document, signatures))
}
