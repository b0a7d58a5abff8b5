//! Following things in a domain without keeping a copy, as a state machine without I/O, clock or randomness.
//!
//! ```text
//!            ┌──────────────── nothing was said ─────────────────┐
//!            ▼                                                   │
//!   listen at the home ──► record heads ──► fetch each ──► note how far ──► listen
//!            │ not heard
//!            └──► look at what is followed by name ──► listen, or look again where there is no such feed
//! ```
//!
//! The home pushes signed record heads of what is watched; [`Watcher::poll`] says what to do next and changes nothing.
//! Whatever goes wrong, what was not taken over is sent again from [`Watcher::noted`] on: the home keeps no state about
//! subscribers. A head is only a hint until the record behind it has been fetched and verified, which is not done here.
//!
//! A thing whose answer is unusable, for instance too long, or too long for a slow line, is set aside and fetched again
//! after its own pauses, while others are still heard. What is noted stays before it, so it is also reported again after
//! a restart.

use std::collections::{BTreeMap, VecDeque};

use ics_core::log::note::Note;
use ics_core::log::record_head::{Finding, RecordHead};
use ics_core::time::Timestamp;

use crate::http::PeerError;
use crate::mirror::Way;
use crate::mirror::listen::Listening;
use crate::pause::{Pause, jittered, retry_millis, retry_millis_upto};
use crate::wire::Heads;

/// Milliseconds between a request that waited in vain and the next one.
const IDLE_MILLIS: u64 = 250;
/// Things that may be set aside at once. If more are refused, it is the home that fails.
const ASIDE: usize = 16;
/// Milliseconds after which such a thing is fetched again, at most, if nothing more is said about it: each useless
/// answer may have as many bytes as the line takes in the time for it.
const LONGEST_ASIDE_MILLIS: u64 = 10 * 60 * 1000;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the home for what was said after this many entries, and wait for it.
    Listen {
        /// Entries already reported.
        from: u64,
        /// The way to listen.
        way: Way,
    },
    /// Fetch the record of this thing, verify it and take it over; it must not be older than the given size.
    Fetch {
        /// Its id.
        id: String,
        /// The least size of the log that the record must rest on.
        size: u64,
    },
    /// Note durably that everything said in this many entries is taken over; it may be no more than is noted already.
    Settle {
        /// Entries.
        upto: u64,
    },
    /// The home is not heard: look at each thing that is followed by its name, if the log is longer than this.
    Look {
        /// Entries up to which all of them were looked at.
        from: u64,
    },
    /// Do nothing until this time.
    Wait {
        /// When to continue.
        until: Timestamp,
    },
}

/// How a watcher keeps time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Milliseconds between two looks if nothing is pushed, at most; at least half of it.
    pub interval_millis: u64,
    /// Any number; watchers with different seeds spread their looks and retries.
    pub seed: u64,
}

/// Why a push from a home is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The log is shorter than what was reported before, so somebody has reported entries that do not exist. Everything
    /// is then reported anew from the beginning.
    #[error("the home reports {size} entries, but reported {known} before")]
    Back {
        /// Entries of the log.
        size: u64,
        /// Entries reported before.
        known: u64,
    },
    /// It reports less than was asked for, or more than there is.
    #[error("the home reports on {told} of {size} entries, but news after {known} was asked for")]
    Range {
        /// Entries that it reports.
        told: u64,
        /// Entries of the log.
        size: u64,
        /// Entries after which was asked.
        known: u64,
    },
    /// Not a record head, or one that says that there is nothing.
    #[error("the home has pushed something that is not the record head of a thing")]
    NoHead,
}

/// Follows things through what their home pushes.
#[derive(Debug)]
pub struct Watcher {
    settings: Settings,
    /// Entries reported so far; what they contained is taken over or set aside.
    upto: u64,
    noted: u64,
    looked: u64,
    /// What was pushed and is to be fetched: id, and size of the log.
    waiting: VecDeque<(String, u64)>,
    /// Things whose answers were unusable, by id.
    aside: BTreeMap<String, Aside>,
    /// Entries that are reported once all of that is fetched.
    reached: Option<u64>,
    listening: Listening,
    /// Whether the home was not heard: what is followed by name is then looked at before the home is asked again.
    unheard: bool,
    pause: Pause,
    failures: u32,
}

