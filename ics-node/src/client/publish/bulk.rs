//! Publishes a file of rows: reads, signs and submits concurrently, with bounded memory.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use futures_util::stream::{self, StreamExt as _};
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::name::Name;
use ics_core::statement::Claims;
use ics_core::vocabulary::{Act, DomainName};
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::journal::{Salts, with_suffix};
use super::{Fields, Journal, JournalError, Row, RowError, Rows};
use crate::api::{Problem, SubmissionResult};
use crate::client::node::{Node, NodeError};
use crate::client::signing::{Signing, SigningError};
use crate::client::submit::submit_patiently;
use crate::client::thing::Thing;
use crate::words::path_text;

/// How many signed batches may wait while others are being submitted.
const AHEAD: usize = 2;
/// How many batches are submitted at once.
const AT_ONCE: usize = 4;

/// A file of rows to publish.
pub struct Bulk {
    /// The file, `.csv`, `.ndjson` or `.jsonl`.
    pub input: PathBuf,
    /// The fields that hold for all rows.
    pub defaults: Fields,
}

/// The progress of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows that are in the log, including those of earlier runs, or wait for the home.
    pub acknowledged: u64,
    /// Rows that were refused in this run.
    pub refused: u64,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Rows that this run has brought into the log.
    pub published: u64,
    /// Rows that wait in the node for the home of the domain. A later run asks for their results.
    pub waiting: u64,
    /// Rows that were already in the log.
    pub already: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// The file that lists them with the reasons.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "path_if_any")]
    pub report: Option<PathBuf>,
}

fn path_if_any<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(path_text).serialize(serializer)
}

/// A refused row in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its number.
    pub row: u64,
    /// The reason: which column, limit or rule.
    pub detail: String,
    /// The problem, if the node refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
    /// The values of the row.
    pub values: Vec<(String, String)>,
}

/// Why publishing stopped. What is acknowledged stays so, and the next run continues after it.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// The input cannot be read.
    #[error(transparent)]
    Input(#[from] RowError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The report cannot be written.
    #[error("`{path}`: {source}", path = path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The node gave no answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The key cannot sign: no row can be published, and none is at fault.
    #[error(transparent)]
    Signing(SigningError),
    /// The thread that signs ended early.
    #[error("the thread that signs ended before all rows were signed")]
    Broken,
}

/// Rows with their bodies, ready to be submitted, and rows that were refused before.
#[derive(Default)]
struct Batch {
    rows: Vec<Row>,
    bodies: Vec<Vec<u8>>,
    bytes: usize,
    skipped: u64,
    refused: Vec<Refused>,
}

impl Refused {
    fn unread(row: u64, detail: String) -> Self {
        Self { row, detail, problem: None, values: Vec::new() }
    }
}

impl Batch {
    /// Whether one more row with a body of this size would be too much.
    fn is_full(&self, bytes: usize) -> bool {
        let handled = self.rows.len() + self.refused.len();
        handled >= limits::BATCH_STATEMENTS || self.bytes + bytes > limits::BATCH_BYTES
    }

    fn push(&mut self, row: Row, body: Vec<u8>) {
        self.bytes += body.len();
        self.rows.push(row);
        self.bodies.push(body);
    }
}

/// Keys and names of earlier rows, by the first bytes of their digests. Two rows of one file that share one are a
/// mistake: a look-up by such a name would find neither thing.
#[derive(Default)]
pub struct Seen(HashSet<[u8; 16]>);

impl Seen {
    /// Records what a row introduces.
    ///
    /// # Errors
    /// Names the key or the name that another row has.
    pub fn take(&mut self, id: &IdentityId, names: &[Name]) -> Result<(), String> {
        let all: Vec<String> = core::iter::once(id.to_string()).chain(names.iter().map(ToString::to_string)).collect();
        let marks: Vec<[u8; 16]> = all.iter().map(|text| Journal::mark(&Sha256::digest(text).into())).collect();
        if let Some((text, _)) = all.iter().zip(&marks).find(|(_, mark)| self.0.contains(*mark)) {
            let what = if *text == id.to_string() { "the key" } else { "the name" };
            return Err(format!("{what} `{text}` stands in another row of this file"));
        }
        self.0.extend(marks);
        Ok(())
    }
}

/// The result of signing a row.
enum Signed {
    Row(Row, Vec<u8>),
    /// It is already in the log.
    Before,
    No(Refused),
}

/// Signs rows on a thread of its own.
struct Producer {
    signing: Signing,
    defaults: Fields,
    directory: PathBuf,
    acknowledged: HashSet<[u8; 16]>,
    salts: Salts,
    at: ics_core::time::Timestamp,
}

