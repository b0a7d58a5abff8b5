//! The peers of this node: who they are, what is copied from them, what they copy, and how that is going. They can be
//! changed while the node runs; every change is written to `ics.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use ics_core::domain::Domain;
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::budget::Budget;
use ics_sync::http::{HttpPeer, PeerError};
use ics_sync::mirror::{Doubt, Source};
use tokio::sync::watch;

use crate::api::problem::Code;
use crate::api::{Cosigns, PeerInfo, Pulled, Served};
use crate::app::access::Party;
use crate::app::home::witnesses::{Witness, Witnessing};
use crate::app::hosted::Hosted;
use crate::app::open::{prepare_mirror, room_for};
use crate::app::roam::LastAsked;
use crate::app::{App, AppError, Reader};
use crate::config::edit::{EditError, put_peer, remove_peer};
use crate::config::{Direction, PeerConfig, PeerName, PeerUrl};
use crate::keys::file::replace_alike;
use crate::locked::{Locked as _, Shared as _};
use crate::tls::{ClientTls, KeyPin, PeerKey};

/// For how long a peer that had no answer in time, or not all of one, is asked after the others.
pub(in crate::app) const ASKED_LAST: Duration = Duration::from_secs(60);

/// One peer, as configured.
pub(crate) struct Peer {
    pub(crate) config: PeerConfig,
    /// Each domain that is pulled from it, with its own byte count.
    pulls: BTreeMap<DomainName, ics_sync::Peer>,
    /// How it is asked for what this node has lost.
    lost: Option<ics_sync::Peer>,
    /// How it is asked about single things.
    roam: Option<Asking>,
    /// How it is asked to cosign, if it is a witness.
    witness: Option<Witness>,
    /// Whether it takes what is submitted in time.
    pub(in crate::app) late: Lateness,
    bytes: Option<Budget>,
    requests: Option<Budget>,
    served: Mutex<BTreeMap<DomainName, Taken>>,
}

/// How a peer is asked about single things.
pub(crate) struct Asking {
    pub(crate) http: HttpPeer,
    pub(crate) pace: Budget,
    /// Until when it is left alone because it could not be reached.
    pub(crate) resting: Mutex<Option<Instant>>,
    pub(crate) late: Lateness,
    /// The results of the last questions, by domain.
    pub(crate) last: Mutex<BTreeMap<DomainName, LastAsked>>,
}

/// When a peer had no answer, or not all of one in time, unless there has been one since: whoever asks would wait for it
/// each time.
#[derive(Debug, Default)]
pub(crate) struct Lateness(Mutex<Option<Instant>>);

impl Lateness {
    /// Whether the others are asked before it.
    pub(in crate::app) fn is_late(&self, now: Instant) -> bool {
        self.0.locked().is_some_and(|at| now.duration_since(at) < ASKED_LAST)
    }

    /// Notes how a question ended.
    pub(in crate::app) fn note<T>(&self, answer: &Result<T, PeerError>) {
        match answer {
            Ok(_) => *self.0.locked() = None,
            Err(PeerError::Transport(_) | PeerError::Late) => *self.0.locked() = Some(Instant::now()),
            Err(_) => {}
        }
    }
}

/// What a peer has fetched of a domain.
#[derive(Debug, Clone, Copy)]
struct Taken {
    size: u64,
    at: Timestamp,
    bytes: u64,
}

/// All peers.
pub(crate) struct Peers {
    /// In the order of the configuration.
    all: RwLock<Vec<Arc<Peer>>>,
    changes: watch::Sender<u64>,
    /// Held during a change, from the file to the table, so that there is one at a time.
    changing: Mutex<()>,
    /// The file to which changes are written.
    file: Option<PathBuf>,
    tls: ClientTls,
}

