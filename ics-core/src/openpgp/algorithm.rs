//! The closed tables of algorithms (`rules: 1`).

use core::fmt;

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use sha3::{Sha3_256, Sha3_512};

/// Hash algorithms that are accepted (RFC 9580, 9.5); all others are refused by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    /// SHA-256, id 8.
    Sha256,
    /// SHA-384, id 9.
    Sha384,
    /// SHA-512, id 10.
    Sha512,
    /// SHA3-256, id 12.
    Sha3_256,
    /// SHA3-512, id 14.
    Sha3_512,
}

impl HashAlgorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sha256, Self::Sha384, Self::Sha512, Self::Sha3_256, Self::Sha3_512];

    /// The OpenPGP id.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Sha256 => 8,
            Self::Sha384 => 9,
            Self::Sha512 => 10,
            Self::Sha3_256 => 12,
            Self::Sha3_512 => 14,
        }
    }

    /// From the OpenPGP id (RFC 9580, 9.5); `None` for one that is not accepted.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.id() == id)
    }

    /// Bytes of a digest.
    #[must_use]
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }

    /// Bytes of the salt of a version 6 signature (RFC 9580, table 23): half of the digest.
    #[must_use]
    pub const fn salt_bytes(self) -> usize {
        self.digest_bytes() / 2
    }

    /// The digest of the concatenated parts.
    #[must_use]
    pub fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn all<D: sha2::Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut hash = D::new();
            parts.iter().for_each(|part| hash.update(part));
            hash.finalize().to_vec()
        }
        match self {
            Self::Sha256 => all::<Sha256>(parts),
            Self::Sha384 => all::<Sha384>(parts),
            Self::Sha512 => all::<Sha512>(parts),
            Self::Sha3_256 => all::<Sha3_256>(parts),
            Self::Sha3_512 => all::<Sha3_512>(parts),
        }
    }
}

/// SHA-256 of the concatenated parts.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// The name, in the OpenPGP registry, of a hash algorithm that is not accepted here.
pub(crate) fn refused_hash_name(id: u8) -> String {
    match id {
        1 => "MD5".into(),
        2 => "SHA-1".into(),
        3 => "RIPEMD-160".into(),
        11 => "SHA-224".into(),
        other => format!("hash algorithm {other}"),
    }
}

/// Public-key algorithms that can sign (RFC 9580, 9.1 and 9.2; RFC 9980).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// RSA, id 1, with a modulus of [`crate::limits::RSA_BITS`].
    Rsa,
    /// ECDSA, id 19, over NIST P-256.
    P256,
    /// ECDSA over NIST P-384.
    P384,
    /// ECDSA over NIST P-521.
    P521,
    /// Ed25519 in the form of version 4 keys, id 22.
    Ed25519Legacy,
    /// Ed25519, id 27.
    Ed25519,
    /// Ed448, id 28.
    Ed448,
    /// ML-DSA-65 with Ed25519, id 30; version 6 only.
    MlDsa65Ed25519,
    /// ML-DSA-87 with Ed448, id 31; version 6 only.
    MlDsa87Ed448,
}

