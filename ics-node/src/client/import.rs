//! Brings keyrings from gpg, sq and key servers into a domain: splits them into canonical bodies and submits these.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Cursor, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use ics_core::limits;
use ics_core::statement::{Split, is_certificate, split};
use ics_core::vocabulary::DomainName;
use sequoia_openpgp::cert::raw::{RawCert, RawCertParser};
use sequoia_openpgp::parse::Parse as _;
use serde::Serialize;
use tokio::sync::mpsc;

use super::node::{Node, NodeError};
use super::submit::submit_patiently;
use crate::api::SubmissionResult;
use crate::keys::file;
use crate::parallel;

/// The results of importing a keyring.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Bodies found in it.
    pub found: u64,
    /// Bodies that are in the log now, or already were.
    pub in_log: u64,
    /// How many of those are certificates.
    pub certificates: u64,
    /// Bodies that wait in the node for the home of the domain.
    pub waiting: u64,
    /// Bodies that the node refused, by the code of the problem.
    pub refused: BTreeMap<String, Reason>,
    /// Parts that could not be turned into bodies, by reason.
    pub malformed: BTreeMap<String, u64>,
    /// Signatures and components that have no place in a domain, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
}

/// Why the node refused bodies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// How many.
    pub count: u64,
    /// The kind of problem, in words.
    pub title: String,
    /// What was wrong with the first.
    pub first: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Why an import did not finish. What was submitted before is in the log.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("`{path}`: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The node gave no answer.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// How many reasons are told apart; further ones are counted together.
const REASONS: usize = 32;

/// How many read and split parts of a keyring may wait for earlier ones to be submitted, and how many keys are split at
/// once.
const PARTS_AHEAD: usize = 16;
const AT_ONCE: usize = 128;
/// Keys below which another thread is not worth starting.
const SHARE: usize = 16;

/// Submits everything in a keyring to a domain. Certificates go first, because signatures by unknown signers are
/// refused; the rest waits in a file, so that a keyring is never held in memory as a whole. Repeating an import changes
/// nothing.
///
/// `progress` is told the number of bodies, once that is known, and how many have been dealt with.
///
/// # Errors
/// When the file cannot be read as OpenPGP, or the node does not answer.
pub async fn import(
    node: &Node,
    domain: &DomainName,
    path: &Path,
    mut progress: impl FnMut(Option<u64>, u64),
) -> Result<Tally, ImportError> {
    let mut sender = Sender { node, domain, batch: Vec::new(), bytes: 0, tally: Tally::default() };
    let mut rest = Spool::new().map_err(|error| failed(path, &error))?;
    let mut parts = read_ahead(path.to_owned());
    while let Some(part) = parts.recv().await {
        let part = part?;
        sender.tally.count(&part);
        for body in part.map(|split| split.bodies).unwrap_or_default() {
            if is_certificate(&body) {
                sender.push(body, &mut |done| progress(None, done)).await?;
            } else {
                rest.push(&body).map_err(|error| failed(path, &error))?;
            }
        }
    }
    sender.flush().await?;
    sender.tally.certificates = sender.tally.in_log;
    let total = sender.tally.found;
    let mut rest = rest.read().map_err(|error| failed(path, &error))?;
    while let Some(body) = rest.next().map_err(|error| failed(path, &error))? {
        sender.push(body, &mut |done| progress(Some(total), done)).await?;
    }
    sender.flush().await?;
    progress(Some(total), sender.tally.done());
    Ok(sender.tally)
}

fn failed(path: &Path, error: &std::io::Error) -> ImportError {
    ImportError::File { path: path.to_owned(), reason: error.to_string() }
}

type Part = Result<Split, String>;

/// Splits a keyring on a separate thread while earlier parts are being submitted: half of the work is verifying
/// self-signatures.
fn read_ahead(path: PathBuf) -> mpsc::Receiver<Result<Part, ImportError>> {
    let (sender, receiver) = mpsc::channel(PARTS_AHEAD);
    tokio::task::spawn_blocking(move || match parts(&path) {
        // After the import has failed, nobody receives any more.
        Ok(parts) => parts.map(Ok).try_for_each(|part| sender.blocking_send(part)).unwrap_or_default(),
        Err(error) => sender.blocking_send(Err(error)).unwrap_or_default(),
    });
    receiver
}

/// Bodies in a temporary file, each preceded by its length.
struct Spool(BufWriter<File>);

/// A [`Spool`] being read.
struct Spooled(BufReader<File>);

impl Spool {
    fn new() -> std::io::Result<Self> {
        Ok(Self(BufWriter::new(tempfile::tempfile()?)))
    }

    fn push(&mut self, body: &[u8]) -> std::io::Result<()> {
        self.0.write_all(&count(body.len()).to_be_bytes())?;
        self.0.write_all(body)
    }

    fn read(self) -> std::io::Result<Spooled> {
        let mut file = self.0.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(Spooled(BufReader::new(file)))
    }
}

impl Spooled {
    fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        if self.0.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut length = [0; 8];
        self.0.read_exact(&mut length)?;
        let mut body = Vec::new();
        self.0.by_ref().take(u64::from_be_bytes(length)).read_to_end(&mut body)?;
        Ok(Some(body))
    }
}

