//! What a descriptor says on single questions.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{Descriptor, DomainLimits, Freshness, Source};
use crate::canonical_json;
use crate::identity::{Fingerprint, Kind};
use crate::limits;
use crate::log::Hash;
use crate::log::checkpoint::Origin;
use crate::name::Name;
use crate::statement::StatementId;
use crate::vocabulary::{DomainName, Effect, Role, StatusName};

impl Descriptor {
    /// Its canonical JSON; empty if a text or number in it cannot be written canonically, which no descriptor that was
    /// read from JSON has.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        canonical_json::to_bytes(self).unwrap_or_default()
    }

    /// SHA-256 of its canonical JSON: what the next version names as `previous`.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(Sha256::digest(self.to_json()).into())
    }

    /// Whether the domain has a status of this name, for things of any kind.
    #[must_use]
    pub fn has_status(&self, status: &StatusName) -> bool {
        Kind::ALL.into_iter().any(|kind| self.effect(status, kind).is_some())
    }

    /// The effect of a status on things of a kind; `None` if it does not apply to them.
    #[must_use]
    pub fn effect(&self, status: &StatusName, kind: Kind) -> Option<Effect> {
        let added = || self.statuses.get(status).filter(|added| added.kinds.contains(&kind)).map(|added| added.effect);
        status.builtin_effect(kind).or_else(added)
    }

    /// The roles that the descriptor itself gives a signer, by primary fingerprint; grants may give more.
    #[must_use]
    pub fn roles_of(&self, signer: &Fingerprint) -> BTreeSet<Role> {
        let held = self.roles.iter().filter(|(_, spec)| spec.signers.contains(signer));
        held.map(|(role, _)| role.clone()).collect()
    }

    /// Whether a role may lift a status that another signer has set.
    #[must_use]
    pub fn may_lift(&self, role: &Role, status: &StatusName) -> bool {
        self.lifts.get(role).is_some_and(|statuses| statuses.contains(status))
    }

    /// Whether the owners' threshold has lifted a statement.
    #[must_use]
    pub fn has_lifted(&self, statement: &StatementId) -> bool {
        self.lifted.contains(statement)
    }

    /// Whether a role may give a name.
    #[must_use]
    pub fn may_name(&self, role: &Role, name: &Name) -> bool {
        self.roles.get(role).is_some_and(|spec| spec.names.iter().any(|pattern| name.fits(pattern)))
    }

    /// The first index of a domain's log from which on a signer's statements no longer count; `None` if the signer
    /// is not declared compromised there.
    #[must_use]
    pub fn compromised_from(&self, signer: &Fingerprint, domain: &DomainName) -> Option<u64> {
        let declared = self.compromised.iter().filter(|c| c.signer == *signer && c.domain == *domain);
        declared.map(|compromise| compromise.from_index).min()
    }

    /// Whether a signer's key is declared compromised, in any domain.
    #[must_use]
    pub fn is_compromised(&self, signer: &Fingerprint) -> bool {
        self.compromised.iter().any(|compromise| compromise.signer == *signer)
    }
}

impl Freshness {
    /// How old an answer may be for a use, in seconds.
    #[must_use]
    pub fn seconds(&self, usage: &str) -> u64 {
        self.uses.get(usage).copied().unwrap_or(self.default)
    }
}

impl Source {
    /// What identifies the domain.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin { domain: self.domain.clone(), entry0: self.entry0.0 }
    }
}

impl DomainLimits {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes of one certificate in this domain: never so many that its key could no longer be revoked.
    #[must_use]
    pub fn certificate_bytes(&self) -> usize {
        let most = limits::PERSON_CERTIFICATE_BYTES - 2 * limits::KEY_REVOCATION_BYTES;
        self.certificate_bytes.unwrap_or(limits::CERTIFICATE_BYTES).min(most)
    }

    /// Statements by one signer about one identity in this domain.
    #[must_use]
    pub fn statements_per_signer_and_identity(&self) -> usize {
        self.statements_per_signer_and_identity.unwrap_or(limits::STATEMENTS_PER_SIGNER_AND_IDENTITY)
    }
}
