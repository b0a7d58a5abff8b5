//! What an answer rests on, which decides how long it may be remembered.
//!
//! Most searches are for one thing. Their answers rest on what is kept about that thing and stay valid whatever else is
//! logged; all others rest on everything that the node holds.

use ldap3_proto::proto::{LdapFilter, LdapSearchScope};

use super::encode::{Selection, dated};
use super::entry::AS_OF;
use super::filter::{is_by_id, mentions};
use super::tree::Node;
use crate::app::{App, DomainNumber, Mark};

/// What an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rests {
    /// On all domains, as they were at this stamp.
    OnAll(u128),
    /// On what is known of some things; `of` is the number of domains, if all of them were asked.
    On { marks: Box<[Mark]>, of: Option<usize> },
}

/// Collects what a search rests on while it runs.
#[derive(Debug)]
pub(super) struct Resting {
    /// Whether the search is for things by their ids.
    pub(super) by_id: bool,
    on_all: bool,
    of: Option<usize>,
    marks: Vec<Mark>,
}

impl Resting {
    pub(super) fn new(base: &Node, scope: &LdapSearchScope, filter: &LdapFilter, selection: &Selection) -> Self {
        let by_id = is_by_id(filter);
        let may = match base {
            Node::Identity(..) | Node::Statement(..) => true,
            Node::Suffix | Node::Domain(_) => by_id && *scope != LdapSearchScope::Base,
            _ => false,
        };
        let is_precise = may && selection.wants_as_of().is_some() && !mentions(filter, &AS_OF);
        Self { by_id, on_all: !is_precise, of: None, marks: Vec::new() }
    }

    /// Notes that the search looked at something other than things whose ids it knew.
    pub(super) const fn on_all(&mut self) {
        self.on_all = true;
    }

    /// Notes that all domains were asked, of which there are `domains`.
    pub(super) const fn of(&mut self, domains: usize) {
        self.of = Some(domains);
    }

    pub(super) fn on(&mut self, marks: Vec<Mark>) {
        self.marks.extend(marks);
    }

    /// What the search rests on in the end; `stamp` was taken before it began.
    pub(super) fn rests(&self, stamp: u128) -> Rests {
        if self.on_all || self.marks.is_empty() {
            return Rests::OnAll(stamp);
        }
        let mut marks = self.marks.clone();
        marks.dedup();
        Rests::On { marks: marks.into(), of: self.of }
    }
}

/// The state at one moment, each part looked up at most once.
#[derive(Debug, Default)]
pub(super) struct Now {
    stamp: Option<Option<u128>>,
    domains: Option<usize>,
    dated: Vec<(DomainNumber, Option<Vec<u8>>)>,
}

impl Now {
    pub(super) fn stamp(&mut self, app: &App) -> Option<u128> {
        *self.stamp.get_or_insert_with(|| app.stamp())
    }

    /// Whether what an answer rests on is unchanged.
    pub(super) fn bears(&mut self, app: &App, rests: &Rests) -> bool {
        match rests {
            Rests::OnAll(stamp) => self.stamp(app) == Some(*stamp),
            Rests::On { marks, of } => {
                of.is_none_or(|of| of == *self.domains.get_or_insert_with(|| app.held().len()))
                    // The domain's size is looked up first: a mark that stands afterwards stood at that size.
                    && marks.iter().all(|mark| self.dated(app, mark.domain).is_some() && app.stands(mark))
            }
        }
    }

    /// How complete and fresh a domain is, as encoded attributes; `None` while it is silent.
    pub(super) fn dated(&mut self, app: &App, domain: DomainNumber) -> Option<&[u8]> {
        let at = self.dated.iter().position(|(known, _)| *known == domain).unwrap_or_else(|| {
            self.dated.push((domain, app.as_of_domain(domain).map(|as_of| dated(&as_of))));
            self.dated.len() - 1
        });
        self.dated.get(at).and_then(|(_, dated)| dated.as_deref())
    }
}
