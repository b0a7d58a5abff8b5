//! Which of a mirror's peers is asked next.

use std::collections::BTreeMap;

use ics_core::time::Timestamp;

use crate::mirror::Status;

/// Milliseconds without newer word from the home after which another peer is asked: three heartbeats of a home. Older
/// word is not the newest.
const SILENT_MILLIS: u64 = 180_000;
/// Milliseconds after which the first peer, having failed, is tried again; doubled each time that it fails again, up to
/// [`SILENT_MILLIS`].
const RETURN_MILLIS: u64 = 5_000;

/// Chooses which of several peers is asked.
///
/// If one fails, the next is asked, and the first again a little later: otherwise two copies that turned to each other
/// while a link was down would stay with each other for as long as neither notices that the other has no news. The same
/// applies if a peer answers but has had no newer word from the home for a while: the node that it asks may be gone, or
/// be this very node.
///
/// A peer that lets entries through one by one, or reports what the home has signed long afterwards, neither fails nor
/// is silent. So as long as what is held is not as new as it may be, each peer is measured by what it brings, and left
/// for the next as long as one of the others has not been measured yet, or brought more than twice as much. Over slow
/// links, and with a clock that is ahead, each is tried once; then the best continues.
#[derive(Debug, Clone)]
pub struct Turn {
    peers: usize,
    peer: usize,
    failures: u32,
    /// The newest state that was known, and since when nothing newer is.
    known: Option<(u64, Option<Timestamp>)>,
    since: Timestamp,
    /// When the first peer failed and was left, until it is asked again.
    left: Option<Timestamp>,
    /// Milliseconds for which the first peer is left alone.
    patience: u64,
    /// The state from which the present peer is measured, while the newest is not here.
    begun: Option<Begun>,
    /// What each peer brought in its last [`SILENT_MILLIS`] that did not bring the newest.
    brought: BTreeMap<usize, u64>,
}

/// How far a mirror was when it began to measure a peer.
#[derive(Debug, Clone, Copy)]
struct Begun {
    since: Timestamp,
    size: u64,
    as_of: Option<Timestamp>,
}

impl Begun {
    /// Entries since then, plus seconds by which the home's word is newer.
    fn brought(&self, status: &Status) -> u64 {
        let newer = status.as_of.zip(self.as_of).map_or(0, |(now, then)| now.millis_since(then) / 1000);
        status.size.saturating_sub(self.size).saturating_add(newer)
    }
}

impl Turn {
    /// Starts with the first of this many peers.
    #[must_use]
    pub const fn among(peers: usize) -> Self {
        let since = Timestamp::from_millis(0);
        Self {
            peers,
            peer: 0,
            failures: 0,
            known: None,
            since,
            left: None,
            patience: RETURN_MILLIS,
            begun: None,
            brought: BTreeMap::new(),
        }
    }

    /// The peer to ask, counted from 0.
    #[must_use]
    pub const fn peer(&self) -> usize {
        self.peer
    }

    /// Notes how far the mirror is, and whether it `rests`: waits or listens. Returns true if it is now another peer's
    /// turn. Must not be called with a page in hand: that is stored first, whoever brought it.
    pub fn pass(&mut self, status: &Status, rests: bool, now: Timestamp) -> bool {
        // A second look goes on at the same peer where it was cut off: it would begin anew at another one.
        let failed = status.failures > self.failures && !status.is_looking;
        self.failures = status.failures;
        let known = Some((status.size, status.as_of));
        // If the clock was put back, counting begins anew.
        if self.known != known || now < self.since {
            if self.peer == 0 {
                self.patience = RETURN_MILLIS;
            }
            (self.known, self.since) = (known, now);
        }
        // A mirror that waits because a peer failed has not asked the next one yet: changing again would always skip
        // that one.
        let rests = rests && status.failures == 0;
        let is_silent = rests && self.peers > 1 && now.millis_since(self.since) >= SILENT_MILLIS;
        let is_slow = status.failures == 0 && self.is_slow(status, now);
        let returns = rests && self.left.is_some_and(|left| now < left || now.millis_since(left) >= self.patience);
        if failed || is_silent || is_slow {
            if self.peer == 0 {
                self.left = failed.then_some(now);
            }
            self.turn_to((self.peer + 1) % self.peers.max(1), now);
        } else if returns {
            self.patience = self.patience.saturating_mul(2).min(SILENT_MILLIS);
            self.turn_to(0, now);
        }
        failed || is_silent || is_slow || returns
    }

