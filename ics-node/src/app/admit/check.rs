//! Checks of a body that need no policy: it is parsed and its signatures are verified, a batch at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signature::SignatureError;
use ics_core::statement::body::{self, Body, BodyError};
use ics_core::statement::{
    Certification, CertificationError, SignedDescriptor, SignedErasure, SignedHere, Statement, StatementId, Unverified,
    UnverifiedCertification, VerifyError, is_certificate, split, verify_batch,
};
use ics_core::time::Timestamp;

use super::unite::united;
use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::entries::{Entries, Hashed, keys_of_body, keys_of_statement};
use crate::background::breathe_among;
use crate::parallel;
use crate::store::{Key, StoreError};

/// A body whose signatures are good; whether the policy admits it is decided in the writer.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) body: Vec<u8>,
    pub(crate) what: What,
    /// The keys under which its entry will be found.
    pub(crate) keys: Vec<Key>,
}

/// What a body says.
#[derive(Debug)]
pub(crate) enum What {
    Statement(Box<Statement>),
    Certificate(Box<Certificate>),
    Certification(Box<Certification>),
    /// Its signatures are counted once the preceding descriptor is at hand.
    Descriptor(Box<SignedDescriptor>),
    /// Its signatures are counted under the descriptor in force.
    Erasure(Box<SignedErasure>),
}

impl What {
    /// Its id.
    pub(crate) fn id(&self) -> StatementId {
        match self {
            Self::Statement(statement) => statement.id(),
            Self::Certificate(certificate) => certificate.id(),
            Self::Certification(certification) => certification.id(),
            Self::Descriptor(descriptor) => descriptor.id(),
            Self::Erasure(erasure) => erasure.id(),
        }
    }
}

/// Below this many bodies another thread is not worth starting: bodies with RSA signatures, and others.
const SLOW: usize = 16;
const QUICK: usize = 250;

/// How many signatures of a small batch are verified in one piece, after which others get their turn. Large pieces cost
/// less per signature and are for those who bring many.
const PIECE: usize = 16;

/// A body that is well formed by itself, with its bytes in canonical form.
pub(super) type Parsed = Result<(Body, Vec<u8>), Problem>;

/// Parses bodies and verifies their signatures, a whole batch together. The keys behind a body are judged as of the
/// time given with it.
///
/// A certificate serves the statements behind it in the batch, in preference to the earlier state that the domain
/// holds, as if each body had come alone. Whether the certificate is admitted is not known here, so the writer checks
/// again.
pub(crate) fn check_bodies(
    domain: Option<&Domain>,
    bodies: Vec<(Vec<u8>, Timestamp)>,
    seed: [u8; 32],
) -> Vec<Result<Checked, Problem>> {
    let (bodies, times): (Vec<_>, Vec<_>) = bodies.into_iter().unzip();
    check_parsed(domain, parse_all(bodies), times, seed)
}

/// As [`check_bodies`], for bodies that are sent in: a certificate is first united with all that the log has of it, as
/// it will be appended.
pub(crate) fn check_sent(
    domain: Option<&Domain>,
    entries: &impl Entries,
    bodies: Vec<(Vec<u8>, Timestamp)>,
    seed: [u8; 32],
) -> Result<Vec<Result<Checked, Problem>>, StoreError> {
    let (bodies, times): (Vec<_>, Vec<_>) = bodies.into_iter().unzip();
    let mut parsed = parse_all(bodies);
    if let Some(domain) = domain {
        parsed = united(domain, entries, parsed)?;
    }
    Ok(check_parsed(domain, parsed, times, seed))
}

/// As [`check_bodies`], for a statement that was signed here a moment ago by a signer whom the domain knows.
pub(crate) fn check_signed(
    domain: &Domain,
    (body, signed): (Vec<u8>, SignedHere),
    at: Timestamp,
) -> Result<Checked, Problem> {
    let says = signed.says();
    let keys = keys_of_statement(says.subject().entry_kind(), says, &mut Hashed::default());
    let certificate = domain.signer(&says.issuer()).map_err(|_| unknown_signer(&says.issuer()))?;
    let verified = signed.under(certificate, at).map_err(|error| Problem::of(code(&error), error.to_string()))?;
    Ok(Checked { body, what: What::Statement(verified), keys })
}

