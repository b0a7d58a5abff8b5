//! A mirror of one domain, as a state machine without I/O, clock or randomness.
//!
//! ```text
//!   descriptors ──► whose key signs ──► checkpoint ──► page of entries ──► apply ──► wait
//!   (entry 0 is pinned)                 (signed)       (proven)            (durable)
//! ```
//!
//! [`Mirror::poll_action`] says what to do next and changes nothing: asking again gives the same action. The caller
//! does it and reports the result by one of the `handle_` methods. An answer that fits no question is not believed, so
//! answers may be lost, late or duplicated. What is held changes only in [`Mirror::handle_applied`], page by page, each
//! proven to be in a log that the home signed.
//!
//! A mirror that is up to date listens: the peer pushes what is new, entries and proof in one event, and a heartbeat
//! otherwise. Where streams do not get through, it keeps a request waiting at the peer, and if that fails too, it
//! polls.

mod action;
mod awaited;
mod charter;
mod descriptors;
mod doubt;
pub(crate) mod listen;
mod page;
mod portion;
mod review;
mod standing;
mod stop;
mod target;

use std::sync::Arc;

use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::merkle::Tree;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use crate::pause::{self, Pause};
use crate::wire;
pub use action::Action;
pub use awaited::Awaited;
use charter::Charter;
pub use charter::SignedCheckpoint;
use doubt::Sources;
pub use doubt::{Doubt, Source};
use listen::Listening;
pub use listen::Way;
use page::Held;
pub use page::{VerifiedEntry, VerifiedPage};
use portion::Portion;
pub use review::{Fill, Seen, Survey};
use review::{Review, Step};
pub use standing::{Resume, Status};
pub use stop::{Ahead, Stop, Trouble};

/// How a mirror keeps time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Milliseconds between two looks at an idle peer, at most; at least half of it.
    pub interval_millis: u64,
    /// Whether to listen, rather than to poll.
    pub listens: bool,
    /// Any number; mirrors with different seeds spread their looks and retries.
    pub seed: u64,
}

/// A mirror of one domain.
#[derive(Debug, Clone)]
pub struct Mirror {
    settings: Settings,
    /// The pinned origin.
    origin: Origin,
    /// `None` until entry 0 has come.
    held: Option<Held>,
    /// The newest checkpoint that was reached.
    reached: Option<SignedCheckpoint>,
    /// The checkpoint that the pages lead to, ahead of what is held.
    target: Option<SignedCheckpoint>,
    /// One that came meanwhile, ahead of the target; a moving target would make pages in transit useless. Without a
    /// target, one to which a peer's pages did not lead.
    later: Option<SignedCheckpoint>,
    /// A checkpoint of fewer entries than are held, until it is known whether what is held begins with them.
    earlier: Option<SignedCheckpoint>,
    /// A checkpoint that no known key has signed, or that too few known witnesses have cosigned: a later descriptor may
    /// name others.
    undecided: Option<(String, Checkpoint)>,
    /// A page that waits to be applied, and what is held afterwards.
    pending: Option<(Arc<VerifiedPage>, Held)>,
    /// The second look at what is held, before that page is applied.
    review: Option<Review>,
    /// Whether that look waits for the page that leads to a checkpoint, because what the peer calls erased may be borne
    /// out by an erasure on the way there. Before each of these pages everything would be looked at in vain.
    looks_late: bool,
    /// Whether something was filled in that has not taken effect yet.
    unsettled: bool,
    sources: Sources,
    /// Whether to ask what this mirror may read, which only a page can tell.
    asks_rights: bool,
    as_of: Option<Timestamp>,
    /// The time that the newest checkpoint claims, if that is not believed.
    ahead: Option<Ahead>,
    pause: Pause,
    /// Whether the pause is that of a mirror that is up to date.
    resting: bool,
    listening: Listening,
    portion: Portion,
    failures: u32,
    trouble: Option<Trouble>,
    stopped: Option<Stop>,
}

