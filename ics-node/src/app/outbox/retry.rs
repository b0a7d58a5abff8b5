//! When a domain's outbox is sent next, from which body on, and how much of it at once.

use std::time::{Duration, Instant};

use ics_core::limits;

/// The first pause after a failure, which doubles with each further one, and the longest.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(5 * 60);

/// When a domain's outbox is sent next.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    pub(super) failures: u32,
    next: Option<Instant>,
    last: Option<Instant>,
    /// How many bodies a batch may hold, after one was refused as a whole.
    most: Option<usize>,
    /// The last body that was passed over. What waits behind it has not been, and is sent first.
    upto: u64,
    /// Whether any of those passed over was refused, and is not only at the next peer.
    has_refused: bool,
    /// The last of those passed over that was sent again, and when the next one is.
    again: Option<(u64, Instant)>,
    /// Whether what was sent last had been passed over before.
    was_again: bool,
    /// How often what was passed over was put off because nothing was taken, since something of it was.
    in_vain: u32,
}

/// Where to look for what is sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The body behind which to look.
    pub(super) behind: u64,
    /// Whether what is there was passed over before.
    pub(super) is_again: bool,
}

impl Retry {
    pub(super) fn failed(&mut self, jitter: u8) {
        self.next = Some(after_pause(self.failures, jitter));
        self.failures = self.failures.saturating_add(1);
    }

    /// The home has answered what was at a place. About what was passed over elsewhere that says nothing: what a proxy
    /// never takes would be sent there again every few seconds.
    pub(super) fn answered(&mut self, place: Place) {
        self.grow();
        (self.failures, self.next) = (0, None);
        if place.is_again {
            self.in_vain = 0;
        }
    }

    /// After a batch that was taken, full batches are sent again; after one that was too large, the size grows by one
    /// each time.
    fn grow(&mut self) {
        self.most = self.most.map(|most| most + 1).filter(|most| *most < limits::BATCH_STATEMENTS);
    }

    pub(super) fn halve(&mut self, sent: usize) {
        self.most = Some((sent / 2).max(1));
    }

    /// How many bodies are sent at once.
    pub(super) fn most(&self) -> usize {
        self.most.unwrap_or(usize::MAX)
    }

    /// Passes over a body that is not taken even alone: what waits behind it goes on, and it is sent again in a while.
    pub(super) fn pass_over(&mut self, id: u64) {
        self.has_refused = true;
        self.go_on_behind(id);
    }

    /// The same with all up to a body that are at the next peer on the way to the home: what comes later is sent there,
    /// too.
    pub(super) fn taken_on(&mut self, id: u64) {
        self.grow();
        self.failures = 0;
        self.go_on_behind(id);
    }

    fn go_on_behind(&mut self, id: u64) {
        let (behind, at) = self.again.unwrap_or_else(|| (0, Instant::now() + LONGEST_RETRY));
        self.again = Some(if id > self.upto { (behind, at) } else { (id, at) });
        (self.upto, self.next) = (self.upto.max(id), None);
    }

    /// Where to look for what is sent next, in this order: what came later than all that was passed over need not wait
    /// for that, however much it is. Nor does what was passed over wait for something later that gets no answer: then
    /// they take turns.
    pub(super) fn begin(&self) -> (Place, Option<Place>) {
        let now = Instant::now();
        let again = self.again.filter(|(_, at)| *at <= now).map(|(behind, _)| Place { behind, is_again: true });
        let later = Place { behind: self.upto, is_again: false };
        match again.filter(|_| self.next.is_some() && !self.was_again) {
            Some(again) => (again, Some(later)),
            None => (later, again),
        }
    }

    /// Puts off what is left of what was passed over, as after a failure. What comes in meanwhile does not wait for it.
    pub(super) fn put_off(&mut self, jitter: u8) {
        let at = after_pause(self.in_vain, jitter);
        self.again = self.again.map(|(behind, _)| (behind, at));
        self.in_vain = self.in_vain.saturating_add(1);
    }

    /// Nothing more waits at a place. If the home has taken nothing behind what was passed over, perhaps nothing gets
    /// through at present, so that is sent again as after a failure, and so is what is only at the next peer. What
    /// comes in meanwhile need not wait for it. What was refused is sent alone.
    pub(super) fn comes_to_the_end(&mut self, Place { behind, is_again }: Place, took_nothing: bool, jitter: u8) {
        if is_again && behind == 0 {
            (self.upto, self.has_refused, self.again, self.in_vain) = (0, false, None, 0);
        } else if is_again || took_nothing {
            let at = match took_nothing || !self.has_refused {
                true => after_pause(self.in_vain, jitter),
                false => Instant::now() + LONGEST_RETRY,
            };
            let (from, before) = self.again.filter(|_| !is_again).unwrap_or((0, at));
            self.again = Some((from, at.min(before)));
            // What comes in meanwhile puts nothing off, however much it is.
            self.in_vain = self.in_vain.saturating_add(u32::from(took_nothing && at <= before));
            if self.has_refused {
                self.most = Some(1);
            }
        }
    }

    /// Notes that what is at a place is sent now.
    pub(super) fn sends(&mut self, place: Place) {
        (self.last, self.was_again) = (Some(Instant::now()), place.is_again);
    }

    pub(super) fn may_send(&self, urged: bool) -> bool {
        let now = Instant::now();
        let rested = self.last.is_none_or(|last| last + RETRY <= now);
        self.next.is_none_or(|next| next <= now || urged && rested)
    }
}

