//! Which checkpoint a mirror aims for, and what it has become once that is reached.

use std::sync::Arc;

use ics_core::log::Hash;
use ics_core::log::checkpoint::Checkpoint;
use ics_core::time::Timestamp;

use super::{Ahead, Held, Mirror, SignedCheckpoint, Stop, Trouble, VerifiedPage, Way};
use crate::pause::Pause;

impl Mirror {
    /// Opens a checkpoint and treats it according to its signature. If no more descriptors are to come, one that no
    /// known key signed is refused.
    pub(super) fn decide(&mut self, note: &str, claimed: &Checkpoint, no_more_descriptors: bool, now: Timestamp) {
        let Some(held) = &self.held else { return };
        let opened = held.charter.open(note, now);
        let (ours, theirs) = (self.known(), claimed.size);
        match self.or_stop(opened) {
            Some(Some(checkpoint)) => self.consider(checkpoint, no_more_descriptors, now),
            // Perhaps under a key that has been replaced since; whose it was no longer matters.
            Some(None) if !self.is_of_use(theirs) => self.fail(Trouble::Stale { ours, theirs }, now),
            Some(None) if no_more_descriptors => self.stopped = Some(Stop::Unsigned),
            Some(None) => self.await_descriptors(note.to_owned(), claimed.clone()),
            None => {}
        }
    }

    /// Whether a checkpoint of this size is of use. A larger one, which another peer has shown, may lead nowhere now
    /// because nobody has those entries any more, or never had them. So without a target a smaller one is of use as
    /// well, as long as it is ahead of what is held.
    fn is_of_use(&self, size: u64) -> bool {
        size >= self.known().max(1) || (self.target.is_none() && size > self.size())
    }

    /// Forgets what is known beyond the target if a version that has become known has replaced its key: it leads nowhere,
    /// and what the home signs now must not be held against it.
    pub(super) fn forget_replaced(&mut self, now: Timestamp) {
        let Some(held) = &self.held else { return };
        self.later = self.later.take().filter(|later| held.charter.still_counts(later, now));
    }

    /// Keeps a checkpoint that later descriptors may explain.
    pub(super) fn await_descriptors(&mut self, note: String, claimed: Checkpoint) {
        self.undecided = Some((note, claimed));
        self.pause = Pause::default();
    }

    /// Compares a signed checkpoint with what is known.
    pub(super) fn consider(&mut self, checkpoint: SignedCheckpoint, no_more_descriptors: bool, now: Timestamp) {
        let (theirs, ours) = (checkpoint.checkpoint.size, self.known());
        if let Some(fork) = self.fork(&checkpoint) {
            self.stopped = Some(fork);
            return;
        }
        if (1..self.size()).contains(&theirs) {
            // The tree here has no roots of earlier sizes: whoever stores the entries can tell.
            (self.earlier, self.pause, self.resting) = (Some(checkpoint), Pause::default(), false);
            return;
        }
        if !self.is_of_use(theirs) {
            return self.fail(Trouble::Stale { ours, theirs }, now);
        }
        self.ahead = checkpoint.claimed.filter(|_| checkpoint.as_of.is_none()).map(|at| Ahead { at, now });
        let witnessed = self.is_witnessed(&checkpoint.note);
        match self.or_stop(witnessed) {
            Some(true) if theirs == self.size() => {
                // Without a stream, a partial reader is not told that they may read something else now.
                self.asks_rights = self.is_partial() && self.way(now) != Some(Way::Stream);
                self.arrive(checkpoint, now);
            }
            Some(true) => self.pursue(checkpoint),
            Some(false) if no_more_descriptors => self.fail(Trouble::Quorum { size: theirs }, now),
            Some(false) => self.await_descriptors(checkpoint.note, checkpoint.checkpoint),
            None => {}
        }
    }

