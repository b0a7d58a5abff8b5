//! How many entries are asked for at once: as many as a page may have, and fewer if that many do not arrive in time, as
//! over a slow line. Asked for again unchanged, such a page would never arrive, nor would what is shown in a second look.

use ics_core::limits;
use ics_core::time::Timestamp;

use super::review::Review;
use super::stop::Trouble;
use super::{Action, Mirror};

/// Fewer entries than this are asked for only if they are large: then one answer is enough to ask for twice as many.
const FEW: usize = 16;
/// Consecutive answers after which twice as many entries are asked for. What was asked for ahead is then wasted.
const IN_A_ROW: u32 = 16;

/// How many entries are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion {
    entries: usize,
    came: u32,
    /// The answers in a row after which more is asked for: twice as many each time that this is in vain. A second look
    /// begins anew then, and would never come to its end.
    in_a_row: u32,
    /// Whether more is asked for than has come before.
    is_tried: bool,
}

impl Default for Portion {
    fn default() -> Self {
        Self { entries: limits::FEED_ENTRIES, came: 0, in_a_row: IN_A_ROW, is_tried: false }
    }
}

impl Portion {
    pub(super) const fn entries(self) -> usize {
        self.entries
    }

    pub(super) fn after_success(self) -> Self {
        let in_a_row = if self.is_tried { IN_A_ROW } else { self.in_a_row };
        let came = self.came.saturating_add(1);
        let enough = if self.entries < FEW { in_a_row / IN_A_ROW } else { in_a_row };
        if came < enough || self.entries == limits::FEED_ENTRIES {
            return Self { came, in_a_row, is_tried: false, ..self };
        }
        Self { entries: (2 * self.entries).min(limits::FEED_ENTRIES), came: 0, in_a_row, is_tried: true }
    }

    fn after_failure(self) -> Self {
        let in_a_row = if self.is_tried { self.in_a_row.saturating_mul(2) } else { IN_A_ROW };
        Self { entries: (self.entries / 2).max(1), came: 0, in_a_row, is_tried: false }
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

    /// Takes the report that the peer was not reached, or that its answer was cut off. A second look goes on from there
    /// once the peer is back, if that is soon or nobody else can be asked: over a link that is up for minutes at a
    /// time, a long one that begins anew each time would never come to its end. Each answer is compared with what the
    /// peer said about this mirror's rights when it gave the page, however much later it comes.
    pub fn handle_unreached(&mut self, what: &str, now: Timestamp) {
        let is_alone = !self.sources.are_several();
        let goes_on = |review: &&mut Review| review.is_asking() && (is_alone || review.is_patient(now));
        let Some(review) = self.review.as_mut().filter(goes_on) else { return self.handle_failure(what, now) };
        review.goes_back(now);
        self.portion = self.portion.after_failure();
        self.wait_out(Trouble::Failure(what.to_owned()), now);
    }

    /// Takes the report that an action failed: the peer did not answer, or not as it must, or the page could not be
    /// stored. It is tried again later.
    pub fn handle_failure(&mut self, what: &str, now: Timestamp) {
        let was_a_page = self.target.is_some() && self.pending.is_none() && self.wanted_descriptor().is_none();
        let was_a_look = self.review.as_ref().is_some_and(Review::is_asking);
        if was_a_page || was_a_look {
            self.portion = self.portion.after_failure();
        }
        if self.review.as_ref().is_some_and(Review::is_testing_erased) {
            return self.is_not_erased(what, now);
        }
        self.fail(Trouble::Failure(what.to_owned()), now);
        if was_a_look {
            // The peer may have more by now, without which it does not show what is asked for. Its checkpoint comes first;
            // whoever takes that and finds nothing new asks again what may be read.
            self.asks_rights = false;
        }
    }
}
