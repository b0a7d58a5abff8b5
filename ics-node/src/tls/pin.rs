//! Keys of peers, as operators write them and as connections prove them.

use core::fmt;
use core::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::spki::{self, SpkiError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a SubjectPublicKeyInfo (RFC 5280, section 4.1), which identifies a key that a connection has proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPin([u8; 32]);

impl KeyPin {
    /// The pin of a SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn of(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
    }

    /// The pin of a node's Ed25519 key.
    #[must_use]
    pub fn of_ed25519(key: &[u8; 32]) -> Self {
        Self::of(&ed25519_spki(key))
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// For people, who compare it with the output of `openssl pkey -pubin -outform der | sha256sum` for a key.
impl fmt::Display for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER.encode(&self.0))
    }
}

/// The public key of a peer, in base64 (RFC 4648, section 4): the 32 bytes of a node's Ed25519 key, as `/v1/node` and
/// descriptors give them, or any key's SubjectPublicKeyInfo in DER, as `openssl pkey -pubout -outform der` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerKey {
    text: String,
    pin: KeyPin,
}

/// Why a peer's key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerKeyError {
    /// It is not base64.
    #[error("the key is not base64: give the 32 bytes of a node's key, or a SubjectPublicKeyInfo in DER")]
    Base64,
    /// It is not an accepted key.
    #[error("the key is refused: {0}")]
    Key(#[from] SpkiError),
}

impl PeerKey {
    /// The key of a node.
    #[must_use]
    pub fn of_node(key: &ed25519_dalek::VerifyingKey) -> Self {
        Self { text: BASE64.encode(key.as_bytes()), pin: KeyPin::of(&ed25519_spki(key.as_bytes())) }
    }

    /// Its 32 bytes, if it is an Ed25519 key, with which a node signs checkpoints and cosignatures.
    #[must_use]
    pub fn of_notes(&self) -> Option<[u8; 32]> {
        let bytes = BASE64.decode(self.text.as_bytes()).ok()?;
        bytes.strip_prefix(spki::ED25519).unwrap_or(&bytes).try_into().ok()
    }

    /// The pin by which a connection recognises it.
    #[must_use]
    pub const fn pin(&self) -> KeyPin {
        self.pin
    }
}

/// The SubjectPublicKeyInfo of an Ed25519 key.
fn ed25519_spki(key: &[u8; 32]) -> Vec<u8> {
    [spki::ED25519, key].concat()
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PeerKey {
    type Err = PeerKeyError;

    fn from_str(text: &str) -> Result<Self, PeerKeyError> {
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_| PeerKeyError::Base64)?;
        let spki = match <[u8; 32]>::try_from(bytes) {
            Ok(key) => ed25519_spki(&key),
            Err(spki) => spki,
        };
        PublicKey::from_spki_der(&spki)?;
        Ok(Self { text: text.to_owned(), pin: KeyPin::of(&spki) })
    }
}

impl<'de> Deserialize<'de> for PeerKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for PeerKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_key_and_its_subject_public_key_info_are_one_key() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
        let short: PeerKey = BASE64.encode(key.as_bytes()).parse().expect("32 bytes");
        let long: PeerKey = BASE64.encode(&ed25519_spki(key.as_bytes())).parse().expect("DER");
        assert_eq!((short.pin(), &short), (long.pin(), &PeerKey::of_node(&key)));
        assert_eq!(short.to_string(), BASE64.encode(key.as_bytes()));
        assert_eq!((short.of_notes(), long.of_notes()), (Some(key.to_bytes()), Some(key.to_bytes())));
    }

    #[test]
    fn what_is_no_key() {
        assert_eq!("no base64".parse::<PeerKey>(), Err(PeerKeyError::Base64));
        for bytes in [&[][..], &[0; 31], &[0xff; 32], &[0x30; 44]] {
            assert!(matches!(BASE64.encode(bytes).parse::<PeerKey>(), Err(PeerKeyError::Key(_))), "{bytes:?}");
        }
    }
}
