//! The actions that a mirror asks its driver to carry out.

use std::sync::Arc;

use ics_core::time::Timestamp;

use super::listen::Way;
use super::page::VerifiedPage;
use super::review::{Fill, Survey};
use super::stop::Stop;
use crate::wire;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the peer for the descriptors from this version on; [`Mirror::handle_descriptors`](super::Mirror::handle_descriptors).
    FetchDescriptors {
        /// The first version wanted.
        from: u64,
    },
    /// Ask the peer for its newest checkpoint; [`Mirror::handle_checkpoint`](super::Mirror::handle_checkpoint).
    FetchCheckpoint,
    /// Ask the peer for entries; [`Mirror::handle_page`](super::Mirror::handle_page).
    FetchPage {
        /// Index of the first.
        from: u64,
        /// How many at most.
        limit: usize,
        /// The size that the proof must lead to.
        until: u64,
    },
    /// Give the root of the first `size` entries held; [`Mirror::handle_root`](super::Mirror::handle_root).
    RootAt {
        /// The number of entries.
        size: u64,
    },
    /// Store these entries durably, check their signatures and judge them by the policy, and let those that it admits
    /// take effect; [`Mirror::handle_applied`](super::Mirror::handle_applied).
    Apply(Arc<VerifiedPage>),
    /// Give the entries that are held from an index on, and how;
    /// [`Mirror::handle_surveyed`](super::Mirror::handle_surveyed).
    Survey(Survey),
    /// Ask the peer for entries that were hidden, and whether held ones may still be read;
    /// [`Mirror::handle_shown`](super::Mirror::handle_shown).
    FetchAgain(wire::Again),
    /// Durably store what was hidden, so that it takes effect with the next page and not before, and note what may no
    /// longer be read; [`Mirror::handle_filled`](super::Mirror::handle_filled).
    Fill(Arc<Fill>),
    /// Wait until the given time for what the peer sends unasked; [`Mirror::handle_news`](super::Mirror::handle_news),
    /// or [`Mirror::handle_silence`](super::Mirror::handle_silence) if the way breaks. Any question in between ends it.
    Listen {
        /// Entries held: where the news must begin.
        from: u64,
        /// How to listen.
        way: Way,
        /// When to stop listening.
        until: Timestamp,
    },
    /// Do nothing until the given time.
    Wait {
        /// The end of the pause.
        until: Timestamp,
    },
    /// Nothing any more.
    Stopped(Stop),
}
