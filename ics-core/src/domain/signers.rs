//! The signers of a domain, by their certificates, and which certificates it admits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Domain, Refusal};
use crate::identity::{Fingerprint, IdentityId, Kind};
use crate::log::checkpoint::Origin;
use crate::openpgp::certificate::Certificate;
use crate::policy::{Action, Decision, Principal, Request, Resource};
use crate::record::{Logged, SourceRef};
use crate::statement::Certification;
use crate::vocabulary::Role;

/// The certificates that the log holds, the latest of each signer.
#[derive(Debug, Clone, Default)]
pub(super) struct Signers {
    held: BTreeMap<Fingerprint, Held>,
    /// The primary fingerprint that each signing key belongs to.
    primaries: BTreeMap<Fingerprint, Fingerprint>,
    /// The certificates that have a key with this id, whatever its purpose.
    by_key_id: BTreeMap<[u8; 8], BTreeSet<Fingerprint>>,
}

#[derive(Debug, Clone)]
struct Held {
    index: u64,
    /// The indices of its earlier states, in the order of the log.
    former: Vec<u64>,
    /// Each first User ID that it has had, behind the index of the state that brought it; the newest is last.
    named: Vec<(u64, Option<String>)>,
    certificate: Arc<Certificate>,
    /// Certifications of it by others, in the order of the log.
    certified: Vec<Certified>,
}

/// A certification in the log.
#[derive(Debug, Clone)]
struct Certified {
    index: u64,
    signer: Fingerprint,
    bytes: usize,
    revokes: bool,
}

impl Signers {
    pub(super) fn by_primary(&self, primary: &Fingerprint) -> Option<&Certificate> {
        self.held.get(primary).map(|held| &*held.certificate)
    }

    pub(super) fn by_key(&self, key: &Fingerprint) -> Option<&Certificate> {
        self.by_primary(self.primaries.get(key)?)
    }

    /// The first User ID of a certificate, as it was before an index.
    pub(super) fn name_before(&self, primary: &Fingerprint, end: u64) -> Option<&String> {
        let (_, name) = self.held.get(primary)?.named.iter().rev().find(|(since, _)| *since < end)?;
        name.as_ref()
    }

    pub(super) fn take(&mut self, index: u64, certificate: Certificate) {
        let primary = certificate.primary();
        self.primaries.extend(certificate.keys().map(|key| (key, primary)));
        for key in certificate.all_keys() {
            self.by_key_id.entry(key.key_id()).or_default().insert(primary);
        }
        match self.held.get_mut(&primary) {
            Some(held) => {
                held.former.push(held.index);
                let name = certificate.user_ids().first();
                if held.named.last().is_none_or(|(_, last)| last.as_ref() != name) {
                    held.named.push((index, name.cloned()));
                }
                let certificate = Arc::new(certificate.behind(&held.certificate));
                (held.index, held.certificate) = (index, certificate);
            }
            None => {
                let named = vec![(index, certificate.user_ids().first().cloned())];
                let (former, certified, certificate) = (Vec::new(), Vec::new(), Arc::new(certificate));
                self.held.insert(primary, Held { index, former, named, certificate, certified });
            }
        }
    }

