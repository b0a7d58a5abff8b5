//! How the system itself identifies a thing: its id and its kind.

use core::fmt;
use core::str::FromStr;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits of a fingerprint that are shown in place of a name.
const UNNAMED_DIGITS: usize = 16;

/// The fingerprint of an OpenPGP key, in lower-case hex: 40 digits for version 4 (RFC 9580, 5.5.4.2), 64 for version 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fingerprint {
    /// SHA-1 over a version 4 key.
    V4([u8; 20]),
    /// SHA-256 over a version 6 key.
    V6([u8; 32]),
}

impl Fingerprint {
    /// The bytes without the version.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }

    /// The OpenPGP key version, 4 or 6.
    #[must_use]
    pub const fn version(&self) -> u8 {
        match self {
            Self::V4(_) => 4,
            Self::V6(_) => 6,
        }
    }

    /// The key id (RFC 9580, 5.5.4): the last eight octets of version 4, the first eight of version 6. Anybody can make
    /// a key with the id of another.
    #[must_use]
    pub const fn key_id(&self) -> [u8; 8] {
        match self {
            Self::V4([.., a, b, c, d, e, f, g, h]) | Self::V6([a, b, c, d, e, f, g, h, ..]) => {
                [*a, *b, *c, *d, *e, *f, *g, *h]
            }
        }
    }

    /// Makes a fingerprint from 20 bytes (version 4) or 32 (version 6); `None` if it is another number.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.len() {
            20 => bytes.try_into().ok().map(Self::V4),
            32 => bytes.try_into().ok().map(Self::V6),
            _ => None,
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_bytes())
    }
}

/// Why a text names no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Neither 40 nor 64 hex digits.
    #[error("`{0}` is not an OpenPGP fingerprint: it takes 40 or 64 hex digits")]
    Fingerprint(String),
    /// Not `sha256:` and 64 hex digits.
    #[error("`{0}` is not a digest: it takes `sha256:` and 64 hex digits")]
    Digest(String),
    /// Not 64 hex digits, in the place of a statement's id.
    #[error("`{0}` is not the id of a statement: it takes 64 hex digits")]
    Statement(String),
    /// Not one of the kinds.
    #[error("`{0}` is not a kind of identity: use device, gateway, service, node, organisation, software or group")]
    Kind(String),
}

/// Characters of a text that an error message quotes.
const QUOTED: usize = 80;

/// Cuts a text for an error message, so that nobody can fill a log through it.
#[must_use]
pub fn excerpt(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

/// Whether an excerpt may be of a longer text.
#[must_use]
pub fn is_cut(excerpt: &str) -> bool {
    excerpt.chars().count() >= QUOTED
}

pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    write!(f, "{}", HEXLOWER.encode_display(bytes))
}

impl FromStr for Fingerprint {
    type Err = IdentityError;

    /// Reads hex of either case, with or without spaces and a leading `0x`, as people paste them.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let digits: String = text.trim_start_matches("0x").chars().filter(|c| *c != ' ').collect();
        HEXLOWER_PERMISSIVE
            .decode(digits.as_bytes())
            .ok()
            .and_then(|bytes| Self::from_bytes(&bytes))
            .ok_or_else(|| IdentityError::Fingerprint(excerpt(text)))
    }
}

/// The id of an identity.
///
/// Written as the fingerprint in hex, or `sha256:` and hex for software (digest of the artifact) and groups (digest of
/// the canonical subject). The two kinds of digest are kept apart by the variant, not by the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityId {
    /// A thing with a key.
    Key(Fingerprint),
    /// A piece of software: SHA-256 of the artifact.
    Software([u8; 32]),
    /// A group: SHA-256 of its canonical subject.
    Group([u8; 32]),
}

