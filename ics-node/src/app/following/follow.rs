//! Following: a domain of this node automatically takes over what another domain later says about things that it has
//! adopted.
//!
//! The source is read from this node's copy of it. The source's own descriptor, through the one decision function, says
//! whether it may be followed; the descriptor of the following domain says whether what the source says is admitted.

use core::ops::Range;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::name::Lookup;
use ics_core::statement::openpgp_key_of;
use ics_core::vocabulary::DomainName;
use ics_sync::wire::Choice;
use tokio::sync::watch;

use super::adopt::{About, Taken};
use super::concern::Wanted;
use crate::api::problem::Code;
use crate::api::{AdoptionRequest, AdoptionResult};
use crate::app::answer::read::{Sight, parse};
use crate::app::entries::{certificate_of, restore};
use crate::app::home::heartbeat::stopped;
use crate::app::hosted::Hosted;
use crate::app::roam::Followers;
use crate::app::{App, AppError};
use crate::store::{DomainNumber, Following, StoredEntry};

/// How often to look for news from sources.
const TICK: Duration = Duration::from_millis(250);

/// The choice by attributes in a request.
pub(super) fn choice_of(request: &AdoptionRequest) -> Option<Choice> {
    let choice = Choice { model: request.model.clone(), lot: request.lot.clone() };
    (choice != Choice::default()).then_some(choice)
}

/// What a request chooses, in the form in which it is stored.
pub(in crate::app) fn kept(request: &AdoptionRequest, ids: &BTreeSet<IdentityId>) -> Result<Vec<String>, AppError> {
    let mut what: Vec<String> = ids.iter().map(ToString::to_string).collect();
    if let Some(choice) = choice_of(request) {
        if !choice.is_sound() {
            let most = limits::WATCHED_VALUE_BYTES;
            return Err(AppError::new(Code::OutOfRange, format!("a model or a lot has at most {most} bytes")));
        }
        let json = serde_json::to_string(&choice);
        what.push(json.map_err(|error| AppError::Internal(format!("a choice has no JSON form: {error}")))?);
    }
    Ok(what)
}

/// The choices by attributes that a domain follows.
pub(in crate::app) fn choices(following: &Following) -> Vec<Choice> {
    following.choices.iter().filter_map(|choice| serde_json::from_str(choice).ok()).collect()
}

/// Whether an entry of a source is a state of a certificate that the domain also has: it proves itself, and may revoke
/// a key whose statements the domain continues to accept.
fn is_of_known(domain: &Domain, entry: &StoredEntry) -> bool {
    certificate_of(entry).is_some_and(|holder| domain.certificate(&holder).is_some())
}

