//! The interface by which a mirror's driver hands verified entries to a node.

use std::sync::Arc;

use ics_core::log::Hash;

use crate::mirror::{Fill, Seen, Survey, VerifiedPage};
use crate::wire::Page;

/// What takes the verified entries of a mirror.
pub trait Applier {
    /// Stores the entries of a page durably, its checkpoint with the last of them, and lets those take effect that the
    /// domain's policy admits. The others stay in the log without effect, and are alarmed.
    ///
    /// # Errors
    /// With what went wrong, in words, when the page was not stored; it comes again later. Where a part of it was, that
    /// does not help: then the mirror is to be begun anew, from what is held.
    fn apply(&mut self, page: &Arc<VerifiedPage>) -> impl Future<Output = Result<(), String>> + Send;

    /// Begins to look through a page that probably comes soon, while another is applied: given the index of its first
    /// entry. Nothing of it is proven yet, and it may never be applied: what is found out so is good for saving time, and for
    /// nothing else.
    fn ahead(&self) -> impl Fn(u64, &Page) + Send + use<Self> {
        |_, _| {}
    }

    /// Which root the first so many of the entries held have.
    ///
    /// # Errors
    /// With what went wrong, in words.
    fn root_at(&mut self, size: u64) -> impl Future<Output = Result<Hash, String>> + Send;

    /// What is held of the entries that a survey means: the next of them, in ascending order, as many as fit a page.
    ///
    /// # Errors
    /// With what went wrong, in words.
    fn survey(&mut self, survey: &Survey) -> impl Future<Output = Result<Vec<Seen>, String>> + Send;

    /// Stores entries that were hidden durably. None of them takes effect before the next page does, and then all do.
    ///
    /// # Errors
    /// With what went wrong, in words, when nothing of it was stored; also where something is said to be erased of which no
    /// erasure that is held says the same.
    fn fill(&mut self, fill: &Fill) -> impl Future<Output = Result<(), String>> + Send;
}