    pub(super) fn by_key_id(&self, id: &[u8; 8]) -> impl Iterator<Item = &Certificate> {
        self.by_key_id.get(id).into_iter().flatten().filter_map(|primary| self.by_primary(primary))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Certificate> {
        self.held.values().map(|held| &*held.certificate)
    }

    pub(super) fn take_certification(&mut self, index: u64, certification: &Certification) {
        let Certification { target, signer, bytes, revokes, .. } = *certification;
        if let Some(held) = self.held.get_mut(&target) {
            held.certified.push(Certified { index, signer, bytes, revokes });
        }
    }

    /// The indices of the certifications on a certificate.
    pub(super) fn certified(&self, primary: &Fingerprint) -> Vec<u64> {
        let held = self.held.get(primary).map(|held| held.certified.as_slice()).unwrap_or_default();
        held.iter().map(|certified| certified.index).collect()
    }

    /// The index of the entry with the latest state of a certificate.
    pub(super) fn index_of(&self, primary: &Fingerprint) -> Option<u64> {
        self.held.get(primary).map(|held| held.index)
    }

    /// The indices of the entries with the states of a certificate, in the order of the log.
    pub(super) fn states_of(&self, primary: &Fingerprint) -> impl Iterator<Item = u64> {
        let held = self.held.get(primary).into_iter();
        held.flat_map(|held| held.former.iter().copied().chain([held.index]))
    }

    /// A key of a certificate that another certificate already has, with the primary fingerprint of that one.
    fn taken(&self, certificate: &Certificate) -> Option<(Fingerprint, Fingerprint)> {
        let holder = |key| self.primaries.get(&key).map(|primary| (key, *primary));
        certificate.keys().filter_map(holder).find(|(_, holder)| *holder != certificate.primary())
    }
}

impl Domain {
    /// Whether the domain, at its present length, admits a signer's certificate as its next entry; it then replaces an
    /// earlier state of the same certificate.
    ///
    /// `source` is the path of an adopted one, `grants` all grants in the log to its primary fingerprint.
    ///
    /// A holder who adds a revocation of the key of a certificate that is already here needs no room, no role any more,
    /// and no permitting rule. Otherwise a thief could fill the certificate and so prevent the revocation, and the key
    /// of somebody who has left could never be revoked.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_certificate(
        &self,
        certificate: &Certificate,
        source: &[SourceRef],
        grants: &[Logged],
    ) -> Result<(), Refusal> {
        let primary = certificate.primary();
        source.first().map_or(Ok(()), |nearest| self.check_source(nearest))?;
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
            if certificate.ends(&held.certificate) {
                return Ok(());
            }
        }
        let (length, limit) = (certificate.bytes(), self.descriptor().limits.certificate_bytes());
        if length > limit {
            return Err(Refusal::CertificateTooLong { length, limit });
        }
        let roles = self.roles_anywhere(&primary, grants);
        let is_owner = self.descriptor().owners.keys.iter().any(|owner| owner.fingerprint == primary);
        if roles.is_empty() && !is_owner {
            return Err(Refusal::CertificateNotNamed(primary));
        }
        let principal = Principal { fingerprint: Some(primary), roles, node: None };
        let action = Action::Certificate { source: source.first().map(|source| source.domain.clone()) };
        self.permitted(principal, action, primary)
    }

    /// The access rules that let a signer's certificate, or what somebody says about it, into the log.
    fn permitted(&self, principal: Principal, action: Action, about: Fingerprint) -> Result<(), Refusal> {
        let resource = Resource::identity(IdentityId::Key(about), Kind::Organisation, BTreeMap::new());
        let Decision { allow, reasons, errors } = self.policy().decide_again(Request { principal, action, resource });
        if allow { Ok(()) } else { Err(Refusal::NotPermitted { said: None, rules: reasons, errors }) }
    }

    /// Whether the domain, at its present length, admits as its next entry somebody's certification of a User ID of a
    /// certificate that is here. It entitles to nothing and changes no record.
    ///
    /// The certifications on one certificate are bounded: by the quota of each signer, and together with the
    /// certificate by the length that the domain allows. A signer's first revocation is admitted regardless.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_certification(&self, certification: &Certification, source: &[SourceRef]) -> Result<(), Refusal> {
        let Certification { target, signer, bytes, revokes, .. } = *certification;
        source.first().map_or(Ok(()), |nearest| self.check_source(nearest))?;
        let held = self.signers.held.get(&target).ok_or(Refusal::CertifiesUnknown(target))?;
        let mut user_ids = held.certificate.user_ids().iter().chain(held.certificate.revoked_user_ids());
        if !user_ids.any(|user_id| *user_id == certification.user_id) {
            return Err(Refusal::CertifiesUnknown(target));
        }
        if self.descriptor().compromised_from(&signer, self.name()).is_some_and(|from| from <= self.size) {
            return Err(Refusal::SignerCompromised(signer));
        }
        let by_signer = || held.certified.iter().filter(|it| it.signer == signer);
        if !revokes || by_signer().any(|it| it.revokes) {
            let quota = self.descriptor().limits.statements_per_signer_and_identity();
            if by_signer().count() >= quota {
                return Err(Refusal::Quota(quota));
            }
            let length = held.certificate.bytes() + held.certified.iter().map(|it| it.bytes).sum::<usize>() + bytes;
            let limit = self.descriptor().limits.certificate_bytes();
            if length > limit {
                return Err(Refusal::CertificateTooLong { length, limit });
            }
        }
        let roles = self.descriptor().roles_of(&signer);
        let principal = Principal { fingerprint: Some(signer), roles, node: None };
        let action = Action::Certification { source: source.first().map(|source| source.domain.clone()) };
        self.permitted(principal, action, target)
    }

    /// The roles that the descriptor, or any grant that was ever admitted, gives a signer: enough for a certificate to
    /// be in the log, where it vouches for nothing.
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
    use crate::limits;
    use crate::openpgp::signature::{Draft, KEY_REVOCATION, Over, write_packet};
    use crate::openpgp::signer::{Ed25519Signer, Signer};
    use crate::openpgp::subpacket::REASON;
    use crate::samples::{changed, time, word};
    use crate::statement::make::certify_user_id;
    use crate::statement::{Body, parse};

    #[test]
    fn a_key_belongs_to_one_certificate() {
        let signer = Ed25519Signer::from_seed(&[1; 32], 4, time(0)).expect("a key");
        let bytes = Certificate::make(&signer, "Maker", time(0), &[0; 32]).expect("a certificate");
        let certificate = Certificate::parse(&bytes).expect("a certificate");
        let (key, holder) = (signer.public_key().fingerprint(), Fingerprint::V4([7; 20]));
        let mut domain = changed(1, |descriptor| {
            descriptor.roles.entry(word("maintainer")).or_default().signers.insert(key);
        });
        let check = |domain: &Domain| domain.check_certificate(&certificate, &[], &[]);
        assert_eq!(check(&domain), Ok(()));
        Arc::make_mut(&mut domain.signers).primaries.insert(key, holder);
        assert_eq!(check(&domain), Err(Refusal::CertificateKeyTaken { key, holder }));
    }

    /// A signer's name may have changed in an entry that waits for witnesses and is not shown to anybody yet.
    #[test]
    fn a_signer_has_the_name_that_the_shown_certificate_gives() {
        let signer = Ed25519Signer::from_seed(&[1; 32], 4, time(0)).expect("a key");
        let key = signer.public_key().fingerprint();
        let named = |name: &str| {
            let bytes = Certificate::make(&signer, name, time(0), &[0; 32]).expect("a certificate");
            Certificate::parse(&bytes).expect("a certificate")
        };
        let mut domain = crate::samples::domain();
        for (index, name) in [(2, "Maker"), (4, "Maker"), (6, "Acme")] {
            domain.take_certificate(index, named(name));
        }
        domain.grow_to(7, time(6));
        assert_eq!(domain.name_of(&key).as_deref(), Some("Acme"));
        let shown = |size: u64| domain.shown_at(size).name_of(&key);
        let expected = [None, Some("Maker"), Some("Maker"), Some("Acme")];
        assert_eq!([2, 3, 6, 7].map(shown), expected.map(|name| name.map(str::to_owned)));
    }

    /// A certificate with revocations of its key, for these reasons.
    fn revoked(signer: &Ed25519Signer, reasons: &[u8]) -> Certificate {
        let key = signer.public_key();
        let made = Certificate::make(signer, "Maker", time(0), &[0; 32]).expect("a certificate");
        let (packet, rest) = made.split_at(key.to_packet().len());
        let mut bytes = packet.to_vec();
        for reason in reasons {
            let draft = Draft::new(KEY_REVOCATION, signer, time(1)).with(REASON, &[*reason]);
            write_packet(&mut bytes, &draft.sign(signer, Over::Key(key.body()), &[0; 32]).expect("signed"));
        }
        bytes.extend_from_slice(rest);
        Certificate::parse(&bytes).expect("a certificate")
    }

    #[test]
    fn the_holder_of_a_key_that_is_here_revokes_it_once_without_room_name_or_rule() {
        let signer = Ed25519Signer::from_seed(&[1; 32], 4, time(0)).expect("a key");
        let states: [&[u8]; 4] = [&[], &[3], &[3, 2], &[3, 2, 0]];
        let [plain, retired, stolen, again] = states.map(|reasons| revoked(&signer, reasons));
        for limit in [1, limits::CERTIFICATE_BYTES] {
            let mut domain = changed(1, |descriptor| descriptor.limits.certificate_bytes = Some(limit));
            let check = |domain: &Domain, certificate: &Certificate| domain.check_certificate(certificate, &[], &[]);
            assert!(check(&domain, &retired).is_err(), "of a key that is not here");
            domain.take_certificate(2, plain.clone());
            assert_eq!(check(&domain, &retired), Ok(()));
            domain.take_certificate(3, retired.clone());
            assert_eq!(check(&domain, &stolen), Ok(()), "which its holder learned later");
            domain.take_certificate(4, stolen.clone());
            assert!(check(&domain, &again).is_err());
        }
    }

    /// A domain with the certificates of two parties, and what the second has certified of the first.
    fn certified(change: impl FnOnce(&mut crate::descriptor::Descriptor)) -> (Domain, Vec<Certification>) {
        let signers = [1, 2].map(|seed| Ed25519Signer::from_seed(&[seed; 32], 4, time(0)).expect("a key"));
        let mut domain = changed(1, |descriptor| {
            let maintainers = &mut descriptor.roles.entry(word("maintainer")).or_default().signers;
            maintainers.extend(signers.iter().map(|signer| signer.public_key().fingerprint()));
            descriptor.access.push_str(
                "\n@id(\"certification-by-a-party\")\n\
                 permit (principal in Role::\"maintainer\", action == Action::\"certification\", resource);",
            );
            change(descriptor);
        });
        let certificates = signers.each_ref().map(|signer| {
            let bytes = Certificate::make(signer, "Maker", time(0), &[0; 32]).expect("a certificate");
            Certificate::parse(&bytes).expect("a certificate")
        });
        certificates.iter().for_each(|certificate| domain.take_certificate(1, certificate.clone()));
        let [one, two] = &signers;
        let make = |seconds| {
            let body = certify_user_id(two, one.public_key(), "Maker", time(seconds), &[0; 32]).expect("made");
            let Ok(Body::Certification(made)) = parse(&body) else { panic!("no certification") };
            made.verify(&certificates[1], time(100)).expect("good")
        };
        (domain, (1..=3).map(make).collect())
    }

    fn check(domain: &Domain, certification: &Certification) -> Result<(), Refusal> {
        domain.check_certification(certification, &[])
    }

    #[test]
    fn parties_certify_each_other() {
        let (domain, made) = certified(|_| ());
        assert_eq!(check(&domain, &made[0]), Ok(()));
        let elsewhere = Certification { target: Fingerprint::V4([7; 20]), ..made[0].clone() };
        assert_eq!(check(&domain, &elsewhere), Err(Refusal::CertifiesUnknown(elsewhere.target)));
        let other_name = Certification { user_id: "Somebody else".to_owned(), ..made[0].clone() };
        assert_eq!(check(&domain, &other_name), Err(Refusal::CertifiesUnknown(other_name.target)));
        let stranger = Certification { signer: Fingerprint::V4([7; 20]), ..made[0].clone() };
        assert!(matches!(check(&domain, &stranger), Err(Refusal::NotPermitted { .. })));
    }

    #[test]
    fn what_stands_on_a_certificate_is_bounded_but_for_a_first_revocation() {
        let (mut domain, made) = certified(|descriptor| {
            descriptor.limits.statements_per_signer_and_identity = Some(2);
        });
        domain.take_certification(2, &made[0]);
        assert!(check(&domain, &made[1]).is_ok());
        domain.take_certification(3, &made[1]);
        assert_eq!(check(&domain, &made[2]), Err(Refusal::Quota(2)));
        let revocation = Certification { revokes: true, ..made[2].clone() };
        assert!(check(&domain, &revocation).is_ok());
        domain.take_certification(4, &revocation);
        assert_eq!(check(&domain, &revocation), Err(Refusal::Quota(2)));
        assert_eq!(domain.certifications(&made[0].target()), [2, 3, 4]);

        let length = domain.certificate(&made[0].target()).expect("held").1.bytes();
        let (mut domain, made) = certified(|descriptor| {
            descriptor.limits.certificate_bytes = Some(length + made[0].bytes * 2);
        });
        domain.take_certification(2, &made[0]);
        assert!(check(&domain, &made[1]).is_ok());
        domain.take_certification(3, &made[1]);
        assert!(matches!(check(&domain, &made[2]), Err(Refusal::CertificateTooLong { .. })));
    }
}
