//! Transferable secret keys: a certificate whose key packets carry encrypted secrets.

use std::io::Write as _;

use ics_core::openpgp::key::PublicKey;
use ics_core::statement::{self, Body, BodyError};
use sequoia_openpgp::PacketPile;
use sequoia_openpgp::armor;
use sequoia_openpgp::packet::Packet;
use sequoia_openpgp::parse::Parse as _;
use sequoia_openpgp::serialize::{Marshal as _, MarshalInto as _};

use super::KeyError;
use super::token::TokenUri;

/// The armor header that names the token. By RFC 9580, 6.2.2.2, comments are for people, and programs skip them.
const TOKEN_HEADER: &str = "Comment";

/// The packets of a transferable secret key, binary or armored.
pub(super) fn packets(bytes: &[u8]) -> Result<Vec<Packet>, String> {
    let pile = PacketPile::from_bytes(bytes).map_err(|e| e.to_string())?;
    let packets: Vec<Packet> = pile.into_children().collect();
    match packets.first() {
        Some(Packet::SecretKey(_)) => Ok(packets),
        Some(Packet::PublicKey(_)) => Err("it is a public key, without its secret".to_owned()),
        _ => Err("it holds no OpenPGP secret key".to_owned()),
    }
}

/// The packets of a certificate with the given secrets added to their keys.
pub(super) fn with_secrets(certificate: &[u8], secrets: Vec<Packet>) -> Result<Vec<Packet>, KeyError> {
    let pile = PacketPile::from_bytes(certificate).map_err(KeyError::make)?;
    let with_secret = |packet: Packet| {
        let found =
            fingerprint(&packet).and_then(|id| secrets.iter().find(|secret| fingerprint(secret) == Some(id.clone())));
        found.cloned().unwrap_or(packet)
    };
    Ok(pile.into_children().map(with_secret).collect())
}

/// The fingerprint of the key in a packet, with or without its secret; `None` for other packets.
pub(super) fn fingerprint(packet: &Packet) -> Option<sequoia_openpgp::Fingerprint> {
    Some(match packet {
        Packet::PublicKey(key) => key.fingerprint(),
        Packet::SecretKey(key) => key.fingerprint(),
        Packet::PublicSubkey(key) => key.fingerprint(),
        Packet::SecretSubkey(key) => key.fingerprint(),
        _ => return None,
    })
}

/// Whether a packet carries the secret of a key that can sign.
pub(super) fn has_signing_secret(packet: &Packet) -> bool {
    match packet {
        Packet::SecretKey(_) => true,
        Packet::SecretSubkey(key) => key.pk_algo().for_signing(),
        _ => false,
    }
}

/// The packet without its secret.
fn without_secret(packet: Packet) -> Packet {
    match packet {
        Packet::SecretKey(key) => Packet::PublicKey(key.take_secret().0),
        Packet::SecretSubkey(key) => Packet::PublicSubkey(key.take_secret().0),
        other => other,
    }
}

/// The certificate, binary: everything but the secrets.
pub(super) fn certificate(packets: &[Packet]) -> Result<Vec<u8>, KeyError> {
    let mut bytes = Vec::new();
    for packet in packets {
        bytes.extend(without_secret(packet.clone()).to_vec().map_err(KeyError::make)?);
    }
    Ok(bytes)
}

/// A certificate in the canonical form of the log.
#[derive(Clone, Default)]
pub(super) struct Canonical {
    pub(super) body: Vec<u8>,
    /// Revocations in it, of the key or of something on it, that do not count.
    pub(super) not_revoked: Vec<BodyError>,
}

/// Reads the one certificate in the output of gpg, sq or a node, armored or binary, and returns it in the canonical
/// form of the log.
///
/// # Errors
/// When there is none, or more than one, or it is not accepted.
pub fn canonical(bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
    read(bytes).map(|it| it.body)
}

