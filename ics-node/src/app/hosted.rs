//! A domain as this node holds it: what its log has said so far, for readers and for the writer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

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
use super::outbox::{Passing, Retry};
use super::roam::SentBack;
use super::x509::cmp::InVain;
use super::x509::expiry::Expiries;
use super::x509::keyring::Keyring;
use crate::api::MirrorInfo;
use crate::config::PeerName;
use crate::locked::{Locked as _, Shared as _};
use crate::store::{DomainNumber, Full, Part, StoreError, WriteTx};

/// How many things of one source are remembered as not allowed to be followed: half a megabyte.
const BARRED_KEPT: usize = 10_000;

/// Up to which change a copier knows what is held.
#[derive(Debug)]
pub(crate) struct Known(AtomicU64);

/// One domain of this node.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) number: DomainNumber,
    pub(crate) name: DomainName,
    pub(crate) part: Part,
    /// The durable state: what every reader sees.
    published: RwLock<Option<Arc<Domain>>>,
    /// What the writer has admitted, perhaps not yet durable, and what it keeps at hand of that log. Only the writer's
    /// jobs change it, but anybody may have what is at hand forgotten.
    working: Mutex<(Option<Arc<Domain>>, Line)>,
    /// The number of entries when it was last asked whether any came in.
    rested_at: AtomicU64,
    /// The first entry that was filled in or judged again and has not taken effect yet. Only the writer's jobs touch
    /// it.
    filled: Mutex<Option<u64>>,
    /// Whether a certification may have been filled in that the domain learns of once it takes effect.
    pub(super) lacks_certification: AtomicBool,
    /// The state of the copy, for operators.
    mirror: Mutex<Option<MirrorInfo>>,
    /// The peers that are not asked for a while, and why.
    left_out: Mutex<BTreeMap<PeerName, String>>,
    /// Whether the last message about copying in the node's own log was that nothing can be copied.
    pub(super) copy_fails: AtomicBool,
    /// How many entries can be proven, for those who wait for more.
    pub(crate) sealed: watch::Sender<u64>,
    /// How many entries are held, for the task that has them cosigned.
    pub(crate) grown: watch::Sender<u64>,
    /// What the witnesses have done, for operators.
    witnessing: Mutex<BTreeMap<PeerName, Witnessing>>,
    /// The newest event that was sent to many listeners.
    pub(crate) told: tokio::sync::Mutex<Option<Told>>,
    /// What is remembered of the domains that it follows, by their names.
    sources: Mutex<BTreeMap<DomainName, OfSource>>,
    /// The request under way to somebody who brings news by hand.
    pub(crate) carrying: Mutex<Option<Asking>>,
    /// Counts the changes that copiers have made to what is held; locked while one is made.
    changes: Mutex<u64>,
    /// Counts what was stored without the knowledge of the copier of a peer, because it was brought by hand or because
    /// only part of the copier's page was stored: the copier starts anew after it.
    pub(crate) moved: watch::Sender<u64>,
    /// The result of the last check of its certificates for expiry.
    pub(super) expiries: Mutex<Option<Expiries>>,
    /// The entry from which the next search for certificates that are over begins.
    pub(super) certified_from: AtomicU64,
    /// The entry from which the next look at the names in certificates begins.
    pub(super) names_from: AtomicU64,
    /// Which OpenPGP certificates have which keys.
    pub(super) keyring: Keyring,
    /// The certificates that this node is to revoke by itself and cannot.
    pub(super) unrevoked: Mutex<InVain>,
    /// When submissions taken in here are next sent to the home; locked by whoever is sending.
    pub(crate) retry: tokio::sync::Mutex<Retry>,
    /// What strangers have sent in and is being passed on to the home.
    pub(in crate::app) passing: Passing,
}

