//! What an operator is told about peers that are asked about single things, and about what is followed through them.

use std::sync::Arc;

use ics_core::log::checkpoint::Origin;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use crate::api::{Asks, FollowedBy};
use crate::app::copy::peers::{Asking, Peer};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::locked::Locked as _;
use crate::store::{Alarm, Part};

/// How many alarms are searched for one that says the same.
const ALARMS_LOOKED: usize = 1_000;

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
    /// Raises an alarm about what a peer answers, unless one is kept that says the same with whatever numbers: a peer
    /// that lags does so with each answer, and would displace all other alarms within months.
    pub(super) fn alarm_of_answer(&self, sort: &str, about: &str, why: &str) -> Result<(), AppError> {
        let without_numbers = |text: &str| text.replace(|character: char| character.is_ascii_digit(), "");
        let says_the_same = |alarm: &Alarm| {
            let said = alarm.text.strip_prefix(about).filter(|_| alarm.kind == sort);
            said.is_some_and(|said| without_numbers(said) == without_numbers(why))
        };
        if self.store().alarms(None, ALARMS_LOOKED)?.iter().any(says_the_same) {
            return Ok(());
        }
        Ok(self.store().alarm(None, self.clock().now(), sort, &format!("{about}{why}"))?)
    }

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

#[cfg(test)]
mod tests {
    use crate::fixture::Party;

    #[tokio::test(flavor = "multi_thread")]
    async fn of_a_peer_that_lags_with_each_answer_there_is_one_alarm() {
        let site = Party::found("plant.example");
        let app = site.open();
        let kept = || app.store().alarms(None, 100).expect("alarms").len();
        let before = kept();
        let (one, other) = ("`relay1` was asked: ", "`relay2` was asked: ");
        for (sort, about, why, alarms) in [
            ("roaming-refused", one, "its answer is of 7 entries, of which 9 were seen", 1),
            ("roaming-refused", one, "its answer is of 8 entries, of which 12 were seen", 1),
            ("roaming-refused", one, "it leaves something out", 2),
            ("roaming-refused", other, "its answer is of 7 entries, of which 9 were seen", 3),
            ("fork", one, "its answer is of 7 entries, of which 9 were seen", 4),
            ("fork", one, "its answer is of 9 entries, of which 9 were seen", 4),
        ] {
            tokio::task::block_in_place(|| app.alarm_of_answer(sort, about, why)).expect("kept");
            assert_eq!(kept() - before, alarms, "{sort} {about} {why}");
        }
    }
}
