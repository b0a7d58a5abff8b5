//! The part of admission that runs in the writer. A home and its mirrors judge an entry in the same way, at the same
//! place in the log.

mod erasure;

use std::sync::Arc;

use ics_core::descriptor::{Descriptor, admit};
use ics_core::domain::{Domain, Refusal};
use ics_core::limits;
use ics_core::log::checkpoint::CheckpointError;
use ics_core::log::entry::{EntryKind, Header, LeafData};
use ics_core::log::note::NoteError;
use ics_core::log::source::EvidenceError;
use ics_core::openpgp::certificate::{Certificate, KeyRefusal, Purpose};
use ics_core::openpgp::key::PublicKey;
use ics_core::record::{Logged, Posting, SourceRef};
use ics_core::statement::{Certification, Remnant, SignedDescriptor, Statement};
use ics_core::time::Timestamp;

pub(in crate::app) use self::erasure::is_borne_out;
use self::erasure::judge_erasure;
use super::check::{Checked, What, unknown_signer};
use super::noted::{Notes, warn_of_revoked};
use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::entries::{Before, Entries, Line, Log, body_key};
use crate::store::{Part, StoreError, WriteTx};

/// How the policy judges an entry.
pub(crate) enum Judgement {
    /// It has effect.
    Admitted(Admission),
    /// It already stands in the log, at this index.
    Present(u64),
    /// It has no effect, for this reason.
    Refused(Problem),
}

/// An entry that has effect.
pub(crate) struct Admission {
    pub(crate) kind: EntryKind,
    change: Change,
}

/// How an entry changes what the domain knows about itself.
enum Change {
    Nothing,
    Certificate(Box<Certificate>),
    Certification(Box<Certification>),
    Descriptor(Box<Descriptor>),
    /// The index of the erased entry, and its remnant.
    Erase(u64, Remnant),
    /// Nothing, but something is noted at the domain's home.
    Noted(Box<Notes>),
}

/// Judges what would become the next entry of the log, with this header. A caller that judges one entry after another
/// passes the same `line` each time.
pub(crate) fn judge(
    log: &impl Log,
    domain: Option<&Domain>,
    header: &Header,
    checked: &Checked,
    line: &mut Line,
) -> Result<Judgement, StoreError> {
    let judgement = judge_next(log, domain, header, checked, line)?;
    line.take(&checked.what, matches!(judgement, Judgement::Admitted(_)));
    Ok(judgement)
}

fn judge_next(
    log: &impl Log,
    domain: Option<&Domain>,
    header: &Header,
    checked: &Checked,
    line: &mut Line,
) -> Result<Judgement, StoreError> {
    match (domain, &checked.what) {
        // The certificate by which it was verified may have been refused since, or replaced by another state. The key
        // is the same, and what the certificate now held says about it counts.
        (Some(domain), What::Statement(statement)) => match domain.signer(&statement.issuer()) {
            Ok(held) if held.primary() == statement.signer() => {
                let key = key_of(held, statement, header);
                let judged = judge_statement(log, log.count(), domain, header, statement, &checked.body, line)?;
                Ok(if_by(key, judged))
            }
            _ => Ok(Judgement::Refused(unknown_signer(&statement.issuer()))),
        },
        (Some(domain), What::Certificate(certificate)) => {
            judge_certificate(log, domain, header, certificate, &checked.body, line)
        }
        (Some(domain), What::Certification(certification)) => {
            judge_certification(log, domain, header, certification, &checked.body)
        }
        (Some(domain), What::Erasure(erasure)) => judge_erasure(log, domain, header, erasure, line),
        (domain, What::Descriptor(descriptor)) => judge_descriptor(log, domain, descriptor),
        (None, _) => Ok(refused(Code::DescriptorRefused, "entry 0 of a domain is its descriptor")),
    }
}

/// The signer's key, if it may make the statement at the time of admission. A home verifies before the writer's turn
/// comes and only then assigns the time; everybody else verifies as of that time, so the key must be good here too.
fn key_of<'a>(held: &'a Certificate, statement: &Statement, header: &Header) -> Result<&'a PublicKey, KeyRefusal> {
    let purpose = if statement.subject().kind().has_key() { Purpose::Certify } else { Purpose::Sign };
    held.key_for(&statement.issuer(), purpose, header.keys_judged_at())
}

