//! The state of a mirror: what it resumes from, and how far it is.

use ics_core::descriptor::Descriptor;
use ics_core::log::checkpoint::Origin;
use ics_core::log::merkle::Tree;
use ics_core::time::Timestamp;

use super::{Ahead, Awaited, Doubt, Stop, Trouble};
use crate::wire::Rights;

/// What a mirror held when the last page was applied.
#[derive(Debug, Clone)]
pub struct Resume {
    /// The domain's name and entry 0.
    pub origin: Origin,
    /// The descriptor that the log has put in force.
    pub descriptor: Descriptor,
    /// The tree over all entries held.
    pub tree: Tree,
    /// Admission time of the last entry that is held whole.
    pub admitted_at: Timestamp,
    /// The note of the newest checkpoint that a page has reached.
    pub checkpoint: Option<String>,
    /// What this node may read of the domain, according to the newest page; absent if that is everything.
    pub rights: Option<Rights>,
    /// Whether something was filled in since then that has not taken effect.
    pub unsettled: bool,
    /// What peers have said is left of erased statements after that checkpoint, as far as no erasure held here
    /// confirms it.
    pub erased: Awaited,
    /// The entries of which others than the home have said whether this node may read them.
    pub doubt: Option<Doubt>,
}

/// How far a mirror is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Entries held.
    pub size: u64,
    /// Entries that the home is known to have signed.
    pub known: u64,
    /// When the home vouched that there were no more entries than those held.
    pub as_of: Option<Timestamp>,
    /// Why the newest checkpoint does not make the copy fresher, if its time is not believed.
    pub ahead: Option<Ahead>,
    /// Consecutive failures.
    pub failures: u32,
    /// What stands in the way, until the next success.
    pub trouble: Option<Trouble>,
    /// Why nothing continues any more.
    pub stopped: Option<Stop>,
    /// On whose word it rests that nothing was left out of what this node may read; absent if that is the home's.
    pub doubt: Option<Doubt>,
    /// Whether there is anything that this node may not read.
    pub is_partial: bool,
    /// Whether a second look at what is held is under way. If it is broken off, the next one begins anew.
    pub is_looking: bool,
}
