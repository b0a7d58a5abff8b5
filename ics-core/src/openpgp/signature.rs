//! Signature packets of version 4 and 6 (RFC 9580, 5.2.3).

mod canonical;
mod draft;
mod value;

use self::canonical::{assemble, write_area};
pub(crate) use self::canonical::{canonicalise, is_canonical_area};
pub(crate) use self::draft::{Draft, derived_salt};
pub use self::value::RawSignature;
use self::value::{read_value, with_low_s, write_value};
use super::algorithm::{HashAlgorithm, refused_hash_name};
use super::reader::{Reader, WireError};
use super::subpacket::{self as sub, Subpacket};
use super::verify::SignedDigest;
use super::{key, packet};
use crate::identity::Fingerprint;
use crate::time::Timestamp;

/// Signature over a document's bytes.
pub(crate) const BINARY: u8 = 0x00;
/// Generic certification of a User ID and key.
pub(crate) const CERTIFICATION: u8 = 0x10;
/// The last of the four kinds of certification.
pub(crate) const POSITIVE_CERTIFICATION: u8 = 0x13;
/// Subkey binding.
pub(crate) const SUBKEY_BINDING: u8 = 0x18;
/// Primary key binding, made by the subkey.
pub(crate) const PRIMARY_KEY_BINDING: u8 = 0x19;
/// Direct key signature.
pub(crate) const DIRECT_KEY: u8 = 0x1f;
/// Key revocation.
pub(crate) const KEY_REVOCATION: u8 = 0x20;
/// Subkey revocation.
pub(crate) const SUBKEY_REVOCATION: u8 = 0x28;
/// Certification revocation.
pub(crate) const CERTIFICATION_REVOCATION: u8 = 0x30;

/// Why a signature is refused before any arithmetic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not canonical OpenPGP.
    #[error("in a signature, {0}")]
    Wire(#[from] WireError),
    /// Not version 4 or 6.
    #[error("signatures of version {0} are not accepted: use version 4 or 6")]
    Version(u8),
    /// A hash that is not accepted.
    #[error("signatures with {0} are not accepted: it takes SHA-256, SHA-384, SHA-512, SHA3-256 or SHA3-512")]
    Hash(String),
    /// An algorithm that is not accepted.
    #[error("public-key algorithm {0} is not accepted in signatures")]
    Algorithm(u8),
    /// Something in the unhashed area, which anybody can write to; or no issuer's key id where it belongs there.
    #[error(
        "the unhashed area must be empty, or in version 4 hold the issuer's key id and nothing else if the hashed area \
         does not have it"
    )]
    Unhashed,
    /// A salt that does not fit the hash (RFC 9580, 5.2.3).
    #[error("the salt of the signature has {found} bytes; this hash requires {expected}")]
    Salt {
        /// Bytes that the hash asks for.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// The larger of the two s that ECDSA allows, or one out of range.
    #[error("the ECDSA signature does not have the smaller of the two possible values of s")]
    HighS,
    /// The first two octets of the digest differ from those in the packet.
    #[error("the signature is over something else: the first octets of the digest differ")]
    Prefix,
    /// No creation time, or no issuer's fingerprint, in the hashed area.
    #[error("the signature has no {0} in its hashed area")]
    Missing(&'static str),
    /// A subpacket that may occur only once.
    #[error("subpacket {0} appears more than once")]
    Repeated(u8),
    /// A subpacket whose content does not have the form of its type.
    #[error("subpacket {0} is malformed")]
    Malformed(u8),
    /// The issuer's key id, or the version of the fingerprint, contradicts the rest of the signature.
    #[error("the issuer is given in contradictory ways")]
    Issuer,
    /// A critical subpacket that is not understood here.
    #[error("subpacket {0} is critical and not understood here")]
    Critical(u8),
    /// A subpacket that changes what the signature means in a way that is not accepted here.
    #[error("subpacket {0} does not belong here")]
    NotAllowed(u8),
    /// Another type of signature.
    #[error("a signature of type {0:#04x} does not belong here")]
    Kind(u8),
}

/// What a signature covers (RFC 9580, 5.2.4). Keys are given by the content of their packets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Over<'a> {
    /// The bytes of a document.
    Document(&'a [u8]),
    /// A key alone.
    Key(&'a [u8]),
    /// A key and a User ID.
    UserId { key: &'a [u8], user_id: &'a [u8] },
    /// A primary key and a subkey.
    Subkey { key: &'a [u8], subkey: &'a [u8] },
}

/// A signature in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature<'a> {
    pub(crate) kind: u8,
    pub(crate) created: Timestamp,
    pub(crate) issuer: Fingerprint,
    pub(crate) subpackets: Vec<Subpacket<'a>>,
    pub(crate) salt: &'a [u8],
    pub(crate) hash: HashAlgorithm,
    pub(crate) algorithm: u8,
    /// From the version through the hashed area.
    head: &'a [u8],
    prefix: [u8; 2],
    value: RawSignature,
}

/// Who made a signature, according to the signature itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    /// By the fingerprint in the hashed area.
    Fingerprint(Fingerprint),
    /// By the key id alone: signatures from before 2016.
    KeyId([u8; 8]),
}

