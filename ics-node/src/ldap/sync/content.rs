//! What a search that is kept in step asks for, and the entries that this comes to.
//!
//! A copy must not change just because its source's clock advances: the entries of things do not say how fresh they
//! are, only the entry of their domain does. What follows from an entry's place in the tree is left out too; every
//! server derives that itself.

use std::collections::BTreeSet;

use ics_core::identity::Fingerprint;
use ics_core::statement::StatementId;
use ics_core::vocabulary::DomainName;
use ldap3_proto::proto::{LdapFilter, LdapResultCode, LdapSearchRequest, LdapSearchScope};
use sha2::{Digest as _, Sha256};

use super::super::encode::{Selection, encode};
use super::super::entry::{self, Entry, entry_uuid};
use super::super::keyspace::KeyPlan;
use super::super::message::Failure;
use super::super::search::{Place, failed, mentions_body};
use super::super::tree::Node;
use super::super::{filter, keyspace, schema};
use super::party;
use crate::app::{Gone, Moment, Moments, Reader, Then};

/// What a search that is kept in step asks for.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) reader: Reader,
    /// Who the reader was, by the configuration, when the search began.
    party: String,
    base: Node,
    scope: LdapSearchScope,
    filter: LdapFilter,
    selection: Selection,
    keys: bool,
    /// The name of the key space's entry.
    key_space: String,
    /// A digest of everything that is asked for.
    pub(super) digest: [u8; 32],
}

/// An entry's identity in a copy: the UUID by which replicas know it, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) uuid: [u8; 16],
    pub(super) dn: String,
}

/// What an entry comes to.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) name: Name,
    /// `None` if the filter leaves it out.
    pub(super) entry: Option<Entry>,
    /// Whether it is that of a key that must not be used, also if the filter leaves it out.
    pub(super) is_unusable: bool,
}

impl Content {
    pub(super) fn new(place: &Place, reader: Reader, request: LdapSearchRequest) -> Result<Self, Failure> {
        let base = place.tree.node(&request.base)?;
        if !matches!(base, Node::Suffix | Node::Domain(_) | Node::Identity(..) | Node::KeySpace) {
            let text = "the tree, a domain, a thing or the key space is kept in step, nothing else";
            return Err(Failure::new(LdapResultCode::UnwillingToPerform, text));
        }
        let selection = Selection::new(&request.attrs, request.typesonly);
        let party = party(place, reader);
        let asked = format!("{base:?} {:?} {:?} {selection:?} {party}", request.scope, request.filter);
        let digest = Sha256::digest(asked.as_bytes()).into();
        let below = matches!(request.scope, LdapSearchScope::Subtree | LdapSearchScope::Children);
        let keys = match &base {
            Node::Suffix => below,
            Node::KeySpace => request.scope != LdapSearchScope::Base,
            _ => false,
        };
        let keys = keys && keyspace::plan(&request.filter) != KeyPlan::Nothing;
        let (key_space, scope) = (place.tree.key_space_dn(), request.scope);
        let filter = filter::prepared(request.filter);
        Ok(Self { reader, party, base, scope, filter, selection, keys, key_space, digest })
    }

    /// Whether the configuration still says the same of the reader.
    pub(super) fn is_by_the_same(&self, place: &Place) -> bool {
        self.party == party(place, self.reader)
    }

    /// The domains whose entries are asked for, as they are now; `None` if nothing was shown yet of the one that is
    /// asked for by its name, which must not be silent either.
    pub(super) fn moments(&self, place: &Place) -> Result<Option<Moments>, Failure> {
        match &self.base {
            Node::Domain(domain) | Node::Identity(domain, _) => {
                let moment = place.app.moment(domain).map_err(|error| failed(&error))?;
                let one = |moment| Moments { answering: [(domain.clone(), moment)].into(), ..Moments::default() };
                Ok(moment.map(one))
            }
            _ if self.scope == LdapSearchScope::Base => Ok(Some(Moments::default())),
            _ => place.app.moments().map(Some).map_err(|error| failed(&error)),
        }
    }

    /// The id of the thing, if the search is for one thing.
    pub(super) const fn only(&self) -> Option<&String> {
        match &self.base {
            Node::Identity(_, id) => Some(id),
            _ => None,
        }
    }

    const fn is_below(&self) -> bool {
        matches!(self.scope, LdapSearchScope::Subtree | LdapSearchScope::Children)
    }

    const fn has_base(&self) -> bool {
        matches!(self.scope, LdapSearchScope::Subtree | LdapSearchScope::Base)
    }

    const fn has_domains(&self) -> bool {
        match &self.base {
            Node::Suffix => !matches!(self.scope, LdapSearchScope::Base),
            Node::Domain(_) => self.has_base(),
            _ => false,
        }
    }

    const fn has_things(&self) -> bool {
        match &self.base {
            Node::Suffix => self.is_below(),
            Node::Domain(_) => !matches!(self.scope, LdapSearchScope::Base),
            Node::KeySpace => false,
            _ => self.has_base(),
        }
    }

    const fn has_statements(&self) -> bool {
        match &self.base {
            Node::Suffix | Node::Domain(_) => self.is_below(),
            Node::KeySpace => false,
            _ => !matches!(self.scope, LdapSearchScope::Base),
        }
    }

    /// Whether keys in the key space are asked for.
    pub(super) const fn has_keys(&self) -> bool {
        self.keys
    }

    /// Whether entries of things or statements in their domains are asked for.
    pub(super) const fn has_things_or_statements(&self) -> bool {
        self.has_things() || self.has_statements()
    }

