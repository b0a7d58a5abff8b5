//! Following things in a domain of which no copy is kept, as a state machine without I/O, clock or randomness.
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
//! Whatever goes wrong, what was not taken is told again from [`Watcher::noted`] on: the home keeps nothing of whom it told.
//! A head is a hint until the record behind it has been fetched and verified, which is not done here.
//!
//! A thing whose answer is of no use, too long say, is set aside and fetched again after pauses of its own: others are
//! heard of meanwhile. What is noted stays before it, so that also after a restart it is told of again.

use std::collections::{BTreeMap, VecDeque};

use ics_core::log::note::Note;
use ics_core::log::record_head::{Finding, RecordHead};
use ics_core::time::Timestamp;

use crate::http::PeerError;
use crate::mirror::Way;
use crate::mirror::listen::Listening;
use crate::pause::{Pause, jittered, retry_millis};
use crate::wire::Heads;

/// Milliseconds between a request that has waited in vain and the next one.
const IDLE_MILLIS: u64 = 250;
/// Things that are set aside at once. Where more are refused, it is the home that fails.
const ASIDE: usize = 16;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the home for what was said behind so many entries, and wait for it.
    Listen {
        /// Entries of which was told.
        from: u64,
        /// Over which way.
        way: Way,
    },
    /// Fetch the record of this thing, verify it and take over what it says; no older than the size that comes with it.
    Fetch {
        /// Its id.
        id: String,
        /// Entries of the log that the record must rest on at least.
        size: u64,
    },
    /// Note that all is taken over that was said in so many entries; it may be no more than is noted.
    Settle {
        /// Entries.
        upto: u64,
    },
    /// The home is not heard: look at each thing that is followed by its name, if the log is longer than this.
    Look {
        /// Entries up to which all of them were looked at.
        from: u64,
    },
    /// Do nothing until then.
    Wait {
        /// When to go on.
        until: Timestamp,
    },
}

/// How a watcher keeps time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Milliseconds between two looks where nothing is pushed, at most; half of it at least.
    pub interval_millis: u64,
    /// Any number; watchers with different ones spread their looks and retries.
    pub seed: u64,
}

/// Why what a home has pushed is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It has less than what was told of: somebody has told of what there is not. All is told anew then, from the beginning.
    #[error("the home has {size} entries, where {known} were told of before")]
    Back {
        /// Entries of the log.
        size: u64,
        /// Of how many was told before.
        known: u64,
    },
    /// It tells of less than it was asked for, or of more than there is.
    #[error("the home tells of {told} of {size} entries, where what is behind {known} was asked for")]
    Range {
        /// Of how many entries it tells.
        told: u64,
        /// Entries of the log.
        size: u64,
        /// What was asked for.
        known: u64,
    },
    /// Not a record head, or of nothing.
    #[error("the home has pushed what is no record head of a thing")]
    NoHead,
}

/// Follows things by what their home pushes.
#[derive(Debug)]
pub struct Watcher {
    settings: Settings,
    /// Entries of which was told; what was is taken over, or set aside.
    upto: u64,
    noted: u64,
    looked: u64,
    /// What was pushed and is to be fetched: id, and size of the log.
    waiting: VecDeque<(String, u64)>,
    /// Things whose answers are of no use, by id.
    aside: BTreeMap<String, Aside>,
    /// Of how many entries is told when all of that is fetched.
    reached: Option<u64>,
    listening: Listening,
    /// The home was not heard: what is followed by name is looked at before it is asked again.
    unheard: bool,
    pause: Pause,
    failures: u32,
}

/// A thing whose answer was of no use.
#[derive(Debug, Default)]
struct Aside {
    /// Of how many entries was told before it was.
    from: u64,
    /// Entries of the log that its record must rest on at least.
    size: u64,
    failures: u32,
    pause: Pause,
}

impl Watcher {
    /// One that was told of so many entries.
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

    /// Entries of which all was taken over, as it was noted.
    #[must_use]
    pub const fn noted(&self) -> u64 {
        self.noted
    }