impl KeyAlgorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rsa,
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Ed25519Legacy,
        Self::Ed25519,
        Self::Ed448,
        Self::MlDsa65Ed25519,
        Self::MlDsa87Ed448,
    ];

    /// The OpenPGP id.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Rsa => 1,
            Self::P256 | Self::P384 | Self::P521 => 19,
            Self::Ed25519Legacy => 22,
            Self::Ed25519 => 27,
            Self::Ed448 => 28,
            Self::MlDsa65Ed25519 => 30,
            Self::MlDsa87Ed448 => 31,
        }
    }

    /// Whether keys of this OpenPGP version may have it (RFC 9580, 9.1; RFC 9980).
    #[must_use]
    pub const fn fits_version(self, version: u8) -> bool {
        match self {
            Self::Ed25519Legacy => version == 4,
            Self::MlDsa65Ed25519 | Self::MlDsa87Ed448 => version == 6,
            _ => version == 4 || version == 6,
        }
    }

    /// Whether its signatures and keys are large: see [`crate::limits::STATEMENT_PQC_BYTES`].
    #[must_use]
    pub const fn is_post_quantum(self) -> bool {
        matches!(self, Self::MlDsa65Ed25519 | Self::MlDsa87Ed448)
    }

    /// The hash with which signatures by such keys are made.
    #[must_use]
    pub const fn preferred_hash(self) -> HashAlgorithm {
        match self {
            Self::P256 => HashAlgorithm::Sha256,
            Self::P384 => HashAlgorithm::Sha384,
            _ => HashAlgorithm::Sha512,
        }
    }

    /// Whether a signature by such a key may use the hash: one as wide as the curve (RFC 9580, 5.2.3.2 to 5.2.3.5), and
    /// for RSA one with an encoding for PKCS #1 1.5 in OpenPGP (RFC 9580, table 24) that every tool has.
    #[must_use]
    pub const fn takes_hash(self, hash: HashAlgorithm) -> bool {
        match self {
            Self::Rsa => matches!(hash, HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512),
            Self::P384 => hash.digest_bytes() >= 48,
            Self::P521 | Self::Ed448 => hash.digest_bytes() >= 64,
            _ => true,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::P521 => "ECDSA P-521",
            Self::Ed25519Legacy | Self::Ed25519 => "Ed25519",
            Self::Ed448 => "Ed448",
            Self::MlDsa65Ed25519 => "ML-DSA-65+Ed25519",
            Self::MlDsa87Ed448 => "ML-DSA-87+Ed448",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_are_half_a_digest() {
        let salts: Vec<_> = HashAlgorithm::ALL.iter().map(|hash| (hash.id(), hash.salt_bytes())).collect();
        assert_eq!(salts, [(8, 16), (9, 24), (10, 32), (12, 16), (14, 32)]);
    }

    #[test]
    fn digests_are_as_long_as_they_say() {
        for hash in HashAlgorithm::ALL {
            assert_eq!(hash.digest(&[b"a", b"bc"]), hash.digest(&[b"abc"]));
            assert_eq!(hash.digest(&[]).len(), hash.digest_bytes());
            assert_eq!(HashAlgorithm::from_id(hash.id()), Some(hash));
        }
        for id in [0, 1, 2, 3, 11, 13, 255] {
            assert_eq!(HashAlgorithm::from_id(id), None, "{}", refused_hash_name(id));
        }
    }

    #[test]
    fn preferred_hashes_are_taken() {
        assert!(KeyAlgorithm::ALL.iter().all(|algorithm| algorithm.takes_hash(algorithm.preferred_hash())));
        assert!(!KeyAlgorithm::P384.takes_hash(HashAlgorithm::Sha256));
        assert!(!KeyAlgorithm::Ed448.takes_hash(HashAlgorithm::Sha384));
        assert!(!KeyAlgorithm::Rsa.takes_hash(HashAlgorithm::Sha3_512));
    }

    /// The tables are closed: to add an algorithm, its properties must be stated here.
    #[test]
    fn what_each_key_algorithm_is() {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        type Row = (u8, &'static str, &'static [u8], bool, HashAlgorithm, &'static [u8]);
        let any: &[u8] = &[8, 9, 10, 12, 14];
        let table: [Row; 9] = [
            (1, "RSA", &[4, 6], false, Sha512, &[8, 9, 10]),
            (19, "ECDSA P-256", &[4, 6], false, Sha256, any),
            (19, "ECDSA P-384", &[4, 6], false, Sha384, &[9, 10, 14]),
            (19, "ECDSA P-521", &[4, 6], false, Sha512, &[10, 14]),
            (22, "Ed25519", &[4], false, Sha512, any),
            (27, "Ed25519", &[4, 6], false, Sha512, any),
            (28, "Ed448", &[4, 6], false, Sha512, &[10, 14]),
            (30, "ML-DSA-65+Ed25519", &[6], true, Sha512, any),
            (31, "ML-DSA-87+Ed448", &[6], true, Sha512, any),
        ];
        for (algorithm, (id, name, versions, is_post_quantum, preferred, hashes)) in
            KeyAlgorithm::ALL.into_iter().zip(table)
        {
            assert_eq!((algorithm.id(), algorithm.to_string().as_str()), (id, name));
            let fits: Vec<u8> = (0..=9).filter(|version| algorithm.fits_version(*version)).collect();
            let takes: Vec<u8> = HashAlgorithm::ALL
                .into_iter()
                .filter(|hash| algorithm.takes_hash(*hash))
                .map(HashAlgorithm::id)
                .collect();
            assert_eq!((fits.as_slice(), takes.as_slice()), (versions, hashes), "{name}");
            assert_eq!(
                (algorithm.is_post_quantum(), algorithm.preferred_hash()),
                (is_post_quantum, preferred),
                "{name}"
            );
        }
    }
}
