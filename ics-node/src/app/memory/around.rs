//! What is said of the groups that identities may belong to: read once for all identities with the same groups.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ics_core::record::Logged;

use super::Era;
use crate::store::{DomainNumber, Key};

/// Sets of groups that are kept; then all are forgotten, and what rests on them with them.
const SETS: usize = 65_536;

/// All statements about the groups that an identity may belong to.
#[derive(Debug)]
pub(crate) struct Around {
    pub(crate) statements: Vec<Logged>,
    /// A record with these groups: others are much like it, and are packed by what differs.
    pub(super) sample: OnceLock<Box<[u8]>>,
    over: AtomicBool,
}

impl Around {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.over.store(true, Ordering::Release);
    }
}

/// The sets of groups, by the keys under which statements about them are filed.
#[derive(Debug, Default)]
pub(crate) struct Arounds(Mutex<Sets>);

#[derive(Debug, Default)]
struct Sets {
    of: HashMap<(DomainNumber, Vec<Key>), Arc<Around>>,
    with: HashMap<(DomainNumber, Key), BTreeSet<Vec<Key>>>,
}

impl Arounds {
    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn recall(&self, domain: DomainNumber, keys: &[Key]) -> Option<Arc<Around>> {
        // The map's own key type is the price of one map for all domains; misses of this kind are rare.
        self.sets().of.get(&(domain, keys.to_vec())).cloned()
    }

    /// Keeps what was read when the log had `size` entries, unless something has come in since: then it is over at once.
    pub(crate) fn keep(
        &self,
        domain: DomainNumber,
        keys: Vec<Key>,
        statements: Vec<Logged>,
        (era, size): (&Era, u64),
    ) -> Arc<Around> {
        let around = Arc::new(Around { statements, sample: OnceLock::new(), over: AtomicBool::new(false) });
        let mut sets = self.sets();
        if !era.reaches(size) {
            around.end();
            return around;
        }
        if sets.of.len() >= SETS {
            sets.end(|_| true);
        }
        for key in &keys {
            sets.with.entry((domain, *key)).or_default().insert(keys.clone());
        }
        if let Some(former) = sets.of.insert((domain, keys), Arc::clone(&around)) {
            former.end();
        }
        around
    }

    /// Ends the sets that have one of these keys.
    pub(super) fn forget<'k>(&self, domain: DomainNumber, keys: impl Iterator<Item = &'k Key>) {
        let mut sets = self.sets();
        if sets.of.is_empty() {
            return;
        }
        for key in keys {
            for set in sets.with.remove(&(domain, *key)).unwrap_or_default() {
                if let Some(around) = sets.of.remove(&(domain, set)) {
                    around.end();
                }
            }
        }
    }

    pub(super) fn forget_domain(&self, domain: DomainNumber) {
        self.sets().end(|of| of == domain);
    }
}

impl Sets {
    fn end(&mut self, which: impl Fn(DomainNumber) -> bool) {
        self.of.retain(|(domain, _), around| {
            if which(*domain) {
                around.end();
            }
            !which(*domain)
        });
        self.with.retain(|(domain, _), _| !which(*domain));
    }
}
