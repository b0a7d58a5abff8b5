//! A search as it goes on: what is still to be looked at, and what has been found.
//!
//! A search holds no more than the things of one look at the index, so that one of a million entries takes no more
//! memory than one of a hundred. It is asked for its next part when the last one has been sent. Of what it has not come to
//! it knows the place; while it waits to be asked for its next page it holds nothing else.

mod begin;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::record::Listed;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::wire::Entry as Told;
use ldap3_proto::proto::{LdapFilter, LdapResultCode, LdapSearchRequest, LdapSearchScope};
use sha2::{Digest as _, Sha256};

use super::encode::{Encoded, Selection};
use super::entry::{self, Entry};
use super::filter::{self, Plan};
use super::keyspace::{self, KEYS, KeyPlan};
use super::looked::Looked;
use super::message::Failure;
use super::named::{Dated, entry_of};
use super::rests::Resting;
use super::schema;
use super::sync::Room;
use super::tree::{Node, Tree};
use crate::api::problem::Code;
use crate::app::{App, AppError, Reader, Thing};

/// What is known of the server wherever something is worked upon.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) app: App,
    pub(super) tree: Tree,
    /// Whether StartTLS is offered.
    pub(super) has_tls: bool,
    /// Room for searches that are kept in step.
    pub(super) in_step: Room,
}

/// Bytes of entries from which on they are sent before more are looked for.
const PART_BYTES: usize = 64 * 1024;
/// Entries that are looked at before others have their turn, whatever is found: the client may have gone, or say to stop.
const PART_ENTRIES: usize = 100;
/// Things of one look at the index, and as how many entries it counts that finds fewer.
const LOOK_THINGS: usize = 50;
const LOOK_AT_LEAST: usize = 10;
/// Statements whose bodies are read at once.
const BODIES: usize = 32;

/// What is still to be looked at; the next one last.
#[derive(Debug)]
enum Stage {
    /// Whatever the scope says of the base.
    Base,
    /// One entry, if it is there.
    One(Node),
    /// The things of a domain with the ids that are asked for, from this one of them on.
    Ids(DomainName, usize),
    /// Things of a domain that the plan finds, behind an index.
    Things(DomainName, Option<u64>),
    /// The entries of a thing, and those of one that is to be looked up.
    Thing(Arc<Thing>),
    Known(DomainName, String),
    /// Its statements from an index on, and those of a thing that is to be looked up.
    Statements(Arc<Thing>, u64),
    Said(DomainName, String, u64),
    /// Entries of a log from an index on.
    Log(DomainName, u64),
    /// Versions of a descriptor from one on, of so many bytes in all.
    Descriptors(DomainName, u64, usize),
    /// Keys that this one of the look-ups finds, behind one of them.
    Keys(usize, Option<Fingerprint>),
    Key(Fingerprint),
    /// Why nobody may say that there is no such key, if none has come.
    Silent(Failure),
}

/// A search.
#[derive(Debug)]
pub(super) struct Search {
    reader: Reader,
    base: Node,
    scope: LdapSearchScope,
    filter: LdapFilter,
    selection: Selection,
    plan: Plan,
    /// The ids of which one is asked for, if nothing else finds things.
    ids: Option<Vec<String>>,
    /// How keys are found, where they are asked for.
    key_plan: KeyPlan,
    /// Whether statements may be what is asked for.
    with_statements: bool,
    stages: Vec<Stage>,
    /// The ids of keys that have come: one may fit in several ways.
    keys: BTreeSet<[u8; 8]>,
    /// Entries that the client takes in all.
    wanted: Option<usize>,
    sent: usize,
    until: Timestamp,
    looked: Looked,
    /// When, apart from entries that come, the answer may first be another.
    pub(super) changes_at: Option<Timestamp>,
    /// What the answer rests on.
    pub(super) resting: Resting,
}

/// A search that waits to be asked for its next page: where it stands. What is asked the client says again (RFC 2696, 3),
/// so that nothing of it is held for strangers meanwhile.
#[derive(Debug)]
pub(super) struct Kept {
    reader: Reader,
    asked: [u8; 32],
    stages: Box<[Stage]>,
    keys: BTreeSet<[u8; 8]>,
    sent: usize,
}

