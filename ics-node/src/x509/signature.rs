//! Signing and verifying in X.509's format: the bytes, an algorithm, a bit string.

use der::asn1::{BitString, UintRef};
use der::{Encode as _, Sequence};
use ics_core::openpgp::algorithm::KeyAlgorithm;
use ics_core::openpgp::signature::RawSignature;
use ics_core::openpgp::signer::{Signer, SignerError};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::AlgorithmIdentifier;
use sha2::{Digest as _, Sha256, Sha384};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};

use super::oid;

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Certificates are not signed with keys of this kind here.
    #[error("certificates are signed with ECDSA on P-256 or P-384, not with {0}")]
    Kind(KeyAlgorithm),
    /// The key does not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// What was to be signed, or the signature, cannot be encoded.
    #[error("it cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
}

/// ECDSA-Sig-Value (RFC 5480, appendix A).
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The algorithm with which a key signs; it is also part of what is signed.
///
/// # Errors
/// When the key is neither P-256 nor P-384.
pub fn algorithm(signer: &dyn Signer) -> Result<AlgorithmIdentifierOwned, SignError> {
    let oid = match signer.public_key().algorithm() {
        KeyAlgorithm::P256 => oid::ECDSA_SHA256,
        KeyAlgorithm::P384 => oid::ECDSA_SHA384,
        other => return Err(SignError::Kind(other)),
    };
    Ok(AlgorithmIdentifierOwned { oid, parameters: None })
}

/// Signs DER.
///
/// # Errors
/// When the key is neither P-256 nor P-384, or does not sign.
pub fn sign(signer: &dyn Signer, message: &[u8]) -> Result<BitString, SignError> {
    let digest = match signer.public_key().algorithm() {
        KeyAlgorithm::P256 => Sha256::digest(message).to_vec(),
        KeyAlgorithm::P384 => Sha384::digest(message).to_vec(),
        other => return Err(SignError::Kind(other)),
    };
    let RawSignature::Ecdsa { r, s } = signer.sign(&digest)? else { return Err(SignerError::Number.into()) };
    let value = EcdsaSignature { r: UintRef::new(&r)?, s: UintRef::new(&s)? };
    Ok(BitString::from_bytes(&value.to_der()?)?)
}

/// Whether a signature is good, by the algorithms that TLS accepts (ECDSA on the NIST curves, Ed25519, RSA with at
/// least 2048 bits; with SHA-2).
#[must_use]
pub fn verify(
    key: SubjectPublicKeyInfoRef<'_>,
    with: &AlgorithmIdentifierOwned,
    message: &[u8],
    signature: &BitString,
) -> bool {
    // The provider identifies algorithms by the content of an AlgorithmIdentifier's SEQUENCE.
    let content = |encoded: der::Result<Vec<u8>>| {
        let encoded = encoded.ok()?;
        let inner = der::asn1::AnyRef::try_from(encoded.as_slice()).ok()?;
        Some(inner.value().to_vec())
    };
    let (Some(key_algorithm), Some(with)) = (content(key.algorithm.to_der()), content(with.to_der())) else {
        return false;
    };
    let (Some(point), Some(signature)) = (key.subject_public_key.as_bytes(), signature.as_bytes()) else {
        return false;
    };
    let is = |named: AlgorithmIdentifier, found: &[u8]| named.as_ref() == found;
    default_provider()
        .signature_verification_algorithms
        .all
        .iter()
        .filter(|it| is(it.public_key_alg_id(), &key_algorithm) && is(it.signature_alg_id(), &with))
        .any(|it| it.verify_signature(point, message, signature).is_ok())
}
