//! Crafted input on which implementations of Ed25519 disagree: here, single and batch verification must agree.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use proptest::prelude::*;
use sha2::{Digest as _, Sha512};

use super::*;

/// A point of order 8 and the neutral element, canonical.
const ORDER_8: [u8; 32] = Y_ORDER_8;

/// The group order 2^252 + 27742317777372353535851937790883648493, little-endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// All points of small order, in all encodings that decoders accept.
fn weak_encodings() -> Vec<[u8; 32]> {
    let mut all = Vec::new();
    for y in [[0; 32], Y_ONE, Y_MINUS_ONE, Y_ORDER_8, Y_ORDER_8_NEGATIVE] {
        for mut point in [Some(y), plus_p(y)].into_iter().flatten() {
            all.push(point);
            point[31] |= 0x80;
            all.push(point);
        }
    }
    all
}

/// y + p, if that still fits into 255 bits.
fn plus_p(y: [u8; 32]) -> Option<[u8; 32]> {
    let sum = add(y, P);
    (sum[31] & 0x80 == 0).then_some(sum)
}

fn add(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    let mut carry = 0;
    core::array::from_fn(|i| {
        carry += u16::from(a[i]) + u16::from(b[i]);
        let byte = carry as u8;
        carry >>= 8;
        byte
    })
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Verifies alone, in a batch of one, and in a batch with good ones.
fn agree(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let alone = verify(key, message, signature);
    assert_eq!(verify_batch(&[(key, message, signature)], [3; 32]), [alone]);
    let other = self::key(200);
    let (good_key, good) = (other.verifying_key().to_bytes(), other.sign(message).to_bytes());
    let both = [(&good_key, message, &good), (key, message, signature), (&good_key, message, &good)];
    assert_eq!(verify_batch(&both, [4; 32]), [true, alone, true]);
    alone
}

#[test]
fn weak_keys_are_refused_in_every_encoding() {
    // With A the neutral element, or any point of small order, R and S can be made for any message.
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&Y_ONE);
    for point in weak_encodings() {
        if let Ok(dalek) = VerifyingKey::from_bytes(&point) {
            assert!(dalek.is_weak());
        }
        assert!(!agree(&point, b"any message", &signature));
    }
    for point in EIGHT_TORSION {
        let point = point.compress().to_bytes();
        assert!(is_canonical_encoding(&point) && has_small_order(&point));
    }
    for seed in 0..50 {
        let point = key(seed).verifying_key().to_bytes();
        assert!(is_canonical_encoding(&point) && !has_small_order(&point));
    }
}

#[test]
fn what_the_library_alone_would_take() {
    // ZIP 215 accepts the neutral element as a key; this crate's own checks refuse it.
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&Y_ONE);
    let zebra = VerificationKey::try_from(Y_ONE).expect("ZIP 215 takes any point");
    assert!(zebra.verify(&Signature::from_bytes(&signature), b"any message").is_ok());
    assert!(!verify(&Y_ONE, b"any message", &signature));
}

#[test]
fn r_must_be_canonical() {
    // R is the neutral element: S = k a, so that the equation holds whatever the encoding of R.
    let secret = key(1);
    let public = secret.verifying_key().to_bytes();
    let mut signed_one = Y_ONE;
    signed_one[31] |= 0x80;
    for (r, expected) in [(Y_ONE, true), (add(Y_ONE, P), false), (signed_one, false)] {
        let signature = signature_with_r(&secret, r, b"m");
        assert_eq!(agree(&public, b"m", &signature), expected, "{r:02x?}");
        let zebra = VerificationKey::try_from(public).expect("a point");
        assert!(zebra.verify(&Signature::from_bytes(&signature), b"m").is_ok(), "ZIP 215 takes them all");
    }
}

#[test]
fn torsion_in_r_is_taken_alone_and_in_batches() {
    // R has order 8 and nothing else: cofactored verification multiplies it away, while cofactorless verification
    // fails.
    let secret = key(2);
    let public = secret.verifying_key().to_bytes();
    let signature = signature_with_r(&secret, ORDER_8, b"m");
    assert!(agree(&public, b"m", &signature));
    let dalek = ed25519_dalek::Signature::from_bytes(&signature);
    assert!(secret.verifying_key().verify_strict(b"m", &dalek).is_err());
}

/// S = k a, where k = SHA-512(R, A, M) and a is the secret scalar: a signature whose R contributes nothing.
fn signature_with_r(secret: &SigningKey, r: [u8; 32], message: &[u8]) -> [u8; 64] {
    let public = secret.verifying_key().to_bytes();
    let hash = Sha512::new().chain_update(r).chain_update(public).chain_update(message).finalize();
    let s = Scalar::from_bytes_mod_order_wide(&hash.into()) * secret.to_scalar();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(s.as_bytes());
    signature
}

#[test]
fn s_must_be_below_the_order() {
    let secret = key(3);
    let public = secret.verifying_key().to_bytes();
    let good = secret.sign(b"m").to_bytes();
    assert!(agree(&public, b"m", &good));
    let s: [u8; 32] = good[32..].try_into().expect("32 bytes");
    let mut malleated = good;
    malleated[32..].copy_from_slice(&add(s, L));
    assert!(!agree(&public, b"m", &malleated));
}

#[test]
fn one_bad_signature_does_not_hide_others() {
    let message = b"m".as_slice();
    let keys: Vec<_> = (0..40).map(key).collect();
    let points: Vec<_> = keys.iter().map(|key| key.verifying_key().to_bytes()).collect();
    let mut signatures: Vec<_> = keys.iter().map(|key| key.sign(message).to_bytes()).collect();
    signatures[7][40] ^= 1;
    signatures[21][3] ^= 1;
    let items: Vec<_> = points.iter().zip(&signatures).map(|(key, signature)| (key, message, signature)).collect();
    let expected: Vec<_> = (0..40).map(|i| i != 7 && i != 21).collect();
    assert_eq!(verify_batch(&items, [5; 32]), expected);
    assert_eq!(verify_batch(&[], [5; 32]), Vec::<bool>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_bit_is_bad(seed: u8, message: Vec<u8>, bit in 0_usize..512) {
        let secret = key(seed);
        let public = secret.verifying_key().to_bytes();
        let mut signature = secret.sign(&message).to_bytes();
        prop_assert!(agree(&public, &message, &signature));
        signature[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!agree(&public, &message, &signature));
    }
}
