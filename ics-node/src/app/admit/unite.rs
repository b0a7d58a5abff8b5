//! Unites a certificate that is sent in with what the home's log already has of it, and appends the union.
//!
//! The log accepts a state only if it includes everything in the previous one; otherwise anybody could send one without
//! its revocations. But programs drop former self-signatures, so a holder who extends or revokes a key with them sends
//! a state that lacks some. A source from which a certificate is adopted likewise lacks what only this domain has.

use std::collections::BTreeMap;

use ics_core::domain::Domain;
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::openpgp::certificate::{Certificate, CertificateError};
use ics_core::record::Posting;
use ics_core::statement::StatementId;
use ics_core::statement::body::{self, Body};
use sha2::{Digest as _, Sha256};

use super::check::{Checked, Parsed, What, checked};
use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::entries::{Entries, find_logged};
use crate::store::StoreError;

/// A state of a certificate and its body.
type State = (Certificate, Vec<u8>);

/// The bodies of a batch, each certificate united with its state earlier in the batch, or else with that in the log.
pub(super) fn united(domain: &Domain, entries: &impl Entries, parsed: Vec<Parsed>) -> Result<Vec<Parsed>, StoreError> {
    let mut newest: BTreeMap<Fingerprint, State> = BTreeMap::new();
    let mut united = Vec::with_capacity(parsed.len());
    for parsed in parsed {
        united.push(match parsed {
            Ok((Body::Certificate(certificate), body)) => {
                let primary = certificate.primary();
                let whole = whole(domain, entries, newest.get(&primary), (certificate, body))?;
                if let Ok(state) = &whole
                    && former(domain, newest.get(&primary), &primary).is_none_or(|former| state.0.extends(former))
                {
                    newest.insert(primary, state.clone());
                }
                whole.map(|(certificate, body)| (Body::Certificate(certificate), body))
            }
            other => other,
        });
    }
    Ok(united)
}

/// Unites again, in the writer, what was united before its turn came: the log may have grown since.
pub(super) fn united_late(
    domain: &Domain,
    entries: &impl Entries,
    sent: Checked,
) -> Result<Result<Checked, Problem>, StoreError> {
    let state = match sent {
        Checked { what: What::Certificate(certificate), body, .. } => (*certificate, body),
        other => return Ok(Ok(other)),
    };
    let whole = whole(domain, entries, None, state)?;
    Ok(whole.and_then(|(certificate, body)| checked(Body::Certificate(certificate), body)))
}

/// The state of a certificate that stands in the log, united with the holder's revocation of its key from a certificate
/// that the rules keep out: the revocation is accepted all the same.
pub(super) fn revocation_alone(
    domain: &Domain,
    entries: &impl Entries,
    sent: &Checked,
) -> Result<Option<Checked>, StoreError> {
    let What::Certificate(certificate) = &sent.what else { return Ok(None) };
    let held = domain.certificate(&certificate.primary()).map(|(_, held)| held);
    let Some(held) = held.filter(|held| is_revoked_anew(held, certificate)) else { return Ok(None) };
    let Some(body) = body_of(entries, held)? else { return Ok(None) };
    let ended = ended(held, &body, &sent.body);
    Ok(ended.and_then(|(certificate, body)| checked(Body::Certificate(certificate), body).ok()))
}

/// Whether a state that is sent revokes its key in a way that the former one does not; only then is it worth the work
/// of putting them together.
fn is_revoked_anew(former: &Certificate, sent: &Certificate) -> bool {
    sent.revoked().is_some() && !former.is_revoked_as(sent)
}

/// A state from the log together with what revokes its key in one that is sent, if that ends it.
fn ended(former: &Certificate, body: &[u8], sent: &[u8]) -> Option<State> {
    let body = Certificate::with_revocations(body, sent).ok()?;
    let certificate = Certificate::parse(&body).ok()?;
    certificate.ends(former).then_some((certificate, body))
}

/// Whether a body in the log stands for what was sent: it says the same, or is a state of the certificate that has all
/// of it, or all that revokes its key if the rules keep out the rest.
pub(in crate::app) fn stands_for(domain: &Domain, entries: &impl Entries, logged: &[u8], sent: &[u8]) -> bool {
    match (body::parse(logged), body::parse(sent)) {
        (Ok(Body::Certificate(held)), Ok(Body::Certificate(whole))) => {
            let is_kept_out = || keeps_out(domain, entries, logged, sent).unwrap_or_default();
            held.covers(&whole) || (held.is_revoked_as(&whole) && is_kept_out())
        }
        (Ok(logged), Ok(sent)) => logged.id() == sent.id(),
        _ => false,
    }
}

