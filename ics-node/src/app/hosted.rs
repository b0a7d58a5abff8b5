//! A domain as this node holds it: what its log has said so far, for readers and for the writer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;
use tokio::sync::watch;

use super::copy::carry::Asking;
use super::copy::push::Told;
use super::entries::Line;
use super::following::declared::Compared;
use super::home::witnesses::Witnessing;
use super::outbox::Retry;
use super::x509::expiry::Expiries;
use crate::api::MirrorInfo;
use crate::config::PeerName;
use crate::store::{DomainNumber, Full, Part, StoreError};

/// Things of one source that are remembered because it does not let them be followed: half a megabyte.
const BARRED_KEPT: usize = 10_000;

/// One domain of this node.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) number: DomainNumber,
    pub(crate) name: DomainName,
    pub(crate) part: Part,
    /// What is durable: every reader's view.
    published: RwLock<Option<Arc<Domain>>>,
    /// What the writer has admitted, perhaps not durable yet, and what it has at hand of that log. Only jobs of the writer
    /// change it; what is at hand anybody may forget.
    working: Mutex<(Option<Arc<Domain>>, Line)>,
    /// How many entries there were when it was last asked whether any came in.
    rested_at: AtomicU64,
    /// The first entry that was filled in, or judged anew, and has not taken effect yet. Only jobs of the writer touch it.
    filled: Mutex<Option<u64>>,
    /// How the copy is doing, for operators.
    mirror: Mutex<Option<MirrorInfo>>,
    /// Whether the node's log says last that nothing can be copied.
    pub(super) copy_fails: AtomicBool,
    /// Entries that can be proven, for those who listen.
    pub(crate) sealed: watch::Sender<u64>,
    /// Entries that are held, for whoever has them cosigned.
    pub(crate) grown: watch::Sender<u64>,
    /// What the witnesses have done, for operators.
    witnessing: Mutex<BTreeMap<PeerName, Witnessing>>,
    /// The newest event that many listeners got.
    pub(crate) told: tokio::sync::Mutex<Option<Told>>,
    /// Why other domains are not followed now, by their names.
    follow_errors: Mutex<BTreeMap<DomainName, String>>,
    /// The things that the rules of other domains do not let it follow, by the names of these.
    barred: Mutex<BTreeMap<DomainName, BTreeSet<IdentityId>>>,
    /// What was compared with the descriptors of its sources, by their names.
    compared: Mutex<BTreeMap<DomainName, Compared>>,
    /// With which versions of its sources' descriptors it was looked for what they have lost, by their names.
    searched: Mutex<BTreeMap<DomainName, u64>>,
    /// Who is asking somebody that brings news by hand.
    pub(crate) carrying: Mutex<Option<Asking>>,
    /// Counts what was stored otherwise than whoever copies from a peer knows, because it was brought so, or because a page
    /// of his was stored in part: he begins anew behind it.
    pub(crate) moved: watch::Sender<u64>,
    /// What the last look at its certificates has found.
    pub(super) expiries: Mutex<Option<Expiries>>,
    /// From which entry on it is looked next for certificates that are over.
    pub(super) certified_from: AtomicU64,
    /// When what is submitted here is sent to the home; held by whoever sends.
    pub(crate) retry: tokio::sync::Mutex<Retry>,
}

impl Hosted {
    pub(crate) fn new(number: DomainNumber, name: DomainName, part: Part, domain: Option<Domain>) -> Self {
        let domain = domain.map(Arc::new);
        Self {
            number,
            name,
            part,
            published: RwLock::new(domain.clone()),
            working: Mutex::new((domain, Line::default())),
            rested_at: AtomicU64::new(u64::MAX),
            filled: Mutex::default(),
            mirror: Mutex::new(None),
            copy_fails: AtomicBool::default(),
            sealed: watch::Sender::new(0),
            grown: watch::Sender::new(0),
            witnessing: Mutex::default(),
            told: tokio::sync::Mutex::default(),
            follow_errors: Mutex::default(),
            barred: Mutex::default(),
            compared: Mutex::default(),
            searched: Mutex::default(),
            carrying: Mutex::default(),
            moved: watch::Sender::new(0),
            expiries: Mutex::default(),
            certified_from: AtomicU64::default(),
            retry: tokio::sync::Mutex::default(),
        }
    }

    /// What is durable; `None` before entry 0 has arrived.
    pub(crate) fn domain(&self) -> Option<Arc<Domain>> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn origin(&self) -> Option<Origin> {
        self.domain().map(|domain| domain.origin())
    }

    /// What the next job of the writer builds upon: what the domain is with `size` entries, and what the last one has left at
    /// hand.
    ///
    /// After a commit that failed, what its jobs had made is longer than the log; then what is durable counts again.
    ///
    /// # Errors
    /// When whoever waits for the last commit has not yet said that it is durable.
    pub(crate) fn working_at(&self, size: u64) -> Result<(Option<Arc<Domain>>, Line), StoreError> {
        let (working, line) = {
            let mut working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
            // A job that gives up does not give it back, and what it has read of its own entries is forgotten with them.
            (working.0.clone(), core::mem::take(&mut working.1))
        };
        if length(&working) == size {
            return Ok((working, line));
        }
        let durable = Some(self.domain()).filter(|domain| length(domain) == size);
        durable.map(|domain| (domain, Line::default())).ok_or(StoreError::Full(Full::Turn))
    }

    /// What a job of the writer has made of it, and leaves at hand.
    pub(crate) fn set_working(&self, domain: Option<Arc<Domain>>, line: Line) {
        *self.working.lock().unwrap_or_else(PoisonError::into_inner) = (domain, line);
    }

