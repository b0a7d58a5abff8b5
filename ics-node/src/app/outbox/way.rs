//! The way to the home of a domain: who is told what waits for it, and what their failures mean.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Instant;

use ics_sync::http::PeerError;
use ics_sync::wire::Outcome;
use sha2::{Digest as _, Sha256};

use super::result;
use crate::api::SubmissionResults;
use crate::api::problem::Code;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::locked::Locked as _;

/// What is being passed on to the home of a domain, by its digest. Of two nodes that copy from each other, neither need
/// know who the home is; what comes round is not passed on once more.
#[derive(Debug, Default)]
pub(crate) struct Passing(Mutex<BTreeSet<[u8; 32]>>);

/// Something that is being passed on for as long as this is held, also if whoever sent it in goes away.
struct OnTheWay<'p> {
    passing: &'p Passing,
    digest: [u8; 32],
}

impl Passing {
    /// Notes that bodies are passed on now; `None` if they are already.
    fn begin(&self, bodies: &[Vec<u8>]) -> Option<OnTheWay<'_>> {
        let mut hash = Sha256::new();
        for body in bodies {
            hash.update((body.len() as u64).to_be_bytes());
            hash.update(body);
        }
        let digest: [u8; 32] = hash.finalize().into();
        self.0.locked().insert(digest).then_some(())?;
        Some(OnTheWay { passing: self, digest })
    }
}

impl Drop for OnTheWay<'_> {
    fn drop(&mut self) {
        self.passing.0.locked().remove(&self.digest);
    }
}

impl App {
    /// Passes on a stranger's bodies, which are not kept.
    pub(super) async fn pass_on(&self, hosted: &Hosted, bodies: Vec<Vec<u8>>) -> Result<SubmissionResults, AppError> {
        let unreachable = |detail: String| AppError::new(Code::Upstream, detail);
        // What no bundle would take there must not read as if it waited for one.
        let missing = || {
            unreachable(format!(
                "no address leads to the home of `{}`, and of a signer whom that domain does not know nothing is kept \
                 here for a bundle: its owners name the signer first, or somebody there grants them a role",
                hosted.name
            ))
        };
        let came_round = || {
            unreachable(format!(
                "this is being passed on to the home of `{}` already: it was sent twice, or it came round because nodes \
                 copy that domain from each other and know no address of its home",
                hosted.name
            ))
        };
        let _on_the_way = hosted.passing.begin(&bodies).ok_or_else(came_round)?;
        let outcomes = self.submit_towards_home(hosted, bodies).await.ok_or_else(missing)?;
        let outcomes = outcomes.map_err(|error| unreachable(error.to_string()))?;
        let results = outcomes.into_iter().map(result).collect::<Result<_, _>>();
        Ok(SubmissionResults { results: results.map_err(|error| unreachable(error.to_string()))? })
    }

    /// Submits bodies to the first peer on the way to the home and, if that does not take them there, to the home
    /// itself, if it is another peer; `None` if there is no peer. The first one may be gone, or cut off from the home. One
    /// that had no answer in time a moment ago is asked after the home.
    pub(super) async fn submit_towards_home(
        &self,
        hosted: &Hosted,
        bodies: Vec<Vec<u8>>,
    ) -> Option<Result<Vec<Outcome>, PeerError>> {
        let (peer, first, home) = self.towards_home(hosted)?;
        let Some(home) = home else { return Some(first.submit(&hosted.name, bodies).await) };
        let mut of_home = None;
        if peer.late.is_late(Instant::now()) {
            let answer = home.submit(&hosted.name, bodies.clone()).await;
            if is_enough(&answer) || answer.as_ref().is_err_and(is_final) {
                return Some(answer);
            }
            of_home = Some(answer);
        }
        let answer = first.submit(&hosted.name, bodies.clone()).await;
        peer.late.note(&answer);
        if is_enough(&answer) {
            return Some(answer);
        }
        let of_home = match of_home {
            Some(answer) => answer,
            None => home.submit(&hosted.name, bodies).await,
        };
        // Whatever else failed there must not hide that the first one may keep a smaller batch, or has this one.
        Some(if weight(&of_home) >= weight(&answer).max(1) { of_home } else { answer })
    }
}

/// Whether an answer is one of the home.
fn is_enough(answer: &Result<Vec<Outcome>, PeerError>) -> bool {
    let waits = |outcome: &Outcome| matches!(outcome, Outcome::Pending(_));
    answer.as_ref().is_ok_and(|outcomes| !outcomes.iter().any(waits))
}

/// Of two answers to the same, the one of the larger weight says more about what to do next.
fn weight(answer: &Result<Vec<Outcome>, PeerError>) -> u8 {
    match answer {
        Ok(_) => 3,
        Err(error) if is_final(error) || is_of_the_way(error) => 2,
        Err(error) if is_too_slow(error) => 1,
        Err(_) => 0,
    }
}

/// Whether sending the same again would get the same answer: that is so if the node itself says it. Something in front
/// of the node, such as a proxy with a size limit, knows nothing about what it refuses.
pub(super) fn is_final(error: &PeerError) -> bool {
    matches!(error, PeerError::Status { status: 400 | 413 | 415 | 422, problem: Some(_), .. })
}

/// Whether less at once may get through: so much did not arrive in time, perhaps only because the line is slow.
pub(super) const fn is_too_slow(error: &PeerError) -> bool {
    matches!(error, PeerError::Late | PeerError::Status { status: 408, .. })
}

/// Whether other bodies may pass: something in front of the home does not take what was sent, such as a proxy with a
/// limit or a filter, or a node on the way that does not reach the home keeps nothing of a batch, because of one signer
/// whom it does not know.
pub(super) fn is_of_the_way(error: &PeerError) -> bool {
    match error {
        PeerError::Status { status, problem: None, .. } => matches!(status, 400 | 403 | 406 | 413 | 415 | 422),
        PeerError::Status { problem: Some(kind), .. } => *kind == Code::Upstream.uri(),
        _ => false,
    }
}
