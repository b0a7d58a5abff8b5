//! Opening a node: its store, and its domains with what their own logs say about them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, RwLock};

use ics_core::descriptor::Descriptor;
use ics_core::domain::Domain;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::cosignature::cosign;
use ics_core::log::entry::Header;
use ics_core::log::note::NoteKey;
use ics_core::statement::Remnant;
use ics_core::statement::body::{self, Body};
use ics_core::time::Timestamp;
use ics_core::trust::TrustPolicy;
use ics_core::vocabulary::DomainName;
use zeroize::Zeroizing;

use super::answer::denied::Denials;
use super::answer::memory::Memory;
use super::challenge::Challenges;
use super::clock::Clock;
use super::copy::feed::decode;
use super::entries::{keys_of, keys_of_remnant};
use super::hosted::Hosted;
use super::roam::Roaming;
use super::x509::acme::{Acme, AcmeSetup};
use super::{App, AppError, Inner, IssuerKey, Peers};
use crate::api::problem::Code;
use crate::config::PeerConfig;
use crate::store::{DomainInfo, Key, Options, Part, Sealer, SignedNote, Store, StoredEntry};
use crate::tls::{ClientTls, NodeCertificate};

/// The node's name and key, with which it signs its domains' checkpoints and cosigns.
#[derive(Clone)]
pub struct NodeKeys {
    /// In the form of a DNS name; its cosignatures carry it.
    pub name: String,
    /// Its Ed25519 key, in memory or in a token. It is used on the writer's thread, never on the runtime's.
    pub key: Arc<dyn NoteKey + Send + Sync>,
    /// The keys with which it issues X.509 certificates.
    pub issuers: Vec<IssuerKey>,
}

/// All that a node is opened with.
pub struct Setup {
    /// The directory of its store.
    pub data: PathBuf,
    /// Its name and key.
    pub keys: NodeKeys,
    /// Its peers: what is copied from them, and who reads under which key.
    pub peers: Vec<PeerConfig>,
    /// The configuration file to which changes of the peers are written; without one they last only while the node
    /// runs.
    pub config_file: Option<PathBuf>,
    /// The trust policy by which it decides.
    pub trust: Option<Arc<TrustPolicy>>,
    /// The token that operators present; without one nobody is an operator.
    pub operator_token: Option<Zeroizing<String>>,
    /// How many bytes of memory cached answers may take.
    pub memory_bytes: u64,
    /// The ACME server; without it there is none.
    pub acme: Option<AcmeSetup>,
}

impl App {
    /// Opens a node's store and makes room for the domains that it is to mirror.
    ///
    /// # Errors
    /// When the store cannot be opened, or holds a domain that contradicts the setup.
    pub fn open(setup: &Setup) -> Result<Self, AppError> {
        let clock = Clock::default();
        let memory = Arc::new(Memory::new(setup.memory_bytes));
        let forgetting = Arc::clone(&memory);
        let options = Options {
            announce: Arc::new(move |change| forgetting.forget(change)),
            cosigner: Some(setup.keys.key.public()),
            ..store_options(&setup.keys, &clock)
        };
        let store = Store::open(&setup.data, options)?;
        for origin in setup.peers.iter().flat_map(|peer| &peer.mirror) {
            prepare_mirror(&store, origin)?;
        }
        for info in store.domains() {
            memory.begin(info.number, store.head(info.number)?.size);
        }
        let certificate = NodeCertificate::make(&setup.keys.name, Arc::clone(&setup.keys.key))
            .map_err(|error| AppError::Internal(error.to_string()))?;
        learn_times(&store, &clock, &setup.peers);
        let app = Self(Arc::new(Inner {
            store,
            clock,
            keys: setup.keys.clone(),
            hosted: RwLock::default(),
            peers: Peers::new(&setup.peers, setup.config_file.clone(), ClientTls::new(certificate))?,
            trust: setup.trust.clone(),
            operator_token: setup.operator_token.clone(),
            memory,
            news: tokio::sync::watch::Sender::new(0),
            challenges: Challenges::default(),
            enrolling: super::admit::enrol::Enrolling::default(),
            ocsp: super::x509::ocsp::Answers::new(setup.memory_bytes / 4),
            cmp: crate::cmp::Transactions::default(),
            cmp_tries: super::x509::cmp::Tries::default(),
            est_asking: super::x509::est::Asking::default(),
            authorities: super::x509::authorities::Authorities::default(),
            lists: super::x509::revocation::Lists::default(),
            home_lists: super::x509::home_lists::HomeLists::default(),
            denied: Denials::default(),
            roaming: Roaming::default(),
            alerts: super::x509::alerts::Alerts::default(),
            submissions: super::admit::submit::Submissions::default(),
            closed: OnceLock::new(),
            acme: setup.acme.as_ref().map(|acme| Acme::open(acme, &setup.data)).transpose()?,
            open: tokio::sync::watch::Sender::new(()),
        }));
        let hosted: Result<BTreeMap<_, _>, AppError> =
            app.store().domains().into_iter().map(|info| Ok((info.name.clone(), app.host(&info)?))).collect();
        app.put_hosted(hosted?);
        app.resume_confirmations()?;
        Ok(app)
    }

