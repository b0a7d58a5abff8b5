//! What a page says to readers who may read only a part of a domain.

use ics_core::limits;
use serde::{Deserialize, Serialize};

use super::Base64;

/// What a reader who may read only a part of a domain needs to know. Read rules hide whole identities: a reader who may
/// read something about one holds everything about it, or knows that they do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sight {
    /// Stands for what the reader may read, as far as the entries of this page do not decide it. If it changes, both
    /// held and hidden entries must be looked at again.
    pub rights: Rights,
    /// Indices before `from` of all entries on which what the page shows rests. A reader who lacks one asks for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<u64>,
    /// Indices before `from` of entries about identities that the reader may no longer read as of this page: what they
    /// hold about these is no longer complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<u64>,
}

impl Sight {
    /// Names no more than a page can name.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.ended.truncate(limits::SIGHT_INDICES);
        self.earlier.truncate(limits::SIGHT_INDICES - self.ended.len());
        self
    }

    /// Whether the page may rest on more than it names.
    pub(crate) const fn may_lack(&self) -> bool {
        self.earlier.len() + self.ended.len() >= limits::SIGHT_INDICES
    }
}

/// A number that stands for what somebody may read.
pub type Rights = Base64<[u8; 16]>;
