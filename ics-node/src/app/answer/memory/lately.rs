//! The statements about a few identities: one for which a certificate is ordered is read at the order, and again a
//! moment later when the certificate is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ics_core::record::Logged;
use quick_cache::sync::Cache;

use super::{At, Era, Place};
use crate::store::{DomainNumber, Key};

/// For how many identities statements are kept.
const IDENTITIES: usize = 512;

/// Bounded in number: a record has at most [`ics_core::limits::RECORD_STATEMENTS`] statements, and usually few.
pub(crate) struct Lately(Cache<At, Arc<About>>);

/// All statements about an identity.
struct About {
    rest: u64,
    era: Arc<Era>,
    /// Whether it is certain that nothing has come in since it was read.
    is_confirmed: AtomicBool,
    statements: Vec<Logged>,
}

impl Default for Lately {
    fn default() -> Self {
        Self(Cache::new(IDENTITIES))
    }
}

impl Lately {
    /// The statements about an identity, if they are kept.
    pub(crate) fn recall(&self, domain: DomainNumber, (key, rest): Place) -> Option<Vec<Logged>> {
        let holds = |about: &Arc<About>| {
            about.rest == rest && about.is_confirmed.load(Ordering::Acquire) && !about.era.is_over()
        };
        self.0.get(&(domain, key)).filter(holds).map(|about| about.statements.clone())
    }

    /// Keeps what was read when the log had `size` entries, unless something has come in since.
    pub(crate) fn keep(&self, domain: DomainNumber, (key, rest): Place, statements: &[Logged], at: (&Arc<Era>, u64)) {
        let (era, size) = at;
        let is_confirmed = AtomicBool::new(false);
        let about = Arc::new(About { rest, era: Arc::clone(era), is_confirmed, statements: statements.to_vec() });
        self.0.insert((domain, key), Arc::clone(&about));
        // As in `Memory::keep`.
        if era.reaches(size) {
            about.is_confirmed.store(true, Ordering::Release);
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
    use super::*;

    #[test]
    fn what_is_kept_ends_with_the_next_entry_about_it() {
        let (lately, era) = (Lately::default(), Arc::new(Era::default()));
        let domain = DomainNumber::new(1).expect("a number");
        let place = |name: &[u8]| Key::with_rest(name);
        era.upto.store(10, Ordering::Release);
        lately.keep(domain, place(b"a"), &[], (&era, 10));
        lately.keep(domain, place(b"b"), &[], (&era, 9));
        let known = |name: &[u8]| lately.recall(domain, place(name)).is_some();
        assert!(known(b"a") && !known(b"b"), "the one that was read before the last news may lack it");
        lately.forget(domain, [place(b"b").0].iter());
        assert!(known(b"a"));
        lately.forget(domain, [place(b"a").0].iter());
        assert!(!known(b"a"));
        lately.keep(domain, place(b"a"), &[], (&era, 10));
        era.over.store(true, Ordering::Release);
        assert!(!known(b"a"), "a certificate or a descriptor has come in");
    }
}
