//! Signed requests of ACME: flattened JSON Web Signatures (RFC 7515, 7.2.2) with `nonce`, `url`, and a key or the
//! account's URL (RFC 8555, 6.2).

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::jwk::Jwk;
use super::problem::{Kind, Problem};

/// The algorithms of [`Jwk`], as listed to clients that use another.
pub const ALGORITHMS: &[&str] = &["ES256", "ES384", "ES512", "EdDSA", "RS256"];

/// A request whose signature has not been checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Its header.
    pub header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
    /// What is signed: header and payload as received, with a dot between them.
    message: Vec<u8>,
}

/// The protected header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The signature algorithm.
    pub alg: String,
    /// The URL that the request was made for.
    pub url: String,
    /// The nonce of a request; the binding of an account has none.
    pub nonce: Option<String>,
    /// Who signs.
    pub by: By,
}

/// Who signs a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The key in the header.
    Key(Jwk),
    /// The account with this URL, or the external account with this id.
    Kid(String),
}

#[derive(Deserialize)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
    #[serde(default)]
    header: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    signatures: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Protected {
    alg: String,
    url: String,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    jwk: Option<serde_json::Value>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

impl Signed {
    /// Parses a request, without verifying any of it.
    ///
    /// # Errors
    /// When it is not a flattened JWS, its header lacks a required member, or it names both a key and an account.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let flattened = serde_json::from_slice(bytes)
            .map_err(|error| Problem::malformed(format!("the body is not a flattened JWS: {error}")))?;
        Self::from_flattened(flattened)
    }

    /// As [`Signed::parse`], from JSON inside other JSON.
    ///
    /// # Errors
    /// As [`Signed::parse`].
    pub fn from_value(value: &serde_json::Value) -> Result<Self, Problem> {
        let flattened = Flattened::deserialize(value)
            .map_err(|error| Problem::malformed(format!("this is not a flattened JWS: {error}")))?;
        Self::from_flattened(flattened)
    }

    fn from_flattened(flattened: Flattened) -> Result<Self, Problem> {
        if flattened.header.is_some_and(|header| !header.is_empty()) || flattened.signatures.is_some() {
            return Err(Problem::malformed("a request must have one signature and no unprotected header"));
        }
        let protected = decode("protected", &flattened.protected)?;
        let protected: Protected =
            serde_json::from_slice(&protected).map_err(|error| Problem::malformed(format!("protected: {error}")))?;
        let message = [flattened.protected.as_bytes(), b".", flattened.payload.as_bytes()].concat();
        Ok(Self {
            header: Header::read(protected)?,
            payload: decode("payload", &flattened.payload)?,
            signature: decode("signature", &flattened.signature)?,
            message,
        })
    }

    /// Checks that a key has signed it.
    ///
    /// # Errors
    /// `badSignatureAlgorithm` when the algorithm is not the key's, `unauthorized` when the signature is not good.
    pub fn verify(&self, key: &Jwk) -> Result<(), Problem> {
        let (alg, expected) = (&self.header.alg, key.algorithm());
        if alg != expected {
            let detail = format!("the algorithm is `{}`, but the key signs with {expected}", alg.escape_debug());
            return Err(Problem::new(Kind::BadSignatureAlgorithm, detail));
        }
        if !key.has_signed(&self.message, &self.signature) {
            return Err(Problem::new(Kind::Unauthorized, "the signature is wrong, or was made with another key"));
        }
        Ok(())
    }

    /// Checks that it was made with a shared secret (HS256).
    ///
    /// # Errors
    /// As [`Signed::verify`].
    pub fn verify_mac(&self, secret: &[u8]) -> Result<(), Problem> {
        if self.header.alg != "HS256" {
            return Err(Problem::malformed("externalAccountBinding: the algorithm must be HS256"));
        }
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        aws_lc_rs::hmac::verify(&key, &self.message, &self.signature)
            .map_err(|_| Problem::new(Kind::Unauthorized, "externalAccountBinding: made with another key"))
    }

    /// The payload as received.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload as JSON.
    ///
    /// # Errors
    /// When it is not JSON, or not of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.payload).map_err(|error| Problem::malformed(format!("the payload: {error}")))
    }
}

impl Header {
    fn read(protected: Protected) -> Result<Self, Problem> {
        if protected.crit.is_some() {
            return Err(Problem::malformed("protected: this server knows no critical extensions (`crit`)"));
        }
        let by = match (protected.jwk, protected.kid) {
            (Some(key), None) => By::Key(Jwk::parse(&key)?),
            (None, Some(kid)) => By::Kid(kid),
            _ => return Err(Problem::malformed("protected: it must have either `jwk` or `kid`")),
        };
        Ok(Self { alg: protected.alg, url: protected.url, nonce: protected.nonce, by })
    }
}

fn decode(name: &str, text: &str) -> Result<Vec<u8>, Problem> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|error| Problem::malformed(format!("`{name}` is not base64url without padding: {error}")))
}