/// What is remembered of a domain that another one follows. It is lost with a restart.
#[derive(Debug, Default)]
struct OfSource {
    /// Why it cannot be followed at present.
    error: Option<String>,
    /// The things that its rules do not let be followed.
    barred: BTreeSet<IdentityId>,
    /// What was last compared with its descriptor.
    compared: Option<Compared>,
    /// The version of its descriptor under which what it has lost was last looked for.
    searched: Option<u64>,
    /// How often everything that it says was looked at again because it told of other rights.
    sent_back: SentBack,
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
            lacks_certification: AtomicBool::default(),
            mirror: Mutex::new(None),
            left_out: Mutex::default(),
            copy_fails: AtomicBool::default(),
            sealed: watch::Sender::new(0),
            grown: watch::Sender::new(0),
            witnessing: Mutex::default(),
            told: tokio::sync::Mutex::default(),
            sources: Mutex::default(),
            carrying: Mutex::default(),
            changes: Mutex::default(),
            moved: watch::Sender::new(0),
            expiries: Mutex::default(),
            certified_from: AtomicU64::default(),
            names_from: AtomicU64::default(),
            keyring: Keyring::default(),
            unrevoked: Mutex::default(),
            retry: tokio::sync::Mutex::default(),
            passing: Passing::default(),
        }
    }

    /// The durable state, as of the same commit as the entries that readers see; `None` before entry 0 has arrived.
    ///
    /// It reaches at least as far as a head or checkpoint that was read before, and what it knows can be read after.
    pub(crate) fn domain(&self) -> Option<Arc<Domain>> {
        self.published.read_locked().clone()
    }

    pub(crate) fn origin(&self) -> Option<Origin> {
        self.domain().map(|domain| domain.origin())
    }

    /// What the writer's next job builds upon: the domain at `size` entries, and what the previous job has left at
    /// hand.
    ///
    /// After a failed commit, what its jobs had made is longer than the log; then the durable state is used again.
    ///
    /// # Errors
    /// When the last commit is not yet known to be durable.
    pub(crate) fn working_at(&self, size: u64) -> Result<(Option<Arc<Domain>>, Line), StoreError> {
        let (working, line) = {
            let mut working = self.working.locked();
            // A job that gives up does not put it back, so what it has read of its own entries is forgotten with them.
            (working.0.clone(), core::mem::take(&mut working.1))
        };
        if length(&working) == size {
            return Ok((working, line));
        }
        let durable = Some(self.domain()).filter(|domain| length(domain) == size);
        durable.map(|domain| (domain, Line::default())).ok_or(StoreError::Full(Full::Turn))
    }

    /// Leaves to the writer's next job what this one has made of the domain, and what it has at hand. Readers see the
    /// domain together with what the job has appended: by former rules they could be shown entries that the new ones
    /// hide.
    pub(crate) fn leave(self: &Arc<Self>, tx: &mut WriteTx<'_>, domain: Option<Arc<Domain>>, line: Line) {
        let (hosted, made) = (Arc::clone(self), domain.clone());
        tx.once_durable(move || hosted.publish(made.clone()));
        self.set_working(domain, line);
    }

    /// As [`Hosted::leave`], for a job that has appended nothing.
    pub(crate) fn set_working(&self, domain: Option<Arc<Domain>>, line: Line) {
        *self.working.locked() = (domain, line);
    }

    /// Continues with what the domain is by the log as it is now: the last entries of a copy were given up, or what was
    /// filled in has taken effect.
    pub(crate) fn begin_again(&self, domain: Option<Domain>) {
        let domain = domain.map(Arc::new);
        self.set_working(domain.clone(), Line::default());
        drop(self.publish(domain));
    }

    /// Forgets what is at hand, because a job of the writer is changing entries that stand in the log.
    pub(crate) fn forget_line(&self) {
        self.working.locked().1.forget();
    }

    /// As [`Hosted::forget_line`], if nothing came in since the last call. The line is some megabytes for each domain,
    /// and a node may copy many domains that rest most of the time.
    pub(crate) fn forget_line_if_idle(&self) {
        let size = length(&self.domain());
        if self.rested_at.swap(size, Ordering::Relaxed) == size {
            self.forget_line();
        }
    }

    /// What a copier knows that reads what is held from now on.
    pub(crate) fn known(&self) -> Known {
        Known(AtomicU64::new(*self.changes.locked()))
    }

    /// Lets a copier change what is held. `None` if another one has since: what a page says about this node's rights,
    /// and whether all is filled in that is to take effect with it, was decided by what was held before. Whoever comes
    /// too late begins anew.
    pub(crate) fn change<T>(&self, known: &Known, work: impl FnOnce() -> T) -> Option<T> {
        let mut changes = self.changes.locked();
        if known.0.load(Ordering::Relaxed) != *changes {
            return None;
        }
        // Even of a failed one, part may have been stored.
        *changes += 1;
        known.0.store(*changes, Ordering::Relaxed);
        Some(work())
    }

    /// Does some work while no copier changes what is held.
    pub(crate) fn hold_still<T>(&self, work: impl FnOnce() -> T) -> T {
        let _changes = self.changes.locked();
        work()
    }

    /// Notes that an entry was filled in or judged again. If a round was already under way at the last start, earlier
    /// ones may have been forgotten by the restart, so it counts from entry 0.
    pub(crate) fn note_filled(&self, index: u64, is_under_way: bool) {
        let mut filled = self.filled.locked();
        let before = filled.or(is_under_way.then_some(0));
        *filled = Some(before.map_or(index, |before| before.min(index)));
    }

    /// Takes the first entry that takes effect now, if one was noted.
    pub(crate) fn take_filled(&self) -> Option<u64> {
        self.filled.locked().take()
    }

    /// Makes what a job has made visible to readers. Commits become durable one after the other, so it never goes back.
    /// Returns what was visible before: to free a domain of many signers takes long.
    fn publish(&self, domain: Option<Arc<Domain>>) -> Option<Arc<Domain>> {
        core::mem::replace(&mut *self.published.write_locked(), domain)
    }

    /// What a witness has done so far.
    pub(crate) fn witnessing(&self, name: &PeerName) -> Witnessing {
        let all = self.witnessing.locked();
        all.get(name).cloned().unwrap_or_default()
    }

    /// A witness that does not cosign for a reason that will not pass by itself, and that reason.
    pub(crate) fn estranged(&self) -> Option<(PeerName, String)> {
        let all = self.witnessing.locked();
        let mut lasting = all.iter().filter(|(_, witnessing)| witnessing.lasts);
        lasting.find_map(|(name, witnessing)| Some((name.clone(), witnessing.last_error.clone()?)))
    }

    pub(crate) fn set_witnessing(&self, name: &PeerName, now: Witnessing) {
        self.witnessing.locked().insert(name.clone(), now);
    }

    /// Looks at what is remembered of a source, if anything is.
    fn of_source<T: Default>(&self, source: &DomainName, look: impl FnOnce(&OfSource) -> T) -> T {
        let sources = self.sources.locked();
        sources.get(source).map(look).unwrap_or_default()
    }

    /// Changes what is remembered of a source.
    fn note_of_source<T>(&self, source: &DomainName, note: impl FnOnce(&mut OfSource) -> T) -> T {
        note(self.sources.locked().entry(source.clone()).or_default())
    }

    pub(crate) fn follow_error(&self, source: &DomainName) -> Option<String> {
        self.of_source(source, |it| it.error.clone())
    }

    /// Records why another domain cannot be followed now; returns whether the reason has changed.
    pub(crate) fn set_follow_error(&self, source: &DomainName, error: Option<String>) -> bool {
        self.note_of_source(source, |it| core::mem::replace(&mut it.error, error) != it.error)
    }

    /// How many things another domain does not let this one follow, among those checked since the start.
    pub(crate) fn barred(&self, source: &DomainName) -> usize {
        self.of_source(source, |it| it.barred.len())
    }

    /// Records which things another domain lets this one follow and which it does not; returns whether any were barred
    /// before. At most [`BARRED_KEPT`] are remembered.
    pub(crate) fn note_rights(&self, source: &DomainName, looked: &BTreeMap<IdentityId, bool>) -> bool {
        self.note_of_source(source, |OfSource { barred, .. }| {
            let were_any = !barred.is_empty();
            for (id, may) in looked {
                if *may {
                    barred.remove(id);
                } else if barred.len() < BARRED_KEPT {
                    barred.insert(*id);
                }
            }
            were_any
        })
    }

    /// Forgets what was recorded by [`Hosted::note_rights`].
    pub(crate) fn forget_rights(&self, source: &DomainName) {
        self.note_of_source(source, |it| it.barred.clear());
    }

    pub(crate) fn compared(&self, with: &DomainName) -> Option<Compared> {
        self.of_source(with, |it| it.compared)
    }

    pub(crate) fn set_compared(&self, with: &DomainName, compared: Compared) {
        self.note_of_source(with, |it| it.compared = Some(compared));
    }

    pub(crate) fn searched(&self, source: &DomainName) -> Option<u64> {
        self.of_source(source, |it| it.searched)
    }

    pub(crate) fn set_searched(&self, source: &DomainName, version: u64) {
        self.note_of_source(source, |it| it.searched = Some(version));
    }

    /// Whether it is time to look again at everything that a source says, since it tells of other rights; if so, notes
    /// that this begins now.
    pub(crate) fn may_look_again(&self, source: &DomainName, now: Instant) -> bool {
        self.note_of_source(source, |it| it.sent_back.take_due(now))
    }

    pub(crate) fn mirror(&self) -> Option<MirrorInfo> {
        self.mirror.locked().clone()
    }

    pub(crate) fn set_mirror(&self, info: Option<MirrorInfo>) {
        *self.mirror.locked() = info;
    }

    /// Why a peer is not asked for a while.
    pub(crate) fn why_left_out(&self, peer: &PeerName) -> Option<String> {
        self.left_out.locked().get(peer).cloned()
    }

    /// Records that a peer is not asked for a while.
    pub(crate) fn leave_out(&self, peer: &PeerName, why: String) {
        self.left_out.locked().insert(peer.clone(), why);
    }

    /// Records that all peers are asked again.
    pub(crate) fn leave_out_nobody(&self) {
        self.left_out.locked().clear();
    }
}