    /// Forgets what is at hand: a job of the writer changes entries that stand in the log.
    pub(crate) fn forget_line(&self) {
        self.working.lock().unwrap_or_else(PoisonError::into_inner).1.forget();
    }

    /// The same where nothing came in since this was called last. It is some megabytes for each domain, and a node may copy
    /// many that rest most of the time.
    pub(crate) fn forget_line_if_idle(&self) {
        let size = length(&self.domain());
        if self.rested_at.swap(size, Ordering::Relaxed) == size {
            self.forget_line();
        }
    }

    /// Notes that an entry was filled in or judged anew. In a round that was under way before, those before it may have
    /// been forgotten over a restart: then it may be any.
    pub(crate) fn note_filled(&self, index: u64, is_under_way: bool) {
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        let before = filled.or(is_under_way.then_some(0));
        *filled = Some(before.map_or(index, |before| before.min(index)));
    }

    /// The first entry that takes effect now, if one was noted.
    pub(crate) fn take_filled(&self) -> Option<u64> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The commit is durable: what the job made becomes what readers see, unless a later commit already did.
    pub(crate) fn publish(&self, domain: Option<Arc<Domain>>) {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        if length(&published) <= length(&domain) {
            *published = domain;
        }
    }

    /// What a witness has done.
    pub(crate) fn witnessing(&self, name: &PeerName) -> Witnessing {
        let all = self.witnessing.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name).cloned().unwrap_or_default()
    }

    /// A witness that does not cosign, for a reason which does not pass by itself, and what that is.
    pub(crate) fn estranged(&self) -> Option<(PeerName, String)> {
        let all = self.witnessing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lasting = all.iter().filter(|(_, witnessing)| witnessing.lasts);
        lasting.find_map(|(name, witnessing)| Some((name.clone(), witnessing.last_error.clone()?)))
    }

    pub(crate) fn set_witnessing(&self, name: &PeerName, now: Witnessing) {
        self.witnessing.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), now);
    }

    pub(crate) fn follow_error(&self, source: &DomainName) -> Option<String> {
        self.follow_errors.lock().unwrap_or_else(PoisonError::into_inner).get(source).cloned()
    }

    /// Keeps why another domain is not followed now; whether that is another reason than before.
    pub(crate) fn set_follow_error(&self, source: &DomainName, error: Option<String>) -> bool {
        let mut errors = self.follow_errors.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &error {
            Some(error) => errors.insert(source.clone(), error.clone()),
            None => errors.remove(source),
        };
        before != error
    }

    /// How many things another domain does not let this one follow, of those that were looked at since the start.
    pub(crate) fn barred(&self, source: &DomainName) -> usize {
        self.barred.lock().unwrap_or_else(PoisonError::into_inner).get(source).map_or(0, BTreeSet::len)
    }

    /// Notes which things another domain lets this one follow, and which not; whether there were any of these before. Of
    /// very many not all are remembered.
    pub(crate) fn note_rights(&self, source: &DomainName, looked: &BTreeMap<IdentityId, bool>) -> bool {
        let mut all = self.barred.lock().unwrap_or_else(PoisonError::into_inner);
        let barred = all.entry(source.clone()).or_default();
        let were_any = !barred.is_empty();
        for (id, may) in looked {
            if *may {
                barred.remove(id);
            } else if barred.len() < BARRED_KEPT {
                barred.insert(*id);
            }
        }
        were_any
    }

    /// Forgets them.
    pub(crate) fn forget_rights(&self, source: &DomainName) {
        self.barred.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
    }

    pub(crate) fn compared(&self, with: &DomainName) -> Option<Compared> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner).get(with).copied()
    }

    pub(crate) fn set_compared(&self, with: &DomainName, compared: Compared) {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner).insert(with.clone(), compared);
    }

    pub(crate) fn searched(&self, source: &DomainName) -> Option<u64> {
        self.searched.lock().unwrap_or_else(PoisonError::into_inner).get(source).copied()
    }

    pub(crate) fn set_searched(&self, source: &DomainName, version: u64) {
        self.searched.lock().unwrap_or_else(PoisonError::into_inner).insert(source.clone(), version);
    }

    pub(crate) fn mirror(&self) -> Option<MirrorInfo> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_mirror(&self, info: Option<MirrorInfo>) {
        *self.mirror.lock().unwrap_or_else(PoisonError::into_inner) = info;
    }
}

fn length(domain: &Option<Arc<Domain>>) -> u64 {
    domain.as_ref().map_or(0, |domain| domain.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is asked four times a second whether a domain can be followed: the log tells of each reason once.
    #[test]
    fn a_reason_not_to_follow_is_told_when_it_is_another_one() {
        let name = |text: &str| text.parse::<DomainName>().expect("a name");
        let hosted = Hosted::new(DomainNumber::new(1).expect("in range"), name("care.example"), Part::Home, None);
        let (source, other) = (name("devices.example"), name("labels.example"));
        let reason = |text: &str| Some(text.to_owned());
        assert!(!hosted.set_follow_error(&source, None), "it is followed, as before");
        let steps = [(reason("away"), true), (reason("away"), false), (reason("refused"), true), (None, true)];
        for (error, is_new) in [steps.clone(), steps].concat() {
            assert_eq!(hosted.set_follow_error(&source, error.clone()), is_new, "{error:?}");
            assert_eq!(hosted.follow_error(&source), error);
        }
        assert!(hosted.set_follow_error(&other, reason("away")), "each on its own");
    }
}
