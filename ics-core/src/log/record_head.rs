//! Record heads: which entries a home's log has about one thing, at a size and a time, signed by the home.
//!
//! Inclusion proofs show what is in a log, never what else is in it. A record head does: whoever shows fewer entries
//! than it names withholds some, and a home that names too few has signed a false statement. It is a signed note (C2SP
//! signed-note) by the key that signs the log's checkpoints; its first line keeps the two apart.
//!
//! ```text
//! record-head/v1
//! devices.acme.example/5f2c…                 the origin of the log
//! asked serial:SN-1                          what was asked for, in canonical form
//! identity 0123…                             what that is; or `nothing for anybody`, `nothing for <SHA-256 of a key>`
//! time 1767225700                            seconds since 1970
//! 15                                         the size and the root of the checkpoint
//! 5qbk…=
//! 0                                          the indices, in the order of the log
//! 1
//! ```
//!
//! To a reader, what they may not read looks like what is not there. So `nothing` is said to one reader, identified by
//! the key that they have shown, and means nothing to another.

use core::fmt::Write as _;

use super::Hash;
use super::checkpoint::{Origin, parse_decimal};
use super::note::{Note, NoteError, NoteKey, NoteSignature, VerifierKey};
use crate::identity::{IdentityId, excerpt};
use crate::limits;
use crate::time::Timestamp;

const FIRST_LINE: &str = "record-head/v1";
const ASKED: &str = "asked ";
const IDENTITY: &str = "identity ";
const NOTHING: &str = "nothing for ";
const ANYBODY: &str = "anybody";
const TIME: &str = "time ";

/// Which entries a log has about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHead {
    /// The log's origin.
    pub origin: Origin,
    /// What was asked for: an id or a name in canonical form, without control characters.
    pub asked: String,
    /// What the log has about it.
    pub finding: Finding,
    /// When the home signed it, to the second.
    pub at: Timestamp,
    /// Number of entries in the log.
    pub size: u64,
    /// The root of the log.
    pub root: Hash,
    /// The entries on which the record rests, in the order of the log: all descriptors, the certificates of its
    /// signers, and all statements about the thing and about the groups that may concern it.
    pub indices: Vec<u64>,
}

/// What a log has about what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Statements about this identity: the text of its id.
    Identity(String),
    /// Nothing that the reader may read.
    Nothing(HeadReader),
}

/// The reader who is told that there is nothing: the SHA-256 of the SubjectPublicKeyInfo of the key that they have
/// shown, or `None` for anybody.
pub type HeadReader = Option<[u8; 32]>;

/// Why a record head was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordHeadError {
    /// Longer than allowed.
    #[error("it has {0} bytes; at most {max} are allowed", max = limits::RECORD_HEAD_BYTES)]
    TooLong(usize),
    /// More entries than evidence may have.
    #[error("it names more than {max} entries", max = limits::EVIDENCE_ENTRIES)]
    TooMany,
    /// The note is malformed or not signed by the key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A line that is not what it must be.
    #[error("`{0}` is not a line of a record head at this place")]
    Line(String),
    /// The text ends too early.
    #[error("it is incomplete")]
    Cut,
    /// Indices that do not increase, or beyond the size of the log.
    #[error("index {0} is out of order, or beyond the size of the log")]
    Index(u64),
    /// About another log than the one whose key it is.
    #[error("it is that of `{found}`, the key that of `{expected}`")]
    OtherOrigin {
        /// The key's name.
        expected: String,
        /// The origin that the head names.
        found: String,
    },
}

