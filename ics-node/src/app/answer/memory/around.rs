//! What is said about the groups that identities may belong to, read once for all identities with the same groups.

use core::ops::Bound;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use ics_core::record::Logged;

use super::{Era, PLACE_BYTES};
use crate::locked::Locked as _;
use crate::store::{DomainNumber, Key};

/// The greatest size of a sample in bytes.
pub(super) const SAMPLE_BYTES: usize = 3_072;
/// How many sets are looked at, at most, for one that may go: all others wait meanwhile.
const LOOKS: usize = 64;

/// All statements about the groups that an identity may belong to.
#[derive(Debug)]
pub(crate) struct Around {
    pub(crate) statements: Vec<Logged>,
    /// A record of an identity with these groups: the others are much like it, so they are packed as differences from
    /// it.
    pub(super) sample: OnceLock<Box<[u8]>>,
    over: AtomicBool,
    /// Whether something that rests on it was asked for since it was last looked at for room.
    used: AtomicBool,
}

impl Around {
    /// Whether what rests on it holds, asked whenever that is to be used.
    pub(super) fn holds(&self) -> bool {
        // It is mostly noted already, and many ask at the same time.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        !self.is_over()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// The bytes that it takes, including its places in the tables, where each of its keys is stored four times.
    fn bytes(&self, keys: &[Key]) -> u64 {
        let statements: usize = self.statements.iter().map(Logged::memory_bytes).sum();
        (size_of::<Self>() + SAMPLE_BYTES + 4 * size_of_val(keys) + statements) as u64 + PLACE_BYTES
    }
}

/// The sets of groups, by the keys under which statements about them are filed. They are bounded in bytes: a new one
/// may displace another, and then whatever rests on that one ends too. Going round, those that were used since the last
/// round are passed over: whoever leafs through a register reads many sets once, and would else displace those on which
/// rests what devices ask for again and again.
#[derive(Debug)]
pub(crate) struct Arounds {
    sets: Mutex<Sets>,
    capacity: u64,
}

#[derive(Debug, Default)]
struct Sets {
    of: BTreeMap<Set, Arc<Around>>,
    with: HashMap<(DomainNumber, Key), BTreeSet<Vec<Key>>>,
    bytes: u64,
    /// The set that was last looked at for room.
    hand: Option<Set>,
}

/// A domain, and the keys of groups.
type Set = (DomainNumber, Vec<Key>);

impl Arounds {
    /// Room for sets of at most this many bytes.
    pub(super) fn new(capacity: u64) -> Self {
        Self { sets: Mutex::default(), capacity }
    }

    /// The size in bytes of the sets that are kept.
    pub(super) fn bytes(&self) -> u64 {
        self.sets().bytes
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.locked()
    }

    pub(crate) fn recall(&self, domain: DomainNumber, keys: &[Key]) -> Option<Arc<Around>> {
        // The copy is the price of one map for all domains, with owned keys.
        self.sets().of.get(&(domain, keys.to_vec())).cloned()
    }

    /// Keeps what was read when the log had `size` entries, unless something has come in since; then the result is over
    /// at once.
    pub(crate) fn keep(
        &self,
        domain: DomainNumber,
        keys: Vec<Key>,
        statements: Vec<Logged>,
        (era, size): (&Era, u64),
    ) -> Arc<Around> {
        let (over, used) = (AtomicBool::new(false), AtomicBool::new(false));
        let around = Arc::new(Around { statements, sample: OnceLock::new(), over, used });
        let mut sets = self.sets();
        if !era.reaches(size) {
            around.end();
            return around;
        }
        let bytes = around.bytes(&keys);
        if bytes > self.capacity {
            around.end();
            return around;
        }
        let set = (domain, keys);
        sets.end(&set);
        while sets.bytes + bytes > self.capacity
            && let Some(next) = sets.displaced()
        {
            sets.end(&next);
        }
        sets.begin(set, &around);
        around
    }

    /// Ends the sets that have one of these keys.
    pub(super) fn forget<'k>(&self, domain: DomainNumber, keys: impl Iterator<Item = &'k Key>) {
        let mut sets = self.sets();
        if sets.of.is_empty() {
            return;
        }
        for key in keys {
            for set in sets.with.get(&(domain, *key)).cloned().unwrap_or_default() {
                sets.end(&(domain, set));
            }
        }
    }

