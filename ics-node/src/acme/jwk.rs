//! Keys of accounts: JSON Web Keys (RFC 7517, RFC 8037), their thumbprints, and verification with them.

use std::cell::RefCell;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use data_encoding::BASE64URL_NOPAD;
use ics_core::limits;
use ics_core::openpgp::spki;
use quick_cache::unsync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::problem::{Kind, Problem};

/// The public key of an account, or of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Members", into = "Members")]
pub enum Jwk {
    /// P-256: x and y.
    P256([u8; 64]),
    /// P-384: x and y.
    P384([u8; 96]),
    /// P-521: x and y.
    P521([u8; 132]),
    /// Ed25519.
    Ed25519([u8; 32]),
    /// RSA: modulus and exponent, big-endian without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

/// The members that define the key, in the order required by RFC 7638. Others are ignored.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Members {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(default, skip_serializing)]
    d: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    kty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl Jwk {
    /// Reads the key from a JSON value.
    ///
    /// # Errors
    /// `badPublicKey` when it is of none of the accepted kinds.
    pub fn parse(json: &serde_json::Value) -> Result<Self, Problem> {
        Self::deserialize(json).map_err(|error| Problem::new(Kind::BadPublicKey, format!("jwk: {error}")))
    }

    /// The only algorithm that is accepted with this key.
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::P521(_) => "ES512",
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa { .. } => "RS256",
        }
    }

    /// Whether the key has signed a message.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match self {
            Self::P256(point) => p256_has_signed(point, message, signature),
            Self::P384(point) => by(&ECDSA_P384_SHA384_FIXED, &uncompressed(point)),
            Self::P521(point) => by(&ECDSA_P521_SHA512_FIXED, &uncompressed(point)),
            Self::Ed25519(point) => by(&ED25519, point),
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
        }
    }

    /// The SHA-256 of its canonical form (RFC 7638) in base64url, from which key authorizations are made.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // A structure of strings always has a JSON form.
        let canonical = serde_json::to_vec(self).unwrap_or_default();
        BASE64URL_NOPAD.encode(&Sha256::digest(canonical))
    }

    /// The same key in X.509's format: a SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        let (prefix, key): (&[u8], Vec<u8>) = match self {
            Self::P256(point) => (spki::P256, uncompressed(point)),
            Self::P384(point) => (spki::P384, uncompressed(point)),
            Self::P521(point) => (spki::P521, uncompressed(point)),
            Self::Ed25519(point) => (spki::ED25519, point.to_vec()),
            Self::Rsa { n, e } => return spki::rsa_der(n, e),
        };
        [prefix, &key].concat()
    }
}

/// How many keys each thread keeps ready.
const READY: usize = 256;

thread_local!(static P256_READY: RefCell<Cache<[u8; 64], ParsedPublicKey>> = RefCell::new(Cache::new(READY)));

/// Reading a point and checking that it is on the curve takes a twentieth of the time of verifying with it, and an
/// account makes several requests in a row. Only keys that have signed are kept: anybody can invent points.
fn p256_has_signed(point: &[u8; 64], message: &[u8], signature: &[u8]) -> bool {
    P256_READY.with_borrow_mut(|ready| {
        if let Some(key) = ready.get(point) {
            return key.verify_sig(message, signature).is_ok();
        }
        let Ok(key) = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, uncompressed(point)) else { return false };
        let has_signed = key.verify_sig(message, signature).is_ok();
        if has_signed {
            ready.insert(*point, key);
        }
        has_signed
    })
}

fn uncompressed(point: &[u8]) -> Vec<u8> {
    [&[4], point].concat()
}

impl TryFrom<Members> for Jwk {
    type Error = String;

    fn try_from(members: Members) -> Result<Self, String> {
        if members.d.is_some() {
            return Err("this is a private key, which must never be sent: make a new one".to_owned());
        }
        match (members.kty.as_str(), members.crv.as_deref()) {
            ("EC", Some("P-256")) => Ok(Self::P256(pair(&members.x, &members.y)?)),
            ("EC", Some("P-384")) => Ok(Self::P384(pair(&members.x, &members.y)?)),
            ("EC", Some("P-521")) => Ok(Self::P521(pair(&members.x, &members.y)?)),
            ("OKP", Some("Ed25519")) => {
                let x = decode("x", &members.x)?;
                Ok(Self::Ed25519(x.try_into().map_err(|_| "`x` must have 32 bytes".to_owned())?))
            }
            ("RSA", _) => rsa(decode("n", &members.n)?, decode("e", &members.e)?),
            _ => Err("the key must be P-256, P-384, P-521, Ed25519, or RSA of 2048 to 4096 bits".to_owned()),
        }
    }
}

fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Jwk, String> {
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    let has_zero = n.first() == Some(&0) || e.first() == Some(&0);
    // Only exponents in common use: a large one would make verification expensive.
    let is_odd = e.last().is_some_and(|last| last & 1 == 1) && e.len() <= 4 && e != [1];
    if has_zero || !limits::RSA_BITS.contains(&bits) || !is_odd {
        return Err("an RSA key has 2048 to 4096 bits and an odd exponent below 2^32, without leading zeros".to_owned());
    }
    Ok(Jwk::Rsa { n, e })
}

