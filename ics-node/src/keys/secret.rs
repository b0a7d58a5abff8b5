//! Making, encrypting and decrypting Secret-Key packets.

use core::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ics_core::openpgp::signer::{Ed25519Signer, KeyPairSigner, Signer};
use ics_core::time::Timestamp;
use sequoia_openpgp::crypto::{S2K, mpi};
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::key::{Key4, Key6, KeyRole, PrimaryRole, SecretKeyMaterial, SecretParts, UnspecifiedRole};
use sequoia_openpgp::types::{AEADAlgorithm, Curve, HashAlgorithm, PublicKeyAlgorithm, SymmetricAlgorithm};
use zeroize::Zeroizing;

use super::p256::P256Signer;
use super::{KeyError, Passphrase};

/// A primary key with its secret.
pub(super) type SecretKey = Key<SecretParts, PrimaryRole>;

/// What kinds of keys are made here; more are accepted from elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Algorithm {
    /// Ed25519: small and fast; EdDSALegacy in version 4 keys, which is what GnuPG reads.
    #[default]
    Ed25519,
    /// ECDSA over NIST P-256, for where secure elements or rules ask for it.
    P256,
    /// RSA of 3072 bits, for where nothing else is read.
    Rsa3072,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
            Self::P256 => "P-256",
            Self::Rsa3072 => "RSA 3072",
        })
    }
}

/// The version of an OpenPGP key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyVersion {
    /// RFC 4880; GnuPG reads nothing newer.
    #[default]
    V4,
    /// RFC 9580.
    V6,
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "4",
            Self::V6 => "6",
        })
    }
}

pub(super) fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(at.as_seconds())
}

/// A new key with the creation time `at`.
pub(super) fn generate(algorithm: Algorithm, version: KeyVersion, at: Timestamp) -> Result<SecretKey, KeyError> {
    let mut key: SecretKey = match (algorithm, version) {
        (Algorithm::Ed25519, _) => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(seed.as_mut()).map_err(KeyError::make)?;
            return ed25519(&seed, version, at);
        }
        (Algorithm::P256, KeyVersion::V4) => Key4::generate_ecc(true, Curve::NistP256).map(Key::from),
        (Algorithm::P256, KeyVersion::V6) => Key6::generate_ecc(true, Curve::NistP256).map(Key::from),
        (Algorithm::Rsa3072, KeyVersion::V4) => Key4::generate_rsa(3072).map(Key::from),
        (Algorithm::Rsa3072, KeyVersion::V6) => Key6::generate_rsa(3072).map(Key::from),
    }
    .map_err(KeyError::make)?;
    key.set_creation_time(system_time(at)).map_err(KeyError::make)?;
    Ok(key)
}

/// The key for an Ed25519 seed.
pub(super) fn ed25519(seed: &[u8; 32], version: KeyVersion, at: Timestamp) -> Result<SecretKey, KeyError> {
    match version {
        KeyVersion::V4 => Key4::import_secret_ed25519(seed, system_time(at)).map(Key::from),
        KeyVersion::V6 => Key6::import_secret_ed25519(seed, system_time(at)).map(Key::from),
    }
    .map_err(KeyError::make)
}

/// The version 4 key for a P-256 scalar and its point (uncompressed, SEC 1).
pub(super) fn p256(scalar: &[u8], point: &[u8], at: Timestamp) -> Result<SecretKey, KeyError> {
    let public = mpi::PublicKey::ECDSA { curve: Curve::NistP256, q: mpi::MPI::new(point) };
    let secret: SecretKeyMaterial = mpi::SecretKeyMaterial::ECDSA { scalar: scalar.into() }.into();
    Key4::with_secret(system_time(at), PublicKeyAlgorithm::ECDSA, public, secret).map(Key::from).map_err(KeyError::make)
}

/// The version 4 key for an RSA private exponent and its two primes, big-endian.
pub(super) fn rsa(d: &[u8], p: &[u8], q: &[u8], at: Timestamp) -> Result<SecretKey, KeyError> {
    Key4::import_secret_rsa(d, p, q, system_time(at)).map(Key::from).map_err(KeyError::make)
}

/// Encrypts the secret: in version 4 keys with iterated and salted S2K and AES-256, which GnuPG reads; in version 6
/// keys with Argon2 (RFC 9106, section 4, second recommended option: 3 passes, 4 lanes, 64 MiB) and AES-256 in OCB.
pub(super) fn encrypt<R: KeyRole>(
    key: Key<SecretParts, R>,
    passphrase: &Passphrase,
) -> Result<Key<SecretParts, R>, KeyError> {
    let (s2k, aead) = match key.version() {
        6 => {
            let mut salt = [0; 16];
            getrandom::fill(&mut salt).map_err(KeyError::make)?;
            (S2K::Argon2 { salt, t: 3, p: 4, m: 16 }, Some(AEADAlgorithm::OCB))
        }
        _ => (S2K::new_iterated(HashAlgorithm::SHA256, S2K_BYTES).map_err(KeyError::make)?, None),
    };
    let (public, secret) = key.take_secret();
    let SecretKeyMaterial::Unencrypted(secret) = secret else {
        return Err(KeyError::Make("the key is encrypted already".to_owned()));
    };
    let encrypted = secret
        .encrypt_with(&public, s2k, SymmetricAlgorithm::AES256, aead, &passphrase.to_password())
        .map_err(KeyError::make)?;
    Ok(public.add_secret(encrypted.into()).0)
}

/// The number of bytes hashed to derive a key from a passphrase: the maximum that RFC 9580 (3.7.1.3) can encode.
const S2K_BYTES: u32 = 0x3e0_0000;

/// An Ed25519 seed (RFC 8032, 5.1.5), wiped when dropped.
pub(super) type Seed = Zeroizing<[u8; 32]>;

/// The signer for a decrypted key.
///
/// # Errors
/// When it is of a kind that cannot sign here.
pub fn in_memory(key: Key<SecretParts, UnspecifiedRole>) -> Result<Arc<dyn Signer + Send + Sync>, KeyError> {
    signer(key).map(|(signer, _)| signer)
}

/// The signer for a decrypted key, and the seed of an Ed25519 key, which signs with ed25519-dalek.
pub(super) fn signer(
    key: Key<SecretParts, UnspecifiedRole>,
) -> Result<(Arc<dyn Signer + Send + Sync>, Option<Seed>), KeyError> {
    if let Some(signer) = P256Signer::of(&key)? {
        return Ok((Arc::new(signer), None));
    }
    let Some(seed) = seed(&key) else {
        let pair = key.into_keypair().map_err(KeyError::make)?;
        return Ok((Arc::new(KeyPairSigner::new(pair).map_err(KeyError::make)?), None));
    };
    let created = key.creation_time().duration_since(UNIX_EPOCH).map_err(KeyError::make)?;
    let created = Timestamp::from_seconds(created.as_secs());
    let signer = Ed25519Signer::from_seed(&seed, key.version(), created).map_err(KeyError::make)?;
    Ok((Arc::new(signer), Some(seed)))
}

fn seed(key: &Key<SecretParts, UnspecifiedRole>) -> Option<Seed> {
    let SecretKeyMaterial::Unencrypted(secret) = key.secret() else { return None };
    secret.map(|mpis| {
        let bytes = match mpis {
            mpi::SecretKeyMaterial::EdDSA { scalar } => scalar.value_padded(32),
            mpi::SecretKeyMaterial::Ed25519 { x } => x.clone(),
            _ => return None,
        };
        bytes.as_ref().try_into().ok().map(Zeroizing::new)
    })
}