/// What is sent at once.
struct Part<'a> {
    /// How many entries have room on the page.
    page: &'a mut usize,
    entries: &'a mut Vec<Sendable>,
    bytes: usize,
    /// Entries that were looked at for it.
    looked: usize,
    /// Whether there is one more, which has no room.
    overflows: bool,
}

impl Part<'_> {
    const fn is_full(&self) -> bool {
        self.bytes >= PART_BYTES || self.looked >= PART_ENTRIES
    }
}

/// An entry that a search has found, and what says how fresh it is, if that stands apart.
pub(super) type Sendable = (Encoded, Vec<u8>);

/// How far a part of a search has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There may be more.
    More,
    /// So many entries as were asked for are there, and there are more.
    Full,
    /// There is nothing more.
    Done,
}

impl Search {
    /// A search, with nothing looked at yet.
    pub(super) fn new(place: &Place, reader: Reader, request: LdapSearchRequest) -> Result<Self, Failure> {
        let base = place.tree.node(&request.base)?;
        let filter = if base == Node::KeySpace { keyspace::meant(request.filter) } else { request.filter };
        let seconds = u64::try_from(request.timelimit).unwrap_or(0);
        let seconds = if seconds == 0 { limits::LDAP_SEARCH_SECONDS } else { seconds.min(limits::LDAP_SEARCH_SECONDS) };
        let selection = Selection::new(&request.attrs, request.typesonly);
        let plan = filter::plan(&filter);
        Ok(Self {
            reader,
            resting: Resting::new(&base, &request.scope, &filter, &selection),
            ids: begin::ids(&plan),
            key_plan: begin::key_plan(&base, &request.scope, &filter),
            with_statements: filter::may_match(&filter, &schema::ICS_STATEMENT),
            base,
            scope: request.scope,
            plan,
            filter,
            selection,
            stages: vec![Stage::Base],
            keys: BTreeSet::new(),
            wanted: usize::try_from(request.sizelimit).ok().filter(|limit| *limit > 0),
            sent: 0,
            until: place.app.clock().now().plus_millis(seconds * 1000),
            looked: Looked::default(),
            changes_at: None,
        })
    }

    /// Keeps where it stands. A thing is looked up again when its turn comes.
    pub(super) fn keep(self) -> Kept {
        let asked = self.asked();
        let name = |thing: &Thing| (thing.record.domain.clone(), thing.record.identity.id.to_string());
        let place = |stage: Stage| match stage {
            Stage::Thing(thing) => {
                let (domain, id) = name(&thing);
                Stage::Known(domain, id)
            }
            Stage::Statements(thing, from) => {
                let (domain, id) = name(&thing);
                Stage::Said(domain, id, from)
            }
            stage => stage,
        };
        let stages: Vec<Stage> = self.stages.into_iter().map(place).collect();
        Kept { reader: self.reader, asked, stages: stages.into(), keys: self.keys, sent: self.sent }
    }

    /// Goes on where another has stopped, with time and bounds of its own; `None`: something else was asked there, or by
    /// somebody else.
    pub(super) fn behind(self, kept: Kept) -> Option<Self> {
        let is_same = self.reader == kept.reader && self.asked() == kept.asked;
        let Kept { stages, keys, sent, .. } = kept;
        is_same.then(|| Self { stages: stages.into(), keys, sent, ..self })
    }

    /// A digest of what is asked.
    fn asked(&self) -> [u8; 32] {
        let Self { base, scope, filter, selection, .. } = self;
        Sha256::digest(format!("{base:?} {scope:?} {filter:?} {selection:?}")).into()
    }

