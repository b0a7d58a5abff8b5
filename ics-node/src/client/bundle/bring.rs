//! Brings a bundle to a node, which asks for it piece by piece.

use std::io::{Read, Seek};

use ics_core::log::checkpoint::Origin;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::bundle::{Bundle, BundleError};
use ics_sync::carried::{Carried, Reached, Wanted};
use serde::Serialize;

use super::CarryError;
use crate::api::problem::Code;
use crate::api::{Position, Problem, SubmissionResult};
use crate::client::node::{Node, NodeError};

/// The result for one domain of a bundle.
#[derive(Debug, Serialize)]
pub struct Brought {
    /// The domain.
    pub domain: DomainName,
    /// The state of the copy.
    pub state: State,
    /// Entries that the node holds now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Entries that it did not hold before.
    pub new: u64,
    /// As of when there were no more entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Why the copy is not at the state of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How many of the node's own submissions the copy now shows to be in the log.
    pub settled: u64,
    /// How many of the node's own submissions were refused according to the bundle; its outbox shows why.
    pub ended: u64,
    /// Statements in the bundle that were submitted and are in the log.
    pub accepted: u64,
    /// Statements in the bundle that wait in the node for the home of the domain.
    pub waiting: u64,
    /// Why other statements were refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Problem>,
}

/// The state of the copy of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has all that the bundle has.
    Current,
    /// As `Current`, for a part of the log; that nothing was left out of that part is only the word of whoever made or
    /// carried the bundle.
    Unconfirmed,
    /// The bundle has nothing to copy.
    Nothing,
    /// This node is the home: there is nothing to copy.
    Home,
    /// This node is not configured to copy the domain.
    NotCopied,
    /// The contents of the bundle are invalid, or do not fit the copy.
    Refused,
}

/// Brings a whole bundle. `moved` is told how many entries the node has taken.
///
/// # Errors
/// When the node cannot be asked, or the file can no longer be read. Objections by a domain's log or policy are part of
/// the answer instead.
pub async fn bring(
    node: &Node,
    bundle: &mut Bundle<impl Read + Seek>,
    moved: impl Fn(u64),
) -> Result<Vec<Brought>, CarryError> {
    let mut all = Vec::new();
    let mut before = 0;
    for section in 0..bundle.sections().len() {
        let brought = one(node, bundle, section, |new| moved(before + new)).await?;
        before += brought.new;
        all.push(brought);
    }
    Ok(all)
}

async fn one(
    node: &Node,
    bundle: &mut Bundle<impl Read + Seek>,
    section: usize,
    moved: impl Fn(u64),
) -> Result<Brought, CarryError> {
    let missing = || BundleError::from(std::io::Error::other("no such part"));
    let found = bundle.sections().get(section).ok_or_else(missing)?;
    let (domain, origin, has_copy) = (found.origin.domain.clone(), found.origin.clone(), found.size().is_some());
    let mut brought = Brought {
        domain: domain.clone(),
        state: State::Nothing,
        size: None,
        new: 0,
        as_of: None,
        why: None,
        settled: 0,
        ended: 0,
        accepted: 0,
        waiting: 0,
        refused: Vec::new(),
    };
    let Some(Held { origin: known, size: before, is_home }) = held(node, &domain).await? else {
        brought.state = State::NotCopied;
        return Ok(brought);
    };
    brought.size = Some(before);
    if known != origin {
        brought.state = State::Refused;
        brought.why = Some(format!("the bundle has `{origin}`, this node has `{known}`: another log of that name"));
        return Ok(brought);
    }
    if is_home {
        brought.state = State::Home;
    } else if has_copy {
        let reached = copy(node, bundle, section, &domain, |size| moved(size.saturating_sub(before))).await?;
        let Reached { size, as_of, trouble, unconfirmed, settled, .. } = reached;
        brought.state = match (&trouble, unconfirmed) {
            (Some(_), _) => State::Refused,
            (None, true) => State::Unconfirmed,
            (None, false) => State::Current,
        };
        (brought.size, brought.new) = (Some(size), size.saturating_sub(before));
        (brought.as_of, brought.why, brought.settled) = (as_of, trouble, settled);
    }
    if !is_home {
        // After the copy: a statement that the copy shows to be in the log was not refused.
        let mut number = 0;
        while let Some(refusals) = bundle.refusals(section, number)? {
            number += 1;
            if let Wanted::Nothing(reached) = node.bring(&domain, &Carried::Refused(refusals)).await? {
                brought.ended += reached.refused;
            }
        }
    }
    submit(node, bundle, section, &mut brought).await?;
    Ok(brought)
}

/// What the node holds of a domain.
struct Held {
    origin: Origin,
    size: u64,
    is_home: bool,
}