/// Refuses anything new if the key may no longer sign. If the entry already stands in the log, sending it in again
/// still gives its receipt.
fn if_by(key: Result<&PublicKey, KeyRefusal>, judged: Judgement) -> Judgement {
    match (judged, key) {
        (Judgement::Admitted(_), Err(error)) => Judgement::Refused(Problem::of(Code::SignerKey, error.to_string())),
        (judged, _) => judged,
    }
}

fn refused(code: Code, detail: impl Into<String>) -> Judgement {
    Judgement::Refused(Problem::of(code, detail.into()))
}

/// Judges an entry that already stands in the log, at its own place; `domain` is the domain as it was there. Without a
/// descriptor or certificate nothing behind it can be judged, so no copy goes on where one is hidden. Callers pass the
/// same `line` from one entry to the next.
pub(crate) fn judge_earlier(
    tx: &WriteTx<'_>,
    index: u64,
    domain: &Domain,
    header: &Header,
    checked: &Checked,
    line: &mut Line,
) -> Result<Judgement, StoreError> {
    line.skip();
    let before = Before { tx, end: index };
    match &checked.what {
        What::Statement(statement) => judge_statement(&before, index, domain, header, statement, &checked.body, line),
        What::Erasure(erasure) => judge_erasure(&before, domain, header, erasure, line),
        What::Certification(certification) => {
            judge_certification(&before, domain, header, certification, &checked.body)
        }
        What::Descriptor(_) | What::Certificate(_) => {
            Ok(refused(Code::MalformedStatement, "descriptors and certificates are never hidden"))
        }
    }
}

fn judge_statement(
    entries: &impl Entries,
    index: u64,
    domain: &Domain,
    header: &Header,
    statement: &Statement,
    body: &[u8],
    line: &mut Line,
) -> Result<Judgement, StoreError> {
    if let Err(refusal) = verify_source(domain, header, body) {
        return Ok(refusal);
    }
    let Ok(entry) = Logged::new(index, header, statement) else {
        return Ok(without_a_way());
    };
    let said = line.before(entries, domain, &entry)?;
    Ok(match domain.check(&entry, &said.context()) {
        Ok(admitted) => {
            let notes = Notes::of(&entry, &said.about, &admitted);
            let change = notes.map_or(Change::Nothing, |notes| Change::Noted(Box::new(notes)));
            Judgement::Admitted(Admission { kind: statement.subject().entry_kind(), change })
        }
        Err(Refusal::Duplicate(index)) => Judgement::Present(index),
        Err(refusal) => Judgement::Refused(Problem::refused(&refusal)),
    })
}

/// Verifies that an entry, if it is adopted, is proven by a checkpoint of the home that the descriptor pins for its
/// source.
fn verify_source(domain: &Domain, header: &Header, body: &[u8]) -> Result<(), Judgement> {
    let Some(source) = &header.source else { return Ok(()) };
    let Some(pinned) = domain.source(&source.origin) else {
        let detail = format!("the descriptor lists no source `{}`", source.origin);
        return Err(refused(Code::UnknownSource, detail));
    };
    let malformed = |_| refused(Code::SourceUnproven, "the key of the source's home is malformed");
    let key = pinned.home.home_of(&source.origin).map_err(malformed)?;
    source.verify(body, &key).map(|_| ()).map_err(|error| {
        let code = match error {
            EvidenceError::Checkpoint(CheckpointError::Note(NoteError::Unsigned(_))) => Code::SourceKey,
            _ => Code::SourceUnproven,
        };
        refused(code, error.to_string())
    })
}

/// Of an adopted entry that does not say by which logs it came.
fn without_a_way() -> Judgement {
    refused(Code::SourceUnproven, "how the adopted entry came here cannot be read")
}

fn judge_certificate(
    log: &impl Log,
    domain: &Domain,
    header: &Header,
    certificate: &Certificate,
    body: &[u8],
    line: &mut Line,
) -> Result<Judgement, StoreError> {
    if let Some(index) = log.first(body_key(&certificate.id()))? {
        return Ok(Judgement::Present(index));
    }
    if let Err(refusal) = verify_source(domain, header, body) {
        return Ok(refusal);
    }
    let posting = Posting::Grantee(certificate.primary());
    let grants = line.find(log, domain, &posting, limits::RECORD_STATEMENTS)?;
    let Ok(way) = SourceRef::way(header) else {
        return Ok(without_a_way());
    };
    Ok(match domain.check_certificate(certificate, &way, &grants) {
        Ok(()) => Judgement::Admitted(Admission {
            kind: EntryKind::Certificate,
            change: Change::Certificate(Box::new(certificate.clone())),
        }),
        Err(Refusal::Duplicate(index)) => Judgement::Present(index),
        Err(refusal) => Judgement::Refused(Problem::refused(&refusal)),
    })
}

