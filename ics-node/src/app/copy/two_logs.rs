//! When a mirror has stopped at a contradiction, finds out whether the home has signed two different logs. Only the
//! home's own signatures count as proof; a peer could have made up anything else.

use core::time::Duration;
use std::sync::Arc;

use ics_core::limits;
use ics_core::log::Hash;
use ics_core::log::checkpoint::Checkpoint;
use ics_core::log::merkle::{ProofError, Tree, leaf_hash, verify_consistency};
use ics_sync::carried::Wanted;
use ics_sync::mirror::Stop;
use ics_sync::wire::Page;
use tokio::time::timeout;

use super::peers::Peer;
use crate::app::App;
use crate::app::hosted::Hosted;
use crate::store::StoreError;

/// How long to wait for a peer; until then nobody is told that the mirror has stopped.
const PATIENCE: Duration = Duration::from_secs(5);

impl App {
    /// Whether the reason for which a mirror has stopped is a fork. Two roots for one size are. Entries that do not
    /// lead to what the home signed may have been made up by the peer that showed them: it is asked how the home's
    /// newer log begins.
    pub(super) async fn is_fork(&self, hosted: &Arc<Hosted>, peer: Option<&Peer>, stop: &Stop) -> bool {
        match (stop, peer) {
            (Stop::Fork { .. }, _) => true,
            (Stop::Unproven { theirs, .. }, Some(peer)) => {
                let asked = self.begins_otherwise(hosted, peer, covered(stop), theirs);
                timeout(PATIENCE, asked).await.ok().flatten().unwrap_or(false)
            }
            _ => false,
        }
    }

    /// Whether the log of the checkpoint `theirs` begins differently from as much of the one held here as a checkpoint
    /// covers, by a consistency proof from the peer; `None` if that proves nothing. The signatures of both checkpoints
    /// were verified when they came.
    async fn begins_otherwise(
        &self,
        hosted: &Arc<Hosted>,
        peer: &Peer,
        covered: Option<u64>,
        theirs: &str,
    ) -> Option<bool> {
        let (size, theirs) = (provable(covered?)?, claimed(theirs)?);
        let Some(ics_sync::Peer::Http(http)) = peer.pulls(&hosted.name) else { return None };
        let proof = http.consistency(&hosted.name, size, theirs.size).await.ok()?;
        let proof: Vec<Hash> = proof.into_iter().map(|hash| Hash(hash.0)).collect();
        let number = hosted.number;
        let root = self.blocking(move |app| Ok(app.store().root_at(number, size)?)).await.ok()?;
        Some(verify_consistency(size, &root, theirs.size, &theirs.root, &proof) == Err(ProofError::OldRoot))
    }
}

/// The log to which a bundle leads, read from its first entry on to see how it begins: a bundle cannot be asked for a
/// proof, but it has the entries. None of them is stored.
#[derive(Debug)]
pub(crate) struct OtherLog {
    /// Why the copy has stopped.
    stop: Stop,
    /// How many of the entries held here a checkpoint covers, and their root.
    covered: u64,
    root: Hash,
    /// The checkpoint that contradicts it, which was verified when it came.
    theirs: Checkpoint,
    tree: Tree,
}

impl OtherLog {
    /// The other log after a mirror has stopped because entries did not lead to a checkpoint, if there is anything to
    /// compare it with. `root_at` gives the root of as many entries as are held here.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn of(
        stop: &Stop,
        root_at: impl FnOnce(u64) -> Result<Hash, StoreError>,
    ) -> Result<Option<Self>, StoreError> {
        let Stop::Unproven { theirs, .. } = stop else { return Ok(None) };
        let Some((covered, theirs)) = covered(stop).zip(claimed(theirs)) else { return Ok(None) };
        Ok(Some(Self { covered, root: root_at(covered)?, theirs, tree: Tree::new(), stop: stop.clone() }))
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted::Page { from: self.tree.size(), limit: limits::FEED_ENTRIES, until: self.theirs.size }
    }

    /// Reads the next page. Returns whether this is another log than the one held here; `None` while more of it is
    /// needed. A log that does not lead to the home's checkpoint shows nothing.
    pub(super) fn read(&mut self, page: &Page) -> Option<bool> {
        if page.from != self.tree.size() || page.entries.is_empty() {
            return Some(false);
        }
        let mut begins = None;
        for entry in &page.entries {
            self.tree.push(leaf_hash(&entry.leaf_data()));
            if self.tree.size() == self.covered {
                begins = Some(self.tree.root());
            }
        }
        drop(self.tree.take_full_tiles());
        let proof: Vec<Hash> = page.proof.iter().map(|hash| Hash(hash.0)).collect();
        let Checkpoint { size, root, .. } = &self.theirs;
        match verify_consistency(self.tree.size(), &self.tree.root(), *size, root, &proof) {
            Ok(()) => begins.map(|begins| begins != self.root),
            Err(_) => Some(false),
        }
    }

    /// Why the copy has stopped, now that it is known whether the home has signed two logs.
    pub(super) fn into_stop(self, is_fork: bool) -> Stop {
        match self.stop {
            Stop::Unproven { ours, theirs, .. } if is_fork => Stop::Fork { size: self.covered, ours, theirs },
            stop => stop,
        }
    }
}

/// How many of the entries held where a mirror has stopped are covered by a checkpoint that it had verified before.
fn covered(stop: &Stop) -> Option<u64> {
    let Stop::Unproven { from, ours: Some(ours), .. } = stop else { return None };
    Some(claimed(ours)?.size.min(*from)).filter(|covered| *covered > 0)
}

fn claimed(note: &str) -> Option<Checkpoint> {
    Checkpoint::claimed(note).ok()
}

/// The largest size up to this one from which a consistency proof shows by itself how the log begins. A proof from a
/// complete tree leaves out that tree's root.
fn provable(size: u64) -> Option<u64> {
    let size = if size.is_power_of_two() { size - 1 } else { size };
    (size > 0 && !size.is_power_of_two()).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_asked_for_from_where_it_shows_the_beginning() {
        let sizes = [0, 1, 2, 3, 4, 5, 8, 9, 1 << 40].map(provable);
        assert_eq!(sizes, [None, None, None, Some(3), Some(3), Some(5), Some(7), Some(9), Some((1 << 40) - 1)]);
    }
}
