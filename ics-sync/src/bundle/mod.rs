//! Domains that are carried by hand, for instance on a USB stick: a peer's answers in one file.
//!
//! ```text
//! bundle  "ICSB" 1 part*
//! part    kind length bytes        a kind is one byte; lengths are LEB128, unsigned, in their shortest form
//! ```
//!
//! | kind | bytes | |
//! |---|---|---|
//! | 1 | JSON, [`Head`] | who made it for whom; first, and once |
//! | 2 | JSON, a domain's origin | what follows is of this domain |
//! | 3 | JSON, [`Cursor`] | how far its maker's copy is |
//! | 4 | JSON, [`Descriptors`](crate::wire::Descriptors) | from version 1 on |
//! | 5 | a signed note | the checkpoint to which the pages lead |
//! | 6, 7 | a packed page ([`crate::packed`]), bare or compressed | in sequence, from the reader's cursor on |
//! | 8 | JSON, [`Earlier`] | entries before the pages on which they rest, for a reader who may not read everything |
//! | 9 | JSON, [`Submission`](crate::wire::Submission) | what is submitted to the domain |
//! | 10 | JSON, [`Refusals`](crate::wire::Refusals) | the reader's submissions to the domain that were refused |
//! | 0 | SHA-256 of all bytes before this part | last, and once |
//!
//! The digest reveals truncation or damage before any of the content is used. It is no protection: whoever makes a
//! bundle makes its digest. The node that takes a bundle checks what it says against signatures and proofs, as if a
//! peer had said it; as with any peer but the home, nobody has signed what its reader may read.

mod answers;
mod read;
mod write;

use ics_core::log::checkpoint::CheckpointError;
use ics_core::time::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::carried::Cursor;
use crate::packed;
use crate::wire::{Entry, PAGE_JSON_BYTES, WireError};
pub use read::{Bundle, Section};
pub use write::BundleWriter;

/// How a bundle begins.
const MAGIC: [u8; 5] = *b"ICSB\x01";
/// Bytes that a part may have at most.
const PART_BYTES: usize = if PAGE_JSON_BYTES > packed::PAGE_BYTES { PAGE_JSON_BYTES } else { packed::PAGE_BYTES };
/// Bytes that the frame of a part, its kind and its length, may have at most.
const FRAME_BYTES: usize = 11;

/// Kinds of parts.
mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const HEAD: u8 = 1;
    pub(super) const DOMAIN: u8 = 2;
    pub(super) const CURSOR: u8 = 3;
    pub(super) const DESCRIPTORS: u8 = 4;
    pub(super) const CHECKPOINT: u8 = 5;
    pub(super) const PAGE: u8 = 6;
    pub(super) const COMPRESSED_PAGE: u8 = 7;
    pub(super) const EARLIER: u8 = 8;
    pub(super) const SUBMISSION: u8 = 9;
    pub(super) const REFUSALS: u8 = 10;
}

/// Who made a bundle, for whom, and when by the maker's clock. For people, and against mistakes: none of it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Who made it.
    pub from: Party,
    /// The reader for whom it was made: it holds what they may read.
    pub to: Party,
    /// When it was made.
    pub made_at: Timestamp,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Its name.
    pub name: String,
    /// Its key, as `/v1/node` shows it.
    pub key: String,
}

/// Entries before the pages of a bundle, as its reader may see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// Their indices, in ascending order.
    pub indices: Vec<u64>,
    /// The entries, in the same order.
    pub entries: Vec<Entry>,
}

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It does not begin as a bundle does.
    #[error("this is not a bundle: it does not begin like one")]
    NoBundle,
    /// Of another version.
    #[error("the bundle has version {0}; this program reads version 1")]
    Version(u8),
    /// The end is missing.
    #[error(
        "the bundle is cut off after {0} bytes: copy it again, and unplug the stick only when everything is written"
    )]
    CutOff(u64),
    /// Data after its end.
    #[error("there is data after the end of the bundle, {0} bytes into the file")]
    Behind(u64),
    /// Its digest does not match.
    #[error("the bundle is damaged, because its bytes do not have its digest: copy it again")]
    Damaged,
    /// A part that is not understood.
    #[error("the part of kind {kind}, {offset} bytes into the bundle, is refused: {problem}")]
    Part {
        /// The offset at which it begins.
        offset: u64,
        /// Its kind.
        kind: u8,
        /// What is wrong with it.
        problem: String,
    },
    /// More of something than a bundle may have.
    #[error("the bundle has more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many it may have.
        limit: usize,
    },
    /// Two sections about the same domain.
    #[error("the bundle has parts about `{0}` in two places")]
    Twice(String),
}

impl BundleError {
    fn part(offset: u64, kind: u8, problem: impl ToString) -> Self {
        Self::Part { offset, kind, problem: problem.to_string() }
    }
}

/// What is wrong with a part whose place is not known yet.
struct Refused(String);

impl From<WireError> for Refused {
    fn from(error: WireError) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for Refused {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<CheckpointError> for Refused {
    fn from(error: CheckpointError) -> Self {
        Self(error.to_string())
    }
}

impl From<&str> for Refused {
    fn from(problem: &str) -> Self {
        Self(problem.to_owned())
    }
}
