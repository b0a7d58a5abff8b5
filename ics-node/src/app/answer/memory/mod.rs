//! What is kept in memory about identities, so that answering about one that is often asked for needs neither the store
//! nor a new judgement.
//!
//! What a domain says about an identity depends on four things, and what is kept about it ends when the first of them
//! changes:
//!
//! - the entries found by the identity: [`Memory::forget`] drops it when another one is appended;
//! - the entries about the groups that it may belong to ([`Around`]), shared by all identities with the same groups;
//! - the domain's descriptors and certificates ([`Era`]);
//! - the time at which the first of its statements begins or ends.
//!
//! Commits are announced before readers can see them, and what was read before an announcement is not kept after it, so
//! nothing is ever shown under a checkpoint whose entries have ended it. A commit that shows what was filled in is
//! announced again after that, since it may leave the log as long as it was. How fresh the log itself is does not
//! matter here.
//!
//! A name leads directly to what is kept about its identity, without going through the table. So whatever leaves the
//! table is marked ([`Kept::end`]).

mod around;
mod kept;
mod lately;
mod short;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use ics_core::identity::IdentityId;
use ics_core::log::entry::EntryKind;
use ics_core::name::Name;
use ics_core::record::Posting;
use ics_core::time::Timestamp;
use ics_core::trust::Ruling;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

pub(crate) use around::{Around, Arounds};
pub(crate) use kept::Kept;
pub(crate) use lately::Known;
use lately::Lately;

use crate::app::entries::kind_key;
use crate::locked::Locked as _;
use crate::store::{Change, DomainNumber, Key};

/// The key of the table: the domain, and the key under which the entries are found.
type At = (DomainNumber, Key);

/// Where an identity is filed: the key of the entries about it, and more of the hash, so that no two share both.
pub(crate) type Place = (Key, u64);

/// The place of no identity: a hash is all zeros only by chance.
const NOBODY: Place = (Key(0), 0);

/// How many bytes a cache spends on an entry besides its value: its key, and its places in a queue and a table.
const PLACE_BYTES: u64 = 40;
/// The shares of memory, in 32nds, for rulings and for what is said about groups, which many things have in common; the
/// rest is for identities and their names.
const RULINGS_SHARE: u64 = 3;
const GROUPS_SHARE: u64 = 2;
/// The average size in bytes of an identity or name, by which the cache estimates how many there may be.
const EXPECTED_BYTES: u64 = 256;
/// The initial capacity of the tables; they grow if needed. A small node should not pay for what a large one needs.
const ROOM: usize = 65_536;

/// The cache, bounded in bytes, for all domains of a node.
pub(crate) struct Memory {
    things: Cache<At, Held, Bytes, DefaultHashBuilder, Leaving>,
    /// Whether anything was ever evicted: from then on the table must be told of each use.
    is_crowded: AtomicBool,
    rulings: Cache<Asked, Ruled, Bytes>,
    arounds: Arounds,
    lately: Lately,
    eras: Mutex<BTreeMap<DomainNumber, Arc<Era>>>,
    generations: AtomicU64,
}

/// The period between two changes of what a domain knows about itself.
#[derive(Debug, Default)]
pub(crate) struct Era {
    /// How many entries have been announced.
    upto: AtomicU64,
    over: AtomicBool,
}

impl Era {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether something that was read when the log had `size` entries may still be kept.
    pub(super) fn reaches(&self, size: u64) -> bool {
        self.upto.load(Ordering::Acquire) <= size && !self.is_over()
    }
}

/// The identity that a name means in one domain. It is kept only if all statements that ever gave the name are about
/// one identity, or no statement gave it.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// More of the name's hash: see [`Key::with_rest`].
    rest: u64,
    /// The place of the identity, or [`NOBODY`].
    place: Place,
    /// What is kept about it, as long as the table has it: a second look-up in a large table would mean three more
    /// cache misses of the processor.
    kept: Weak<Kept>,
}

impl Named {
    /// Whether the name means this identity.
    pub(crate) fn means(&self, id: &IdentityId) -> bool {
        self.place == place_of(id)
    }
}

/// What is found under a key. Names and identities share their room, since the number of names per identity differs
/// from domain to domain. Their keys collide only by chance, which the finder notices.
#[derive(Debug, Clone)]
enum Held {
    Identity(Arc<Kept>),
    Name(Named),
}

/// A question: the use of one thing, with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) usage: u128,
    pub(crate) thing: u64,
    pub(crate) peer: u64,
}

/// A ruling, and a mark of what it rests on: see [`mark`].
#[derive(Debug, Clone, Copy)]
struct Ruled {
    mark: u64,
    ruling: Ruling,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<At, Held> for Bytes {
    fn weight(&self, _: &At, held: &Held) -> u64 {
        let kept = match held {
            Held::Identity(kept) => kept.bytes(),
            Held::Name(_) => 0,
        };
        kept + size_of::<Held>() as u64 + PLACE_BYTES
    }
}

/// Ends what is evicted or replaced: its names lead to it without the table, where news would not reach it.
#[derive(Clone)]
struct Leaving;

impl Lifecycle<At, Held> for Leaving {
    /// The places that were evicted.
    type RequestState = Vec<At>;