fn check_parsed(
    domain: Option<&Domain>,
    parsed: Vec<Parsed>,
    times: Vec<Timestamp>,
    seed: [u8; 32],
) -> Vec<Result<Checked, Problem>> {
    let serving = serving(domain, &parsed, &times);
    let mut certifications = certifications_of(domain, &parsed, &serving, &times).into_iter();
    let certificates = certificates_of(domain, &parsed, &serving);
    let mut hashed = Hashed::default();
    let mut batch: Vec<(Box<Unverified>, &Certificate, Timestamp)> = Vec::new();
    let mut results: Vec<Sorted> = Vec::with_capacity(parsed.len());
    let count = parsed.len();
    for ((parsed, certificate), at) in parsed.into_iter().zip(&certificates).zip(times) {
        breathe_among(count);
        results.push(match (parsed, certificate) {
            (Err(problem), _) => Sorted::Known(Err(problem)),
            (Ok((parsed @ Body::Certification(_), body)), _) => Sorted::Known(match certifications.next() {
                Some(verified) => {
                    verified.map(|what| Checked { body, what, keys: keys_of_body(parsed.kind(), &parsed, &mut hashed) })
                }
                None => Err(Problem::of(Code::Internal, "a certification was left out of its batch".to_owned())),
            }),
            (Ok((Body::Statement(unverified), _)), None) => Sorted::Known(Err(unknown_signer(&unverified.issuer()))),
            (Ok((parsed @ Body::Statement(_), body)), Some(certificate)) => {
                let keys = keys_of_body(parsed.kind(), &parsed, &mut hashed);
                if let Body::Statement(unverified) = parsed {
                    batch.push((unverified, certificate, at));
                }
                Sorted::Batched { body, keys }
            }
            (Ok((other, body)), _) => Sorted::Known(checked(other, body)),
        });
    }
    collect(results, verify_all(batch, seed))
}

/// As [`check_bodies`], for what a log holds. There only the canonical form is accepted, as by every later reader of
/// the log: a home logs nothing else.
pub(crate) fn check_logged(
    domain: Option<&Domain>,
    bodies: &[(&[u8], Timestamp)],
    seed: [u8; 32],
) -> Vec<Result<Checked, Problem>> {
    let owned = bodies.iter().map(|(body, at)| (body.to_vec(), *at)).collect();
    let as_logged = |(checked, (body, _)): (Result<Checked, Problem>, &(&[u8], Timestamp))| match checked {
        Ok(checked) if checked.body != *body => {
            let detail =
                "its body is not in canonical form, the only form in which a log holds bodies: ask its home".to_owned();
            Err(Problem::of(Code::MalformedStatement, detail))
        }
        checked => checked,
    };
    check_bodies(domain, owned, seed).into_iter().zip(bodies).map(as_logged).collect()
}

/// Of the bodies that are certificates, those that serve the statements behind them: one of a signer who has none yet,
/// or a state that extends the present one. An older state, as many keyrings hold, is not taken by the log.
fn serving(domain: Option<&Domain>, parsed: &[Parsed], times: &[Timestamp]) -> Vec<Option<Arc<Certificate>>> {
    let mut newest: BTreeMap<Fingerprint, Arc<Certificate>> = BTreeMap::new();
    let mut serving = Vec::with_capacity(parsed.len());
    for (parsed, at) in parsed.iter().zip(times) {
        let certificate = match parsed {
            Ok((Body::Certificate(certificate), _)) => {
                let primary = certificate.primary();
                let held = || domain.and_then(|domain| domain.certificate(&primary)).map(|(_, held)| held);
                let before = newest.get(&primary).map(Arc::as_ref).or_else(held);
                let serves = before.is_none_or(|before| certificate.extends(before));
                let heard = || certificate.clone().heard_at(*at);
                serves.then(|| Arc::new(before.map_or_else(heard, |before| heard().behind(before))))
            }
            _ => None,
        };
        newest.extend(certificate.iter().map(|it| (it.primary(), Arc::clone(it))));
        serving.push(certificate);
    }
    serving
}

