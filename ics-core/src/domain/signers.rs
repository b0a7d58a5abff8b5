//! The signers of a domain, by their certificates, and which certificates it admits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Domain, Refusal};
use crate::identity::{Fingerprint, IdentityId, Kind};
use crate::log::checkpoint::Origin;
use crate::openpgp::certificate::Certificate;
use crate::policy::{Action, Cache, Principal, Request, Resource};
use crate::record::{Logged, SourceRef};
use crate::vocabulary::Role;

/// The certificates that the log holds, the latest of each signer.
#[derive(Debug, Clone, Default)]
pub(super) struct Signers {
    held: BTreeMap<Fingerprint, Held>,
    /// The primary fingerprint that each signing key belongs to.
    primaries: BTreeMap<Fingerprint, Fingerprint>,
    /// The certificates that have a key with this id, whatever it is for.
    by_key_id: BTreeMap<[u8; 8], BTreeSet<Fingerprint>>,
}

#[derive(Debug, Clone)]
struct Held {
    index: u64,
    certificate: Arc<Certificate>,
}

impl Signers {
    pub(super) fn by_primary(&self, primary: &Fingerprint) -> Option<&Certificate> {
        self.held.get(primary).map(|held| &*held.certificate)
    }

    pub(super) fn by_key(&self, key: &Fingerprint) -> Option<&Certificate> {
        self.by_primary(self.primaries.get(key)?)
    }

    pub(super) fn take(&mut self, index: u64, certificate: Certificate) {
        let primary = certificate.primary();
        self.primaries.extend(certificate.keys().map(|key| (key, primary)));
        for key in certificate.all_keys() {
            self.by_key_id.entry(key.key_id()).or_default().insert(primary);
        }
        self.held.insert(primary, Held { index, certificate: Arc::new(certificate) });
    }

    pub(super) fn by_key_id(&self, id: &[u8; 8]) -> impl Iterator<Item = &Certificate> {
        self.by_key_id.get(id).into_iter().flatten().filter_map(|primary| self.by_primary(primary))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Certificate> {
        self.held.values().map(|held| &*held.certificate)
    }

    /// The index of the entry with the latest state of a certificate.
    pub(super) fn index_of(&self, primary: &Fingerprint) -> Option<u64> {
        self.held.get(primary).map(|held| held.index)
    }

    /// The key of a certificate that another one has, and that one's primary fingerprint.
    fn taken(&self, certificate: &Certificate) -> Option<(Fingerprint, Fingerprint)> {
        let holder = |key| self.primaries.get(&key).map(|primary| (key, *primary));
        certificate.keys().filter_map(holder).find(|(_, holder)| *holder != certificate.primary())
    }
}

impl Domain {
    /// Whether the domain, at its present length, admits a signer's certificate as its next entry; it then takes the
    /// place of an earlier state of the same certificate.
    ///
    /// `source` is the way of an adopted one, `grants` all grants in the log to its primary fingerprint.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_certificate(
        &self,
        certificate: &Certificate,
        source: &[SourceRef],
        grants: &[Logged],
        cache: &mut Cache,
    ) -> Result<Vec<String>, Refusal> {
        let primary = certificate.primary();
        source.first().map_or(Ok(()), |nearest| self.check_source(nearest))?;
        let (length, limit) = (certificate.bytes(), self.descriptor().limits.certificate_bytes());
        if length > limit {
            return Err(Refusal::CertificateTooLong { length, limit });
        }
        if let Some((key, holder)) = self.signers.taken(certificate) {
            return Err(Refusal::CertificateKeyTaken { key, holder });
        }
        if let Some(held) = self.signers.held.get(&primary) {
            if held.certificate.id() == certificate.id() {
                return Err(Refusal::Duplicate(held.index));
            }
            if !certificate.extends(&held.certificate) {
                return Err(Refusal::CertificateShrinks(primary));
            }
        }
        let roles = self.roles_anywhere(&primary, grants);
        let is_owner = self.descriptor().owners.keys.iter().any(|owner| owner.fingerprint == primary);
        if roles.is_empty() && !is_owner {
            return Err(Refusal::CertificateNotNamed(primary));
        }
        let decision = cache.decide(
            self.policy(),
            Request {
                principal: Principal { fingerprint: Some(primary), roles, node: None },
                action: Action::Certificate { source: source.first().map(|source| source.domain.clone()) },
                resource: Resource::identity(IdentityId::Key(primary), Kind::Organisation, BTreeMap::new()),
            },
        );
        if decision.allow {
            Ok(decision.reasons)
        } else {
            Err(Refusal::NotPermitted { rules: decision.reasons, errors: decision.errors })
        }
    }

    /// The roles that the descriptor, or any grant that was ever admitted, gives to a signer: enough to have his
    /// certificate in the log, where it vouches for nothing.
    fn roles_anywhere(&self, primary: &Fingerprint, grants: &[Logged]) -> BTreeSet<Role> {
        let counts = |grant: &&Logged| !grant.is_refused() && !self.is_compromised(grant);
        let granted = grants.iter().filter(counts).filter_map(Logged::grant);
        let mut roles = self.descriptor().roles_of(primary);
        roles.extend(granted.filter(|grant| grant.grantee == *primary).map(|grant| grant.role.clone()));
        roles
    }

    pub(super) fn check_source(&self, nearest: &SourceRef) -> Result<(), Refusal> {
        let origin = Origin { domain: nearest.domain.clone(), entry0: nearest.entry0 };
        if self.source(&origin).is_none() {
            return Err(Refusal::UnknownSource(origin.domain));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openpgp::signer::{Ed25519Signer, Signer};
    use crate::samples::{changed, time, word};

    #[test]
    fn a_key_belongs_to_one_certificate() {
        let signer = Ed25519Signer::from_seed(&[1; 32], 4, time(0)).expect("a key");
        let bytes = Certificate::make(&signer, "Maker", time(0), &[0; 32]).expect("a certificate");
        let certificate = Certificate::parse(&bytes).expect("a certificate");
        let (key, holder) = (signer.public_key().fingerprint(), Fingerprint::V4([7; 20]));
        let mut domain = changed(1, |descriptor| {
            descriptor.roles.entry(word("maintainer")).or_default().signers.insert(key);
        });
        let check = |domain: &Domain| domain.check_certificate(&certificate, &[], &[], &mut Cache::default());
        assert_eq!(check(&domain), Ok(vec!["certificates".to_owned()]));
        Arc::make_mut(&mut domain.signers).primaries.insert(key, holder);
        assert_eq!(check(&domain), Err(Refusal::CertificateKeyTaken { key, holder }));
    }
}
