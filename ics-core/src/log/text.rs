//! Bytes as text, and in JSON.

use data_encoding::{BASE64, DecodeError, DecodeKind};

/// Reads base64 with padding (RFC 4648, section 4) in its one form. The library accepts several concatenated texts,
/// each with its padding, as one, so padding anywhere but at the end is refused here.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, DecodeError> {
    match text.trim_end_matches('=').find('=') {
        Some(position) => Err(DecodeError { position, kind: DecodeKind::Padding }),
        None => BASE64.decode(text.as_bytes()),
    }
}

/// Bytes as base64 with padding (RFC 4648, section 4).
pub(crate) mod base64 {
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<T: AsRef<[u8]>, S: Serializer>(bytes: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes.as_ref()))
    }

    pub(crate) fn deserialize<'de, T: TryFrom<Vec<u8>>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = super::from_base64(&text).map_err(|error| D::Error::custom(format!("not base64: {error}")))?;
        let length = bytes.len();
        T::try_from(bytes).map_err(|_| D::Error::custom(format!("{length} bytes are not the right number")))
    }
}

/// 32 bytes as lower-case hex.
pub(super) mod hex {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::log::Hash;

    pub(in crate::log) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        Hash(*bytes).serialize(serializer)
    }

    pub(in crate::log) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        Hash::deserialize(deserializer).map(|hash| hash.0)
    }
}

/// Hashes of a proof, each in base64 as C2SP writes them.
pub(super) mod hashes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::log::Hash;

    pub(in crate::log) fn serialize<S: Serializer>(hashes: &[Hash], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(hashes.iter().map(Hash::to_base64))
    }

    pub(in crate::log) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hash>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| Hash::from_base64(text)).collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}
