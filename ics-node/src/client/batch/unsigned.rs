//! Batches of statements to be signed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::canonical_json;
use ics_core::descriptor::Descriptor;
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::statement::{self, Body, Draft, StatementId};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::lines::{Lines, form, read};
use super::signed::{self, SignedBatch};
use super::{BatchError, SignedHead};
use crate::client::moment;
use crate::client::signing::random_salt;
use crate::keys::UnlockedKey;

/// The format, in the first line.
pub(super) const FORMAT: &str = "ics-batch-1";

/// What all items of a batch have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    format: String,
    /// The domain of the statements.
    pub domain: DomainName,
    /// The intended signer.
    pub signer: Fingerprint,
    /// The role in which to sign; none for descriptors, which owners sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// When the batch was made, by the clock of the machine that made it.
    pub made_at: Timestamp,
    /// Certificates of others that the log needs as well, in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    with: Vec<String>,
}

/// A statement to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What is to be signed.
    pub draft: Draft,
    /// The bodies of the statements that it replaces or withdraws, so that the signer can see what they say.
    pub replaced: Vec<Vec<u8>>,
    /// The time of the signer's newest signature about the thing that the machine which made the batch knows. A
    /// signature older than that means nothing to gpg, and the clock of the signing machine may be behind.
    pub after: Option<Timestamp>,
}

/// A batch of statements, or one descriptor.
#[derive(Debug, Clone, PartialEq)]
pub struct UnsignedBatch {
    /// What all have in common.
    pub head: Head,
    /// The statements.
    pub items: Vec<Item>,
    /// The next version of the domain's descriptor, in place of statements.
    pub descriptor: Option<Box<Descriptor>>,
    path: PathBuf,
    digest: String,
}

impl Head {
    /// Makes a head for this signer.
    #[must_use]
    pub fn new(domain: DomainName, signer: Fingerprint, role: Option<Role>, made_at: Timestamp) -> Self {
        Self { format: FORMAT.to_owned(), domain, signer, role, made_at, with: Vec::new() }
    }

    /// Adds a certificate that the log needs as well.
    #[must_use]
    pub fn with(mut self, certificate: &[u8]) -> Self {
        self.with.push(STANDARD.encode(certificate));
        self
    }

    /// Writes statements to a file, or to standard output for `-`, and returns the digest of the batch.
    ///
    /// # Errors
    /// When there is nothing to sign, an item breaks a rule, a bound is exceeded, or the disk fails.
    pub fn write(&self, path: &Path, items: impl IntoIterator<Item = Item>) -> Result<String, BatchError> {
        let mut lines = Lines::default();
        lines.push(path, self)?;
        let mut count = 0;
        for item in items {
            count += 1;
            if count > limits::BATCH_FILE_STATEMENTS {
                return Err(BatchError::TooMuch(limits::BATCH_FILE_STATEMENTS, "statements"));
            }
            lines.push(path, &item.to_value(path, count)?)?;
        }
        if count == 0 { Err(BatchError::Empty) } else { lines.write(path) }
    }

    /// Writes a descriptor to a file, or to standard output for `-`, and returns the digest of the batch.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write_descriptor(&self, path: &Path, descriptor: &Descriptor) -> Result<String, BatchError> {
        let mut lines = Lines::default();
        lines.push(path, self)?;
        let value = canonical_json::parse_value(&descriptor.to_json()).map_err(|e| form(path, e.to_string()))?;
        lines.push(path, &json!({ "descriptor": value }))?;
        lines.write(path)
    }
}

impl Item {
    fn to_value(&self, path: &Path, number: usize) -> Result<Value, BatchError> {
        let failed = |reason: String| BatchError::Item { path: path.to_owned(), number, reason };
        let json = self.draft.to_json().map_err(|e| failed(e.to_string()))?;
        let draft = canonical_json::parse_value(&json).map_err(|e| failed(e.to_string()))?;
        let replaced: Vec<String> = self.replaced.iter().map(|body| STANDARD.encode(body)).collect();
        let mut members = Map::from_iter([("draft".to_owned(), draft)]);
        if !replaced.is_empty() {
            members.insert("replaced".to_owned(), json!(replaced));
        }
        if let Some(after) = self.after {
            members.insert("after".to_owned(), json!(after));
        }
        Ok(Value::Object(members))
    }

    fn read(value: &Value) -> Result<Self, String> {
        let draft = value.get("draft").ok_or("it is not a statement to be signed")?;
        let json = canonical_json::to_bytes(draft).map_err(|e| e.to_string())?;
        let draft = Draft::parse(&json).map_err(|e| e.to_string())?;
        let replaced = match value.get("replaced") {
            None => Vec::new(),
            Some(Value::Array(bodies)) => bodies
                .iter()
                .map(|body| STANDARD.decode(body.as_str().unwrap_or_default()).map_err(|e| e.to_string()))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err("`replaced` is a list".to_owned()),
        };
        let after = value.get("after").map(|it| Timestamp::parse(it.as_str().unwrap_or_default())).transpose();
        Ok(Self { draft, replaced, after: after.map_err(|e| format!("`after`: {e}"))? })
    }

