//! Whose turn it is: which of a mirror's peers is asked.

use ics_core::time::Timestamp;

use crate::mirror::Status;

/// Milliseconds without newer word of the home after which another peer is asked: three of a home's heartbeats.
const SILENT_MILLIS: u64 = 180_000;

/// Which of several peers is asked.
///
/// When one fails, the next is asked. So it is when one answers and has had no newer word of the home for a while: what it
/// asks may be gone, or be this very node, and copies that ask each other would be content with each other for ever.
#[derive(Debug, Clone)]
pub struct Turn {
    peers: usize,
    peer: usize,
    failures: u32,
    /// The newest that was known, and since when nothing newer is.
    known: Option<(u64, Option<Timestamp>)>,
    since: Timestamp,
}

impl Turn {
    /// The first of so many.
    #[must_use]
    pub const fn among(peers: usize) -> Self {
        Self { peers, peer: 0, failures: 0, known: None, since: Timestamp::from_millis(0) }
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
            (self.known, self.since) = (known, now);
        }
        let is_silent = rests && self.peers > 1 && now.millis_since(self.since) >= SILENT_MILLIS;
        if failed || is_silent {
            self.peer = (self.peer + 1) % self.peers.max(1);
            self.since = now;
        }
        failed || is_silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(failures: u32, as_of: u64) -> Status {
        let as_of = Some(Timestamp::from_millis(as_of));
        Status { origin: None, size: 7, known: 7, as_of, failures, trouble: None, stopped: None }
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
    fn who_has_one_peer_stays_with_it() {
        let mut turn = Turn::among(1);
        assert!(!turn.pass(&status(0, 1), true, at(0)) && !turn.pass(&status(0, 1), true, at(10 * SILENT_MILLIS)));
        assert!(turn.pass(&status(1, 1), false, at(10 * SILENT_MILLIS)), "and opens a new connection after a failure");
        assert_eq!(turn.peer(), 0);
    }
}