/// Collects bodies until there are enough for a submission.
struct Sender<'a> {
    node: &'a Node,
    domain: &'a DomainName,
    batch: Vec<Vec<u8>>,
    bytes: usize,
    tally: Tally,
}

impl Sender<'_> {
    async fn push(&mut self, body: Vec<u8>, progress: &mut impl FnMut(u64)) -> Result<(), NodeError> {
        if self.batch.len() >= limits::BATCH_STATEMENTS || self.bytes + body.len() > limits::BATCH_BYTES {
            self.flush().await?;
            progress(self.tally.done());
        }
        self.bytes += body.len();
        self.batch.push(body);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), NodeError> {
        self.bytes = 0;
        let batch = core::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let mut results = Vec::with_capacity(batch.len());
        submit_patiently(self.node, self.domain, batch, true, &mut results).await?;
        results.into_iter().for_each(|result| self.tally.take(result));
        Ok(())
    }
}

impl Tally {
    fn done(&self) -> u64 {
        self.in_log + self.waiting + self.refused.values().map(|reason| reason.count).sum::<u64>()
    }

    fn count(&mut self, part: &Result<Split, String>) {
        let split = match part {
            Ok(split) => split,
            Err(reason) => return self.malformed(reason.clone()),
        };
        self.found += count(split.bodies.len());
        for (why, number) in &split.left_out {
            *self.left_out.entry(why.as_str()).or_default() += count(*number);
        }
        split.refused.iter().for_each(|refusal| self.malformed(refusal.to_string()));
    }

    fn malformed(&mut self, reason: String) {
        let is_known = self.malformed.contains_key(&reason) || self.malformed.len() < REASONS;
        let reason = if is_known { reason } else { "other reasons".to_owned() };
        *self.malformed.entry(reason).or_default() += 1;
    }

