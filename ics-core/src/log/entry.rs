//! Entries: a header and a body, bound to the tree by their leaf data.

use sha2::{Digest, Sha256};

use crate::log::hash::Hash;
pub use crate::log::header::HeaderError;
use crate::log::merkle::leaf_hash;
use crate::log::source::Source;
use crate::time::Timestamp;

/// Random bytes that travel with the body and are deleted with it, so that the leaf of an erased entry reveals nothing
/// about what it held.
pub type Salt = [u8; 16];

/// SHA-256(salt ‖ header ‖ body): what an entry leaves in the log for ever. It is the input of a leaf hash, not the
/// leaf hash itself.
pub type LeafData = [u8; 32];

/// What kind of body an entry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// A statement about an identity with a key.
    Statement,
    /// A statement about software or a group: a signed document.
    Document,
    /// A signer's own certificate.
    Certificate,
    /// A version of the domain's policy descriptor.
    Descriptor,
    /// The owners' order to erase an entry.
    Erasure,
    /// A certification that is not a statement.
    Certification,
}

impl EntryKind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; 6] =
        [Self::Statement, Self::Document, Self::Certificate, Self::Descriptor, Self::Erasure, Self::Certification];

    /// The number in headers: 1 to 6.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Statement => 1,
            Self::Document => 2,
            Self::Certificate => 3,
            Self::Descriptor => 4,
            Self::Erasure => 5,
            Self::Certification => 6,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Document => "document",
            Self::Certificate => "certificate",
            Self::Descriptor => "descriptor",
            Self::Erasure => "erasure",
            Self::Certification => "certification",
        }
    }

    /// The kind with this number; `None` if there is none, as in a log by later rules.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// What the home states about an entry when it admits it. Its binary form is covered by the leaf data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What kind of body follows.
    pub kind: EntryKind,
    /// When the home admitted it, by its own clock; never earlier than the entry before.
    pub admitted_at: Timestamp,
    /// Where it was adopted from; `None` if it was submitted to this domain itself.
    pub source: Option<Source>,
}

impl Header {
    /// The time as of which the keys that signed the body are judged: when the entry was admitted. For an adopted
    /// entry, that is when its source, or the nearest of several, admitted it: a key that has expired since then still
    /// made a good statement.
    ///
    /// [`Source::verify`] proves that time, and that the header of the source can be read; without it no adopted entry
    /// has effect.
    #[must_use]
    pub fn keys_judged_at(&self) -> Timestamp {
        let source = self.source.as_ref().and_then(|source| source.admitted_at().ok());
        source.unwrap_or(self.admitted_at)
    }

    /// When the log, or its nearest source, heard of what the body, a certificate, says: never later than its admission
    /// here, however far ahead the source's clock is.
    #[must_use]
    pub fn heard_at(&self) -> Timestamp {
        self.keys_judged_at().min(self.admitted_at)
    }
}

/// An entry as it is stored and sent: everything that its leaf data covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The header in its binary form.
    pub header: Vec<u8>,
    /// The salt.
    pub salt: Salt,
    /// The body in its canonical form.
    pub body: Vec<u8>,
}

impl Entry {
    /// The entry's leaf data.
    #[must_use]
    pub fn leaf_data(&self) -> LeafData {
        leaf_data(&self.salt, &self.header, &self.body)
    }

    /// The entry's leaf hash.
    #[must_use]
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(&self.leaf_data())
    }

    /// The header, decoded.
    ///
    /// # Errors
    /// When the bytes are not a header in its one form.
    pub fn header(&self) -> Result<Header, HeaderError> {
        Header::decode(&self.header)
    }
}

/// SHA-256(salt ‖ header ‖ body). Salt and header are self-delimiting, so no byte can be moved from one part to
/// another.
#[must_use]
pub fn leaf_data(salt: &Salt, header: &[u8], body: &[u8]) -> LeafData {
    Sha256::new_with_prefix(salt).chain_update(header).chain_update(body).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_codes_of_their_own() {
        for (kind, code) in EntryKind::ALL.into_iter().zip(1..) {
            assert_eq!(kind.code(), code);
            assert_eq!(EntryKind::from_code(code), Some(kind));
        }
        assert_eq!((EntryKind::from_code(0), EntryKind::from_code(7)), (None, None));
        let words = ["statement", "document", "certificate", "descriptor", "erasure", "certification"];
        assert_eq!(EntryKind::ALL.map(EntryKind::as_str), words);
    }

    #[test]
    fn leaf_data_covers_salt_header_and_body() {
        let entry = Entry { header: vec![1, 2], salt: [3; 16], body: vec![4, 5] };
        let whole = [[3; 16].as_slice(), &[1, 2, 4, 5]].concat();
        assert_eq!(entry.leaf_data(), <[u8; 32]>::from(Sha256::digest(whole)));
        assert_eq!(entry.leaf_hash(), leaf_hash(&entry.leaf_data()));
    }
}
