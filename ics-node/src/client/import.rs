//! Bringing keyrings of gpg, sq and key servers into a domain: split into canonical bodies, and submitted.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ics_core::limits;
use ics_core::statement::{Body, BodyError, Split, parse, split};
use ics_core::vocabulary::DomainName;
use sequoia_openpgp::cert::raw::RawCertParser;
use sequoia_openpgp::parse::Parse as _;
use serde::Serialize;

use super::node::{Node, NodeError};
use crate::api::SubmissionResult;

/// What became of a keyring.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Bodies that were found in it.
    pub found: u64,
    /// Those that are in the log now, or were there before.
    pub in_log: u64,
    /// Those that the node refused, by the code of the problem.
    pub refused: BTreeMap<String, Reason>,
    /// Parts that could not be made bodies, by the reason.
    pub malformed: BTreeMap<String, u64>,
    /// Signatures and components that are nobody's statement.
    pub not_statements: u64,
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

/// Why an import did not come to its end. What was submitted until then is in the log.
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

/// Reasons that are told apart; beyond that they are counted together.
const REASONS: usize = 32;

/// Submits everything in a keyring to a domain. Certificates go first, because a statement whose signer is unknown is
/// refused: the file is read twice for that, and never held in memory as a whole. Doing it again changes nothing.
///
/// `progress` hears how many bodies there are, once that is known, and how many have been dealt with.
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
    for part in parts(path)? {
        sender.tally.count(&part);
        for body in bodies(part).filter(|body| is_certificate(body)) {
            sender.push(body, &mut |done| progress(None, done)).await?;
        }
    }
    sender.flush().await?;
    let total = sender.tally.found;
    for part in parts(path)? {
        for body in bodies(part).filter(|body| !is_certificate(body)) {
            sender.push(body, &mut |done| progress(Some(total), done)).await?;
        }
    }
    sender.flush().await?;
    progress(Some(total), sender.tally.done());
    Ok(sender.tally)
}

/// Bodies that wait until there are enough for a submission.
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
        for result in self.node.submit(self.domain, batch).await?.results {
            self.tally.take(result);
        }
        Ok(())
    }
}

impl Tally {
    fn done(&self) -> u64 {
        self.in_log + self.refused.values().map(|reason| reason.count).sum::<u64>()
    }

    fn count(&mut self, part: &Result<Split, String>) {
        let split = match part {
            Ok(split) => split,
            Err(reason) => return self.malformed(reason.clone()),
        };
        self.found += count(split.bodies.len());
        self.not_statements += count(split.dropped);
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

fn bodies(part: Result<Split, String>) -> impl Iterator<Item = Vec<u8>> {
    part.map(|split| split.bodies).unwrap_or_default().into_iter()
}

fn is_certificate(body: &[u8]) -> bool {
    matches!(parse(body), Ok(Body::Certificate(_)))
}

type Parts = Box<dyn Iterator<Item = Result<Split, String>>>;

/// What a file holds: as one, if it is as short as a submission and all of it is legal; else key by key, so that one
/// that is not legal does not spoil the others.
fn parts(path: &Path) -> Result<Parts, ImportError> {
    let failed = |reason: String| ImportError::File { path: path.to_owned(), reason };
    let refusal = match whole(path).map_err(|e| failed(e.to_string()))? {
        Ok(split) => return Ok(Box::new(core::iter::once(Ok(split)))),
        Err(refusal) => refusal,
    };
    let mut certificates = RawCertParser::from_file(path).map_err(|_| failed(refusal.to_string()))?.peekable();
    if !matches!(certificates.peek(), Some(Ok(_))) {
        return Err(failed(refusal.to_string()));
    }
    Ok(Box::new(certificates.map(|certificate| match certificate {
        Ok(certificate) => split(certificate.as_bytes()).map_err(|refusal| refusal.to_string()),
        Err(error) => Err(error.to_string()),
    })))
}

fn whole(path: &Path) -> std::io::Result<Result<Split, BodyError>> {
    // Armor takes a third more than what it holds; what is longer is refused by the splitter.
    let most = u64::try_from(limits::BATCH_BYTES / 2 * 3).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(split(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Problem;

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
        let reason = tally.refused.get("unknown-signer").expect("a reason");
        assert_eq!((reason.count, reason.first.as_str()), (2, "no certificate of a"));
        assert_eq!(tally.done(), 2);
    }

    #[test]
    fn reasons_of_the_file_are_bounded() {
        let mut tally = Tally::default();
        (0..REASONS + 5).for_each(|n| tally.malformed(format!("reason {n}")));
        assert_eq!(tally.malformed.get("other reasons"), Some(&5));
        assert_eq!(tally.malformed.len(), REASONS + 1);
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
