//! What an operator is told about peers that are asked about single things, and about what is followed through them.

use std::sync::Arc;

use ics_core::log::checkpoint::Origin;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use crate::api::{Asks, FollowedBy};
use crate::app::App;
use crate::app::copy::peers::{Asking, Peer};
use crate::app::hosted::Hosted;
use crate::locked::Locked as _;
use crate::store::Part;

/// The result of the last questions to a peer about one domain.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastAsked {
    answered_at: Option<Timestamp>,
    last_error: Option<String>,
}

impl Asking {
    /// Records that a question was answered.
    pub(super) fn has_answered(&self, domain: &DomainName, at: Timestamp) {
        let last = LastAsked { answered_at: Some(at), last_error: None };
        self.last.locked().insert(domain.clone(), last);
    }

    /// Records why a question was not answered.
    pub(super) fn has_failed(&self, domain: &DomainName, why: String) {
        let mut all = self.last.locked();
        all.entry(domain.clone()).or_default().last_error = Some(why);
    }

    fn last_of(&self, domain: &DomainName) -> LastAsked {
        self.last.locked().get(domain).cloned().unwrap_or_default()
    }
}

impl App {
    /// The domains about whose things a peer is asked, and how that is going.
    pub(in crate::app) fn asks(&self, peer: &Peer) -> Vec<Asks> {
        let Some(asking) = peer.asking() else { return Vec::new() };
        let of = |origin: &Origin| {
            let LastAsked { answered_at, last_error } = asking.last_of(&origin.domain);
            let seen = self.store().witnessed(origin).ok().flatten().map_or(0, |seen| seen.size);
            let followed_by = self.followers_without_a_copy(&origin.domain);
            Asks { domain: origin.domain.clone(), seen, answered_at, last_error, followed_by }
        };
        peer.config.roam.iter().map(of).collect()
    }

    fn followers_without_a_copy(&self, source: &DomainName) -> Vec<FollowedBy> {
        if self.hosted(source).is_ok() {
            return Vec::new();
        }
        let follows = |hosted: &Arc<Hosted>| {
            let followed = self.store().followed(hosted.number).unwrap_or_default();
            hosted.part == Part::Home && followed.iter().any(|following| following.source == *source)
        };
        let told = |hosted: Arc<Hosted>| {
            let last_error = self.in_the_way(&hosted, source);
            FollowedBy { domain: hosted.name.clone(), last_error }
        };
        self.all_hosted().into_iter().filter(follows).map(told).collect()
    }
}
