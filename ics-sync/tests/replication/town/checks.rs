//! The promises that hold at every moment.

use std::collections::BTreeSet;

use ics_core::log::{Hash, LeafData};
use ics_core::record::Record;
use ics_core::time::Timestamp;
use ics_core::trust::{Looked, Outcome, Question, Testimony, verdict};
use ics_sync::mirror::Stop;

use super::{FRESH_SECONDS, Town};
use crate::home::{IDENTITIES, OWN};
use crate::memory::{Kept, Memory};
use crate::promises::{Promise, Sabotage};
use crate::reading::Reading;
use crate::speech;
use crate::world::World;

/// A copy's reading of what it holds.
#[derive(Clone, Default)]
pub(super) struct Understood {
    reading: Reading,
    /// Entries read, and whether each was present as a whole.
    read: Vec<(LeafData, bool)>,
    /// What it answers with: its reading up to its last checkpoint.
    sealed: Reading,
    /// The indices of the entries in that reading.
    shown: Vec<usize>,
    size: usize,
}

impl Understood {
    /// Reads what is shown; reads everything again if something earlier has become readable, or no longer is.
    fn read_anew(&mut self, memory: &Memory) {
        let shown: Vec<usize> = memory.shown().collect();
        let earlier = shown.iter().take_while(|index| **index < self.size).count();
        if shown[..earlier] != self.shown || memory.sealed < self.size {
            *self = Self::default();
        }
        for index in self.size..memory.sealed {
            let entry = memory.entries[index].as_ref().filter(|_| shown.contains(&index));
            self.sealed.take(index as u64, entry, None);
        }
        (self.size, self.shown) = (memory.sealed, shown);
    }
}

/// Checks of the promises.
impl Town {
    /// Checks what must hold of a copy, and of the home, at every moment.
    pub(crate) fn check(world: &mut World, i: usize) {
        if world.of_town().broken.is_some() {
            return;
        }
        world.acknowledged_stays();
        world.keeps_its_branch(i);
        world.current_means_complete(i);
        world.nothing_outside_policy(i);
        world.understand(i);
        world.decides_rightly(i);
    }
}

impl World {
    pub(crate) fn has_found_a_fork(&self, i: usize) -> bool {
        matches!(self.copies[i].stop(), Some(Stop::Fork { .. } | Stop::Unproven { .. }))
    }

    fn acknowledged_stays(&mut self) {
        let town = self.of_town();
        if town.silent {
            return;
        }
        let ledger = town.ledger.clone();
        let lost = ledger.iter().find(|it| self.home.leaves.get(it.index) != Some(&it.leaf));
        if let Some(lost) = lost {
            self.break_promise(Promise::AcknowledgedStaysForEver, format!("the entry {} is another now", lost.index));
        }
    }

    /// What a copy has once verified stays; after a restore from a backup it may know less, but never something else.
    fn keeps_its_branch(&mut self, i: usize) {
        let copy = &mut self.copies[i];
        let common = copy.memory.leaves.iter().zip(&copy.seen).take_while(|(a, b)| a == b).count();
        if common < copy.seen.len() && common < copy.memory.leaves.len() {
            let how = format!("entry {common} was another before; {}", self.describe(i));
            return self.break_promise(Promise::NoUnnoticedFork, how);
        }
        if copy.memory.leaves.len() > copy.seen.len() {
            copy.seen.clone_from(&copy.memory.leaves);
        }
    }

    fn current_means_complete(&mut self, i: usize) {
        let Some(as_of) = self.copies[i].mirror.status().as_of else { return };
        if self.home_has_lied() {
            return;
        }
        if let Some(missed) = self.missed(i, as_of) {
            let how = format!("as of {as_of} the home had signed {missed:?}; {}", self.describe(i));
            return self.break_promise(Promise::CurrentMeansComplete, how);
        }
        if let Some(id) = self.shown_in_part(i) {
            let how = format!("of thing {id} a part is shown as all of it as of {as_of}; {}", self.describe(i));
            self.break_promise(Promise::CurrentMeansComplete, how);
        }
    }

