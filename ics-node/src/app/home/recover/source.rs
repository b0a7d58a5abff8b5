//! Whom a home asks for what it has lost: a peer, or a mirror's home directory that was brought here.

use ics_sync::http::PeerError;
use ics_sync::mirror::{Action, Mirror};

use crate::api::problem::Code;
use crate::app::{App, AppError, Reader};

/// A source that may have what a home has lost.
#[derive(Clone)]
pub enum Source {
    /// A node that is a peer.
    Peer {
        /// What the operator calls it.
        name: String,
        /// How it is asked.
        peer: ics_sync::Peer,
    },
    /// A copy of a mirror's home directory that was brought here, opened.
    Copy {
        /// Where it lies.
        name: String,
        /// Its use cases.
        app: App,
    },
}

/// Why a source gave no answer.
pub(super) enum NoAnswer {
    /// It does not hold the domain.
    NotHeld,
    /// In words.
    Failed(String),
}

impl Source {
    /// The name by which it is reported.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Peer { name, .. } | Self::Copy { name, .. } => name,
        }
    }

    /// Does what the mirror asks for, and gives it the answer.
    pub(super) async fn answer(&self, mirror: &mut Mirror, action: Action, own: &App) -> Result<(), NoAnswer> {
        let domain = mirror.domain().clone();
        let now = || own.clock().now();
        match (self, action) {
            (Self::Peer { peer, .. }, Action::FetchDescriptors { from }) => {
                let answer = peer.descriptors(&domain, from).await.map_err(no_answer)?;
                mirror.handle_descriptors(&answer, now());
            }
            (Self::Copy { app, .. }, Action::FetchDescriptors { from }) => {
                mirror.handle_descriptors(&app.descriptors(&domain, from).map_err(not_in_copy)?, now());
            }
            (Self::Peer { peer, .. }, Action::FetchCheckpoint) => {
                mirror.handle_checkpoint(&peer.checkpoint(&domain).await.map_err(no_answer)?, now());
            }
            (Self::Copy { app, .. }, Action::FetchCheckpoint) => {
                mirror.handle_checkpoint(&app.checkpoint(&domain).map_err(not_in_copy)?, now());
            }
            (Self::Peer { peer, .. }, Action::FetchPage { from, limit, until }) => {
                mirror.handle_page(peer.page(&domain, from, limit, until).await.map_err(no_answer)?, now());
            }
            (Self::Copy { app, .. }, Action::FetchPage { from, limit, until }) => {
                let page = app.entries(Reader::Operator, &domain, from, limit, Some(until)).map_err(not_in_copy)?;
                mirror.handle_page(page, now());
            }
            // A home takes back what it is given, page by page.
            (_, Action::Survey(_)) => mirror.handle_surveyed(Vec::new()),
            (_, Action::FetchAgain(_) | Action::Fill(_) | Action::RootAt { .. }) => {}
            (_, Action::Wait { .. } | Action::Listen { .. } | Action::Apply(_) | Action::Stopped(_)) => {}
        }
        Ok(())
    }
}

fn no_answer(error: PeerError) -> NoAnswer {
    match error {
        // A plain 404 may come from something in front of the node, and says nothing about what the node holds.
        PeerError::Status { problem: Some(kind), .. } if kind == Code::UnknownDomain.uri() => NoAnswer::NotHeld,
        // RFC 4511, appendix A: `noSuchObject`.
        PeerError::Refused { code: 32, .. } => NoAnswer::NotHeld,
        error => NoAnswer::Failed(error.to_string()),
    }
}

fn not_in_copy(error: AppError) -> NoAnswer {
    match error.code() {
        Code::UnknownDomain => NoAnswer::NotHeld,
        _ => NoAnswer::Failed(error.to_string()),
    }
}
