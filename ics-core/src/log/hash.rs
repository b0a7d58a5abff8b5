//! The hash of a node of the tree.

use core::fmt;
use core::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identity::{excerpt, serde_as_text, write_hex};
use crate::log::text::from_base64;

/// The hash of a node of the tree, SHA-256; written as 64 digits of lower-case hex, in C2SP formats as base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// Why a text is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Not 64 digits of lower-case hex.
    #[error("`{0}` is not a hash: it takes 64 digits of lower-case hex")]
    Hex(String),
    /// Not 32 bytes in base64.
    #[error("`{0}` is not a hash: it takes 32 bytes in base64 with padding")]
    Base64(String),
}

impl Hash {
    /// The hash in base64 (RFC 4648, section 4), as checkpoints and proofs write it: 44 characters.
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.0)
    }

    /// Reads 32 bytes in canonical base64 (RFC 4648, section 4).
    ///
    /// # Errors
    /// When the text is anything else, including one with non-zero padding bits.
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        from_base64(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| HashError::Base64(excerpt(text)))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| HashError::Hex(excerpt(text)))
    }
}

serde_as_text!(Hash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_and_others_refused() {
        let hash = Hash(core::array::from_fn(|i| i as u8 ^ 0xa5));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
        let upper = hash.to_string().to_uppercase();
        for bad in ["", "a5", upper.as_str(), &format!("{hash}00")] {
            assert_eq!(bad.parse::<Hash>(), Err(HashError::Hex(excerpt(bad))));
        }
        let base64 = hash.to_base64();
        let loose_bits = base64.replace("o=", "p=").replace("A=", "B=").replace("s=", "t=").replace("g=", "h=");
        assert_ne!(loose_bits, base64, "the example has padding bits to spoil");
        let in_two = hash.0.split_at(31);
        let in_two = BASE64.encode(in_two.0) + &BASE64.encode(in_two.1);
        for bad in ["", "AAAA", base64.trim_end_matches('='), &loose_bits, &in_two] {
            assert_eq!(Hash::from_base64(bad), Err(HashError::Base64(excerpt(bad))));
        }
    }
}
