//! The one acceptance rule for signatures: the same on every node, and for single signatures as for batches.

use sequoia_openpgp::Packet;
use sequoia_openpgp::crypto::mpi;
use sequoia_openpgp::parse::Parse as _;
use sequoia_openpgp::types::HashAlgorithm as SequoiaHash;

use super::algorithm::{HashAlgorithm, KeyAlgorithm, sha256};
use super::key::{Material, PublicKey};
use super::reader::strip_zeros;
use super::signature::RawSignature;
use super::{ecdsa, ed448, ed25519, rsa};
use crate::identity::Fingerprint;
use crate::statement::StatementId;
use crate::time::Timestamp;

/// Why a signature is not accepted under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// Made by another key.
    #[error("the signature was made by another key")]
    OtherKey,
    /// The key's algorithm is not the one that the signature names.
    #[error("the algorithm of the signature is not that of the key")]
    Algorithm,
    /// The hash is too short for the key, or not accepted with it.
    #[error("the hash of the signature is not accepted with {0} keys")]
    Hash(KeyAlgorithm),
    /// Made before the key was created.
    #[error("the signature claims a time before the key was created")]
    BeforeKey,
    /// The signature does not verify, or its numbers are crafted.
    #[error("the signature is not good")]
    Bad,
}

/// A digest and the numbers that sign it: only the arithmetic remains to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDigest {
    pub(crate) issuer: Fingerprint,
    pub(crate) created: Timestamp,
    pub(crate) hash: HashAlgorithm,
    pub(crate) algorithm: u8,
    pub(crate) digest: Vec<u8>,
    pub(crate) value: RawSignature,
}

impl SignedDigest {
    /// What is signed, not how it is wrapped: SHA-256(version ‖ hash algorithm ‖ issuer ‖ digest).
    pub(crate) fn id(&self) -> StatementId {
        StatementId(sha256(&[&[self.issuer.version(), self.hash.id()], self.issuer.as_bytes(), &self.digest]))
    }

    /// Whether the signature is good under this key.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(crate) fn verify(&self, key: &PublicKey) -> Result<(), SignatureFault> {
        self.fits(key)?;
        let good = match (key.ed25519_point(), &self.value, key.material()) {
            (Some(point), RawSignature::Ed25519(value), _) => ed25519::verify(point, &self.digest, value),
            (_, RawSignature::Ecdsa { r, s }, Material::Point(point)) => {
                ecdsa::verify(key.algorithm(), point, &self.digest, r, s)
            }
            (_, RawSignature::Rsa(s), Material::Rsa { n, e }) => {
                self.is_canonical(key) && rsa::verify(n, e, self.hash, &self.digest, s)
            }
            _ => self.verify_by_library(key),
        };
        if good { Ok(()) } else { Err(SignatureFault::Bad) }
    }

    /// Checks everything that needs no arithmetic.
    pub(crate) fn fits(&self, key: &PublicKey) -> Result<(), SignatureFault> {
        if self.issuer != key.fingerprint() {
            return Err(SignatureFault::OtherKey);
        }
        if self.algorithm != key.algorithm().id() {
            return Err(SignatureFault::Algorithm);
        }
        if !key.algorithm().takes_hash(self.hash) {
            return Err(SignatureFault::Hash(key.algorithm()));
        }
        if self.created < key.created() { Err(SignatureFault::BeforeKey) } else { Ok(()) }
    }

    /// Verifies all algorithms but Ed25519, ECDSA and RSA with sequoia's arithmetic over this crate's digest, which
    /// also bypasses sequoia's process-wide cache of good signatures. Non-canonical numbers that it might accept are
    /// refused first.
    fn verify_by_library(&self, key: &PublicKey) -> bool {
        let is_canonical = self.is_canonical(key);
        let Ok(Packet::PublicKey(key)) = Packet::from_bytes(&key.to_packet()) else { return false };
        is_canonical
            && self
                .numbers()
                .is_some_and(|numbers| key.verify(&numbers, SequoiaHash::from(self.hash.id()), &self.digest).is_ok())
    }

    /// Whether the numbers have the one accepted form, whatever a library would accept.
    fn is_canonical(&self, key: &PublicKey) -> bool {
        match (&self.value, key.material()) {
            (RawSignature::Rsa(s), Material::Rsa { n, .. }) => is_less(s, n),
            (RawSignature::Ed448(value), _) => ed448::is_well_formed(value.as_slice()),
            (RawSignature::Composite(value), _) => composite_is_well_formed(key.algorithm(), value),
            _ => true,
        }
    }

    fn numbers(&self) -> Option<mpi::Signature> {
        Some(match &self.value {
            RawSignature::Rsa(s) => mpi::Signature::RSA { s: mpi::MPI::new(s) },
            RawSignature::Ecdsa { r, s } => mpi::Signature::ECDSA { r: mpi::MPI::new(r), s: mpi::MPI::new(s) },
            RawSignature::Ed448(value) => mpi::Signature::Ed448 { s: value.clone() },
            RawSignature::Composite(value) => mpi::Signature::parse(self.algorithm.into(), value.as_slice()).ok()?,
            RawSignature::Ed25519(_) => return None,
        })
    }
}

/// Whether one big-endian number is less than another.
fn is_less(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (strip_zeros(a), strip_zeros(b));
    (a.len(), a) < (b.len(), b)
}

fn composite_is_well_formed(algorithm: KeyAlgorithm, value: &[u8]) -> bool {
    match algorithm {
        KeyAlgorithm::MlDsa87Ed448 => value.get(..114).is_some_and(ed448::is_well_formed),
        _ => value.first_chunk().is_some_and(ed25519::is_canonical_encoding),
    }
}

/// Verifies many signatures, the Ed25519 ones in one batch, with the same results as [`SignedDigest::verify`].
pub(crate) fn verify_all(items: &[(&SignedDigest, &PublicKey)], seed: [u8; 32]) -> Vec<Result<(), SignatureFault>> {
    let batchable = |(signed, key): &(&SignedDigest, &PublicKey)| signed.fits(key).is_ok();
    let batch: Vec<_> = items
        .iter()
        .filter(|item| batchable(item))
        .filter_map(|(signed, key)| match (key.ed25519_point(), &signed.value) {
            (Some(point), RawSignature::Ed25519(value)) => Some((point, signed.digest.as_slice(), value)),
            _ => None,
        })
        .collect();
    let mut answers = ed25519::verify_batch(&batch, seed).into_iter();
    items
        .iter()
        .map(|(signed, key)| {
            let in_batch = batchable(&(*signed, *key))
                && key.ed25519_point().is_some()
                && matches!(signed.value, RawSignature::Ed25519(_));
            match in_batch.then(|| answers.next()).flatten() {
                Some(true) => Ok(()),
                Some(false) => Err(SignatureFault::Bad),
                None => signed.verify(key),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
