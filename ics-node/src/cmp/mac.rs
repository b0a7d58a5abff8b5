//! Protection by a shared secret: the password-based MAC (RFC 9810, 5.1.3.1).

use aws_lc_rs::{digest, hmac};
use der::asn1::{BitString, OctetString};
use der::{Decode as _, Encode as _, Sequence};
use x509_cert::spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

use super::{Failure, FailureInfo};
use crate::x509::oid;

/// Rounds at most: anybody may ask for them. openssl makes 500.
const MOST_ROUNDS: u32 = 4_096;
/// Bytes of salt at most.
const MOST_SALT: usize = 128;

/// PBMParameter.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct Parameters {
    salt: OctetString,
    hash: AlgorithmIdentifierOwned,
    rounds: u32,
    mac: AlgorithmIdentifierOwned,
}

/// How a message is protected by a secret.
#[derive(Debug)]
pub(super) struct Mac {
    salt: Vec<u8>,
    hash: &'static digest::Algorithm,
    rounds: u32,
    mac: hmac::Algorithm,
}

impl Mac {
    /// Reads what an algorithm says of it.
    pub(super) fn read(with: &AlgorithmIdentifierOwned) -> Result<Self, Failure> {
        let parameters = with.parameters.as_ref().ok_or_else(|| Failure::form("a MAC without parameters"))?;
        let parameters = parameters.to_der().and_then(|der| Parameters::from_der(&der)).map_err(Failure::form)?;
        let bad = |text: &str| Failure::new(FailureInfo::BadAlg, text);
        let salt = parameters.salt.as_bytes();
        if salt.len() > MOST_SALT || !(1..=MOST_ROUNDS).contains(&parameters.rounds) {
            return Err(bad(&format!("a MAC has {MOST_SALT} bytes of salt and {MOST_ROUNDS} rounds at most")));
        }
        let hash = match parameters.hash.oid {
            oid::SHA256 => &digest::SHA256,
            oid::SHA384 => &digest::SHA384,
            oid::SHA512 => &digest::SHA512,
            _ => return Err(bad("a MAC is made with SHA-256, SHA-384 or SHA-512 (openssl: `-digest sha256`)")),
        };
        let mac = match parameters.mac.oid {
            oid::HMAC_SHA256 => hmac::HMAC_SHA256,
            oid::HMAC_SHA384 => hmac::HMAC_SHA384,
            oid::HMAC_SHA512 => hmac::HMAC_SHA512,
            _ => return Err(bad("a MAC is one with SHA-256, SHA-384 or SHA-512 (openssl: `-mac hmacWithSHA256`)")),
        };
        Ok(Self { salt: salt.to_vec(), hash, rounds: parameters.rounds, mac })
    }

    /// The key that the secret makes.
    fn key(&self, secret: &[u8]) -> hmac::Key {
        let mut key = Zeroizing::new([secret, &self.salt].concat());
        for _ in 0..self.rounds {
            let next = digest::digest(self.hash, &key);
            // In the same place, which is cleared in the end.
            key.clear();
            key.extend_from_slice(next.as_ref());
        }
        hmac::Key::new(self.mac, &key)
    }

    /// Whether it is that of this message; in a time that does not tell how much of it is right.
    pub(super) fn verify(&self, secret: &[u8], message: &[u8], mac: &BitString) -> bool {
        let mac = mac.as_bytes().unwrap_or_default();
        hmac::verify(&self.key(secret), message, mac).is_ok()
    }

    /// That of a message.
    pub(super) fn sign(&self, secret: &[u8], message: &[u8]) -> der::Result<BitString> {
        BitString::from_bytes(hmac::sign(&self.key(secret), message).as_ref())
    }
}
