//! Deletes what is known about a certificate's contents some time after its end: a name in it may be a person's, while
//! the statement that it was issued is never erased.
//!
//! Nobody could bring the contents back, and without them a key no longer shows that its thing is asking. So no single
//! look at a clock decides: one that was ahead, even by years, and is right again has cost nothing.

use std::sync::atomic::Ordering;

use ics_core::statement::{self, Body};
use ics_core::time::Timestamp;

use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::Part;

/// How many milliseconds after it was first seen that a certificate has ended; until then it is compared with its
/// successors.
const KEPT_MILLIS: u64 = 30 * 86_400_000;
/// How many certificates of a domain are looked at in one go.
const LOOKED_AT: usize = 200;

impl App {
    /// Looks at the next certificates of each domain of this node, in a cycle: notes which of them have ended by `now`,
    /// and deletes the contents of those of which that was noted long before. Without the contents, the profile alone
    /// says which certificate succeeds which.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_certified(&self, now: Timestamp) -> Result<(), AppError> {
        let hosted = self.all_hosted();
        let mut homes = hosted.iter().filter(|hosted| hosted.part == Part::Home);
        homes.try_for_each(|hosted| self.forget_certified_in(hosted, now))
    }

    fn forget_certified_in(&self, hosted: &Hosted, now: Timestamp) -> Result<(), AppError> {
        let from = hosted.certified_from.load(Ordering::Relaxed);
        let found = self.store().certified_from(hosted.number, from, LOOKED_AT)?;
        let next = found.last().filter(|_| found.len() == LOOKED_AT).map_or(0, |(last, _)| last + 1);
        hosted.certified_from.store(next, Ordering::Relaxed);
        let (mut noted, mut over) = (Vec::new(), Vec::new());
        for (index, since) in found {
            match (self.has_ended(hosted, index, now), since) {
                // What was noted in the future comes from a clock that was ahead.
                (true, since) if since.is_none_or(|since| since > now) => noted.push((index, Some(now))),
                (true, Some(since)) if since.plus_millis(KEPT_MILLIS) <= now => over.push(index),
                (false, Some(_)) => noted.push((index, None)),
                _ => {}
            }
        }
        // An idle node writes nothing.
        if !noted.is_empty() {
            self.store().note_ended(hosted.number, noted)?;
        }
        if !over.is_empty() {
            self.store().forget_certified(hosted.number, over)?;
        }
        Ok(())
    }

    /// Whether the certificate that an entry names has ended; false for entries that cannot be read.
    fn has_ended(&self, hosted: &Hosted, index: u64, now: Timestamp) -> bool {
        let content = self.store().entry(hosted.number, index).ok().and_then(|entry| entry.content);
        let until = match content.map(|content| statement::parse(&content.body)) {
            Some(Ok(Body::Statement(said))) => said.claims().until,
            _ => None,
        };
        until.is_some_and(|until| until <= now)
    }
}
