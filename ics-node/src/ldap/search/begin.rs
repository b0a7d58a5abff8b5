//! Works out what a search is to look at from its base, scope and filter.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::limits;
use ics_core::record::Posting;
use ics_core::vocabulary::DomainName;
use ldap3_proto::proto::{LdapFilter, LdapResultCode, LdapSearchScope};

use super::super::filter::Plan;
use super::super::keyspace::{self, KeyPlan};
use super::super::message::Failure;
use super::super::named::{above, entry_of};
use super::super::schema;
use super::super::tree::Node;
use super::{Part, Place, Search, Stage};
use crate::app::Reader;

impl Search {
    /// Handles the base, and plans what is to be looked at.
    pub(super) fn begin(&mut self, place: &Place, part: &mut Part<'_>) -> Result<(), Failure> {
        if self.scope == LdapSearchScope::Base {
            let found = entry_of(place, self.reader, &self.base)?;
            let found = found.ok_or_else(|| Failure::no_such_object(above(place, self.reader, &self.base)))?;
            let found = self.take(found);
            if !self.offer(&found, part)? {
                self.stages.push(Stage::Base);
            }
            return Ok(());
        }
        let with_base = self.scope == LdapSearchScope::Subtree;
        let mut stages: Vec<Stage> = Vec::new();
        // Only things have ids: nothing else needs to be looked at for a search by id.
        let by_id = self.resting.by_id;
        if with_base && (!by_id || matches!(self.base, Node::Identity(..))) {
            stages.push(Stage::One(self.base.clone()));
        }
        self.begin_below(place, by_id, &mut stages)?;
        self.stages.extend(stages.into_iter().rev());
        Ok(())
    }

    /// Plans what is to be looked at below the base.
    fn begin_below(&mut self, place: &Place, by_id: bool, stages: &mut Vec<Stage>) -> Result<(), Failure> {
        let deep = self.scope != LdapSearchScope::OneLevel;
        match self.base.clone() {
            Node::Root => return Err(Failure::no_such_object(String::new())),
            Node::Suffix if by_id => {
                let domains = silent_last(place);
                self.resting.of(domains.len());
                for domain in domains.into_iter().filter(|_| deep) {
                    stages.extend(self.things(domain)?);
                }
            }
            Node::Suffix => {
                stages.extend([Stage::One(Node::ServerInfo), Stage::One(Node::KeySpace)]);
                if let KeyPlan::Any(searches) = &self.key_plan {
                    stages.extend((0..searches.len()).map(|nth| Stage::Keys(nth, None)));
                }
                for domain in silent_last(place) {
                    stages.push(Stage::One(Node::Domain(domain.clone())));
                    if deep {
                        stages.extend(self.things(domain)?);
                    }
                }
                if self.key_plan == KeyPlan::Scan {
                    // Last, so that everything else is found all the same.
                    stages.push(Stage::Silent(keys_are_not_listed()));
                }
            }
            Node::Domain(domain) => {
                self.must_be_there(place)?;
                stages.extend(self.things(domain)?);
            }
            Node::Identity(domain, id) => {
                let thing = self.known(place, &domain, &id)?;
                let thing = thing.ok_or_else(|| Failure::no_such_object(above(place, self.reader, &self.base)))?;
                self.changes(thing.record.changes_at);
                stages.extend(self.with_statements.then(|| Stage::Statements(Arc::new(thing), 0)));
            }
            Node::KeySpace => match &self.key_plan {
                KeyPlan::Any(searches) => stages.extend((0..searches.len()).map(|nth| Stage::Keys(nth, None))),
                KeyPlan::Nothing => {}
                KeyPlan::Scan => return Err(keys_are_not_listed()),
            },
            Node::Log => {
                for domain in silent_last(place) {
                    stages.push(Stage::One(Node::LogOf(domain.clone())));
                    stages.extend(deep.then_some(Stage::Log(domain, 0)));
                }
            }
            Node::LogOf(domain) => {
                self.must_be_there(place)?;
                stages.push(match wanted_descriptors(&self.filter) {
                    Some(from) => Stage::Descriptors(domain, from.max(1), limits::FEED_BYTES),
                    None => Stage::Log(domain, 0),
                });
            }
            Node::LogEntry(..) | Node::Statement(..) | Node::Subschema | Node::ServerInfo | Node::Key(_) => {
                self.must_be_there(place)?;
            }
        }
        Ok(())
    }

    fn must_be_there(&self, place: &Place) -> Result<(), Failure> {
        match entry_of(place, self.reader, &self.base)? {
            Some(_) => Ok(()),
            None => Err(Failure::no_such_object(above(place, self.reader, &self.base))),
        }
    }

    /// The stage that finds things of a domain.
    fn things(&self, domain: DomainName) -> Result<Option<Stage>, Failure> {
        match &self.plan {
            Plan::Nothing => Ok(None),
            Plan::Scan if self.reader != Reader::Operator => {
                let text = "nothing in the filter is indexed: ask for an id, a name, a kind, a status, a signer, a lot";
                Err(Failure::new(LdapResultCode::AdminLimitExceeded, text))
            }
            Plan::Any(_) if self.ids.is_some() => Ok(Some(Stage::Ids(domain, 0))),
            Plan::Scan | Plan::All | Plan::Any(_) => Ok(Some(Stage::Things(domain, None))),
        }
    }
}

/// All domains, those last that cannot answer now: what the others say is found before the search ends there.
fn silent_last(place: &Place) -> Vec<DomainName> {
    let mut domains = place.app.held();
    domains.sort_by_cached_key(|domain| place.app.checkpoint(domain).is_err());
    domains
}

/// The ids asked for, if the plan finds things by ids alone.
pub(super) fn ids(plan: &Plan) -> Option<Vec<String>> {
    let Plan::Any(postings) = plan else { return None };
    let id = |posting: &Posting| match posting {
        Posting::Subject(id) => Some(id.to_string()),
        _ => None,
    };
    // A client may ask for the same id twice, and gets its entries once.
    let ids: BTreeSet<String> = postings.iter().map(id).collect::<Option<_>>()?;
    Some(ids.into_iter().collect())
}

/// How keys are found, if they are asked for.
pub(super) fn key_plan(base: &Node, scope: &LdapSearchScope, filter: &LdapFilter) -> KeyPlan {
    match (base, scope) {
        (Node::Suffix, LdapSearchScope::Subtree | LdapSearchScope::Children) => keyspace::plan(filter),
        (Node::KeySpace, scope) if *scope != LdapSearchScope::Base => keyspace::plan(filter),
        _ => KeyPlan::Nothing,
    }
}

fn keys_are_not_listed() -> Failure {
    let text = "keys are found by fingerprint, key id, User ID or mailbox, not listed";
    Failure::new(LdapResultCode::AdminLimitExceeded, text)
}

/// The lowest version of descriptors that a filter asks for; `None` if it asks for none.
fn wanted_descriptors(filter: &LdapFilter) -> Option<u64> {
    match filter {
        LdapFilter::GreaterOrEqual(name, value) if schema::attribute(name) == Some(&schema::DESCRIPTOR_VERSION) => {
            value.parse().ok()
        }
        _ => None,
    }
}