    /// Takes the answer to [`Action::RootAt`](super::Action::RootAt). If what is held begins with that root, the peer only
    /// lags behind. If it does not, the home has signed another log than this one: a fork, as with two roots of one size.
    pub fn handle_root(&mut self, root: &Hash, now: Timestamp) {
        let Some(earlier) = self.earlier.take() else { return };
        let (ours, theirs) = (self.known(), earlier.checkpoint.size);
        if *root == earlier.checkpoint.root {
            return self.fail(Trouble::Stale { ours, theirs }, now);
        }
        // The proof is a checkpoint of as many entries or more. A smaller one says nothing of those that come behind it.
        let covers = |known: &&SignedCheckpoint| known.checkpoint.size >= theirs;
        let proven_by = self.held.as_ref().and_then(|held| held.proven_by.as_ref());
        let ours = self.reached.iter().chain(proven_by).find(covers).map(|known| known.note.clone());
        self.stopped = Some(Stop::Fork { size: theirs, ours, theirs: earlier.note });
    }

    /// Whether enough witnesses have cosigned. What was reached has been checked, and what it brought governs only what
    /// comes next.
    pub(super) fn is_witnessed(&self, note: &str) -> Result<bool, Stop> {
        let is_reached = self.reached.as_ref().is_some_and(|reached| reached.note == note);
        let witnessed = |held: &Held| held.charter.is_witnessed(note);
        if is_reached { Ok(true) } else { self.held.as_ref().map_or(Ok(false), witnessed) }
    }

    /// Takes a checkpoint ahead of what is held as the target, or, if it is larger than the target, as what comes after
    /// that.
    pub(super) fn pursue(&mut self, checkpoint: SignedCheckpoint) {
        let size = checkpoint.checkpoint.size;
        if self.target.as_ref().is_some_and(|target| target.checkpoint.size < size) {
            self.later = Some(checkpoint);
        } else {
            self.later = self.later.take().filter(|later| later.checkpoint.size > size);
            self.target = Some(checkpoint);
        }
        self.pause = Pause::default();
    }

    /// Requires the peer that is asked to state first, by its own checkpoint, how far it leads: what another one showed
    /// remains known, but may no longer exist. A page in hand is stored first.
    pub(super) fn aim_anew(&mut self) {
        if self.pending.is_none() {
            let target = self.target.take();
            self.later = self.later.take().or(target);
        }
    }

    /// Whether a checkpoint contradicts what is held or known: the same size with another root.
    pub(super) fn fork(&self, checkpoint: &SignedCheckpoint) -> Option<Stop> {
        let size = checkpoint.checkpoint.size;
        let held = self.held.as_ref().map(|held| {
            // What leads there covers at least what is held.
            (held.tree.size(), held.tree.root(), held.proven_by.as_ref().map(|known| &known.note))
        });
        let signed = [&self.reached, &self.target, &self.later].into_iter().flatten();
        let signed = signed.map(|known| (known.checkpoint.size, known.checkpoint.root, Some(&known.note)));
        signed
            .chain(held)
            .find(|(known, root, _): &(u64, Hash, _)| *known == size && *root != checkpoint.checkpoint.root)
            .map(|(_, _, ours)| Stop::Fork { size, ours: ours.cloned(), theirs: checkpoint.note.clone() })
    }

    /// Takes a checkpoint over what is already held: nothing is new, and that is known as of a later time.
    pub(super) fn arrive(&mut self, checkpoint: SignedCheckpoint, now: Timestamp) {
        // A time that was not believed when it came makes the same checkpoint no newer once that time has come: whoever
        // withholds news could keep it until then.
        let is_newer = self.reached.as_ref().is_none_or(|reached| {
            reached.checkpoint.size < checkpoint.checkpoint.size
                || reached.claimed < checkpoint.claimed
                || (reached.claimed != checkpoint.claimed && reached.as_of < checkpoint.as_of)
        });
        if self.awaits_home(now) || self.doubt_erasures(now) {
            return;
        }
        // What others hid from a mirror that knew the home, and does so no longer; or a part of what anybody may copy, which
        // was to be followed by the rest. An early head would else make do with it.
        let is_left_out = |held: &Held| held.doubt.is_some() && (held.rights.is_none() || held.charter.is_public());
        if self.unsettled || self.held.as_ref().is_some_and(is_left_out) {
            // With a checkpoint alone, what was filled in so far would take effect, and what is missing would never be asked for.
            self.asks_rights = true;
            return self.rest(now);
        }
        let Some(held) = self.held.as_ref().filter(|_| is_newer) else {
            self.succeed();
            return self.rest(now);
        };
        let page = VerifiedPage::dating(held, Some(checkpoint));
        self.pending = Some((Arc::new(page), held.clone()));
        self.pause = Pause::default();
    }
}
