//! What the jobs of one group commit want to add to one domain. None of it is in the database yet, so undoing a job
//! just means cutting off the end of the draft.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use ics_core::log::entry::leaf_data;
use ics_core::log::merkle::{Tree, leaf_hash};
use ics_core::time::Timestamp;

use super::certified::Certified;
use super::error::StoreError;
use super::granted::Granted;
use super::sight::Amendments;
use super::state::DomainState;
use super::types::{DOMAIN_ENTRIES, Key, NewContent, NewEntry, Part, Seal, Standing, StoredEntry};

/// How many bytes an entry takes besides header and body: leaf, salt, position, and its share of tiles.
const ENTRY_BYTES: usize = 128;

/// How many bytes a page of the database takes in the write-ahead log.
const PAGE_BYTES: usize = 8192 + 24;

/// How many pages a commit changes for each domain involved, even by a checkpoint alone: its head, the ends of its
/// entries and tiles, and the pages that lead there.
const DOMAIN_PAGES: usize = 4;

/// Appended entries, erasures, alarms and a checkpoint, in memory.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) base: Arc<DomainState>,
    /// The tree with the changes of the jobs that have succeeded.
    pub(crate) tree: Tree,
    pub(crate) entries: Vec<(StoredEntry, Vec<Key>)>,
    /// The indices of these entries by their keys, each list in order.
    postings: HashMap<Key, Indices, Scatter>,
    /// The indices of erased entries, with the remnants that replace their headers.
    pub(crate) erased: BTreeMap<u64, Vec<u8>>,
    pub(crate) alarms: Vec<DraftAlarm>,
    /// Grants after which the domain looks again at what it follows.
    pub(crate) granted: Vec<Granted>,
    /// The contents of certificates that entries name, by the entries' indices.
    pub(crate) certified: Vec<(u64, Certified)>,
    pub(crate) seal: Option<Seal>,
    /// Whether the checkpoint over the appended entries must not be shown before witnesses have cosigned it.
    pub(crate) waits: bool,
    /// Changes to earlier entries.
    pub(crate) amendments: Amendments,
    /// What is called once all this is durable.
    pub(crate) call: Option<Call>,
    /// The size of headers and bodies in bytes.
    pub(crate) bytes: usize,
}

/// Something to be called once a commit is durable; it returns what has become useless by that.
#[derive(Clone)]
pub(crate) struct Call(pub(crate) Arc<dyn Fn() -> Box<dyn Any> + Send + Sync>);

impl core::fmt::Debug for Call {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Call").finish_non_exhaustive()
    }
}

/// Indices in order; most keys have just one, which takes no memory of its own.
#[derive(Debug)]
enum Indices {
    One(u64),
    Many(Vec<u64>),
}

impl Indices {
    fn as_slice(&self) -> &[u64] {
        match self {
            Self::One(index) => core::slice::from_ref(index),
            Self::Many(indices) => indices,
        }
    }

    fn insert(&mut self, index: u64) {
        // Nearly always it comes after all others.
        if let Self::Many(indices) = self
            && indices.last().is_some_and(|last| *last < index)
        {
            indices.push(index);
            return;
        }
        let Err(place) = self.as_slice().binary_search(&index) else { return };
        match self {
            Self::One(first) => *self = Self::Many(if place == 0 { vec![index, *first] } else { vec![*first, index] }),
            Self::Many(indices) => indices.insert(place, index),
        }
    }

    fn retain(&mut self, keeps: impl Fn(u64) -> bool) {
        match self {
            Self::One(index) if !keeps(*index) => *self = Self::Many(Vec::new()),
            Self::One(_) => {}
            Self::Many(indices) => indices.retain(|index| keeps(*index)),
        }
    }
}

/// The hasher for keys in the table. Keys are hashes themselves, but anybody can make ones that collide in a table with
/// a known hash function; a secret factor prevents that. The standard library's hash would take longer than everything
/// else that filing a key takes.
#[derive(Debug)]
struct Scatter(u64);

impl Default for Scatter {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0) | 1)
    }
}

impl BuildHasher for Scatter {
    type Hasher = Scattered;

    fn build_hasher(&self) -> Scattered {
        Scattered { by: self.0, hash: 0 }
    }
}