    fn on_evict(&self, gone: &mut Vec<At>, at: At, held: Held) {
        if let Held::Identity(kept) = held {
            kept.end();
        }
        gone.push(at);
    }
}

impl Weighter<Asked, Ruled> for Bytes {
    fn weight(&self, _: &Asked, _: &Ruled) -> u64 {
        size_of::<(Asked, Ruled)>() as u64 + PLACE_BYTES
    }
}

impl Memory {
    /// A cache of at most `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let [rulings, groups] = [RULINGS_SHARE, GROUPS_SHARE].map(|share| bytes / 32 * share);
        let things = bytes - rulings - groups;
        let items = |bytes: u64, each: u64| usize::try_from(bytes / each).unwrap_or(ROOM).min(ROOM);
        Self {
            things: Cache::with(items(things, EXPECTED_BYTES), things, Bytes, DefaultHashBuilder::default(), Leaving),
            is_crowded: AtomicBool::new(false),
            rulings: Cache::with_weighter(items(rulings, 2 * PLACE_BYTES), rulings, Bytes),
            arounds: Arounds::new(groups),
            lately: Lately::default(),
            eras: Mutex::default(),
            generations: AtomicU64::new(1),
        }
    }

    fn eras(&self) -> MutexGuard<'_, BTreeMap<DomainNumber, Arc<Era>>> {
        self.eras.locked()
    }

    /// The domain's present era; to be taken before reading anything that is to be kept.
    pub(crate) fn era(&self, domain: DomainNumber) -> Arc<Era> {
        Arc::clone(self.eras().entry(domain).or_default())
    }

    /// Begins with all the entries that the domain has stored: those that are not shown yet will become visible without
    /// a commit that announces them.
    pub(crate) fn begin(&self, domain: DomainNumber, size: u64) {
        self.era(domain).upto.store(size, Ordering::Release);
    }

    pub(crate) const fn arounds(&self) -> &Arounds {
        &self.arounds
    }

    pub(crate) const fn lately(&self) -> &Lately {
        &self.lately
    }

    /// What is kept about an identity, if it is still valid.
    pub(crate) fn recall(&self, domain: DomainNumber, id: &IdentityId, now: Timestamp) -> Option<Arc<Kept>> {
        self.recall_at(domain, place_of(id), now)
    }

    /// As [`Memory::recall`], by the identity's place: hashing an id costs as much as a look-up.
    pub(crate) fn recall_at(&self, domain: DomainNumber, place: Place, now: Timestamp) -> Option<Arc<Kept>> {
        match self.things.get(&(domain, place.0))? {
            Held::Identity(kept) => Some(kept).filter(|kept| kept.holds(place, now)),
            Held::Name(_) => None,
        }
    }

    /// Whether more identities and names fit in without evicting others.
    pub(crate) fn has_room(&self) -> bool {
        let (weight, capacity) = (self.things.weight(), self.things.capacity());
        weight < capacity - capacity / 32
    }

    /// Keeps what was read when the log had `size` entries, unless something has come in since.
    pub(crate) fn keep(&self, domain: DomainNumber, kept: &Arc<Kept>, size: u64) {
        self.insert((domain, kept.place.0), Held::Identity(Arc::clone(kept)));
        // An announcement before this insertion is seen here; one after it takes out what was inserted.
        if kept.era.reaches(size) {
            kept.confirm();
            self.lead_names(domain, kept, size);
        }
    }

    /// Makes the names that mean an identity lead to what is now kept about it.
    fn lead_names(&self, domain: DomainNumber, kept: &Arc<Kept>, size: u64) {
        for name in kept.names() {
            let at = (domain, name);
            let Some(Held::Name(named)) = self.things.peek(&at) else { continue };
            if named.place != kept.place {
                continue;
            }
            let named = Named { kept: Arc::downgrade(kept), ..named };
            // As in `keep_name`: the name's meaning may have been forgotten and noted again since the look-up.
            if self.things.replace(at, Held::Name(named), true).is_ok() && !kept.era.reaches(size) {
                self.remove(&at);
            }
        }
    }

    fn insert(&self, at: At, held: Held) {
        let mut gone = Vec::new();
        self.things.insert_with_lifecycle(at, held, &mut gone);
        if gone.iter().any(|other| *other != at) {
            self.is_crowded.store(true, Ordering::Relaxed);
        }
    }

    /// Removes what is kept at a place, and ends it: see [`Leaving`].
    fn remove(&self, at: &At) {
        if let Some((_, Held::Identity(kept))) = self.things.remove(at) {
            kept.end();
        }
    }

    /// What is kept about the identity that a name means, if it is still valid: `Some(None)` if the name means nobody,
    /// `None` if that is not known. The caller must still check that the identity has the name now.
    pub(crate) fn recall_named(
        &self,
        domain: DomainNumber,
        name: (Key, u64),
        now: Timestamp,
    ) -> Option<Option<Arc<Kept>>> {
        let named = self.recall_name(domain, name)?;
        if named.place == NOBODY {
            return Some(None);
        }
        let Some(kept) = named.kept.upgrade().filter(|kept| kept.holds(named.place, now)) else {
            return self.recall_at(domain, named.place, now).map(Some);
        };
        if self.is_crowded.load(Ordering::Relaxed) {
            // Only a look-up tells the table not to evict it next.
            drop(self.things.get(&(domain, named.place.0)));
        }
        Some(Some(kept))
    }

    /// What a name means in a domain, if known; the caller must still check that the identity has the name now.
    pub(crate) fn recall_name(&self, domain: DomainNumber, (key, rest): (Key, u64)) -> Option<Named> {
        match self.things.get(&(domain, key))? {
            Held::Name(named) => Some(named).filter(|named| named.rest == rest),
            Held::Identity(_) => None,
        }
    }

    /// Keeps what a name means, under the same conditions as [`Memory::keep`].
    pub(crate) fn keep_name(
        &self,
        domain: DomainNumber,
        (key, rest): (Key, u64),
        identity: Option<IdentityId>,
        (era, size): (&Era, u64),
    ) {
        if !era.reaches(size) {
            return;
        }
        let place = identity.map_or(NOBODY, |id| place_of(&id));
        let kept = match self.things.peek(&(domain, place.0)) {
            Some(Held::Identity(kept)) if kept.place == place => Arc::downgrade(&kept),
            _ => Weak::new(),
        };
        self.insert((domain, key), Held::Name(Named { rest, place, kept }));
        if !era.reaches(size) {
            self.remove(&(domain, key));
        }
    }

    /// The ruling on a question, if it rests on exactly these.
    pub(crate) fn recall_ruling<'k>(
        &self,
        asked: &Asked,
        rests_on: impl Iterator<Item = &'k Arc<Kept>>,
    ) -> Option<Ruling> {
        self.rulings.get(asked).filter(|ruled| ruled.mark == mark(rests_on)).map(|ruled| ruled.ruling)
    }

    /// Keeps a ruling for as long as what it rests on is kept.
    pub(crate) fn keep_ruling<'k>(&self, asked: Asked, rests_on: impl Iterator<Item = &'k Arc<Kept>>, ruling: Ruling) {
        self.rulings.insert(asked, Ruled { mark: mark(rests_on), ruling });
    }

    /// A number that nothing else in this cache ever has.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed)
    }

    /// Forgets what a commit ends; called before anybody can read what the commit adds.
    pub(crate) fn forget(&self, change: &Change<'_>) {
        let era = self.era(change.domain);
        era.upto.store(change.size, Ordering::Release);
        let of_domain = [EntryKind::Descriptor, EntryKind::Certificate].map(kind_key);
        let mut keys = change.entries.iter().flat_map(|(_, keys)| keys);
        if change.amends || keys.any(|key| of_domain.contains(key)) {
            self.begin_era(change, &era);
            return;
        }
        let keys = || change.entries.iter().flat_map(|(_, keys)| keys);
        self.arounds.forget(change.domain, keys());
        self.lately.forget(change.domain, keys());
        if !self.things.is_empty() {
            keys().for_each(|key| self.remove(&(change.domain, *key)));
        }
    }

    fn begin_era(&self, change: &Change<'_>, era: &Era) {
        let Change { domain, size, .. } = *change;
        self.eras().insert(domain, Arc::new(Era { upto: AtomicU64::new(size), over: AtomicBool::new(false) }));
        era.over.store(true, Ordering::Release);
        // What is kept about identities is no longer used. If something may have been erased, it is removed as well.
        let stays = |held: &Held| match held {
            Held::Identity(kept) if change.amends => {
                kept.end();
                false
            }
            Held::Identity(_) => true,
            Held::Name(_) => false,
        };
        self.things.retain(|(of, _), held| *of != domain || stays(held));
        self.arounds.forget_domain(domain);
        self.lately.forget_domain(domain);
    }

    /// The size in bytes of all that is kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.things.weight() + self.rulings.weight() + self.arounds.bytes()
    }

    /// How many identities are kept.
    #[cfg(test)]
    pub(crate) fn identities(&self) -> usize {
        self.things.iter().filter(|(_, held)| matches!(held, Held::Identity(_))).count()
    }
}

/// What a ruling rests on, as one number: generations are never used twice.
fn mark<'k>(rests_on: impl Iterator<Item = &'k Arc<Kept>>) -> u64 {
    // Each number goes through the finaliser of MurmurHash3, so that two different sets hardly ever give the same mark.
    let mix = |mark: u64, kept: &Arc<Kept>| {
        let mut mixed = mark ^ kept.generation;
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    };
    rests_on.fold(0, mix)
}

/// The place of an identity.
pub(crate) fn place_of(id: &IdentityId) -> Place {
    Key::with_rest(&Posting::Subject(*id).to_bytes())
}

/// The key under which the entries that give a name are found.
pub(crate) fn name_key(name: &Name) -> (Key, u64) {
    Key::with_rest(&Posting::bytes_of_name(name))
}

impl core::fmt::Debug for Memory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Memory").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