/// When the pause ends after something went wrong, as it had this many times before.
fn after_pause(before: u32, jitter: u8) -> Instant {
    let doubled = RETRY.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(LONGEST_RETRY);
    // Between half of the pause and all of it, so that nodes that failed together do not come back together.
    Instant::now() + doubled / 2 + doubled / 2 * u32::from(jitter) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(behind: u64) -> Place {
        Place { behind, is_again: false }
    }

    fn again(behind: u64) -> Place {
        Place { behind, is_again: true }
    }

    /// Lets the time come at which what was passed over is sent again.
    fn is_due(retry: &mut Retry) {
        retry.again = retry.again.map(|(behind, _)| (behind, Instant::now()));
    }

    #[test]
    fn what_is_passed_over_is_sent_again_soon_unless_something_behind_it_is_taken() {
        let mut retry = Retry::default();
        let is_soon = |retry: &Retry| retry.again.is_some_and(|(_, at)| at <= Instant::now() + RETRY);
        retry.pass_over(7);
        retry.answered(later(7));
        retry.comes_to_the_end(later(7), false, 255);
        assert_eq!((retry.begin(), is_soon(&retry)), ((later(7), None), false));
        retry.pass_over(9);
        retry.comes_to_the_end(later(9), true, 255);
        assert!(is_soon(&retry));
        assert!(retry.may_send(false), "what comes in meanwhile is sent at once");
        assert_eq!(retry.failures, 0, "and, should it fail, after a pause that is as short as ever");
    }

    /// It may be large, and other things may get through all the time.
    #[test]
    fn what_is_never_taken_is_sent_ever_more_rarely_whatever_else_is() {
        let mut retry = Retry::default();
        retry.pass_over(7);
        for _ in 0..10 {
            retry.answered(later(7));
            is_due(&mut retry);
            retry.pass_over(7);
            retry.comes_to_the_end(again(7), true, 255);
        }
        assert!(retry.again.is_some_and(|(_, at)| at > Instant::now() + LONGEST_RETRY / 2));
        retry.answered(again(0));
        retry.comes_to_the_end(again(7), true, 255);
        assert!(retry.again.is_some_and(|(_, at)| at <= Instant::now() + RETRY), "some of it was taken");
    }

    #[test]
    fn what_is_at_the_next_peer_is_asked_about_in_batches_and_soon() {
        let mut retry = Retry::default();
        retry.taken_on(1_000);
        assert_eq!(retry.begin(), (later(1_000), None));
        retry.comes_to_the_end(later(1_000), true, 255);
        let soon = retry.again.map(|(_, at)| at);
        assert!(soon.is_some_and(|at| at <= Instant::now() + RETRY));
        assert_eq!(retry.most(), usize::MAX);
        // More that comes in meanwhile puts nothing off.
        for id in 1_001..1_010 {
            retry.taken_on(id);
            retry.comes_to_the_end(later(id), true, 255);
        }
        assert_eq!((retry.again.map(|(_, at)| at), retry.in_vain), (soon, 1));
        is_due(&mut retry);
        assert_eq!(retry.begin(), (later(1_009), Some(again(0))));
        // Once the home is back, the rest is asked about as soon.
        retry.taken_on(1_000);
        retry.answered(again(1_000));
        retry.comes_to_the_end(again(1_000), false, 255);
        assert!(retry.again.is_some_and(|(from, at)| from == 0 && at <= Instant::now() + RETRY));
    }

    #[test]
    fn what_the_next_peer_takes_is_sent_in_ever_larger_batches() {
        let mut retry = Retry::default();
        retry.pass_over(1);
        retry.halve(1);
        for id in 2..5 {
            retry.taken_on(id);
        }
        assert_eq!(retry.most(), 4);
    }

    /// Otherwise what was passed over, perhaps a block, would wait for as long as the home has no answer to one batch.
    #[test]
    fn what_was_passed_over_takes_turns_with_what_came_later_and_is_not_answered() {
        let mut retry = Retry::default();
        retry.pass_over(7);
        is_due(&mut retry);
        assert_eq!(retry.begin(), (later(7), Some(again(0))));
        for _ in 0..3 {
            retry.sends(later(7));
            retry.failed(255);
            assert_eq!(retry.begin(), (again(0), Some(later(7))), "the later one was not answered");
            retry.sends(again(0));
            retry.failed(255);
            assert_eq!(retry.begin(), (later(7), Some(again(0))), "nor was the other");
        }
        retry.sends(later(7));
        retry.answered(later(7));
        assert_eq!(retry.begin(), (later(7), Some(again(0))), "what comes later goes first once more");
    }

    /// So many may have been passed over that it is time for the first of them before the last was reached.
    #[test]
    fn what_was_passed_over_is_sent_again_behind_what_was_not_and_from_first_to_last() {
        let mut retry = Retry::default();
        (1..=100).for_each(|id| retry.pass_over(id));
        assert_eq!(retry.begin(), (later(100), None));
        is_due(&mut retry);
        assert_eq!(retry.begin(), (later(100), Some(again(0))), "what came later goes first");
        retry.pass_over(1);
        retry.pass_over(101);
        assert_eq!(retry.begin(), (later(101), Some(again(1))), "it goes on behind the first");
        (2..=101).for_each(|id| retry.pass_over(id));
        assert_eq!(retry.begin(), (later(101), Some(again(101))));
        retry.comes_to_the_end(again(101), false, 0);
        assert_eq!((retry.begin(), retry.most()), ((later(101), None), 1), "all of them rest for a while");
        is_due(&mut retry);
        assert_eq!(retry.begin(), (later(101), Some(again(0))));
        retry.comes_to_the_end(again(0), false, 0);
        assert_eq!(retry.begin(), (later(0), None), "none is left");
    }
}
