//! How many entries are asked for at once: as many as a page may have, and fewer if that many do not arrive in time, as
//! over a slow line. Asked for again unchanged, such a page would never arrive, nor would what is shown in a second look.

use ics_core::limits;
use ics_core::time::Timestamp;

use super::review::Review;
use super::stop::Trouble;
use super::{Action, Mirror};

/// The smallest number of entries that is asked for.
const FEWEST: usize = 16;
/// Consecutive pages after which twice as many entries are asked for. What was asked for ahead is then wasted.
const IN_A_ROW: u8 = 16;

/// How many entries are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion {
    entries: usize,
    came: u8,
}

impl Default for Portion {
    fn default() -> Self {
        Self { entries: limits::FEED_ENTRIES, came: 0 }
    }
}

impl Portion {
    pub(super) const fn entries(self) -> usize {
        self.entries
    }

    pub(super) fn after_success(self) -> Self {
        match self.came + 1 {
            _ if self.entries == limits::FEED_ENTRIES => self,
            IN_A_ROW => Self { entries: (2 * self.entries).min(limits::FEED_ENTRIES), came: 0 },
            came => Self { came, ..self },
        }
    }

    fn after_failure(self) -> Self {
        Self { entries: (self.entries / 2).max(FEWEST), came: 0 }
    }
}

impl Mirror {
    /// What will be asked next if the page of [`Action::Apply`] is stored; it may be asked for meanwhile.
    #[must_use]
    pub fn poll_ahead(&self) -> Option<Action> {
        let (page, _) = self.pending.as_ref().filter(|_| self.review.is_none())?;
        let until = self.target.as_ref()?.checkpoint.size;
        let is_last = page.checkpoint.is_some() || page.size >= until;
        let limit = self.portion.after_success().entries();
        (!is_last).then_some(Action::FetchPage { from: page.size, limit, until })
    }

    /// Takes the report that an action failed: the peer did not answer, or not as it must, or the page could not be
    /// stored. It is tried again later.
    pub fn handle_failure(&mut self, what: &str, now: Timestamp) {
        let was_a_page = self.target.is_some() && self.pending.is_none() && self.wanted_descriptor().is_none();
        if was_a_page || self.review.as_ref().is_some_and(Review::is_asking) {
            self.portion = self.portion.after_failure();
        }
        if self.review.as_ref().is_some_and(Review::is_testing_erased) {
            return self.is_not_erased(what, now);
        }
        self.fail(Trouble::Failure(what.to_owned()), now);
    }
}