impl Mirror {
    /// A mirror that holds nothing yet, of a domain whose entry 0 is known.
    #[must_use]
    pub fn pinned(origin: Origin, settings: Settings) -> Self {
        Self {
            settings,
            origin,
            held: None,
            reached: None,
            target: None,
            later: None,
            earlier: None,
            undecided: None,
            pending: None,
            review: None,
            looks_late: false,
            unsettled: false,
            sources: Sources::default(),
            asks_rights: false,
            as_of: None,
            ahead: None,
            pause: Pause::default(),
            resting: false,
            listening: Listening::default(),
            portion: Portion::default(),
            failures: 0,
            trouble: None,
            stopped: None,
        }
    }

    /// A mirror that continues where it was.
    #[must_use]
    pub fn resume(resume: Resume, settings: Settings, now: Timestamp) -> Self {
        let Resume { origin, descriptor, tree, admitted_at, checkpoint, rights, unsettled, erased, doubt } = resume;
        let charter = Charter::resume(origin.clone(), descriptor);
        // Under a key that has been replaced since, it is useless.
        let reached = checkpoint.and_then(|note| charter.open(&note, now).ok().flatten());
        let as_of = reached.as_ref().and_then(|reached| reached.as_of);
        let (borne_out, proven_by) = (Arc::default(), None);
        let held = Some(Held { charter, tree, admitted_at, rights, erased, borne_out, doubt, proven_by });
        Self { held, reached, as_of, unsettled, ..Self::pinned(origin, settings) }
    }

    /// The domain that is mirrored.
    #[must_use]
    pub const fn domain(&self) -> &DomainName {
        &self.origin.domain
    }

    /// What to do now.
    #[must_use]
    pub fn poll_action(&self, now: Timestamp) -> Action {
        if let Some(stop) = &self.stopped {
            return Action::Stopped(stop.clone());
        }
        if let Some(until) = self.pause.until(now) {
            return match self.way(now) {
                Some(way) if self.resting => Action::Listen { from: self.size(), way, until },
                _ => Action::Wait { until },
            };
        }
        if let Some((page, _)) = &self.pending {
            return match self.review.as_ref().map(Review::step) {
                None => Action::Apply(Arc::clone(page)),
                Some(Step::Survey(survey)) => Action::Survey(survey),
                Some(Step::Ask(again)) => Action::FetchAgain(wire::Again { until: Some(self.led_to()), ..again }),
                Some(Step::Fill(fill)) => Action::Fill(fill),
            };
        }
        if let Some(earlier) = &self.earlier {
            return Action::RootAt { size: earlier.checkpoint.size };
        }
        if let Some(from) = self.wanted_descriptor() {
            return Action::FetchDescriptors { from };
        }
        match &self.target {
            Some(target) => {
                Action::FetchPage { from: self.size(), limit: self.portion.entries(), until: target.checkpoint.size }
            }
            None if self.asks_rights && self.later.is_none() => {
                Action::FetchPage { from: self.size(), limit: 1, until: self.size() }
            }
            None => Action::FetchCheckpoint,
        }
    }

