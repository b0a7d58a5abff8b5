//! The end of a run: all faults end, and every node is held to what is promised for then.

use ics_sync::mirror::{Action, Stop};

use super::faults::Faults;
use crate::copy::Copy;
use crate::memory::Memory;
use crate::network::Weather;
use crate::promises::Promise;
use crate::rules::drive;
use crate::world::World;

/// Milliseconds within which everything must have come to rest: copies that turned to each other take some minutes to
/// notice.
const REST_MILLIS: u64 = 20 * 60 * 1_000;

impl World {
    /// Ends all faults, and holds every node to what is promised for then.
    pub(crate) fn come_to_rest(&mut self) {
        let town = self.of_town();
        (town.faults, town.home_skew) = (Faults::NONE, 0);
        for copy in &mut self.copies {
            (copy.skew, copy.cut_until, copy.memory.failures) = (0, 0, 0);
        }
        (self.weather, self.restarts, self.bustle) = (Weather::CALM, 0, 0);
        self.heal();
        self.step();
        let silent = self.of_town().silent;
        if silent {
            return self.break_promise(Promise::AcknowledgedStaysForEver, "the home does not recover".to_owned());
        }
        // A copy that was shown a false log longer than the true one must be asked again once it no longer is longer.
        let ahead = self.copies.iter().map(|copy| copy.memory.leaves.len()).max().unwrap_or(0);
        let (now, missing) = (self.home_clock(), 1 + ahead.saturating_sub(self.home.entries.len()));
        (0..missing).for_each(|_| self.home.amend_idly(now));
        self.home.sign(now);
        self.follow();
        let (end, mut all_rest) = (self.now + REST_MILLIS, false);
        while !all_rest && self.now < end {
            let goes_on = self.step() | self.begin_anew();
            all_rest = self.of_town().broken.is_some() || (0..self.copies.len()).all(|i| self.is_at_rest(i));
            if !goes_on {
                break;
            }
        }
        if !all_rest {
            let restless: Vec<String> =
                (0..self.copies.len()).filter(|i| !self.is_at_rest(*i)).map(|i| self.describe(i)).collect();
            self.break_promise(Promise::ReadersConvergeAfterHealing, restless.join("\n"));
        }
        self.meet();
    }

    /// Copies give up what they have read without a descriptor or certificate that somebody had withheld, unless it is
    /// shown by now: then operators begin them anew. Returns whether there were any.
    fn begin_anew(&mut self) -> bool {
        let mut were_any = false;
        for i in 0..self.copies.len() {
            let Some(Stop::KeptBack { index, .. }) = self.copies[i].stop() else { continue };
            if index < self.copies[i].memory.sealed as u64 {
                // With everything that it knew goes what would have contradicted a false log.
                (self.copies[i].memory, self.copies[i].seen) = (Memory::default(), Vec::new());
            } else {
                let copy = &mut self.copies[i];
                copy.memory.give_up_unshown();
                copy.seen.truncate(copy.memory.sealed);
            }
            self.restart(i);
            were_any = true;
        }
        were_any
    }

    /// Whether a copy holds and shows what it may, or has found out that it was shown another log.
    fn is_at_rest(&self, i: usize) -> bool {
        let copy = &self.copies[i];
        if self.is_on_another_branch(i) {
            return copy.stop().is_some();
        }
        let honest = copy.memory.leaves == self.home.leaves && self.shows_what_it_may(i);
        honest || (copy.stop().is_some() && self.town.as_ref().is_some_and(|town| town.forks))
    }

    /// Two copies with different logs find that out as soon as they meet.
    fn meet(&mut self) {
        let now = self.time();
        let origin = self.home.origin.clone();
        for i in 0..self.copies.len() {
            for j in 0..i {
                let (ours, theirs) = (&self.copies[i].memory, &self.copies[j].memory);
                let common = ours.leaves.iter().zip(&theirs.leaves).take_while(|(a, b)| a == b).count();
                let parted = common < ours.sealed.min(theirs.sealed);
                let meets = |memory: &Memory, other: &Copy| {
                    let (mut memory, served) = (memory.clone(), other.served(&origin.domain)?);
                    let served = served.for_reader(false);
                    let mut mirror = memory.mirror(&origin, self.copies[i].settings, now);
                    Some(matches!(drive(&mut mirror, &served, &mut memory, now), Action::Stopped(_)))
                };
                let found = [meets(ours, &self.copies[j]), meets(theirs, &self.copies[i])];
                // Nobody asks a copy that may read only a part.
                let is_known = [i, j].iter().any(|copy| self.has_found_a_fork(*copy));
                if parted && !is_known && found.iter().all(Option::is_some) && !found.contains(&Some(true)) {
                    let how = format!("{} and {}", self.describe(i), self.describe(j));
                    return self.break_promise(Promise::NoUnnoticedFork, how);
                }
            }
        }
    }
}
