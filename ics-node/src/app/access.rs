//! Who is reading and what they may read: every face asks here, and only here.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::domain::Domain;
use ics_core::identity::Fingerprint;
use ics_core::policy::{Action, Principal, Request, Resource};
use ics_core::record::{Identity, Record};
use ics_core::vocabulary::Attribute;
use subtle::ConstantTimeEq as _;

use super::hosted::Hosted;
use super::{App, AppError};
use crate::tls::KeyPin;

/// On whose behalf something is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Anybody.
    Anonymous,
    /// A client that has proved to hold this key. The configuration says at each decision whose key it is; a key that
    /// is no longer configured counts as anonymous.
    Key(KeyPin),
    /// A client with the operator's token: may read everything that the node holds.
    Operator,
}

/// The holder of a key, as access rules see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The peer's name: `principal.node`.
    pub node: String,
    /// The signer on whose behalf the peer reads, by primary fingerprint: `principal.fingerprint`. The peer has the
    /// roles that the domain gives this signer.
    pub signer: Option<Fingerprint>,
}

impl App {
    /// Whether a bearer token is the operator's.
    #[must_use]
    pub fn is_operator(&self, token: Option<&str>) -> bool {
        match (token, &self.0.operator_token) {
            (Some(given), Some(token)) => given.as_bytes().ct_eq(token.as_bytes()).into(),
            _ => false,
        }
    }

    /// Whether a reader may copy a whole domain, including what `read` hides.
    #[must_use]
    pub(crate) fn may_mirror(&self, reader: Reader, hosted: &Hosted) -> bool {
        let Some(domain) = hosted.domain() else { return reader == Reader::Operator };
        let Some(principal) = self.principal_of(reader, &domain, None) else { return true };
        let resource = Resource::Domain(hosted.name.clone());
        domain.policy().decide_again(Request { principal, action: Action::Mirror, resource }).allow
    }

    /// Whether a reader may read all that a domain says about an identity.
    #[must_use]
    pub(crate) fn may_read(&self, reader: Reader, domain: &Domain, record: &Record) -> bool {
        self.may_with_all(reader, domain, &Action::Read, record)
    }

    /// Whether a reader may read anything at all in a domain. If not, nothing in it is looked up for them: the
    /// look-up's duration would reveal whether something is there.
    #[must_use]
    pub(crate) fn may_read_any(&self, reader: Reader, domain: &Domain) -> bool {
        self.principal_of(reader, domain, None).is_none_or(|principal| domain.policy().shows_any(&principal))
    }

    /// Whether a reader is certain to be shown everything in a domain, including what this node has not seen yet.
    #[must_use]
    pub(crate) fn is_shown_all(&self, reader: Reader, domain: &Domain) -> bool {
        self.principal_of(reader, domain, None).is_none_or(|principal| domain.policy().shows_all(&principal))
    }

    /// Whether this node certainly holds all of a domain: because the home told its copy so, or because the rules imply
    /// it.
    pub(crate) fn holds_all(&self, hosted: &Hosted, domain: &Domain) -> Result<bool, AppError> {
        Ok(self.is_whole(hosted)? || domain.policy().shows_all(&self.as_asker()))
    }

    /// This node as a principal under another domain's rules, as far as it knows: homes also know their peers by roles.
    pub(crate) fn as_asker(&self) -> Principal {
        Principal { node: Some(self.0.keys.name.clone()), ..Principal::default() }
    }

    /// Whether a domain of this node (`target`) may take over what `source` says about an identity, under the rules of
    /// `source`. The request counts as coming from any owner of `target`, or from the node itself.
    #[must_use]
    pub(crate) fn may_follow(&self, target: &Domain, source: &Domain, record: &Record) -> bool {
        let owners = target.descriptor().owners.keys.iter().map(|owner| Some(owner.fingerprint));
        owners.chain([None]).any(|signer| {
            let party = Party { node: self.0.keys.name.clone(), signer };
            let principal = principal(party, source, Some(record));
            permits_with_all(source, &principal, &Action::Follow, record)
        })
    }

    /// Whether a reader may take over what a domain says about an identity, as far as this node knows the reader. The
    /// node that takes it over asks for itself as well ([`App::may_follow`]).
    #[must_use]
    pub(crate) fn may_take_over(&self, reader: Reader, domain: &Domain, record: &Record) -> bool {
        self.may_with_all(reader, domain, &Action::Follow, record)
    }

    /// The configured party behind a reader, if there is one.
    pub(crate) fn party_of(&self, reader: Reader) -> Option<Party> {
        match reader {
            Reader::Key(key) => self.party(key),
            Reader::Anonymous | Reader::Operator => None,
        }
    }

    /// Whether a reader is neither the operator nor a party that the configuration knows.
    pub(crate) fn is_stranger(&self, reader: Reader) -> bool {
        match reader {
            Reader::Anonymous => true,
            Reader::Key(key) => self.party(key).is_none(),
            Reader::Operator => false,
        }
    }

    /// The one decision about readers of a thing, under the access rules of the descriptor in force.
    fn may_with_all(&self, reader: Reader, domain: &Domain, action: &Action, record: &Record) -> bool {
        let principal = self.principal_of(reader, domain, Some(record));
        principal.is_none_or(|principal| permits_with_all(domain, &principal, action, record))
    }

    /// A reader as a principal under a domain's rules; `None` for the operator and the domain's home, to whom no rules
    /// apply.
    fn principal_of(&self, reader: Reader, domain: &Domain, record: Option<&Record>) -> Option<Principal> {
        match reader {
            Reader::Operator => None,
            Reader::Anonymous => Some(Principal::default()),
            Reader::Key(key) if is_home(key, domain) => None,
            Reader::Key(key) => Some(self.party(key).map(|party| principal(party, domain, record)).unwrap_or_default()),
        }
    }
}

/// Whether a domain's rules permit an action under every reading of the thing that a reader might have.
fn permits_with_all(domain: &Domain, principal: &Principal, action: &Action, record: &Record) -> bool {
    let Identity { id, kind } = record.identity;
    let policy = domain.policy();
    let permits = |attributes| {
        let resource = Resource::identity(id, kind, attributes);
        let request = Request { principal: principal.clone(), action: action.clone(), resource };
        let left: Option<&[Attribute]> = match record {
            // Not even what the erasure will restate is known yet.
            Record { cut_short: true, .. } => Some(&[]),
            Record { forgotten: true, .. } => Some(&Attribute::SELECTING),
            _ => None,
        };
        let decision = match left {
            Some(left) => policy.decide_forgotten(request, left),
            None => policy.decide_again(request),
        };
        decision.allow
    };
    record.readings().is_some_and(|readings| readings.into_iter().all(permits))
}

/// Whether a key is that of the domain's home, by the descriptor in force. The home has written all of the log itself,
/// and after a loss it may have to get it back from its copies.
fn is_home(key: KeyPin, domain: &Domain) -> bool {
    let home: Option<[u8; 32]> =
        STANDARD.decode(&domain.descriptor().home.key).ok().and_then(|bytes| bytes.try_into().ok());
    home.is_some_and(|home| KeyPin::of_ed25519(&home) == key)
}

/// The principal of a known party, with the roles that it has over the resource: those of the descriptor and, for an
/// identity, also those granted.
fn principal(party: Party, domain: &Domain, record: Option<&Record>) -> Principal {
    let roles = party.signer.map_or_else(BTreeSet::new, |signer| match record {
        Some(record) => record.roles_of(domain.descriptor(), &signer),
        None => domain.descriptor().roles_of(&signer),
    });
    Principal { fingerprint: party.signer, roles, node: Some(party.node) }
}