/// What a signature of version 4 or 6 says of itself, whatever its algorithms and whether or not it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glance<'a> {
    pub(crate) kind: u8,
    pub(crate) hash: u8,
    pub(crate) created: Timestamp,
    pub(crate) issuer: Issuer,
    pub(crate) hashed: Vec<Subpacket<'a>>,
}

impl Issuer {
    /// Whether it may be this key.
    #[must_use]
    pub fn fits(&self, key: &Fingerprint) -> bool {
        match self {
            Self::Fingerprint(fingerprint) => fingerprint == key,
            Self::KeyId(id) => key.version() == 4 && key.key_id() == *id,
        }
    }

    /// The id of the issuer's key.
    #[must_use]
    pub const fn key_id(&self) -> [u8; 8] {
        match self {
            Self::Fingerprint(fingerprint) => fingerprint.key_id(),
            Self::KeyId(id) => *id,
        }
    }
}

impl Glance<'_> {
    /// Whether it names this key as its maker.
    pub(crate) fn is_by(&self, key: &Fingerprint) -> bool {
        self.issuer.fits(key)
    }

    /// Refuses a signature that its maker marked as not exportable (RFC 9580, 5.2.3.19).
    pub(crate) fn is_exportable(&self) -> Result<(), SignatureError> {
        let local = one(&self.hashed, sub::EXPORTABLE)?.is_some_and(|data| data != [1]);
        if local { Err(SignatureError::NotAllowed(sub::EXPORTABLE)) } else { Ok(()) }
    }

    /// The number of seconds in a subpacket of its hashed area.
    pub(crate) fn seconds(&self, tag: u8) -> Option<u32> {
        one(&self.hashed, tag).ok().flatten().and_then(seconds)
    }
}

/// Reads what a signature says of itself, without judging it.
///
/// # Errors
/// When it is not of version 4 or 6, or does not say when and by whom it was made.
pub(crate) fn glance(body: &[u8]) -> Result<Glance<'_>, SignatureError> {
    let mut reader = Reader::new(body);
    let version = reader.u8()?;
    if version != 4 && version != 6 {
        return Err(SignatureError::Version(version));
    }
    let (kind, _, hash) = (reader.u8()?, reader.u8()?, reader.u8()?);
    let mut area = || -> Result<&[u8], WireError> {
        let length = if version == 6 { reader.length()? } else { reader.u16()? };
        reader.take(length)
    };
    let (hashed, unhashed) = (sub::all(area()?)?, area()?);
    let created = created(&hashed)?;
    let issuer = claimed(&hashed, unhashed, version)?;
    Ok(Glance { kind, hash, created, issuer, hashed })
}

/// Who claims to have made a signature: in version 4, without a fingerprint, by the key id in either area.
fn claimed(hashed: &[Subpacket<'_>], unhashed: &[u8], version: u8) -> Result<Issuer, SignatureError> {
    if version != 4 || one(hashed, sub::ISSUER_FINGERPRINT)?.is_some() {
        return issuer(hashed, version, None).map(Issuer::Fingerprint);
    }
    let unhashed = sub::all(unhashed).unwrap_or_default();
    let id = match one(hashed, sub::ISSUER)? {
        Some(id) => Some(id),
        None => unhashed.iter().find(|s| s.tag == sub::ISSUER).map(|s| s.data),
    };
    let id = id.ok_or(SignatureError::Missing("issuer's fingerprint"))?;
    id.try_into().map(Issuer::KeyId).map_err(|_| SignatureError::Malformed(sub::ISSUER))
}

/// The fields of a packet that versions 4 and 6 share, and its hashed area.
struct Head<'a> {
    bytes: &'a [u8],
    kind: u8,
    algorithm: u8,
    hash: HashAlgorithm,
    hashed: &'a [u8],
    unhashed: &'a [u8],
    prefix: [u8; 2],
    salt: &'a [u8],
}

fn read_head<'a>(body: &'a [u8], reader: &mut Reader<'a>) -> Result<Head<'a>, SignatureError> {
    let version = reader.u8()?;
    if version != 4 && version != 6 {
        return Err(SignatureError::Version(version));
    }
    let area = |reader: &mut Reader<'a>| {
        let length = if version == 6 { reader.length()? } else { reader.u16()? };
        reader.take(length)
    };
    let (kind, algorithm, hash) = (reader.u8()?, reader.u8()?, reader.u8()?);
    let hash = HashAlgorithm::from_id(hash).ok_or_else(|| SignatureError::Hash(refused_hash_name(hash)))?;
    let hashed = area(reader)?;
    let head = body.get(..body.len() - reader.rest().len()).unwrap_or_default();
    let unhashed = area(reader)?;
    let prefix = reader.array()?;
    let salt = if version == 6 { read_salt(reader, hash)? } else { &[] };
    Ok(Head { bytes: head, kind, algorithm, hash, hashed, unhashed, prefix, salt })
}