/// As [`canonical`], with the revocations in it that do not count.
pub(super) fn read(bytes: &[u8]) -> Result<Canonical, KeyError> {
    let split = statement::split(bytes).map_err(not_accepted)?;
    let is_certificate = |body: &Vec<u8>| matches!(statement::parse(body), Ok(Body::Certificate(_)));
    let mut certificates = split.bodies.into_iter().filter(is_certificate);
    match (certificates.next(), certificates.next()) {
        (Some(body), None) => {
            let not_revoked = split.refused.into_iter().filter(|it| it.not_revoked().is_some()).collect();
            Ok(Canonical { body, not_revoked })
        }
        (None, _) => {
            let first = split.refused.into_iter().next();
            Err(first.map_or_else(|| KeyError::make("there is no certificate"), not_accepted))
        }
        (Some(_), Some(_)) => Err(KeyError::make("there are several certificates")),
    }
}

fn not_accepted(error: BodyError) -> KeyError {
    if error.not_revoked().is_some() { KeyError::NotRevoked(Box::new(error)) } else { KeyError::make(error) }
}

/// A certificate in armor with a header that names the token with its secret: any OpenPGP program can import it.
pub(super) fn armor_in_token(certificate: &[u8], uri: &TokenUri) -> Result<String, KeyError> {
    let headers = [(TOKEN_HEADER, uri.to_string())];
    let mut writer =
        armor::Writer::with_headers(Vec::new(), armor::Kind::PublicKey, headers).map_err(KeyError::make)?;
    writer.write_all(certificate).map_err(KeyError::make)?;
    String::from_utf8(writer.finalize().map_err(KeyError::make)?).map_err(KeyError::make)
}

/// The certificate in such armor, and the URI; `None` if it is something else.
pub(super) fn in_token(bytes: &[u8]) -> Result<Option<(TokenUri, Vec<u8>)>, String> {
    let Ok(text) = core::str::from_utf8(bytes) else { return Ok(None) };
    let headers = text.lines().skip_while(|line| !line.starts_with("-----BEGIN PGP PUBLIC KEY")).skip(1);
    let mut values = headers.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        (name == TOKEN_HEADER && TokenUri::is_meant(value)).then_some(value)
    });
    let Some(uri) = values.next() else { return Ok(None) };
    let uri = uri.parse::<TokenUri>().map_err(|e| e.to_string())?;
    Ok(Some((uri, canonical(bytes).map_err(|e| e.to_string())?)))
}

/// The primary key of a certificate, in the form of the core.
///
/// # Errors
/// When the certificate does not begin with an accepted key.
pub fn primary_key(certificate: &[u8]) -> Result<PublicKey, KeyError> {
    let pile = PacketPile::from_bytes(certificate).map_err(KeyError::make)?;
    let first = pile.into_children().next().ok_or_else(|| KeyError::make("the certificate is empty"))?;
    PublicKey::from_packet(&first.to_vec().map_err(KeyError::make)?).map_err(KeyError::make)
}

/// A certificate in armor.
///
/// # Errors
/// When the library fails.
pub fn armor_certificate(bytes: &[u8]) -> Result<String, KeyError> {
    armored(armor::Kind::PublicKey, |writer| writer.write_all(bytes).map_err(Into::into))
}

/// Armors packets with secrets, none of which may be unencrypted.
pub(super) fn armor_secrets(packets: &[Packet]) -> Result<String, KeyError> {
    if packets.iter().any(has_clear_secret) {
        return Err(KeyError::Make("its secret is not encrypted".to_owned()));
    }
    armored(armor::Kind::SecretKey, |writer| packets.iter().try_for_each(|packet| packet.serialize(writer)))
}

/// Whether a packet carries a secret that is not encrypted.
pub(super) fn has_clear_secret(packet: &Packet) -> bool {
    match packet {
        Packet::SecretKey(key) => key.has_unencrypted_secret(),
        Packet::SecretSubkey(key) => key.has_unencrypted_secret(),
        _ => false,
    }
}

fn armored(
    kind: armor::Kind,
    write: impl FnOnce(&mut armor::Writer<Vec<u8>>) -> sequoia_openpgp::Result<()>,
) -> Result<String, KeyError> {
    let mut writer = armor::Writer::new(Vec::new(), kind).map_err(KeyError::make)?;
    write(&mut writer).map_err(KeyError::make)?;
    let bytes = writer.finalize().map_err(KeyError::make)?;
    String::from_utf8(bytes).map_err(KeyError::make)
}