    pub(super) fn forget_domain(&self, domain: DomainNumber) {
        let mut sets = self.sets();
        let of_domain: Vec<Set> = sets.of.keys().filter(|(of, _)| *of == domain).cloned().collect();
        of_domain.iter().for_each(|set| sets.end(set));
    }
}

impl Sets {
    fn begin(&mut self, set: Set, around: &Arc<Around>) {
        self.bytes += around.bytes(&set.1);
        for key in &set.1 {
            self.with.entry((set.0, *key)).or_default().insert(set.1.clone());
        }
        self.of.insert(set, Arc::clone(around));
    }

    /// The set that goes next, if there is any.
    fn displaced(&mut self) -> Option<Set> {
        for _ in 0..LOOKS {
            let after = self.hand.take();
            let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut behind = self.of.range::<Set, _>((from, Bound::<&Set>::Unbounded));
            let (set, around) = behind.next().or_else(|| self.of.first_key_value())?;
            self.hand = Some(set.clone());
            if !around.used.swap(false, Ordering::Relaxed) {
                break;
            }
        }
        self.hand.clone()
    }

    fn end(&mut self, set: &Set) {
        let Some(around) = self.of.remove(set) else { return };
        around.end();
        self.bytes -= around.bytes(&set.1);
        for key in &set.1 {
            if let Entry::Occupied(mut with) = self.with.entry((set.0, *key)) {
                with.get_mut().remove(&set.1);
                if with.get().is_empty() {
                    with.remove();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Around, Arounds};
    use crate::app::answer::memory::Era;
    use crate::store::{DomainNumber, Key};

    fn domain() -> DomainNumber {
        DomainNumber::new(1).expect("a number")
    }

    fn keys(number: u8) -> Vec<Key> {
        vec![Key::of(&[number]), Key::of(b"of all")]
    }

    fn keep(arounds: &Arounds, number: u8) -> Arc<Around> {
        arounds.keep(domain(), keys(number), Vec::new(), (&Era::default(), 0))
    }

    #[test]
    fn one_set_goes_for_another_and_what_rests_on_it_ends() {
        let arounds = Arounds::new(64 * 1024);
        let sets: Vec<_> = (0..100).map(|number| keep(&arounds, number)).collect();
        let bytes = arounds.bytes();
        assert!((32 * 1024..=64 * 1024).contains(&bytes), "{bytes}");
        let live = (0..100).filter(|number| !sets[usize::from(*number)].is_over());
        let found = (0..100).filter(|number| arounds.recall(domain(), &keys(*number)).is_some());
        assert!(live.clone().count() > 10, "as many as fit");
        assert!(live.eq(found), "what holds is found, and nothing else");
        assert!(!sets[99].is_over(), "the newest is there");
    }

    /// Whoever leafs through a register must not slow down what devices ask for.
    #[test]
    fn what_is_used_again_and_again_stays_while_others_come_and_go() {
        let arounds = Arounds::new(64 * 1024);
        let used: Vec<_> = (0..8).map(|number| keep(&arounds, number)).collect();
        for number in 8..100 {
            assert!(used.iter().all(|around| around.holds()), "{number}");
            keep(&arounds, number);
        }
        assert!(used.iter().all(|around| around.holds()));
        let sets: Vec<_> = (100..200).map(|number| keep(&arounds, number)).collect();
        assert!(used.iter().all(|around| around.is_over()), "but not once nobody asks any more");
        assert!(!sets[99].is_over());
    }

    #[test]
    fn what_comes_in_ends_the_sets_that_it_concerns() {
        let arounds = Arounds::new(64 * 1024);
        let (first, second) = (keep(&arounds, 1), keep(&arounds, 2));
        arounds.forget(domain(), [Key::of(&[1])].iter());
        assert!(first.is_over() && !second.is_over());
        assert_eq!(arounds.bytes(), second.bytes(&keys(2)));
        arounds.forget(domain(), [Key::of(b"of all")].iter());
        assert!(second.is_over());
        assert_eq!(arounds.bytes(), 0);
    }

    #[test]
    fn what_is_kept_again_counts_once_and_what_is_too_large_not_at_all() {
        let arounds = Arounds::new(64 * 1024);
        let (first, second) = (keep(&arounds, 1), keep(&arounds, 1));
        assert!(first.is_over() && !second.is_over());
        assert_eq!(arounds.bytes(), second.bytes(&keys(1)));
        assert!(keep(&Arounds::new(64), 1).is_over(), "it has no room");
    }
}