/// Whether a domain's rules keep out the parts of a sent certificate that the logged state lacks. What revoked its key
/// may have been there long before.
fn keeps_out(domain: &Domain, entries: &impl Entries, logged: &[u8], sent: &[u8]) -> Result<bool, StoreError> {
    let both = Certificate::union(logged, sent).and_then(|both| Certificate::parse(&both));
    let Ok(both) = both else { return Ok(true) };
    let grants = find_logged(entries, domain, &Posting::Grantee(both.primary()), limits::RECORD_STATEMENTS)?;
    Ok(domain.check_certificate(&both, &[], &grants).is_err())
}

/// The state that a certificate follows: one earlier in its batch, or else the one in the log.
fn former<'a>(domain: &'a Domain, before: Option<&'a State>, primary: &Fingerprint) -> Option<&'a Certificate> {
    let held = || domain.certificate(primary).map(|(_, held)| held);
    before.map(|(certificate, _)| certificate).or_else(held)
}

/// What goes into the log for a certificate that is sent. A state that already stands there keeps its place.
fn whole(
    domain: &Domain,
    entries: &impl Entries,
    before: Option<&State>,
    sent: State,
) -> Result<Result<State, Problem>, StoreError> {
    let Some(former) = former(domain, before, &sent.0.primary()) else { return Ok(Ok(sent)) };
    if sent.0.id() == former.id() || sent.0.extends(former) || body_of(entries, &sent.0)?.is_some() {
        return Ok(Ok(sent));
    }
    let former = match before {
        Some(before) => Some(before.clone()),
        None => body_of(entries, former)?.map(|body| (former.clone(), body)),
    };
    Ok(match former {
        Some(former) => together(domain, former, &sent),
        None => Ok(sent),
    })
}

/// The body of a certificate that stands in the log.
fn body_of(entries: &impl Entries, certificate: &Certificate) -> Result<Option<Vec<u8>>, StoreError> {
    let found = entries.find(&[Posting::Statement(certificate.id())], limits::PAGE_ITEMS)?;
    let mut bodies = found.into_iter().filter_map(|entry| entry.content).map(|content| content.body);
    // Something else may collide with its key in the index.
    let is_it = |body: &Vec<u8>| certificate.id() == StatementId(Sha256::digest(body).into());
    Ok(bodies.find(is_it))
}

/// Both states in one, if the domain accepts that; otherwise what ends the former one.
fn together(domain: &Domain, former: State, sent: &State) -> Result<State, Problem> {
    if former.0.covers(&sent.0) {
        return Ok(former);
    }
    match joined(domain, &former, sent) {
        // The same signatures encoded differently are nothing new.
        Ok((both, _)) if former.0.covers(&both) => Ok(former),
        Err(problem) if is_revoked_anew(&former.0, &sent.0) => ended(&former.0, &former.1, &sent.1).ok_or(problem),
        both => both,
    }
}

fn joined(domain: &Domain, former: &State, sent: &State) -> Result<State, Problem> {
    let body = Certificate::union(&former.1, &sent.1).map_err(|error| refused(&error))?;
    let certificate = Certificate::parse(&body).map_err(|error| refused(&error))?;
    let (length, limit) = (certificate.bytes(), domain.descriptor().limits.certificate_bytes());
    if length > limit && !certificate.ends(&former.0) {
        let detail = format!(
            "with what the domain already has of it, which stays, the certificate has {length} bytes, and the limit of \
             this domain is {limit}: its owners raise `certificate_bytes` in `limits` in a new version of the \
             descriptor"
        );
        return Err(Problem::of(Code::CertificateTooLong, detail));
    }
    Ok((certificate, body))
}

fn refused(error: &CertificateError) -> Problem {
    let code = match error {
        CertificateError::TooLong(_) | CertificateError::TooMany => Code::CertificateTooLong,
        _ => Code::MalformedStatement,
    };
    let detail = format!(
        "it cannot be combined with what the domain already has of it, which stays: {error}; its holder goes on with a \
         new key, which the owners name in a new version of the descriptor"
    );
    Problem::of(code, detail)
}