fn read_salt<'a>(reader: &mut Reader<'a>, hash: HashAlgorithm) -> Result<&'a [u8], SignatureError> {
    let found = usize::from(reader.u8()?);
    let expected = hash.salt_bytes();
    if found == expected { Ok(reader.take(found)?) } else { Err(SignatureError::Salt { expected, found }) }
}

impl<'a> Signature<'a> {
    /// Reads the content of a Signature packet in canonical form.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, SignatureError> {
        Self::parse_by(body, None)
    }

    /// The same, for a signature whose key is known from its place: one of version 4 then need not name the
    /// fingerprint, which GnuPG before 2016 did not write. Verification shows whether that key made it.
    pub(crate) fn parse_by(body: &'a [u8], by: Option<&Fingerprint>) -> Result<Self, SignatureError> {
        match Self::parse_with_unhashed(body, by)? {
            (signature, []) => Ok(signature),
            _ => Err(SignatureError::Unhashed),
        }
    }

    /// The same, returning the rest of its unhashed area, for subkey bindings: GnuPG puts the subkey's own signature
    /// there.
    pub(crate) fn parse_with_unhashed(
        body: &'a [u8],
        by: Option<&Fingerprint>,
    ) -> Result<(Self, &'a [u8]), SignatureError> {
        let mut reader = Reader::new(body);
        let head = read_head(body, &mut reader)?;
        let value = read_value(&mut reader, head.algorithm, Reader::mpi)?;
        reader.end()?;
        if with_low_s(value.clone()).as_ref() != Some(&value) {
            return Err(SignatureError::HighS);
        }
        let subpackets = sub::all(head.hashed)?;
        let created = created(&subpackets)?;
        let issuer = issuer(&subpackets, version(head.bytes), by)?;
        let key_id = key_id_area(&subpackets, &Issuer::Fingerprint(issuer));
        let unhashed = head.unhashed.strip_prefix(key_id.as_slice());
        let signature = Self {
            kind: head.kind,
            created,
            issuer,
            subpackets,
            salt: head.salt,
            hash: head.hash,
            algorithm: head.algorithm,
            head: head.bytes,
            prefix: head.prefix,
            value,
        };
        Ok((signature, unhashed.ok_or(SignatureError::Unhashed)?))
    }

    /// 4 or 6.
    pub(crate) const fn version(&self) -> u8 {
        self.issuer.version()
    }

    /// The digest over what is signed and this signature, with the numbers that sign it.
    ///
    /// # Errors
    /// When the first octets of the digest are not those in the packet: then it signs something else. In canonical form
    /// nobody can choose these octets.
    pub(crate) fn over(&self, signed: Over<'_>) -> Result<SignedDigest, SignatureError> {
        let digest = digest(self.hash, self.salt, signed, self.head);
        if !digest.starts_with(&self.prefix) {
            return Err(SignatureError::Prefix);
        }
        Ok(SignedDigest {
            issuer: self.issuer,
            created: self.created,
            hash: self.hash,
            algorithm: self.algorithm,
            digest,
            value: self.value.clone(),
        })
    }

    /// Refuses critical subpackets that are not understood, and any critical notation.
    pub(crate) fn understands_only(&self, understood: &[u8]) -> Result<(), SignatureError> {
        let refused = |s: &&Subpacket<'_>| s.critical && (s.tag == sub::NOTATION || !understood.contains(&s.tag));
        self.subpackets.iter().find(refused).map_or(Ok(()), |s| Err(SignatureError::Critical(s.tag)))
    }

    /// Refuses subpackets by their type, critical or not.
    pub(crate) fn refuses(&self, refused: &[u8]) -> Result<(), SignatureError> {
        let found = self.subpackets.iter().find(|s| refused.contains(&s.tag));
        found.map_or(Ok(()), |s| Err(SignatureError::NotAllowed(s.tag)))
    }

    /// Refuses a signature that its maker marked as not exportable (RFC 9580, 5.2.3.19).
    pub(crate) fn is_exportable(&self) -> Result<(), SignatureError> {
        let local = self.one(sub::EXPORTABLE)?.is_some_and(|data| data != [1]);
        if local { Err(SignatureError::NotAllowed(sub::EXPORTABLE)) } else { Ok(()) }
    }

    /// The data of a subpacket that may occur only once.
    pub(crate) fn one(&self, tag: u8) -> Result<Option<&'a [u8]>, SignatureError> {
        one(&self.subpackets, tag)
    }
}

