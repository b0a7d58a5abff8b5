//! Checkpoints (C2SP tlog-checkpoint): the signed head of a domain's log.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identity::{excerpt, serde_as_text, write_hex};
use crate::log::entry::LeafData;
use crate::log::hash::Hash;
use crate::log::merkle::empty_root;
use crate::log::note::{Algorithm, KeyError, Note, NoteError, NoteKey, NoteSignature, VerifierKey};
use crate::vocabulary::DomainName;

/// What identifies a domain: its name and the leaf data of its entry 0. Peers pin both.
///
/// Written `<domain>/<64 digits of lower-case hex>`: the origin line of checkpoints and the name of the key that signs
/// them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The domain's name.
    pub domain: DomainName,
    /// The leaf data of its entry 0.
    pub entry0: LeafData,
}

/// The head of a log: its size and root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's origin.
    pub origin: Origin,
    /// Number of entries.
    pub size: u64,
    /// The root hash of the tree.
    pub root: Hash,
}

/// Why a checkpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is malformed or not signed by the key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The origin is not a domain and the leaf data of its entry 0.
    #[error("`{0}` is not an origin: it takes a domain, a slash and 64 digits of lower-case hex")]
    Origin(String),
    /// Not three lines.
    #[error("a checkpoint takes exactly three lines: origin, size and root")]
    Lines,
    /// The size is not a decimal number in its shortest form.
    #[error("`{0}` is not a tree size: it takes a decimal number below 2^64 without leading zeros")]
    Size(String),
    /// The root is not a hash in base64, or not that of the empty tree although the size is 0.
    #[error("`{0}` is not a root: it takes 32 bytes in base64, and for size 0 the root of the empty tree")]
    Root(String),
    /// The key belongs to another domain.
    #[error("the checkpoint is that of `{found}`, the key that of `{expected}`")]
    OtherOrigin {
        /// The key's name.
        expected: String,
        /// The checkpoint's origin.
        found: String,
    },
}

impl Origin {
    /// The key that verifies checkpoints of this domain, made from the 32 bytes of its home's Ed25519 key.
    ///
    /// # Errors
    /// When the bytes are not a usable Ed25519 public key.
    pub fn key(&self, home: &[u8; 32]) -> Result<VerifierKey, KeyError> {
        VerifierKey::new(&self.to_string(), Algorithm::Ed25519, home)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.domain)?;
        write_hex(f, &self.entry0)
    }
}

impl FromStr for Origin {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let error = || CheckpointError::Origin(excerpt(text));
        let (domain, entry0) = text.split_once('/').ok_or_else(error)?;
        let domain = domain.parse().map_err(|_| error())?;
        let Hash(entry0) = entry0.parse().map_err(|_| error())?;
        Ok(Self { domain, entry0 })
    }
}

serde_as_text!(Origin);

impl Checkpoint {
    /// The text that is signed: origin, size and root, one per line.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Reads the text of a note. Extension lines, which C2SP advises against, are refused.
    ///
    /// # Errors
    /// When a line is missing, superfluous or malformed, or an empty tree has a root other than its own.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n');
        let (Some(origin), Some(size_text), Some(root_text), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines);
        };
        let origin = origin.parse()?;
        let size = parse_decimal(size_text).ok_or_else(|| CheckpointError::Size(excerpt(size_text)))?;
        let root = Hash::from_base64(root_text).ok().filter(|root| size > 0 || *root == empty_root());
        Ok(Self { origin, size, root: root.ok_or_else(|| CheckpointError::Root(excerpt(root_text)))? })
    }

    /// What a note claims, whoever has signed it: nothing is verified.
    ///
    /// # Errors
    /// When the note or the checkpoint is malformed.
    pub fn claimed(note: &str) -> Result<Self, CheckpointError> {
        Self::parse(Note::parse(note)?.text())
    }

    /// Signs the checkpoint with the home's key; the key's name is the origin.
    ///
    /// # Errors
    /// When the key does not sign; one in memory always does.
    pub fn sign(&self, home: &dyn NoteKey) -> Result<String, NoteError> {
        let text = self.text();
        let signature = NoteSignature::ed25519(&self.origin.to_string(), home, &text)?;
        Ok(Note::from_parts(text, vec![signature]).to_string())
    }

    /// Opens a signed checkpoint, whatever cosignatures it has.
    ///
    /// # Errors
    /// When the note or the checkpoint is malformed, the origin is not the key's name, or the key did not sign it.
    pub fn open(note: &str, home_key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let checkpoint = Self::parse(note.text())?;
        let found = checkpoint.origin.to_string();
        if found != home_key.name() {
            return Err(CheckpointError::OtherOrigin { expected: home_key.name().to_owned(), found });
        }
        note.verify(home_key)?;
        Ok(checkpoint)
    }
}

/// A decimal number in its shortest form.
pub(super) fn parse_decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

#[cfg(test)]
mod tests;