    /// A thing of which a copy shows something but not everything, without knowing it.
    fn shown_in_part(&self, i: usize) -> Option<usize> {
        let memory = &self.copies[i].memory;
        if !self.copies[i].partial || self.home.leaves.get(..memory.sealed) != memory.leaves.get(..memory.sealed) {
            return None;
        }
        let of = |id: usize| memory.kept.iter().zip(&self.home.about).filter(move |(_, about)| **about == id);
        (0..IDENTITIES).find(|id| {
            let is_lost = of(*id).any(|(kept, _)| matches!(kept, Kept::Lost(_)));
            let mut sealed =
                memory.kept.iter().zip(&self.home.about).take(memory.sealed).filter(|(_, about)| *about == id);
            let shown = sealed.clone().any(|(kept, _)| matches!(kept, Kept::Whole(_)));
            !is_lost && shown && sealed.any(|(kept, _)| !matches!(kept, Kept::Whole(_)))
        })
    }

    /// Whether the home's key has signed two logs, or did so once: what it vouches for is then worthless until somebody
    /// notices.
    const fn home_has_lied(&self) -> bool {
        !self.shadows.is_empty()
    }

    /// Whether a copy was shown another log than the home's, and cannot know it yet.
    pub(super) fn is_on_another_branch(&self, i: usize) -> bool {
        let leaves = &self.copies[i].memory.leaves;
        let common = leaves.iter().zip(&self.home.leaves).take_while(|(a, b)| a == b).count();
        self.town.as_ref().is_some_and(|town| town.forks) && common < leaves.len()
    }

    fn nothing_outside_policy(&mut self, i: usize) {
        let copy = &self.copies[i];
        // A liar with the home's key can show anybody what they hold.
        if !copy.partial || self.home_has_lied() {
            return;
        }
        let (sealed, shown) = (copy.memory.sealed as u64, copy.memory.shown());
        let shown: BTreeSet<usize> = shown.map(|index| copy.memory.about(index)).filter(|id| *id != OWN).collect();
        let town = self.town.as_ref().expect("a town");
        // What ruled where the copy stands, and whatever came into force since: pages are made under what rules at the
        // time of asking.
        let from = town.hidden.iter().skip(1).position(|(size, _)| *size > sealed);
        let from = from.unwrap_or(town.hidden.len() - 1);
        let ruled = &town.hidden[from..];
        let leaked = shown.into_iter().find(|id| ruled.iter().all(|(_, hidden)| hidden.contains(id)));
        let how = leaked.map(|id| format!("identity {id} is shown, {ruled:?}; {}", self.describe(i)));
        if let Some(how) = how {
            self.break_promise(Promise::NothingVisibleOutsidePolicy, how);
        }
    }

    /// Reads what has come, as a store does with each page.
    fn understand(&mut self, i: usize) {
        let clock = self.copies[i].clock(self.now);
        let Self { copies, town, .. } = self;
        let (memory, town) = (&copies[i].memory, town.as_mut().expect("a town"));
        let own_clock = town.lacks(Sabotage::JudgesByItsOwnClock).then_some(clock);
        let understood = &mut town.understood[i];
        if copies[i].partial {
            return understood.read_anew(memory);
        }
        if i != town.reader {
            // All full copies would do the same work, at the cost of many seeds; one of them does it independently.
            if let Some(truth) = memory.sealed.checked_sub(1).and_then(|last| town.truth.get(last)) {
                (understood.sealed, understood.size) = (truth.clone(), memory.sealed);
            }
            return;
        }
        let held = memory.leaves.iter().zip(&memory.entries).map(|(leaf, entry)| (*leaf, entry.is_some()));
        let is_as_read = held.zip(&understood.read).all(|(held, read)| held == *read);
        if !is_as_read || memory.leaves.len() < understood.read.len() || memory.sealed < understood.size {
            *understood = Understood::default();
        }
        for index in understood.read.len()..memory.leaves.len() {
            understood.reading.take(index as u64, memory.entries[index].as_ref(), own_clock);
            understood.read.push((memory.leaves[index], memory.entries[index].is_some()));
            if understood.read.len() <= memory.sealed {
                understood.sealed.clone_from(&understood.reading);
                understood.size = understood.read.len();
            }
        }
        if understood.size < memory.sealed {
            (understood.sealed, understood.size) = (understood.reading.clone(), memory.sealed);
        }
    }

