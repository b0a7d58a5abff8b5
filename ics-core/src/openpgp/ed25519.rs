//! The acceptance rule for Ed25519 (`rules: 1`).
//!
//! ZIP 215 as in ed25519-zebra, which is cofactored and therefore gives the same result for single signatures and
//! batches. In addition, because ZIP 215 does not demand it: the encodings of A and R must be canonical (RFC 8032,
//! 5.1.3), and A must not have small order. S below the group order is part of ZIP 215.

use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes, batch};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

/// The prime 2^255 - 19, little-endian.
const P: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// 1 and p - 1, the y of the two points with x = 0, for which the sign bit must not be set.
const Y_ONE: [u8; 32] = {
    let mut y = [0; 32];
    y[0] = 1;
    y
};
const Y_MINUS_ONE: [u8; 32] = {
    let mut y = P;
    y[0] = 0xec;
    y
};

/// The y of the points of order 8; the negative of each is p minus it, and each has two signs.
const Y_ORDER_8: [u8; 32] = [
    0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac,
    0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
];
const Y_ORDER_8_NEGATIVE: [u8; 32] = [
    0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53,
    0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
];

/// The y coordinate of an encoded point, without the sign of x.
const fn y_of(point: &[u8; 32]) -> [u8; 32] {
    let mut y = *point;
    y[31] &= 0x7f;
    y
}

/// Whether this is the one encoding that RFC 8032 gives a point: y below p, and no sign if x is zero.
#[must_use]
pub fn is_canonical_encoding(point: &[u8; 32]) -> bool {
    let y = y_of(point);
    let is_signed = y != *point;
    y.iter().rev().lt(P.iter().rev()) && !(is_signed && (y == Y_ONE || y == Y_MINUS_ONE))
}

/// Whether a canonically encoded point is one of the eight of small order.
#[must_use]
pub fn has_small_order(point: &[u8; 32]) -> bool {
    [[0; 32], Y_ONE, Y_MINUS_ONE, Y_ORDER_8, Y_ORDER_8_NEGATIVE].contains(&y_of(point))
}

/// Whether a signature may be passed to the arithmetic at all: R is canonical, and A is canonical and not weak.
fn is_well_formed(key: &[u8; 32], signature: &[u8; 64]) -> bool {
    let r = signature.first_chunk().is_some_and(is_canonical_encoding);
    r && is_canonical_encoding(key) && !has_small_order(key)
}

/// Whether `signature` (R, S) is good for `message` under `key`.
#[must_use]
pub fn verify(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    is_well_formed(key, signature)
        && VerificationKey::try_from(*key)
            .is_ok_and(|key| key.verify(&Signature::from_bytes(signature), message).is_ok())
}

/// Whether each of the signatures is good: the same results as [`verify`], at a fraction of the cost.
///
/// The coefficients of the batch are drawn from `seed`, which must be unpredictable to whoever made the signatures, or
/// soundness is lost; it is an argument only because the core draws no randomness.
#[must_use]
pub fn verify_batch(items: &[(&[u8; 32], &[u8], &[u8; 64])], seed: [u8; 32]) -> Vec<bool> {
    let formed: Vec<bool> = items.iter().map(|(key, _, signature)| is_well_formed(key, signature)).collect();
    if !formed.contains(&true) {
        // An empty batch verifies, but costs as much as a whole one.
        return formed;
    }
    let mut batch = batch::Verifier::new();
    for ((key, message, signature), _) in items.iter().zip(&formed).filter(|(_, formed)| **formed) {
        batch.queue((VerificationKeyBytes::from(**key), Signature::from_bytes(signature), message));
    }
    if batch.verify(ChaCha20Rng::from_seed(seed)).is_ok() {
        return formed;
    }
    items.iter().map(|(key, message, signature)| verify(key, message, signature)).collect()
}

#[cfg(test)]
mod tests;