    /// Looks on, until there is a part to be sent, others have their turn, or there is nothing more; `page` is how many
    /// entries may still be sent now.
    ///
    /// # Errors
    /// When the base is not there, a limit is reached or the node fails; what was found before is in `entries`.
    pub(super) fn go_on(
        &mut self,
        place: &Place,
        page: &mut usize,
        entries: &mut Vec<Sendable>,
    ) -> Result<Progress, Failure> {
        let mut part = Part { page, entries, bytes: 0, looked: 0, overflows: false };
        while let Some(stage) = self.stages.pop() {
            if part.is_full() {
                self.stages.push(stage);
                return Ok(Progress::More);
            }
            if place.app.clock().now() > self.until {
                return Err(Failure::new(LdapResultCode::TimeLimitExceeded, ""));
            }
            self.work(place, stage, &mut part)?;
            if part.overflows {
                return Ok(Progress::Full);
            }
        }
        Ok(Progress::Done)
    }

    /// Does what a stage says: entries come out of it, or more stages.
    fn work(&mut self, place: &Place, stage: Stage, part: &mut Part<'_>) -> Result<(), Failure> {
        match stage {
            Stage::Base => self.begin(place, part),
            Stage::One(node) => {
                let Some(found) = entry_of(place, self.reader, &node)? else { return Ok(()) };
                let found = self.take(found);
                if !self.offer(&found, part)? {
                    self.stages.push(Stage::One(node));
                }
                Ok(())
            }
            Stage::Ids(domain, nth) => {
                let ids = self.ids.as_deref().unwrap_or_default();
                let (is_last, id) = (nth + 1 >= ids.len(), ids.get(nth).cloned());
                let Some(id) = id else { return Ok(()) };
                part.looked += 1;
                let thing = self.known(place, &domain, &id)?;
                self.stages.extend((!is_last).then(|| Stage::Ids(domain, nth + 1)));
                self.stages.extend(thing.map(|thing| Stage::Thing(Arc::new(thing))));
                Ok(())
            }
            Stage::Things(domain, after) => self.look(place, domain, after, part),
            Stage::Known(domain, id) => {
                let thing = self.known(place, &domain, &id)?;
                self.stages.extend(thing.map(|thing| Stage::Thing(Arc::new(thing))));
                Ok(())
            }
            Stage::Thing(thing) => self.thing(place, thing, part),
            Stage::Said(domain, id, from) => {
                let thing = self.known(place, &domain, &id)?;
                self.stages.extend(thing.map(|thing| Stage::Statements(Arc::new(thing), from)));
                Ok(())
            }
            Stage::Statements(thing, from) => self.statements(place, thing, from, part),
            Stage::Log(domain, from) => self.log(place, domain, from, part),
            Stage::Descriptors(domain, from, left) => self.descriptors(place, domain, (from, left), part),
            Stage::Keys(nth, after) => self.find_keys(place, (nth, after), part),
            Stage::Key(key) => self.key(place, key, part),
            Stage::Silent(failure) if self.keys.is_empty() => Err(failure),
            Stage::Silent(_) => Ok(()),
        }
    }

    /// Puts an entry into the part if it matches; `false`: there is no room for it, and it is to be made again.
    fn offer(&mut self, found: &Entry, part: &mut Part<'_>) -> Result<bool, Failure> {
        part.looked += 1;
        if filter::matches(&self.filter, found) != Some(true) {
            return self.looked.through(self.reader, 1).map(|()| true);
        }
        if self.wanted == Some(self.sent) {
            return Err(Failure::new(LdapResultCode::SizeLimitExceeded, ""));
        }
        if *part.page == 0 {
            part.overflows = true;
            return Ok(false);
        }
        *part.page -= 1;
        self.sent += 1;
        let (encoded, dated) = Encoded::new(found, &self.selection);
        part.bytes += encoded.len() + dated.len();
        part.entries.push((encoded, dated));
        Ok(true)
    }

