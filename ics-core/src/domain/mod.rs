//! A domain as its log has told it so far: which policy is in force, who its signers are, and what it admits.

mod check;
mod erase;
mod refusal;
mod signers;

use std::sync::Arc;

pub use check::{Admitted, Context, Nearing};
pub use erase::Erasable;
pub use refusal::Refusal;

use crate::descriptor::{Compromise, Descriptor, Source};
use crate::identity::Fingerprint;
use crate::log::checkpoint::Origin;
use crate::log::entry::LeafData;
use crate::openpgp::certificate::Certificate;
use crate::openpgp::signature::Issuer;
use crate::policy::{AccessPolicy, PolicyError};
use crate::record::{Logged, VoidSince};
use crate::statement::Certification;
use crate::time::Timestamp;
use crate::vocabulary::{DomainName, Effect, Role};
use signers::Signers;

/// A domain at some length of its log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Domain {
    entry0: LeafData,
    /// The version of the descriptor in force now.
    current: Version,
    /// Its access rules, with the decisions that they remember.
    policy: Arc<AccessPolicy>,
    /// Earlier versions, oldest first.
    former: Vec<Version>,
    signers: Arc<Signers>,
    /// Signers have their names from states of their certificates that stand before this index: what stands behind it
    /// is shown to nobody yet.
    named_before: u64,
    size: u64,
    last_admitted_at: Timestamp,
}

/// A version of the descriptor with the index and time of its entry; it governs the entries after it.
#[derive(Debug, Clone)]
struct Version {
    index: u64,
    admitted_at: Timestamp,
    descriptor: Arc<Descriptor>,
}

impl Version {
    const fn since(&self) -> VoidSince {
        VoidSince { index: self.index, at: self.admitted_at }
    }
}

impl Domain {
    /// A domain that consists of its first entry: the descriptor, from [`crate::descriptor::admit_first`], and the leaf
    /// data of its entry.
    ///
    /// # Errors
    /// When the descriptor's access rules cannot be compiled.
    pub fn found(entry0: LeafData, descriptor: Descriptor, admitted_at: Timestamp) -> Result<Self, PolicyError> {
        Ok(Self {
            entry0,
            policy: Arc::new(AccessPolicy::compile(&descriptor)?),
            current: Version { index: 0, admitted_at, descriptor: Arc::new(descriptor) },
            former: Vec::new(),
            signers: Arc::default(),
            named_before: u64::MAX,
            size: 1,
            last_admitted_at: admitted_at,
        })
    }

    /// Takes the next version of the descriptor, from [`crate::descriptor::admit_next`], which was admitted to the log
    /// at `index` at that time.
    ///
    /// # Errors
    /// When its access rules cannot be compiled.
    pub fn take_descriptor(
        &mut self,
        index: u64,
        descriptor: Descriptor,
        admitted_at: Timestamp,
    ) -> Result<(), PolicyError> {
        self.policy = Arc::new(AccessPolicy::compile(&descriptor)?);
        let next = Version { index, admitted_at, descriptor: Arc::new(descriptor) };
        self.former.push(core::mem::replace(&mut self.current, next));
        Ok(())
    }

    /// Takes a certification that [`Domain::check_certification`] has admitted to the log at `index`.
    pub fn take_certification(&mut self, index: u64, certification: &Certification) {
        Arc::make_mut(&mut self.signers).take_certification(index, certification);
    }

    /// The indices of the certifications that stand on a certificate, in the order of the log.
    #[must_use]
    pub fn certifications(&self, primary: &Fingerprint) -> Vec<u64> {
        self.signers.certified(primary)
    }

    /// The certificates whose key may have made a signature, going by the issuer that it names.
    #[must_use]
    pub fn may_have_issued(&self, issuer: &Issuer) -> Vec<&Certificate> {
        let id = issuer.key_id();
        let held = self.signers.by_key_id(&id);
        held.filter(|certificate| issuer.fits(&certificate.primary())).collect()
    }

    /// Sets how long the log is, and when its last entry was admitted.
    pub const fn grow_to(&mut self, size: u64, last_admitted_at: Timestamp) {
        self.size = size;
        self.last_admitted_at = last_admitted_at;
    }

    /// Entries in the log; the next one gets this index.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// When the last entry was admitted; the next one is admitted no earlier.
    #[must_use]
    pub const fn last_admitted_at(&self) -> Timestamp {
        self.last_admitted_at
    }

