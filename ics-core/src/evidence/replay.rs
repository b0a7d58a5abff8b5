//! Rebuilds a domain from the entries in evidence, one after the other, under the rules by which its home admitted
//! them.

use std::collections::BTreeMap;

use super::head::home_key;
use super::open::Opened;
use super::verified::{Line, Refused};
use super::{EntryFault, EvidenceRefusal};
use crate::descriptor::Descriptor;
use crate::domain::{Context, Domain, Refusal};
use crate::identity::IdentityId;
use crate::log::entry::Header;
use crate::log::source::EvidenceError as SourceError;
use crate::openpgp::certificate::Certificate;
use crate::record::{Identity, Logged, SourceRef};
use crate::statement::verify::Unverified;
use crate::statement::{Body, SignedErasure, verify};

/// The domain, and what was said in it.
pub(super) struct Replay {
    pub(super) domain: Domain,
    /// All statements by what they are about, in the order of the log.
    pub(super) about: BTreeMap<IdentityId, Vec<Logged>>,
    /// The statements about groups, in the order of the log.
    pub(super) groups: Vec<Logged>,
    pub(super) lines: Vec<Line>,
    /// The erased statements about each identity: the index of each, and that of its erasure.
    erased: BTreeMap<IdentityId, Vec<(u64, u64)>>,
}

impl Replay {
    /// Begins with entry 0.
    pub(super) fn found(first: &Opened<'_>, descriptor: Descriptor) -> Result<Self, EvidenceRefusal> {
        let domain = Domain::found(first.leaf_data(), descriptor, first.header.admitted_at);
        let domain = domain.map_err(|error| EntryFault::from(error).at(first.index()))?;
        let (about, erased) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { domain, about, groups: Vec::new(), lines: Vec::new(), erased })
    }

    /// Notes the erasures before the entries are taken one by one: what was said between a statement and its erasure
    /// was judged with the erased statement.
    pub(super) fn foresee(&mut self, entries: &[Opened<'_>]) {
        for opened in entries {
            let Body::Erasure(signed) = &opened.body else { continue };
            if let (Some(index), Some(identity)) = (signed.erasure.index, signed.erasure.identity) {
                self.erased.entry(identity.id).or_default().push((index, opened.index()));
            }
        }
    }

    /// Takes the next entry; `descriptor` is the one that it puts in force, if it is one.
    pub(super) fn take(&mut self, opened: Opened<'_>, descriptor: Option<Descriptor>) -> Result<(), EvidenceRefusal> {
        let (index, admitted_at) = (opened.index(), opened.header.admitted_at);
        self.take_body(opened, descriptor).map_err(|fault| fault.at(index))?;
        self.domain.grow_to(index.saturating_add(1), admitted_at);
        Ok(())
    }

    fn take_body(&mut self, opened: Opened<'_>, descriptor: Option<Descriptor>) -> Result<(), EntryFault> {
        self.verify_source(&opened)?;
        let index = opened.index();
        match opened.body {
            Body::Certificate(certificate) => self.take_certificate(index, &opened.header, certificate),
            Body::Statement(statement) => self.take_statement(index, &opened.header, *statement),
            Body::Descriptor(_) => {
                let at = opened.header.admitted_at;
                Ok(descriptor.map_or(Ok(()), |next| self.domain.take_descriptor(index, next, at))?)
            }
            Body::Erasure(erasure) => self.take_erasure(index, &opened.header, &erasure),
            Body::Certification(_) => Ok(()),
        }
    }

    /// Verifies that an adopted entry is in the log of its source, if the descriptor pins that source; if it does not,
    /// the rules refuse the entry.
    fn verify_source(&self, opened: &Opened<'_>) -> Result<(), EntryFault> {
        let Some(source) = &opened.header.source else { return Ok(()) };
        let Some(pinned) = self.domain.source(&source.origin) else { return Ok(()) };
        let proven = home_key(&source.origin, &pinned.home)
            .map_err(SourceError::from)
            .and_then(|home| source.verify(&opened.entry.body, &home));
        proven.map(drop).map_err(EntryFault::Source)
    }

    /// Takes a certificate. What names its holder may be elsewhere in the log, in a grant over another thing, and is
    /// not required, since a certificate vouches for nothing. It is only required that it does not displace another
    /// one.
    fn take_certificate(&mut self, index: u64, header: &Header, certificate: Certificate) -> Result<(), EntryFault> {
        let way = SourceRef::way(header)?;
        match self.domain.check_certificate(&certificate, &way, &[]) {
            Ok(()) | Err(Refusal::CertificateNotNamed(_) | Refusal::NotPermitted { .. }) => {
                self.domain.take_certificate(index, certificate.heard_at(header.heard_at()));
                Ok(())
            }
            Err(refusal) => Err(EntryFault::Certificate(refusal)),
        }
    }

    fn take_statement(&mut self, index: u64, header: &Header, unverified: Unverified) -> Result<(), EntryFault> {
        let issuer = unverified.issuer();
        let certificate = self.domain.signer(&issuer).map_err(|_| EntryFault::UnknownSigner(issuer))?;
        let statement = verify(unverified, certificate, header.keys_judged_at())?;
        let entry = Logged::new(index, header, &statement)?;
        let refusal = self.judge(&entry).err();
        self.lines.push(self.line(&entry, refusal.as_ref()));
        let entry = if refusal.is_some() { entry.refused() } else { entry };
        if matches!(entry.subject_id(), IdentityId::Group(_)) {
            self.groups.push(entry.clone());
        }
        self.about.entry(entry.subject_id()).or_default().push(entry);
        Ok(())
    }

    /// Takes an erasure. The owners state what remains; without the erased body it can no longer be checked that they
    /// do so correctly. It is checked that they erased it in this log, or the home alone could insert what they signed
    /// for another one.
    fn take_erasure(&mut self, index: u64, header: &Header, signed: &SignedErasure) -> Result<(), EntryFault> {
        self.domain.descriptor().require_owners(signed)?;
        if header.source.is_some() {
            return Err(EntryFault::ErasureAdopted);
        }
        self.domain.check_erasure_alone(signed, header.admitted_at).map_err(EntryFault::Erasure)?;
        if let Some(left) = Logged::from_erasure(index, header, signed)? {
            self.about.entry(left.subject_id()).or_default().push(left);
        }
        Ok(())
    }

    /// Applies the home's admission rule, over the statements before.
    fn judge(&self, entry: &Logged) -> Result<(), Refusal> {
        let about = self.about.get(&entry.subject_id()).map(Vec::as_slice).unwrap_or_default();
        let erased = self.erased.get(&entry.subject_id()).into_iter().flatten();
        let unseen = erased.into_iter().any(|(stood, erased)| *stood < entry.index() && entry.index() < *erased);
        let context = Context { about, groups: &self.groups, unseen };
        self.domain.check(entry, &context).map(drop)
    }

    fn line(&self, entry: &Logged, refusal: Option<&Refusal>) -> Line {
        Line {
            index: entry.index(),
            id: entry.id(),
            about: Identity { id: entry.subject_id(), kind: entry.subject().kind() },
            signer: entry.signer(),
            name: self.domain.name_of(&entry.signer()),
            role: entry.claims().role.clone(),
            act: entry.claims().act,
            refused: refusal.map(|refusal| Refused { code: refusal.code(), why: refusal.to_string() }),
        }
    }
}