impl App {
    /// Takes over what followed domains say, until `stop` becomes true.
    pub async fn follow_sources(self, mut stop: watch::Receiver<bool>) {
        if let Err(error) = self.blocking(|app| app.find_all_barred_anew()).await {
            tracing::error!(%error, "what may not be followed is not looked for again");
        }
        let mut ticks = tokio::time::interval(TICK);
        let mut afar = Followers::default();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => {}
            }
            let app = self.clone();
            // If this is cut off, following continues from the same place.
            let _ = crate::background::spawn(move || app.follow_once()).await;
            afar.keep(&self).await;
        }
    }

    fn find_all_barred_anew(&self) -> Result<(), AppError> {
        for target in self.homes() {
            for following in self.store().followed(target.number)? {
                self.find_barred_anew(&target, &following.source)?;
            }
        }
        Ok(())
    }

    /// Takes over what is new in the domains that those of this node follow, until there is no more.
    pub fn follow_once(&self) {
        while self.follow_some() {}
        self.look_for_declarations();
    }

    /// For each followed domain, takes over what is new in one page and what is in one page that is looked at again, so
    /// that being far behind with one source holds up no other. Returns whether there is more.
    fn follow_some(&self) -> bool {
        let mut is_more = false;
        for target in self.homes() {
            let followed = self.store().followed(target.number).unwrap_or_default();
            for following in followed {
                if self.elsewhere(&following.source).is_some() {
                    continue;
                }
                let took = self.follow_news(&target, &following);
                let looked = self.look_again(&target, &following);
                let heeded = self.heed_grants(&target, &following);
                is_more |= [&took, &looked, &heeded].iter().any(|it| matches!(it, Ok(true)));
                let error = took.err().or(looked.err()).or(heeded.err()).map(|error| error.to_string());
                // It is tried again four times a second, and reported only if the reason changes.
                if target.set_follow_error(&following.source, error.clone())
                    && let Some(error) = error
                {
                    tracing::warn!(domain = %target.name, source = %following.source, %error, "it is not followed");
                }
            }
        }
        is_more
    }

    /// Takes over what is new in the next page of one source's log; returns whether there may be more.
    fn follow_news(&self, target: &Arc<Hosted>, following: &Following) -> Result<bool, AppError> {
        self.follow_page(target, following, following.news..u64::MAX)
    }

    /// Looks again at the next page of what was looked at under other rules; returns whether there may be more.
    fn look_again(&self, target: &Arc<Hosted>, following: &Following) -> Result<bool, AppError> {
        self.follow_page(target, following, following.upto..following.news)
    }

    /// Takes over what is in the first page of a range of one source's log; returns whether there may be more.
    fn follow_page(&self, target: &Arc<Hosted>, following: &Following, stretch: Range<u64>) -> Result<bool, AppError> {
        if stretch.is_empty() {
            return Ok(false);
        }
        let source = self.hosted(&following.source)?;
        let (number, from, choices) = (target.number, &following.source, choices(following));
        let returns = self.store().follow_returns(number, Some(source.number))?;
        let Some(domain) = target.domain() else { return Ok(false) };
        let sight = self.sight(&source)?;
        let (start, last) = (stretch.start, stretch.end.min(sight.seal.size));
        if start >= last {
            return Ok(false);
        }
        let rights = RefCell::new(BTreeMap::new());
        let wanted = Wanted {
            choices: &choices,
            is_named: &|id| Ok(self.store().is_followed(number, from, &id.to_string())?),
            named: &|| self.followed_by_name(number, from),
            may: &|record| {
                let may = self.may_follow(&domain, &sight.domain, record);
                // What the rules say while a record is cut short holds only until the rest is shown.
                if !record.cut_short {
                    rights.borrow_mut().insert(record.identity.id, may);
                }
                may
            },
            serves: &|_| true,
        };
        let page = self.store().entries(source.number, start, limits::FEED_ENTRIES, limits::FEED_BYTES)?;
        let end = page.last().map_or(start, |entry| entry.index + 1).min(last);
        let (mut things, mut certificates) = (BTreeSet::new(), BTreeSet::new());
        for entry in page.iter().filter(|entry| entry.index < end) {
            if let Some(statement) = restore(&sight.domain, entry)?.filter(|statement| !statement.is_refused()) {
                things.extend(self.concerned(&sight, &wanted, &statement)?);
            }
            certificates.extend(is_of_known(&domain, entry).then_some(entry.index));
        }
        // What was refused before is known, even if the domain looks again because its own rules have changed.
        self.take_over(target, &sight, (&things, certificates), start.max(following.told))?;
        self.tell_of_rights(target, from, &rights.take())?;
        let is_ahead = self.store().follow_held_upto(number, (source.number, returns), start, end)?;
        // Once what is looked at again has met the news, it continues where those have got to by now.
        Ok(is_ahead && start < end && end < sight.seal.size)
    }

    /// The things that a domain follows individually.
    pub(super) fn followed_by_name(
        &self,
        target: DomainNumber,
        source: &DomainName,
    ) -> Result<Vec<IdentityId>, AppError> {
        let texts = self.store().followed_ids(target, source)?;
        Ok(texts.iter().filter_map(|text| IdentityId::candidates(text).ok()).flatten().collect())
    }

    /// Takes over everything said about these things, and these certificates, in log order. An alarm is raised for what
    /// is new and not admitted, and ended for what is now admitted.
    pub(super) fn take_over(
        &self,
        target: &Arc<Hosted>,
        sight: &Sight<'_>,
        (things, certificates): (&BTreeSet<IdentityId>, BTreeSet<u64>),
        new_from: u64,
    ) -> Result<(), AppError> {
        let About { mut all, mut left_to_source, .. } = self.entries_about(sight, things)?;
        // A signer who no longer has any role says nothing that could be missed.
        left_to_source.extend(certificates.difference(&all));
        all.extend(certificates);
        let (old, new): (Vec<u64>, Vec<u64>) = all.into_iter().partition(|index| *index < new_from);
        let source = &sight.hosted.name;
        for (indices, alarms) in [(old, false), (new, true)] {
            let mut taken = Taken { left_to_source: left_to_source.clone(), ..Taken::default() };
            for some in indices.chunks(limits::BATCH_STATEMENTS) {
                let entries = self.store().entries_at(sight.hosted.number, some)?;
                self.take(target, &self.prove(sight.hosted, entries)?, &mut taken)?;
            }
            if !indices.is_empty() {
                self.end_alarms_of_taken(target, source, &indices.into_iter().collect(), &taken)?;
            }
            match alarms {
                true => self.alarm_of_refused(target, source, &taken)?,
                false => self.alarm_of_key(target, source, &taken)?,
            }
        }
        Ok(())
    }

    /// Those of these entries that concern nothing that a domain follows in their log. A certificate is missed if
    /// anything its holder said is.
    pub(super) fn not_followed(
        &self,
        target: &Hosted,
        sight: &Sight<'_>,
        following: &Following,
        indices: &BTreeSet<u64>,
    ) -> Result<BTreeSet<u64>, AppError> {
        let (number, from, choices) = (target.number, &following.source, choices(following));
        let wanted = Wanted {
            choices: &choices,
            is_named: &|id| Ok(self.store().is_followed(number, from, &id.to_string())?),
            named: &|| self.followed_by_name(number, from),
            may: &|_| true,
            serves: &|_| true,
        };
        let (mut others, mut certificates, mut missed) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        let indices: Vec<u64> = indices.iter().copied().collect();
        for entry in self.store().entries_at(sight.hosted.number, &indices)? {
            match restore(&sight.domain, &entry)? {
                Some(statement) if self.concerned(sight, &wanted, &statement)?.is_empty() => {
                    others.insert(entry.index);
                }
                Some(statement) => {
                    missed.insert(statement.signer());
                }
                None => {
                    let holder = entry.content.as_ref().and_then(|content| openpgp_key_of(&content.body));
                    certificates.extend(holder.map(|holder| (entry.index, holder)));
                }
            }
        }
        let of_others = certificates.into_iter().filter(|(_, holder)| !missed.contains(holder));
        others.extend(of_others.map(|(index, _)| index));
        Ok(others)
    }

    /// Begins or ends following what a request chooses.
    pub(in crate::app) fn set_follow(
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
            let mut followed = self.store().followed(target.number)?.into_iter();
            let left = followed.find(|following| following.source == *source);
            match left {
                Some(left) if self.hosted(source).is_ok() => {
                    self.end_alarms_of_unfollowed(target, &left)?;
                    self.find_barred_anew(target, source)?;
                }
                left => {
                    // Nobody remembers what an entry that is not held here is about. So everything still followed is
                    // looked at again, from the first entry that can be taken over, and alarms are raised again for
                    // what is refused.
                    let were_alarmed = self.end_alarms_about(target, source)?;
                    if left.is_some() && were_alarmed {
                        self.store().follow(target.number, source, Vec::new(), 1)?;
                    }
                }
            }
        }
        self.follows_changed();
        Ok(())
    }

    /// Ends following what a request chooses in a domain of which nothing is held here and about which no peer is
    /// asked.
    pub(super) fn end_following(
        &self,
        target: &Arc<Hosted>,
        source: &DomainName,
        request: &AdoptionRequest,
    ) -> Result<AdoptionResult, AppError> {
        if !self.store().followed(target.number)?.iter().any(|following| following.source == *source) {
            return Err(AppError::unknown_domain(source));
        }
        let mut ids = BTreeSet::new();
        for query in &request.ids {
            let ended = self.known_as(target, query)?;
            if ended.is_empty() {
                return Err(AppError::unknown_identity(query));
            }
            ids.extend(ended);
        }
        self.set_follow(target, source, kept(request, &ids)?, false, 0)?;
        let identities = ids.iter().map(ToString::to_string).collect();
        Ok(AdoptionResult { identities, ..AdoptionResult::default() })
    }

    /// The things that a domain has taken over under a name, or those with an id; nobody else is asked.
    pub(in crate::app) fn known_as(&self, target: &Arc<Hosted>, query: &str) -> Result<BTreeSet<IdentityId>, AppError> {
        match parse(query)? {
            Lookup::Ids(ids) => Ok(ids.into_iter().collect()),
            name @ Lookup::Name(_) => self.identities(&self.sight(target)?, &name),
        }
    }
}

