//! Who reads, and what he may: every face asks here, and here alone.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::domain::Domain;
use ics_core::identity::Fingerprint;
use ics_core::policy::{Action, Principal, Request, Resource};
use ics_core::record::{Identity, Record};
use subtle::ConstantTimeEq as _;

use super::hosted::Hosted;
use super::{App, AppError};
use crate::tls::KeyPin;

/// On whose behalf something is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Anybody.
    Anonymous,
    /// Whoever proved to hold this key. Whose it is, the configuration says at the time of each decision; a key that
    /// stands there no more is anybody's.
    Key(KeyPin),
    /// Whoever has the operator's token: reads all that the node holds.
    Operator,
}

/// Who holds a key, for access rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The peer's name: `principal.node`.
    pub node: String,
    /// The signer on whose behalf it reads, by primary fingerprint: `principal.fingerprint`. It has the roles that the
    /// domain gives this signer.
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

    /// Whether a reader may copy a whole domain, with whatever `read` hides.
    #[must_use]
    pub(crate) fn may_mirror(&self, reader: Reader, hosted: &Hosted) -> bool {
        let Some(domain) = hosted.domain() else { return reader == Reader::Operator };
        let Some(principal) = self.principal_of(reader, &domain, None) else { return true };
        let resource = Resource::Domain(hosted.name.clone());
        domain.policy().decide_again(Request { principal, action: Action::Mirror, resource }).allow
    }

    /// Whether a reader may read what a domain says of an identity, all of it.
    #[must_use]
    pub(crate) fn may_read(&self, reader: Reader, domain: &Domain, record: &Record) -> bool {
        self.may_with_all(reader, domain, &Action::Read, record)
    }

    /// Whether a reader may read anything of what a domain says. Where not, nothing of it is looked up for him: that would
    /// take longer where there is something than where there is nothing.
    #[must_use]
    pub(crate) fn may_read_any(&self, reader: Reader, domain: &Domain) -> bool {
        self.principal_of(reader, domain, None).is_none_or(|principal| domain.policy().shows_any(&principal))
    }

    /// Whether a reader may surely read all that a domain says, also of what this node has not met yet.
    #[must_use]
    pub(crate) fn is_shown_all(&self, reader: Reader, domain: &Domain) -> bool {
        self.principal_of(reader, domain, None).is_none_or(|principal| domain.policy().shows_all(&principal))
    }

    /// Whether surely all of a domain is here: its home may have told its copy so, or its rules do.
    pub(crate) fn holds_all(&self, hosted: &Hosted, domain: &Domain) -> Result<bool, AppError> {
        Ok(self.is_whole(hosted)? || domain.policy().shows_all(&self.as_asker()))
    }

    /// Who this node is for the rules of a domain elsewhere, as far as it knows: homes know peers by roles as well.
    pub(crate) fn as_asker(&self) -> Principal {
        Principal { node: Some(self.0.keys.name.clone()), ..Principal::default() }
    }

    /// Whether a domain of this node may take over what another one says of an identity: by the rules of that one. The
    /// owners of the domain that follows ask, or this node.
    #[must_use]
    pub(crate) fn may_follow(&self, target: &Domain, source: &Domain, record: &Record) -> bool {
        let owners = target.descriptor().owners.keys.iter().map(|owner| Some(owner.fingerprint));
        owners.chain([None]).any(|signer| {
            let party = Party { node: self.0.keys.name.clone(), signer };
            let principal = principal(party, source, Some(record));
            permits_with_all(source, &principal, &Action::Follow, record)
        })
    }

    /// Whether a reader may take over what a domain says of an identity, as far as this node knows him: whoever takes over
    /// asks for himself ([`App::may_follow`]).
    #[must_use]
    pub(crate) fn may_take_over(&self, reader: Reader, domain: &Domain, record: &Record) -> bool {
        self.may_with_all(reader, domain, &Action::Follow, record)
    }

    /// Who a reader is, if the configuration knows him.
    pub(crate) fn party_of(&self, reader: Reader) -> Option<Party> {
        match reader {
            Reader::Key(key) => self.party(key),
            Reader::Anonymous | Reader::Operator => None,
        }
    }

    /// Whether a reader is anybody: neither the operator nor whom the configuration knows.
    pub(crate) fn is_stranger(&self, reader: Reader) -> bool {
        match reader {
            Reader::Anonymous => true,
            Reader::Key(key) => self.party(key).is_none(),
            Reader::Operator => false,
        }
    }

    /// The one decision about readers of a thing: the domain's access rules, by the descriptor that rules now.
    fn may_with_all(&self, reader: Reader, domain: &Domain, action: &Action, record: &Record) -> bool {
        let principal = self.principal_of(reader, domain, Some(record));
        principal.is_none_or(|principal| permits_with_all(domain, &principal, action, record))
    }

    /// Who a reader is for a domain's rules; `None` for who is above them: the operator, and the domain's home.
    fn principal_of(&self, reader: Reader, domain: &Domain, record: Option<&Record>) -> Option<Principal> {
        match reader {
            Reader::Operator => None,
            Reader::Anonymous => Some(Principal::default()),
            Reader::Key(key) if is_home(key, domain) => None,
            Reader::Key(key) => Some(self.party(key).map(|party| principal(party, domain, record)).unwrap_or_default()),
        }
    }
}

/// Whether a domain's rules permit it with all that the thing may be to readers.
fn permits_with_all(domain: &Domain, principal: &Principal, action: &Action, record: &Record) -> bool {
    let Identity { id, kind } = record.identity;
    let policy = domain.policy();
    let permits = |attributes| {
        let resource = Resource::identity(id, kind, attributes);
        let request = Request { principal: principal.clone(), action: action.clone(), resource };
        let decision = if record.forgotten { policy.decide_forgotten(request) } else { policy.decide_again(request) };
        decision.allow
    };
    record.readings().is_some_and(|readings| readings.into_iter().all(permits))
}

/// Whether a key is that of a domain's home, by the descriptor in force: all that is said there was written by it, and it
/// may have to get it back from its copies.
fn is_home(key: KeyPin, domain: &Domain) -> bool {
    let home: Option<[u8; 32]> =
        STANDARD.decode(&domain.descriptor().home.key).ok().and_then(|bytes| bytes.try_into().ok());
    home.is_some_and(|home| KeyPin::of_ed25519(&home) == key)
}

/// A known party with the roles that it has over the resource: the descriptor's, and over an identity those granted.
fn principal(party: Party, domain: &Domain, record: Option<&Record>) -> Principal {
    let roles = party.signer.map_or_else(BTreeSet::new, |signer| match record {
        Some(record) => record.roles_of(domain.descriptor(), &signer),
        None => domain.descriptor().roles_of(&signer),
    });
    Principal { fingerprint: party.signer, roles, node: Some(party.node) }
}