/// RFC 9580, 5.2.4: salt, what is signed, the head of the signature, and a trailer with the length of that head.
fn digest(hash: HashAlgorithm, salt: &[u8], signed: Over<'_>, head: &[u8]) -> Vec<u8> {
    let [a, b, c, d] = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes();
    let trailer = [version(head), 0xff, a, b, c, d];
    let key_header = |body| key::hash_header(body, version(head));
    match signed {
        Over::Document(document) => hash.digest(&[salt, document, head, &trailer]),
        Over::Key(key) => hash.digest(&[salt, &key_header(key), key, head, &trailer]),
        Over::UserId { key, user_id } => {
            let length = u32::try_from(user_id.len()).unwrap_or(u32::MAX).to_be_bytes();
            hash.digest(&[salt, &key_header(key), key, &[0xb4], &length, user_id, head, &trailer])
        }
        Over::Subkey { key, subkey } => {
            hash.digest(&[salt, &key_header(key), key, &key_header(subkey), subkey, head, &trailer])
        }
    }
}

fn one<'a>(subpackets: &[Subpacket<'a>], tag: u8) -> Result<Option<&'a [u8]>, SignatureError> {
    let mut found = subpackets.iter().filter(|s| s.tag == tag);
    let first = found.next().map(|s| s.data);
    if found.next().is_some() { Err(SignatureError::Repeated(tag)) } else { Ok(first) }
}

/// Whether a revocation with these subpackets counts for all times: superseded (1) and retired (3) leave what was
/// signed before as it was (RFC 9580, 5.2.3.31).
pub(crate) fn is_for_all_times(subpackets: &[Subpacket<'_>]) -> Result<bool, SignatureError> {
    let reason = one(subpackets, sub::REASON)?.and_then(|data| data.first());
    Ok(!matches!(reason, Some(1 | 3)))
}

fn created(subpackets: &[Subpacket<'_>]) -> Result<Timestamp, SignatureError> {
    let data = one(subpackets, sub::CREATED)?.ok_or(SignatureError::Missing("creation time"))?;
    seconds(data).map(|seconds| Timestamp::from_seconds(seconds.into())).ok_or(SignatureError::Malformed(sub::CREATED))
}

/// The number in a subpacket of four octets that counts seconds.
pub(crate) fn seconds(data: &[u8]) -> Option<u32> {
    data.try_into().ok().map(u32::from_be_bytes)
}

/// The issuer's fingerprint, or that of the issuer known otherwise; a key id beside it must be of the same key (and is
/// not allowed in version 6: RFC 9580, 5.2.3.12).
fn issuer(subpackets: &[Subpacket<'_>], version: u8, by: Option<&Fingerprint>) -> Result<Fingerprint, SignatureError> {
    let issuer = match (one(subpackets, sub::ISSUER_FINGERPRINT)?, by) {
        (Some(data), _) => {
            let (key_version, bytes) = data.split_first().ok_or(SignatureError::Malformed(sub::ISSUER_FINGERPRINT))?;
            Fingerprint::from_bytes(bytes)
                .filter(|issuer| issuer.version() == *key_version)
                .ok_or(SignatureError::Malformed(sub::ISSUER_FINGERPRINT))?
        }
        (None, Some(by)) if by.version() == 4 => *by,
        (None, _) => return Err(SignatureError::Missing("issuer's fingerprint")),
    };
    let found = one(subpackets, sub::ISSUER)?;
    let key_id_fits = found.is_none_or(|id| version == 4 && id == issuer.key_id());
    if issuer.version() == version && key_id_fits { Ok(issuer) } else { Err(SignatureError::Issuer) }
}

/// The unhashed area of a version 4 signature: the issuer's key id, if the hashed area does not have it. GnuPG 2.2
/// reads no signature without it, and puts it there. It follows from the hashed area, so nobody can choose it.
fn key_id_area(hashed: &[Subpacket<'_>], issuer: &Issuer) -> Vec<u8> {
    let mut area = Vec::new();
    let is_version_6 = matches!(issuer, Issuer::Fingerprint(Fingerprint::V6(_)));
    if !is_version_6 && !hashed.iter().any(|s| s.tag == sub::ISSUER) {
        sub::write(&mut area, false, sub::ISSUER, &issuer.key_id());
    }
    area
}

fn version(head: &[u8]) -> u8 {
    head.first().copied().unwrap_or_default()
}

/// Appends the content of a signature as a packet.
pub(crate) fn write_packet(out: &mut Vec<u8>, body: &[u8]) {
    packet::write(out, packet::SIGNATURE, body);
}

#[cfg(test)]
mod tests;