    /// Whether another peer may bring the newest sooner.
    fn is_slow(&mut self, status: &Status, now: Timestamp) -> bool {
        if status.as_of.is_some_and(|as_of| now.millis_since(as_of) < SILENT_MILLIS) {
            self.begun = None;
            self.brought.clear();
            return false;
        }
        let anew = Begun { since: now, size: status.size, as_of: status.as_of };
        let begun = *self.begun.get_or_insert(anew);
        if now < begun.since {
            self.begun = Some(anew);
            return false;
        }
        if now.millis_since(begun.since) < SILENT_MILLIS {
            return false;
        }
        self.begun = Some(anew);
        let brought = begun.brought(status);
        self.brought.insert(self.peer, brought);
        let may_do_better = |more: Option<&u64>| more.is_none_or(|more| *more > brought.saturating_mul(2));
        (0..self.peers).any(|peer| may_do_better(self.brought.get(&peer)))
    }

    fn turn_to(&mut self, peer: usize, now: Timestamp) {
        (self.peer, self.since, self.begun) = (peer, now, None);
        if peer == 0 {
            self.left = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(failures: u32, as_of: u64) -> Status {
        let as_of = Some(Timestamp::from_millis(as_of));
        let (trouble, stopped, doubt, ahead, is_partial, is_looking) = (None, None, None, None, false, false);
        Status { size: 7, known: 7, as_of, failures, trouble, stopped, doubt, ahead, is_partial, is_looking }
    }

    /// A mirror that has not reached the end of what it knows of.
    fn behind(size: u64) -> Status {
        Status { size, known: 1_000_000, as_of: None, ..status(0, 1) }
    }

    /// The end of this many times [`SILENT_MILLIS`].
    fn end_of(time: u64) -> Timestamp {
        at(time * SILENT_MILLIS)
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_next_is_asked_when_one_fails() {
        let mut turn = Turn::among(2);
        assert!(!turn.pass(&status(0, 1), true, at(1_000)));
        assert!(turn.pass(&status(1, 1), false, at(1_000)) && turn.peer() == 1);
        assert!(!turn.pass(&status(1, 1), true, at(1_000)), "one failure is one turn");
        assert!(turn.pass(&status(2, 1), false, at(1_000)) && turn.peer() == 0);
    }

    #[test]
    fn a_second_look_that_goes_on_is_waited_for() {
        let mut turn = Turn::among(2);
        for failures in 1..4 {
            let looking = Status { is_looking: true, ..status(failures, 1) };
            assert!(!turn.pass(&looking, true, at(1_000)), "{failures}");
        }
        assert!(turn.pass(&status(4, 1), false, at(1_000)) && turn.peer() == 1, "it has been broken off");
    }

    #[test]
    fn the_next_is_asked_when_one_has_no_newer_word_of_the_home() {
        let mut turn = Turn::among(2);
        assert!(!turn.pass(&status(0, 1_000), true, at(1_000)));
        assert!(!turn.pass(&status(0, 1_000), true, at(1_000 + SILENT_MILLIS - 1)));
        assert!(!turn.pass(&status(0, 1_000), false, at(1_000 + SILENT_MILLIS)), "it may be about to hear of some");
        assert!(turn.pass(&status(0, 1_000), true, at(1_000 + SILENT_MILLIS)) && turn.peer() == 1);
        assert!(!turn.pass(&status(0, 1_000), true, at(2_000 + SILENT_MILLIS)), "the next is given time as well");
        let newer = status(0, 2 * SILENT_MILLIS + 9_000);
        assert!(!turn.pass(&newer, true, at(1_000 + 3 * SILENT_MILLIS)), "there is newer word");
        assert!(!turn.pass(&newer, true, at(5)) && !turn.pass(&newer, true, at(900)));
    }

    #[test]
    fn the_first_peer_is_asked_again_after_a_failure_later_each_time() {
        let mut turn = Turn::among(2);
        let (mut now, mut heard) = (1_000, 1_000);
        for patience in [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, SILENT_MILLIS, SILENT_MILLIS] {
            assert!(turn.pass(&status(1, heard), false, at(now)) && turn.peer() == 1);
            heard = now + 1;
            assert!(!turn.pass(&status(0, heard), true, at(now + patience - 1)), "{patience}");
            assert!(!turn.pass(&status(0, heard), false, at(now + patience)), "something is under way");
            assert!(turn.pass(&status(0, heard), true, at(now + patience)) && turn.peer() == 0, "{patience}");
            now += patience;
        }
        assert!(!turn.pass(&status(0, now + 9), true, at(now + 9)), "it works again");
        assert!(turn.pass(&status(1, now + 9), true, at(now + 10)) && turn.peer() == 1);
        assert!(turn.pass(&status(0, now + 9), true, at(now + 10 + RETURN_MILLIS)) && turn.peer() == 0);
        assert!(turn.pass(&status(1, now + 9), true, at(now + 20_000)) && turn.peer() == 1);
        assert!(turn.pass(&status(0, now + 9), true, at(3)) && turn.peer() == 0, "a clock that is put back");
    }

    #[test]
    fn nobody_is_passed_over_while_a_failure_is_waited_out() {
        let mut turn = Turn::among(2);
        assert!(turn.pass(&status(7, 1), false, at(1_000)) && turn.peer() == 1);
        for later in [RETURN_MILLIS, SILENT_MILLIS, 2 * SILENT_MILLIS] {
            assert!(!turn.pass(&status(7, 1), true, at(1_000 + later)), "{later}: the second has not been asked yet");
        }
    }

    #[test]
    fn a_peer_that_lets_entries_through_one_by_one_is_left() {
        let mut turn = Turn::among(2);
        for minute in 0..3 {
            assert!(!turn.pass(&behind(minute), false, at(60_000 * minute)), "{minute}");
        }
        assert!(turn.pass(&behind(3), false, end_of(1)) && turn.peer() == 1);
        assert!(!turn.pass(&behind(3), false, end_of(1)), "the next is given time as well");
        assert!(!turn.pass(&behind(903), false, end_of(2)), "the peer brings more, and is not all there is");
        assert!(turn.pass(&behind(904), false, end_of(3)) && turn.peer() == 0, "until it does as the first did");
    }

    #[test]
    fn a_peer_that_keeps_up_with_the_home_is_not_left_when_more_comes() {
        let mut turn = Turn::among(2);
        for time in 0..20 {
            let (size, known, as_of) = (time, time + 100, Some(end_of(time)));
            assert!(!turn.pass(&Status { size, known, as_of, ..status(0, 1) }, false, end_of(time)), "{time}");
        }
    }

    /// A peer that shows, one after the other, what the home signed a day ago has newer word each time.
    #[test]
    fn a_peer_with_news_of_a_day_ago_is_left() {
        const DAY: u64 = 86_400_000;
        let told = |minute: u64| status(0, minute * 60_000);
        let mut turn = Turn::among(2);
        for minute in 0..3 {
            assert!(!turn.pass(&told(minute), true, at(DAY + 60_000 * minute)), "{minute}");
        }
        assert!(turn.pass(&told(3), true, at(DAY + 3 * 60_000)) && turn.peer() == 1);
        // With a clock that is a day ahead, all peers look alike.
        for minute in 3..100 {
            assert!(!turn.pass(&told(minute), true, at(DAY + 60_000 * minute)), "{minute}");
        }
    }

    #[test]
    fn of_slow_links_each_is_tried_once() {
        let (mut turn, mut size, mut turns) = (Turn::among(2), 0, 0);
        for time in 0..50 {
            turns += usize::from(turn.pass(&behind(size), false, end_of(time)));
            turn.pass(&behind(size), false, end_of(time));
            size += 90 + (time * 7) % 20;
        }
        assert_eq!(turns, 1);
    }

    #[test]
    fn an_up_to_date_copy_measures_anew() {
        let mut turn = Turn::among(2);
        turn.pass(&behind(0), false, end_of(0));
        assert!(turn.pass(&behind(1), false, end_of(1)) && turn.peer() == 1);
        assert!(!turn.pass(&status(0, 1), true, end_of(1)));
        turn.pass(&behind(7), false, end_of(1));
        assert!(turn.pass(&behind(8), false, end_of(2)) && turn.peer() == 0, "the peer may have recovered");
        turn.pass(&behind(8), false, end_of(2));
        assert!(!turn.pass(&behind(9), false, at(3)), "a clock that is put back");
        assert!(!turn.pass(&behind(9), false, at(3 + SILENT_MILLIS - 1)));
    }

    #[test]
    fn a_copy_with_one_peer_stays_with_it() {
        let mut turn = Turn::among(1);
        assert!(!turn.pass(&status(0, 1), true, at(0)) && !turn.pass(&status(0, 1), true, at(10 * SILENT_MILLIS)));
        assert!(turn.pass(&status(1, 1), false, at(10 * SILENT_MILLIS)), "and opens a new connection after a failure");
        assert_eq!(turn.peer(), 0);
        assert!((0..9).all(|time| !turn.pass(&behind(time), false, end_of(20 + time))), "however slow it is");
    }

    proptest! {
        #[test]
        fn among_many_one_is_found_that_brings_half_as_much_as_any(paces in prop::collection::vec(0_u64..1_000, 2..6)) {
            let (mut turn, mut size, peers) = (Turn::among(paces.len()), 0, paces.len() as u64);
            let most = paces.iter().copied().max().unwrap_or_default();
            for time in 0..4 * peers {
                let turned = turn.pass(&behind(size), false, end_of(time));
                turn.pass(&behind(size), false, end_of(time));
                let pace = paces[turn.peer()];
                size += pace;
                if time > 2 * peers {
                    prop_assert!(!turned && 2 * pace >= most, "{turned}, {pace} of {most}");
                }
            }
        }
    }
}