impl Bulk {
    /// Publishes all rows that are not in the log yet; the signer's certificate must already be there.
    ///
    /// # Errors
    /// When the input, the journal or the node fails. Refused rows are no error: they are counted, and listed in the
    /// report.
    pub async fn publish(
        self,
        node: &Node,
        signing: Signing,
        mut journal: Journal,
        mut progress: impl FnMut(Progress),
    ) -> Result<Outcome, BulkError> {
        let rows = Rows::open(&self.input)?;
        let domain = signing.domain().clone();
        let producer = Producer {
            signing,
            defaults: self.defaults,
            directory: self.input.parent().unwrap_or(Path::new("")).to_owned(),
            acknowledged: journal.acknowledged(),
            salts: journal.salts(),
            at: journal.signed_at(),
        };
        let (sender, receiver) = mpsc::channel(AHEAD);
        let signer = tokio::task::spawn_blocking(move || producer.run(rows, &sender));
        let batches = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        let mut answers = Box::pin(batches.map(|batch| submit(node, &domain, batch)).buffer_unordered(AT_ONCE));

        let mut report = Report::new(&self.input);
        let mut outcome = Outcome { published: 0, waiting: 0, already: 0, refused: 0, report: None };
        while let Some(answer) = answers.next().await {
            let Answer { acknowledged, waiting, refused, skipped } = answer?;
            journal.acknowledge(&acknowledged)?;
            report.add(&refused)?;
            outcome.published += count(acknowledged.len());
            outcome.waiting += waiting;
            outcome.refused += count(refused.len());
            outcome.already += skipped;
            let acknowledged = outcome.already + outcome.published + outcome.waiting;
            progress(Progress { acknowledged, refused: outcome.refused });
        }
        signer.await.map_err(|_| BulkError::Broken)??;
        outcome.report = report.written()?;
        Ok(outcome)
    }
}

/// The result of a batch.
struct Answer {
    /// The digests of the rows that are in the log now.
    acknowledged: Vec<[u8; 32]>,
    /// How many are on the disk of the node, which forwards them to the home by itself. The home may yet refuse them,
    /// so the journal has none of them: a row submitted again gets the home's answer, or keeps its place.
    waiting: u64,
    refused: Vec<Refused>,
    skipped: u64,
}

async fn submit(node: &Node, domain: &DomainName, batch: Batch) -> Result<Answer, NodeError> {
    let mut acknowledged = Vec::with_capacity(batch.rows.len());
    let (mut refused, mut waiting) = (batch.refused, 0);
    if !batch.bodies.is_empty() {
        let mut results = Vec::with_capacity(batch.bodies.len());
        submit_patiently(node, domain, batch.bodies, true, &mut results).await?;
        for (row, result) in batch.rows.into_iter().zip(results) {
            match result {
                SubmissionResult::Receipt(_) => acknowledged.push(row.digest()),
                SubmissionResult::Pending(_) => waiting += 1,
                SubmissionResult::Problem(problem) => refused.push(Refused {
                    row: row.number,
                    detail: problem.detail.clone(),
                    problem: Some(Box::new(problem)),
                    values: row.values,
                }),
            }
        }
    }
    Ok(Answer { acknowledged, waiting, refused, skipped: batch.skipped })
}

impl Producer {
    /// Signs the rows one by one and hands batches on, until the rows or the receivers end.
    fn run(&self, rows: Rows, sender: &mpsc::Sender<Batch>) -> Result<(), BulkError> {
        let (mut batch, mut seen) = (Batch::default(), Seen::default());
        for row in rows {
            // The run ends once this does, and a token may take minutes for what is left of a batch.
            if sender.is_closed() {
                return Ok(());
            }
            let signed = match row {
                Err(RowError::Row { number, reason }) => Signed::No(Refused::unread(number, reason)),
                other => self.sign(other?, &mut seen)?,
            };
            let bytes = if let Signed::Row(_, body) = &signed { body.len() } else { 0 };
            if batch.is_full(bytes) && sender.blocking_send(core::mem::take(&mut batch)).is_err() {
                return Ok(());
            }
            match signed {
                Signed::Row(row, body) => batch.push(row, body),
                Signed::Before => batch.skipped += 1,
                Signed::No(refused) => batch.refused.push(refused),
            }
        }
        // If nobody receives it any more, the receiver has an error to report.
        let _ = sender.blocking_send(batch);
        Ok(())
    }

    /// Signs a row. The key and the names of a row that is already in the log are recorded all the same.
    fn sign(&self, row: Row, seen: &mut Seen) -> Result<Signed, BulkError> {
        let drafted = self.draft(&row, seen);
        if self.acknowledged.contains(&Journal::mark(&row.digest())) {
            return Ok(Signed::Before);
        }
        let signed = match drafted {
            Ok((thing, claims)) => self.body(&row, &thing, &claims)?,
            Err(detail) => Err(detail),
        };
        Ok(match signed {
            Ok(body) => Signed::Row(row, body),
            Err(detail) => Signed::No(Refused { row: row.number, detail, problem: None, values: row.values }),
        })
    }

    fn draft(&self, row: &Row, seen: &mut Seen) -> Result<(Thing, Claims), String> {
        let fields = row.fields(&self.defaults).map_err(|e| e.to_string())?;
        let claims = self.signing.claims(Act::Identity);
        let (thing, claims) = fields.draft(claims, &self.directory).map_err(|e| e.to_string())?;
        seen.take(&thing.id().map_err(|e| e.to_string())?, &claims.names)?;
        Ok((thing, claims))
    }

