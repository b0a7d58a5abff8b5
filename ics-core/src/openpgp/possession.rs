//! Proof of possession: a signature over a challenge, by the key of an identity.
//!
//! A device signs in the way that its hardware can: raw, as its secure element outputs it, or as an OpenPGP signature
//! over a document. The signed text says what it is for, so that no signature made for something else fits.

use super::algorithm::{HashAlgorithm, KeyAlgorithm};
use super::key::{Material, PublicKey};
use super::packet;
use super::reader::Reader;
use super::signature::{BINARY, Draft, Over, RawSignature, Signature, SignatureError, canonicalise, write_packet};
use super::signer::{Signer, SignerError};
use super::verify::{SignatureFault, SignedDigest};
use super::{ecdsa, ed25519};
use crate::identity::Fingerprint;
use crate::time::Timestamp;

/// Why a signature proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PossessionError {
    /// Neither raw nor OpenPGP.
    #[error(
        "this is not a signature that a key of type {0} makes: send 64 octets (Ed25519; ECDSA as r and s), ECDSA in \
         DER with SHA-256, RSA PKCS #1 v1.5 with SHA-256, or a binary OpenPGP signature over the message"
    )]
    Form(KeyAlgorithm),
    /// An OpenPGP signature that is not acceptable.
    #[error(transparent)]
    OpenPgp(#[from] SignatureError),
    /// An OpenPGP signature by another key.
    #[error("the signature is by the key {0}, not by the identity's own")]
    OtherKey(Fingerprint),
    /// It does not verify.
    #[error(transparent)]
    Fault(#[from] SignatureFault),
    /// It does not verify.
    #[error("the signature is not good")]
    Bad,
}

/// Verifies that the holder of a key signed a message.
///
/// # Errors
/// When the signature is neither a raw one of the key's algorithm nor an OpenPGP signature of type 0x00 by this very
/// key, or does not verify.
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), PossessionError> {
    if let Some(value) = raw(key, signature) {
        return verify_raw(key, message, value);
    }
    let mut reader = Reader::new(signature);
    let packet = packet::next(&mut reader).map_err(|_| PossessionError::Form(key.algorithm()))?;
    if packet.tag != packet::SIGNATURE || !reader.rest().is_empty() {
        return Err(PossessionError::Form(key.algorithm()));
    }
    let body = canonicalise(packet.body)?;
    let signature = Signature::parse(&body)?;
    if signature.kind != BINARY {
        return Err(SignatureError::Kind(signature.kind).into());
    }
    if signature.issuer != key.fingerprint() {
        return Err(PossessionError::OtherKey(signature.issuer));
    }
    Ok(signature.over(Over::Document(message))?.verify(key)?)
}

/// Signs a message in OpenPGP so that [`verify`] accepts it; devices without OpenPGP sign raw.
///
/// # Errors
/// When the signer does not sign.
pub fn sign(signer: &dyn Signer, message: &[u8], at: Timestamp, salt: &[u8; 32]) -> Result<Vec<u8>, SignerError> {
    let body = Draft::new(BINARY, signer, at).sign(signer, Over::Document(message), salt)?;
    let mut out = Vec::with_capacity(body.len() + 6);
    write_packet(&mut out, &body);
    Ok(out)
}

/// The numbers of a raw signature of the key's algorithm.
fn raw(key: &PublicKey, signature: &[u8]) -> Option<RawSignature> {
    match (key.material(), key.algorithm()) {
        (Material::Ed25519(_), _) => signature.try_into().ok().map(RawSignature::Ed25519),
        (Material::Point(_), KeyAlgorithm::P256) => {
            let (r, s) = match signature.split_at_checked(32) {
                Some((r, s)) if s.len() == 32 => (r, s),
                _ => der(signature)?,
            };
            let s = ecdsa::low_s(KeyAlgorithm::P256, s)?;
            Some(RawSignature::Ecdsa { r: r.to_vec(), s })
        }
        (Material::Rsa { n, .. }, _) => (signature.len() == n.len()).then(|| RawSignature::Rsa(signature.to_vec())),
        _ => None,
    }
}