/// The certificate under which each statement is verified.
fn certificates_of(
    domain: Option<&Domain>,
    parsed: &[Parsed],
    serving: &[Option<Arc<Certificate>>],
) -> Vec<Option<Arc<Certificate>>> {
    // By issuer: the certificate earlier in the batch, or else the one that the domain holds.
    let mut known: BTreeMap<Fingerprint, Option<Arc<Certificate>>> = BTreeMap::new();
    let held = |issuer| domain.and_then(|domain| domain.signer(&issuer).ok()).cloned().map(Arc::new);
    let mut certificates = Vec::with_capacity(parsed.len());
    for (parsed, serving) in parsed.iter().zip(serving) {
        certificates.push(match parsed {
            Ok((Body::Statement(unverified), _)) => {
                let issuer = unverified.issuer();
                known.entry(issuer).or_insert_with(|| held(issuer)).clone()
            }
            _ => None,
        });
        if let Some(certificate) = serving {
            known.extend(certificate.keys().map(|key| (key, Some(Arc::clone(certificate)))));
        }
    }
    certificates
}

/// Verifies the certifications of a batch, each under its maker's certificate: one earlier in the batch, or one that
/// the domain holds. All processors are used, since most of these signatures are RSA, which cannot be verified in
/// batches.
fn certifications_of(
    domain: Option<&Domain>,
    parsed: &[Parsed],
    serving: &[Option<Arc<Certificate>>],
    times: &[Timestamp],
) -> Vec<Result<What, Problem>> {
    let mut before: Vec<&Certificate> = Vec::new();
    let mut tasks = Vec::new();
    for ((parsed, serving), at) in parsed.iter().zip(serving).zip(times) {
        before.extend(serving.as_deref());
        if let Ok((Body::Certification(certification), _)) = parsed {
            let issuer = certification.issuer();
            let fits = |certificate: &&&Certificate| issuer.fits(&certificate.primary());
            let mut under: Vec<&Certificate> = before.iter().rev().filter(fits).copied().collect();
            under.extend(domain.into_iter().flat_map(|domain| domain.may_have_issued(&issuer)));
            tasks.push((certification, under, *at));
        }
    }
    parallel::map(tasks, SLOW, verify_certification)
}

/// Key ids collide if somebody wants them to, so the maker is the one whose key verifies the signature.
fn verify_certification(
    (certification, under, at): (&UnverifiedCertification, Vec<&Certificate>, Timestamp),
) -> Result<What, Problem> {
    let mut first = None;
    for certificate in under {
        match certification.verify(certificate, at) {
            Ok(verified) => return Ok(What::Certification(Box::new(verified))),
            Err(error) => first = first.or(Some(Problem::of(code_of_certification(&error), error.to_string()))),
        }
    }
    let key_id = data_encoding::HEXLOWER.encode(&certification.issuer().key_id());
    let unknown =
        || Problem::of(Code::UnknownSigner, format!("the domain holds no certificate with the key `{key_id}`"));
    Err(first.unwrap_or_else(unknown))
}

const fn code_of_certification(error: &CertificationError) -> Code {
    match error {
        CertificationError::Key(_) => Code::SignerKey,
        CertificationError::Form(_) | CertificationError::Signature(_) => Code::BadSignature,
        CertificationError::Future { .. } => Code::FutureTime,
    }
}

/// A result, or a body whose statement has been put into the batch.
enum Sorted {
    Known(Result<Checked, Problem>),
    Batched { body: Vec<u8>, keys: Vec<Key> },
}