    /// A domain of the store, with what its log says about it.
    pub(crate) fn host(&self, info: &DomainInfo) -> Result<Arc<Hosted>, AppError> {
        let empty = Hosted::new(info.number, info.name.clone(), info.part, None);
        let hosted = Hosted::new(info.number, info.name.clone(), info.part, self.known_if_sound(&empty)?);
        let is_unsettled = self.store().sight(info.number)?.unsettled;
        hosted.lacks_certification.store(is_unsettled, Ordering::Relaxed);
        self.tell(&hosted);
        Ok(Arc::new(hosted))
    }

    /// When the last entry whose header is held here was admitted; hidden and erased entries have no header. After a
    /// restart this gives the same time as before.
    pub(super) fn last_admitted(&self, hosted: &Hosted, size: u64, at_least: Timestamp) -> Result<Timestamp, AppError> {
        const LOOK: u64 = 64;
        let mut end = size;
        while end > 0 {
            let start = end.saturating_sub(LOOK);
            let indices: Vec<u64> = (start..end).rev().collect();
            let entries = self.store().entries_at(hosted.number, &indices)?;
            // The remnant of an erased entry stands in the place of its header.
            let is_erased = |it: &StoredEntry| it.content.is_none() && Remnant::from_bytes(&it.header).is_some();
            let has_header = |it: &&StoredEntry| !it.header.is_empty() && !is_erased(it);
            let last = entries.iter().filter(has_header).max_by_key(|entry| entry.index);
            if let Some(entry) = last {
                return Ok(decode(&entry.header)?.admitted_at);
            }
            end = start;
        }
        Ok(at_least)
    }

    /// What a domain's log says about itself; nothing if an entry is damaged, since that entry may have been anything,
    /// even a later descriptor or the revocation of a key. Such a domain falls silent, and all others continue.
    pub(super) fn known_if_sound(&self, hosted: &Hosted) -> Result<Option<Domain>, AppError> {
        if self.store().check_sound(hosted.number).is_err() {
            return Ok(None);
        }
        match self.known(hosted) {
            Err(_) if self.store().fall_silent(hosted.number)? => Ok(None),
            known => known,
        }
    }

    /// What a domain's log says about itself: its descriptors, certificates and certifications, in order.
    fn known(&self, hosted: &Hosted) -> Result<Option<Domain>, AppError> {
        let mut domain = None;
        for entry in self.own_entries(hosted)? {
            take(&mut domain, &hosted.name, &entry)?;
        }
        if let Some(domain) = &mut domain {
            let size = self.store().head(hosted.number)?.size;
            domain.grow_to(size, self.last_admitted(hosted, size, domain.last_admitted_at())?);
        }
        Ok(domain)
    }
}

/// How a node opens its store: under which keys entries are found, and who signs the checkpoints.
#[must_use]
pub fn store_options(keys: &NodeKeys, clock: &Clock) -> Options {
    Options::new(Arc::new(stored_keys), sealer(keys, clock))
}

/// Tells the clock the newest times verified before: those of the domains at home here and of those still copied.
fn learn_times(store: &Store, clock: &Clock, peers: &[PeerConfig]) {
    let copied = |info: &DomainInfo| peers.iter().flat_map(|peer| &peer.mirror).any(|of| of.domain == info.name);
    for info in store.domains().into_iter().filter(|info| info.part == Part::Home || copied(info)) {
        let seal = store.head(info.number).ok().and_then(|head| head.seal);
        if let Some(time) = seal.and_then(|seal| seal.cosigned_at) {
            clock.learn_stored(&info.name, time);
        }
    }
}

/// Tells people that the clock is behind.
pub(super) fn clock_words(shows: Timestamp) -> String {
    format!("this machine's clock shows {shows}, earlier than what was verified or told before: the newest time counts")
}

