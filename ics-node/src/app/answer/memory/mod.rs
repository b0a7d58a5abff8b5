//! What is kept in memory of identities, so that a hot answer costs neither a look into the store nor a judgement.
//!
//! What a domain says of an identity hangs on four things, and what is kept of it ends with the first that changes:
//!
//! - the entries that are found by the identity: [`Memory::forget`] takes it out when one more of them is appended;
//! - those about the groups that it may belong to ([`Around`]), which all identities with the same groups share;
//! - the domain's descriptors and certificates ([`Era`]);
//! - the time at which the first of its statements begins or ends.
//!
//! Commits are announced before readers can see them, and what was read before an announcement is not kept after it, so
//! that nothing is ever shown under a checkpoint whose entries have ended it. How old the news is, is no part of it.
//!
//! A name leads to what is kept of whom it means past the table. So whatever leaves the table is marked ([`Kept::end`]).

mod around;
mod kept;
mod lately;
mod short;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

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
use lately::Lately;

use crate::app::entries::kind_key;
use crate::store::{Change, DomainNumber, Key};

/// Where something is kept: the domain, and the key by which its entries are found.
type At = (DomainNumber, Key);

/// By what an identity is found: the key of the entries about it, with more of the hash, so that no two have both.
pub(crate) type Place = (Key, u64);

/// Where nothing is: no hash is all zeros but by chance.
const NOBODY: Place = (Key(0), 0);

/// Bytes that a cache spends on an entry beside its value: its key, its place in a queue and in a table.
const PLACE_BYTES: u64 = 40;
/// The shares of memory, in parts of 32, that are for rulings and for what is said of groups, which many things have in
/// common; the rest is for identities and their names.
const RULINGS_SHARE: u64 = 3;
const GROUPS_SHARE: u64 = 2;
/// Bytes of an identity or a name on average, by which the cache knows how many there may be.
const EXPECTED_BYTES: u64 = 256;
/// Room in tables is made for so many at once; for more they grow. A small node is not to pay for a large one's.
const ROOM: usize = 65_536;

/// Bounded by bytes, over all domains of a node.
pub(crate) struct Memory {
    things: Cache<At, Held, Bytes, DefaultHashBuilder, Leaving>,
    /// Whether something had to go for others: from then on the table must see what is used.
    is_crowded: AtomicBool,
    rulings: Cache<Asked, Ruled, Bytes>,
    arounds: Arounds,
    lately: Lately,
    eras: Mutex<BTreeMap<DomainNumber, Arc<Era>>>,
    generations: AtomicU64,
}

/// A domain between two changes of what it knows of itself.
#[derive(Debug, Default)]
pub(crate) struct Era {
    /// Entries that were announced.
    upto: AtomicU64,
    over: AtomicBool,
}

impl Era {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether something that was read when the log had `size` entries may still be kept.
    fn reaches(&self, size: u64) -> bool {
        self.upto.load(Ordering::Acquire) <= size && !self.is_over()
    }
}

/// Whom a name means in one domain: only where all statements that ever gave it are about one identity, or none is.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// More of the name's hash: see [`Key::with_rest`].
    rest: u64,
    /// By what the identity is found, or [`NOBODY`].
    place: Place,
    /// What is kept of it, for as long as the table has that: another look into a large table waits three times for memory
    /// that no cache of the processor holds.
    kept: Weak<Kept>,
}

impl Named {
    /// Whether the name means this identity.
    pub(crate) fn means(&self, id: &IdentityId) -> bool {
        self.place == place_of(id)
    }
}

/// What is found by a key. Names and identities share their room: how many names an identity has differs from domain to
/// domain. No two have the same key but by chance, which whoever finds one sees.
#[derive(Debug, Clone)]
enum Held {
    Identity(Arc<Kept>),
    Name(Named),
}

/// A use of one thing, with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) usage: u128,
    pub(crate) thing: u64,
    pub(crate) peer: u64,
}

/// A ruling, and what it rests on: see [`mark`].
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

/// Ends what goes for others, or for what is kept anew: its names lead to it past the table, where news would not find it.
#[derive(Clone)]
struct Leaving;

impl Lifecycle<At, Held> for Leaving {
    /// Where it was.
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
    /// Memory of `bytes` at most.
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
        self.eras.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The domain's present era; to be taken before anything is read that is to be kept.
    pub(crate) fn era(&self, domain: DomainNumber) -> Arc<Era> {
        Arc::clone(self.eras().entry(domain).or_default())
    }

    /// Begins with a domain of so many entries, all that are stored: those that are not shown yet will be, without a commit
    /// that announces them.
    pub(crate) fn begin(&self, domain: DomainNumber, size: u64) {
        self.era(domain).upto.store(size, Ordering::Release);
    }