fn collect(results: Vec<Sorted>, verified: Vec<Result<Box<Statement>, VerifyError>>) -> Vec<Result<Checked, Problem>> {
    let mut verified = verified.into_iter();
    let next = |sorted| match sorted {
        Sorted::Known(result) => result,
        Sorted::Batched { body, keys } => match verified.next() {
            Some(Ok(statement)) => Ok(Checked { body, what: What::Statement(statement), keys }),
            Some(Err(error)) => Err(Problem::of(code(&error), error.to_string())),
            None => Err(Problem::of(Code::Internal, "a statement was left out of its batch".to_owned())),
        },
    };
    results.into_iter().map(next).collect()
}

/// A body that needs no batch: its signatures were verified while it was parsed, or are counted later.
pub(in crate::app) fn checked(body: Body, bytes: Vec<u8>) -> Result<Checked, Problem> {
    let keys = keys_of_body(body.kind(), &body, &mut Hashed::default());
    let what = match body {
        Body::Certificate(certificate) => What::Certificate(Box::new(certificate)),
        Body::Descriptor(descriptor) => What::Descriptor(Box::new(descriptor)),
        Body::Erasure(erasure) => What::Erasure(Box::new(erasure)),
        Body::Statement(_) | Body::Certification(_) => {
            return Err(Problem::of(Code::Internal, "a statement was left out of its batch".to_owned()));
        }
    };
    Ok(Checked { body: bytes, what, keys })
}

/// Certificates, most of them RSA, are verified while they are parsed; statements wait for their batch.
fn parse_all(bodies: Vec<Vec<u8>>) -> Vec<Parsed> {
    // With more than these, every processor gets a share anyway.
    let is_slow = bodies.len() <= QUICK && bodies.iter().any(|body| is_certificate(body));
    let least = if is_slow { SLOW } else { QUICK };
    parallel::map(bodies, least, parse_one)
}

/// Verifies a large batch on all processors; a small one, as statements come in one by one, in small pieces.
fn verify_all(
    batch: Vec<(Box<Unverified>, &Certificate, Timestamp)>,
    seed: [u8; 32],
) -> Vec<Result<Box<Statement>, VerifyError>> {
    let is_small = batch.len() < QUICK;
    let share = if is_small { PIECE } else { parallel::share(batch.len(), QUICK) };
    let (mut batch, mut parts, mut seed) = (batch.into_iter(), Vec::new(), seed);
    while batch.len() > 0 {
        parts.push((batch.by_ref().take(share).collect(), seed));
        // The coefficients of a batch must not be predictable; another seed gives others.
        seed[0] = seed[0].wrapping_add(1);
    }
    // A large piece goes to the pool even if it is the only one, so that no more of them run at once than there are
    // processors.
    let least = if is_small { parts.len() } else { 0 };
    parallel::map(parts, least, |(part, seed)| verify_batch(part, seed)).into_iter().flatten().collect()
}

/// Parses exactly one body in any legal framing. If it is already canonical, as nearly all are, its bytes are kept as
/// they are.
fn parse_one(bytes: Vec<u8>) -> Parsed {
    let refused = |error: BodyError| Problem::of(code_of_body(&error), error.to_string());
    let first = match body::parse(&bytes) {
        Ok(parsed) => return Ok((parsed, bytes)),
        Err(error) => error,
    };
    match split(&bytes).map(|split| split.bodies).as_deref() {
        Ok([body]) => body::parse(body).map(|parsed| (parsed, body.clone())).map_err(refused),
        _ => Err(refused(first)),
    }
}

/// A signature over other bytes is usually noticed when it is read, by its two-octet prefix, and once in 65,536 times
/// only when it is verified: both cases have one code.
const fn code_of_body(error: &BodyError) -> Code {
    match error {
        BodyError::Signature(SignatureError::Prefix) => Code::BadSignature,
        _ => Code::MalformedStatement,
    }
}

pub(crate) fn unknown_signer(issuer: &Fingerprint) -> Problem {
    Problem::of(Code::UnknownSigner, format!("the domain holds no certificate with the key `{issuer}`"))
}

const fn code(error: &VerifyError) -> Code {
    match error {
        VerifyError::Key(_) => Code::SignerKey,
        VerifyError::Signature(_) | VerifyError::SelfSignature(_) => Code::BadSignature,
        VerifyError::Future { .. } => Code::FutureTime,
    }
}
