//! Faults that befall the nodes of a federation: partitions, clocks, disks, lies, restored backups.

use ics_sync::mirror::{Action, Settings, Trouble};

use crate::copy::Copy;
use crate::home::Home;
use crate::lies::Lie;
use crate::memory::Memory;
use crate::network::Dice;
use crate::rules::drive;
use crate::world::World;

/// Ten years, in milliseconds.
const YEARS: u64 = 10 * 365 * 86_400_000;

/// The faults of a run, besides the weather: percentages at each of its steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    pub(super) partition: u64,
    clock: u64,
    disk: u64,
    restore: u64,
    pub(super) lie: u64,
    pub(super) crash: u64,
    home_clock: u64,
}

impl Faults {
    pub(super) const NONE: Self = Self { partition: 0, clock: 0, disk: 0, restore: 0, lie: 0, crash: 0, home_clock: 0 };

    /// Not all of them in each run: what happens rarely alone is hidden by what happens all the time.
    pub(super) fn any(dice: &mut Dice) -> Self {
        let mut some = |most: u64| if dice.chance(50) { dice.below(most + 1) } else { 0 };
        let (partition, clock, disk, restore) = (some(6), some(3), some(6), some(6));
        let (lie, crash, home_clock) = (some(6), some(20), some(2));
        // If the clocks of home and copies were wrong by the same years, they would agree.
        Self { partition, clock, disk, restore, lie, crash, home_clock: if clock > 0 { 0 } else { home_clock } }
    }
}

/// Faults of the nodes.
impl World {
    pub(super) fn befall(&mut self) {
        let faults = self.of_town().faults;
        let copy = self.dice.index(self.copies.len());
        if self.dice.chance(faults.partition) {
            self.copies[copy].cut_until = self.now + self.dice.below(120_000);
        }
        if self.dice.chance(faults.clock) {
            self.copies[copy].skew = any_skew(&mut self.dice);
        }
        if self.dice.chance(faults.home_clock) {
            self.of_town().home_skew = any_skew(&mut self.dice);
        }
        if self.dice.chance(faults.disk) {
            self.copies[copy].memory.failures += 1 + self.dice.index(3);
        }
        if self.dice.chance(faults.lie) {
            self.lie_to(copy);
        }
        if self.dice.chance(faults.restore) {
            self.back_up_or_restore(copy);
        }
    }

    /// Begins a lie, or ends one.
    fn lie_to(&mut self, copy: usize) {
        if self.copies[copy].lie.is_some() {
            (self.copies[copy].lie, self.copies[copy].shadowed) = (None, false);
            return;
        }
        let leaves_out = self.copies[copy].partial && self.dice.chance(50);
        let forks = self.of_town().forks && self.dice.chance(30);
        let lie = match (leaves_out, forks) {
            (true, _) => Lie::LeavesOut(3),
            (false, true) => Lie::Fork,
            (false, false) => Lie::ALL[self.dice.index(Lie::ALL.len())].clone(),
        };
        let shadow = lie.shadow(&self.home, &mut self.dice, self.now);
        if shadow.is_none() || self.of_town().forks {
            self.deceive(copy, lie, shadow);
        }
    }

    /// Backs up or restores a store: that of a mirror, or of the home.
    fn back_up_or_restore(&mut self, copy: usize) {
        let restores = self.dice.chance(40);
        if self.dice.chance(50) {
            let clone = &mut self.copies[copy];
            match clone.backup.clone() {
                Some(backup) if restores => {
                    (clone.memory, clone.seen) = (backup, Vec::new());
                    self.restart(copy);
                }
                _ => clone.backup = Some(clone.memory.clone()),
            }
            return;
        }
        let may = !self.of_town().forks && !self.of_town().silent && self.everything_is_held();
        let home = self.home.clone();
        match self.of_town().backup.clone() {
            Some(backup) if restores && may => self.put_home_back(&backup),
            _ => self.of_town().backup = Some(home),
        }
    }

    /// Whether everything that the home's disk now loses is held by a full copy, which then must not be lost as well.
    fn everything_is_held(&self) -> bool {
        let leaves = &self.home.leaves;
        let holds = |copy: &Copy| !copy.partial && copy.memory.leaves.get(..copy.memory.sealed) == Some(leaves);
        self.copies.iter().any(holds)
    }

    fn put_home_back(&mut self, backup: &Home) {
        self.home = self.home.put_back(backup);
        // The copies must not be restored as well before the home is, or nobody would have what was lost.
        self.copies.iter_mut().for_each(|copy| copy.backup = None);
        let size = self.home.size();
        self.of_town().silent = self.of_town().head_file.0 > size;
    }

    /// Recovers what the home has lost from whoever has it: all full copies are asked.
    pub(super) fn recover(&mut self) {
        let now = self.home_clock();
        let mut memory = Memory::of_home(&self.home);
        let settings = Settings { interval_millis: 60_000, listens: false, seed: 1 };
        let (origin, mut complete) = (self.home.origin.clone(), true);
        for copy in self.copies.iter().filter(|copy| !copy.partial) {
            if self.now < copy.cut_until {
                complete = false;
                continue;
            }
            let Some(served) = copy.served(&origin.domain) else { continue };
            let served = served.for_reader(false);
            let mut mirror = memory.mirror(&origin, settings, now);
            let rests = matches!(drive(&mut mirror, &served, &mut memory, now), Action::Wait { .. });
            complete &= rests && matches!(mirror.status().trouble, None | Some(Trouble::Stale { .. }));
        }
        for (index, entry) in memory.entries.iter().enumerate().skip(self.home.entries.len()) {
            self.home.take_back(entry.clone().expect("a whole entry"), memory.about(index));
        }
        self.home.note = memory.note.expect("a checkpoint");
        let enough = self.home.size() >= self.of_town().head_file.0;
        self.of_town().silent = !(complete && enough);
    }
}

fn any_skew(dice: &mut Dice) -> i64 {
    let millis = match dice.below(4) {
        0 => 0,
        1 => dice.below(600_000),
        _ => dice.below(YEARS),
    };
    if dice.chance(50) { -(millis as i64) } else { millis as i64 }
}
