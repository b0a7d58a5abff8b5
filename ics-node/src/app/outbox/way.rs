//! The way to the home of a domain: who is told what waits for it, and what their failures mean.

use ics_sync::http::PeerError;
use ics_sync::wire::Outcome;

use crate::api::problem::Code;
use crate::app::App;
use crate::app::hosted::Hosted;

impl App {
    /// Submits bodies to the first peer on the way to the home and, where that leads nowhere, to the home itself, if it
    /// is another peer; `None` if there is no peer.
    pub(super) async fn submit_towards_home(
        &self,
        hosted: &Hosted,
        bodies: Vec<Vec<u8>>,
    ) -> Option<Result<Vec<Outcome>, PeerError>> {
        let (first, home) = self.towards_home(hosted)?;
        let Some(home) = home else { return Some(first.submit(&hosted.name, bodies).await) };
        match first.submit(&hosted.name, bodies.clone()).await {
            Err(error) if leads_nowhere(&error) => match home.submit(&hosted.name, bodies).await {
                Err(other) if leads_nowhere(&other) => Some(Err(error)),
                answer => Some(answer),
            },
            answer => Some(answer),
        }
    }
}

/// Whether sending the same again would get the same answer: that is so if the node itself says it. Something in front
/// of the node, such as a proxy with a size limit, knows nothing about what it refuses.
pub(super) fn is_final(error: &PeerError) -> bool {
    matches!(error, PeerError::Status { status: 400 | 413 | 415 | 422, problem: Some(_), .. })
}

/// Whether other bodies may pass: something in front of the home does not take what was sent, such as a proxy with a
/// limit or a filter, or a node on the way keeps nothing of a batch because of one signer whom it does not know.
pub(super) fn is_of_the_way(error: &PeerError) -> bool {
    match error {
        PeerError::Status { status, problem: None, .. } => matches!(status, 400 | 403 | 406 | 413 | 415 | 422),
        error => keeps_nothing(error),
    }
}

/// Whether a peer does not lead to the home at present: neither it nor what is behind a proxy can be reached, or it
/// cannot reach the home itself.
fn leads_nowhere(error: &PeerError) -> bool {
    match error {
        PeerError::Transport(_) | PeerError::Late | PeerError::Status { status: 502..=504, problem: None, .. } => true,
        error => keeps_nothing(error),
    }
}

/// Whether a node says that it does not reach the home, and keeps nothing of what was sent.
fn keeps_nothing(error: &PeerError) -> bool {
    matches!(error, PeerError::Status { problem: Some(kind), .. } if *kind == Code::Upstream.uri())
}