    /// Whether things have to be looked at.
    pub(super) const fn looks_at_things(&self) -> bool {
        self.has_things_or_statements() || self.has_keys()
    }

    /// The ids of the keys of all certificates at these moments; none unless keys are asked for.
    pub(super) fn certificates<'m>(&self, moments: impl IntoIterator<Item = &'m Moment>) -> BTreeSet<String> {
        let moments = moments.into_iter().filter(|_| self.has_keys());
        moments.flat_map(Moment::certificates).map(|key| key.to_string()).collect()
    }

    /// The entries at the top that are asked for: they say nothing of any domain.
    pub(super) fn top(&self, place: &Place) -> Vec<Made> {
        let (tree, below) = (&place.tree, !matches!(self.scope, LdapSearchScope::Base));
        let entries = match &self.base {
            Node::Suffix => vec![
                (self.has_base(), tree.suffix_entry()),
                (below, tree.server_info_entry()),
                (below, tree.key_space_entry()),
            ],
            Node::KeySpace => vec![(self.has_base(), tree.key_space_entry())],
            _ => Vec::new(),
        };
        entries.into_iter().filter(|(asked, _)| *asked).map(|(_, entry)| self.made(place, entry)).collect()
    }

    /// The key space's entry of a key, if it is asked for and the key exists at these moments. `known` is what was said
    /// of it at one of them, if that is at hand.
    pub(super) fn key<'m>(
        &self,
        place: &Place,
        moments: impl IntoIterator<Item = &'m Moment>,
        known: Option<(&Moment, &Then)>,
        id: &str,
    ) -> Result<Option<Made>, Failure> {
        let Some(fingerprint) = self.key_of(id) else { return Ok(None) };
        let found = place.app.key_then(self.reader, moments, known, fingerprint, keyspace::VERSION);
        let entry = found.map_err(|error| failed(&error))?.map(|found| keyspace::entry(&place.tree, &found));
        Ok(entry.transpose()?.map(|entry| self.made(place, entry)))
    }

    /// The key with an id, if the key space takes it and is asked for.
    fn key_of(&self, id: &str) -> Option<Fingerprint> {
        let key = id.parse::<Fingerprint>().ok().filter(|_| self.has_keys())?;
        keyspace::VERSION.is_none_or(|version| key.version() == version).then_some(key)
    }

    /// Whether an entry is in the key space, which has change sequence numbers of its own.
    pub(super) fn is_key(&self, name: &Name) -> bool {
        self.has_keys() && name.dn.ends_with(&self.key_space)
    }

    /// A domain's entry, if it is asked for.
    pub(super) fn domain(&self, place: &Place, moment: &Moment) -> Result<Option<Made>, Failure> {
        if !self.has_domains() {
            return Ok(None);
        }
        let (info, checkpoint) = place.app.domain_then(moment).map_err(|error| failed(&error))?;
        Ok(Some(self.made(place, entry::domain(&place.tree, &info, Some(&checkpoint)))))
    }

    /// The entries of a thing; none if the reader could not read it.
    pub(super) fn thing(&self, place: &Place, then: &Then) -> Vec<Made> {
        let Some(record) = then.record() else { return Vec::new() };
        let mut made = Vec::new();
        if self.has_things() {
            made.push(self.made(place, entry::identity(&place.tree, record, None)));
        }
        let with_bodies = self.selection.wants_bodies() || mentions_body(&self.filter);
        for said in entry::direct(record).filter(|_| self.has_statements()) {
            let body = then.body(said.by.index).filter(|_| with_bodies);
            made.push(self.made(place, entry::statement(&place.tree, record, said, body)));
        }
        made
    }

    /// The names of all entries that a thing may have had.
    pub(super) fn names(&self, place: &Place, domain: &DomainName, gone: &Gone) -> Vec<Name> {
        let above = place.tree.identity_dn(domain, &gone.id);
        let dn = |statement: &StatementId| entry::statement_dn(&place.tree, domain, &gone.id, statement);
        let below = gone.statements.iter().filter(|_| self.has_statements()).map(dn);
        let key = self.key_of(&gone.id.to_string()).map(|key| keyspace::dn(&place.tree, &key));
        let all = below.chain(self.has_things().then_some(above)).chain(key);
        all.map(|dn| Name { uuid: entry_uuid(&place.tree, &dn), dn }).collect()
    }

    fn made(&self, place: &Place, mut entry: Entry) -> Made {
        let name = Name { uuid: entry_uuid(&place.tree, &entry.dn), dn: entry.dn.clone() };
        let is_unusable = keyspace::is_unusable(&entry);
        if filter::matches(&self.filter, &entry) != Some(true) {
            return Made { name, entry: None, is_unusable };
        }
        let computed = [&schema::ENTRY_DN, &schema::SUBSCHEMA, &schema::HAS_SUBORDINATES];
        entry.attributes.retain(|(attribute, _)| !computed.contains(attribute));
        Made { name, entry: Some(entry), is_unusable }
    }

    /// Encodes an entry to be sent, with the change sequence number of the state that it belongs to.
    pub(super) fn encode(&self, mut entry: Entry, csn: Option<&String>) -> Vec<u8> {
        entry.put(&schema::ENTRY_CSN, csn);
        encode(&entry, &self.selection)
    }
}

/// Encodes the entry for one that no longer exists: its name only.
pub(super) fn nothing_of(name: &Name) -> Vec<u8> {
    encode(&Entry::empty(name.dn.clone()), &Selection::new(&["1.1".to_owned()], false))
}
