//! Bare keys: an X.509 SubjectPublicKeyInfo (RFC 5280, 4.1) becomes the same version 4 OpenPGP key for every importer.

use data_encoding::BASE64;

use super::algorithm::KeyAlgorithm;
use super::key::{self, KeyError, Material, PublicKey};
use super::reader::{Reader, strip_zeros, write_mpi};
use crate::time::Timestamp;

/// The creation time of every key that is built from a bare public key: 2018-01-01T00:00:00Z.
pub const BARE_KEY_CREATED: Timestamp = Timestamp::from_seconds(1_514_764_800);

/// The part of a SubjectPublicKeyInfo before the point of a P-256 key (RFC 5480, 2).
pub const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The same for P-384.
pub const P384: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];
/// The same for P-521.
pub const P521: &[u8] = &[
    0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
    0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
];
/// The same for an Ed25519 key (RFC 8410, 4).
pub const ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const ED448: &[u8] = &[0x30, 0x43, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x71, 0x03, 0x3a, 0x00];
/// AlgorithmIdentifier of rsaEncryption with its NULL (RFC 3279, 2.3.1).
const RSA_ALGORITHM: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// Why a bare public key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpkiError {
    /// Not the DER of a SubjectPublicKeyInfo of an accepted algorithm.
    #[error(
        "this is not the DER of a SubjectPublicKeyInfo with an RSA, Ed25519, Ed448 or uncompressed P-256, P-384 or \
         P-521 key"
    )]
    Form,
    /// Not one PEM block of a public key.
    #[error("this is not PEM: it takes one block from `-----BEGIN PUBLIC KEY-----` to `-----END PUBLIC KEY-----`")]
    Pem,
    /// A key that is not accepted.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An Ed25519 key that is not a point of the curve.
    #[error("the Ed25519 key is not a point of the curve")]
    NotAPoint,
}

impl PublicKey {
    /// The version 4 key of a bare public key in DER: created at [`BARE_KEY_CREATED`], ECDSA, EdDSA or RSA.
    ///
    /// # Errors
    /// When the DER is anything but the one encoding of an accepted key.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, SpkiError> {
        let key = [P256, P384, P521, ED25519, ED448]
            .into_iter()
            .find_map(|prefix| der.strip_prefix(prefix).map(|key| (prefix, key)));
        let key = match key {
            Some((ED25519, point)) => ed25519(point)?,
            Some((ED448, point)) => Self::from_material(4, BARE_KEY_CREATED, KeyAlgorithm::Ed448, point)?,
            Some((prefix, point)) => ecdsa(prefix, point)?,
            None => rsa(der)?,
        };
        if key.to_spki_der().as_deref() == Some(der) { Ok(key) } else { Err(SpkiError::Form) }
    }

    /// The same from PEM (RFC 7468, 13).
    ///
    /// # Errors
    /// When the text is not one PEM block `PUBLIC KEY`, or [`Self::from_spki_der`] refuses its content.
    pub fn from_spki_pem(pem: &str) -> Result<Self, SpkiError> {
        let inner = pem
            .trim()
            .strip_prefix("-----BEGIN PUBLIC KEY-----")
            .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"))
            .ok_or(SpkiError::Pem)?;
        let base64: String = inner.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = BASE64.decode(base64.as_bytes()).map_err(|_| SpkiError::Pem)?;
        Self::from_spki_der(&der)
    }

    /// The X.509 SubjectPublicKeyInfo of this key; `None` for keys that X.509 cannot express.
    #[must_use]
    pub fn to_spki_der(&self) -> Option<Vec<u8>> {
        let (prefix, key): (&[u8], &[u8]) = match (self.material(), self.algorithm()) {
            (Material::Ed25519(point), _) => (ED25519, point),
            (Material::Ed448(point), _) => (ED448, point.as_slice()),
            (Material::Point(point), KeyAlgorithm::P384) => (P384, point),
            (Material::Point(point), KeyAlgorithm::P521) => (P521, point),
            (Material::Point(point), _) => (P256, point),
            (Material::Rsa { n, e }, _) => return Some(rsa_der(n, e)),
            (Material::Composite, _) => return None,
        };
        Some([prefix, key].concat())
    }
}

fn ed25519(point: &[u8]) -> Result<PublicKey, SpkiError> {
    let point: &[u8; 32] = point.try_into().map_err(|_| SpkiError::Form)?;
    ed25519_zebra::VerificationKey::try_from(*point).map_err(|_| SpkiError::NotAPoint)?;
    Ok(PublicKey::ed25519(4, BARE_KEY_CREATED, point)?)
}

fn ecdsa(prefix: &[u8], point: &[u8]) -> Result<PublicKey, SpkiError> {
    let algorithm = match prefix {
        P384 => KeyAlgorithm::P384,
        P521 => KeyAlgorithm::P521,
        _ => KeyAlgorithm::P256,
    };
    let material = key::ecdsa_material(algorithm, point);
    Ok(PublicKey::from_material(4, BARE_KEY_CREATED, algorithm, &material)?)
}

/// Finds the two integers; encoding the key again shows whether the rest is as it must be.
fn rsa(der: &[u8]) -> Result<PublicKey, SpkiError> {
    let form = |_| SpkiError::Form;
    let mut reader = Reader::new(element(&mut Reader::new(der), 0x30)?);
    reader.take(RSA_ALGORITHM.len()).map_err(form)?;
    let mut bits = Reader::new(element(&mut reader, 0x03)?);
    bits.u8().map_err(form)?;
    let mut numbers = Reader::new(element(&mut bits, 0x30)?);
    let (n, e) = (element(&mut numbers, 0x02)?, element(&mut numbers, 0x02)?);
    let mut material = Vec::new();
    write_mpi(&mut material, n);
    write_mpi(&mut material, e);
    Ok(PublicKey::from_material(4, BARE_KEY_CREATED, KeyAlgorithm::Rsa, &material)?)
}

/// The content of the next DER element, which must have the tag.
fn element<'a>(reader: &mut Reader<'a>, tag: u8) -> Result<&'a [u8], SpkiError> {
    let form = |_| SpkiError::Form;
    if reader.u8().map_err(form)? != tag {
        return Err(SpkiError::Form);
    }
    let length = match reader.u8().map_err(form)? {
        short @ ..=0x7f => usize::from(short),
        0x81 => usize::from(reader.u8().map_err(form)?),
        0x82 => reader.u16().map_err(form)?,
        _ => return Err(SpkiError::Form),
    };
    reader.take(length).map_err(form)
}

/// The SubjectPublicKeyInfo of the RSA key with this modulus and exponent, both big-endian.
#[must_use]
pub fn rsa_der(n: &[u8], e: &[u8]) -> Vec<u8> {
    let numbers = der(0x30, &[integer(n), integer(e)].concat());
    let bits = der(0x03, &[&[0], &numbers[..]].concat());
    der(0x30, &[RSA_ALGORITHM, &bits].concat())
}

/// A positive DER integer: with a zero in front if the first bit is set.
fn integer(number: &[u8]) -> Vec<u8> {
    let number = strip_zeros(number);
    let sign: &[u8] = if number.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    der(0x02, &[sign, number].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let header = match length {
        [0, low @ ..0x80] => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [&header, content].concat()
}

#[cfg(test)]
mod tests;
