//! A node dies in the middle of its work.

use std::time::{Duration, Instant};

use ics_core::log::Hash;
use ics_core::log::checkpoint::Checkpoint;
use ics_core::log::merkle::verify_consistency;
use ics_core::log::receipt::Receipt;
use ics_core::trust::Outcome;
use ics_core::vocabulary::{Act, DomainName};
use tokio::sync::{oneshot, watch};

use super::Story;
use super::deciding::USE;
use crate::api::SubmissionResult;
use crate::client::node::Node;
use crate::demo::error::{Result, ensure, unexpected};
use crate::demo::party::Party;
use crate::demo::props::sensor;
use crate::demo::show::{Told, duration, short};
use crate::demo::stage::Process;

/// How many sensors are being introduced when the node dies, how many in one submission, and after how many receipts.
const SENSORS: usize = 160;
const AT_ONCE: usize = 4;
const KILLED_AFTER: usize = 48;

/// Receipts, in the order of the bodies.
type Acknowledged = Vec<Receipt>;

impl Story {
    /// Kills a node with SIGKILL while statements arrive, and starts it again with the same home directory.
    pub(super) async fn crash(&mut self) -> Result<Told> {
        let bodies = self.sensors()?;
        let before = self.integrator.checkpoint().await?;
        let (acknowledged, pid) = self.kill_while_submitting(&bodies).await?;
        let (alone, _) = self.gateway.decides(&self.pump(0)?.name(), USE, Outcome::Allow).await?;
        ensure(self.integrator.node.info().await.is_err(), || "the killed node answers".to_owned())?;

        let begun = Instant::now();
        let integrator = &mut self.integrator;
        integrator.process = Process::start(integrator.part.who, &integrator.home, &integrator.node).await?;
        let restarted = begun.elapsed();
        let survived = survives(integrator, &bodies, &acknowledged).await?;
        let after = complete(integrator, &bodies, &acknowledged, &before).await?;
        let hashes = consistent(integrator, &survived, &after).await?;
        self.gateway.follows(&self.integrator).await?;
        let (sent, lost) = (acknowledged.len(), bodies.len() - acknowledged.len());
        Ok(Told::default()
            .shown("killed", format!("process {pid}, SIGKILL, with {sent} of {SENSORS} statements acknowledged"))
            .checked(
                "meanwhile",
                format!("the gateway allows {} from its copy ({})", self.pump(0)?.serial, alone.rules.join(", ")),
            )
            .checked(
                "restarted",
                format!("in {}; all {sent} acknowledged are there, receipts verified again", duration(restarted)),
            )
            .checked(
                "consistent",
                format!(
                    "{} entries before, {} after: {hashes} hashes prove the one extends the other",
                    survived.size, after.size
                ),
            )
            .checked(
                "the rest",
                format!("{lost} submitted again; none is there twice; root {}", short(&after.root.to_string())),
            )
            .data("acknowledged", sent)
            .data("size", after.size))
    }

    /// Sensors that only the integrator can introduce.
    fn sensors(&self) -> Result<Vec<Vec<u8>>> {
        let integrator = &self.integrator;
        let claims = integrator.signer.claims(Act::Identity);
        (1..=SENSORS).map(|number| integrator.says(&sensor(number, self.clock.now())?, &claims)).collect()
    }

    async fn kill_while_submitting(&mut self, bodies: &[Vec<u8>]) -> Result<(Acknowledged, u32)> {
        let (node, domain) = (self.integrator.node.clone(), self.integrator.domain().clone());
        let (progress, mut seen) = watch::channel(0);
        let (ends, has_ended) = oneshot::channel::<()>();
        let submitting = tokio::spawn(submit_until_it_fails(node, domain, bodies.to_vec(), (progress, has_ended)));
        let pid = self.integrator.process.id().unwrap_or_default();
        seen.wait_for(|count| *count >= KILLED_AFTER).await.map_err(unexpected)?;
        // So that the kill falls somewhere between two receipts.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.integrator.process.kill().await?;
        drop(ends);
        Ok((submitting.await.map_err(unexpected)?, pid))
    }
}

/// Submits a few at a time until the node is gone; returns the receipts that arrived before. The last few are for a
/// node that has ended: on a busy machine it could otherwise be done with its work before it is killed.
async fn submit_until_it_fails(
    node: Node,
    domain: DomainName,
    bodies: Vec<Vec<u8>>,
    (progress, mut has_ended): (watch::Sender<usize>, oneshot::Receiver<()>),
) -> Acknowledged {
    let mut acknowledged = Vec::new();
    for (number, some) in bodies.chunks(AT_ONCE).enumerate() {
        if (number + 1) * AT_ONCE >= bodies.len() {
            // Whoever kills the node drops the other end.
            let _ = (&mut has_ended).await;
        }
        let Ok(results) = node.submit(&domain, some.to_vec()).await else { break };
        for result in results.results {
            let SubmissionResult::Receipt(receipt) = result else { return acknowledged };
            acknowledged.push(*receipt);
        }
        progress.send_replace(acknowledged.len());
    }
    acknowledged
}

/// Checks that every acknowledged statement is in the log where its receipt says; returns the last head signed before
/// the end.
async fn survives(party: &Party, bodies: &[Vec<u8>], acknowledged: &[Receipt]) -> Result<Checkpoint> {
    let mut last = None;
    for (receipt, body) in acknowledged.iter().zip(bodies) {
        let entry = party.node.entry(party.domain(), receipt.index).await?;
        ensure(entry.body == *body, || format!("entry {} is another one", receipt.index))?;
        entry.receipt.verify(body, &party.key).map_err(unexpected)?;
        last = Some(receipt.verify(body, &party.key).map_err(unexpected)?);
    }
    last.ok_or_else(|| unexpected("nothing was acknowledged"))
}

/// Submits everything again: what is already in the log gets its first receipt, the rest is appended.
async fn complete(
    party: &Party,
    bodies: &[Vec<u8>],
    acknowledged: &[Receipt],
    before: &Checkpoint,
) -> Result<Checkpoint> {
    let again = party.submit(bodies.to_vec()).await?;
    let first = again.receipts.iter().zip(acknowledged).all(|(again, first)| again.index == first.index);
    ensure(first, || "a statement got another receipt than its first".to_owned())?;
    let after = party.checkpoint().await?;
    let expected = before.size + u64::try_from(bodies.len()).map_err(unexpected)?;
    ensure(after.size == expected, || format!("{} entries instead of {expected}", after.size))?;
    Ok(after)
}

/// Checks that the earlier tree is a prefix of the present one.
async fn consistent(party: &Party, before: &Checkpoint, after: &Checkpoint) -> Result<usize> {
    let answer = party.node.consistency(party.domain(), before.size, after.size).await?;
    let proof: Vec<Hash> = answer
        .proof
        .iter()
        .map(|hash| Hash::from_base64(hash))
        .collect::<core::result::Result<_, _>>()
        .map_err(unexpected)?;
    verify_consistency(before.size, &before.root, after.size, &after.root, &proof).map_err(unexpected)?;
    Ok(proof.len())
}