impl Peer {
    fn new(config: PeerConfig, tls: &ClientTls) -> Result<Self, AppError> {
        let refused = |detail: String| AppError::new(Code::PeerRefused, detail);
        if let Some(problem) = config.contradiction() {
            return Err(refused(problem));
        }
        let (mut pulls, mut lost, mut witness, mut roam) = (BTreeMap::new(), None, None, None);
        let key = config.key.as_ref().and_then(PeerKey::of_notes);
        if let Some(url) = &config.url {
            let tls = tls.for_peer(config.pin()).map_err(|error| AppError::Internal(error.to_string()))?;
            let peer = ics_sync::Peer::new(url.as_str(), tls).map_err(|error| refused(error.to_string()))?;
            if let (ics_sync::Peer::Http(http), Some(key)) = (&peer, key.filter(|_| config.witness)) {
                witness = Some(Witness { name: config.name.clone(), http: http.clone(), key });
            }
            lost = Some(peer.clone());
            let peer = config.bytes_per_second.map_or(peer.clone(), |bytes| peer.with_budget(bytes));
            if let (ics_sync::Peer::Http(http), false) = (&peer, config.roam.is_empty()) {
                let pace = Budget::new(limits::ROAMING_PER_PEER, Duration::from_secs(60));
                let (resting, late, last) = (Mutex::default(), Lateness::default(), Mutex::default());
                roam = Some(Asking { http: http.counted_apart(), pace, resting, late, last });
            }
            pulls = config.mirror.iter().map(|origin| (origin.domain.clone(), peer.counted_apart())).collect();
        }
        Ok(Self {
            bytes: config.bytes_per_second.map(|bytes| Budget::new(bytes, Duration::from_secs(1))),
            requests: config.requests_per_minute.map(|requests| Budget::new(requests, Duration::from_secs(60))),
            served: Mutex::default(),
            pulls,
            lost,
            roam,
            witness,
            late: Lateness::default(),
            config,
        })
    }

    pub(crate) const fn asking(&self) -> Option<&Asking> {
        self.roam.as_ref()
    }

    pub(crate) fn pulls(&self, domain: &DomainName) -> Option<&ics_sync::Peer> {
        self.pulls.get(domain)
    }

    /// The peer as a mirror knows it. If TLS proves who answers, it can be recognised as the home.
    pub(crate) fn source(&self) -> Source {
        let is_shown = self.config.url.as_ref().is_some_and(PeerUrl::is_over_tls);
        let key = self.config.key.as_ref().and_then(PeerKey::of_notes);
        Source { name: self.config.name.to_string(), key, is_shown }
    }

    /// Whether it is the home that a domain's descriptor names: by the configured key or, without one, by the name.
    /// Owners may give any node's name, and what is sent to a node that is not the home may come round again.
    fn is_home_of(&self, domain: &Domain) -> bool {
        let home = &domain.descriptor().home;
        match self.config.key.as_ref().and_then(PeerKey::of_notes) {
            Some(key) => home.verifying_key().is_some_and(|held| held.to_bytes() == key),
            None => self.config.name.as_str() == home.name,
        }
    }

    fn served(&self) -> BTreeMap<DomainName, Taken> {
        self.served.locked().clone()
    }
}

impl Peers {
    pub(crate) fn new(configs: &[PeerConfig], file: Option<PathBuf>, tls: ClientTls) -> Result<Self, AppError> {
        let all = configs.iter().map(|config| Ok(Arc::new(Peer::new(config.clone(), &tls)?)));
        let all = RwLock::new(all.collect::<Result<_, AppError>>()?);
        Ok(Self { all, changes: watch::Sender::new(0), changing: Mutex::default(), file, tls })
    }

    fn all(&self) -> Vec<Arc<Peer>> {
        self.all.read_locked().clone()
    }

    /// The peer that holds a key and reads with it.
    fn holder(&self, key: KeyPin) -> Option<Arc<Peer>> {
        let all = self.all.read_locked();
        let reads = |peer: &&Arc<Peer>| peer.config.direction != Direction::Pull && peer.config.pin() == Some(key);
        all.iter().find(reads).cloned()
    }

    /// The peers that are asked to cosign.
    pub(crate) fn witnesses(&self) -> Vec<Witness> {
        self.all().iter().filter_map(|peer| peer.witness.clone()).collect()
    }

    /// The peers that are asked about single things of a domain, in the order of asking.
    pub(crate) fn asked_about(&self, origin: &Origin) -> Vec<Arc<Peer>> {
        self.all().into_iter().filter(|peer| peer.config.roam.contains(origin)).collect()
    }

    /// The names of the peers from which a domain is copied.
    pub(crate) fn copied_from(&self, domain: &DomainName) -> Vec<String> {
        self.all().iter().filter(|peer| peer.pulls(domain).is_some()).map(|peer| peer.config.name.to_string()).collect()
    }

    /// Whether the present configuration has a domain copied, over a network or by hand.
    pub(crate) fn copies(&self, domain: &DomainName) -> bool {
        self.all().iter().any(|peer| peer.config.mirror.iter().any(|origin| origin.domain == *domain))
    }

