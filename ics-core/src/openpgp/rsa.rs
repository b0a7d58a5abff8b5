//! RSA, PKCS #1 version 1.5: the arithmetic.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents,
};

use super::algorithm::HashAlgorithm;
use super::reader::padded;

/// Whether a number signs a digest under a modulus and an exponent, both without leading zeros (RFC 8017, 8.2.2). This
/// uses aws-lc, which takes a fraction of the time of sequoia's backend. A hash that is not accepted with RSA signs
/// nothing.
pub(crate) fn verify(n: &[u8], e: &[u8], hash: HashAlgorithm, digest: &[u8], s: &[u8]) -> bool {
    let (rule, of) = match hash {
        HashAlgorithm::Sha256 => (&RSA_PKCS1_2048_8192_SHA256, &digest::SHA256),
        HashAlgorithm::Sha384 => (&RSA_PKCS1_2048_8192_SHA384, &digest::SHA384),
        HashAlgorithm::Sha512 => (&RSA_PKCS1_2048_8192_SHA512, &digest::SHA512),
        HashAlgorithm::Sha3_256 | HashAlgorithm::Sha3_512 => return false,
    };
    let (Ok(digest), Some(s)) = (Digest::import_less_safe(digest, of), padded(n.len(), s)) else { return false };
    let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(rule);
    key.is_ok_and(|key| key.verify_digest_sig(&digest, &s).is_ok())
}
