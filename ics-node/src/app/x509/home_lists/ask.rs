//! Asks the peers of a domain for its lists, one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use ics_core::limits;
use ics_core::vocabulary::DomainName;
use ics_sync::http::HttpPeer;

use super::{Elsewhere, HomeLists, Kept, NotTaken, Place};
use crate::app::App;
use crate::config::PeerName;
use crate::locked::Locked as _;
use crate::x509::read_list;

/// How long a peer that gave no list is asked only after the others.
const LAST: Duration = Duration::from_secs(60);

/// The peers that are still to be asked for a list.
type Givers = IntoIter<(PeerName, HttpPeer)>;

impl HomeLists {
    /// Notes whether a peer gave a list.
    fn has_given(&self, peer: PeerName, given: bool) {
        let mut gave_none = self.gave_none.locked();
        if given {
            gave_none.remove(&peer);
        } else {
            gave_none.insert(peer, Instant::now());
        }
    }

    /// Whether a peer has just given no list.
    fn comes_last(&self, peer: &PeerName) -> bool {
        let gave_none = self.gave_none.locked();
        gave_none.get(peer).is_some_and(|at| at.elapsed() < LAST)
    }
}

impl App {
    /// Fetches a list from the first of these peers that gives one; returns whether any did. Those behind it are left.
    pub(super) async fn fetch_list(&self, of: &Elsewhere, place: &Place, hops: u8, givers: &mut Givers) -> bool {
        let mut why = None;
        for (name, peer) in givers {
            let fetched = self.fetch_from(&peer, of, place, hops).await;
            self.0.home_lists.has_given(name, fetched.is_ok());
            match fetched {
                Ok(()) => return true,
                Err(error) => {
                    tracing::debug!(domain = %of.domain, error, "a peer gave no revocation list");
                    why = Some(error);
                }
            }
        }
        if let Some(error) = why
            && place.fail()
        {
            tracing::warn!(domain = %of.domain, error, "no peer gave a revocation list");
        }
        false
    }

    /// The peers that are asked for the lists of a domain: those from which it is copied over HTTP, and last among them
    /// those that have just given none.
    pub(super) fn givers(&self, domain: &DomainName) -> Vec<(PeerName, HttpPeer)> {
        let sources = self.peers_table().sources();
        let all = sources.get(domain).into_iter().flatten().filter_map(|peer| match peer.pulls(domain)? {
            ics_sync::Peer::Http(http) => Some((peer.config.name.clone(), http.clone())),
            ics_sync::Peer::Ldap(_) => None,
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by_cached_key(|(name, _)| self.0.home_lists.comes_last(name));
        all
    }

    /// Fetches a list from a peer, and keeps it if it is the issuer's and not older than what is here.
    ///
    /// # Errors
    /// Why none is kept, in words for the operator.
    async fn fetch_from(&self, peer: &HttpPeer, of: &Elsewhere, place: &Place, hops: u8) -> Result<(), String> {
        place.try_now();
        let asked = peer.revocation_list(&of.domain, &of.issuer, of.shard, hops).await;
        let der = asked.map_err(|error| error.to_string())?;
        let (read, now) = (read_list(&der, &of.authority, &of.url)?, self.clock().now());
        if let Err(why) = place.takes(&read, now) {
            self.alarm_of_list(of.domain.clone(), why).await;
            return Err(why.to_string());
        }
        let kept = Kept::new(&read, der, of.size, Some(Instant::now()));
        let is_other = place.kept().is_none_or(|before| before.list.number != read.number);
        let der = Arc::clone(&kept.list.der);
        let forgotten = self.0.home_lists.keep(place, kept, now, limits::REVOCATION_LISTS_BYTES);
        if is_other {
            self.store_list(of, der, forgotten).await;
        }
        Ok(())
    }

    /// Alerts the operator once: with an older list, certificates that were revoked since may be accepted elsewhere.
    async fn alarm_of_list(&self, domain: DomainName, why: NotTaken) {
        tracing::warn!(%domain, "{why}");
        let raised = self.blocking(move |app| {
            let (hosted, now) = (app.hosted(&domain)?, app.clock().now());
            Ok(app.store().alarm_once(hosted.number, now, "revocation-list", &why.to_string())?)
        });
        if let Err(error) = raised.await {
            tracing::error!(%error, "the alarm of a revocation list could not be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To wait for it takes seconds, with each of up to hundreds of lists.
    #[test]
    fn a_peer_that_gave_no_list_is_asked_after_the_others_for_a_while() {
        let lists = HomeLists::default();
        let [dead, other]: [PeerName; 2] = ["dead", "other"].map(|name| name.parse().expect("a name"));
        lists.has_given(dead.clone(), false);
        lists.has_given(other.clone(), true);
        assert!(lists.comes_last(&dead) && !lists.comes_last(&other));
        lists.has_given(dead.clone(), true);
        assert!(!lists.comes_last(&dead), "it is back");
        let earlier = Instant::now().checked_sub(LAST).expect("the machine runs for longer");
        lists.gave_none.lock().expect("no panic").insert(dead.clone(), earlier);
        assert!(!lists.comes_last(&dead), "it is tried again");
    }
}