    /// The origin with which peers are asked about a domain of this name.
    pub(crate) fn roamed_origin(&self, domain: &DomainName) -> Option<Origin> {
        self.all().iter().flat_map(|peer| &peer.config.roam).find(|origin| origin.domain == *domain).cloned()
    }

    /// The key of a log whose checkpoints this node cosigns.
    pub(crate) fn key_to_cosign(&self, origin: &Origin) -> Option<[u8; 32]> {
        let peer = self.all().into_iter().find(|peer| peer.config.cosign.contains(origin))?;
        peer.config.key.as_ref().and_then(PeerKey::of_notes)
    }

    /// Whether this node cosigns for any log.
    pub(crate) fn cosigns(&self) -> bool {
        self.all().iter().any(|peer| !peer.config.cosign.is_empty())
    }

    /// Notifies of changes of the peers.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(in crate::app) fn named(&self, name: &PeerName) -> Result<Arc<Peer>, AppError> {
        let found = self.all().into_iter().find(|peer| peer.config.name == *name);
        found.ok_or_else(|| AppError::new(Code::UnknownPeer, format!("there is no peer `{name}`")))
    }

    /// All peers that can be asked, with their names.
    pub(in crate::app) fn answering(&self) -> Vec<(String, ics_sync::Peer)> {
        self.all().iter().filter_map(|peer| Some((peer.config.name.to_string(), peer.lost.clone()?))).collect()
    }

    /// The names of the peers whose address is not known.
    pub(in crate::app) fn without_address(&self) -> Vec<String> {
        self.all().iter().filter(|peer| peer.lost.is_none()).map(|peer| peer.config.name.to_string()).collect()
    }

    /// The domains to copy, each with the peers to copy it from, in the order of asking.
    pub(in crate::app) fn sources(&self) -> BTreeMap<DomainName, Vec<Arc<Peer>>> {
        let mut sources: BTreeMap<DomainName, Vec<Arc<Peer>>> = BTreeMap::new();
        for peer in self.all() {
            for domain in peer.pulls.keys() {
                sources.entry(domain.clone()).or_default().push(Arc::clone(&peer));
            }
        }
        sources
    }

    fn set(&self, change: impl FnOnce(&mut Vec<Arc<Peer>>)) {
        change(&mut self.all.write_locked());
        self.changes.send_modify(|version| *version += 1);
    }

    /// Writes an edited configuration, if there is a configuration file.
    fn write(&self, edit: impl FnOnce(&str, &std::path::Path) -> Result<String, EditError>) -> Result<(), AppError> {
        let Some(path) = &self.file else { return Ok(()) };
        let failed = |error: std::io::Error| AppError::Internal(format!("`{}`: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let text = edit(&text, path).map_err(|error| AppError::new(Code::PeerRefused, error.to_string()))?;
        replace_alike(path, text.as_bytes()).map_err(failed)
    }
}

impl App {
    pub(crate) fn peers_table(&self) -> &Peers {
        &self.0.peers
    }

    /// The holder of a key, according to the present configuration.
    #[must_use]
    pub fn party(&self, key: KeyPin) -> Option<Party> {
        let peer = self.peers_table().holder(key)?;
        Some(Party { node: peer.config.name.to_string(), signer: peer.config.signer })
    }

    /// The peer to which submissions for a domain are sent, which is the first HTTP peer from which it is copied, and
    /// the home itself, if that is another one. Any other would be no help: two that copy from each other would pass
    /// the same on in circles.
    pub(crate) fn towards_home(&self, hosted: &Hosted) -> Option<(Arc<Peer>, HttpPeer, Option<HttpPeer>)> {
        let (sources, domain) = (self.peers_table().sources(), hosted.domain());
        let by_http = |peer: &Arc<Peer>| match peer.pulls(&hosted.name)? {
            ics_sync::Peer::Http(http) => Some((Arc::clone(peer), http.clone())),
            ics_sync::Peer::Ldap(_) => None,
        };
        let mut ways = sources.get(&hosted.name)?.iter().filter_map(by_http);
        let (first, http) = ways.next()?;
        let home = ways.find(|(peer, _)| domain.as_ref().is_some_and(|domain| peer.is_home_of(domain)));
        Some((first, http, home.map(|(_, http)| http)))
    }

    /// Checks that a reader's budget allows another request.
    ///
    /// # Errors
    /// When it is used up, with the seconds to wait.
    pub fn admit(&self, reader: Reader) -> Result<(), AppError> {
        let Reader::Key(key) = reader else { return Ok(()) };
        let Some(peer) = self.peers_table().holder(key) else { return Ok(()) };
        let now = Instant::now();
        let budgets = [&peer.bytes, &peer.requests].into_iter().flatten();
        let wait = budgets.map(|budget| budget.wait(now)).max().unwrap_or_default();
        if wait.is_zero() {
            peer.requests.as_ref().map(|budget| budget.spend(1, now));
            return Ok(());
        }
        let seconds = wait.as_secs_f64().ceil();
        Err(AppError::new(Code::OverBudget, format!("the budget of `{}` is spent for {seconds} s", peer.config.name)))
    }

    /// Records what a reader was sent of a domain: entries up to a size, in this many bytes.
    pub fn served(&self, reader: Reader, domain: &DomainName, size: u64, bytes: usize) {
        let Reader::Key(key) = reader else { return };
        let Some(peer) = self.peers_table().holder(key) else { return };
        peer.bytes.as_ref().map(|budget| budget.spend(bytes as u64, Instant::now()));
        let at = self.clock().now();
        let mut served = peer.served.locked();
        let taken = served.entry(domain.clone()).or_insert(Taken { size, at, bytes: 0 });
        *taken = Taken { size: taken.size.max(size), at, bytes: taken.bytes + bytes as u64 };
    }

    /// The peers, and how each of them is doing.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.peers_table().all().iter().map(|peer| self.peer_info(peer)).collect()
    }

    /// Adds a peer, or changes the one of that name, first in the file and then in this node, at once.
    ///
    /// # Errors
    /// When it contradicts itself or the rest of the configuration, or the file cannot be written.
    pub fn put_peer(&self, config: PeerConfig) -> Result<PeerInfo, AppError> {
        let peers = self.peers_table();
        let _one = peers.changing.locked();
        let peer = Arc::new(Peer::new(config, &peers.tls)?);
        let others: Vec<_> = peers.all().into_iter().filter(|other| other.config.name != peer.config.name).collect();
        for other in &others {
            if peer.config.pin().is_some() && other.config.pin() == peer.config.pin() {
                let detail = format!("the peer `{}` has that key already", other.config.name);
                return Err(AppError::new(Code::PeerRefused, detail));
            }
        }
        refuse_two_logs(&peer, &others)?;
        // What the store refuses must not get into the file, and what is not in the file must not be pinned.
        peer.config.mirror.iter().try_for_each(|origin| room_for(self.store(), origin).map(drop))?;
        let mut former = None;
        peers.write(|text, path| {
            former = Some(text.to_owned());
            put_peer(text, path, &peer.config)
        })?;
        if let Err(error) = peer.config.mirror.iter().try_for_each(|origin| self.make_room(origin)) {
            // The store has failed, or what was empty has been filled meanwhile: with this file the node would not
            // start.
            former.map_or(Ok(()), |text| peers.write(|_, _| Ok(text)))?;
            return Err(error);
        }
        let name = peer.config.name.clone();
        let added = Arc::clone(&peer);
        peers.set(|all| match all.iter_mut().find(|other| other.config.name == name) {
            Some(other) => *other = added,
            None => all.push(added),
        });
        tracing::info!(peer = %peer.config.name, domains = peer.config.mirror.len(), "the peer is configured");
        Ok(self.peer_info(&peer))
    }

    /// Removes a peer. What was copied from it stays but is no longer kept up to date.
    ///
    /// # Errors
    /// When there is none of that name, or the file cannot be written.
    pub fn remove_peer(&self, name: &PeerName) -> Result<PeerInfo, AppError> {
        let peers = self.peers_table();
        let _one = peers.changing.locked();
        let info = self.peer_info(&*peers.named(name)?);
        peers.write(|text, path| remove_peer(text, path, name))?;
        peers.set(|all| all.retain(|peer| peer.config.name != *name));
        tracing::info!(peer = %name, "the peer is removed");
        Ok(info)
    }

    /// Makes room for a domain that is to be copied here.
    fn make_room(&self, origin: &Origin) -> Result<(), AppError> {
        prepare_mirror(self.store(), origin)?;
        if self.hosted(&origin.domain).is_ok() {
            return Ok(());
        }
        let info = self.store().domain(&origin.domain)?;
        self.put_hosted(BTreeMap::from([(info.name.clone(), self.host(&info)?)]));
        Ok(())
    }

    fn peer_info(&self, peer: &Peer) -> PeerInfo {
        let pulls = peer.config.mirror.iter().map(|origin| self.pulled(peer, &origin.domain)).collect();
        let served = |(domain, taken): (DomainName, Taken)| {
            let size = self.hosted(&domain).map_or(0, |hosted| *hosted.sealed.borrow());
            Served {
                lag_entries: size.saturating_sub(taken.size),
                size: taken.size,
                seen_at: taken.at,
                bytes: taken.bytes,
                domain,
            }
        };
        let serves = peer.served().into_iter().map(served).collect();
        PeerInfo { serves, pulls, asks: self.asks(peer), cosigns: self.cosigns(peer), peer: peer.config.clone() }
    }

    /// What a peer has done as a witness of this node's domains.
    fn cosigns(&self, peer: &Peer) -> Vec<Cosigns> {
        let Some(witness) = &peer.witness else { return Vec::new() };
        let of = |hosted: Arc<Hosted>| {
            let Witnessing { size, at, last_error, .. } = hosted.witnessing(&witness.name);
            let lag_entries = hosted.grown.borrow().saturating_sub(size);
            Cosigns { domain: hosted.name.clone(), size, lag_entries, cosigned_at: at, last_error }
        };
        self.homes().into_iter().map(of).collect()
    }

    fn pulled(&self, peer: &Peer, domain: &DomainName) -> Pulled {
        let asked = peer.pulls.get(domain);
        let hosted = self.hosted(domain).ok();
        let head = hosted.as_ref().and_then(|hosted| self.store().head(hosted.number).ok());
        let as_of = head.as_ref().and_then(|head| head.seal.as_ref()?.cosigned_at);
        let doing = hosted.as_ref().and_then(|hosted| hosted.mirror());
        let is_asked = doing.as_ref().is_some_and(|doing| doing.peer == peer.config.name.as_str());
        let doing = doing.filter(|_| is_asked);
        let left_out = hosted.as_ref().and_then(|hosted| hosted.why_left_out(&peer.config.name));
        // Nobody is asked for what comes in bundles; the store knows on whose word it rests.
        let brought = hosted.as_deref().filter(|_| asked.is_none() && doing.is_none());
        let doubt = brought.and_then(|hosted| self.doubt(hosted).ok().flatten());
        let is_part = brought.is_some_and(|hosted| self.is_whole(hosted).is_ok_and(|is_whole| !is_whole));
        Pulled {
            domain: domain.clone(),
            state: match (&doing, asked, &doubt) {
                (Some(doing), ..) => doing.state.clone(),
                (None, Some(_), _) => "standby".to_owned(),
                (None, None, Some(_)) => "unconfirmed".to_owned(),
                (None, None, None) => "by-hand".to_owned(),
            },
            size: head.map_or(0, |head| head.size),
            lag_entries: doing.as_ref().map_or(0, |doing| doing.lag_entries),
            as_of,
            lag_seconds: as_of.map(|time| self.clock().now().millis_since(time) / 1000),
            rests_on: doing.as_ref().map_or_else(|| doubt.as_ref().map(Doubt::names), |doing| doing.rests_on.clone()),
            partial: doing.as_ref().map_or(is_part, |doing| doing.partial),
            last_error: doing.and_then(|doing| doing.last_error).or(left_out),
            bytes: asked.map_or(0, ics_sync::Peer::received),
        }
    }
}

/// A node copies only one of two logs of one name; otherwise an empty copy would belong to the one named last.
fn refuse_two_logs(peer: &Arc<Peer>, others: &[Arc<Peer>]) -> Result<(), AppError> {
    let copied = || others.iter().chain([peer]).flat_map(|it| &it.config.mirror);
    for origin in &peer.config.mirror {
        if let Some(other) = copied().find(|other| other.domain == origin.domain && *other != origin) {
            let detail = format!(
                "`{origin}` and `{other}` are two logs of the same name, and a node copies only one of them: `ics peer \
                 list` shows which peer has which, and `ics peer remove` removes the wrong one"
            );
            return Err(AppError::new(Code::PeerRefused, detail));
        }
    }
    Ok(())
}
