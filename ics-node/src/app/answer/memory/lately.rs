//! The records of a few identities and the statements they rest on: one for which a certificate is ordered is needed at
//! the order, and again a moment later when the certificate is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ics_core::record::{Logged, Record};
use ics_core::time::Timestamp;
use quick_cache::sync::Cache;

use super::{Around, At, Era, Place};
use crate::store::{DomainNumber, Key};

/// How many identities are kept.
const IDENTITIES: usize = 512;

/// Bounded in number: a record has at most [`ics_core::limits::RECORD_STATEMENTS`] statements, and usually few.
pub(crate) struct Lately(Cache<At, Arc<Resolved>>);

/// The record of an identity, and all statements about it.
pub(crate) type Known = Arc<(Record, Vec<Logged>)>;

/// What is known about an identity, and for how long.
struct Resolved {
    rest: u64,
    era: Arc<Era>,
    around: Arc<Around>,
    /// Whether it is certain that nothing has come in since it was read.
    is_confirmed: AtomicBool,
    /// `None` if nothing is said about it.
    known: Option<Known>,
}

impl Resolved {
    fn holds(&self, rest: u64, now: Timestamp) -> bool {
        let changes_at = self.known.as_ref().and_then(|known| known.0.changes_at);
        self.rest == rest
            && self.is_confirmed.load(Ordering::Acquire)
            && changes_at.is_none_or(|at| now < at)
            && self.around.holds()
            && !self.era.is_over()
    }
}

impl Default for Lately {
    fn default() -> Self {
        Self(Cache::new(IDENTITIES))
    }
}

impl Lately {
    /// What is known about an identity now, if that is kept. The record was resolved a while ago, at [`Record::at`];
    /// otherwise it would be the same now.
    pub(crate) fn recall(&self, domain: DomainNumber, (key, rest): Place, now: Timestamp) -> Option<Option<Known>> {
        let resolved = self.0.get(&(domain, key)).filter(|resolved| resolved.holds(rest, now))?;
        Some(resolved.known.clone())
    }

    /// Keeps what was read when the log had `size` entries, unless something has come in since.
    pub(crate) fn keep(
        &self,
        domain: DomainNumber,
        (key, rest): Place,
        known: Option<&Known>,
        (era, around, size): (&Arc<Era>, &Arc<Around>, u64),
    ) {
        // What there was no room for, or has ended, would only be held here beyond that room.
        if around.is_over() {
            return;
        }
        let (era, around, is_confirmed) = (Arc::clone(era), Arc::clone(around), AtomicBool::new(false));
        let resolved = Arc::new(Resolved { rest, era, around, is_confirmed, known: known.cloned() });
        self.0.insert((domain, key), Arc::clone(&resolved));
        // As in `Memory::keep`.
        if resolved.era.reaches(size) {
            resolved.is_confirmed.store(true, Ordering::Release);
        } else {
            // Something in it may have been erased.
            self.0.remove(&(domain, key));
        }
    }

    pub(super) fn forget<'k>(&self, domain: DomainNumber, keys: impl Iterator<Item = &'k Key>) {
        if !self.0.is_empty() {
            keys.for_each(|key| drop(self.0.remove(&(domain, *key))));
        }
    }

    pub(super) fn forget_domain(&self, domain: DomainNumber) {
        self.0.retain(|(of, _), _| *of != domain);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Arounds;
    use super::*;

    #[test]
    fn what_is_kept_ends_with_the_next_entry_about_it() {
        let (lately, era) = (Lately::default(), Arc::new(Era::default()));
        let (domain, now) = (DomainNumber::new(1).expect("a number"), Timestamp::default());
        let arounds = Arounds::new(1 << 20);
        let groups = [Key::with_rest(b"group").0];
        era.upto.store(10, Ordering::Release);
        let around = arounds.keep(domain, groups.to_vec(), Vec::new(), (&era, 10));
        let place = |name: &[u8]| Key::with_rest(name);
        let keep = |name: &[u8], size| lately.keep(domain, place(name), None, (&era, &around, size));
        let known = |name: &[u8]| lately.recall(domain, place(name), now).is_some();

        keep(b"a", 10);
        keep(b"b", 9);
        assert!(known(b"a") && !known(b"b"), "the one that was read before the last news may lack it");
        lately.forget(domain, [place(b"b").0].iter());
        assert!(known(b"a"));
        lately.forget(domain, [place(b"a").0].iter());
        assert!(!known(b"a"));
        keep(b"a", 10);
        keep(b"c", 10);
        let crowded = Arounds::new(0).keep(domain, Vec::new(), Vec::new(), (&era, 10));
        lately.keep(domain, place(b"d"), None, (&era, &crowded, 10));
        assert!(lately.0.get(&(domain, place(b"d").0)).is_none(), "what is said about its groups has no room");
        arounds.forget(domain, groups.iter());
        assert!(!known(b"a"), "something has come in about its groups");
        era.over.store(true, Ordering::Release);
        assert!(!known(b"c"), "a certificate or a descriptor has come in");
    }
}
