//! Following: a domain of this node takes over by itself what another domain says later of things that it has adopted.
//!
//! The source is read here, from this node's copy of it. Whether it may be followed the source's own descriptor says, by
//! the one decision function; whether what it says is taken, the descriptor of the domain that follows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::record::{Logged, Posting, Record, candidate_groups};
use ics_core::statement::Subject;
use ics_core::vocabulary::{Attribute, DomainName};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::entries::{about, find_logged, restore};
use super::heartbeat::stopped;
use super::hosted::Hosted;
use super::read::Sight;
use super::{App, AppError};
use crate::api::{AdoptionRequest, AdoptionResult, FollowInfo};
use crate::store::{Following, Part};

/// How often it is looked whether a source has news.
const TICK: Duration = Duration::from_millis(250);

/// A choice by attributes: whatever has both, if both are given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lot: Option<String>,
}

impl Choice {
    fn fits(&self, record: &Record) -> bool {
        let has = |attribute: Attribute, wanted: &Option<String>| {
            let given = record.attributes.get(&attribute);
            wanted.as_ref().is_none_or(|wanted| given.is_some_and(|all| all.iter().any(|one| one.value == *wanted)))
        };
        has(Attribute::Model, &self.model) && has(Attribute::Lot, &self.lot)
    }
}

/// What a request chooses, as it is kept.
pub(super) fn kept(request: &AdoptionRequest, ids: &BTreeSet<IdentityId>) -> Result<Vec<String>, AppError> {
    let mut what: Vec<String> = ids.iter().map(ToString::to_string).collect();
    if request.model.is_some() || request.lot.is_some() {
        let choice = Choice { model: request.model.clone(), lot: request.lot.clone() };
        let json = serde_json::to_string(&choice);
        what.push(json.map_err(|error| AppError::Internal(format!("a choice has no JSON form: {error}")))?);
    }
    Ok(what)
}