#[cfg(test)]
mod tests {
    use ics_core::limits;

    use crate::fixture::{Party, device, devices};

    /// A recall must not wait until a log that came all at once has been gone through.
    #[tokio::test(flavor = "multi_thread")]
    async fn being_far_behind_one_source_holds_up_no_other() {
        let [target, far, near] = ["t.acme.example", "a.acme.example", "b.acme.example"].map(Party::found);
        let app = target.open();
        far.found_at(&app);
        near.found_at(&app);
        let keys = devices(limits::FEED_ENTRIES as u16);
        far.publish(&app, &keys[0], "Pump", "L1").await;
        let rest = keys[1..].iter().map(|key| far.introduce(&app, key, "Pump", "L1")).collect();
        app.submit(&far.domain, rest).await.expect("a batch");
        near.publish(&app, &device(1), "Pump", "L1").await;
        let number = app.hosted(&target.domain).expect("here").number;
        for source in [&far, &near] {
            let nobody = device(9).fingerprint().to_string();
            app.store().follow(number, &source.domain, vec![nobody], 0).expect("follows");
        }
        let left = |source: &Party| {
            let followed = app.store().followed(number).expect("read");
            let upto = followed.iter().find(|it| it.source == source.domain).expect("is followed").upto;
            app.domain(&source.domain).expect("here").info.size - upto
        };

        assert!(tokio::task::block_in_place(|| app.follow_some()), "there is more");
        assert_eq!((left(&far), left(&near)), (2, 0), "a page of the one, and all of the other");
        tokio::task::block_in_place(|| app.follow_once());
        assert_eq!((left(&far), left(&near)), (0, 0));
    }