    pub(crate) const fn arounds(&self) -> &Arounds {
        &self.arounds
    }

    pub(crate) const fn lately(&self) -> &Lately {
        &self.lately
    }

    /// What is kept of an identity and holds now.
    pub(crate) fn recall(&self, domain: DomainNumber, id: &IdentityId, now: Timestamp) -> Option<Arc<Kept>> {
        self.recall_at(domain, place_of(id), now)
    }

    /// The same, where it is known by what it is found: hashing an id costs as much as a look-up.
    pub(crate) fn recall_at(&self, domain: DomainNumber, place: Place, now: Timestamp) -> Option<Arc<Kept>> {
        match self.things.get(&(domain, place.0))? {
            Held::Identity(kept) => Some(kept).filter(|kept| kept.holds(place, now)),
            Held::Name(_) => None,
        }
    }

    /// Whether there is room for more of identities and names without others' having to go.
    pub(crate) fn has_room(&self) -> bool {
        let (weight, capacity) = (self.things.weight(), self.things.capacity());
        weight < capacity - capacity / 32
    }

    /// Keeps what was read when the log had `size` entries, unless something has come in since.
    pub(crate) fn keep(&self, domain: DomainNumber, kept: &Arc<Kept>, size: u64) {
        self.insert((domain, kept.place.0), Held::Identity(Arc::clone(kept)));
        // Whoever announced before this insertion is seen here; whoever announces after it takes it out.
        if kept.era.reaches(size) {
            kept.confirm();
            self.lead_names(domain, kept, size);
        }
    }

    /// Has the names that mean an identity lead to what is kept of it now.
    fn lead_names(&self, domain: DomainNumber, kept: &Arc<Kept>, size: u64) {
        for name in kept.names() {
            let at = (domain, name);
            let Some(Held::Name(named)) = self.things.peek(&at) else { continue };
            if named.place != kept.place {
                continue;
            }
            let named = Named { kept: Arc::downgrade(kept), ..named };
            // As in `keep_name`: whom it means may have been forgotten, and noted anew, since it was looked at.
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

    /// Takes out what is there, and ends it: see [`Leaving`].
    fn remove(&self, at: &At) {
        if let Some((_, Held::Identity(kept))) = self.things.remove(at) {
            kept.end();
        }
    }

    /// What is kept of the identity that a name means, and holds now, which nothing is if the name means nobody; `None` if
    /// that is not known. It must still be looked whether the identity has the name now.
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
            // Only a look into the table tells it what is not to go next.
            drop(self.things.get(&(domain, named.place.0)));
        }
        Some(Some(kept))
    }

    /// Whom a name means in a domain, if that is known; it must still be looked whether he has the name now.
    pub(crate) fn recall_name(&self, domain: DomainNumber, (key, rest): (Key, u64)) -> Option<Named> {
        match self.things.get(&(domain, key))? {
            Held::Name(named) => Some(named).filter(|named| named.rest == rest),
            Held::Identity(_) => None,
        }
    }

    /// Keeps whom a name means, as [`Memory::keep`].
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

    /// The ruling on a question, if it rests on just these.
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

    /// A number that no other thing that is kept has.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed)
    }

    /// Forgets what a commit ends; called before anybody can read what it adds.
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
        // What is kept of identities is out of use. It is gone as well where something may have been erased.
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

    /// Bytes of all that is kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.things.weight() + self.rulings.weight() + self.arounds.bytes()
    }

    /// Identities that are kept.
    #[cfg(test)]
    pub(crate) fn identities(&self) -> usize {
        self.things.iter().filter(|(_, held)| matches!(held, Held::Identity(_))).count()
    }
}

/// What a ruling rests on, in one number: generations never come again.
fn mark<'k>(rests_on: impl Iterator<Item = &'k Arc<Kept>>) -> u64 {
    // The finaliser of MurmurHash3 on each, so that two sets of numbers do not add up to the same.
    let mix = |mark: u64, kept: &Arc<Kept>| {
        let mut mixed = mark ^ kept.generation;
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    };
    rests_on.fold(0, mix)
}

/// By what an identity is found.
pub(crate) fn place_of(id: &IdentityId) -> Place {
    Key::with_rest(&Posting::Subject(*id).to_bytes())
}

/// The key by which the entries that give a name are found.
pub(crate) fn name_key(name: &Name) -> (Key, u64) {
    Key::with_rest(&Posting::Name(name.clone()).to_bytes())
}

impl core::fmt::Debug for Memory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Memory").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
