//! The use cases of a node. Every face calls these and nothing below them; they decide through `ics-core`.

pub mod clock;
pub mod problem;

mod access;
mod acme;
mod adopt;
mod alarms;
mod alerts;
mod answers;
mod authorities;
mod carry;
mod case;
mod certificates;
mod certify;
mod challenge;
mod check;
mod concern;
mod copying;
mod cosign;
mod declared;
mod denied;
mod directory;
mod enrol;
mod entries;
mod erase;
mod erased_copies;
mod error;
mod est;
mod everything;
mod expiry;
mod explain;
mod feed;
mod follow;
mod found;
mod fsck;
mod heartbeat;
mod heed;
mod home_key;
mod home_lists;
mod hosted;
mod issuers;
mod judge;
mod kept_blocks;
pub mod keys;
mod lead;
mod list;
mod looked;
mod memory;
mod mirror;
mod mirroring;
mod moments;
mod named;
mod not_taken;
mod noted;
mod ocsp;
mod open;
mod operations;
mod outbox;
mod peers;
mod push;
mod read;
mod ready;
mod recover;
mod replay;
mod resolved;
mod responders;
mod reveal;
mod revocation;
mod roam;
mod rolled_back;
mod search;
mod sight;
mod submit;
mod succession;
#[cfg(test)]
mod tests;
mod then;
mod thing;
mod two_logs;
mod unite;
mod upload;
mod verdict;
mod whole_key;
mod witnesses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use ics_core::trust::TrustPolicy;
use ics_core::vocabulary::DomainName;
use tokio::sync::watch;
use zeroize::Zeroizing;

pub use access::{Party, Reader};
pub use acme::{AcmeSetup, Answer as AcmeAnswer, AnswerBody as AcmeBody, Look as AcmeLook};
pub use answers::{Depth, Encoded, Extent, Query};
pub use certify::{Application, CertifyError, CertifyFault, Issued, IssuerKey, Requester, Revoker};
use challenge::Challenges;
pub use clock::Clock;
pub use cosign::NotCosigned;
pub use denied::Denied;
pub use directory::{Looked, Mark, Thing, ThingPage};
pub use error::AppError;
pub use est::EstRequest;
pub use everything::Mentions;
pub(crate) use expiry::DAYS as ENDING_DAYS;
pub use expiry::{Expiries, ExpiryAlert};
pub use feed::{DescriptorAnswer, TileAnswer};
pub use fsck::{empty_copy, fsck, kept_forks, may_copy, rebuild_index};
use hosted::Hosted;
pub use kept_blocks::{KeptBlock, KeptBlocks, kept_blocks};
use memory::Memory;
pub use moments::{Gone, Moment, Touched, millis_of};
pub use ocsp::OcspAnswer;
pub use open::{NodeKeys, Setup, store_options};
pub use operations::{KeptFork, Operations, ToApprove};
pub use outbox::Waiting;
pub(crate) use peers::Peers;
pub use push::{Event, Follower, Listener};
pub use recover::{Asked, PEERS_SETTLE, Source};
pub use responders::ResponderCertificate;
pub use revocation::{Elsewhere, Listing, SignedList};
pub use roam::{Asker, Watcher};
pub use then::Then;
pub use thing::{Found, PublicThing, Software};
pub use verdict::check_use;

use crate::background;
use crate::store::Store;

/// A node's use cases. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    keys: NodeKeys,
    hosted: RwLock<BTreeMap<DomainName, Arc<Hosted>>>,
    peers: Peers,
    trust: Option<Arc<TrustPolicy>>,
    operator_token: Option<Zeroizing<String>>,
    /// What is kept of identities.
    memory: Arc<Memory>,
    /// Counts commits, for those who wait for news of whatever domain.
    news: watch::Sender<u64>,
    challenges: Challenges,
    /// How often devices may ask to be introduced.
    enrolling: enrol::Enrolling,
    /// Signed answers about certificates, and how many each may have signed for himself.
    ocsp: ocsp::Answers,
    /// Issuers as descriptors name them.
    authorities: authorities::Authorities,
    /// Revocation lists.
    lists: revocation::Lists,
    /// Revocation lists that issuers sign elsewhere.
    home_lists: home_lists::HomeLists,
    denied: denied::Denials,
    /// What other nodes have answered about things of which no copy is here.
    roaming: roam::Roaming,
    alerts: alerts::Alerts,
    submissions: submit::Submissions,
    /// The domains of which this node is the home, and which its configuration names no more.
    closed: OnceLock<BTreeSet<DomainName>>,
    /// The ACME server, if there is one.
    acme: Option<acme::Acme>,
}

impl App {
    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// The node's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn hosted(&self, domain: &DomainName) -> Result<Arc<Hosted>, AppError> {
        let hosted = self.0.hosted.read().unwrap_or_else(PoisonError::into_inner);
        hosted.get(domain).cloned().ok_or_else(|| AppError::unknown_domain(domain))
    }

    pub(crate) fn all_hosted(&self) -> Vec<Arc<Hosted>> {
        self.0.hosted.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Does work that blocks, on a thread for such.
    ///
    /// # Errors
    /// Those of the work, and when it panics.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, AppError> {
        let app = self.clone();
        let ended = background::spawn(move || work(&app)).await;
        ended.unwrap_or_else(|error| Err(AppError::Internal(format!("what was asked for was given up: {error}"))))
    }

    /// Whether anybody can show to be the operator.
    #[must_use]
    pub fn has_operator(&self) -> bool {
        self.0.operator_token.is_some()
    }
}

/// Bytes from the operating system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], AppError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Fills bytes from the operating system's generator.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), AppError> {
    getrandom::fill(bytes).map_err(|error| AppError::Internal(format!("no randomness: {error}")))
}
