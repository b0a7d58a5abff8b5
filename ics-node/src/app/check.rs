//! What a body is before policy is asked: parsed, and its signatures verified, a batch at a time.

use std::collections::BTreeMap;

use ics_core::domain::Domain;
use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::Certificate;
use ics_core::statement::body::{self, Body, BodyError};
use ics_core::statement::{SignedDescriptor, Statement, Unverified, VerifyError, split, verify_batch};
use ics_core::time::Timestamp;

use super::problem::Code;
use crate::api::Problem;

/// A body whose signatures are good; whether the policy admits it is for the writer to say.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) body: Vec<u8>,
    pub(crate) what: What,
}

/// What a body says.
#[derive(Debug)]
pub(crate) enum What {
    Statement(Box<Statement>),
    Certificate(Box<Certificate>),
    /// Its signatures are counted when the descriptor before it is at hand.
    Descriptor(Box<SignedDescriptor>),
}

type Parsed = Result<(Body, Vec<u8>), Problem>;

/// Parses bodies and verifies their signatures, all of a batch together; each at the time of its admission. A
/// certificate in the batch serves the statements in it.
pub(crate) fn check_bodies(
    domain: Option<&Domain>,
    bodies: Vec<(Vec<u8>, Timestamp)>,
    seed: [u8; 32],
) -> Vec<Result<Checked, Problem>> {
    let (bodies, times): (Vec<_>, Vec<_>) = bodies.into_iter().unzip();
    let parsed: Vec<Parsed> = bodies.into_iter().map(parse_one).collect();
    let certificates = certificates_among(&parsed);
    let certificate_of = |issuer| {
        let known = domain.and_then(|domain| domain.signer(&issuer).ok());
        known.or_else(|| certificates.get(&issuer))
    };
    let mut batch: Vec<(Unverified, &Certificate, Timestamp)> = Vec::new();
    let mut results: Vec<Sorted> = Vec::with_capacity(parsed.len());
    for (parsed, at) in parsed.into_iter().zip(times) {
        results.push(match parsed {
            Err(problem) => Sorted::Known(Err(problem)),
            Ok((Body::Statement(unverified), body)) => match certificate_of(unverified.issuer()) {
                None => Sorted::Known(Err(unknown_signer(&unverified.issuer()))),
                Some(certificate) => {
                    batch.push((unverified, certificate, at));
                    Sorted::Batched(body)
                }
            },
            Ok((other, body)) => Sorted::Known(checked(other, body)),
        });
    }
    collect(results, verify_batch(batch, seed))
}

/// A result, or a body whose statement is in the batch.
enum Sorted {
    Known(Result<Checked, Problem>),
    Batched(Vec<u8>),
}

fn collect(results: Vec<Sorted>, verified: Vec<Result<Statement, VerifyError>>) -> Vec<Result<Checked, Problem>> {
    let mut verified = verified.into_iter();
    let next = |sorted| match sorted {
        Sorted::Known(result) => result,
        Sorted::Batched(body) => match verified.next() {
            Some(Ok(statement)) => Ok(Checked { body, what: What::Statement(Box::new(statement)) }),
            Some(Err(error)) => Err(Problem::of(code(&error), error.to_string())),
            None => Err(Problem::of(Code::Internal, "a statement was left out of its batch".to_owned())),
        },
    };
    results.into_iter().map(next).collect()
}

fn checked(body: Body, bytes: Vec<u8>) -> Result<Checked, Problem> {
    let what = match body {
        Body::Certificate(certificate) => What::Certificate(Box::new(certificate)),
        Body::Descriptor(descriptor) => What::Descriptor(Box::new(descriptor)),
        Body::Statement(_) | Body::Erasure(_) => {
            return Err(Problem::of(Code::Refused, "this version takes no erasures".to_owned()));
        }
    };
    Ok(Checked { body: bytes, what })
}

fn certificates_among(parsed: &[Parsed]) -> BTreeMap<Fingerprint, Certificate> {
    let mut certificates = BTreeMap::new();
    for (body, _) in parsed.iter().flatten() {
        if let Body::Certificate(certificate) = body {
            certificates.extend(certificate.keys().map(|key| (key, certificate.clone())));
        }
    }
    certificates
}

/// Exactly one body in any legal framing. What is canonical already, and nearly everything is, is kept as it came.
fn parse_one(bytes: Vec<u8>) -> Parsed {
    let refused = |error: BodyError| Problem::of(Code::MalformedStatement, error.to_string());
    let first = match body::parse(&bytes) {
        Ok(parsed) => return Ok((parsed, bytes)),
        Err(error) => error,
    };
    match split(&bytes).map(|split| split.bodies).as_deref() {
        Ok([body]) => body::parse(body).map(|parsed| (parsed, body.clone())).map_err(refused),
        _ => Err(refused(first)),
    }
}

fn unknown_signer(issuer: &Fingerprint) -> Problem {
    Problem::of(Code::UnknownSigner, format!("the domain holds no certificate with the key `{issuer}`"))
}

const fn code(error: &VerifyError) -> Code {
    match error {
        VerifyError::Key(_) => Code::SignerKey,
        VerifyError::Signature(_) | VerifyError::SelfSignature(_) => Code::BadSignature,
        VerifyError::Future { .. } => Code::FutureTime,
    }
}
