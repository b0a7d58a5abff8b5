//! A search as it goes on: what is still to be looked at, and what has been found.
//!
//! A search holds no more than the things of one look at the index, so that one of a million entries takes no more
//! memory than one of a hundred. It is asked for its next part when the last one has been sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::limits;
use ics_core::record::{Listed, Posting};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName};
use ldap3_proto::proto::{LdapFilter, LdapResultCode, LdapSearchRequest, LdapSearchScope};

use super::encode::{Encoded, Selection};
use super::entry::{self, Entry};
use super::filter::{self, Plan};
use super::keyspace::{self, KeyPlan};
use super::message::Failure;
use super::named::{Dated, above, entry_of};
use super::rests::Resting;
use super::schema;
use super::sync::Room;
use super::tree::{Node, Tree};
use crate::app::keys::KeySearch;
use crate::app::problem::Code;
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
/// Things of one look at the index.
const LOOK_THINGS: usize = 50;
/// Statements whose bodies are read at once.
const BODIES: usize = 32;

/// What is still to be looked at; the next one last.
#[derive(Debug)]
enum Stage {
    /// Whatever the scope says of the base.
    Base,
    /// One entry, if it is there.
    One(Node),
    /// Things of a domain that the plan finds.
    Things(DomainName, Option<u64>),
    /// A thing of which the id is known.
    Known(DomainName, String),
    /// The entries of a thing.
    Thing(Arc<Thing>),
    /// Its statements from one on.
    Statements(Arc<Thing>, usize),
    /// Entries of a log from an index on.
    Log(DomainName, u64),
    /// Keys of the key space.
    Keys(KeySearch),
    /// More keys than a look-up gives.
    Cut,
    /// An entry that has been made.
    Ready(Box<Entry>),
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
    stages: Vec<Stage>,
    /// The names of keys that have come: one may fit in several ways.
    keys: BTreeSet<String>,
    /// Entries that the client takes in all.
    wanted: Option<usize>,
    sent: usize,
    until: Timestamp,
    looked: usize,
    /// Entries that were looked at for the part that is being made.
    in_part: usize,
    /// Whether statements may be what is asked for.
    with_statements: bool,
    /// When, apart from entries that come, the answer may first be another.
    pub(super) changes_at: Option<Timestamp>,
    /// What the answer rests on.
    pub(super) resting: Resting,
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
        Ok(Self {
            reader,
            resting: Resting::new(&base, &request.scope, &filter, &selection),
            base,
            scope: request.scope,
            plan: filter::plan(&filter),
            with_statements: filter::may_match(&filter, &schema::ICS_STATEMENT),
            filter,
            selection,
            stages: vec![Stage::Base],
            keys: BTreeSet::new(),
            wanted: usize::try_from(request.sizelimit).ok().filter(|limit| *limit > 0),
            sent: 0,
            until: place.app.clock().now().plus_millis(seconds * 1000),
            looked: 0,
            in_part: 0,
            changes_at: None,
        })
    }

    /// Whether a request for its next page asks for the same.
    pub(super) fn is_of(&self, place: &Place, reader: Reader, request: &LdapSearchRequest) -> bool {
        self.reader == reader
            && place.tree.node(&request.base).is_ok_and(|base| base == self.base)
            && self.scope == request.scope
            && (self.filter == request.filter || self.filter == keyspace::meant(request.filter.clone()))
            && self.selection == Selection::new(&request.attrs, request.typesonly)
    }

    /// A page asks anew for its time and for what may be looked through.
    pub(super) fn next_page(&mut self, place: &Place) {
        self.until = place.app.clock().now().plus_millis(limits::LDAP_SEARCH_SECONDS * 1000);
        self.looked = 0;
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
        let mut bytes = 0;
        self.in_part = 0;
        while let Some(stage) = self.stages.pop() {
            if bytes >= PART_BYTES || self.in_part >= PART_ENTRIES {
                self.stages.push(stage);
                return Ok(Progress::More);
            }
            if place.app.clock().now() > self.until {
                return Err(Failure::new(LdapResultCode::TimeLimitExceeded, ""));
            }
            let Some(found) = self.work(place, stage)? else { continue };
            self.in_part += 1;
            if filter::matches(&self.filter, &found) != Some(true) {
                self.look_through(1)?;
                continue;
            }
            if self.wanted == Some(self.sent) {
                return Err(Failure::new(LdapResultCode::SizeLimitExceeded, ""));
            }
            if *page == 0 {
                self.stages.push(Stage::Ready(Box::new(found)));
                return Ok(Progress::Full);
            }
            *page -= 1;
            self.sent += 1;
            let (encoded, dated) = Encoded::new(&found, &self.selection);
            bytes += encoded.len() + dated.len();
            entries.push((encoded, dated));
        }
        Ok(Progress::Done)
    }

    /// Does what a stage says: an entry comes out of it, or more stages.
    fn work(&mut self, place: &Place, stage: Stage) -> Result<Option<Entry>, Failure> {
        match stage {
            Stage::Base => self.begin(place).map(|()| None),
            Stage::One(node) => {
                let found = entry_of(place, self.reader, &node)?;
                Ok(found.map(|found| self.take(found)))
            }
            Stage::Ready(entry) => Ok(Some(*entry)),
            Stage::Known(domain, id) => {
                let looked = place.app.thing(self.reader, &domain, &id).map_err(|error| failed(&error))?;
                self.resting.on(looked.marks);
                self.stages.extend(looked.thing.map(|thing| Stage::Thing(Arc::new(thing))));
                Ok(None)
            }
            Stage::Keys(search) => {
                let (entries, more) = keyspace::find(place, self.reader, &search)?;
                let unseen = entries.into_iter().filter(|entry| self.keys.insert(entry.dn.clone()));
                let ready: Vec<Stage> = unseen.map(|entry| Stage::Ready(Box::new(entry))).collect();
                self.stages.extend(more.then_some(Stage::Cut));
                self.stages.extend(ready.into_iter().rev());
                Ok(None)
            }
            Stage::Log(domain, from) => self.log(place, domain, from).map(|()| None),
            Stage::Cut => Err(Failure::new(LdapResultCode::SizeLimitExceeded, "more keys fit: ask for a fingerprint")),
            Stage::Things(domain, after) => self.look(place, domain, after).map(|()| None),
            Stage::Thing(thing) => {
                self.changes(thing.record.changes_at);
                let below = matches!(self.scope, LdapSearchScope::Subtree | LdapSearchScope::Children);
                if below && self.with_statements {
                    self.stages.push(Stage::Statements(Arc::clone(&thing), 0));
                }
                Ok(Some(entry::identity(&place.tree, &thing.record, Some((&thing.as_of, thing.domain)))))
            }
            Stage::Statements(thing, at) => self.statements(place, &thing, at).map(|()| None),
        }
    }

    /// From the base and the scope to what is to be looked at.
    fn begin(&mut self, place: &Place) -> Result<(), Failure> {
        if self.scope == LdapSearchScope::Base {
            let found = entry_of(place, self.reader, &self.base)?;
            let found = found.ok_or_else(|| Failure::no_such_object(above(place, self.reader, &self.base)))?;
            let found = self.take(found);
            self.stages.push(Stage::Ready(Box::new(found)));
            return Ok(());
        }
        let with_base = self.scope == LdapSearchScope::Subtree;
        let mut stages: Vec<Stage> = Vec::new();
        // Only things have ids: nothing else needs to be looked at for one.
        let by_id = self.resting.by_id;
        if with_base && (!by_id || matches!(self.base, Node::Identity(..))) {
            stages.push(Stage::One(self.base.clone()));
        }
        self.begin_below(place, by_id, &mut stages)?;
        self.stages.extend(stages.into_iter().rev());
        Ok(())
    }

    /// From the base to what is to be looked at below it.
    fn begin_below(&mut self, place: &Place, by_id: bool, stages: &mut Vec<Stage>) -> Result<(), Failure> {
        let deep = self.scope != LdapSearchScope::OneLevel;
        match self.base.clone() {
            Node::Root => return Err(Failure::no_such_object(String::new())),
            Node::Suffix if by_id => {
                let domains = place.app.held();
                self.resting.of(domains.len());
                for domain in domains.into_iter().filter(|_| deep) {
                    stages.extend(self.things(domain)?);
                }
            }
            Node::Suffix => {
                stages.extend([Stage::One(Node::ServerInfo), Stage::One(Node::KeySpace)]);
                if deep && let KeyPlan::Any(searches) = keyspace::plan(&self.filter) {
                    stages.extend(searches.into_iter().map(Stage::Keys));
                }
                for info in place.app.domains().map_err(|error| failed(&error))? {
                    let domain = info.info.domain;
                    stages.push(Stage::One(Node::Domain(domain.clone())));
                    if deep {
                        stages.extend(self.things(domain)?);
                    }
                }
            }
            Node::Domain(domain) => {
                self.must_be_there(place)?;
                stages.extend(self.things(domain)?);
            }
            Node::Identity(domain, id) => {
                let looked = place.app.thing(self.reader, &domain, &id).map_err(|error| failed(&error))?;
                self.resting.on(looked.marks);
                let thing =
                    looked.thing.ok_or_else(|| Failure::no_such_object(above(place, self.reader, &self.base)))?;
                self.changes(thing.record.changes_at);
                stages.extend(self.with_statements.then(|| Stage::Statements(Arc::new(thing), 0)));
            }
            Node::KeySpace => match keyspace::plan(&self.filter) {
                KeyPlan::Any(searches) => stages.extend(searches.into_iter().map(Stage::Keys)),
                KeyPlan::Nothing => {}
                KeyPlan::Scan => {
                    let text = "keys are found by fingerprint, key id, User ID or mailbox, not listed";
                    return Err(Failure::new(LdapResultCode::AdminLimitExceeded, text));
                }
            },
            Node::Log => {
                for domain in place.app.held() {
                    stages.push(Stage::One(Node::LogOf(domain.clone())));
                    stages.extend(deep.then_some(Stage::Log(domain, 0)));
                }
            }
            Node::LogOf(domain) => {
                self.must_be_there(place)?;
                match wanted_descriptors(&self.filter) {
                    Some(from) => stages.extend(descriptors(place, &domain, from)?),
                    None => stages.push(Stage::Log(domain, 0)),
                }
            }
            Node::LogEntry(..) | Node::Statement(..) | Node::Subschema | Node::ServerInfo | Node::Key(_) => {
                self.must_be_there(place)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, (entry, changes_at, marks): Dated) -> Entry {
        self.changes(changes_at);
        self.resting.on(marks);
        entry
    }

    fn changes(&mut self, at: Option<Timestamp>) {
        self.changes_at = [self.changes_at, at].into_iter().flatten().min();
    }

    fn must_be_there(&self, place: &Place) -> Result<(), Failure> {
        match entry_of(place, self.reader, &self.base)? {
            Some(_) => Ok(()),
            None => Err(Failure::no_such_object(above(place, self.reader, &self.base))),
        }
    }

    /// The stages that find things of a domain.
    fn things(&self, domain: DomainName) -> Result<Vec<Stage>, Failure> {
        match &self.plan {
            Plan::Nothing => Ok(Vec::new()),
            Plan::Scan if self.reader != Reader::Operator => {
                let text = "nothing in the filter is indexed: ask for an id, a name, a kind, a status, a signer, a lot";
                Err(Failure::new(LdapResultCode::AdminLimitExceeded, text))
            }
            Plan::Scan | Plan::All => Ok(vec![Stage::Things(domain, None)]),
            Plan::Any(postings) => {
                let id = |posting: &Posting| match posting {
                    Posting::Subject(id) => Some(id.to_string()),
                    _ => None,
                };
                match postings.iter().map(id).collect::<Option<Vec<String>>>() {
                    Some(mut ids) => {
                        ids.dedup();
                        Ok(ids.into_iter().map(|id| Stage::Known(domain.clone(), id)).collect())
                    }
                    None => Ok(vec![Stage::Things(domain, None)]),
                }
            }
        }
    }

    /// Some entries of a log.
    fn log(&mut self, place: &Place, domain: DomainName, from: u64) -> Result<(), Failure> {
        let page = place.app.entries(self.reader, &domain, from, LOOK_THINGS, None).map_err(|error| failed(&error))?;
        let next = from + page.entries.len() as u64;
        let entries = (from..).zip(&page.entries);
        let entries = entries.map(|(index, told)| entry::log_entry(&place.tree, &domain, index, told));
        let ready: Vec<Stage> = entries.map(|entry| Stage::Ready(Box::new(entry))).collect();
        self.stages.extend((next > from && next < page.size).then_some(Stage::Log(domain, next)));
        self.stages.extend(ready.into_iter().rev());
        Ok(())
    }

    /// One look at the index.
    fn look(&mut self, place: &Place, domain: DomainName, after: Option<u64>) -> Result<(), Failure> {
        self.resting.on_all();
        let all = [Posting::Act(Act::Identity)];
        let postings = if let Plan::Any(postings) = &self.plan { postings.as_slice() } else { &all };
        let page =
            place.app.things(self.reader, &domain, postings, after, LOOK_THINGS).map_err(|error| failed(&error))?;
        self.in_part += page.looked;
        // What is found may be sent; what is not costs all the same.
        self.look_through(page.looked.saturating_sub(page.things.len()))?;
        self.stages.extend(page.next.map(|next| Stage::Things(domain, Some(next))));
        self.stages.extend(page.things.into_iter().rev().map(|thing| Stage::Thing(Arc::new(thing))));
        Ok(())
    }

    /// Counts what was looked at and is not sent.
    fn look_through(&mut self, entries: usize) -> Result<(), Failure> {
        self.looked += entries;
        if self.looked > limits::LDAP_LOOK_THROUGH && self.reader != Reader::Operator {
            let text = format!("a search looks through {} entries", limits::LDAP_LOOK_THROUGH);
            return Err(Failure::new(LdapResultCode::AdminLimitExceeded, text));
        }
        Ok(())
    }

    /// Some statements of a thing, those that match.
    fn statements(&mut self, place: &Place, thing: &Arc<Thing>, at: usize) -> Result<(), Failure> {
        let said: Vec<&Listed> = entry::direct(&thing.record).skip(at).take(BODIES).collect();
        if said.len() == BODIES {
            self.stages.push(Stage::Statements(Arc::clone(thing), at + BODIES));
        }
        let bodies = if self.selection.wants_bodies() || mentions_body(&self.filter) {
            let indices: Vec<u64> = said.iter().map(|it| it.by.index).collect();
            place.app.bodies_of(&thing.record.domain, &indices).map_err(|error| failed(&error))?
        } else {
            vec![None; said.len()]
        };
        let entries = said.into_iter().zip(bodies);
        let entries = entries.map(|(said, body)| entry::statement(&place.tree, &thing.record, said, body.as_deref()));
        let count = entries.len();
        let matching = entries.filter(|entry| filter::matches(&self.filter, entry) == Some(true));
        let ready: Vec<Stage> = matching.map(|entry| Stage::Ready(Box::new(entry))).collect();
        self.in_part += count - ready.len();
        self.look_through(count - ready.len())?;
        self.stages.extend(ready.into_iter().rev());
        Ok(())
    }
}

/// The version from which on a filter asks for descriptors.
fn wanted_descriptors(filter: &LdapFilter) -> Option<u64> {
    match filter {
        LdapFilter::GreaterOrEqual(name, value) if schema::attribute(name) == Some(&schema::DESCRIPTOR_VERSION) => {
            value.parse().ok()
        }
        _ => None,
    }
}

fn descriptors(place: &Place, domain: &DomainName, from: u64) -> Result<Vec<Stage>, Failure> {
    let told = place.app.descriptors(domain, from).map_err(|error| failed(&error))?;
    let entries = (told.from..).zip(&told.entries);
    let entries = entries.map(|(version, told)| entry::log_descriptor(&place.tree, domain, version, told));
    Ok(entries.map(|entry| Stage::Ready(Box::new(entry))).collect())
}

pub(super) fn mentions_body(filter: &LdapFilter) -> bool {
    filter::mentions(filter, &[&schema::BODY])
}

/// Why a use case gave no answer, as a directory says it.
pub(super) fn failed(error: &AppError) -> Failure {
    let code = match error.code() {
        Code::Busy | Code::OverBudget => LdapResultCode::Busy,
        Code::Behind | Code::Upstream => LdapResultCode::Unavailable,
        Code::UnknownDomain | Code::UnknownIdentity => LdapResultCode::NoSuchObject,
        Code::Internal => LdapResultCode::Other,
        _ => LdapResultCode::UnwillingToPerform,
    };
    if error.is_internal() {
        tracing::error!(%error, "an LDAP operation failed");
        return Failure::new(code, "the node failed; its log says why");
    }
    Failure::new(code, error.to_string())
}

#[cfg(test)]
mod tests;
