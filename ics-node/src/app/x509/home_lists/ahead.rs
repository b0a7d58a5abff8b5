//! Fetches the lists of copied domains before anybody asks: when the first question comes, the node may be
//! disconnected.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::limits;
use ics_core::time::Timestamp;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::files::name;
use super::{Elsewhere, HOPS, HomeLists, Place, key_of};
use crate::app::home::heartbeat::stopped;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::locked::Locked as _;
use crate::store::{DomainNumber, Part};

/// How often to check whether a list is missing.
const LOOK: Duration = Duration::from_secs(5);
/// How long a peer is not asked again for a list that nobody asks for.
const AGAIN: Duration = Duration::from_secs(60);

impl HomeLists {
    /// Whether another list certainly displaces none, with `most` bytes for all of them.
    pub(super) fn has_room(&self, most: usize) -> bool {
        let length = |place: &Arc<Place>| Some(place.kept()?.list.der.len());
        let lengths: Vec<usize> = self.places().values().filter_map(length).collect();
        lengths.iter().sum::<usize>() < most && lengths.len() < limits::REVOCATION_LISTS
    }
}

impl Place {
    pub(super) fn try_now(&self) {
        *self.tried_at.locked() = Some(Instant::now());
    }

    /// Whether it should be fetched although nobody asks, at a node with this many entries of the domain.
    pub(super) fn is_due(&self, size: u64, now: Timestamp) -> bool {
        let tried_at = *self.tried_at.locked();
        let is_tried = tried_at.is_some_and(|at| at.elapsed() < AGAIN);
        !is_tried && self.kept().is_none_or(|kept| kept.at.is_none() || kept.size != size || kept.renew_at <= now)
    }
}

impl App {
    /// Fetches the lists of copied domains, until `stop` becomes true.
    pub async fn fetch_lists(self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut swept = BTreeSet::new();
        let swept_domains = self.blocking(|app| {
            let here: BTreeSet<String> = app.all_hosted().iter().map(|hosted| hosted.name.to_string()).collect();
            Ok(app.store().sweep_domains_of_lists(|name| here.contains(name))?)
        });
        if let Err(error) = swept_domains.await {
            tracing::warn!(%error, "revocation lists of domains that are not here any more stay");
        }
        loop {
            let look = async {
                ticks.tick().await;
                self.fetch_due_lists(&mut swept).await;
            };
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = look => {}
            }
        }
    }

    async fn fetch_due_lists(&self, swept: &mut BTreeSet<DomainNumber>) {
        let copies = self.all_hosted().into_iter().filter(|hosted| hosted.part == Part::Mirror);
        for hosted in copies {
            let (copy, sweeps) = (Arc::clone(&hosted), !swept.contains(&hosted.number));
            // For a copy that is still arriving, or is damaged, nobody knows which lists there are.
            let Ok(lists) = self.blocking(move |app| app.named_lists(&copy, sweeps)).await else { continue };
            swept.insert(hosted.number);
            for of in lists {
                // A peer that provides none, or cannot be reached, is not asked for all the others as well.
                if !self.fetch_ahead(&of).await {
                    break;
                }
            }
        }
    }

    /// The lists of a copied domain. Files of lists that it no longer has are deleted.
    fn named_lists(&self, hosted: &Hosted, sweeps: bool) -> Result<Vec<Elsewhere>, AppError> {
        let lists = self.lists_of_copy(hosted)?;
        if sweeps {
            let names: BTreeSet<String> = lists.iter().map(|of| name(&of.issuer, of.shard)).collect();
            self.store().sweep_lists(&hosted.name, |name| names.contains(name))?;
        }
        Ok(lists)
    }

    /// Fetches a list if it is due and there is room for it; false if the peer did not provide one.
    async fn fetch_ahead(&self, of: &Elsewhere) -> bool {
        let lists = &self.0.home_lists;
        let place = lists.find(key_of(of));
        let _asking = place.asking.lock().await;
        self.recall(of, &place).await;
        let has_room = place.kept().is_some() || lists.has_room(limits::REVOCATION_LISTS_BYTES);
        if !has_room || !place.is_due(of.size, self.clock().now()) {
            return true;
        }
        let mut givers = self.givers(&of.domain).into_iter();
        let mut has_come = self.fetch_list(of, &place, HOPS - 1, &mut givers).await;
        // Another peer may know more: what is kept now may have to last for long.
        while has_come && !givers.as_slice().is_empty() && self.whole_list(of, &place).await.is_err() {
            has_come = self.fetch_list(of, &place, HOPS - 1, &mut givers).await;
        }
        !place.rests()
    }
}
