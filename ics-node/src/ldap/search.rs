//! A search in progress: what is still to be looked at, and what has been found.
//!
//! A search holds no more things than one look at the index finds, so that a search of a million entries takes no more
//! memory than one of a hundred. Its next part is made when the last one has been sent. What it has not reached yet, it
//! holds only as a place; while it waits for its next page to be asked for, it holds nothing else.

mod begin;
mod stages;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ldap3_proto::proto::{LdapFilter, LdapResultCode, LdapSearchRequest, LdapSearchScope};
use sha2::{Digest as _, Sha256};

use super::encode::{Encoded, Selection};
use super::entry::Entry;
use super::filter::{self, Plan};
use super::keyspace::{self, KeyPlan};
use super::looked::Looked;
use super::message::Failure;
use super::named::{Dated, entry_of};
use super::rests::Resting;
use super::schema;
use super::tree::{Node, Tree};
use crate::api::problem::Code;
use crate::app::{App, AppError, Reader, Thing};
use crate::room::Room;
use crate::words::MAY_MISS;

/// What every operation needs to know of the server.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) app: App,
    pub(super) tree: Tree,
    /// Whether StartTLS is offered.
    pub(super) has_tls: bool,
    /// Limits searches that are kept in step.
    pub(super) in_step: Room,
}

/// Once a part has this many bytes of entries, it is sent before the search goes on.
const PART_BYTES: usize = 64 * 1024;
/// Entries that are looked at, matching or not, before others get their turn: the client may be gone, or ask to stop.
const PART_ENTRIES: usize = 100;
/// What a thing takes that a search has found, roughly, and what each statement about it takes besides.
const THING_BYTES: usize = 2048;
const SAID_BYTES: usize = 1024;

/// What is still to be looked at; the next stage is last.
#[derive(Debug)]
enum Stage {
    /// What the scope selects at the base.
    Base,
    /// One entry, if it exists.
    One(Node),
    /// The things of a domain with the ids asked for, starting at this position in the list of ids.
    Ids(DomainName, usize),
    /// The things of a domain that the plan finds after an index.
    Things(DomainName, Option<u64>),
    /// The entries of a thing; [`Stage::Known`] is one that is to be looked up.
    Thing(Arc<Thing>),
    Known(DomainName, String),
    /// The statements of a thing from an index on; [`Stage::Said`] is for one that is to be looked up.
    Statements(Arc<Thing>, u64),
    Said(DomainName, String, u64),
    /// Entries of a log from an index on.
    Log(DomainName, u64),
    /// Versions of a descriptor starting at one, at most this many bytes in all.
    Descriptors(DomainName, u64, usize),
    /// Keys that the look-up at this position finds, after the given one.
    Keys(usize, Option<Fingerprint>),
    Key(Fingerprint),
    /// Why absence cannot be claimed if no key has been found.
    Silent(Failure),
    /// The end, when things may be missing.
    Misses,
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
    /// The ids asked for, if the filter finds things by ids alone.
    ids: Option<Vec<String>>,
    /// How keys are found, if they are asked for.
    key_plan: KeyPlan,
    /// Whether statements may match.
    with_statements: bool,
    stages: Vec<Stage>,
    /// The ids of keys already found: a key may fit in several ways.
    keys: BTreeSet<[u8; 8]>,
    /// The client's size limit.
    wanted: Option<usize>,
    sent: usize,
    until: Timestamp,
    looked: Looked,
    /// When the answer may first change without a new entry.
    pub(super) changes_at: Option<Timestamp>,
    /// What the answer rests on.
    pub(super) resting: Resting,
}

/// A search that waits for its next page: its place only. The client repeats the request (RFC 2696, 3), so nothing of
/// it need be held for strangers meanwhile.
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
    /// How many entries still fit on the page.
    page: &'a mut usize,
    entries: &'a mut Vec<Sendable>,
    bytes: usize,
    /// How many entries were looked at for it.
    looked: usize,
    /// Whether there is another entry that did not fit.
    overflows: bool,
}

impl Part<'_> {
    const fn is_full(&self) -> bool {
        self.bytes >= PART_BYTES || self.looked >= PART_ENTRIES
    }
}

/// An entry that a search has found, and its freshness attributes if they are kept apart.
pub(super) type Sendable = (Encoded, Vec<u8>);

/// How far a part of a search has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There may be more.
    More,
    /// The page is full, and there are more entries.
    Full,
    /// Nothing is left.
    Done,
}

impl Search {
    /// Begins a search; nothing is looked at yet.
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
            filter: filter::prepared(filter),
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

    /// Whether this is not its first part. Most questions are answered by that.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.stages.as_slice(), [Stage::Base])
    }

    /// How many bytes are held of what it has found and not sent, roughly.
    pub(super) fn held(&self) -> usize {
        let of_stage = |stage: &Stage| match stage {
            Stage::Thing(thing) | Stage::Statements(thing, _) => {
                THING_BYTES + SAID_BYTES * thing.record.statements.len()
            }
            _ => 0,
        };
        self.stages.iter().map(of_stage).sum()
    }

    /// Keeps only the place. A thing is looked up again when its turn comes.
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

    /// Continues where another search stopped, with its own time and bounds; `None` if the request or reader differs.
    pub(super) fn behind(self, kept: Kept) -> Option<Self> {
        let is_same = self.reader == kept.reader && self.asked() == kept.asked;
        let Kept { stages, keys, sent, .. } = kept;
        is_same.then(|| Self { stages: stages.into(), keys, sent, ..self })
    }

    /// A digest of the request.
    fn asked(&self) -> [u8; 32] {
        let Self { base, scope, filter, selection, .. } = self;
        Sha256::digest(format!("{base:?} {scope:?} {filter:?} {selection:?}")).into()
    }

    /// Continues until a part is ready to be sent, others get their turn, or nothing is left; `page` is how many more
    /// entries may be sent now.
    ///
    /// # Errors
    /// When the base does not exist, a limit is reached or the node fails; what was found before is in `entries`.
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

    /// Carries out a stage, which yields entries or further stages.
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
            Stage::Misses => Err(Failure::new(LdapResultCode::Unavailable, MAY_MISS)),
        }
    }

    /// Puts an entry into the part if it matches; `false` if it does not fit and has to be made again.
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

    /// Puts entries into the part; returns the place of the first that does not fit.
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

    /// Looks up a thing by its id.
    fn known(&mut self, place: &Place, domain: &DomainName, id: &str) -> Result<Option<Thing>, Failure> {
        let looked = place.app.thing(self.reader, domain, id).map_err(|error| failed(&error))?;
        self.resting.on(looked.marks);
        Ok(looked.thing)
    }
}

pub(super) fn mentions_body(filter: &LdapFilter) -> bool {
    filter::mentions(filter, &[&schema::BODY])
}

/// Translates the error of a use case into a result code.
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