    /// The statement with this id among those shown as replaced. The id is derived from the body, so nobody can show
    /// one statement and name another.
    #[must_use]
    pub fn shown(&self, id: &StatementId) -> Option<statement::Unverified> {
        self.replaced.iter().find_map(|body| match statement::parse(body) {
            Ok(Body::Statement(found)) if found.id() == *id => Some(*found),
            _ => None,
        })
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl UnsignedBatch {
    /// Reads a batch from the contents of a file, and checks all that can be checked without the rules of the domain.
    ///
    /// # Errors
    /// When it is not such a batch, was changed, exceeds a bound, or an item breaks a rule or is about another domain
    /// or role.
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, BatchError> {
        let (mut values, digest) = read(path, content)?;
        let head = values.drain(..1.min(values.len())).next().ok_or_else(|| form(path, "it has no head".to_owned()))?;
        if head.get("format").and_then(Value::as_str) == Some(signed::FORMAT) {
            let found = "is signed already: `ics submit` takes it";
            return Err(BatchError::Kind { path: path.to_owned(), found });
        }
        let head: Head = serde_json::from_value(head).map_err(|e| form(path, e.to_string()))?;
        if head.format != FORMAT {
            return Err(form(path, format!("its format `{}` is not known here", head.format)));
        }
        let path = path.to_owned();
        if let [one] = values.as_slice()
            && let Some(descriptor) = one.get("descriptor")
        {
            let json = canonical_json::to_bytes(descriptor).map_err(|e| form(&path, e.to_string()))?;
            let descriptor = Descriptor::parse(&json).map_err(|e| form(&path, e.to_string()))?;
            if descriptor.domain != head.domain {
                return Err(form(&path, format!("it holds the descriptor of `{}`", descriptor.domain)));
            }
            return Ok(Self { head, items: Vec::new(), descriptor: Some(Box::new(descriptor)), path, digest });
        }
        let (mut items, mut seen) = (Vec::with_capacity(values.len()), BTreeSet::new());
        for (index, value) in values.iter().enumerate() {
            let failed = |reason: String| BatchError::Item { path: path.clone(), number: index + 1, reason };
            let item = Item::read(value).map_err(failed)?;
            let claims = &item.draft.claims;
            if claims.domain != head.domain || Some(&claims.role) != head.role.as_ref() {
                return Err(failed(format!("it is said as {} in {}, unlike the batch", claims.role, claims.domain)));
            }
            if !seen.insert(sha256(&canonical_json::to_bytes(value).map_err(|e| failed(e.to_string()))?)) {
                return Err(failed("it stands there twice".to_owned()));
            }
            items.push(item);
        }
        if items.is_empty() { Err(BatchError::Empty) } else { Ok(Self { head, items, descriptor: None, path, digest }) }
    }

    /// The SHA-256 by which people name the batch.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Refuses a key other than that of the intended signer.
    ///
    /// # Errors
    /// Names both keys.
    pub fn check_signer(&self, found: Fingerprint) -> Result<(), BatchError> {
        let wanted = self.head.signer;
        if wanted == found { Ok(()) } else { Err(BatchError::Signer { wanted, found }) }
    }

    /// The time at which each statement is signed, by a clock that shows `now`. The time at which the batch was made is
    /// known to be past, and besides its clock that is all that a machine without a network knows.
    ///
    /// # Errors
    /// When a statement would need a time that no home accepts.
    pub fn times(&self, now: Timestamp) -> Result<Vec<Timestamp>, BatchError> {
        let time = |(index, item): (usize, &Item)| {
            moment::after(item.after, now, self.head.made_at).map_err(|behind| BatchError::Item {
                path: self.path.clone(),
                number: index + 1,
                reason: format!("{behind}; set the clocks of both machines, and make the batch again"),
            })
        };
        self.items.iter().enumerate().map(time).collect()
    }

    /// Signs every statement, at `now` or just after the signer's previous signature about the thing.
    ///
    /// # Errors
    /// When the key is another one or cannot sign, a time would be too far ahead, or there is no randomness.
    pub fn sign(
        &self,
        key: &UnlockedKey,
        now: Timestamp,
        mut progress: impl FnMut(),
    ) -> Result<SignedBatch, BatchError> {
        self.check_signer(key.certificate().primary())?;
        let times = self.times(now)?;
        let mut bodies = Vec::with_capacity(self.items.len());
        for (index, (item, at)) in self.items.iter().zip(times).enumerate() {
            let failed = |reason: String| BatchError::Item { path: self.path.clone(), number: index + 1, reason };
            let signer = key.signer(item.draft.purpose(), at).map_err(|e| failed(e.to_string()))?;
            let salt = random_salt().map_err(|e| failed(e.to_string()))?;
            bodies.push(item.draft.sign(signer, at, &salt).map_err(|e| failed(e.to_string()))?);
            progress();
        }
        let head = SignedHead::new(&self.head, &self.digest, key.certificate_bytes(), self.head.with.clone(), now);
        Ok(SignedBatch { head, bodies, path: self.path.clone(), digest: String::new() })
    }
}
