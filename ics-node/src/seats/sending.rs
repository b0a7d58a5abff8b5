//! What is noted of each connection, and what a look at all of them now and then makes of it. Requests need no timers
//! for that, and read no clock.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Why a connection is cut over which nothing was or is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its client has said nothing since.
    Idle,
    /// Its client has begun something and does not finish it.
    Overdue,
}

/// What was last noted of a connection, and whether its client has anything to say meanwhile. Noting takes one
/// access to memory or two, since each question and each answer is noted.
#[derive(Debug)]
pub(crate) struct Sending {
    noted: AtomicU8,
    /// How many reasons there are to read nearly nothing.
    pauses: AtomicUsize,
}

impl Sending {
    /// Nothing was sent since a look at all connections, and nothing has come.
    const IDLE: u8 = 0;
    /// Something was sent, or the connection has only begun.
    const SENT: u8 = 1;
    /// Something is to be sent that the client has not taken yet. The system ends the connection if it takes nothing.
    const HELD_UP: u8 = 2;
    /// Something has come since something was sent.
    const HEARD: u8 = 3;
    /// Something had come before a look at all connections, and nothing was sent since.
    const LATE: u8 = 4;
    /// It is about to be cut.
    const ENDED: u8 = 5;

    /// Notes that something was sent, or is held up.
    pub(crate) fn note(&self, is_held_up: bool) {
        self.noted.store(if is_held_up { Self::HELD_UP } else { Self::SENT }, Ordering::Relaxed);
    }

    /// Notes that something has come; `false` if that is too late, because a look has found that the connection has
    /// ended. Whoever goes on saying something without an end gets no more time by that.
    #[must_use]
    pub(crate) fn hear(&self) -> bool {
        for before in [Self::SENT, Self::IDLE] {
            match self.noted.compare_exchange(before, Self::HEARD, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(Self::ENDED) => return false,
                Err(_) => {}
            }
        }
        true
    }

    /// Gives a client over whose connection nothing was sent as much time as one that has only come.
    pub(super) fn begin(&self) {
        // Others have this time, and what is held up still is.
        for past in [Self::IDLE, Self::LATE] {
            let _ = self.noted.compare_exchange(past, Self::SENT, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether something is held up.
    pub(crate) fn is_held_up(&self) -> bool {
        self.noted.load(Ordering::Relaxed) == Self::HELD_UP
    }

    /// Notes that the client has nothing to say until [`Sending::resume`] is called as often.
    pub(crate) fn pause(&self) {
        self.pauses.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one [`Sending::pause`] back.
    pub(crate) fn resume(&self) {
        self.pauses.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the client has nothing to say now.
    pub(crate) fn is_paused(&self) -> bool {
        self.pauses.load(Ordering::Relaxed) > 0
    }

    /// Looks whether nothing was sent since the last look. If so, nothing that comes is heard any more.
    pub(super) fn look(&self) -> Option<Ended> {
        let end = |past, why| {
            let ended = self.noted.compare_exchange(past, Self::ENDED, Ordering::Relaxed, Ordering::Relaxed);
            ended.ok().map(|_| why)
        };
        for (before, after) in [(Self::SENT, Self::IDLE), (Self::HEARD, Self::LATE)] {
            match self.noted.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed) {
                Err(Self::IDLE) => return end(Self::IDLE, Ended::Idle),
                Err(Self::LATE) => return end(Self::LATE, Ended::Overdue),
                Ok(_) => return None,
                Err(_) => {}
            }
        }
        None
    }
}

impl Default for Sending {
    fn default() -> Self {
        Self { noted: AtomicU8::new(Self::SENT), pauses: AtomicUsize::new(0) }
    }
}
