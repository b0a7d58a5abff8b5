//! Submits bodies in batches that a node accepts.

use std::time::Duration;

use ics_core::limits;
use ics_core::vocabulary::DomainName;

use super::node::{Node, NodeError};
use crate::api::problem::Code;
use crate::api::{Problem, SubmissionResult, SubmissionResults};

/// Pauses in seconds between attempts at a busy node.
const PAUSES: [u64; 5] = [1, 2, 4, 8, 15];

/// Splits bodies, in order, into batches of at most [`limits::BATCH_STATEMENTS`] and [`limits::BATCH_BYTES`].
#[must_use]
pub fn batches(bodies: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let mut batches: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut bytes = 0;
    for body in bodies {
        bytes += body.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < limits::BATCH_STATEMENTS && bytes <= limits::BATCH_BYTES => batch.push(body),
            _ => {
                bytes = body.len();
                batches.push(vec![body]);
            }
        }
    }
    batches
}

/// Submits bodies, one batch after the other, and returns a result for each, in order.
///
/// # Errors
/// When the node cannot be reached or refuses a whole batch; the batches before it are then in the log.
pub async fn submit(
    node: &Node,
    domain: &DomainName,
    bodies: Vec<Vec<u8>>,
) -> Result<Vec<SubmissionResult>, NodeError> {
    let mut results = Vec::with_capacity(bodies.len());
    submit_into(node, domain, bodies, &mut results).await?;
    Ok(results)
}

/// As [`submit`], for callers that need the results up to an early end.
///
/// # Errors
/// See [`submit`].
pub async fn submit_into(
    node: &Node,
    domain: &DomainName,
    bodies: Vec<Vec<u8>>,
    results: &mut Vec<SubmissionResult>,
) -> Result<(), NodeError> {
    for batch in batches(bodies) {
        submit_patiently(node, domain, batch, false, results).await?;
    }
    Ok(())
}

/// Submits a batch, and again after growing pauses while the node says that it is busy: a factory line must not stop
/// for that, nor a list be half submitted. What waits for witnesses is already in the log, so it is only waited for if
/// the caller asks for it. What does not arrive in time over a slow line is submitted in halves.
///
/// # Errors
/// See [`submit`]; `results` then has those of the halves that came before.
pub async fn submit_patiently(
    node: &Node,
    domain: &DomainName,
    bodies: Vec<Vec<u8>>,
    awaits_witnesses: bool,
    results: &mut Vec<SubmissionResult>,
) -> Result<(), NodeError> {
    let mut left = vec![bodies];
    while let Some(mut first) = left.pop() {
        match submit_at_once(node, domain, &first, awaits_witnesses).await {
            Ok(answered) => results.extend(answered.results),
            Err(error) if error.is_too_much() && first.len() > 1 => {
                let second = first.split_off(first.len() / 2);
                left.extend([second, first]);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn submit_at_once(
    node: &Node,
    domain: &DomainName,
    bodies: &[Vec<u8>],
    awaits_witnesses: bool,
) -> Result<SubmissionResults, NodeError> {
    let is_busy = |problem: &Problem| {
        matches!(problem.status, 429 | 503) && (awaits_witnesses || problem.code() != Code::Unwitnessed.as_str())
    };
    for seconds in PAUSES {
        match node.submit(domain, bodies.to_vec()).await {
            Err(NodeError::Problem(problem)) if is_busy(&problem) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            other => return other,
        }
    }
    node.submit(domain, bodies.to_vec()).await
}

/// Makes sure that the log holds a signer's certificate, since statements by unknown signers are refused. A certificate
/// that is already there gets its first receipt again.
///
/// # Errors
/// When the node cannot be reached, or refuses the certificate.
pub async fn introduce(node: &Node, domain: &DomainName, certificate: &[u8]) -> Result<(), NodeError> {
    match submit(node, domain, vec![certificate.to_vec()]).await?.into_iter().next() {
        Some(SubmissionResult::Problem(problem)) => Err(NodeError::Problem(Box::new(signer_refused(problem)))),
        _ => Ok(()),
    }
}

fn signer_refused(problem: Problem) -> Problem {
    Problem { detail: format!("the signer's certificate was refused: {}", problem.detail), ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_order_and_bounds() {
        let many: Vec<Vec<u8>> = (0..2_500_u32).map(|n| n.to_be_bytes().to_vec()).collect();
        let cut = batches(many.clone());
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
        assert_eq!(cut.concat(), many);

        let large = vec![vec![0; limits::BATCH_BYTES / 2]; 3];
        assert_eq!(batches(large).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        let over = vec![vec![0; limits::BATCH_BYTES + 1], vec![1]];
        assert_eq!(
            batches(over).iter().map(Vec::len).collect::<Vec<_>>(),
            [1, 1],
            "the node refuses it, not the client"
        );
        assert!(batches(Vec::new()).is_empty());
    }
}
