//! The interface by which a mirror's driver hands verified entries to a node.

use std::sync::Arc;

use ics_core::log::Hash;

use crate::mirror::{Fill, Seen, Survey, VerifiedPage};
use crate::wire::Page;

/// Takes the verified entries of a mirror.
pub trait Applier {
    /// Stores the entries of a page durably, its checkpoint with the last of them, and lets those take effect that the
    /// domain's policy admits. The others stay in the log without effect, and are alarmed.
    ///
    /// # Errors
    /// With what went wrong, in words, when the page was not stored; it comes again later. Where a part of it was, that
    /// does not help: then the mirror is to be begun anew, from what is held.
    fn apply(&mut self, page: &Arc<VerifiedPage>) -> impl Future<Output = Result<(), String>> + Send;

    /// Starts examining a page that probably comes soon while another is applied, given the index of its first entry.
    /// Nothing of it is proven yet, and it may never be applied: the result may only be used to save time.
    fn ahead(&self) -> impl Fn(u64, &Page) + Send + use<Self> {
        |_, _| {}
    }

    /// The root of the first `size` entries held.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn root_at(&mut self, size: u64) -> impl Future<Output = Result<Hash, String>> + Send;

    /// What is held of the entries that a survey means: the next of them in ascending order, as many as fit a page.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn survey(&mut self, survey: &Survey) -> impl Future<Output = Result<Vec<Seen>, String>> + Send;

    /// Durably stores entries that were hidden. They take effect all together with the next page, and none before.
    ///
    /// # Errors
    /// With what went wrong, in words, when nothing of it was stored; also where it is to be tested what is said to be
    /// erased ([`Fill::tested`]), and no erasure that is held says the same.
    fn fill(&mut self, fill: &Fill) -> impl Future<Output = Result<(), String>> + Send;
}