    /// Its identity: its name and the leaf data of its entry 0.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin { domain: self.name().clone(), entry0: self.entry0 }
    }

    /// Whether `origin` is its identity.
    #[must_use]
    pub fn is(&self, origin: &Origin) -> bool {
        self.entry0 == origin.entry0 && *self.name() == origin.domain
    }

    /// The access rules in force now.
    #[must_use]
    pub fn policy(&self) -> &AccessPolicy {
        &self.policy
    }

    /// The source that the descriptor pins for an origin, with its home's key, against which the evidence of an adopted
    /// entry is verified; `None` if it pins none.
    #[must_use]
    pub fn source(&self, origin: &Origin) -> Option<&Source> {
        self.descriptor().sources.iter().find(|source| source.origin() == *origin)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &DomainName {
        &self.descriptor().domain
    }

    /// The descriptor in force now.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.current.descriptor
    }

    /// The descriptor that governs the entry at an index.
    #[must_use]
    pub fn descriptor_at(&self, index: u64) -> &Descriptor {
        let ruling = self.versions().rev().find(|version| version.index < index);
        &ruling.or(self.former.first()).unwrap_or(&self.current).descriptor
    }

    /// All versions of the descriptor, oldest first.
    fn versions(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.former.iter().chain([&self.current])
    }

    /// All descriptors, oldest first.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.versions().map(|version| &*version.descriptor)
    }

    /// Since when each descriptor has been in force, oldest first.
    pub fn ruled_since(&self) -> impl Iterator<Item = VoidSince> {
        self.versions().map(Version::since)
    }

    /// The domain as it was when its log had `size` entries, for judging anew what had been said by then. What it
    /// admits and who its signers are remain those of now.
    #[must_use]
    pub fn as_of(&self, size: u64) -> Self {
        let mut then = self.clone();
        while then.current.index >= size
            && let Some(version) = then.former.pop()
        {
            then.current = version;
        }
        then.size = size.min(self.size);
        then
    }

    /// The same for whoever is shown no more than so many entries: signers, too, are called as their certificates
    /// called them then.
    #[must_use]
    pub fn shown_at(&self, size: u64) -> Self {
        Self { named_before: size, ..self.as_of(size) }
    }

    /// The indices of the entries with all descriptors, in the order of the log.
    pub fn descriptor_indices(&self) -> impl Iterator<Item = u64> {
        self.versions().map(|version| version.index)
    }

    /// All descriptors with the indices of their entries.
    #[cfg(test)]
    pub(crate) fn chain(&self) -> Vec<(u64, Descriptor)> {
        self.versions().map(|version| (version.index, Descriptor::clone(&version.descriptor))).collect()
    }

    /// The first User ID of a signer's certificate; `None` if the certificate is not in the log, or has none that is
    /// shown.
    #[must_use]
    pub fn name_of(&self, primary: &Fingerprint) -> Option<String> {
        self.signers.name_before(primary, self.named_before).cloned()
    }

    /// The certificate that holds a key, primary or not.
    ///
    /// # Errors
    /// When no certificate in the log does.
    pub fn signer(&self, issuer: &Fingerprint) -> Result<&Certificate, Refusal> {
        self.signers.by_key(issuer).ok_or(Refusal::UnknownSigner(*issuer))
    }

    /// The certificate with this primary key, and the index of the entry that holds its latest state; `None` if it is
    /// not in the log.
    #[must_use]
    pub fn certificate(&self, primary: &Fingerprint) -> Option<(u64, &Certificate)> {
        Some((self.signers.index_of(primary)?, self.signers.by_primary(primary)?))
    }

    /// The indices of the entries with all states of the certificate with this primary key, in the order of the log.
    pub fn certificate_states(&self, primary: &Fingerprint) -> impl Iterator<Item = u64> {
        self.signers.states_of(primary)
    }

    /// The latest state of every certificate in the log, by primary fingerprint.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.signers.all()
    }

    /// The certificates that have a key with this id (RFC 9580, 5.5.4), including subkeys that cannot sign.
    pub fn certificates_with_key_id(&self, id: &[u8; 8]) -> impl Iterator<Item = &Certificate> {
        self.signers.by_key_id(id)
    }

    /// Whether both are the same domain at two times with the very same certificates: what was verified under the
    /// certificates of one holds for the other.
    #[must_use]
    pub fn has_certificates_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.signers, &other.signers)
    }

    /// Takes a certificate that [`Domain::check_certificate`] has admitted to the log at `index`. The certificate
    /// itself knows when the log heard of it ([`Certificate::heard_at`]).
    pub fn take_certificate(&mut self, index: u64, certificate: Certificate) {
        Arc::make_mut(&mut self.signers).take(index, certificate);
    }

    /// Whether the descriptor gives a signer a role now.
    pub(crate) fn holds_now(&self, signer: &Fingerprint, role: &Role) -> bool {
        holds(self.descriptor(), signer, role)
    }

    /// Whether the descriptor that governs the entry at `index` gave a signer a role.
    pub(crate) fn held_at(&self, index: u64, signer: &Fingerprint, role: &Role) -> bool {
        holds(self.descriptor_at(index), signer, role)
    }

    /// The effect of the status that a statement gives: as the descriptor says now or, if the status has been dropped
    /// since, as it said when the statement was admitted, because dropping a status lifts no block. Failing both, an
    /// erased statement has the effect that its erasure restates.
    #[must_use]
    pub fn effect_of(&self, statement: &Logged) -> Option<Effect> {
        let status = statement.claims().status.as_ref()?;
        let kind = statement.subject().kind();
        let now = self.descriptor().effect(status, kind);
        let then = || self.descriptor_at(statement.index()).effect(status, kind);
        now.or_else(then).or_else(|| statement.restated_effect())
    }

    /// Whether the status that a statement gives has blocked for ever under any descriptor since it was admitted or,
    /// for an erased one, before.
    pub(crate) fn has_blocked_for_ever(&self, statement: &Logged) -> bool {
        let Some(status) = &statement.claims().status else { return false };
        let (index, kind) = (statement.index(), statement.subject().kind());
        let later = self.versions().filter(|version| version.index > index);
        let mut ruling = later.map(|version| &*version.descriptor).chain([self.descriptor_at(index)]);
        let for_ever = Some(Effect::BlocksForEver);
        statement.restated_effect() == for_ever || ruling.any(|descriptor| descriptor.effect(status, kind) == for_ever)
    }

    /// Whether the owners' threshold has lifted it.
    pub(crate) fn is_lifted(&self, statement: &Logged) -> bool {
        self.descriptor().has_lifted(&statement.id())
    }

    /// Since which descriptor a statement no longer counts, either lifted or because its signer is compromised.
    pub(crate) fn void_since(&self, statement: &Logged) -> Option<VoidSince> {
        let is_void = |descriptor: &Descriptor| {
            descriptor.has_lifted(&statement.id()) || self.is_compromised_by(descriptor, statement)
        };
        self.versions().rev().take_while(|version| is_void(&version.descriptor)).last().map(Version::since)
    }

    /// Whether a statement's signer counts as compromised at its place in this log or in one that it came through. A
    /// remnant falls as the erased statement would have, with the signer who made that; if its erasure does not name
    /// the signer, it is the word of as many owners as a descriptor needs, not of one signer.
    pub(crate) fn is_compromised(&self, statement: &Logged) -> bool {
        self.is_compromised_by(self.descriptor(), statement)
    }

    fn is_compromised_by(&self, descriptor: &Descriptor, statement: &Logged) -> bool {
        let Some((signer, index, source)) = statement.hangs_on() else { return false };
        let from = |domain| descriptor.compromised_from(&signer, domain);
        let sources = source.iter().map(|source| (&source.domain, source.index));
        core::iter::once((self.name(), index))
            .chain(sources)
            .any(|(domain, index)| from(domain).is_some_and(|from| from <= index))
    }

    /// Whether a signer's key is declared compromised by now, so that its holder may be somebody else: from an entry of
    /// this log on that exists or comes next, or in another log, whose length nobody here knows.
    #[must_use]
    pub fn is_key_compromised(&self, signer: &Fingerprint) -> bool {
        let has_begun =
            |it: &Compromise| it.signer == *signer && (it.domain != *self.name() || it.from_index <= self.size);
        self.descriptor().compromised.iter().any(has_begun)
    }
}

fn holds(descriptor: &Descriptor, signer: &Fingerprint, role: &Role) -> bool {
    descriptor.roles.get(role).is_some_and(|spec| spec.signers.contains(signer))
}

#[cfg(test)]
mod tests;
