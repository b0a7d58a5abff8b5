//! The writer's part of admission: the home and its mirrors judge an entry in the same way at the same place.

use std::sync::Arc;

use ics_core::descriptor::{Descriptor, admit};
use ics_core::domain::{Context, Domain, Refusal};
use ics_core::limits;
use ics_core::log::entry::{EntryKind, Header, LeafData};
use ics_core::log::source::Source;
use ics_core::openpgp::certificate::Certificate;
use ics_core::policy::Cache;
use ics_core::record::{Logged, Posting, SourceRef};
use ics_core::statement::{Certification, SignedDescriptor, Statement};
use ics_core::time::Timestamp;

use super::check::{Checked, What, unknown_signer};
use super::entries::{Before, Entries, Said, body_key, find_logged};
use super::problem::Code;
use crate::api::Problem;
use crate::store::{StoreError, WriteTx};

/// What the policy says of an entry.
pub(crate) enum Judgement {
    /// It has effect.
    Admitted(Admission),
    /// It stands in the log already, at this index.
    Present(u64),
    /// It has none, and why.
    Refused(Problem),
}

/// An entry that has effect.
pub(crate) struct Admission {
    pub(crate) kind: EntryKind,
    change: Change,
}

/// What an entry changes in what the domain knows of itself.
enum Change {
    Nothing,
    Certificate(Box<Certificate>),
    Certification(Box<Certification>),
    Descriptor(Box<Descriptor>),
}

/// Judges what would become the entry at the log's present end, with this header.
pub(crate) fn judge(
    tx: &WriteTx<'_>,
    domain: Option<&Domain>,
    header: &Header,
    checked: &Checked,
    cache: &mut Cache,
) -> Result<Judgement, StoreError> {
    match (domain, &checked.what) {
        (Some(domain), What::Statement(statement, certificate)) => {
            // The certificate may have been refused since, or replaced: then it is as if it had never been there.
            match domain.signer(&statement.issuer()) {
                Ok(held) if held.id() == *certificate => {
                    judge_statement(tx, tx.size(), domain, header, statement, &checked.body, cache)
                }
                _ => Ok(Judgement::Refused(unknown_signer(&statement.issuer()))),
            }
        }
        (Some(domain), What::Certificate(certificate)) => {
            judge_certificate(tx, domain, header, certificate, &checked.body, cache)
        }
        (Some(domain), What::Certification(certification, certificate)) => {
            match domain.certificate(&certification.signer()) {
                Some((_, held)) if held.id() == *certificate => {
                    judge_certification(tx, domain, header, certification, &checked.body, cache)
                }
                _ => Ok(Judgement::Refused(unknown_signer(&certification.signer()))),
            }
        }
        (domain, What::Descriptor(descriptor)) => judge_descriptor(tx, domain, descriptor),
        (None, _) => Ok(refused(Code::DescriptorRefused, "entry 0 of a domain is its descriptor")),
    }
}

fn refused(code: Code, detail: impl Into<String>) -> Judgement {
    Judgement::Refused(Problem::of(code, detail.into()))
}

/// Judges an entry that stands in the log already, at its place in it: `domain` is what ruled there. Only statements are
/// ever hidden; anything else that was has no effect.
pub(crate) fn judge_earlier(
    tx: &WriteTx<'_>,
    index: u64,
    domain: &Domain,
    header: &Header,
    checked: &Checked,
    cache: &mut Cache,
) -> Result<Judgement, StoreError> {
    let What::Statement(statement, _) = &checked.what else {
        return Ok(refused(Code::MalformedStatement, "descriptors and certificates are never hidden"));
    };
    judge_statement(&Before { tx, end: index }, index, domain, header, statement, &checked.body, cache)
}

fn judge_statement(
    entries: &impl Entries,
    index: u64,
    domain: &Domain,
    header: &Header,
    statement: &Statement,
    body: &[u8],
    cache: &mut Cache,
) -> Result<Judgement, StoreError> {
    if let Some(source) = &header.source
        && let Err(refusal) = verify_source(domain, source, body)
    {
        return Ok(refusal);
    }
    let Ok(entry) = Logged::new(index, header, statement) else {
        return Ok(refused(Code::SourceUnproven, "the way of the adopted entry cannot be read"));
    };
    let said = Said::read(entries, domain, &entry.subject_id(), Some(&entry))?;
    let context = Context { about: &said.about, groups: &said.groups };
    Ok(match domain.check(&entry, &context, cache) {
        Ok(_) => Judgement::Admitted(Admission { kind: statement_kind(statement), change: Change::Nothing }),
        Err(Refusal::Duplicate(index)) => Judgement::Present(index),
        Err(refusal) => Judgement::Refused(Problem::refused(&refusal)),
    })
}

/// An adopted entry is proven by a checkpoint of the home that the descriptor pins for its source.
fn verify_source(domain: &Domain, source: &Source, body: &[u8]) -> Result<(), Judgement> {
    let Some(pinned) = domain.source(&source.origin) else {
        let detail = format!("the descriptor lists no source `{}`", source.origin);
        return Err(refused(Code::UnknownSource, detail));
    };
    let key = pinned.home.verifying_key().and_then(|key| source.origin.key(&key.to_bytes()).ok());
    let key = key.ok_or_else(|| refused(Code::SourceUnproven, "the key of the source's home is malformed"))?;
    source.verify(body, &key).map(|_| ()).map_err(|error| refused(Code::SourceUnproven, error.to_string()))
}