#[cfg(test)]
pub(crate) mod tests {
    use p256::ecdsa::signature::Signer as _;
    use p256::ecdsa::{Signature, SigningKey};
    use serde_json::{Value, json};

    use super::*;

    /// A client's key.
    pub(crate) fn secret(seed: u8) -> SigningKey {
        SigningKey::from_slice(&[seed; 32]).expect("a key")
    }

    pub(crate) fn jwk(secret: &SigningKey) -> Jwk {
        let point = secret.verifying_key().to_encoded_point(false);
        Jwk::P256(point.as_bytes()[1..].try_into().expect("64 bytes"))
    }

    /// A flattened JWS over this header and payload, as clients make it.
    pub(crate) fn sign(secret: &SigningKey, header: &Value, payload: &[u8]) -> Value {
        let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let payload = BASE64URL_NOPAD.encode(payload);
        let signature: Signature = secret.sign(format!("{protected}.{payload}").as_bytes());
        json!({"protected": protected, "payload": payload, "signature": BASE64URL_NOPAD.encode(&signature.to_bytes())})
    }

    fn header(secret: &SigningKey) -> Value {
        json!({"alg": "ES256", "nonce": "AAAA", "url": "https://ca.example/x", "jwk": jwk(secret)})
    }

    fn parsed(json: &Value) -> Result<Signed, Problem> {
        Signed::parse(json.to_string().as_bytes())
    }

    #[test]
    fn what_a_key_has_signed_and_nothing_else() {
        let key = secret(7);
        let signed = sign(&key, &header(&key), b"{\"a\":1}");
        let read = parsed(&signed).expect("a JWS");
        assert_eq!(read.verify(&jwk(&key)), Ok(()));
        assert_eq!(read.json::<Value>(), Ok(json!({"a": 1})));
        assert_eq!(read.verify(&jwk(&secret(8))).map_err(|it| it.kind), Err(Kind::Unauthorized));
        for member in ["protected", "payload", "signature"] {
            let other = sign(&key, &header(&secret(8)), b"{\"a\":2}");
            let mut mixed = signed.clone();
            mixed[member] = other[member].clone();
            let error = parsed(&mixed).and_then(|read| read.verify(&jwk(&key))).map_err(|it| it.kind);
            assert_eq!(error, Err(Kind::Unauthorized), "{member}");
        }
    }

    #[test]
    fn every_algorithm_is_its_keys() {
        let key = secret(7);
        for alg in ["ES384", "RS256", "EdDSA", "HS256", "none", ""] {
            let mut header = header(&key);
            header["alg"] = alg.into();
            let read = parsed(&sign(&key, &header, b"{}")).expect("a JWS");
            assert_eq!(read.verify(&jwk(&key)).map_err(|it| it.kind), Err(Kind::BadSignatureAlgorithm), "{alg}");
        }
    }

    #[test]
    fn forms_that_mean_something_else_are_refused() {
        let key = secret(7);
        let good = sign(&key, &header(&key), b"{}");
        let with = |member: &str, value: Value| {
            let mut changed = good.clone();
            changed[member] = value;
            parsed(&changed).map_err(|error| error.kind)
        };
        assert_eq!(with("header", json!({"alg": "none"})), Err(Kind::Malformed));
        assert!(with("header", json!({})).is_ok(), "nothing is in it");
        assert_eq!(with("signatures", json!([])), Err(Kind::Malformed));
        assert_eq!(with("payload", json!("e30=")), Err(Kind::Malformed), "padding");
        assert_eq!(with("payload", json!("e31")), Err(Kind::Malformed), "bits that are left over");
        assert_eq!(with("signature", Value::Null), Err(Kind::Malformed));
        for change in [json!({"kid": "x"}), json!({"jwk": null}), json!({"crit": ["b64"]}), json!({"url": null})] {
            let mut header = header(&key);
            for (member, value) in change.as_object().expect("an object") {
                header[member] = value.clone();
            }
            let error = parsed(&sign(&key, &header, b"{}")).map_err(|error| error.kind);
            assert_eq!(error, Err(Kind::Malformed), "{change}");
        }
        assert_eq!(Signed::parse(b"[]").map_err(|error| error.kind), Err(Kind::Malformed));
    }

    #[test]
    fn bindings_are_made_with_the_shared_secret() {
        let header = BASE64URL_NOPAD.encode(br#"{"alg":"HS256","kid":"k","url":"u"}"#);
        let message = format!("{header}.e30");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"secret");
        let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        let json = json!({"protected": header, "payload": "e30", "signature": BASE64URL_NOPAD.encode(tag.as_ref())});
        let read = Signed::from_value(&json).expect("a JWS");
        assert_eq!(read.header.by, By::Kid("k".to_owned()));
        assert_eq!(read.verify_mac(b"secret"), Ok(()));
        assert_eq!(read.verify_mac(b"other").map_err(|it| it.kind), Err(Kind::Unauthorized));
    }
}
