//! Revocation lists at nodes that do not sign them: the issuer's own list travels, as its home gives it, verified. So what
//! is revoked there is revoked at every connected node at once; a node without a link gives the last list for as long as
//! its issuer has said that it holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::revocation::{Elsewhere, SignedList, elsewhere};
use super::{App, AppError};
use crate::x509::read_list;

/// Milliseconds after which a list is asked for again, though the log has not grown here.
const ASK_AGAIN: u64 = 1_000;
/// Milliseconds for which a peer that gave none is not asked again.
const REST: u64 = 2_000;
/// Nodes behind each other that are asked for one client.
const HOPS: u8 = 3;

/// The lists that were fetched.
#[derive(Default)]
pub(crate) struct HomeLists(Mutex<BTreeMap<(DomainName, String, u8), Arc<Place>>>);

/// One list.
#[derive(Default)]
struct Place {
    /// Held by whoever asks for it: others wait for what he gets.
    asking: tokio::sync::Mutex<()>,
    kept: Mutex<Option<Kept>>,
    failed_at: Mutex<Option<Timestamp>>,
}

#[derive(Clone)]
struct Kept {
    list: SignedList,
    /// Entries of the domain that were here when it was asked for, and when that was.
    size: u64,
    at: Timestamp,
}

impl HomeLists {
    fn place(&self, of: &Elsewhere) -> Arc<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (of.domain.clone(), of.issuer.clone(), of.shard);
        if all.len() >= limits::REVOCATION_LISTS_KEPT && !all.contains_key(&key) {
            all.clear();
        }
        Arc::clone(all.entry(key).or_default())
    }
}

impl Place {
    fn kept(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed_at(&self) -> Option<Timestamp> {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, at: Timestamp) {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    fn keep(&self, kept: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }
}

impl App {
    /// The list that an issuer has signed at the home of its domain, asked for at the node from which the domain is copied.
    /// `hops` is given by nodes: how many more may be asked, so that copies which turn to each other come to an end.
    ///
    /// # Errors
    /// When there is none that holds.
    pub async fn list_from_home(&self, of: Elsewhere, hops: Option<u8>) -> Result<SignedList, AppError> {
        let place = self.0.home_lists.place(&of);
        let holds = |app: &Self| {
            let kept = place.kept().filter(|kept| kept.list.next_update > app.clock().now());
            kept.map(|kept| kept.list).ok_or_else(elsewhere)
        };
        let _asking = match hops {
            // One of those who were asked for this very list asks back.
            Some(_) => match place.asking.try_lock() {
                Ok(asking) => asking,
                Err(_) => return holds(self),
            },
            None => place.asking.lock().await,
        };
        let now = self.clock().now();
        let is_new = |kept: &Kept| kept.size == of.size && now.millis_since(kept.at) < ASK_AGAIN;
        let has_failed = place.failed_at().is_some_and(|at| now.millis_since(at) < REST);
        if !has_failed
            && !place.kept().is_some_and(|kept| is_new(&kept))
            && let Some(further) = hops.unwrap_or(HOPS).min(HOPS).checked_sub(1)
        {
            self.fetch_list(&of, &place, further).await;
        }
        holds(self)
    }

    /// Asks for a list, and keeps it if it is the issuer's, and none that is older than what is here.
    async fn fetch_list(&self, of: &Elsewhere, place: &Place, hops: u8) {
        let Some(peer) = self.towards_home(&of.domain) else { return };
        let asked = peer.revocation_list(&of.domain, &of.issuer, of.shard, hops).await;
        let now = self.clock().now();
        let read = asked.map_err(|error| error.to_string()).and_then(|der| {
            let read = read_list(&der, &of.authority, &of.url)?;
            Ok(SignedList { der: der.into(), number: read.number, next_update: read.next_update })
        });
        match read {
            Ok(list) if place.kept().is_none_or(|kept| kept.list.number <= list.number) => {
                place.keep(Kept { list, size: of.size, at: now });
            }
            Ok(_) => tracing::warn!(domain = %of.domain, "a peer gave an older revocation list than before"),
            Err(error) => {
                place.fail(now);
                tracing::warn!(domain = %of.domain, error, "a peer gave no revocation list");
            }
        }
    }
}