impl App {
    /// Takes over what followed domains say, until `stop` says true.
    pub async fn follow_sources(self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => {}
            }
            let app = self.clone();
            // What was cut off is followed from the same place again.
            let _ = crate::background::spawn(move || app.follow_once()).await;
            self.follow_elsewhere().await;
        }
    }

    /// Takes over what is new in the domains that those of this node follow.
    pub fn follow_once(&self) {
        for target in self.all_hosted().into_iter().filter(|hosted| hosted.part == Part::Home) {
            let followed = self.store().followed(target.number).unwrap_or_default();
            for following in followed {
                if self.elsewhere(&following.source).is_some() {
                    continue;
                }
                let took = self.follow_source(&target, &following);
                if let Err(error) = &took {
                    tracing::warn!(domain = %target.name, source = %following.source, %error, "it is not followed");
                }
                target.set_follow_error(&following.source, took.err().map(|error| error.to_string()));
            }
        }
    }

    /// Takes over what is new in one source: some pages of its log, until there are no more.
    fn follow_source(&self, target: &Arc<Hosted>, following: &Following) -> Result<(), AppError> {
        let source = self.hosted(&following.source)?;
        let mut upto = following.upto;
        loop {
            let sight = self.sight(&source)?;
            // What is not whole yet comes with the next look.
            if upto >= sight.seal.size || !sight.is_whole() {
                return Ok(());
            }
            let page = self.store().entries(source.number, upto, limits::FEED_ENTRIES, limits::FEED_BYTES)?;
            let end = page.last().map_or(upto, |last| last.index + 1).min(sight.seal.size);
            let mut things = BTreeSet::new();
            for entry in page.iter().filter(|entry| entry.index < end) {
                if let Some(statement) = restore(&sight.domain, entry)?.filter(|statement| !statement.is_refused()) {
                    self.concerned(target, &sight, following, &statement, &mut things)?;
                }
            }
            self.take_over(target, &sight, &things, upto)?;
            self.store().follow_upto(target.number, &following.source, end)?;
            upto = end;
        }
    }

    /// The followed things that a statement concerns: its subject, or members of it if that is a group.
    fn concerned(
        &self,
        target: &Hosted,
        sight: &Sight<'_>,
        following: &Following,
        statement: &Logged,
        things: &mut BTreeSet<IdentityId>,
    ) -> Result<(), AppError> {
        let id = statement.subject_id();
        if self.follows(target, sight, following, &id)? {
            things.insert(id);
        }
        let (Subject::Group(group), IdentityId::Group(named)) = (statement.subject(), &id) else { return Ok(()) };
        // What fewest things share comes last in the order of the vocabulary: the lot behind the model and the maker.
        let mut selecting = group.attributes.iter().filter(|(attribute, _)| Attribute::SELECTING.contains(attribute));
        let by_value = selecting.next_back().map(|(attribute, value)| Posting::Attribute(*attribute, value.clone()));
        let selector = group.selector_key();
        for posting in core::iter::once(Posting::Member(*named)).chain(by_value) {
            let members = find_logged(&sight.entries, &sight.domain, &posting, limits::RECORD_STATEMENTS)?;
            for member in members.iter().map(Logged::subject_id).collect::<BTreeSet<_>>() {
                if member == id || things.contains(&member) || !self.follows(target, sight, following, &member)? {
                    continue;
                }
                let groups = candidate_groups(&about(&sight.entries, &sight.domain, &member)?);
                let selects = selector.is_some_and(|selector| groups.selectors.contains(&selector));
                // One member is enough: with it all is taken that is said of the group.
                if groups.named.contains(named) || selects {
                    things.insert(member);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether a domain follows a thing: it is named, or has what is followed; and the source lets it be followed.
    fn follows(
        &self,
        target: &Hosted,
        sight: &Sight<'_>,
        following: &Following,
        id: &IdentityId,
    ) -> Result<bool, AppError> {
        let named = self.store().is_followed(target.number, &following.source, &id.to_string())?;
        if !named && following.choices.is_empty() {
            return Ok(false);
        }
        let Some((record, _)) = self.resolve(sight, id)? else { return Ok(false) };
        let mut choices = following.choices.iter().filter_map(|choice| serde_json::from_str::<Choice>(choice).ok());
        let chosen = named || choices.any(|choice| choice.fits(&record));
        let Some(domain) = target.domain().filter(|_| chosen) else { return Ok(false) };
        Ok(self.may_follow(&domain, &sight.domain, &record))
    }

    /// Takes over everything that is said of these things; what is new and is not admitted is alarmed.
    fn take_over(
        &self,
        target: &Arc<Hosted>,
        sight: &Sight<'_>,
        things: &BTreeSet<IdentityId>,
        new_from: u64,
    ) -> Result<(), AppError> {
        let all = self.entries_about(sight, things)?;
        let (old, new): (Vec<u64>, Vec<u64>) = all.into_iter().partition(|index| *index < new_from);
        for (indices, alarms) in [(old, false), (new, true)] {
            let mut result = AdoptionResult::default();
            for some in indices.chunks(limits::BATCH_STATEMENTS) {
                let entries = self.store().entries_at(sight.hosted.number, some)?;
                self.take(target, self.prove(sight.hosted, entries)?, &mut result)?;
            }
            for problem in result.refused.iter().filter(|_| alarms) {
                let text = format!("{}: {}", sight.hosted.name, problem.detail);
                self.store().alarm(Some(target.number), self.clock().now(), "not-taken-over", &text)?;
            }
        }
        Ok(())
    }

    /// What a domain follows, and how that goes.
    pub(crate) fn follow_infos(&self, hosted: &Hosted) -> Result<Vec<FollowInfo>, AppError> {
        let info = |following: Following| {
            let size = self.hosted(&following.source).ok().and_then(|source| self.seal(&source).ok());
            let behind = size.map_or(0, |seal| seal.size.saturating_sub(following.upto));
            let chosen = following.choices.iter().filter_map(|choice| serde_json::from_str::<Choice>(choice).ok());
            let word = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
            let choice = |choice: Choice| {
                let words = [word("model", &choice.model), word("lot", &choice.lot)];
                words.into_iter().flatten().collect::<Vec<_>>().join(", ")
            };
            FollowInfo {
                last_error: hosted.follow_error(&following.source),
                choices: chosen.map(choice).collect(),
                source: following.source,
                identities: following.identities,
                lag_entries: behind,
            }
        };
        Ok(self.store().followed(hosted.number)?.into_iter().map(info).collect())
    }

    /// Begins or ends to follow what a request chooses.
    pub(super) fn set_follow(
        &self,
        target: &Hosted,
        source: &DomainName,
        what: Vec<String>,
        follows: bool,
        upto: u64,
    ) -> Result<(), AppError> {
        if follows {
            self.store().follow(target.number, source, what, upto)?;
        } else {
            self.store().unfollow(target.number, source, what)?;
        }
        Ok(())
    }
}