fn pair<const N: usize>(x: &Option<String>, y: &Option<String>) -> Result<[u8; N], String> {
    let (x, y) = (decode("x", x)?, decode("y", y)?);
    let form = |_| format!("`x` and `y` must have {} bytes each", N / 2);
    if x.len() == y.len() { [x, y].concat().try_into().map_err(form) } else { Err(form(Vec::new())) }
}

fn decode(name: &str, text: &Option<String>) -> Result<Vec<u8>, String> {
    let text = text.as_ref().ok_or_else(|| format!("`{name}` is missing"))?;
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|error| format!("`{name}`: {error}"))
}

impl From<Jwk> for Members {
    fn from(key: Jwk) -> Self {
        let text = |bytes: &[u8]| Some(BASE64URL_NOPAD.encode(bytes));
        let named = |kty: &str, crv: &str| Self { kty: kty.to_owned(), crv: Some(crv.to_owned()), ..Self::default() };
        let point = |crv, (x, y): (&[u8], &[u8])| Self { x: text(x), y: text(y), ..named("EC", crv) };
        match key {
            Jwk::P256(xy) => point("P-256", xy.split_at(32)),
            Jwk::P384(xy) => point("P-384", xy.split_at(48)),
            Jwk::P521(xy) => point("P-521", xy.split_at(66)),
            Jwk::Ed25519(x) => Self { x: text(&x), ..named("OKP", "Ed25519") },
            Jwk::Rsa { n, e } => Self { kty: "RSA".to_owned(), n: text(&n), e: text(&e), ..Self::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    };
    use ics_core::openpgp::key::PublicKey;
    use serde_json::json;

    use super::*;

    #[test]
    fn thumbprints_are_those_of_the_specifications() {
        // RFC 7638, 3.1, and RFC 8037, appendix A.3.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3\
                 oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZH\
                 zu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8\
                 awapJzKnqDKgw";
        let rsa = json!({"kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB", "n": n});
        assert_eq!(Jwk::parse(&rsa).expect("a key").thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(Jwk::parse(&ed).expect("a key").thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn x509_writes_them_as_openpgp_reads_them() {
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let secret = p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a key");
        let point = secret.verifying_key().to_encoded_point(false);
        let xy: [u8; 64] = point.as_bytes()[1..].try_into().expect("64 bytes");
        let rsa = Jwk::Rsa { n: vec![0xc1; 256], e: vec![1, 0, 1] };
        for key in [Jwk::parse(&ed).expect("a key"), Jwk::P256(xy), rsa] {
            let read = PublicKey::from_spki_der(&key.to_spki()).expect("an SPKI");
            assert_eq!(read.to_spki_der().expect("X.509"), key.to_spki());
            let json = serde_json::to_value(&key).expect("JSON");
            assert_eq!(Jwk::parse(&json), Ok(key));
        }
    }

    /// The holder of a certificate's key revokes it with that key (RFC 8555, 7.6), which may be a P-521 key.
    #[test]
    fn a_key_of_p521_has_signed_what_it_signed() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("a key");
        let (x, y) = pair.public_key().as_ref()[1..].split_at(66);
        let json = json!({"kty": "EC", "crv": "P-521", "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y)});
        let key = Jwk::parse(&json).expect("a key");
        assert_eq!((key.algorithm(), serde_json::to_value(&key).expect("JSON")), ("ES512", json));
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("X.509");
        assert_eq!(key.to_spki(), spki.as_ref());
        let signature = pair.sign(&SystemRandom::new(), b"message").expect("signs");
        assert_eq!(signature.as_ref().len(), 132);
        assert!(key.has_signed(b"message", signature.as_ref()) && !key.has_signed(b"another", signature.as_ref()));
    }

    #[test]
    fn keys_that_have_signed_are_kept_ready_and_nothing_is_kept_of_others() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let key = Jwk::P256(pair.public_key().as_ref()[1..].try_into().expect("64 bytes"));
        let signature = pair.sign(&SystemRandom::new(), b"message").expect("signs");
        let has_signed = |key: &Jwk, message: &[u8]| key.has_signed(message, signature.as_ref());
        let kept = || P256_READY.with_borrow(|ready| (ready.len(), ready.memory_used().total()));
        let before = kept();
        for number in 0_u16..2_000 {
            let mut point = [1; 64];
            point[..2].copy_from_slice(&number.to_be_bytes());
            assert!(!has_signed(&Jwk::P256(point), b"message"), "it is not on the curve");
        }
        assert!(!has_signed(&key, b"another"));
        assert_eq!(kept(), before);
        for _ in 0..2 {
            assert!(has_signed(&key, b"message") && !has_signed(&key, b"another"));
        }
        assert_eq!(kept().0, before.0 + 1);
    }

    #[test]
    fn other_keys_are_refused() {
        let n = |bytes: usize| BASE64URL_NOPAD.encode(&vec![0xc1; bytes]);
        for json in [
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
            json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
            json!({"kty": "EC", "crv": "P-256", "x": "AA"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AA=="}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "AA"}),
            json!({"kty": "RSA", "n": n(128), "e": "AQAB"}),
            json!({"kty": "RSA", "n": n(1024), "e": "AQAB"}),
            json!({"kty": "RSA", "n": n(256), "e": "AQ"}),
            json!({"kty": "RSA", "n": n(256), "e": "AQABAQAB"}),
            json!("key"),
        ] {
            assert_eq!(Jwk::parse(&json).map_err(|error| error.kind), Err(Kind::BadPublicKey), "{json}");
        }
    }
}
