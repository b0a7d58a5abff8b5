//! P-256 keys in memory, with which authorities sign certificates.

use core::fmt;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signature::RawSignature;
use ics_core::openpgp::signer::{Signer, SignerError};
use sequoia_openpgp::crypto::mpi;
use sequoia_openpgp::packet::key::{SecretKeyMaterial, SecretParts, UnspecifiedRole};
use sequoia_openpgp::packet::{Key, Packet};
use sequoia_openpgp::serialize::MarshalInto as _;
use sequoia_openpgp::types::Curve;

use super::KeyError;

/// The length of a coordinate, of a secret and of each half of a signature, in bytes.
const BYTES: usize = 32;

/// A P-256 key in memory. It signs with aws-lc, which TLS uses here too, in a fraction of the time of sequoia's
/// backend: an authority signs twice for each certificate. aws-lc wipes the secret when it is dropped.
pub(super) struct P256Signer {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl P256Signer {
    /// Makes it from a decrypted key; `None` if it is of another kind.
    pub(super) fn of(key: &Key<SecretParts, UnspecifiedRole>) -> Result<Option<Self>, KeyError> {
        let mpi::PublicKey::ECDSA { curve: Curve::NistP256, q } = key.mpis() else { return Ok(None) };
        let SecretKeyMaterial::Unencrypted(secret) = key.secret() else { return Ok(None) };
        let scalar = secret.map(|secret| match secret {
            mpi::SecretKeyMaterial::ECDSA { scalar } => Some(scalar.value_padded(BYTES)),
            _ => None,
        });
        let Some(scalar) = scalar else { return Ok(None) };
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &scalar, q.value());
        let pair = pair.map_err(KeyError::make)?;
        let packet = Packet::from(key.parts_as_public().clone().role_into_primary());
        let public = PublicKey::from_packet(&packet.to_vec().map_err(KeyError::make)?).map_err(KeyError::make)?;
        Ok(Some(Self { pair, public }))
    }
}

impl Signer for P256Signer {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, digest: &[u8]) -> Result<RawSignature, SignerError> {
        let refused = |_| SignerError::Refused("aws-lc made no signature".to_owned());
        let digest = Digest::import_less_safe(digest, &SHA256).map_err(refused)?;
        let signature = self.pair.sign_digest(&digest).map_err(refused)?;
        let (r, s) = signature.as_ref().split_at_checked(BYTES).ok_or(SignerError::Number)?;
        Ok(RawSignature::Ecdsa { r: number(r), s: number(s) })
    }

    fn is_quick(&self) -> bool {
        true
    }
}

/// A number without leading zeros, as OpenPGP writes it.
fn number(padded: &[u8]) -> Vec<u8> {
    padded.iter().copied().skip_while(|byte| *byte == 0).collect()
}

impl fmt::Debug for P256Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P256Signer({})", self.public.fingerprint())
    }
}