fn length(domain: &Option<Arc<Domain>>) -> u64 {
    domain.as_ref().map_or(0, |domain| domain.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a domain can be followed is checked four times a second: the log mentions each reason once.
    #[test]
    fn a_reason_not_to_follow_is_told_when_it_is_another_one() {
        let name = |text: &str| text.parse::<DomainName>().expect("a name");
        let hosted = Hosted::new(DomainNumber::new(1).expect("in range"), name("care.example"), Part::Home, None);
        let (source, other) = (name("devices.example"), name("labels.example"));
        let reason = |text: &str| Some(text.to_owned());
        assert_eq!((hosted.follow_error(&source), hosted.barred(&source)), (None, 0));
        assert!(hosted.sources.lock().expect("no panic").is_empty(), "a look leaves nothing behind");
        assert!(!hosted.set_follow_error(&source, None), "it is followed, as before");
        let steps = [(reason("away"), true), (reason("away"), false), (reason("refused"), true), (None, true)];
        for (error, is_new) in [steps.clone(), steps].concat() {
            assert_eq!(hosted.set_follow_error(&source, error.clone()), is_new, "{error:?}");
            assert_eq!(hosted.follow_error(&source), error);
        }
        assert!(hosted.set_follow_error(&other, reason("away")), "each on its own");
    }
}