fn verify_raw(key: &PublicKey, message: &[u8], value: RawSignature) -> Result<(), PossessionError> {
    if let (Some(point), RawSignature::Ed25519(value)) = (key.ed25519_point(), &value) {
        return if ed25519::verify(point, message, value) { Ok(()) } else { Err(PossessionError::Bad) };
    }
    let hash = HashAlgorithm::Sha256;
    let signed = SignedDigest {
        issuer: key.fingerprint(),
        // A raw signature claims no time, so it is given the key's own, which is as early as the rule allows.
        created: key.created(),
        hash,
        algorithm: key.algorithm().id(),
        digest: hash.digest(&[message]),
        value,
    };
    Ok(signed.verify(key)?)
}

/// RFC 3279, 2.2.3: SEQUENCE of the INTEGERs r and s, each of 33 octets at most.
fn der(signature: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x30, length, content @ ..] = signature else { return None };
    if usize::from(*length) != content.len() {
        return None;
    }
    let integer = |bytes: &'_ [u8]| -> Option<usize> {
        let [0x02, length, ..] = bytes else { return None };
        (1..=33).contains(length).then(|| usize::from(*length))
    };
    let (r, rest) = content.get(2..)?.split_at_checked(integer(content)?)?;
    let s = rest.get(2..)?;
    (integer(rest)? == s.len()).then_some((r, s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openpgp::signer::Ed25519Signer;

    const MESSAGE: &[u8] = b"a challenge";

    #[test]
    fn an_ed25519_key_signs_raw() {
        let secret = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let signer = Ed25519Signer::from_seed(&[7; 32], 4, Timestamp::from_seconds(1_700_000_000)).expect("a key");
        let signature = ed25519_dalek::Signer::sign(&secret, MESSAGE).to_bytes();
        assert_eq!(verify(signer.public_key(), MESSAGE, &signature), Ok(()));
        assert_eq!(verify(signer.public_key(), b"another", &signature), Err(PossessionError::Bad));
        let other = Ed25519Signer::from_seed(&[8; 32], 4, Timestamp::from_seconds(1_700_000_000)).expect("a key");
        assert_eq!(verify(other.public_key(), MESSAGE, &signature), Err(PossessionError::Bad));
        let short = verify(signer.public_key(), MESSAGE, &signature[..63]);
        assert!(matches!(short, Err(PossessionError::Form(_))), "{short:?}");
    }

    #[test]
    fn openpgp_signatures_over_documents_by_the_key_itself() {
        let at = Timestamp::from_seconds(1_700_000_000);
        for version in [4, 6] {
            let signer = Ed25519Signer::from_seed(&[7; 32], version, at).expect("a key");
            let signature = sign(&signer, MESSAGE, at, &[1; 32]).expect("signed");
            assert_eq!(verify(signer.public_key(), MESSAGE, &signature), Ok(()));
            let another = verify(signer.public_key(), b"another", &signature);
            assert_eq!(another, Err(PossessionError::OpenPgp(SignatureError::Prefix)));
            let other = Ed25519Signer::from_seed(&[8; 32], version, at).expect("a key");
            let by = PossessionError::OtherKey(signer.public_key().fingerprint());
            assert_eq!(verify(other.public_key(), MESSAGE, &signature), Err(by));
        }
    }

    #[test]
    fn a_secure_element_signs_with_p256_raw_or_in_der() {
        let secret = p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a key");
        let spki = p256::pkcs8::EncodePublicKey::to_public_key_der(secret.verifying_key()).expect("DER");
        let key = PublicKey::from_spki_der(spki.as_bytes()).expect("a key");
        let signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(&secret, MESSAGE);
        assert_eq!(verify(&key, MESSAGE, &signature.to_bytes()), Ok(()));
        assert_eq!(verify(&key, MESSAGE, signature.to_der().as_bytes()), Ok(()));
        assert!(verify(&key, b"another", &signature.to_bytes()).is_err());
        assert!(matches!(verify(&key, MESSAGE, &[0x30, 0x02, 0x02, 0x00]), Err(PossessionError::Form(_))));
        assert!(verify(&key, MESSAGE, &[0; 64]).is_err());
    }

    /// A signature made for something else never fits, and nothing may precede or follow the signature.
    #[test]
    fn one_openpgp_signature_over_a_document_and_nothing_else() {
        let at = Timestamp::from_seconds(1_700_000_000);
        let signer = Ed25519Signer::from_seed(&[7; 32], 4, at).expect("a key");
        let key = signer.public_key();
        let good = sign(&signer, MESSAGE, at, &[1; 32]).expect("signed");
        let body = packet::all(&good).expect("a packet")[0].body;
        let mut marker = Vec::new();
        packet::write(&mut marker, packet::MARKER, body);
        for wrong in [marker, [&good[..], &[0]].concat(), good.repeat(2), key.to_packet(), Vec::new()] {
            assert_eq!(verify(key, MESSAGE, &wrong), Err(PossessionError::Form(key.algorithm())), "{wrong:?}");
        }
        let certification = 0x10;
        let draft = Draft::new(certification, &signer, at).sign(&signer, Over::Document(MESSAGE), &[1; 32]);
        let mut other = Vec::new();
        write_packet(&mut other, &draft.expect("signed"));
        assert_eq!(verify(key, MESSAGE, &other), Err(SignatureError::Kind(certification).into()));
    }

    #[test]
    fn an_rsa_signature_is_as_long_as_the_modulus() {
        use sequoia_openpgp::crypto::{Signer as _, mpi};
        use sequoia_openpgp::packet::Key;
        use sequoia_openpgp::packet::key::{Key4, SecretParts, UnspecifiedRole};

        let secret: Key<SecretParts, UnspecifiedRole> = Key4::generate_rsa(2048).expect("a key").into();
        let mut pair = secret.into_keypair().expect("not encrypted");
        let signer = crate::openpgp::signer::KeyPairSigner::new(pair.clone()).expect("accepted");
        let key = signer.public_key();
        let digest = HashAlgorithm::Sha256.digest(&[MESSAGE]);
        let made = pair.sign(sequoia_openpgp::types::HashAlgorithm::SHA256, &digest).expect("signed");
        let mpi::Signature::RSA { s } = made else { panic!("RSA") };
        let raw = s.value_padded(256).expect("as wide").to_vec();
        assert_eq!(verify(key, MESSAGE, &raw), Ok(()));
        assert_eq!(verify(key, b"another", &raw), Err(SignatureFault::Bad.into()));
        for wrong in [&raw[1..], &[&[0], &raw[..]].concat()] {
            assert_eq!(verify(key, MESSAGE, wrong), Err(PossessionError::Form(KeyAlgorithm::Rsa)));
        }
    }

    #[test]
    fn der_holds_two_integers_and_nothing_else() {
        let integer = |bytes: &[u8]| [&[2, bytes.len() as u8], bytes].concat();
        let sequence = |content: &[u8]| [&[0x30, content.len() as u8], content].concat();
        let two = |r: &[u8], s: &[u8]| sequence(&[integer(r), integer(s)].concat());
        let long = [7; 34];
        for (r, s) in [(&[1][..], &[2, 3][..]), (&long[..33], &[2]), (&[1], &long[..33])] {
            assert_eq!(der(&two(r, s)), Some((r, s)));
        }
        let good = two(&[1], &[2, 3]);
        let with = |place: usize, byte: u8| {
            let mut wrong = good.clone();
            wrong[place] = byte;
            wrong
        };
        for wrong in [
            two(&long, &[2]),
            two(&[1], &long),
            two(&[], &[2]),
            two(&[1], &[]),
            sequence(&integer(&[1])),
            sequence(&[integer(&[1]), integer(&[2]), vec![0]].concat()),
            [&good[..], &[0]].concat(),
            good[..good.len() - 1].to_vec(),
            with(0, 0x31),
            with(1, 8),
            with(2, 3),
            with(5, 3),
            with(6, 1),
            with(6, 3),
        ] {
            assert_eq!(der(&wrong), None, "{wrong:02x?}");
        }
    }
}
