//! Whose turn it is: which of a mirror's peers is asked.

use ics_core::time::Timestamp;

use crate::mirror::Status;

/// Milliseconds without newer word of the home after which another peer is asked: three of a home's heartbeats.
const SILENT_MILLIS: u64 = 180_000;
/// Milliseconds after which the first peer, who had failed, is tried again; twice as many each time that he fails again,
/// [`SILENT_MILLIS`] at most.
const RETURN_MILLIS: u64 = 5_000;

/// Which of several peers is asked.
///
/// When one fails, the next is asked, and the first again a little later: two copies that have turned to each other while
/// a link was down would else stay with each other for as long as one does not notice that the other has no news. So it
/// is, too, when one answers and has had no newer word of the home for a while: what it asks may be gone, or be this very
/// node.
#[derive(Debug, Clone)]
pub struct Turn {
    peers: usize,
    peer: usize,
    failures: u32,
    /// The newest that was known, and since when nothing newer is.
    known: Option<(u64, Option<Timestamp>)>,
    since: Timestamp,
    /// When the first one failed and was left, until he is asked again.
    left: Option<Timestamp>,
    /// For how many milliseconds he is left alone.
    patience: u64,
}

impl Turn {
    /// The first of so many.
    #[must_use]
    pub const fn among(peers: usize) -> Self {
        let since = Timestamp::from_millis(0);
        Self { peers, peer: 0, failures: 0, known: None, since, left: None, patience: RETURN_MILLIS }
    }

    /// Who is asked, counted from 0.
    #[must_use]
    pub const fn peer(&self) -> usize {
        self.peer
    }

    /// Takes note of how far the mirror is, and whether it `rests`: waits or listens. True when it is another's turn now.
    pub fn pass(&mut self, status: &Status, rests: bool, now: Timestamp) -> bool {
        let failed = status.failures > self.failures;
        self.failures = status.failures;
        let known = Some((status.size, status.as_of));
        // A clock that was put back begins to count anew.
        if self.known != known || now < self.since {
            if self.peer == 0 {
                self.patience = RETURN_MILLIS;
            }
            (self.known, self.since) = (known, now);
        }
        // Whoever waits because somebody failed has not asked the next one yet: another turn would pass him over for ever.
        let rests = rests && status.failures == 0;
        let is_silent = rests && self.peers > 1 && now.millis_since(self.since) >= SILENT_MILLIS;
        let returns = rests && self.left.is_some_and(|left| now < left || now.millis_since(left) >= self.patience);
        if failed || is_silent {
            if self.peer == 0 {
                self.left = failed.then_some(now);
            }
            self.turn_to((self.peer + 1) % self.peers.max(1), now);
        } else if returns {
            self.patience = self.patience.saturating_mul(2).min(SILENT_MILLIS);
            self.turn_to(0, now);
        }
        failed || is_silent || returns
    }

    fn turn_to(&mut self, peer: usize, now: Timestamp) {
        (self.peer, self.since) = (peer, now);
        if peer == 0 {
            self.left = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(failures: u32, as_of: u64) -> Status {
        let as_of = Some(Timestamp::from_millis(as_of));
        Status {
            origin: None,
            size: 7,
            known: 7,
            as_of,
            failures,
            trouble: None,
            stopped: None,
            doubt: None,
            ahead: None,
            is_partial: false,
        }
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
    fn the_next_is_asked_when_one_has_no_newer_word_of_the_home() {
        let mut turn = Turn::among(2);
        assert!(!turn.pass(&status(0, 1_000), true, at(1_000)));
        assert!(!turn.pass(&status(0, 1_000), true, at(1_000 + SILENT_MILLIS - 1)));
        assert!(!turn.pass(&status(0, 1_000), false, at(1_000 + SILENT_MILLIS)), "it may be about to hear of some");
        assert!(turn.pass(&status(0, 1_000), true, at(1_000 + SILENT_MILLIS)) && turn.peer() == 1);
        assert!(!turn.pass(&status(0, 1_000), true, at(2_000 + SILENT_MILLIS)), "the next is given time as well");
        assert!(!turn.pass(&status(0, 9_000), true, at(1_000 + 3 * SILENT_MILLIS)), "there is newer word");
        assert!(!turn.pass(&status(0, 9_000), true, at(5)) && !turn.pass(&status(0, 9_000), true, at(900)));
    }

    #[test]
    fn the_first_is_asked_again_after_he_failed_later_each_time() {
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
    fn who_has_one_peer_stays_with_it() {
        let mut turn = Turn::among(1);
        assert!(!turn.pass(&status(0, 1), true, at(0)) && !turn.pass(&status(0, 1), true, at(10 * SILENT_MILLIS)));
        assert!(turn.pass(&status(1, 1), false, at(10 * SILENT_MILLIS)), "and opens a new connection after a failure");
        assert_eq!(turn.peer(), 0);
    }
}
