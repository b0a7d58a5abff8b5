//! A party whose node runs: what the story asks of it, and the checks of every answer.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::note::VerifierKey;
use ics_core::log::receipt::Receipt;
use ics_core::statement::Claims;
use ics_core::trust::{Outcome, Verdict};
use ics_core::vocabulary::DomainName;

use super::cast::{Actor, Part};
use super::error::{DemoError, Result, ensure, unexpected};
use super::show::short;
use super::stage::Process;
use crate::api::{DomainInfo, Position, Problem, SubmissionResult};
use crate::app::clock::Clock;
use crate::client::home::{OPERATOR_TOKEN_FILE, read_operator_token};
use crate::client::node::Node;
use crate::client::signing::Signing;
use crate::client::thing::Thing;
use crate::config;
use crate::keys::Passphrase;

/// The time limit in seconds for copies and verdicts to follow.
const FOLLOW_SECONDS: u64 = 60;
/// How often they are checked meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A party with its running node.
pub(super) struct Party {
    pub(super) part: Part,
    pub(super) home: PathBuf,
    pub(super) node: Node,
    pub(super) process: Process,
    pub(super) signer: Signing,
    pub(super) passphrase: Passphrase,
    /// Its domain, by name and entry 0.
    pub(super) origin: Origin,
    /// The key of its checkpoints, from the descriptor that its owner has signed.
    pub(super) key: VerifierKey,
}

/// What was appended to a log: the entries, each proven under the last checkpoint.
pub(super) struct Entered {
    pub(super) receipts: Vec<Receipt>,
    pub(super) checkpoint: Checkpoint,
}

impl Party {
    /// Starts the node of a party, with additional configuration.
    pub(super) async fn start(actor: Actor, more: &str) -> Result<Self> {
        let Actor { part, home, address, signer, passphrase } = actor;
        let path = home.join(config::FILE_NAME);
        let failed = |source| DemoError::File { path: path.clone(), source };
        let mut file = File::options().append(true).open(&path).map_err(failed)?;
        file.write_all(more.as_bytes()).map_err(failed)?;

        let path = home.join(OPERATOR_TOKEN_FILE);
        let token = read_operator_token(&path).map_err(|source| DemoError::File { path, source })?;
        let node = Node::new(&format!("http://{address}"))?.as_operator(token);
        let process = Process::start(part.who, &home, &node).await?;
        let origin = node.domain(signer.domain()).await?.info.origin;
        let home_key = STANDARD.decode(&signer.descriptor.home.key).map_err(unexpected)?;
        let home_key: [u8; 32] = home_key.as_slice().try_into().map_err(unexpected)?;
        let key = origin.key(&home_key).map_err(unexpected)?;
        Ok(Self { part, home, node, process, signer, passphrase, origin, key })
    }

    /// Its domain.
    pub(super) fn domain(&self) -> &DomainName {
        self.signer.domain()
    }

    /// Signs as the party's signer.
    pub(super) fn says(&self, thing: &Thing, claims: &Claims) -> Result<Vec<u8>> {
        sign(&self.signer, thing, claims)
    }

    /// Submits to its domain, and checks every receipt: each body is in the log under a checkpoint of the home.
    pub(super) async fn submit(&self, bodies: Vec<Vec<u8>>) -> Result<Entered> {
        let results = self.node.submit(self.domain(), bodies.clone()).await?.results;
        ensure(results.len() == bodies.len(), || format!("{} results for {} bodies", results.len(), bodies.len()))?;
        let mut receipts = Vec::new();
        let mut checkpoint = None;
        for (body, result) in bodies.iter().zip(results) {
            match result {
                SubmissionResult::Receipt(receipt) => {
                    checkpoint = Some(receipt.verify(body, &self.key).map_err(unexpected)?);
                    receipts.push(*receipt);
                }
                SubmissionResult::Problem(problem) => {
                    return Err(DemoError::Refused { who: self.part.who, problem: Box::new(problem) });
                }
                SubmissionResult::Pending(pending) => {
                    return Err(unexpected(format!("a statement waits for its home: {pending:?}")));
                }
            }
        }
        let checkpoint = checkpoint.ok_or_else(|| unexpected("nothing was submitted"))?;
        Ok(Entered { receipts, checkpoint })
    }

