//! Protection by a shared secret: the password-based MAC of CMP (RFC 9810, 5.1.3.1) and PBMAC1 (RFC 9481, 6.1.2).

use core::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use der::asn1::{BitString, ObjectIdentifier, OctetString};
use der::{Decode as _, Encode as _, Sequence};
use x509_cert::spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

use super::{Failure, FailureInfo};
use crate::x509::oid;

/// The most rounds accepted, since anyone may ask for them. openssl uses 500.
const MOST_ROUNDS: u32 = 4_096;
/// The most rounds of PBKDF2 accepted; each takes two digests or more.
const MOST_ITERATIONS: u32 = 10_000;
/// The longest salt in bytes.
const MOST_SALT: usize = 128;
/// The length in bytes of keys that PBKDF2 makes; at least 20 (RFC 9579, 9).
const KEY_BYTES: core::ops::RangeInclusive<u16> = 20..=64;

/// PBMParameter.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct Parameters {
    salt: OctetString,
    hash: AlgorithmIdentifierOwned,
    rounds: u32,
    mac: AlgorithmIdentifierOwned,
}

/// PBMAC1-params (RFC 8018, A.5).
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct Pbmac1 {
    derivation: AlgorithmIdentifierOwned,
    mac: AlgorithmIdentifierOwned,
}

/// PBKDF2-params (RFC 8018, A.2).
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct Pbkdf2 {
    salt: OctetString,
    iterations: u32,
    length: Option<u16>,
    prf: Option<AlgorithmIdentifierOwned>,
}

/// Protection of a message by a secret.
pub(super) struct Mac {
    salt: Vec<u8>,
    derivation: Derivation,
    rounds: NonZeroU32,
    mac: hmac::Algorithm,
}

/// How the key is derived from the secret.
enum Derivation {
    /// By repeated digests.
    Digests(&'static digest::Algorithm),
    /// By PBKDF2, to a key of this many bytes.
    Pbkdf2(pbkdf2::Algorithm, u16),
}

impl Mac {
    /// Whether an algorithm uses a shared secret.
    pub(super) fn is_by_secret(with: ObjectIdentifier) -> bool {
        with == oid::PASSWORD_BASED_MAC || with == oid::PBMAC1
    }

    /// Reads the parameters of an algorithm.
    pub(super) fn read(with: &AlgorithmIdentifierOwned) -> Result<Self, Failure> {
        let parameters = parameters(with)?;
        if with.oid == oid::PBMAC1 { Self::pbmac1(&parameters) } else { Self::password_based(&parameters) }
    }

    fn password_based(parameters: &[u8]) -> Result<Self, Failure> {
        let parameters = Parameters::from_der(parameters).map_err(Failure::form)?;
        let rounds = rounds(parameters.rounds, MOST_ROUNDS)?;
        let hash = match parameters.hash.oid {
            oid::SHA256 => &digest::SHA256,
            oid::SHA384 => &digest::SHA384,
            oid::SHA512 => &digest::SHA512,
            _ => return Err(bad("the MAC must use SHA-256, SHA-384 or SHA-512 (openssl: `-digest sha256`)")),
        };
        let (salt, mac) = (salt(&parameters.salt)?, hmac_of(&parameters.mac)?);
        Ok(Self { salt, derivation: Derivation::Digests(hash), rounds, mac })
    }

    fn pbmac1(parameters: &[u8]) -> Result<Self, Failure> {
        let Pbmac1 { derivation, mac } = Pbmac1::from_der(parameters).map_err(Failure::form)?;
        if derivation.oid != oid::PBKDF2 {
            return Err(bad("the key of PBMAC1 must be derived with PBKDF2"));
        }
        let read = Pbkdf2::from_der(&self::parameters(&derivation)?).map_err(Failure::form)?;
        let rounds = rounds(read.iterations, MOST_ITERATIONS)?;
        // If it is absent, it is HMAC with SHA-1, which is refused.
        let prf = match read.prf.map(|prf| prf.oid) {
            Some(oid::HMAC_SHA256) => pbkdf2::PBKDF2_HMAC_SHA256,
            Some(oid::HMAC_SHA384) => pbkdf2::PBKDF2_HMAC_SHA384,
            Some(oid::HMAC_SHA512) => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return Err(bad("PBKDF2 must use HMAC with SHA-256, SHA-384 or SHA-512")),
        };
        let length = read.length.filter(|length| KEY_BYTES.contains(length));
        let length = length.ok_or_else(|| bad("PBKDF2 must state a key length of 20 to 64 bytes"))?;
        let (salt, mac) = (salt(&read.salt)?, hmac_of(&mac)?);
        Ok(Self { salt, derivation: Derivation::Pbkdf2(prf, length), rounds, mac })
    }

    /// The key derived from the secret.
    fn key(&self, secret: &[u8]) -> hmac::Key {
        let key = match self.derivation {
            Derivation::Digests(hash) => self.digested(hash, secret),
            Derivation::Pbkdf2(prf, length) => {
                let mut key = Zeroizing::new(vec![0_u8; usize::from(length)]);
                pbkdf2::derive(prf, self.rounds, &self.salt, secret, &mut key);
                key
            }
        };
        hmac::Key::new(self.mac, &key)
    }

    fn digested(&self, hash: &'static digest::Algorithm, secret: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut key = Zeroizing::new([secret, &self.salt].concat());
        for _ in 0..self.rounds.get() {
            let next = digest::digest(hash, &key);
            // In the same memory, which is cleared in the end.
            key.clear();
            key.extend_from_slice(next.as_ref());
        }
        key
    }