    /// What a source says now must not wait until everything it ever said has been looked at again.
    #[tokio::test(flavor = "multi_thread")]
    async fn news_do_not_wait_for_what_is_looked_at_again() {
        let [target, source] = ["t.acme.example", "a.acme.example"].map(Party::found);
        let app = target.open();
        source.found_at(&app);
        let keys = devices(limits::FEED_ENTRIES as u16);
        source.publish(&app, &keys[0], "Pump", "L1").await;
        let rest = keys[1..].iter().map(|key| source.introduce(&app, key, "Pump", "L1")).collect();
        app.submit(&source.domain, rest).await.expect("a batch");
        let number = app.hosted(&target.domain).expect("here").number;
        let nobody = device(9).fingerprint().to_string();
        app.store().follow(number, &source.domain, vec![nobody], 0).expect("follows");
        tokio::task::block_in_place(|| app.follow_once());

        // As after a new descriptor of its own.
        assert!(app.store().heed_anew(number, &source.domain, Vec::new()).expect("asked"));
        source.publish(&app, &device(8), "Pump", "L1").await;
        let size = app.domain(&source.domain).expect("here").info.size;
        let cursor = || app.store().followed(number).expect("read").remove(0);
        assert!(cursor().news < size);
        assert!(tokio::task::block_in_place(|| app.follow_some()), "there is more to look at again");
        let looked = (limits::FEED_ENTRIES as u64, size);
        assert_eq!((cursor().upto, cursor().news), looked, "what is new was looked at, and a page again");
        tokio::task::block_in_place(|| app.follow_once());
        assert_eq!((cursor().upto, cursor().told), (size, size));
    }
}