/// Returns `None` if the node is not configured to copy the domain.
async fn held(node: &Node, domain: &DomainName) -> Result<Option<Held>, CarryError> {
    match node.domain(domain).await {
        Ok(info) => {
            let is_home = info.position == Position::Home;
            Ok(Some(Held { origin: info.info.origin, size: info.info.size, is_home }))
        }
        Err(NodeError::Problem(problem)) if is_empty_copy(&problem) => match node.cursor(domain).await {
            Ok(cursor) => Ok(Some(Held { origin: cursor.origin, size: 0, is_home: false })),
            Err(NodeError::Problem(_)) => Ok(None),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Answers the node's questions until it has no more.
async fn copy(
    node: &Node,
    bundle: &mut Bundle<impl Read + Seek>,
    section: usize,
    domain: &DomainName,
    moved: impl Fn(u64),
) -> Result<Reached, CarryError> {
    let mut wanted = node.bring(domain, &Carried::Begin).await?;
    loop {
        match &wanted {
            Wanted::Nothing(reached) => return Ok(reached.clone()),
            Wanted::Page { from, .. } => moved(*from),
            Wanted::Descriptors { .. } | Wanted::Checkpoint | Wanted::Again(_) => {}
        }
        let carried = bundle.answer(section, &wanted)?;
        wanted = node.bring(domain, &carried).await?;
    }
}

async fn submit(
    node: &Node,
    bundle: &mut Bundle<impl Read + Seek>,
    section: usize,
    brought: &mut Brought,
) -> Result<(), CarryError> {
    let mut number = 0;
    while let Some(submission) = bundle.submission(section, number)? {
        number += 1;
        let bodies = submission.statements.into_iter().map(|body| body.0).collect();
        for result in submit_batch(node, &brought.domain, bodies).await? {
            match result {
                SubmissionResult::Receipt(_) => brought.accepted += 1,
                SubmissionResult::Pending(_) => brought.waiting += 1,
                SubmissionResult::Problem(problem) => brought.refused.push(problem),
            }
        }
    }
    Ok(())
}

/// Submits a batch; returns a result for each body. A node that does not reach the home keeps nothing of a batch in
/// which there is a signer whom it does not know, so the halves are submitted, and theirs, until that one is found.
async fn submit_batch(
    node: &Node,
    domain: &DomainName,
    bodies: Vec<Vec<u8>>,
) -> Result<Vec<SubmissionResult>, NodeError> {
    let (mut left, mut results) = (vec![bodies], Vec::new());
    while let Some(mut first) = left.pop() {
        match node.submit(domain, first.clone()).await {
            Ok(answered) => results.extend(answered.results),
            Err(NodeError::Problem(problem)) if is_not_kept(&problem) => {
                if first.len() > 1 {
                    let second = first.split_off(first.len() / 2);
                    left.extend([second, first]);
                } else {
                    results.push(SubmissionResult::Problem(*problem));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(results)
}

fn is_not_kept(problem: &Problem) -> bool {
    Code::named(problem.code()) == Some(Code::Upstream)
}

/// Whether nothing of the domain has arrived yet, or it is not copied here at all.
fn is_empty_copy(problem: &Problem) -> bool {
    matches!(Code::named(problem.code()), Some(Code::UnknownDomain | Code::Behind))
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::config::PeerConfig;
    use crate::fixture::{Party, catches_up, copy, device, served, word};

    /// Else the others would not be kept, and nothing that stands behind them in the bundle would be brought.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_unknown_signer_keeps_nobody_elses_statements_from_being_kept() {
        let (maker, home) = Party::with_a_device().await;
        let (data, url) = (tempfile::tempdir().expect("a directory"), served(&home));
        let copy = copy(data.path(), &home, &maker.domain, &[("home", &*url)]);
        let (stop, stopped) = watch::channel(false);
        let replicating = tokio::spawn(copy.clone().replicate(stopped));
        catches_up(&copy, &home, &maker.domain).await;
        stop.send_replace(true);
        replicating.await.expect("ends");
        let gone = PeerConfig {
            url: Some(word("http://127.0.0.1:1")),
            mirror: vec![home.domain(&maker.domain).expect("here").info.origin],
            ..PeerConfig::new(word("home"))
        };
        tokio::task::block_in_place(|| copy.put_peer(gone)).expect("changed");

        let introduce = |number| maker.introduce(&home, &device(number), &format!("urn:dev:os:32473-{number}"), "L2");
        let stranger = Party::found("devices.other.example").certificate;
        let node = Node::new(&served(&copy)).expect("an address");
        let bodies = vec![introduce(2), stranger, introduce(3)];
        let results = submit_batch(&node, &maker.domain, bodies).await.expect("is answered");
        let [SubmissionResult::Pending(_), SubmissionResult::Problem(problem), SubmissionResult::Pending(_)] =
            results.as_slice()
        else {
            panic!("{results:?}")
        };
        assert_eq!(problem.code(), "upstream", "{problem:?}");
    }
}
