//! The stages of a search: what each looks at, and which further stages that leads to.

use std::sync::Arc;

use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::record::Listed;
use ics_core::vocabulary::DomainName;
use ics_sync::wire::Entry as Told;
use ldap3_proto::proto::{LdapResultCode, LdapSearchScope};

use super::super::entry;
use super::super::filter::Plan;
use super::super::keyspace::{self, KeyPlan};
use super::super::message::Failure;
use super::{PART_BYTES, Part, Place, Search, Stage, failed, mentions_body};
use crate::app::Thing;

/// Things that one look at the index finds at most, and how many entries a look counts as when it finds fewer.
const LOOK_THINGS: usize = 50;
const LOOK_AT_LEAST: usize = 10;
/// Statements whose bodies are read at once.
const BODIES: usize = 32;

impl Search {
    /// One look at the index.
    pub(super) fn look(
        &mut self,
        place: &Place,
        domain: DomainName,
        after: Option<u64>,
        part: &mut Part<'_>,
    ) -> Result<(), Failure> {
        self.resting.on_all();
        let page = match &self.plan {
            Plan::Any(postings) => place.app.things(self.reader, &domain, postings, after, LOOK_THINGS),
            Plan::Nothing | Plan::All | Plan::Scan => place.app.all_things(self.reader, &domain, after, LOOK_THINGS),
        };
        let page = page.map_err(|error| failed(&error))?;
        part.looked += page.looked.max(LOOK_AT_LEAST);
        // Things that are found may be sent; those passed over count against the search.
        self.looked.through(self.reader, page.looked.saturating_sub(page.things.len()))?;
        // Everything else is found before the search ends there.
        if page.cut_short && !matches!(self.stages.first(), Some(Stage::Misses)) {
            self.stages.insert(0, Stage::Misses);
        }
        self.stages.extend(page.next.map(|next| Stage::Things(domain, Some(next))));
        self.stages.extend(page.things.into_iter().rev().map(|thing| Stage::Thing(Arc::new(thing))));
        Ok(())
    }

    pub(super) fn thing(&mut self, place: &Place, thing: Arc<Thing>, part: &mut Part<'_>) -> Result<(), Failure> {
        self.changes(thing.record.changes_at);
        let found = entry::identity(&place.tree, &thing.record, Some((&thing.as_of, thing.domain)));
        if !self.offer(&found, part)? {
            self.stages.push(Stage::Thing(thing));
        } else if self.with_statements && matches!(self.scope, LdapSearchScope::Subtree | LdapSearchScope::Children) {
            self.stages.push(Stage::Statements(thing, 0));
        }
        Ok(())
    }

    /// Some statements of a thing.
    pub(super) fn statements(
        &mut self,
        place: &Place,
        thing: Arc<Thing>,
        from: u64,
        part: &mut Part<'_>,
    ) -> Result<(), Failure> {
        let record = &thing.record;
        let said: Vec<&Listed> = entry::direct(record).filter(|it| it.by.index >= from).take(BODIES).collect();
        let behind = said.get(BODIES - 1).map(|last| last.by.index + 1);
        let bodies = if self.selection.wants_bodies() || mentions_body(&self.filter) {
            let indices: Vec<u64> = said.iter().map(|it| it.by.index).collect();
            place.app.bodies_of(&record.domain, &indices).map_err(|error| failed(&error))?
        } else {
            vec![None; said.len()]
        };
        let entry =
            |(said, body): (&Listed, Option<Vec<u8>>)| entry::statement(&place.tree, record, said, body.as_deref());
        let entries = said.into_iter().zip(bodies).map(|it| (it.0.by.index, entry(it)));
        let next = self.offer_all(entries, part)?.or(behind);
        self.stages.extend(next.map(|next| Stage::Statements(thing, next)));
        Ok(())
    }

    /// Some entries of a log.
    pub(super) fn log(
        &mut self,
        place: &Place,
        domain: DomainName,
        from: u64,
        part: &mut Part<'_>,
    ) -> Result<(), Failure> {
        let page = place.app.entries_within(self.reader, &domain, from, LOOK_THINGS, PART_BYTES);
        let page = page.map_err(|error| failed(&error))?;
        let behind = from + page.entries.len() as u64;
        let behind = (behind > from && behind < page.size).then_some(behind);
        let entries = (from..).zip(&page.entries);
        let entries = entries.map(|(index, told)| (index, entry::log_entry(&place.tree, &domain, index, told)));
        let next = self.offer_all(entries, part)?.or(behind);
        self.stages.extend(next.map(|next| Stage::Log(domain, next)));
        Ok(())
    }

    /// Reads versions of a descriptor, as many as fit in a part; in all no more than a mirror takes at once.
    pub(super) fn descriptors(
        &mut self,
        place: &Place,
        domain: DomainName,
        (from, left): (u64, usize),
        part: &mut Part<'_>,
    ) -> Result<(), Failure> {
        let most = (limits::FEED_ENTRIES, left.min(PART_BYTES));
        let told = place.app.descriptors_within(&domain, from, most).map_err(|error| failed(&error))?;
        // The first one is returned whatever its size.
        if told.entries.is_empty() || told.entries.iter().map(Told::bytes).sum::<usize>() > left {
            return Ok(());
        }
        let entries = (from..).zip(&told.entries);
        let entries =
            entries.map(|(version, told)| (version, entry::log_descriptor(&place.tree, &domain, version, told)));
        let next = self.offer_all(entries, part)?.unwrap_or(from.saturating_add(told.entries.len() as u64));
        let given = (from..next).zip(&told.entries).map(|(_, told)| told.bytes()).sum();
        self.stages.push(Stage::Descriptors(domain, next, left.saturating_sub(given)));
        Ok(())
    }

    /// Finds the next keys of one of the look-ups, whether or not the reader may see them.
    pub(super) fn find_keys(
        &mut self,
        place: &Place,
        (nth, after): (usize, Option<Fingerprint>),
        part: &mut Part<'_>,
    ) -> Result<(), Failure> {
        let KeyPlan::Any(searches) = &self.key_plan else { return Ok(()) };
        let Some(search) = searches.get(nth) else { return Ok(()) };
        let found = place.app.keys_that_fit(self.reader, search, keyspace::VERSION, after, limits::KEYS_FOUND);
        let (found, silent) = found.map_err(|error| failed(&error))?;
        part.looked += LOOK_AT_LEAST;
        self.stages.extend(silent.map(|silent| Stage::Silent(failed(&silent))));
        self.stages.extend(found.get(limits::KEYS_FOUND - 1).map(|last| Stage::Keys(nth, Some(*last))));
        self.stages.extend(found.into_iter().rev().map(Stage::Key));
        Ok(())
    }

    /// Offers a key unless its id has come already: two keys with one id have one name, and the first comes.
    pub(super) fn key(&mut self, place: &Place, key: Fingerprint, part: &mut Part<'_>) -> Result<(), Failure> {
        part.looked += 1;
        if self.keys.contains(&key.key_id()) {
            return Ok(());
        }
        let found = place.app.key(self.reader, key, keyspace::VERSION).map_err(|error| failed(&error))?;
        // A hidden key costs as much as one that does not fit.
        let Some(found) = found else { return self.looked.through(self.reader, 1) };
        if self.keys.len() == limits::KEYS_FOUND {
            return Err(Failure::new(LdapResultCode::SizeLimitExceeded, "more keys fit: ask for a fingerprint"));
        }
        if self.offer(&keyspace::entry(&place.tree, &found)?, part)? {
            self.keys.insert(key.key_id());
        } else {
            self.stages.push(Stage::Key(key));
        }
        Ok(())
    }
}
