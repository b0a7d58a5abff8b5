//! From evidence to premises: checks proofs, signatures and the order of the log, and which statements were to be
//! admitted.

use std::collections::{BTreeMap, BTreeSet};

use super::admitted::is_admitted;
use super::standing::{Scene, ruling};
use super::{Exhibit, Rejection};
use crate::descriptor::Descriptor;
use crate::domain::Refusal;
use crate::evidence::{EntryFault, Opened, Proved, proved};
use crate::identity::{Fingerprint, IdentityId};
use crate::limits;
use crate::log::Hash;
use crate::log::checkpoint::Origin;
use crate::log::entry::Header;
use crate::log::source::{EvidenceError as SourceError, Source};
use crate::openpgp::certificate::Certificate;
use crate::record::Logged;
use crate::statement::{Body, SignedErasure, verify};
use crate::time::Timestamp;

/// What is proven about one domain and what it says about one thing.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) origin: Origin,
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// When its home last confirmed that there are no more entries, as far as the answerer believes that.
    pub(crate) as_of: Timestamp,
    /// Its descriptors with their indices; never empty.
    pub(crate) chain: Vec<(u64, Descriptor)>,
    /// What the statements are about; absent if nothing is said.
    pub(crate) id: Option<IdentityId>,
    /// By index; what should not have been admitted is marked as refused.
    pub(crate) statements: Vec<Logged>,
    /// The first User ID of each certificate.
    pub(crate) names: BTreeMap<Fingerprint, String>,
    /// When the statements were judged, if not when the answer was given.
    pub(crate) judged_at: Option<Timestamp>,
    pub(crate) withheld: bool,
}

/// What the log has held so far.
struct Reading {
    chain: Vec<(u64, Descriptor)>,
    certificates: BTreeMap<Fingerprint, Certificate>,
    statements: Vec<Logged>,
    /// For each erased statement, its index and that of its erasure.
    erased: Vec<(IdentityId, u64, u64)>,
    last: Timestamp,
}

impl Heard {
    /// Opens evidence for an answer at a time; without statements it only shows how far the domain reaches.
    pub(super) fn open(exhibit: &Exhibit, at: Timestamp) -> Result<Self, Rejection> {
        let Exhibit { evidence, withheld, believed } = exhibit;
        if evidence.entries.len() > limits::CASE_ENTRIES {
            return Err(Rejection::Entries { domain: evidence.domain.clone(), entries: evidence.entries.len() });
        }
        let refused = |refusal| Rejection::Evidence { domain: evidence.domain.clone(), refusal: Box::new(refusal) };
        let Proved { origin, head, chain, entries } = proved(evidence, None).map_err(refused)?;
        let mut reading = Reading {
            chain,
            certificates: BTreeMap::new(),
            statements: Vec::new(),
            erased: entries.iter().filter_map(erased).collect(),
            last: Timestamp::default(),
        };
        for opened in entries {
            let index = opened.index();
            reading.take(opened).map_err(|fault| refused(fault.at(index)))?;
        }
        let ids = IdentityId::candidates(&evidence.id).unwrap_or_default();
        let said = |id: &IdentityId| reading.statements.iter().any(|s| s.subject_id() == *id);
        Ok(Self {
            origin,
            size: head.checkpoint.size,
            root: head.checkpoint.root,
            as_of: counted(head.cosigned_at.unwrap_or_default(), *believed, at),
            chain: reading.chain,
            id: ids.into_iter().find(said),
            statements: reading.statements,
            names: reading.certificates.iter().filter_map(named).collect(),
            judged_at: None,
            withheld: *withheld,
        })
    }

    /// The statements as they stand at a time.
    pub(super) fn scene(&self, at: Timestamp) -> Option<Scene<'_>> {
        let thing = self.id?;
        Some(Scene { chain: &self.chain, statements: &self.statements, thing, before: u64::MAX, at })
    }

    /// The newest descriptor.
    pub(super) fn descriptor(&self) -> &Descriptor {
        ruling(&self.chain, u64::MAX)
    }
}

/// Rule 3.5: the answerer may believe an earlier time than the home has signed, but never one that is not to be
/// believed. So they can make the news older than it is, never newer.
fn counted(signed: Timestamp, believed: Option<Timestamp>, at: Timestamp) -> Timestamp {
    let Some(believed) = believed else { return signed };
    signed.believed_at(at).map(|time| time.min(believed)).unwrap_or_default()
}

