//! Work done ahead on a page of a log (parsing, verifying signatures) while the page before it is still being written.

use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::log::entry::{Entry, Header};
use ics_core::time::Timestamp;
use ics_sync::wire::{self, Page};

use crate::api::Problem;
use crate::app::admit::check::{Checked, check_bodies};

/// What the bodies of a page say, before it is known whether they stand in the home's log.
pub(crate) struct Looked {
    /// The domain under whose certificates they were verified.
    domain: Option<Arc<Domain>>,
    /// The times as of which each was verified.
    times: Vec<Timestamp>,
    checked: Vec<Result<Checked, Problem>>,
}

impl Looked {
    pub(in crate::app) fn through(
        domain: Option<Arc<Domain>>,
        bodies: Vec<(Vec<u8>, Timestamp)>,
        seed: [u8; 32],
    ) -> Self {
        let times = bodies.iter().map(|(_, at)| *at).collect();
        let checked = check_bodies(domain.as_deref(), bodies, seed);
        Self { domain, times, checked }
    }

    /// What they say, if it was these that were looked through, all of them are good, and nobody's certificate has changed
    /// since.
    pub(in crate::app) fn of(
        self,
        domain: Option<&Domain>,
        bodies: &[(&[u8], Timestamp)],
    ) -> Option<Vec<Result<Checked, Problem>>> {
        let same_certificates = match (self.domain.as_deref(), domain) {
            (Some(then), Some(now)) => now.has_certificates_of(then),
            _ => false,
        };
        let good =
            self.checked.iter().map_while(|checked| checked.as_ref().ok().map(|checked| checked.body.as_slice()));
        let same_bodies = good.zip(self.times).eq(bodies.iter().copied());
        (same_certificates && same_bodies).then_some(self.checked)
    }
}

/// The bodies of a page that may be the next, each with the time as of which its header says that keys are judged; `None`
/// where one cannot be read.
pub(in crate::app) fn bodies_of(page: &Page) -> Option<Vec<(Vec<u8>, Timestamp)>> {
    let timed = |entry: &Entry| Some((entry.body.clone(), Header::decode(&entry.header).ok()?.keys_judged_at()));
    let whole = |entry: &wire::Entry| match entry {
        wire::Entry::Whole(entry) => Some(timed(entry)),
        wire::Entry::Hidden(_) | wire::Entry::Erased { .. } => None,
    };
    page.entries.iter().filter_map(whole).collect()
}
