//! Batches of signed statements.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::Certificate;
use ics_core::statement::{self, Body, Statement};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::BatchError;
use super::lines::{Lines, form, read};
use super::unsigned::{self, Head};

/// The format, in the first line.
pub(super) const FORMAT: &str = "ics-signed-batch-1";

/// What all statements of a batch have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    format: String,
    /// The SHA-256 of the unsigned batch.
    pub batch: String,
    /// The domain of the statements.
    pub domain: DomainName,
    /// The signer.
    pub signer: Fingerprint,
    /// The role in which they are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The time of signing, by the clock of the signing machine.
    pub signed_at: Timestamp,
    /// The signer's certificate, in base64.
    certificate: String,
    /// Certificates of others that the log needs as well, in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    with: Vec<String>,
}

/// A batch of signed statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBatch {
    /// What all have in common.
    pub head: SignedHead,
    /// The statements, in the form in which a home accepts them.
    pub bodies: Vec<Vec<u8>>,
    pub(super) path: PathBuf,
    pub(super) digest: String,
}

impl SignedHead {
    pub(super) fn new(head: &Head, batch: &str, certificate: &[u8], with: Vec<String>, at: Timestamp) -> Self {
        Self {
            format: FORMAT.to_owned(),
            batch: batch.to_owned(),
            domain: head.domain.clone(),
            signer: head.signer,
            role: head.role.clone(),
            signed_at: at,
            certificate: STANDARD.encode(certificate),
            with,
        }
    }
}

impl SignedBatch {
    /// Writes the batch to a file, or to standard output for `-`, and returns the digest of the file.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, path: &Path) -> Result<String, BatchError> {
        let mut lines = Lines::default();
        lines.push(path, &self.head)?;
        self.bodies.iter().try_for_each(|body| lines.push(path, &json!({ "body": STANDARD.encode(body) })))?;
        lines.write(path)
    }

    /// Reads a batch from the contents of a file.
    ///
    /// # Errors
    /// When it is not such a batch, was changed, or exceeds a bound.
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, BatchError> {
        let (mut values, digest) = read(path, content)?;
        let head = values.drain(..1.min(values.len())).next().ok_or_else(|| form(path, "it has no head".to_owned()))?;
        if head.get("format").and_then(Value::as_str) == Some(unsigned::FORMAT) {
            let found = "is not signed yet: `ics sign` signs it";
            return Err(BatchError::Kind { path: path.to_owned(), found });
        }
        let head: SignedHead = serde_json::from_value(head).map_err(|e| form(path, e.to_string()))?;
        if head.format != FORMAT {
            return Err(form(path, format!("its format `{}` is not known here", head.format)));
        }
        let body = |(index, value): (usize, &Value)| {
            let text = value.get("body").and_then(Value::as_str).unwrap_or_default();
            let failed = |reason: String| BatchError::Item { path: path.to_owned(), number: index + 1, reason };
            STANDARD.decode(text).map_err(|e| failed(e.to_string()))
        };
        let bodies = values.iter().enumerate().map(body).collect::<Result<Vec<_>, _>>()?;
        if bodies.is_empty() {
            Err(BatchError::Empty)
        } else {
            Ok(Self { head, bodies, path: path.to_owned(), digest })
        }
    }

    /// The SHA-256 of the file.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The certificates that the log needs: the signer's first, to be submitted before the statements, then those of
    /// others.
    ///
    /// # Errors
    /// When one is malformed, or the first is not the signer's.
    pub fn certificates(&self) -> Result<Vec<Vec<u8>>, BatchError> {
        let failed = |reason: String| form(&self.path, format!("its certificates: {reason}"));
        let all = core::iter::once(&self.head.certificate).chain(&self.head.with);
        let all: Vec<Vec<u8>> =
            all.map(|text| STANDARD.decode(text).map_err(|e| failed(e.to_string()))).collect::<Result<_, _>>()?;
        for (index, bytes) in all.iter().enumerate() {
            let certificate = Certificate::parse(bytes).map_err(|e| failed(e.to_string()))?;
            if index == 0 && certificate.primary() != self.head.signer {
                return Err(BatchError::Signer { wanted: self.head.signer, found: certificate.primary() });
            }
        }
        Ok(all)
    }

    /// Verifies that every statement is by the one signer, in the one role and domain, and occurs once.
    ///
    /// # Errors
    /// Names the first statement for which this does not hold.
    pub fn verify(&self, at: Timestamp) -> Result<Vec<Statement>, BatchError> {
        let certificates = self.certificates()?;
        let first = certificates.first().map(Vec::as_slice).unwrap_or_default();
        let certificate = Certificate::parse(first).map_err(|e| form(&self.path, e.to_string()))?;
        let mut seen = BTreeSet::new();
        let verify = |(index, body): (usize, &Vec<u8>)| {
            let statement = self.verified(body, &certificate, at).and_then(|statement| {
                let is_first = seen.insert(statement.id());
                is_first.then_some(statement).ok_or_else(|| "it stands there twice".to_owned())
            });
            statement.map_err(|reason| BatchError::Item { path: self.path.clone(), number: index + 1, reason })
        };
        self.bodies.iter().enumerate().map(verify).collect()
    }

    fn verified(&self, body: &[u8], certificate: &Certificate, at: Timestamp) -> Result<Statement, String> {
        let Body::Statement(unverified) = statement::parse(body).map_err(|e| e.to_string())? else {
            return Err("it is no statement".to_owned());
        };
        if !certificate.keys().any(|key| key == unverified.issuer()) {
            return Err(format!("it was signed by {}, but the batch by {}", unverified.issuer(), self.head.signer));
        }
        let claims = unverified.claims();
        if claims.domain != self.head.domain || Some(&claims.role) != self.head.role.as_ref() {
            return Err(format!("it is said as {} in {}, unlike the batch", claims.role, claims.domain));
        }
        statement::verify(*unverified, certificate, at).map_err(|e| e.to_string())
    }
}
