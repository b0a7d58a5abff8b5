//! Signers whose certificates are in a file: a single certificate or a keyring.

use std::path::Path;

use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::{Certificate, Purpose};
use ics_core::statement::{is_certificate, split};
use ics_core::time::Timestamp;
use sequoia_openpgp::cert::raw::{RawCert, RawCertParser};
use sequoia_openpgp::parse::Parse as _;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::{clean, counted};
use crate::parallel;

/// Certificates below which another thread is not worth it.
const SHARE: usize = 16;

type Read = sequoia_openpgp::Result<RawCert<'static>>;

/// Returns whose certificates a file holds. Nothing is judged here: the domain decides whether it takes a certificate.
pub(super) fn holders(path: &Path) -> Result<Vec<Fingerprint>, Failure> {
    let holders: Vec<Fingerprint> = read(path)?.iter().flatten().filter_map(fingerprint).collect();
    if holders.is_empty() { Err(failed(path, "it holds no certificate")) } else { Ok(holders) }
}

/// Reports whose certificates are not taken here or cannot sign anything now, and why; otherwise nobody would miss
/// their statements. They get their roles all the same, since what they signed before may count.
///
/// # Errors
/// When nobody else is left.
pub(super) fn tell_idle(context: &Context, path: &Path) -> Result<(), Failure> {
    let (certificates, now) = (read(path)?, context.now());
    let count = certificates.len();
    let idle: Vec<String> = parallel::map(certificates, SHARE, |it| why_idle(&it, now)).into_iter().flatten().collect();
    if idle.is_empty() {
        return Ok(());
    }
    let of = counted(count, "certificate");
    let told = format!("`{}`: {} of {of} can sign nothing here:\n  {}", path.display(), idle.len(), idle.join("\n  "));
    if idle.len() < count {
        context.output.note(&told);
        return Ok(());
    }
    Err(Failure::new(Exit::Local, told).hint("a fingerprint in place of the file names a key, whatever it can do"))
}

/// Who cannot sign anything, and why.
fn why_idle(certificate: &Read, now: Timestamp) -> Option<String> {
    let (who, why) = match certificate {
        Err(error) => ("what is no certificate".to_owned(), error.to_string()),
        Ok(certificate) => {
            let who =
                fingerprint(certificate).map_or_else(|| "a key of another version".to_owned(), |it| it.to_string());
            (who, taken(certificate.as_bytes()).and_then(|taken| idle(&taken, now).map_or(Ok(()), Err)).err()?)
        }
    };
    Some(format!("{who}: {}", clean(&why)))
}

fn fingerprint(certificate: &RawCert<'_>) -> Option<Fingerprint> {
    Fingerprint::from_bytes(certificate.fingerprint().as_bytes())
}

/// Returns the certificate if it may stand in a log.
fn taken(bytes: &[u8]) -> Result<Certificate, String> {
    let split = split(bytes).map_err(|e| e.to_string())?;
    match (split.bodies.iter().find(|body| is_certificate(body)), split.refused.first()) {
        (Some(body), _) => Certificate::parse(body).map_err(|e| e.to_string()),
        (None, Some(refusal)) => Err(refusal.to_string()),
        (None, None) => Err("it has no self-signature that counts here".to_owned()),
    }
}

/// Why the holder can neither introduce a key nor sign a document.
fn idle(certificate: &Certificate, now: Timestamp) -> Option<String> {
    let primary = certificate.key_for(&certificate.primary(), Purpose::Certify, now);
    primary.err().filter(|_| certificate.signing_keys(now).next().is_none()).map(|why| why.to_string())
}

fn read(path: &Path) -> Result<Vec<Read>, Failure> {
    Ok(RawCertParser::from_file(path).map_err(|error| failed(path, error))?.collect())
}

fn failed(path: &Path, reason: impl core::fmt::Display) -> Failure {
    Failure::new(Exit::Local, format!("`{}`: {reason}", path.display()))
}