    fn take(&mut self, result: SubmissionResult) {
        let problem = match result {
            SubmissionResult::Receipt(_) => {
                self.in_log += 1;
                return;
            }
            SubmissionResult::Problem(problem) => problem,
            SubmissionResult::Pending(_) => {
                self.waiting += 1;
                return;
            }
        };
        let first = || Reason {
            count: 0,
            title: problem.title.clone(),
            first: problem.detail.clone(),
            hint: problem.hint.clone(),
        };
        self.refused.entry(problem.code().to_owned()).or_insert_with(first).count += 1;
    }
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

type Parts = Box<dyn Iterator<Item = Part>>;

/// The contents of a file: as one part if it fits into a submission and is valid as a whole; otherwise key by key, so
/// that an invalid key does not spoil the others.
fn parts(path: &Path) -> Result<Parts, ImportError> {
    let failed = |reason: String| ImportError::File { path: path.to_owned(), reason };
    // Armor takes a third more than its contents; anything longer is refused by the splitter.
    let most = u64::try_from(limits::BATCH_BYTES / 2 * 3).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let mut rest = file::open(path).map_err(|e| failed(e.to_string()))?;
    Read::by_ref(&mut rest).take(most).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    let refusal = match split(&bytes) {
        Ok(split) => return Ok(Box::new(core::iter::once(Ok(split)))),
        Err(refusal) => refusal,
    };
    // A pipe gives nothing twice.
    let parser = RawCertParser::from_reader(Cursor::new(bytes).chain(rest));
    let mut certificates = parser.map_err(|_| failed(refusal.to_string()))?;
    // Old keyrings begin with keys that are no longer accepted; a file with no acceptable key among the first is not a
    // keyring.
    let first: Vec<_> = certificates.by_ref().take(AT_ONCE).collect();
    if !first.iter().any(Result::is_ok) {
        return Err(failed(refusal.to_string()));
    }
    let mut first = Some(first);
    let next = move || {
        let some = first.take().unwrap_or_else(|| certificates.by_ref().take(AT_ONCE).collect());
        (!some.is_empty()).then(|| parallel::map(some, SHARE, split_one))
    };
    Ok(Box::new(core::iter::from_fn(next).flatten()))
}

fn split_one(certificate: sequoia_openpgp::Result<RawCert<'_>>) -> Part {
    match certificate {
        Ok(certificate) => split(certificate.as_bytes()).map_err(|refusal| refusal.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use ics_core::openpgp::certificate::Certificate;
    use ics_core::openpgp::signer::Ed25519Signer;
    use ics_core::time::Timestamp;

    use super::*;
    use crate::api::{Pending, Problem};

    #[test]
    fn reasons_are_counted_with_their_first_example() {
        let problem = |detail: &str| {
            SubmissionResult::Problem(Problem {
                kind: "urn:ics:problem:unknown-signer".to_owned(),
                title: "the domain does not know the signer".to_owned(),
                status: 403,
                detail: detail.to_owned(),
                hint: None,
            })
        };
        let mut tally = Tally::default();
        tally.take(problem("no certificate of a"));
        tally.take(problem("no certificate of b"));
        let pending = Pending { id: 1, since: Timestamp::from_seconds(1), attempts: 0, why: None };
        tally.take(SubmissionResult::Pending(pending));
        let reason = tally.refused.get("unknown-signer").expect("a reason");
        assert_eq!((reason.count, reason.first.as_str()), (2, "no certificate of a"));
        assert_eq!((tally.waiting, tally.done()), (1, 3));
    }

    #[test]
    fn reasons_of_the_file_are_bounded() {
        let mut tally = Tally::default();
        (0..REASONS + 5).for_each(|n| tally.malformed(format!("reason {n}")));
        assert_eq!(tally.malformed.get("other reasons"), Some(&5));
        assert_eq!(tally.malformed.len(), REASONS + 1);
    }

    /// A public key of version 3: RSA with two short numbers.
    const OLD_KEY: [u8; 17] = [0x99, 0, 14, 3, 0x30, 0, 0, 0, 0, 0, 1, 0, 8, 0xff, 0, 2, 3];

    #[test]
    fn a_key_that_nobody_takes_does_not_spoil_those_behind_it() {
        let at = Timestamp::from_seconds(1_795_162_200);
        let certificate = |seed: u8| {
            let signer = Ed25519Signer::from_seed(&[seed; 32], 4, at).expect("a key");
            Certificate::make(&signer, "Somebody", at, &[seed; 32]).expect("made")
        };
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("k");
        std::fs::write(&path, [OLD_KEY.to_vec(), certificate(1), certificate(2)].concat()).expect("written");
        // A pipe gives what it has only once.
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(&std::fs::read(&path).expect("read")).expect("it fits");
        drop(writer);
        let pipe = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        for path in [&path, &pipe] {
            let mut tally = Tally::default();
            parts(path).expect("a keyring").for_each(|part| tally.count(&part));
            assert_eq!((tally.found, tally.malformed.values().sum::<u64>()), (2, 1), "{tally:?}");
        }

        std::fs::write(&path, OLD_KEY).expect("written");
        assert!(matches!(parts(&path), Err(ImportError::File { .. })), "nothing in it is taken");
    }

    #[test]
    fn what_is_no_keyring_is_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("k");
        for bytes in [&b""[..], b"no keyring", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"] {
            std::fs::write(&path, bytes).expect("written");
            assert!(matches!(parts(&path), Err(ImportError::File { .. })), "{bytes:?}");
        }
        assert!(matches!(parts(&directory.path().join("none")), Err(ImportError::File { .. })));
    }
}