/// A thing whose answer was unusable.
#[derive(Debug, Default)]
struct Aside {
    /// Entries that had been reported before it was set aside.
    from: u64,
    /// The least size of the log that its record must rest on.
    size: u64,
    failures: u32,
    pause: Pause,
}

impl Watcher {
    /// A watcher to which this many entries were reported.
    #[must_use]
    pub fn new(upto: u64, settings: Settings) -> Self {
        Self {
            settings,
            upto,
            noted: upto,
            looked: upto,
            waiting: VecDeque::new(),
            aside: BTreeMap::new(),
            reached: None,
            listening: Listening::default(),
            unheard: false,
            pause: Pause::default(),
            failures: 0,
        }
    }

    /// Entries of which everything was taken over, as noted durably.
    #[must_use]
    pub const fn noted(&self) -> u64 {
        self.noted
    }

    /// Whether nothing is set aside.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.aside.is_empty()
    }

    /// Whether a thing is set aside: it is then fetched at its own time.
    #[must_use]
    pub fn is_aside(&self, id: &str) -> bool {
        self.aside.contains_key(id)
    }

    /// Of this many reported entries, those of which everything is taken over.
    fn taken_of(&self, told: u64) -> u64 {
        self.aside.values().map(|aside| aside.from).min().map_or(told, |from| from.min(told))
    }

    /// What to do next.
    #[must_use]
    pub fn poll(&self, now: Timestamp) -> Action {
        if let Some(until) = self.pause.until(now) {
            return Action::Wait { until };
        }
        if let Some((id, size)) = self.waiting.front() {
            return Action::Fetch { id: id.clone(), size: *size };
        }
        let taken = self.taken_of(self.reached.unwrap_or(self.upto));
        if self.reached.is_some() || taken > self.noted {
            return Action::Settle { upto: taken };
        }
        if let Some((id, aside)) = self.aside.iter().find(|(_, aside)| aside.pause.until(now).is_none()) {
            return Action::Fetch { id: id.clone(), size: aside.size };
        }
        match self.listening.way(now).filter(|_| !self.unheard) {
            Some(way) => Action::Listen { from: self.upto, way },
            None => Action::Look { from: self.looked },
        }
    }

    /// Takes a push from the home.
    ///
    /// # Errors
    /// When it is unusable; the home is asked again after a pause.
    pub fn handle_heads(&mut self, heads: &Heads, now: Timestamp) -> Result<(), PushError> {
        let taken = self.take(heads, now);
        match &taken {
            Ok(()) => {
                self.listening.heard();
                // A peer that answers without waiting must not be asked incessantly, and one that pushes without end must
                // not have the same things asked about for ever.
                if heads.upto == self.upto {
                    if self.listening.way(now) == Some(Way::LongPoll) {
                        self.pause = Pause::of(now, IDLE_MILLIS);
                    } else if self.listening.idles(now) {
                        // What is set aside keeps its own times: others may be asked about it.
                        self.waiting.clear();
                        self.pause = Pause::of(now, retry_millis(1, self.settings.seed));
                    }
                }
            }
            Err(error) => {
                self.fail(now);
                if matches!(error, PushError::Back { .. }) {
                    self.aside.clear();
                    self.reached = Some(0);
                }
            }
        }
        taken
    }

    fn take(&mut self, heads: &Heads, now: Timestamp) -> Result<(), PushError> {
        let (upto, size, known) = (heads.upto, heads.size, self.upto);
        if size < known {
            return Err(PushError::Back { size, known });
        }
        if upto < known || size < upto {
            return Err(PushError::Range { told: upto, size, known });
        }
        let waiting: Option<VecDeque<_>> = heads.heads.iter().map(|note| pushed(note)).collect();
        let mut waiting = waiting.ok_or(PushError::NoHead)?;
        // What is set aside is fetched at its own time, but soon if more is said about it: that may be a recall.
        let soon = Pause::of(now, retry_millis(u32::MAX, self.settings.seed));
        waiting.retain(|(id, size)| match self.aside.get_mut(id) {
            Some(aside) => {
                if *size > aside.size && soon.until(now) < aside.pause.until(now) {
                    aside.pause = soon;
                }
                aside.size = aside.size.max(*size);
                false
            }
            None => true,
        });
        self.waiting = waiting;
        if upto > self.upto {
            self.reached = Some(upto);
        } else {
            self.failures = 0;
        }
        Ok(())
    }

    /// Notes that what was to be fetched about a thing is taken over.
    pub fn handle_fetched(&mut self, id: &str) {
        if self.waiting.front().is_some_and(|(waiting, _)| waiting == id) {
            self.waiting.pop_front();
        }
        self.aside.remove(id);
    }

    /// The answer about a thing is unusable: sets it aside, unless too many are. Returns whether it is set aside now
    /// and was not before.
    pub fn handle_refused(&mut self, id: &str, now: Timestamp) -> bool {
        let is_new = !self.is_aside(id);
        if is_new && self.aside.len() >= ASIDE {
            self.fail(now);
            return false;
        }
        let sizes = self.waiting.iter().filter(|(waiting, _)| waiting == id).map(|(_, size)| *size);
        let size = sizes.max().unwrap_or_default();
        self.waiting.retain(|(waiting, _)| waiting != id);
        let told = Aside { from: self.upto, size, ..Aside::default() };
        let aside = self.aside.entry(id.to_owned()).or_insert(told);
        aside.failures = aside.failures.saturating_add(1);
        let millis = retry_millis_upto(LONGEST_ASIDE_MILLIS, aside.failures, self.settings.seed);
        aside.pause = Pause::of(now, millis);
        is_new
    }

    /// Notes that progress is durable.
    pub fn handle_settled(&mut self) {
        let before = self.upto;
        self.upto = self.reached.take().unwrap_or(before);
        self.noted = self.taken_of(self.upto);
        self.looked = if self.upto < before { self.upto } else { self.looked.max(self.upto) };
        self.failures = 0;
    }

    /// Everything that is followed by name was looked at, up to a size; `is_all` if nothing else is followed. While
    /// something is set aside, this settles nothing.
    pub fn handle_looked(&mut self, size: u64, is_all: bool, now: Timestamp) {
        self.looked = self.looked.max(size);
        if is_all && self.is_whole() {
            self.upto = self.upto.max(size);
            self.noted = self.noted.max(size);
        }
        self.unheard = false;
        self.failures = 0;
        self.pause = Pause::of(now, jittered(self.settings.interval_millis, self.settings.seed.wrapping_add(size)));
    }

    /// Something failed: what was pushed and not yet taken over is asked for again after a pause.
    pub fn fail(&mut self, now: Timestamp) {
        self.waiting.clear();
        self.reached = None;
        self.unheard = false;
        self.failures = self.failures.saturating_add(1);
        let millis = retry_millis(self.failures, self.settings.seed);
        self.pause = Pause::of(now, millis);
        // The home's next push then comes before what is set aside, which may be what made it fail.
        let next = Pause::of(now, 2 * millis);
        for aside in self.aside.values_mut() {
            if aside.pause.until(now) < next.until(now) {
                aside.pause = next;
            }
        }
    }

    /// The home was not heard. If it has no such feed, or something on the way holds it back, the next way is used for
    /// some time.
    pub fn handle_unheard(&mut self, problem: &PeerError, now: Timestamp) {
        self.unheard = true;
        if is_no_way(problem) {
            self.listening.broken(now);
        }
    }
}

/// Whether a problem means that this way does not lead to the feed, rather than that nobody answers just now.
#[must_use]
pub const fn is_no_way(problem: &PeerError) -> bool {
    match problem {
        PeerError::Status { status, .. } => matches!(*status, 300..=407 | 409..=428 | 430..=499 | 501),
        PeerError::Held | PeerError::Wire(_) | PeerError::Malformed(_) => true,
        _ => false,
    }
}

/// The thing that a pushed head is about, and the log's size; `None` if it is about no thing, or no head. The signature
/// is not checked here; that of the fetched record is.
#[must_use]
pub fn pushed(note: &str) -> Option<(String, u64)> {
    let head = RecordHead::parse(Note::parse(note).ok()?.text()).ok()?;
    match head.finding {
        Finding::Identity(id) => Some((id, head.size)),
        Finding::Nothing(_) => None,
    }
}

#[cfg(test)]
mod tests;
