//! Public keys: one Public-Key packet of version 4 or 6 (RFC 9580, 5.5).

use core::fmt;

use sha1collisiondetection::Sha1CD;

use super::algorithm::{KeyAlgorithm, sha256};
use super::reader::{Reader, WireError, bit_length};
use super::{ed448, ed25519, packet};
use crate::identity::Fingerprint;
use crate::limits;
use crate::time::Timestamp;

/// Object identifiers of curves as OpenPGP writes them (RFC 9580, 9.2): length, then the identifier.
const P256_OID: &[u8] = &[8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384_OID: &[u8] = &[5, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521_OID: &[u8] = &[5, 0x2b, 0x81, 0x04, 0x00, 0x23];
const ED25519_OID: &[u8] = &[9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

/// Why a public key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not canonical OpenPGP.
    #[error("in the public key, {0}")]
    Wire(#[from] WireError),
    /// Another kind of packet.
    #[error("there is a packet of type {0} where a Public-Key packet should be")]
    NotAKey(u8),
    /// Not version 4 or 6.
    #[error("keys of version {0} are not accepted: use version 4 or 6")]
    Version(u8),
    /// Not one of the algorithms, or not for this version.
    #[error("public-key algorithm {id} is not accepted in keys of version {version}")]
    Algorithm {
        /// The OpenPGP id of the algorithm.
        id: u8,
        /// The version of the key.
        version: u8,
    },
    /// Not one of the curves.
    #[error("the curve of the key is not accepted: use P-256, P-384, P-521 or Ed25519")]
    Curve,
    /// An RSA modulus outside [`limits::RSA_BITS`].
    #[error("RSA keys take {min} to {max} bits, this one has {0}", min = limits::RSA_BITS.start(), max = limits::RSA_BITS.end())]
    RsaBits(usize),
    /// An RSA exponent or modulus that is even, or an exponent below 3 or above 32 bits.
    #[error("the RSA key has an even modulus, or an exponent that is even or not in 3..2^32")]
    RsaNumbers,
    /// A point that does not have the form of the curve.
    #[error("the point of the key does not have the uncompressed form of its curve")]
    Point,
    /// An Ed25519 or Ed448 point in an encoding other than that of RFC 8032.
    #[error("the point of the key is not in its canonical encoding")]
    PointNotCanonical,
    /// An Ed25519 or Ed448 point of small order, for which there are signatures that fit any message.
    #[error("the point of the key has small order")]
    SmallOrder,
    /// The key was built to collide under SHA-1, which makes version 4 fingerprints.
    #[error("the key carries the marks of a SHA-1 collision attack")]
    Sha1Collision,
}

/// The parts of a key that its algorithm works with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Material {
    Rsa {
        n: Box<[u8]>,
        e: Box<[u8]>,
    },
    /// Uncompressed: 4, x, y.
    Point(Box<[u8]>),
    Ed25519([u8; 32]),
    Ed448(Box<[u8; 57]>),
    /// A composite of two keys; only the library looks into it.
    Composite,
}

/// A public key in canonical form.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    body: Box<[u8]>,
    fingerprint: Fingerprint,
    algorithm: KeyAlgorithm,
    created: Timestamp,
    material: Material,
}

impl PublicKey {
    /// Reads a whole Public-Key packet with its header, and nothing after it.
    ///
    /// # Errors
    /// When the packet is not canonical, or the key is not accepted.
    pub fn from_packet(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(bytes);
        let packet = packet::next(&mut reader)?;
        reader.end()?;
        if packet.tag == packet::PUBLIC_KEY { Self::from_body(packet.body) } else { Err(KeyError::NotAKey(packet.tag)) }
    }

    /// Reads the content of a Public-Key or Public-Subkey packet.
    ///
    /// # Errors
    /// When the content is not canonical, or the key is not accepted.
    pub fn from_body(body: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(body);
        let version = reader.u8()?;
        if version != 4 && version != 6 {
            return Err(KeyError::Version(version));
        }
        let created = Timestamp::from_seconds(reader.u32()?.into());
        let id = reader.u8()?;
        if version == 6 {
            let length = reader.length()?;
            let material = reader.take(length)?;
            reader.end()?;
            reader = Reader::new(material);
        }
        let (algorithm, material) = material(&mut reader, id, version)?;
        reader.end()?;
        if !algorithm.fits_version(version) {
            return Err(KeyError::Algorithm { id, version });
        }
        Ok(Self { fingerprint: fingerprint(body)?, body: body.into(), algorithm, created, material })
    }

    /// Builds a key from its algorithm's material.
    pub(crate) fn from_material(
        version: u8,
        created: Timestamp,
        algorithm: KeyAlgorithm,
        material: &[u8],
    ) -> Result<Self, KeyError> {
        let mut body = vec![version];
        body.extend_from_slice(&u32::try_from(created.as_seconds()).unwrap_or(u32::MAX).to_be_bytes());
        body.push(algorithm.id());
        if version == 6 {
            body.extend_from_slice(&u32::try_from(material.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
        body.extend_from_slice(material);
        Self::from_body(&body)
    }

    /// The Ed25519 key of a version (4: id 22, 6: id 27), created at a time, in whole seconds.
    ///
    /// # Errors
    /// When the version is neither 4 nor 6, or the point is weak or not canonical.
    pub fn ed25519(version: u8, created: Timestamp, point: &[u8; 32]) -> Result<Self, KeyError> {
        if version == 6 {
            return Self::from_material(6, created, KeyAlgorithm::Ed25519, point);
        }
        let material = [ED25519_OID, &[0x01, 0x07, 0x40], point].concat();
        Self::from_material(version, created, KeyAlgorithm::Ed25519Legacy, &material)
    }

    /// The fingerprint: SHA-1 for version 4, SHA-256 for version 6.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// 4 or 6.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.fingerprint.version()
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The creation time, in whole seconds.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// The content of the packet.
    #[must_use]
    pub const fn body(&self) -> &[u8] {
        &self.body
    }

    /// The whole Public-Key packet, canonical.
    #[must_use]
    pub fn to_packet(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 6);
        packet::write(&mut out, packet::PUBLIC_KEY, &self.body);
        out
    }

    /// The raw Ed25519 public key, if it is one.
    #[must_use]
    pub const fn ed25519_point(&self) -> Option<&[u8; 32]> {
        match &self.material {
            Material::Ed25519(point) => Some(point),
            _ => None,
        }
    }

    /// SHA-256 of the X.509 SubjectPublicKeyInfo of this key; `None` for keys that X.509 cannot express.
    #[must_use]
    pub fn spki_sha256(&self) -> Option<[u8; 32]> {
        self.to_spki_der().map(|der| sha256(&[&der]))
    }

    pub(crate) const fn material(&self) -> &Material {
        &self.material
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm, self.fingerprint)
    }
}

/// The octets put before a key's content when it is hashed for a fingerprint or signature of a version (RFC 9580, 5.2.4
/// and 5.5.4). For signatures, it is the version of the signature, not of the key.
pub(crate) fn hash_header(body: &[u8], version: u8) -> Vec<u8> {
    match version {
        6 => [&[0x9b][..], &u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes()].concat(),
        _ => [&[0x99][..], &u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes()].concat(),
    }
}

/// RFC 9580, 5.5.4.
pub(crate) fn fingerprint(body: &[u8]) -> Result<Fingerprint, KeyError> {
    let version = body.first().copied().unwrap_or_default();
    let header = hash_header(body, version);
    if version == 6 {
        return Ok(Fingerprint::V6(sha256(&[&header, body])));
    }
    let mut hash = Sha1CD::default();
    hash.update(&header);
    hash.update(body);
    hash.finalize_cd().map(|digest| Fingerprint::V4(digest.into())).map_err(|_| KeyError::Sha1Collision)
}

/// Reads the material of a key. The half of a composite key that is on a curve obeys the rule of its curve.
fn material(reader: &mut Reader<'_>, id: u8, version: u8) -> Result<(KeyAlgorithm, Material), KeyError> {
    Ok(match id {
        1 => (KeyAlgorithm::Rsa, rsa(reader)?),
        19 => ecdsa(reader)?,
        22 => (KeyAlgorithm::Ed25519Legacy, ed25519_legacy(reader)?),
        27 => (KeyAlgorithm::Ed25519, ed25519_material(reader.array()?)?),
        28 => (KeyAlgorithm::Ed448, ed448_material(reader.array()?)?),
        30 => {
            ed25519_material(reader.array()?)?;
            reader.take(1952)?;
            (KeyAlgorithm::MlDsa65Ed25519, Material::Composite)
        }
        31 => {
            ed448_material(reader.array()?)?;
            reader.take(2592)?;
            (KeyAlgorithm::MlDsa87Ed448, Material::Composite)
        }
        _ => return Err(KeyError::Algorithm { id, version }),
    })
}

fn rsa(reader: &mut Reader<'_>) -> Result<Material, KeyError> {
    let (n, e) = (reader.mpi()?, reader.mpi()?);
    let bits = bit_length(n);
    if !limits::RSA_BITS.contains(&bits) {
        return Err(KeyError::RsaBits(bits));
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !is_odd(n) || !is_odd(e) || e == [1] || bit_length(e) > 32 {
        return Err(KeyError::RsaNumbers);
    }
    Ok(Material::Rsa { n: n.into(), e: e.into() })
}

fn curve_oid<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    let length = reader.rest().first().copied().ok_or(WireError::Truncated)?;
    reader.take(usize::from(length) + 1)
}

fn ecdsa(reader: &mut Reader<'_>) -> Result<(KeyAlgorithm, Material), KeyError> {
    let (algorithm, coordinate_bytes) = match curve_oid(reader)? {
        P256_OID => (KeyAlgorithm::P256, 32),
        P384_OID => (KeyAlgorithm::P384, 48),
        P521_OID => (KeyAlgorithm::P521, 66),
        _ => return Err(KeyError::Curve),
    };
    let point = reader.mpi()?;
    if point.len() != 1 + 2 * coordinate_bytes || point.first() != Some(&4) {
        return Err(KeyError::Point);
    }
    Ok((algorithm, Material::Point(point.into())))
}

fn ed25519_legacy(reader: &mut Reader<'_>) -> Result<Material, KeyError> {
    if curve_oid(reader)? != ED25519_OID {
        return Err(KeyError::Curve);
    }
    let point = reader.mpi()?.strip_prefix(&[0x40]).ok_or(KeyError::Point)?;
    ed25519_material(point.try_into().map_err(|_| KeyError::Point)?)
}

fn ed25519_material(point: [u8; 32]) -> Result<Material, KeyError> {
    if !ed25519::is_canonical_encoding(&point) {
        return Err(KeyError::PointNotCanonical);
    }
    if ed25519::has_small_order(&point) { Err(KeyError::SmallOrder) } else { Ok(Material::Ed25519(point)) }
}

fn ed448_material(point: [u8; 57]) -> Result<Material, KeyError> {
    if !ed448::is_canonical_encoding(&point) {
        return Err(KeyError::PointNotCanonical);
    }
    if ed448::has_small_order(&point) { Err(KeyError::SmallOrder) } else { Ok(Material::Ed448(Box::new(point))) }
}

/// The material of an ECDSA key: the curve, and the uncompressed point as an MPI.
pub(crate) fn ecdsa_material(algorithm: KeyAlgorithm, point: &[u8]) -> Vec<u8> {
    let mut material = match algorithm {
        KeyAlgorithm::P384 => P384_OID,
        KeyAlgorithm::P521 => P521_OID,
        _ => P256_OID,
    }
    .to_vec();
    super::reader::write_mpi(&mut material, point);
    material
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ed25519_body() -> Vec<u8> {
        let point = *ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes();
        PublicKey::ed25519(4, Timestamp::from_seconds(1_600_000_000), &point).expect("a key").body().to_vec()
    }

    #[test]
    fn keys_are_read_back() {
        let body = ed25519_body();
        let key = PublicKey::from_body(&body).expect("canonical");
        assert_eq!(PublicKey::from_packet(&key.to_packet()), Ok(key.clone()));
        assert_eq!(key.created(), Timestamp::from_seconds(1_600_000_000));
        assert_eq!((key.version(), key.algorithm()), (4, KeyAlgorithm::Ed25519Legacy));
        let again = PublicKey::ed25519(6, key.created(), key.ed25519_point().expect("Ed25519")).expect("a key");
        assert_eq!((again.version(), again.algorithm()), (6, KeyAlgorithm::Ed25519));
    }

    #[test]
    fn refusals() {
        let good = ed25519_body();
        let with = |at: usize, byte: u8| {
            let mut body = good.clone();
            body[at] = byte;
            PublicKey::from_body(&body)
        };
        assert_eq!(with(0, 3), Err(KeyError::Version(3)));
        assert_eq!(with(0, 5), Err(KeyError::Version(5)));
        assert_eq!(with(5, 17), Err(KeyError::Algorithm { id: 17, version: 4 }));
        assert_eq!(with(8, 0), Err(KeyError::Curve));
        assert_eq!(with(18, 0x41), Err(KeyError::Point));
        assert_eq!(with(17, 0x08), Err(KeyError::Wire(WireError::Integer)));
        assert_eq!(PublicKey::from_body(&good[..20]), Err(KeyError::Wire(WireError::Truncated)));
        assert_eq!(PublicKey::from_body(&[&good[..], &[0]].concat()), Err(KeyError::Wire(WireError::Trailing(1))));
        let mut packet = Vec::new();
        packet::write(&mut packet, packet::USER_ID, &good);
        assert_eq!(PublicKey::from_packet(&packet), Err(KeyError::NotAKey(13)));
    }

    #[test]
    fn weak_and_crafted_points_are_refused() {
        let time = Timestamp::default();
        let mut identity = [0; 32];
        identity[0] = 1;
        for version in [4, 6] {
            assert_eq!(PublicKey::ed25519(version, time, &identity), Err(KeyError::SmallOrder));
            assert_eq!(PublicKey::ed25519(version, time, &[0xff; 32]), Err(KeyError::PointNotCanonical));
        }
        let ed448 = |point: [u8; 57]| PublicKey::from_material(6, time, KeyAlgorithm::Ed448, &point).map(drop);
        assert_eq!(ed448([0; 57]), Err(KeyError::SmallOrder));
        assert_eq!(ed448([0xff; 57]), Err(KeyError::PointNotCanonical));
        let composite = [&identity[..], &[0; 1952]].concat();
        let key = PublicKey::from_material(6, time, KeyAlgorithm::MlDsa65Ed25519, &composite);
        assert_eq!(key, Err(KeyError::SmallOrder));
        let key = PublicKey::from_material(6, time, KeyAlgorithm::MlDsa87Ed448, &[0; 57 + 2592]);
        assert_eq!(key, Err(KeyError::SmallOrder));
    }

    #[test]
    fn rsa_numbers() {
        let key = |bits: usize, last: u8, e: &[u8]| {
            let mut n = vec![0x55; bits.div_ceil(8)];
            n[0] = if bits.is_multiple_of(8) { 0x80 } else { 1 << (bits % 8 - 1) };
            *n.last_mut().expect("bytes") = last;
            let mut material = Vec::new();
            super::super::reader::write_mpi(&mut material, &n);
            super::super::reader::write_mpi(&mut material, e);
            PublicKey::from_material(4, Timestamp::default(), KeyAlgorithm::Rsa, &material).map(|key| key.algorithm())
        };
        assert_eq!(key(2048, 1, &[1, 0, 1]), Ok(KeyAlgorithm::Rsa));
        assert_eq!(key(4096, 1, &[3]), Ok(KeyAlgorithm::Rsa));
        assert_eq!(key(2048, 1, &[0xff; 4]), Ok(KeyAlgorithm::Rsa));
        assert_eq!(key(2047, 1, &[3]), Err(KeyError::RsaBits(2047)));
        assert_eq!(key(4097, 1, &[3]), Err(KeyError::RsaBits(4097)));
        assert_eq!(key(2048, 2, &[3]), Err(KeyError::RsaNumbers));
        for e in [&[1][..], &[4], &[1, 0, 0, 0, 1]] {
            assert_eq!(key(2048, 1, e), Err(KeyError::RsaNumbers));
        }
    }

    #[test]
    fn points_are_uncompressed_and_as_long_as_the_curve_asks() {
        for (algorithm, bytes) in [(KeyAlgorithm::P256, 65), (KeyAlgorithm::P384, 97), (KeyAlgorithm::P521, 133)] {
            let key = |first: u8, length: usize| {
                let point = [&[first], &vec![7; length - 1][..]].concat();
                let material = ecdsa_material(algorithm, &point);
                PublicKey::from_material(4, Timestamp::default(), algorithm, &material).map(|key| key.algorithm())
            };
            assert_eq!(key(4, bytes), Ok(algorithm));
            for (first, length) in [(4, bytes - 1), (4, bytes + 1), (5, bytes), (2, bytes), (2, bytes / 2 + 1)] {
                assert_eq!(key(first, length), Err(KeyError::Point), "{algorithm}: {first} and {length} octets");
            }
        }
    }

    #[test]
    fn version_6_has_no_legacy_algorithm() {
        let good = ed25519_body();
        let body = [&[6][..], &good[1..6], &[0, 0, 0, (good.len() - 6) as u8], &good[6..]].concat();
        assert_eq!(PublicKey::from_body(&body), Err(KeyError::Algorithm { id: 22, version: 6 }));
    }
}
