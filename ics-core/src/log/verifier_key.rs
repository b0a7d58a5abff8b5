//! Verifier keys in the form of C2SP signed-note.

use core::fmt;
use core::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::identity::{excerpt, serde_as_text, write_hex};
use crate::limits;
use crate::log::text::from_base64;

/// What a key signs; the signature type of C2SP signed-note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519 over the text of a note: type 1.
    Ed25519,
    /// Ed25519 over a checkpoint and a time, cosignature/v1: type 4.
    Cosignature,
}

impl Algorithm {
    const fn code(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

/// A public key with its name and the type of signature that it is known for.
///
/// Written `<name>+<key id in hex>+<base64 of type and key>` (C2SP signed-note, "Verifier keys").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    key: VerifyingKey,
}

/// Why something is not a verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not three parts joined by `+`, or a malformed part.
    #[error("`{0}` is not a verifier key: it takes name+id+base64")]
    Form(String),
    /// A name that signature lines cannot hold.
    #[error("`{0}` is not a key name: it takes 1 to {max} bytes without spaces, control characters and +", max = limits::NAME_BYTES)]
    Name(String),
    /// A signature type that is not used here.
    #[error("signature type {0} is not supported: only 1 (Ed25519) and 4 (cosignature/v1) are")]
    Algorithm(u8),
    /// Not a point of the curve, or one of small order, under which anybody can make signatures.
    #[error("the key is not a usable Ed25519 public key")]
    Key,
    /// The id does not match name and key.
    #[error("the key id `{0}` does not belong to this name and key")]
    Id(String),
}

impl VerifierKey {
    /// Makes a key from a name and the 32 bytes of an Ed25519 public key.
    ///
    /// # Errors
    /// When the name is malformed, or the bytes are not a point of the curve, or one of small order.
    pub fn new(name: &str, algorithm: Algorithm, key: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| KeyError::Key)?;
        if key.is_weak() {
            return Err(KeyError::Key);
        }
        Ok(Self { name: name.to_owned(), algorithm, key })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The key id: the first 4 bytes of SHA-256(name ‖ newline ‖ type ‖ key).
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, self.algorithm, self.key.as_bytes())
    }

    /// Whether this is an Ed25519 signature over the message (RFC 8032, checked without cofactor; points of small order
    /// are refused).
    pub(super) fn is_signature(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

pub(super) fn check_name(name: &str) -> Result<(), KeyError> {
    let fits = (1..=limits::NAME_BYTES).contains(&name.len());
    let clean = !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+');
    if fits && clean { Ok(()) } else { Err(KeyError::Name(excerpt(name))) }
}

/// The key id of a public key under a name.
pub(super) fn key_id(name: &str, algorithm: Algorithm, key: &[u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..]: [u8; 32] =
        Sha256::new_with_prefix(name).chain_update([b'\n', algorithm.code()]).chain_update(key).finalize().into();
    [a, b, c, d]
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+", self.name)?;
        write_hex(f, &self.id())?;
        let material = [&[self.algorithm.code()], self.key.as_bytes().as_slice()].concat();
        write!(f, "+{}", BASE64.encode(&material))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let form = || KeyError::Form(excerpt(text));
        let (name, rest) = text.split_once('+').ok_or_else(form)?;
        let (id, material) = rest.split_once('+').ok_or_else(form)?;
        let material = from_base64(material).map_err(|_| form())?;
        let (code, key) = material.split_first().ok_or_else(form)?;
        let algorithm = match code {
            1 => Algorithm::Ed25519,
            4 => Algorithm::Cosignature,
            other => return Err(KeyError::Algorithm(*other)),
        };
        let verifier = Self::new(name, algorithm, key.try_into().map_err(|_| form())?)?;
        if HEXLOWER.encode(&verifier.id()) == id { Ok(verifier) } else { Err(KeyError::Id(excerpt(id))) }
    }
}

serde_as_text!(VerifierKey);

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP signed-note.
    const EXAMPLE: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    #[test]
    fn the_example_of_the_specification_is_read_back() {
        let key: VerifierKey = EXAMPLE.parse().unwrap();
        assert_eq!(
            (key.name(), key.algorithm(), key.id()),
            ("example.com/foo", Algorithm::Ed25519, [0x53, 0x0d, 0x90, 0x3a])
        );
        assert_eq!(key.to_string(), EXAMPLE);
        let cosigner = VerifierKey::new("example.com/foo", Algorithm::Cosignature, &key.key()).unwrap();
        assert_ne!(cosigner.id(), key.id(), "the id tells the signature types apart");
        assert_eq!(cosigner.to_string().parse(), Ok(cosigner));
    }

    #[test]
    fn refuses_what_is_no_verifier_key() {
        let form = |text: &str| KeyError::Form(excerpt(text));
        let with = |material: &[u8]| format!("a+00000000+{}", BASE64.encode(material));
        let (short, weak) = (with(&[1, 2, 3]), with(&[[1].as_slice(), &[1], &[0; 31]].concat()));
        let unknown = with(&[6; 33]);
        for (text, error) in [
            ("", form("")),
            ("example.com/foo", form("example.com/foo")),
            ("example.com/foo+530d903a", form("example.com/foo+530d903a")),
            ("a+00000000+", form("a+00000000+")),
            ("a+00000000+****", form("a+00000000+****")),
            (&short, form(&short)),
            (&unknown, KeyError::Algorithm(6)),
            (&weak, KeyError::Key),
            (&EXAMPLE.replace("530d903a", "530d903b"), KeyError::Id("530d903b".into())),
            (&EXAMPLE.replace("530d903a", "530D903A"), KeyError::Id("530D903A".into())),
            (&EXAMPLE.replace("foo", "fo o"), KeyError::Name("example.com/fo o".into())),
            (&EXAMPLE.replace("example.com/foo", ""), KeyError::Name(String::new())),
        ] {
            assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
        }
    }

    #[test]
    fn names_are_bounded_and_clean() {
        let key = EXAMPLE.parse::<VerifierKey>().unwrap().key();
        let new = |name: &str| VerifierKey::new(name, Algorithm::Ed25519, &key);
        assert!(new(&"n".repeat(limits::NAME_BYTES)).is_ok());
        for name in [&"n".repeat(limits::NAME_BYTES + 1), "a\u{2003}b", "a\tb", "a+b", "a\u{7f}b", ""] {
            assert_eq!(new(name), Err(KeyError::Name(excerpt(name))));
        }
    }
}