    /// How far the mirror is.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            size: self.size(),
            known: self.known(),
            as_of: self.as_of,
            ahead: self.ahead,
            failures: self.failures,
            trouble: self.trouble.clone(),
            stopped: self.stopped.clone(),
            doubt: self.held.as_ref().and_then(|held| held.doubt.clone()),
            is_partial: self.is_partial(),
            is_looking: self.review.is_some(),
        }
    }

    /// The home's checkpoint that the pages lead to, or did not lead to; `None` while nothing newer is known.
    #[must_use]
    pub fn target(&self) -> Option<&SignedCheckpoint> {
        self.target.as_ref().or(self.later.as_ref())
    }

    /// Takes the peer's answer to [`Action::FetchDescriptors`].
    pub fn handle_descriptors(&mut self, descriptors: &wire::Descriptors, now: Timestamp) {
        let Some(asked) = self.wanted_descriptor().filter(|asked| *asked == descriptors.from) else {
            return self.not_asked(format!("descriptors from version {}", descriptors.from), now);
        };
        if descriptors.entries.is_empty() && asked == 1 {
            return self.fail(Trouble::Failure("the peer has no descriptor of the domain".to_owned()), now);
        }
        let learnt = self.learn(&descriptors.entries);
        self.forget_replaced(now);
        if let Some((note, claimed)) = self.or_stop(learnt).and_then(|()| self.undecided.take()) {
            self.decide(&note, &claimed, descriptors.entries.is_empty(), now);
        }
    }

    /// Takes a checkpoint: the peer's answer to [`Action::FetchCheckpoint`], or one sent unasked.
    pub fn handle_checkpoint(&mut self, note: &str, now: Timestamp) {
        if self.stopped.is_some() || self.held.is_none() || self.pending.is_some() {
            return;
        }
        let reached = self.reached.as_ref().filter(|reached| reached.note == note);
        if let Some(again) = reached.map(|reached| reached.looked_at(now)) {
            return self.consider(again, false, now);
        }
        match Checkpoint::claimed(note) {
            Ok(claimed) => self.decide(note, &claimed, false, now),
            // For instance a page that asks people to log in: the home has said nothing.
            Err(problem) => self.fail(Trouble::Failure(format!("the peer sent no checkpoint: {problem}")), now),
        }
    }

    /// Takes the peer's answer to [`Action::FetchPage`].
    pub fn handle_page(&mut self, page: wire::Page, now: Timestamp) {
        if self.asks_rights && self.target.is_none() && self.pending.is_none() && page.size == self.size() {
            return self.handle_rights(page, now);
        }
        let (from, size) = (page.from, page.size);
        let asked = self.target.as_ref().filter(|target| target.checkpoint.size == size && from == self.size());
        let (Some(held), Some(target), None, None) = (&self.held, asked, &self.pending, &self.stopped) else {
            return self.not_asked(format!("entries from {from} on, proven up to {size}"), now);
        };
        if page.entries.is_empty() || page.hides_and_denies_it() || page.lacks_entry_0() {
            return self.fail(Trouble::Withheld { from, size }, now);
        }
        let word = self.sources.word(&held.charter);
        let review = Review::of(&page, held, self.unsettled, word, question(from, now));
        let (is_home, looks_at_all) = (word.is_home, review.as_ref().is_some_and(Review::is_full));
        let extended = held.extend(page, target, self.reached.as_ref(), (word, looks_at_all));
        let Some((mut next, mut page)) = self.or_stop(extended) else { return };
        if let Some(statement) = next.belied(&page) {
            return self.fail(Trouble::Unerased { statement, size }, now);
        }
        let is_part_of_public = page.rights.is_some() && !is_home && next.charter.is_public();
        if is_part_of_public && page.checkpoint.is_some() {
            return self.fail(Trouble::Public { size }, now);
        }
        if let Some(held) = self.held.as_ref().filter(|_| is_part_of_public) {
            // A descriptor between here and the checkpoint may change who may copy. Until then nothing that is held is given
            // up on this word.
            next.leave_rights(&mut page, held);
        }
        self.pending = Some((Arc::new(page), next));
        (self.review, self.pause) = (review.filter(|_| !is_part_of_public), Pause::default());
        if self.looks_late && self.review.is_some() {
            self.looks_late = self.looks_later();
        }
    }

    /// Takes the report that the page of [`Action::Apply`] is durably stored, with all its effects.
    pub fn handle_applied(&mut self, now: Timestamp) {
        let Some((page, next)) = self.pending.take() else { return };
        // A heartbeat says nothing of how much arrives in time.
        if !page.entries.is_empty() {
            self.portion = self.portion.after_success();
            self.listening.brought_entries();
        }
        let is_settled = next.doubt.is_none();
        let is_confirmed = self.held.replace(next).is_some_and(|held| held.doubt.is_some()) && is_settled;
        self.unsettled &= !page.settles;
        self.succeed();
        if let Some(checkpoint) = &page.checkpoint {
            self.as_of = self.as_of.max(checkpoint.as_of);
            self.reached = Some(checkpoint.clone());
            self.target = self.later.take();
            if self.target.is_none() {
                self.rest(now);
            }
        } else if self.target.is_none() {
            self.rest(now);
            if is_confirmed {
                // The checkpoint that came before was not taken then; now it counts.
                self.pause = Pause::default();
            }
        } else if self.target.as_ref().is_some_and(|target| target.checkpoint.size == self.size()) {
            // All entries are here, and one of them is not what the log says.
            self.target = self.later.take();
            let _ = self.awaits_home(now) || self.doubt_erasures(now);
        }
    }

    /// Waits for a checkpoint under which the erasure is in the log, or for a peer that shows what is said to be
    /// erased; returns whether there is anything to doubt.
    fn doubt_erasures(&mut self, now: Timestamp) -> bool {
        let unerased = self.held.as_ref().and_then(Held::unerased);
        if let Some(statement) = unerased {
            (self.unsettled, self.asks_rights) = (true, true);
            self.fail(Trouble::Unerased { statement, size: self.size() }, now);
        }
        unerased.is_some()
    }

    /// How many entries will be held under the checkpoint to which the pages lead.
    fn led_to(&self) -> u64 {
        self.target.as_ref().map_or_else(|| self.size(), |target| target.checkpoint.size)
    }

    fn size(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.tree.size())
    }

    /// Whether there is anything that this mirror may not read.
    fn is_partial(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.rights.is_some())
    }

    /// Entries that the home is known to have signed.
    fn known(&self) -> u64 {
        self.later.as_ref().or(self.target.as_ref()).map_or_else(|| self.size(), |ahead| ahead.checkpoint.size)
    }

    /// The next version to ask for, if the keys known are not enough.
    fn wanted_descriptor(&self) -> Option<u64> {
        match &self.held {
            _ if self.stopped.is_some() => None,
            None => Some(1),
            Some(held) => self.undecided.as_ref().map(|_| held.charter.next_version()),
        }
    }

    fn learn(&mut self, entries: &[wire::Entry]) -> Result<(), Stop> {
        let mut entries = entries.iter();
        let held = match &mut self.held {
            Some(held) => held,
            none => {
                let Some(entry0) = entries.next() else { return Ok(()) };
                let charter = Charter::found(&self.origin, entry0)?;
                none.insert(Held {
                    charter,
                    tree: Tree::new(),
                    admitted_at: Timestamp::default(),
                    rights: None,
                    erased: Awaited::default(),
                    borne_out: Arc::default(),
                    doubt: None,
                    proven_by: None,
                })
            }
        };
        entries.try_for_each(|entry| held.charter.learn(entry))
    }

    fn or_stop<T>(&mut self, result: Result<T, Stop>) -> Option<T> {
        result.map_err(|stop| self.stopped = Some(stop)).ok()
    }

    /// An answer that fits no question: late, duplicated, or from a misbehaving peer.
    fn not_asked(&mut self, what: String, now: Timestamp) {
        if self.stopped.is_none() && self.pending.is_none() {
            self.fail(Trouble::NotAsked(what), now);
        }
    }

    fn succeed(&mut self) {
        (self.failures, self.trouble) = (0, None);
    }

    /// The way to listen, if at all.
    fn way(&self, now: Timestamp) -> Option<Way> {
        self.listening.way(now).filter(|_| self.settings.listens)
    }

    /// Ends a rest, because there is something to ask for.
    fn look(&mut self, now: Timestamp) {
        if self.pause.until(now).is_some() && self.resting {
            self.pause = Pause::default();
        }
    }

    fn fail(&mut self, trouble: Trouble, now: Timestamp) {
        (self.looks_late, self.earlier) = (false, None);
        self.break_off_review();
        self.aim_anew();
        self.wait_out(trouble, now);
    }

    /// Waits after a failure, longer each time.
    fn wait_out(&mut self, trouble: Trouble, now: Timestamp) {
        self.resting = false;
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some(trouble);
        self.pause = Pause::of(now, pause::retry_millis(self.failures, self.settings.seed));
    }

    fn rest(&mut self, now: Timestamp) {
        if self.asks_rights {
            self.pause = Pause::default();
            return;
        }
        let seed = self.settings.seed.wrapping_add(now.as_millis());
        let way = self.way(now);
        let millis = way.map_or(self.settings.interval_millis, |_| listen::SILENCE_MILLIS);
        self.resting = true;
        self.pause = Pause::of(now, pause::jittered(millis, seed));
    }
}

/// The first of the numbers by which the questions of one look are told apart.
const fn question(from: u64, now: Timestamp) -> u64 {
    now.as_millis().rotate_left(24) ^ from
}