impl RecordHead {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n{}\n{ASKED}{}\n", self.origin, self.asked);
        // Writing to a string cannot fail.
        let _ = match &self.finding {
            Finding::Identity(id) => writeln!(text, "{IDENTITY}{id}"),
            Finding::Nothing(None) => writeln!(text, "{NOTHING}{ANYBODY}"),
            Finding::Nothing(Some(key)) => writeln!(text, "{NOTHING}{}", Hash(*key)),
        };
        let _ = write!(text, "{TIME}{}\n{}\n{}\n", self.at.as_seconds(), self.size, self.root.to_base64());
        for index in &self.indices {
            let _ = writeln!(text, "{index}");
        }
        text
    }

    /// Reads the text of a note. Each record head has exactly one text.
    ///
    /// # Errors
    /// When a line is missing, superfluous or malformed.
    pub fn parse(text: &str) -> Result<Self, RecordHeadError> {
        if text.len() > limits::RECORD_HEAD_BYTES {
            return Err(RecordHeadError::TooLong(text.len()));
        }
        let mut lines = text.strip_suffix('\n').ok_or(RecordHeadError::Cut)?.split('\n');
        let mut next = || lines.next().ok_or(RecordHeadError::Cut);
        let first = next()?;
        if first != FIRST_LINE {
            return Err(line(first));
        }
        let origin = next().and_then(|text| text.parse().map_err(|_| line(text)))?;
        let asked = after(ASKED, next()?)?;
        let finding = finding(next()?)?;
        let at = seconds(next()?)?;
        let size = next().and_then(|text| parse_decimal(text).ok_or_else(|| line(text)))?;
        let root = next().and_then(|text| Hash::from_base64(text).map_err(|_| line(text)))?;
        let mut indices = Vec::new();
        for text in lines {
            let index: u64 = parse_decimal(text).ok_or_else(|| line(text))?;
            if index >= size || indices.last().is_some_and(|last| index <= *last) {
                return Err(RecordHeadError::Index(index));
            }
            if indices.len() == limits::EVIDENCE_ENTRIES {
                return Err(RecordHeadError::TooMany);
            }
            indices.push(index);
        }
        Ok(Self { origin, asked: asked.to_owned(), finding, at, size, root, indices })
    }

    /// Signs it with the home's key; the key's name is the origin.
    ///
    /// # Errors
    /// When its text could not be read back, or the key does not sign; one in memory always does.
    pub fn sign(&self, home: &dyn NoteKey) -> Result<String, RecordHeadError> {
        let text = self.text();
        Self::parse(&text)?;
        let signature = NoteSignature::ed25519(&self.origin.to_string(), home, &text)?;
        Ok(Note::from_parts(text, vec![signature]).to_string())
    }

    /// Opens a signed record head.
    ///
    /// # Errors
    /// When it is malformed, of another log than the key's name says, or the key did not sign it.
    pub fn open(note: &str, home_key: &VerifierKey) -> Result<Self, RecordHeadError> {
        if note.len() > limits::RECORD_HEAD_BYTES {
            return Err(RecordHeadError::TooLong(note.len()));
        }
        let note = Note::read(note, limits::RECORD_HEAD_BYTES)?;
        let head = Self::parse(note.text())?;
        let found = head.origin.to_string();
        if found != home_key.name() {
            return Err(RecordHeadError::OtherOrigin { expected: home_key.name().to_owned(), found });
        }
        note.verify(home_key)?;
        Ok(head)
    }
}

fn line(text: &str) -> RecordHeadError {
    RecordHeadError::Line(excerpt(text))
}

fn after<'a>(word: &str, text: &'a str) -> Result<&'a str, RecordHeadError> {
    text.strip_prefix(word)
        .filter(|rest| !rest.is_empty() && !rest.contains(char::is_control))
        .ok_or_else(|| line(text))
}

fn finding(text: &str) -> Result<Finding, RecordHeadError> {
    if let Some(id) = text.strip_prefix(IDENTITY) {
        let is_canonical = IdentityId::candidates(id).is_ok_and(|ids| ids.iter().any(|it| it.to_string() == id));
        return if is_canonical { Ok(Finding::Identity(id.to_owned())) } else { Err(line(text)) };
    }
    match after(NOTHING, text)? {
        ANYBODY => Ok(Finding::Nothing(None)),
        key => key.parse().map(|Hash(key)| Finding::Nothing(Some(key))).map_err(|_| line(text)),
    }
}

/// Reads a time. One after the year 9999 cannot be represented exactly and is refused.
fn seconds(text: &str) -> Result<Timestamp, RecordHeadError> {
    let seconds = parse_decimal(after(TIME, text)?).ok_or_else(|| line(text))?;
    let at = Timestamp::from_seconds(seconds);
    if at.as_seconds() == seconds { Ok(at) } else { Err(line(text)) }
}

#[cfg(test)]
mod tests;