    /// Submits one body that must be refused with this code and must leave no trace.
    pub(super) async fn refuses(&self, body: Vec<u8>, code: &str) -> Result<Problem> {
        let before = self.node.domain(self.domain()).await?;
        let results = self.node.submit(self.domain(), vec![body]).await?.results;
        let after = self.node.domain(self.domain()).await?;
        let same = (before.info.size, &before.root) == (after.info.size, &after.root);
        ensure(same, || format!("the log of {} grew from {} entries", self.domain(), before.info.size))?;
        match results.into_iter().next() {
            Some(SubmissionResult::Problem(problem)) if problem.kind == format!("urn:ics:problem:{code}") => {
                Ok(problem)
            }
            other => Err(DemoError::Unexpected(format!("`{code}` was expected, not {other:?}"))),
        }
    }

    /// Fetches the newest checkpoint and checks its signature.
    pub(super) async fn checkpoint(&self) -> Result<Checkpoint> {
        let note = self.node.checkpoint(self.domain()).await?;
        Checkpoint::open(&note, &self.key).map_err(unexpected)
    }

    /// Waits until this node's copy of another party's domain is the same log, by size and root.
    pub(super) async fn follows(&self, home: &Self) -> Result<Checkpoint> {
        let theirs = home.checkpoint().await?;
        let begun = Instant::now();
        loop {
            // A copy that is still empty is reported as not found.
            let ours = self.node.domain(home.domain()).await;
            let same = |ours: &DomainInfo| ours.info.size == theirs.size && ours.root == theirs.root.to_string();
            if let Some(ours) = ours.ok().filter(same) {
                // The mirror raises an alarm for anything that it would not have admitted under its own reading of the
                // policy.
                let sound = ours.position == Position::Mirror && ours.alarms.is_empty();
                ensure(sound, || format!("the copy of {} has alarms: {:?}", home.domain(), ours.alarms))?;
                return Ok(theirs);
            }
            within_time(begun, || format!("{} has no full copy of {}", self.part.who, home.domain()))?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Asks until the verdict is this one; returns how long that took.
    pub(super) async fn decides(&self, id: &str, usage: &str, outcome: Outcome) -> Result<(Verdict, Duration)> {
        let begun = Instant::now();
        loop {
            let verdict = self.node.verdict(id, usage, None).await?;
            if verdict.outcome == outcome {
                return Ok((verdict, begun.elapsed()));
            }
            within_time(begun, || format!("{id} is {:?}: {}", verdict.outcome, verdict.reasons.join("; ")))?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Fails if something has been waited for too long.
pub(super) fn within_time(begun: Instant, what: impl FnOnce() -> String) -> Result<()> {
    ensure(begun.elapsed() < Duration::from_secs(FOLLOW_SECONDS), || {
        format!("after {FOLLOW_SECONDS} seconds, {}", what())
    })
}

/// Signs a statement as of now.
pub(super) fn sign(signer: &Signing, thing: &Thing, claims: &Claims) -> Result<Vec<u8>> {
    Ok(signer.sign(thing, claims, false, Clock::default().now())?)
}

impl Entered {
    /// The positions of the entries and their proof: `devices.acme.example entries 1–11 of 12; 4 hashes to root 5fc2…`.
    pub(super) fn proof(&self, domain: &DomainName) -> String {
        let first = self.receipts.iter().map(|receipt| receipt.index).min().unwrap_or_default();
        let last = self.receipts.iter().map(|receipt| receipt.index).max().unwrap_or_default();
        let place = if first == last { format!("entry {first}") } else { format!("entries {first}–{last}") };
        let count = self.receipts.iter().map(|receipt| receipt.proof.len()).max().unwrap_or_default();
        let hashes = if count == 1 { "1 hash".to_owned() } else { format!("{count} hashes") };
        let Checkpoint { size, root, .. } = &self.checkpoint;
        format!("{domain} {place} of {size}; {hashes} to root {}", short(&root.to_string()))
    }
}

/// `Acme Pumps as manufacturer, key 9f3c12ab34cd…`.
pub(super) fn signed_by(signer: &Signing, name: &str) -> String {
    format!("{name}, key {}", short(&signer.fingerprint().to_string()))
}
