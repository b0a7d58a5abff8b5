//! The messages between a node and the command that brings it a bundle.
//!
//! The node's own state machine asks, question by question, and whoever has the bundle reads the answers from it: what
//! is carried by hand is checked by the same rules as what a peer sends, because the same code asks for it.

use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::mirror::{Action, Mirror};
use crate::wire::{Again, Descriptors, Page, Refusals, Rights, Shown, WireError};

/// The bundle's answer to the node's last question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carried {
    /// Nothing yet: the node begins to ask.
    Begin,
    /// The answer to [`Wanted::Descriptors`].
    Descriptors(Descriptors),
    /// The answer to [`Wanted::Checkpoint`]: a signed note with its cosignatures.
    Checkpoint(String),
    /// The answer to [`Wanted::Page`].
    Page(Page),
    /// The answer to [`Wanted::Again`].
    Shown(Shown),
    /// Not an answer, but what the bundle says about this node's own submissions.
    Refused(Refusals),
    /// The bundle does not have what is wanted, for this reason.
    Missing(String),
}

impl Carried {
    /// Checks that what was brought is within the bounds of what peers may send.
    ///
    /// # Errors
    /// When it exceeds one of them.
    pub fn checked(self) -> Result<Self, WireError> {
        Ok(match self {
            Self::Descriptors(descriptors) => Self::Descriptors(descriptors.checked()?),
            Self::Page(page) => Self::Page(page.checked()?),
            Self::Shown(shown) => Self::Shown(shown.checked()?),
            Self::Refused(refusals) => Self::Refused(refusals.checked()?),
            Self::Checkpoint(note) if note.len() > limits::NOTE_BYTES => return Err(WireError::Checkpoint(note.len())),
            Self::Begin | Self::Checkpoint(_) | Self::Missing(_) => self,
        })
    }
}

/// What the node wants next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// The descriptors from a version on.
    Descriptors {
        /// The version.
        from: u64,
    },
    /// The newest checkpoint.
    Checkpoint,
    /// Entries.
    Page {
        /// Index of the first.
        from: u64,
        /// The largest number wanted.
        limit: usize,
        /// The size that the proof must lead to.
        until: u64,
    },
    /// Entries that were hidden, and whether held ones may still be read.
    Again(Again),
    /// Nothing more.
    Nothing(Reached),
}

impl Wanted {
    /// What an action asks of a peer; `None` if it asks for something else.
    #[must_use]
    pub fn of(action: &Action) -> Option<Self> {
        match action {
            Action::FetchDescriptors { from } => Some(Self::Descriptors { from: *from }),
            Action::FetchCheckpoint => Some(Self::Checkpoint),
            Action::FetchPage { from, limit, until } => Some(Self::Page { from: *from, limit: *limit, until: *until }),
            Action::FetchAgain(again) => Some(Self::Again(again.clone())),
            Action::RootAt { .. }
            | Action::Apply(_)
            | Action::Survey(_)
            | Action::Fill(_)
            | Action::Listen { .. }
            | Action::Wait { .. }
            | Action::Stopped(_) => None,
        }
    }
}

impl Mirror {
    /// Takes what was brought, as if the peer had answered.
    pub fn handle_carried(&mut self, carried: Carried, now: Timestamp) {
        match carried {
            Carried::Begin | Carried::Refused(_) => {}
            Carried::Descriptors(descriptors) => self.handle_descriptors(&descriptors, now),
            Carried::Checkpoint(note) => self.handle_checkpoint(&note, now),
            Carried::Page(page) => self.handle_page(page, now),
            Carried::Shown(shown) => self.handle_shown(shown, now),
            Carried::Missing(why) => self.handle_failure(&why, now),
        }
    }
}

/// How far the node's copy has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Entries held.
    pub size: u64,
    /// When the home vouched that there were no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Why it does not continue, in words; absent if everything that was brought is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether it is a part of the log of which only the word of whoever brought it says that nothing was left out.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub unconfirmed: bool,
    /// Number of this node's submissions that the copy now shows to be in the log.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub settled: u64,
    /// Number of submissions that are over because the bundle says that they were refused.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How far a node's copy of a domain is, for whoever makes a bundle for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The domain.
    pub origin: Origin,
    /// Entries held.
    pub size: u64,
    /// What it may read, as last told; absent if that is everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
}