    /// Puts entries into the part; gives the place of the first for which there is no room.
    fn offer_all(
        &mut self,
        entries: impl Iterator<Item = (u64, Entry)>,
        part: &mut Part<'_>,
    ) -> Result<Option<u64>, Failure> {
        for (at, entry) in entries {
            if part.is_full() || !self.offer(&entry, part)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn take(&mut self, (entry, changes_at, marks): Dated) -> Entry {
        self.changes(changes_at);
        self.resting.on(marks);
        entry
    }

    fn changes(&mut self, at: Option<Timestamp>) {
        self.changes_at = [self.changes_at, at].into_iter().flatten().min();
    }

    /// A thing of which the id is known.
    fn known(&mut self, place: &Place, domain: &DomainName, id: &str) -> Result<Option<Thing>, Failure> {
        let looked = place.app.thing(self.reader, domain, id).map_err(|error| failed(&error))?;
        self.resting.on(looked.marks);
        Ok(looked.thing)
    }

    /// One look at the index.
    fn look(
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
        // What is found may be sent; what is not costs all the same.
        self.looked.through(self.reader, page.looked.saturating_sub(page.things.len()))?;
        self.stages.extend(page.next.map(|next| Stage::Things(domain, Some(next))));
        self.stages.extend(page.things.into_iter().rev().map(|thing| Stage::Thing(Arc::new(thing))));
        Ok(())
    }

    fn thing(&mut self, place: &Place, thing: Arc<Thing>, part: &mut Part<'_>) -> Result<(), Failure> {
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
    fn statements(&mut self, place: &Place, thing: Arc<Thing>, from: u64, part: &mut Part<'_>) -> Result<(), Failure> {
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
    fn log(&mut self, place: &Place, domain: DomainName, from: u64, part: &mut Part<'_>) -> Result<(), Failure> {
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

    /// Versions of a descriptor, as many as a part takes; in all no more than whoever copies a domain takes at once.
    fn descriptors(
        &mut self,
        place: &Place,
        domain: DomainName,
        (from, left): (u64, usize),
        part: &mut Part<'_>,
    ) -> Result<(), Failure> {
        let told = place.app.descriptors_within(&domain, from, left.min(PART_BYTES)).map_err(|error| failed(&error))?;
        // One is told whatever its size.
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

    /// The next keys that one of the look-ups finds, whether or not they may be read.
    fn find_keys(
        &mut self,
        place: &Place,
        (nth, after): (usize, Option<Fingerprint>),
        part: &mut Part<'_>,
    ) -> Result<(), Failure> {
        let KeyPlan::Any(searches) = &self.key_plan else { return Ok(()) };
        let Some(search) = searches.get(nth) else { return Ok(()) };
        let found = place.app.keys_that_fit(self.reader, search, keyspace::VERSION, after, KEYS);
        let (found, silent) = found.map_err(|error| failed(&error))?;
        part.looked += LOOK_AT_LEAST;
        self.stages.extend(silent.map(|silent| Stage::Silent(failed(&silent))));
        self.stages.extend(found.get(KEYS - 1).map(|last| Stage::Keys(nth, Some(*last))));
        self.stages.extend(found.into_iter().rev().map(Stage::Key));
        Ok(())
    }

    /// A key, unless it has come already. Of two with one id, which have one name, the first comes.
    fn key(&mut self, place: &Place, key: Fingerprint, part: &mut Part<'_>) -> Result<(), Failure> {
        part.looked += 1;
        if self.keys.contains(&key.key_id()) {
            return Ok(());
        }
        let found = place.app.key(self.reader, key, keyspace::VERSION).map_err(|error| failed(&error))?;
        // One that is hidden costs as much as one that does not fit.
        let Some(found) = found else { return self.looked.through(self.reader, 1) };
        if self.keys.len() == KEYS {
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

pub(super) fn mentions_body(filter: &LdapFilter) -> bool {
    filter::mentions(filter, &[&schema::BODY])
}

/// Why a use case gave no answer, as a directory says it.
pub(super) fn failed(error: &AppError) -> Failure {
    let code = match error.code() {
        Code::Busy | Code::OverBudget => LdapResultCode::Busy,
        Code::NoRoom | Code::Behind | Code::Upstream => LdapResultCode::Unavailable,
        Code::UnknownDomain | Code::UnknownIdentity => LdapResultCode::NoSuchObject,
        Code::Internal => LdapResultCode::Other,
        Code::OutOfRange => LdapResultCode::AdminLimitExceeded,
        _ => LdapResultCode::UnwillingToPerform,
    };
    if error.is_internal() {
        tracing::error!(%error, "an LDAP operation failed");
        return Failure::new(code, "the node failed; its log says why");
    }
    Failure::new(code, error.to_string())
}
