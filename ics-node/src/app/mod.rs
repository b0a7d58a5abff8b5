//! The use cases of a node. Every face calls these and nothing below them; they decide through `ics-core`.

pub mod clock;

mod access;
mod admit;
mod alarms;
mod answer;
mod challenge;
mod copy;
mod entries;
mod error;
mod following;
mod fsck;
mod home;
mod hosted;
pub mod keys;
mod open;
mod operations;
mod outbox;
mod roam;
#[cfg(test)]
mod tests;
mod x509;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::{Duration, Instant};

use ics_core::trust::TrustPolicy;
use ics_core::vocabulary::DomainName;
use tokio::sync::watch;
use zeroize::Zeroizing;

pub use access::{Party, Reader};
pub(crate) use admit::sender::Forwards;
pub use admit::sender::Sender;
pub use answer::answers::{Depth, Encoded, Extent, Query};
pub use answer::denied::Denied;
pub use answer::directory::{Looked, Mark, Thing, ThingPage};
pub use answer::everything::Mentions;
use answer::memory::Memory;
pub use answer::moments::{Gone, Moment, Moments, Touched, age_at, millis_of};
pub use answer::register::Register;
pub use answer::then::Then;
pub use answer::thing::{Assessed, Found, PublicThing, Software};
pub use answer::verdict::check_use;
use challenge::Challenges;
pub use clock::Clock;
pub use copy::feed::{DescriptorAnswer, TileAnswer};
pub use copy::kept_blocks::{KeptBlock, KeptBlocks, kept_blocks};
pub(crate) use copy::peers::Peers;
pub use copy::push::{Event, Follower, Listener};
pub use error::AppError;
pub use fsck::{empty_copy, forget_seen, fsck, is_held, kept_forks, may_copy, rebuild_index};
pub use home::cosign::NotCosigned;
pub use home::recover::{Asked, PEERS_SETTLE, Source};
use hosted::Hosted;
pub use open::{NodeKeys, Setup, store_options};
pub use operations::{Operations, ToApprove};
pub use outbox::Waiting;
pub use roam::{Asker, Watcher};
pub use x509::acme::{AcmeSetup, Answer as AcmeAnswer, AnswerBody as AcmeBody, Look as AcmeLook};
pub use x509::certify::{Application, CertifyError, CertifyFault, Issued, IssuerKey, Requester, Revoker};
pub use x509::cmp::CmpRequest;
pub use x509::est::EstRequest;
pub(crate) use x509::expiry::DAYS as ENDING_DAYS;
pub use x509::expiry::{Expiries, ExpiryAlert};
pub use x509::ocsp::OcspAnswer;
pub use x509::responders::ResponderCertificate;
pub use x509::revocation::{Elsewhere, Listing, SignedList};

use crate::background;
use crate::locked::Shared as _;
pub(crate) use crate::store::DomainNumber;
use crate::store::{Part, Store};

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
    /// Cached answers and what they were made of, by identity.
    memory: Arc<Memory>,
    /// Counts commits, for those who wait for news of any domain.
    news: watch::Sender<u64>,
    challenges: Challenges,
    /// Limits how often devices may ask to be introduced.
    enrolling: admit::enrol::Enrolling,
    /// Signed OCSP answers, and each client's budget of signatures.
    ocsp: x509::ocsp::Answers,
    /// CMP transactions under way.
    cmp: crate::cmp::Transactions,
    /// Limits how often each client may try a wrong secret over CMP.
    cmp_tries: x509::cmp::Tries,
    /// Limits how often each applicant may ask over EST.
    est_asking: x509::est::Asking,
    /// The issuers that the descriptors name, as parsed.
    authorities: x509::authorities::Authorities,
    /// What is known about the revocation lists of domains, from their logs.
    lists: x509::revocation::Lists,
    /// Revocation lists that are signed at the issuers' own homes.
    home_lists: x509::home_lists::HomeLists,
    denied: answer::denied::Denials,
    /// What other nodes have answered about things that this node has no copy of.
    roaming: roam::Roaming,
    alerts: x509::alerts::Alerts,
    submissions: admit::submit::Submissions,
    /// The domains of which this node is the home but which its configuration no longer names.
    closed: OnceLock<BTreeSet<DomainName>>,
    /// The ACME server, if there is one.
    acme: Option<x509::acme::Acme>,
    /// The last to be dropped: see [`Closing`].
    open: watch::Sender<()>,
}

/// Tells when a node's files are closed, which they are once nobody uses its use cases any more. A process that ends
/// before that leaves its write-ahead logs behind, so that its databases cannot be read alone.
#[derive(Debug)]
pub struct Closing(watch::Receiver<()>);

impl Closing {
    /// Waits until the files are closed, but not longer than this, and returns whether they are.
    #[must_use]
    pub fn wait(self, most: Duration) -> bool {
        let until = Instant::now() + most;
        while self.0.has_changed().is_ok() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl App {
    /// Tells when the node's files are closed.
    #[must_use]
    pub fn closing(&self) -> Closing {
        Closing(self.0.open.subscribe())
    }

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
        let hosted = self.0.hosted.read_locked();
        hosted.get(domain).cloned().ok_or_else(|| AppError::unknown_domain(domain))
    }

    pub(crate) fn all_hosted(&self) -> Vec<Arc<Hosted>> {
        self.0.hosted.read_locked().values().cloned().collect()
    }

    /// The domains that are at home here.
    pub(crate) fn homes(&self) -> Vec<Arc<Hosted>> {
        let mut homes = self.all_hosted();
        homes.retain(|hosted| hosted.part == Part::Home);
        homes
    }

    /// Those of them that can revoke something now. A silent one cannot, and what it has noted may be that of a restored
    /// copy.
    pub(crate) fn homes_that_speak(&self) -> Vec<Arc<Hosted>> {
        let mut homes = self.homes();
        homes.retain(|hosted| self.check_open(hosted).is_ok() && !self.is_silent(hosted).unwrap_or(true));
        homes
    }

    /// Runs blocking work on a thread meant for it.
    ///
    /// # Errors
    /// Those of the work itself; also when the work panics.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, AppError> {
        let app = self.clone();
        let ended = background::spawn(move || work(&app)).await;
        ended.unwrap_or_else(|error| Err(AppError::Internal(format!("what was asked for was given up: {error}"))))
    }

    /// Whether an operator token is configured, so that anybody can act as the operator at all.
    #[must_use]
    pub fn has_operator(&self) -> bool {
        self.0.operator_token.is_some()
    }
}

/// Random bytes from the operating system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], AppError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Fills a buffer from the operating system's generator.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), AppError> {
    getrandom::fill(bytes).map_err(|error| AppError::Internal(format!("no randomness: {error}")))
}