impl IdentityId {
    /// The ids that a text may mean: one for a fingerprint, two (software, group) for a digest.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn candidates(text: &str) -> Result<Vec<Self>, IdentityError> {
        match text.strip_prefix("sha256:") {
            Some(hex) => digest(hex).map(|d| vec![Self::Software(d), Self::Group(d)]),
            None => text.parse().map(|fingerprint| vec![Self::Key(fingerprint)]),
        }
    }

    /// One byte that identifies the variant, then the digest: the form in which ids are hashed and indexed.
    #[must_use]
    pub fn to_tagged_bytes(&self) -> Vec<u8> {
        let (tag, digest) = self.tagged();
        [&[tag], digest].concat()
    }

    pub(crate) const fn tagged(&self) -> (u8, &[u8]) {
        match self {
            Self::Key(fingerprint) => (fingerprint.version(), fingerprint.as_bytes()),
            Self::Software(digest) => (b's', digest),
            Self::Group(digest) => (b'g', digest),
        }
    }

    /// The id of which these are the [`Self::to_tagged_bytes`]; `None` if they are of none.
    #[must_use]
    pub fn from_tagged_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, digest) = bytes.split_first()?;
        match tag {
            b's' => digest.try_into().ok().map(Self::Software),
            b'g' => digest.try_into().ok().map(Self::Group),
            version => Fingerprint::from_bytes(digest).filter(|it| it.version() == *version).map(Self::Key),
        }
    }
}

pub(crate) fn digest(hex: &str) -> Result<[u8; 32], IdentityError> {
    HEXLOWER_PERMISSIVE
        .decode(hex.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| IdentityError::Digest(excerpt(hex)))
}

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(fingerprint) => fingerprint.fmt(f),
            Self::Software(digest) | Self::Group(digest) => {
                f.write_str("sha256:")?;
                write_hex(f, digest)
            }
        }
    }
}

/// What kind of thing an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An IoT device.
    Device,
    /// A gateway between devices and a network.
    Gateway,
    /// A network service.
    Service,
    /// A node of this network.
    Node,
    /// A party: manufacturer, developer, owner…
    Organisation,
    /// A piece of software; it has no key, only a digest.
    Software,
    /// A lot, a model, an order…; it has no key, only a canonical subject.
    Group,
}

/// The designation, by kind and key, of a thing whose name is unknown or must not be given.
#[must_use]
pub fn unnamed(kind: Kind, key: &Fingerprint) -> String {
    format!("{kind} {}", key.to_string().chars().take(UNNAMED_DIGITS).collect::<String>())
}

impl Kind {
    /// All kinds, in the order of their definition.
    pub const ALL: [Self; 7] =
        [Self::Device, Self::Gateway, Self::Service, Self::Node, Self::Organisation, Self::Software, Self::Group];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Gateway => "gateway",
            Self::Service => "service",
            Self::Node => "node",
            Self::Organisation => "organisation",
            Self::Software => "software",
            Self::Group => "group",
        }
    }

    /// Whether identities of this kind have a key.
    #[must_use]
    pub const fn has_key(self) -> bool {
        !matches!(self, Self::Software | Self::Group)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| IdentityError::Kind(excerpt(text)))
    }
}

/// Serde as text for a type with `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use serde_as_text;

serde_as_text!(Fingerprint);

impl Serialize for IdentityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_as_people_paste_them() {
        let plain: Fingerprint = "0123456789abcdef0123456789abcdef01234567".parse().expect("plain");
        for text in ["0x0123456789ABCDEF0123456789ABCDEF01234567", "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567"]
        {
            assert_eq!(text.parse(), Ok(plain));
        }
        assert_eq!(plain.to_string(), "0123456789abcdef0123456789abcdef01234567");
        assert_eq!(plain.key_id(), [0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67]);
        assert_eq!(Fingerprint::V6([7; 32]).key_id(), [7; 8]);
        assert!("0123".parse::<Fingerprint>().is_err());
        assert!("é".repeat(20).parse::<Fingerprint>().is_err());
    }

    #[test]
    fn a_digest_may_be_software_or_a_group() {
        let text = format!("sha256:{}", "ab".repeat(32));
        let ids = IdentityId::candidates(&text).expect("digest");
        assert_eq!(ids, [IdentityId::Software([0xab; 32]), IdentityId::Group([0xab; 32])]);
        assert_ne!(ids[0].to_tagged_bytes(), ids[1].to_tagged_bytes());
        assert!(ids.iter().all(|id| id.to_string() == text));
    }
}
