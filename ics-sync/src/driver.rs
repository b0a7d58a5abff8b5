//! The loop that does over HTTP what a mirror says.

use core::time::Duration;

use ics_core::time::Timestamp;
use tokio::sync::watch;

use crate::http::HttpPeer;
use crate::mirror::{Action, Mirror, Status, Stop, VerifiedPage};

/// What takes the verified entries of a mirror.
pub trait Applier {
    /// Stores the entries of a page durably, in one transaction with its size and checkpoint, and lets those take
    /// effect that the domain's policy admits. The others stay in the log without effect, and are alarmed.
    ///
    /// # Errors
    /// With what went wrong, in words, when nothing of the page was stored; it comes again later.
    fn apply(&mut self, page: &VerifiedPage) -> impl Future<Output = Result<(), String>> + Send;
}

/// Mirrors until something stops it: `None` when `shutdown` was ready, else the reason for which the mirror stopped.
///
/// A page that is being applied is finished before. `status` tells others how far it is, after every step. `now` is
/// the node's clock.
pub async fn run(
    mirror: &mut Mirror,
    peer: &HttpPeer,
    applier: &mut (impl Applier + Send),
    now: impl Fn() -> Timestamp + Send,
    status: &watch::Sender<Status>,
    shutdown: impl Future<Output = ()> + Send,
) -> Option<Stop> {
    let mut shutdown = core::pin::pin!(shutdown);
    loop {
        match mirror.poll_action(now()) {
            Action::Stopped(stop) => return Some(stop),
            Action::Apply(page) => match applier.apply(&page).await {
                Ok(()) => mirror.handle_applied(now()),
                Err(problem) => mirror.handle_failure(&problem, now()),
            },
            action => tokio::select! {
                biased;
                () = &mut shutdown => return None,
                () = ask(mirror, peer, action, &now) => {}
            },
        }
        status.send_replace(mirror.status());
    }
}

/// Waits, or asks the peer and tells the mirror what it said. Dropped half-way, it has changed nothing.
async fn ask(mirror: &mut Mirror, peer: &HttpPeer, action: Action, now: &(impl Fn() -> Timestamp + Send)) {
    let domain = mirror.domain().clone();
    let asked = match action {
        Action::FetchDescriptors { from } => {
            peer.descriptors(&domain, from).await.map(|descriptors| mirror.handle_descriptors(&descriptors, now()))
        }
        Action::FetchCheckpoint => peer.checkpoint(&domain).await.map(|note| mirror.handle_checkpoint(&note, now())),
        Action::FetchPage { from, limit, until } => {
            peer.page(&domain, from, limit, until).await.map(|page| mirror.handle_page(page, now()))
        }
        Action::Wait { until } => {
            tokio::time::sleep(Duration::from_millis(until.millis_since(now()))).await;
            Ok(())
        }
        Action::Apply(_) | Action::Stopped(_) => Ok(()),
    };
    if let Err(problem) = asked {
        mirror.handle_failure(&problem.to_string(), now());
    }
}