/// The two halves of the product, combined by XOR: each bit depends on all input bits.
struct Scattered {
    by: u64,
    hash: u64,
}

impl Hasher for Scattered {
    fn write_i64(&mut self, key: i64) {
        let product = u128::from(self.hash ^ key.cast_unsigned()) * u128::from(self.by);
        self.hash = (product >> 64) as u64 ^ (product & u128::from(u64::MAX)) as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_i64(i64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

/// An alarm to be stored with the entries that caused it.
#[derive(Debug, Clone)]
pub(crate) struct DraftAlarm {
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// Where a draft stood when a job began.
#[derive(Debug)]
pub(crate) struct Mark {
    tree: Tree,
    entries: usize,
    erased: BTreeMap<u64, Vec<u8>>,
    alarms: usize,
    granted: usize,
    certified: usize,
    seal: Option<Seal>,
    waits: bool,
    amendments: Amendments,
    call: Option<Call>,
    bytes: usize,
}

impl Draft {
    pub(crate) fn new(base: Arc<DomainState>) -> Self {
        Self {
            tree: base.tree.clone(),
            base,
            entries: Vec::new(),
            postings: HashMap::default(),
            erased: BTreeMap::new(),
            alarms: Vec::new(),
            granted: Vec::new(),
            certified: Vec::new(),
            seal: None,
            waits: false,
            amendments: Amendments::default(),
            call: None,
            bytes: 0,
        }
    }

    /// Whether there is nothing to store.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.erased.is_empty()
            && self.alarms.is_empty()
            && self.granted.is_empty()
            && self.certified.is_empty()
            && self.seal.is_none()
            && self.amendments.is_empty()
            && self.amendments.doubt.is_none()
    }

    /// Roughly how many bytes it adds to the write-ahead log. A page is written whole, however little of it has
    /// changed.
    pub(crate) fn wal_bytes(&self) -> usize {
        let Amendments { filled, judged, lost, .. } = &self.amendments;
        let keys = filled.values().map(|(_, keys)| keys).chain(lost.values()).map(|keys| 1 + keys.len()).sum::<usize>();
        let beside = self.erased.len() + self.alarms.len() + self.granted.len() + self.certified.len();
        let pages = DOMAIN_PAGES + beside + judged.len() + keys;
        self.bytes + self.entries.len() * ENTRY_BYTES + pages * PAGE_BYTES
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            tree: self.tree.clone(),
            entries: self.entries.len(),
            erased: self.erased.clone(),
            alarms: self.alarms.len(),
            granted: self.granted.len(),
            certified: self.certified.len(),
            seal: self.seal.clone(),
            waits: self.waits,
            amendments: self.amendments.clone(),
            call: self.call.clone(),
            bytes: self.bytes,
        }
    }

    /// Undoes everything since the mark.
    pub(crate) fn roll_back(&mut self, mark: Mark) {
        for (entry, keys) in self.entries.drain(mark.entries..) {
            for key in keys {
                if let Some(indices) = self.postings.get_mut(&key) {
                    indices.retain(|index| index < entry.index);
                }
            }
        }
        let base = self.base.head.size;
        for (index, (_, keys)) in &self.amendments.filled {
            if !mark.amendments.filled.contains_key(index) {
                for key in keys {
                    if let Some(indices) = self.postings.get_mut(key) {
                        indices.retain(|at| at != *index || at >= base);
                    }
                }
            }
        }
        self.amendments = mark.amendments;
        self.tree = mark.tree;
        self.erased = mark.erased;
        self.alarms.truncate(mark.alarms);
        self.granted.truncate(mark.granted);
        self.certified.truncate(mark.certified);
        self.seal = mark.seal;
        self.waits = mark.waits;
        self.call = mark.call;
        self.bytes = mark.bytes;
    }

    /// Adds an entry; returns its index and leaf data.
    pub(crate) fn append(&mut self, new: NewEntry) -> Result<(u64, [u8; 32]), StoreError> {
        let (domain, index) = (self.base.info.number, self.tree.size());
        let (content, leaf) = match new.content {
            NewContent::Whole(content) => {
                let leaf = leaf_data(&content.salt, &new.header, &content.body);
                (Some(content), leaf)
            }
            NewContent::Leaf(leaf) => (None, leaf),
        };
        self.check_append(index, &leaf)?;
        self.tree.push(leaf_hash(&leaf));
        self.bytes += new.header.len() + content.as_ref().map_or(0, |content| content.body.len());
        self.file(&new.keys, index);
        let entry = StoredEntry { domain, index, effective: new.effective, leaf, header: new.header, content };
        self.entries.push((entry, new.keys));
        Ok((index, leaf))
    }

    /// Files an entry under its keys.
    pub(crate) fn file(&mut self, keys: &[Key], index: u64) {
        for key in keys {
            self.postings.entry(*key).and_modify(|indices| indices.insert(index)).or_insert(Indices::One(index));
        }
    }

    fn check_append(&self, index: u64, leaf: &[u8; 32]) -> Result<(), StoreError> {
        let name = &self.base.info.name;
        if index >= DOMAIN_ENTRIES {
            return Err(StoreError::refused(format!(
                "domain `{name}` has {DOMAIN_ENTRIES} entries, which is the limit"
            )));
        }
        if index == 0 && self.base.info.entry0.is_some_and(|pinned| pinned != *leaf) {
            return Err(StoreError::refused(format!("entry 0 of `{name}` is not the one that was pinned")));
        }
        match &self.base.standing {
            Standing::Behind { signed: Some(signed) } if index >= signed.size => {
                Err(StoreError::refused(format!("`{name}` is being restored, and only up to size {}", signed.size)))
            }
            _ => Ok(()),
        }
    }

    /// Whether this node signs the checkpoints of the domain at present.
    pub(crate) fn is_own(&self) -> bool {
        self.base.info.part == Part::Home && self.base.standing == Standing::Current
    }

    /// Checks and stores a checkpoint that the job provides.
    ///
    /// At the home, one for an earlier size is one that has waited for its witnesses: `leads_to` tells whether the
    /// stored log has its root.
    pub(crate) fn seal(
        &mut self,
        seal: Seal,
        leads_to: impl FnOnce(&DomainState, &Seal) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let (size, name) = (self.tree.size(), &self.base.info.name);
        let earlier = self.is_own() && seal.size <= self.base.head.size;
        if !earlier && (seal.size < size || (self.is_own() && seal.size != size)) {
            let rule = format!("a checkpoint for size {} does not cover the {size} entries of `{name}`", seal.size);
            return Err(StoreError::refused(rule));
        }
        let fits = match seal.size {
            at if at == size => seal.root == self.tree.root(),
            _ if earlier => leads_to(&self.base, &seal)?,
            _ => true,
        };
        if !fits {
            return Err(StoreError::Forked { domain: name.clone(), size: seal.size });
        }
        self.seal = Some(seal);
        Ok(())
    }

    /// The entries of this draft that have all the keys, in order.
    pub(crate) fn with_keys(&self, keys: &[Key]) -> impl Iterator<Item = u64> {
        let lists: Vec<&[u64]> =
            keys.iter().map(|key| self.postings.get(key).map_or(&[][..], Indices::as_slice)).collect();
        let first = lists.first().copied().unwrap_or_default();
        first.iter().copied().filter(move |index| lists.iter().all(|list| list.binary_search(index).is_ok()))
    }

    /// An entry of this draft, if the index is in it.
    pub(crate) fn entry(&self, index: u64) -> Option<&StoredEntry> {
        if let Some((entry, _)) = self.amendments.filled.get(&index) {
            return Some(entry);
        }
        let offset = usize::try_from(index.checked_sub(self.base.head.size)?).ok()?;
        self.entries.get(offset).map(|(entry, _)| entry)
    }

    /// Checks that a log restored to the signed size has the root that was signed.
    pub(crate) fn check_restored(&self) -> Result<(), StoreError> {
        match &self.base.standing {
            Standing::Behind { signed: Some(signed) }
                if signed.size == self.tree.size() && signed.root != self.tree.root() =>
            {
                Err(StoreError::Forked { domain: self.base.info.name.clone(), size: signed.size })
            }
            _ => Ok(()),
        }
    }
}