fn judge_certificate(
    tx: &WriteTx<'_>,
    domain: &Domain,
    header: &Header,
    certificate: &Certificate,
    body: &[u8],
    cache: &mut Cache,
) -> Result<Judgement, StoreError> {
    let id = body_key(&certificate.id());
    if let Some(index) = tx.lookup(&[id], 1)?.first() {
        return Ok(Judgement::Present(*index));
    }
    if let Some(source) = &header.source
        && let Err(refusal) = verify_source(domain, source, body)
    {
        return Ok(refusal);
    }
    let posting = Posting::Grantee(certificate.primary());
    let grants = find_logged(tx, domain, &posting, limits::RECORD_STATEMENTS)?;
    let Ok(way) = SourceRef::way(header) else {
        return Ok(refused(Code::SourceUnproven, "the way of the adopted entry cannot be read"));
    };
    Ok(match domain.check_certificate(certificate, &way, &grants, cache) {
        Ok(_) => Judgement::Admitted(Admission {
            kind: EntryKind::Certificate,
            change: Change::Certificate(Box::new(certificate.clone())),
        }),
        Err(Refusal::Duplicate(index)) => Judgement::Present(index),
        Err(refusal) => Judgement::Refused(Problem::refused(&refusal)),
    })
}

fn judge_certification(
    tx: &WriteTx<'_>,
    domain: &Domain,
    header: &Header,
    certification: &Certification,
    body: &[u8],
    cache: &mut Cache,
) -> Result<Judgement, StoreError> {
    if let Some(index) = tx.lookup(&[body_key(&certification.id())], 1)?.first() {
        return Ok(Judgement::Present(*index));
    }
    if let Some(source) = &header.source
        && let Err(refusal) = verify_source(domain, source, body)
    {
        return Ok(refusal);
    }
    let Ok(way) = SourceRef::way(header) else {
        return Ok(refused(Code::SourceUnproven, "the way of the adopted entry cannot be read"));
    };
    Ok(match domain.check_certification(certification, &way, cache) {
        Ok(_) => Judgement::Admitted(Admission {
            kind: EntryKind::Certification,
            change: Change::Certification(Box::new(certification.clone())),
        }),
        Err(refusal) => Judgement::Refused(Problem::refused(&refusal)),
    })
}

/// The kind of entry in which a statement stands.
pub(crate) fn statement_kind(statement: &Statement) -> EntryKind {
    if statement.subject().kind().has_key() { EntryKind::Statement } else { EntryKind::Document }
}

fn judge_descriptor(
    tx: &WriteTx<'_>,
    domain: Option<&Domain>,
    signed: &SignedDescriptor,
) -> Result<Judgement, StoreError> {
    let id = body_key(&signed.id());
    if let Some(index) = tx.lookup(&[id], 1)?.first() {
        return Ok(Judgement::Present(*index));
    }
    let admitted = admit(domain.map(Domain::descriptor), signed);
    Ok(match admitted {
        Ok(descriptor) if tx.domain().name == descriptor.domain => Judgement::Admitted(Admission {
            kind: EntryKind::Descriptor,
            change: Change::Descriptor(Box::new(descriptor)),
        }),
        Ok(descriptor) => {
            refused(Code::ForeignDomain, format!("it is the descriptor of the domain `{}`", descriptor.domain))
        }
        Err(error) => refused(Code::DescriptorRefused, error.to_string()),
    })
}

impl Admission {
    /// What the domain is with this entry at its end. Only after the entry was appended.
    pub(crate) fn extend(
        self,
        domain: &mut Option<Arc<Domain>>,
        index: u64,
        header: &Header,
        leaf: LeafData,
    ) -> Result<(), StoreError> {
        let policy = |error: ics_core::policy::PolicyError| StoreError::refused(error.to_string());
        match (self.change, domain.as_mut()) {
            (Change::Descriptor(descriptor), None) => {
                *domain = Some(Arc::new(Domain::found(leaf, *descriptor, header.admitted_at).map_err(policy)?));
            }
            (Change::Descriptor(descriptor), Some(domain)) => {
                Arc::make_mut(domain).take_descriptor(index, *descriptor).map_err(policy)?;
            }
            (Change::Certificate(certificate), Some(domain)) => {
                Arc::make_mut(domain).take_certificate(index, *certificate);
            }
            (Change::Certification(certification), Some(domain)) => {
                Arc::make_mut(domain).take_certification(index, &certification);
            }
            (Change::Nothing | Change::Certificate(_) | Change::Certification(_), _) => {}
        }
        grow(domain, index, header.admitted_at);
        Ok(())
    }
}

/// The domain has one entry more, with effect or without.
pub(crate) fn grow(domain: &mut Option<Arc<Domain>>, index: u64, admitted_at: Timestamp) {
    if let Some(domain) = domain {
        Arc::make_mut(domain).grow_to(index + 1, admitted_at);
    }
}
