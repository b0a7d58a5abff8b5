//! Signers: the one interface behind which secret keys stay.

use core::fmt;

use ed25519_dalek::Signer as _;
use sequoia_openpgp::crypto::{KeyPair, Signer as _, mpi};
use sequoia_openpgp::packet::Packet;
use sequoia_openpgp::serialize::MarshalInto as _;
use sequoia_openpgp::types::HashAlgorithm as SequoiaHash;

use super::algorithm::KeyAlgorithm;
use super::key::{KeyError, PublicKey};
use super::signature::RawSignature;
use super::verify::SignedDigest;
use crate::time::Timestamp;

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The device or library that holds the key refuses.
    #[error("the key cannot sign: {0}")]
    Refused(String),
    /// What came back is not a signature of the key's algorithm.
    #[error("the key returned something that is not a signature of its algorithm")]
    Number,
    /// What came back does not verify.
    #[error("the key returned a signature that does not verify")]
    Bad,
    /// The key is not accepted.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A secret key that signs digests. What it returns is trusted: an implementation that gets it from a device calls
/// [`verified`] first.
pub trait Signer {
    /// Its public key.
    fn public_key(&self) -> &PublicKey;

    /// Signs a digest made with [`KeyAlgorithm::preferred_hash`] of its key.
    ///
    /// # Errors
    /// When the key cannot be used.
    fn sign(&self, digest: &[u8]) -> Result<RawSignature, SignerError>;

    /// Whether it always signs in well under a millisecond, so that others may be kept waiting meanwhile. Keys in
    /// devices do not, nor does RSA.
    fn is_quick(&self) -> bool {
        false
    }
}

/// Returns a signature that a device has made over a digest, if it verifies under the key: a faulty device must not
/// lead to a statement that nobody can verify. The digest is made with the key's preferred hash.
///
/// # Errors
/// When it does not verify.
pub fn verified(made: RawSignature, key: &PublicKey, digest: &[u8]) -> Result<RawSignature, SignerError> {
    let signed = SignedDigest {
        issuer: key.fingerprint(),
        // A raw signature claims no time.
        created: key.created(),
        hash: key.algorithm().preferred_hash(),
        algorithm: key.algorithm().id(),
        digest: digest.to_vec(),
        value: made,
    };
    if signed.verify(key).is_ok() { Ok(signed.value) } else { Err(SignerError::Bad) }
}

/// An Ed25519 key in memory, wiped when dropped.
pub struct Ed25519Signer {
    secret: ed25519_dalek::SigningKey,
    public: PublicKey,
}

impl Ed25519Signer {
    /// The key of a 32-byte seed (RFC 8032, 5.1.5) as an OpenPGP key of a version, created at a time, in whole seconds.
    ///
    /// # Errors
    /// When the version is not 4 or 6.
    pub fn from_seed(seed: &[u8; 32], version: u8, created: Timestamp) -> Result<Self, KeyError> {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = PublicKey::ed25519(version, created, secret.verifying_key().as_bytes())?;
        Ok(Self { secret, public })
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, digest: &[u8]) -> Result<RawSignature, SignerError> {
        Ok(RawSignature::Ed25519(self.secret.sign(digest).to_bytes()))
    }

    fn is_quick(&self) -> bool {
        true
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Signer({})", self.public.fingerprint())
    }
}

/// A key pair of any accepted algorithm, held by sequoia. It draws ECDSA nonces at random, so signing twice gives two
/// different signatures, which are nevertheless one statement.
pub struct KeyPairSigner {
    pair: KeyPair,
    public: PublicKey,
}

impl KeyPairSigner {
    /// Makes a signer from a key pair.
    ///
    /// # Errors
    /// When the public key is not accepted.
    pub fn new(pair: KeyPair) -> Result<Self, SignerError> {
        let packet = Packet::from(pair.public().clone().role_into_primary());
        let bytes = packet.to_vec().map_err(|error| SignerError::Refused(error.to_string()))?;
        Ok(Self { public: PublicKey::from_packet(&bytes)?, pair })
    }
}

impl Signer for KeyPairSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, digest: &[u8]) -> Result<RawSignature, SignerError> {
        let algorithm = self.public.algorithm();
        let hash = SequoiaHash::from(algorithm.preferred_hash().id());
        let made = self.pair.clone().sign(hash, digest).map_err(|error| SignerError::Refused(error.to_string()))?;
        from_sequoia(algorithm, made).ok_or(SignerError::Number)
    }
}

fn from_sequoia(algorithm: KeyAlgorithm, made: mpi::Signature) -> Option<RawSignature> {
    Some(match made {
        mpi::Signature::RSA { s } => RawSignature::Rsa(s.value().to_vec()),
        mpi::Signature::ECDSA { r, s } => RawSignature::Ecdsa { r: r.value().to_vec(), s: s.value().to_vec() },
        mpi::Signature::EdDSA { r, s } => {
            let joined = [r.value_padded(32).ok()?, s.value_padded(32).ok()?].concat();
            RawSignature::Ed25519(joined.try_into().ok()?)
        }
        mpi::Signature::Ed25519 { s } => RawSignature::Ed25519(*s),
        mpi::Signature::Ed448 { s } => RawSignature::Ed448(s),
        other if algorithm.is_post_quantum() => RawSignature::Composite(other.to_vec().ok()?),
        _ => return None,
    })
}

impl fmt::Debug for KeyPairSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPairSigner({})", self.public.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_two_algorithms_make_signatures_that_only_the_library_knows() {
        let unknown = || mpi::Signature::Unknown { mpis: Box::default(), rest: vec![7; 8].into() };
        assert_eq!(from_sequoia(KeyAlgorithm::Ed25519, unknown()), None);
        let composite = from_sequoia(KeyAlgorithm::MlDsa65Ed25519, unknown());
        assert_eq!(composite, Some(RawSignature::Composite(vec![7; 8])));
    }
}