    /// The signed statement, or which rule the row breaks. A key that cannot sign ends the run, since no row is at
    /// fault.
    fn body(&self, row: &Row, thing: &Thing, claims: &Claims) -> Result<Result<Vec<u8>, String>, BulkError> {
        let salt = self.salts.of(&row.digest());
        match self.signing.sign_salted(thing, claims, false, self.at, &salt) {
            Err(error) if error.is_of_the_key() => Err(BulkError::Signing(error)),
            signed => Ok(signed.map_err(|error| error.to_string())),
        }
    }
}

/// The file beside the input with the refused rows; it is created for the first one.
struct Report {
    path: PathBuf,
    lines: u64,
}

impl Report {
    fn new(input: &Path) -> Self {
        Self { path: with_suffix(input, "refused.ndjson"), lines: 0 }
    }

    fn add(&mut self, refused: &[Refused]) -> Result<(), BulkError> {
        use std::io::Write as _;
        if refused.is_empty() {
            return Ok(());
        }
        let failed = |source| BulkError::Report { path: self.path.clone(), source };
        let mut options = std::fs::OpenOptions::new();
        let is_first = self.lines == 0;
        options.create(true).write(true).append(!is_first).truncate(is_first);
        let mut file = options.open(&self.path).map_err(failed)?;
        for row in refused {
            let line = serde_json::to_string(row).map_err(|e| failed(std::io::Error::other(e)))?;
            writeln!(file, "{line}").map_err(failed)?;
            self.lines += 1;
        }
        Ok(())
    }

    /// Where the refused rows are, if there are any. What an earlier run has left is removed: it is no longer so.
    fn written(self) -> Result<Option<PathBuf>, BulkError> {
        if self.lines > 0 {
            return Ok(Some(self.path));
        }
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(BulkError::Report { path: self.path, source }),
            _ => Ok(None),
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ics_core::descriptor::{NodeKey, OwnerKey, Owners, RoleSpec, Template, TemplateInput};
    use ics_core::identity::Fingerprint;
    use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
    use ics_core::time::Timestamp;

    use super::*;

    /// A signer whose key is not here.
    fn signing() -> Signing {
        let at = Timestamp::from_seconds(1_795_000_000);
        let owner = Ed25519Signer::from_seed(&[1; 32], 4, at).expect("a key");
        let key = owner.public_key();
        let node = ed25519_dalek::SigningKey::from_bytes(&[2; 32]).verifying_key();
        let encode = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
        let owner = OwnerKey { name: "Acme".to_owned(), fingerprint: key.fingerprint(), key: encode(&key.to_packet()) };
        let speaks = RoleSpec { signers: BTreeSet::from([key.fingerprint()]), names: BTreeSet::new() };
        let descriptor = Template::Manufacturer.fill(TemplateInput {
            domain: "d.example".parse().expect("a domain"),
            description: String::new(),
            owners: Owners { threshold: 1, keys: vec![owner] },
            home: NodeKey { name: "node.example".to_owned(), key: encode(node.as_bytes()) },
            roles: BTreeMap::from([("manufacturer".parse().expect("a role"), speaks)]),
            sources: Vec::new(),
        });
        let role = "manufacturer".parse().expect("a role");
        Signing::elsewhere(Fingerprint::V4([7; 20]), PathBuf::new(), role, descriptor.expect("fills"))
    }

    /// A token that was pulled out must not turn a million rows into refused ones.
    #[test]
    fn a_key_that_does_not_sign_ends_the_run_and_refuses_no_row() {
        let directory = tempfile::tempdir().expect("a directory");
        let input = directory.path().join("d.csv");
        // RFC 8410, section 4: an Ed25519 key as SubjectPublicKeyInfo.
        let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let row = |seed: u8| {
            let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key();
            format!("{}\n", data_encoding::BASE64.encode(&[&prefix[..], key.as_bytes()].concat()))
        };
        std::fs::write(&input, format!("spki\n{}", (1..4).map(row).collect::<String>())).expect("written");
        let producer = Producer {
            signing: signing(),
            defaults: Fields::default(),
            directory: PathBuf::new(),
            acknowledged: HashSet::new(),
            salts: Journal::open(
                &input,
                (
                    &"d.example".parse().expect("a domain"),
                    &"manufacturer".parse().expect("a role"),
                    &Fingerprint::V4([7; 20]),
                ),
                &BTreeMap::new(),
                Timestamp::from_seconds(1_795_000_000),
            )
            .expect("a journal")
            .salts(),
            at: Timestamp::from_seconds(1_795_000_000),
        };
        let (sender, mut receiver) = mpsc::channel(AHEAD);
        let ended = producer.run(Rows::open(&input).expect("rows"), &sender);
        assert!(matches!(ended, Err(BulkError::Signing(SigningError::Elsewhere(_)))), "{ended:?}");
        assert!(receiver.try_recv().is_err(), "no row is handed on");

        // Once the run has failed, nothing more is signed.
        drop(receiver);
        let ended = producer.run(Rows::open(&input).expect("rows"), &sender);
        assert!(ended.is_ok(), "{ended:?}");
    }
}