    /// Whether nothing is set aside.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.aside.is_empty()
    }

    /// Whether a thing is set aside: it is fetched at its time.
    #[must_use]
    pub fn is_aside(&self, id: &str) -> bool {
        self.aside.contains_key(id)
    }

    /// Of so many entries of which was told, those of which all is taken over.
    fn taken_of(&self, told: u64) -> u64 {
        self.aside.values().map(|aside| aside.from).min().map_or(told, |from| from.min(told))
    }

    /// What is to be done next.
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

    /// Takes what the home has pushed.
    ///
    /// # Errors
    /// When it is of no use; it is asked again after a pause.
    pub fn handle_heads(&mut self, heads: &Heads, now: Timestamp) -> Result<(), PushError> {
        let taken = self.take(heads);
        match &taken {
            Ok(()) => {
                self.listening.heard();
                // A peer that answers without waiting is not asked without end.
                if heads.upto == self.upto && self.listening.way(now) == Some(Way::LongPoll) {
                    self.pause = Pause::of(now, IDLE_MILLIS);
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

    fn take(&mut self, heads: &Heads) -> Result<(), PushError> {
        let (upto, size, known) = (heads.upto, heads.size, self.upto);
        if size < known {
            return Err(PushError::Back { size, known });
        }
        if upto < known || size < upto {
            return Err(PushError::Range { told: upto, size, known });
        }
        let waiting: Option<VecDeque<_>> = heads.heads.iter().map(|note| pushed(note)).collect();
        let mut waiting = waiting.ok_or(PushError::NoHead)?;
        // What is set aside is fetched at its time.
        waiting.retain(|(id, size)| match self.aside.get_mut(id) {
            Some(aside) => {
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

    /// What was to be fetched of a thing is taken over.
    pub fn handle_fetched(&mut self, id: &str) {
        if self.waiting.front().is_some_and(|(waiting, _)| waiting == id) {
            self.waiting.pop_front();
        }
        self.aside.remove(id);
    }

    /// What is answered about a thing is of no use: it is set aside, unless too many are. Whether it is now and was not
    /// before.
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
        aside.pause = Pause::of(now, retry_millis(aside.failures, self.settings.seed));
        is_new
    }

    /// How far is noted.
    pub fn handle_settled(&mut self) {
        let before = self.upto;
        self.upto = self.reached.take().unwrap_or(before);
        self.noted = self.taken_of(self.upto);
        self.looked = if self.upto < before { self.upto } else { self.looked.max(self.upto) };
        self.failures = 0;
    }

    /// All that is followed by name was looked at, up to a size; `is_all` where nothing else is followed. While something is
    /// set aside, that settles nothing.
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

    /// Something went wrong: what was pushed and is not taken over is asked for again after a pause.
    pub fn fail(&mut self, now: Timestamp) {
        self.waiting.clear();
        self.reached = None;
        self.unheard = false;
        self.failures = self.failures.saturating_add(1);
        let millis = retry_millis(self.failures, self.settings.seed);
        self.pause = Pause::of(now, millis);
        // What the home pushes then comes before what is set aside: that may be why it went wrong.
        for aside in self.aside.values_mut() {
            aside.pause = Pause::of(now, 2 * millis);
        }
    }

    /// The home was not heard. Where it has no such feed, or something on the way holds it back, the next way is used for
    /// some time.
    pub fn handle_unheard(&mut self, problem: &PeerError, now: Timestamp) {
        self.unheard = true;
        if is_no_way(problem) {
            self.listening.broken(now);
        }
    }
}

/// Whether a way does not lead to what is asked for, rather than to nobody just now.
#[must_use]
pub const fn is_no_way(problem: &PeerError) -> bool {
    match problem {
        PeerError::Status { status, .. } => matches!(*status, 300..=407 | 409..=428 | 430..=499 | 501),
        PeerError::Held | PeerError::Wire(_) | PeerError::Malformed(_) => true,
        _ => false,
    }
}

/// What a pushed head is about, and at which size. Its signature is that of the record that is fetched.
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