    /// Whether this is the MAC of the message; takes the same time however much of it is right.
    pub(super) fn verify(&self, secret: &[u8], message: &[u8], mac: &BitString) -> bool {
        let mac = mac.as_bytes().unwrap_or_default();
        hmac::verify(&self.key(secret), message, mac).is_ok()
    }

    /// The MAC of a message.
    pub(super) fn sign(&self, secret: &[u8], message: &[u8]) -> der::Result<BitString> {
        BitString::from_bytes(hmac::sign(&self.key(secret), message).as_ref())
    }
}

fn bad(text: &str) -> Failure {
    Failure::new(FailureInfo::BadAlg, text)
}

/// The parameters of an algorithm in DER.
fn parameters(with: &AlgorithmIdentifierOwned) -> Result<Vec<u8>, Failure> {
    let parameters = with.parameters.as_ref().ok_or_else(|| Failure::form("a MAC without parameters"))?;
    parameters.to_der().map_err(Failure::form)
}

fn rounds(number: u32, most: u32) -> Result<NonZeroU32, Failure> {
    let number = NonZeroU32::new(number).filter(|number| number.get() <= most);
    number.ok_or_else(|| bad(&format!("a MAC of this kind must have 1 to {most} iterations")))
}

fn salt(salt: &OctetString) -> Result<Vec<u8>, Failure> {
    let salt = Some(salt.as_bytes()).filter(|salt| salt.len() <= MOST_SALT);
    salt.map(<[u8]>::to_vec).ok_or_else(|| bad(&format!("a MAC may have at most {MOST_SALT} bytes of salt")))
}

fn hmac_of(with: &AlgorithmIdentifierOwned) -> Result<hmac::Algorithm, Failure> {
    match with.oid {
        oid::HMAC_SHA256 => Ok(hmac::HMAC_SHA256),
        oid::HMAC_SHA384 => Ok(hmac::HMAC_SHA384),
        oid::HMAC_SHA512 => Ok(hmac::HMAC_SHA512),
        _ => Err(bad("the MAC must be HMAC with SHA-256, SHA-384 or SHA-512 (openssl: `-mac hmacWithSHA256`)")),
    }
}

#[cfg(test)]
mod tests {
    use der::asn1::Any;

    use super::*;

    fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned { oid, parameters: None }
    }

    fn derivation() -> Pbkdf2 {
        let salt = OctetString::new(*b"0123456789abcdef").expect("short");
        Pbkdf2 { salt, iterations: 1000, length: Some(32), prf: Some(algorithm(oid::HMAC_SHA256)) }
    }

    fn pbmac1(derivation: &Pbkdf2, by: ObjectIdentifier, mac: ObjectIdentifier) -> AlgorithmIdentifierOwned {
        let parameters = Some(Any::encode_from(derivation).expect("encodes"));
        let derivation = AlgorithmIdentifierOwned { oid: by, parameters };
        let parameters = Any::encode_from(&Pbmac1 { derivation, mac: algorithm(mac) }).expect("encodes");
        AlgorithmIdentifierOwned { oid: oid::PBMAC1, parameters: Some(parameters) }
    }

    /// The expected values were computed with Python's hashlib and hmac.
    #[test]
    fn pbmac1_is_that_of_others() {
        let long = Pbkdf2 { iterations: 2, length: Some(64), prf: Some(algorithm(oid::HMAC_SHA512)), ..derivation() };
        for (with, expected) in [
            (
                pbmac1(&derivation(), oid::PBKDF2, oid::HMAC_SHA256),
                "b61daeb36d71ff40fcc86df75ba3d8807c4f8e625d2d3f61dc47592cebb1629b",
            ),
            (
                pbmac1(&long, oid::PBKDF2, oid::HMAC_SHA384),
                "3a1ed505791e30e6101d63e40540846d32638e8bd37fe061a2ee891e5358700bed1bcee48d4cf968fe73a638c1928659",
            ),
        ] {
            let Ok(mac) = Mac::read(&with) else { panic!("it is taken: {with:?}") };
            let (secret, message) = (b"only for operators", b"a message");
            let made = mac.sign(secret, message).expect("fits");
            assert_eq!(data_encoding::HEXLOWER.encode(made.raw_bytes()), expected);
            assert!(mac.verify(secret, message, &made) && !mac.verify(b"only for", message, &made));
        }
    }

    #[test]
    fn pbmac1_is_taken_with_sha_2_and_in_bounds() {
        let is_taken = |derivation: Pbkdf2, by, mac| match Mac::read(&pbmac1(&derivation, by, mac)) {
            Ok(_) => true,
            Err(failure) => {
                assert_eq!(failure.info, FailureInfo::BadAlg, "{failure}");
                false
            }
        };
        let (by, mac) = (oid::PBKDF2, oid::HMAC_SHA256);
        let long = OctetString::new([1; MOST_SALT + 1]).expect("short");
        assert!(is_taken(derivation(), by, mac));
        assert!(is_taken(Pbkdf2 { iterations: MOST_ITERATIONS, length: Some(20), ..derivation() }, by, mac));
        for derivation in [
            Pbkdf2 { iterations: MOST_ITERATIONS + 1, ..derivation() },
            Pbkdf2 { iterations: 0, ..derivation() },
            Pbkdf2 { length: Some(19), ..derivation() },
            Pbkdf2 { length: Some(65), ..derivation() },
            Pbkdf2 { length: None, ..derivation() },
            Pbkdf2 { prf: None, ..derivation() },
            Pbkdf2 { prf: Some(algorithm(oid::SHA256)), ..derivation() },
            Pbkdf2 { salt: long, ..derivation() },
        ] {
            assert!(!is_taken(derivation.clone(), by, mac), "{derivation:?}");
        }
        assert!(!is_taken(derivation(), oid::SHA256, mac));
        assert!(!is_taken(derivation(), by, oid::SHA256));
    }
}