/// Adds one more entry to what the domain of this name says about itself.
pub(super) fn take(domain: &mut Option<Domain>, name: &DomainName, entry: &StoredEntry) -> Result<(), AppError> {
    let damaged = |what: String| {
        AppError::Internal(format!(
            "stored entry {} of `{name}`: {what}; `ics fsck` shows whether there is more, and after `ics domain recopy \
             {name}` a copy of another node's domain is made again",
            entry.index
        ))
    };
    let Some(content) = &entry.content else { return Ok(()) };
    match (body::parse(&content.body).map_err(|error| damaged(error.to_string()))?, domain.as_mut()) {
        (Body::Descriptor(signed), known) => {
            let descriptor = Descriptor::parse(&signed.json).map_err(|error| damaged(error.to_string()))?;
            let admitted_at = decode(&entry.header)?.admitted_at;
            match known {
                Some(known) => known.take_descriptor(entry.index, descriptor, admitted_at),
                None => Domain::found(entry.leaf, descriptor, admitted_at).map(|founded| *domain = Some(founded)),
            }
            .map_err(|error| damaged(error.to_string()))
        }
        (Body::Certificate(certificate), Some(known)) => {
            known.take_certificate(entry.index, certificate.heard_at(decode(&entry.header)?.heard_at()));
            Ok(())
        }
        (Body::Certification(certification), Some(known)) => {
            // If two keys share an id, only one of them made the certification, so it is charged to the quota of one
            // only.
            let signer =
                known.may_have_issued(&certification.issuer()).first().map(|certificate| certificate.primary());
            if let Some(signer) = signer {
                known.take_certification(entry.index, &certification.kept(signer));
            }
            Ok(())
        }
        _ => Err(damaged("it is neither descriptor, certificate nor certification".to_owned())),
    }
}

/// Makes room for a domain that is to be copied, or pins a copy that is still empty to the log that is meant now.
pub(crate) fn prepare_mirror(store: &Store, origin: &Origin) -> Result<(), AppError> {
    match room_for(store, origin)? {
        None => drop(store.create_domain(&origin.domain, Part::Mirror, Some(origin.entry0))?),
        Some(info) if info.entry0 != Some(origin.entry0) => store.pin(info.number, origin.entry0)?,
        Some(_) => {}
    }
    Ok(())
}

/// The domain of that name, if it is here. Refuses what [`prepare_mirror`] would refuse to copy, and changes nothing.
pub(super) fn room_for(store: &Store, origin: &Origin) -> Result<Option<DomainInfo>, AppError> {
    let known = store.domains().into_iter().find(|info| info.name == origin.domain);
    if let Some(info) = &known {
        refuse_other_log(info, store.head(info.number)?.size, origin)?;
    }
    Ok(known)
}

/// Refuses to copy a log into a domain that holds entries of another one or is at home here. While nothing has arrived,
/// the origin may simply have been mistyped, so it may change.
pub(super) fn refuse_other_log(info: &DomainInfo, size: u64, origin: &Origin) -> Result<(), AppError> {
    let refused = |detail: String| Err(AppError::new(Code::PeerRefused, detail));
    let name = &info.name;
    match (info.part, info.entry0) {
        (Part::Home, _) => refused(format!("this node is the home of `{name}`, and so copies it from nobody")),
        (Part::Mirror, Some(entry0)) if entry0 != origin.entry0 && size > 0 => {
            let held = Origin { domain: name.clone(), entry0 };
            refused(format!(
                "the store has {size} entries of `{held}`, but `{origin}` is another log: ask the owners which is \
                 theirs. If it is not the one that is here, stop the node and give that one up with `ics domain recopy \
                 {name}`"
            ))
        }
        (Part::Mirror, _) => Ok(()),
    }
}

/// The keys under which a stored entry is found; the same as when it was appended.
pub(super) fn stored_keys(entry: &StoredEntry) -> Vec<Key> {
    match (&entry.content, Header::decode(&entry.header)) {
        (Some(content), Ok(header)) => keys_of(&header, &content.body),
        _ => Remnant::from_bytes(&entry.header).map_or_else(Vec::new, |remnant| keys_of_remnant(&remnant)),
    }
}

/// Signs checkpoints, each with the node's own timestamped cosignature: a plain one proves no freshness.
fn sealer(keys: &NodeKeys, clock: &Clock) -> Sealer {
    let (keys, clock) = (keys.clone(), clock.clone());
    Arc::new(move |info, size, root| {
        let entry0 = info.entry0.ok_or("the domain has no entry 0 yet")?;
        let origin = Origin { domain: info.name.clone(), entry0 };
        let now = clock.now();
        let note = Checkpoint { origin, size, root: *root }.sign(&*keys.key).map_err(|error| error.to_string())?;
        let note = cosign(&note, &keys.name, &*keys.key, now).map_err(|error| error.to_string())?;
        Ok(SignedNote { note, cosigned_at: Some(now.whole_seconds()) })
    })
}
