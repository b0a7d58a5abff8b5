//! Deletes what is known about a certificate's contents some time after its end: a name in it may be a person's, while
//! the statement that it was issued is never erased.
//!
//! Nobody could bring the contents back, and without them a key no longer shows that its thing is asking. So no single
//! look at a clock decides, but the days that the node has seen (`store::days`): one that is ahead for a while, even by
//! years, costs nothing. Until then a certificate is compared with its successors.

use std::sync::atomic::{AtomicU64, Ordering};

use ics_core::statement::{self, Body};
use ics_core::time::Timestamp;

use crate::app::hosted::Hosted;
use crate::app::{App, AppError, random};

/// How many certificates of a domain are looked at in one go.
const LOOKED_AT: usize = 200;

impl App {
    /// Lets a look that goes round the certificates of each domain begin anywhere, by the place where it is kept. A node
    /// that is restarted often would otherwise look only at the first certificates of a large domain.
    pub(in crate::app) fn begin_anywhere(&self, place: impl Fn(&Hosted) -> &AtomicU64) {
        for hosted in self.all_hosted() {
            let size = hosted.domain().map_or(0, |domain| domain.size());
            if let (Ok(bytes), 1..) = (random(), size) {
                place(&hosted).store(u64::from_le_bytes(bytes) % size, Ordering::Relaxed);
            }
        }
    }

    /// Looks at the next certificates of each domain of this node, in a cycle, and deletes the contents of those that
    /// are over for long. Without the contents, the profile alone says which certificate succeeds which.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_certified(&self, now: Timestamp) -> Result<(), AppError> {
        let homes = self.homes();
        let before = if homes.is_empty() { None } else { self.store().long_ago(now)? };
        let Some(before) = before else { return Ok(()) };
        homes.iter().try_for_each(|hosted| self.forget_certified_in(hosted, before))
    }

    fn forget_certified_in(&self, hosted: &Hosted, before: Timestamp) -> Result<(), AppError> {
        let from = hosted.certified_from.load(Ordering::Relaxed);
        let found = self.store().certified_from(hosted.number, from, LOOKED_AT)?;
        let next = found.last().filter(|_| found.len() == LOOKED_AT).map_or(0, |last| last + 1);
        hosted.certified_from.store(next, Ordering::Relaxed);
        let over: Vec<u64> = found.into_iter().filter(|index| self.has_ended(hosted, *index, before)).collect();
        if over.is_empty() { Ok(()) } else { Ok(self.store().forget_certified(hosted.number, over)?) }
    }

    /// Whether the certificate that an entry names ended before a time; false for entries that cannot be read.
    fn has_ended(&self, hosted: &Hosted, index: u64, before: Timestamp) -> bool {
        let content = self.store().entry(hosted.number, index).ok().and_then(|entry| entry.content);
        let until = match content.map(|content| statement::parse(&content.body)) {
            Some(Ok(Body::Statement(said))) => said.claims().until,
            _ => None,
        };
        until.is_some_and(|until| until < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Party, device};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_look_that_goes_round_begins_elsewhere_after_a_restart() {
        let maker = Party::found("devices.acme.example");
        let app = maker.open();
        for seed in 1..4 {
            maker.publish(&app, &device(seed), &format!("urn:dev:os:32473-{seed}"), "L1").await;
        }
        let hosted = app.hosted(&maker.domain).expect("here");
        let size = hosted.domain().expect("founded").size();
        let begins = || {
            app.begin_anywhere(|hosted| &hosted.certified_from);
            hosted.certified_from.load(Ordering::Relaxed)
        };
        let all: std::collections::BTreeSet<u64> = (0..200).map(|_| begins()).collect();
        assert!(all.len() > 1 && all.iter().all(|from| *from < size), "{all:?} of {size}");
    }
}
