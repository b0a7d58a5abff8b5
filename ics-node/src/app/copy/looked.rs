//! Work done ahead of time on a page of a log (parsing, verifying signatures), while the page before it is still being
//! written.

use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::log::entry::{Entry, Header};
use ics_core::time::Timestamp;
use ics_sync::wire::{self, Page};

use crate::api::Problem;
use crate::app::admit::check::{Checked, check_bodies};

/// The checked bodies of a page, before it is known whether they stand in the home's log.
pub(crate) struct Looked {
    /// The domain under whose certificates they were verified.
    domain: Option<Arc<Domain>>,
    /// The times as of which they were verified.
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

    /// The checked bodies, if they are exactly these, all of them are good, and no certificate has changed since.
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

/// The bodies of a page that may come next, each with the time as of which, according to its header, keys are judged;
/// `None` if a header cannot be decoded.
pub(in crate::app) fn bodies_of(page: &Page) -> Option<Vec<(Vec<u8>, Timestamp)>> {
    let timed = |entry: &Entry| Some((entry.body.clone(), Header::decode(&entry.header).ok()?.keys_judged_at()));
    let whole = |entry: &wire::Entry| match entry {
        wire::Entry::Whole(entry) => Some(timed(entry)),
        wire::Entry::Hidden(_) | wire::Entry::Erased { .. } => None,
    };
    page.entries.iter().filter_map(whole).collect()
}