    /// A copy's answer is the one that its entries, its policy and the time give to anybody, and while its news is
    /// fresh it permits nothing that is known to be blocked.
    fn decides_rightly(&mut self, i: usize) {
        self.of_town().looks += 1;
        let (number, again) = (self.of_town().looks % IDENTITIES, self.of_town().looks % 3);
        if again != 0 {
            return;
        }
        let clock = self.copies[i].clock(self.now);
        let (copy, town) = (&self.copies[i], self.town.as_ref().expect("a town"));
        let size = copy.memory.sealed;
        if size == 0 || self.home.leaves.get(..size) != copy.memory.leaves.get(..size) {
            return;
        }
        let (id, understood) = (speech::thing(number), &town.understood[i]);
        let (record, truth) = (understood.sealed.record(&id, clock), town.truth[size - 1].record(&id, clock));
        let withheld = copy.memory.kept.iter().enumerate();
        let withheld = withheld.map(|(at, kept)| (at, matches!(kept, Kept::Lost(_))));
        let withheld = withheld.filter(|(_, lost)| *lost).any(|(at, _)| copy.memory.about(at) == number);
        // A liar with the home's key can withhold from a part what they like.
        let is_less = copy.partial && (record.is_none() || withheld || copy.misled);
        if record != truth && !is_less {
            let how = format!("thing {number} at {clock}: {record:?} and not {truth:?}; {}", self.describe(i));
            return self.break_promise(Promise::DecisionDependsOnlyOnStatementsPolicyAndTime, how);
        }
        if !self.home_has_lied()
            && self.permits(i, record, withheld, clock)
            && let Some(size) = self.blocked_meanwhile(number, size, clock)
        {
            let how = format!("thing {number} is permitted at {clock} and was blocked at {size}; {}", self.describe(i));
            self.break_promise(Promise::BlockedNeverShownAsPermittedWhileFresh, how);
        }
    }

    /// Whether a copy says that a thing may be used now.
    fn permits(&self, i: usize, record: Option<Record>, withheld: bool, clock: Timestamp) -> bool {
        let (memory, town) = (&self.copies[i].memory, self.town.as_ref().expect("a town"));
        let Some(domain) = town.understood[i].sealed.domain() else { return false };
        let testimony = Testimony {
            origin: self.home.origin.clone(),
            size: memory.sealed as u64,
            root: Hash([0; 32]),
            descriptor: domain.descriptor().version,
            as_of: if town.lacks(Sabotage::BelievesOldNews) { clock } else { memory.as_of.unwrap_or_default() },
            freshness: domain.descriptor().freshness.clone(),
            record,
            withheld,
        };
        let thing = Looked { asked: "thing".to_owned(), candidates: 1, testimonies: vec![testimony] };
        let question = Question { usage: "operate".to_owned(), thing, peer: None };
        verdict(&question, &town.policy, clock).outcome == Outcome::Allow
    }

    /// The size from which on a thing is blocked, as far as anybody can know whose news was fresh at a time.
    fn blocked_meanwhile(&self, number: usize, size: usize, clock: Timestamp) -> Option<usize> {
        let town = self.town.as_ref().expect("a town");
        let is_old = |(at, _): &&(u64, u64)| at.saturating_add(FRESH_SECONDS + 1) <= clock.as_seconds();
        let known = self.home.signed.iter().filter(is_old).map(|(_, size)| *size as usize).max().unwrap_or(0);
        let blocks = |size: &usize| {
            let record = town.truth.get(*size - 1).and_then(|truth| truth.record(&speech::thing(number), clock));
            record.and_then(|record| record.status).is_some_and(|status| status.decides.effect.blocks())
        };
        // A block that lasted only for a while and was lifted again does no harm.
        [size, known.min(town.truth.len())].into_iter().filter(|it| *it >= size).find(blocks)
    }
}
