//! ECDSA: the arithmetic, and low-s. Of the two `s` that verify, (s, n - s), the canonical form has the smaller, so
//! that nobody can make a second signature from a first one.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, UnparsedPublicKey, VerificationAlgorithm,
};

use super::algorithm::KeyAlgorithm;
use super::reader::{padded, strip_zeros};

/// The orders of the curves (SEC 2, 2.4.2, 2.5.1, 2.6.1), big-endian.
const P256: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const P384: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0,
    0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];
const P521: [u8; 66] = [
    0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0x51, 0x86, 0x87, 0x83,
    0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47,
    0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
];

const fn order(algorithm: KeyAlgorithm) -> &'static [u8] {
    match algorithm {
        KeyAlgorithm::P384 => &P384,
        KeyAlgorithm::P521 => &P521,
        _ => &P256,
    }
}

/// Whether two numbers sign a digest under a point, as written in SEC 1. This uses aws-lc, which takes a fraction of
/// the time of sequoia's backend.
///
/// Only as many bits of a digest count as the order has (FIPS 186-5, 6.4.2), which are its first octets whatever the
/// hash; aws-lc is given them as a digest of the hash that is as wide as the curve.
pub(crate) fn verify(algorithm: KeyAlgorithm, point: &[u8], digest: &[u8], r: &[u8], s: &[u8]) -> bool {
    let (rule, hash): (&dyn VerificationAlgorithm, _) = match algorithm {
        KeyAlgorithm::P384 => (&ECDSA_P384_SHA384_FIXED, &digest::SHA384),
        KeyAlgorithm::P521 => (&ECDSA_P521_SHA512_FIXED, &digest::SHA512),
        _ => (&ECDSA_P256_SHA256_FIXED, &digest::SHA256),
    };
    let digest = digest.get(..hash.output_len()).and_then(|first| Digest::import_less_safe(first, hash).ok());
    let width = order(algorithm).len();
    let (Some(digest), Some(r), Some(s)) = (digest, padded(width, r), padded(width, s)) else { return false };
    UnparsedPublicKey::new(rule, point).verify_digest(&digest, &[r, s].concat()).is_ok()
}

/// The smaller of s and n - s, without leading zeros; `None` if s is not in 1..n.
pub(crate) fn low_s(algorithm: KeyAlgorithm, s: &[u8]) -> Option<Vec<u8>> {
    let order = order(algorithm);
    let padded = padded(order.len(), s)?;
    if strip_zeros(&padded).is_empty() || padded.as_slice() >= order {
        return None;
    }
    let other = subtract(order, &padded);
    Some(strip_zeros(if other < padded { &other } else { &padded }).to_vec())
}

/// `a - b` for numbers of the same length, with a at least b.
fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = false;
    let mut difference: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let (without, first) = a.overflowing_sub(*b);
            let (digit, second) = without.overflowing_sub(borrow.into());
            borrow = first || second;
            digit
        })
        .collect();
    difference.reverse();
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_both() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::P521] {
            let order = order(algorithm);
            let high = subtract(order, &[&vec![0; order.len() - 1][..], &[5]].concat());
            assert_eq!(low_s(algorithm, &high), Some(vec![5]));
            assert_eq!(low_s(algorithm, &[0, 0, 5]), Some(vec![5]));
            assert_eq!(low_s(algorithm, &[]), None);
            assert_eq!(low_s(algorithm, order), None);
            assert_eq!(low_s(algorithm, &[&[1], order].concat()), None);
            let mut half = order.to_vec();
            let mut carry = 0;
            for byte in &mut half {
                (*byte, carry) = (*byte >> 1 | carry, *byte << 7);
            }
            let half = strip_zeros(&half).to_vec();
            assert_eq!(low_s(algorithm, &half), Some(half));
        }
    }
}