fn judge_certification(
    entries: &impl Entries,
    domain: &Domain,
    header: &Header,
    certification: &Certification,
    body: &[u8],
) -> Result<Judgement, StoreError> {
    let Some((_, held)) = domain.certificate(&certification.signer()) else {
        return Ok(Judgement::Refused(unknown_signer(&certification.signer())));
    };
    if let Some(index) = entries.indices(&[Posting::Statement(certification.id())], 1)?.first() {
        return Ok(Judgement::Present(*index));
    }
    if let Err(refusal) = verify_source(domain, header, body) {
        return Ok(refusal);
    }
    let Ok(way) = SourceRef::way(header) else {
        return Ok(without_a_way());
    };
    let judged = match domain.check_certification(certification, &way) {
        Ok(()) => Judgement::Admitted(Admission {
            kind: EntryKind::Certification,
            change: Change::Certification(Box::new(certification.clone())),
        }),
        Err(refusal) => Judgement::Refused(Problem::refused(&refusal)),
    };
    Ok(if_by(held.certifying_key(), judged))
}

fn judge_descriptor(
    log: &impl Log,
    domain: Option<&Domain>,
    signed: &SignedDescriptor,
) -> Result<Judgement, StoreError> {
    if let Some(index) = log.first(body_key(&signed.id()))? {
        return Ok(Judgement::Present(index));
    }
    let admitted = admit(domain.map(Domain::descriptor), signed);
    Ok(match admitted {
        Ok(descriptor) if *log.name() == descriptor.domain => Judgement::Admitted(Admission {
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
    /// The index of the entry that it erases, and the remnant of that.
    pub(crate) const fn erases(&self) -> Option<(u64, Remnant)> {
        match self.change {
            Change::Erase(index, remnant) => Some((index, remnant)),
            _ => None,
        }
    }

    /// Applies this entry to the domain and to the log. To be called only after the entry was appended.
    pub(crate) fn extend(
        self,
        tx: &mut WriteTx<'_>,
        domain: &mut Option<Arc<Domain>>,
        index: u64,
        header: &Header,
        leaf: LeafData,
    ) -> Result<(), StoreError> {
        match (&self.change, domain.is_some()) {
            (Change::Descriptor(_), true) => {
                // Under the new rules, entries that were passed over may be followed, and entries that were refused may
                // be taken over.
                tx.follow_back(0);
                tx.follow_anew();
            }
            (Change::Erase(erased, remnant), true) => tx.erase(*erased, remnant.to_bytes())?,
            (Change::Noted(notes), true) if tx.domain().part == Part::Home => {
                notes.write(tx, index, header.admitted_at)?;
            }
            (Change::Certificate(certificate), true) if tx.domain().part == Part::Home => {
                if let Some(before) = domain.as_deref() {
                    warn_of_revoked(tx, before, certificate, index, header.admitted_at)?;
                }
            }
            _ => {}
        }
        self.pass(domain, index, header, leaf)
    }

    /// Applies this entry to the domain only, for a log that is just being read.
    pub(crate) fn pass(
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
                Arc::make_mut(domain).take_descriptor(index, *descriptor, header.admitted_at).map_err(policy)?;
            }
            (Change::Certificate(certificate), Some(domain)) => {
                Arc::make_mut(domain).take_certificate(index, certificate.heard_at(header.heard_at()));
            }
            (Change::Certification(certification), Some(domain)) => {
                Arc::make_mut(domain).take_certification(index, &certification);
            }
            (Change::Nothing | Change::Noted(_) | Change::Erase(..), _)
            | (Change::Certificate(_) | Change::Certification(_), None) => {}
        }
        grow(domain, index, header.admitted_at);
        Ok(())
    }
}

/// Why an entry has no effect, as the text of an alarm. Everybody can read alarms, so it names no thing; the node's own
/// log says more.
pub(crate) fn why_without_effect(tx: &WriteTx<'_>, index: u64, problem: &Problem) -> String {
    let (domain, detail) = (&tx.domain().name, &problem.detail);
    tracing::warn!(%domain, index, %detail, "an entry has no effect");
    problem.in_general()
}

/// The domain has one more entry, with or without effect.
pub(crate) fn grow(domain: &mut Option<Arc<Domain>>, index: u64, admitted_at: Timestamp) {
    if let Some(domain) = domain {
        Arc::make_mut(domain).grow_to(index + 1, admitted_at);
    }
}
