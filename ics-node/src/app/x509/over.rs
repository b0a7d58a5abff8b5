//! Deletes what is known about a certificate's contents some time after its end: a name in it may be a person's, while
//! the statement that it was issued is never erased.

use std::sync::atomic::Ordering;

use ics_core::statement::{self, Body};
use ics_core::time::Timestamp;

use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::Part;

/// How many milliseconds after a certificate's end: until then it is compared with its successors.
const KEPT_MILLIS: u64 = 30 * 86_400_000;
/// How many certificates of a domain are looked at in one go.
const LOOKED_AT: usize = 200;

impl App {
    /// Looks at the next certificates of each domain of this node, in a cycle, and deletes the contents of those that
    /// ended long before `now`. Without the contents, the profile alone says which certificate succeeds which.
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
        let next = found.last().filter(|_| found.len() == LOOKED_AT).map_or(0, |last| last + 1);
        hosted.certified_from.store(next, Ordering::Relaxed);
        let over: Vec<u64> = found.into_iter().filter(|index| self.is_long_over(hosted, *index, now)).collect();
        if over.is_empty() { Ok(()) } else { Ok(self.store().forget_certified(hosted.number, over)?) }
    }

    /// Whether the certificate that an entry names ended long ago; false for entries that cannot be read.
    fn is_long_over(&self, hosted: &Hosted, index: u64, now: Timestamp) -> bool {
        let content = self.store().entry(hosted.number, index).ok().and_then(|entry| entry.content);
        let until = match content.map(|content| statement::parse(&content.body)) {
            Some(Ok(Body::Statement(said))) => said.claims().until,
            _ => None,
        };
        until.is_some_and(|until| until.plus_millis(KEPT_MILLIS) <= now)
    }
}