fn named((primary, certificate): (&Fingerprint, &Certificate)) -> Option<(Fingerprint, String)> {
    Some((*primary, certificate.user_ids().first()?.clone()))
}

/// The time at which a signer's key must be good: that of the first admission that the header proves.
fn signed_under(header: &Header) -> Result<Timestamp, EntryFault> {
    match &header.source {
        Some(Source { header, .. }) => Ok(Header::decode(header)?.admitted_at),
        None => Ok(header.admitted_at),
    }
}

fn erased(opened: &Opened<'_>) -> Option<(IdentityId, u64, u64)> {
    let Body::Erasure(signed) = &opened.body else { return None };
    Some((signed.erasure.identity?.id, signed.erasure.index?, opened.index()))
}

impl Reading {
    fn take(&mut self, opened: Opened<'_>) -> Result<(), EntryFault> {
        let (index, header) = (opened.index(), &opened.header);
        if let Some(source) = &header.source
            && let Some(pinned) = ruling(&self.chain, index).sources.iter().find(|it| it.origin() == source.origin)
        {
            let key = pinned.home.home_of(&source.origin).map_err(|_| EntryFault::Source(SourceError::Leaf))?;
            source.verify(&opened.entry.body, &key).map_err(EntryFault::Source)?;
        }
        match &opened.body {
            Body::Certificate(certificate) => self.take_certificate(certificate, header)?,
            Body::Statement(unverified) => {
                let issuer = unverified.issuer();
                let signer = self.certificates.values().find(|certificate| certificate.keys().any(|key| key == issuer));
                let signer = signer.ok_or(EntryFault::UnknownSigner(issuer))?;
                let statement = verify((**unverified).clone(), signer, signed_under(header)?)?;
                self.take_statement(Logged::new(index, header, &statement)?);
            }
            Body::Erasure(signed) => self.take_erasure(index, header, signed)?,
            Body::Descriptor(_) | Body::Certification(_) => {}
        }
        self.last = header.admitted_at;
        Ok(())
    }

    /// Takes a certificate: it may only grow, and no key may be in two certificates.
    fn take_certificate(&mut self, certificate: &Certificate, header: &Header) -> Result<(), EntryFault> {
        let primary = certificate.primary();
        let keys: BTreeSet<Fingerprint> = certificate.keys().collect();
        let others = self.certificates.values().filter(|other| other.primary() != primary);
        let is_taken = others.flat_map(Certificate::keys).any(|key| keys.contains(&key));
        let earlier = self.certificates.get(&primary);
        if is_taken || earlier.is_some_and(|earlier| !certificate.extends(earlier)) {
            return Err(EntryFault::UnknownSigner(primary));
        }
        let heard = certificate.clone().heard_at(signed_under(header)?.min(header.admitted_at));
        let heard = match earlier {
            Some(earlier) => heard.behind(earlier),
            None => heard,
        };
        self.certificates.insert(primary, heard);
        Ok(())
    }

    /// Takes an erasure by the owners of this domain, made for this log and in time.
    fn take_erasure(&mut self, index: u64, header: &Header, signed: &SignedErasure) -> Result<(), EntryFault> {
        let descriptor = ruling(&self.chain, index);
        descriptor.require_owners(signed)?;
        if header.source.is_some() {
            return Err(EntryFault::ErasureAdopted);
        }
        let (claimed, domain) = (signed.erasure.domain.clone(), descriptor.domain.clone());
        let (signed_at, admitted_at) = (signed.signed_at(), header.admitted_at);
        if claimed != domain {
            return Err(EntryFault::Erasure(Refusal::ForeignDomain { claimed, domain }));
        }
        if signed_at > admitted_at.plus_millis(limits::CLOCK_SKEW_MILLIS) {
            return Err(EntryFault::Erasure(Refusal::FutureTime { signed_at, admitted_at }));
        }
        self.statements.extend(Logged::from_erasure(index, header, signed)?);
        Ok(())
    }

    fn take_statement(&mut self, s: Logged) {
        let scene = Scene {
            chain: &self.chain,
            statements: &self.statements,
            thing: s.subject_id(),
            before: s.index(),
            at: s.admitted_at(),
        };
        let unseen = self
            .erased
            .iter()
            .any(|(id, stood, erased)| *id == s.subject_id() && *stood < s.index() && s.index() < *erased);
        let is_admitted = is_admitted(scene, &s, self.last, unseen);
        self.statements.push(if is_admitted { s } else { s.refused() });
    }
}
