//! An honest home: it appends, signs, and answers what it is asked.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ics_core::descriptor::{Descriptor, Head, NodeKey};
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::entry::{Entry, EntryKind, Header};
use ics_core::log::merkle::Tree;
use ics_core::log::{Hash, LeafData, cosignature};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::mirror::Source;
use ics_sync::wire::{self, Base64};

use crate::memory::Memory;
use crate::owners;

/// The name of the node, under which it cosigns.
pub(crate) const NODE: &str = "ics.acme.example";

/// Identities that entries are about.
pub(crate) const IDENTITIES: usize = 7;
/// What descriptors are about, which nobody hides.
pub(crate) const OWN: usize = usize::MAX;

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn node_key(name: &str, seed: u8) -> NodeKey {
    NodeKey { name: name.to_owned(), key: STANDARD.encode(signing_key(seed).verifying_key().to_bytes()) }
}

#[derive(Clone)]
pub(crate) struct Home {
    pub(crate) origin: Origin,
    pub(crate) descriptors: Vec<(usize, Descriptor)>,
    pub(crate) entries: Vec<Entry>,
    /// The identity that each entry is about.
    pub(crate) about: Vec<usize>,
    /// Identities that the reader may not read.
    pub(crate) hidden: BTreeSet<usize>,
    /// Entries at which an identity became readable, or ceased to be.
    turns: Vec<(usize, usize)>,
    /// How often the peer's operator has changed what the reader may read.
    turned: u64,
    /// Entries that it silently withholds from a reader of a part who may read them.
    kept_back: BTreeSet<usize>,
    /// Entries in one page, at most.
    pub(crate) page_limit: usize,
    pub(crate) key: SigningKey,
    pub(crate) note: String,
    /// When it signed, in seconds, and the size that it signed.
    pub(crate) signed: Vec<(u64, u64)>,
    pub(crate) leaves: Vec<LeafData>,
    /// Whether the reader may not simply copy everything.
    pub(crate) partial: bool,
    /// Seeds of all keys that it has had; they are kept apart from backups.
    seeds: Vec<u8>,
    tree: Tree,
}

/// What can change a reader's rights.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Turn {
    Entry,
    Descriptor,
    Peer,
}

impl Home {
    pub(crate) fn new(domain: &str, key_seed: u8, now: Timestamp) -> Self {
        let descriptor = owners::first(domain, node_key(NODE, key_seed));
        let entry0 = entry(EntryKind::Descriptor, owners::sign(&descriptor), now);
        let origin = Origin { domain: descriptor.domain.clone(), entry0: entry0.leaf_data() };
        let mut home = Self {
            origin,
            descriptors: vec![(0, descriptor)],
            key: signing_key(key_seed),
            seeds: vec![key_seed],
            ..Self::unfounded()
        };
        home.push(entry0);
        home.sign(now);
        home
    }

    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        let is_own = entry.header().is_ok_and(|header| header.kind == EntryKind::Descriptor);
        self.push_about(entry, if is_own { OWN } else { self.entries.len() % IDENTITIES });
    }

    /// An entry about one of the identities, or [`OWN`].
    pub(crate) fn push_about(&mut self, entry: Entry, about: usize) {
        self.leaves.push(entry.leaf_data());
        self.about.push(about);
        self.tree.push(entry.leaf_hash());
        self.entries.push(entry);
    }

    pub(crate) fn append(&mut self, body: impl Into<Vec<u8>>, now: Timestamp) {
        self.push(entry(EntryKind::Statement, body.into(), now));
    }

    pub(crate) fn append_many(&mut self, count: usize, label: &str, now: Timestamp) {
        let from = self.entries.len();
        (from..from + count).for_each(|index| self.append(format!("{label} {index}"), now));
    }

    /// Puts the next version of the descriptor in force, as changed by `change`.
    pub(crate) fn amend(&mut self, now: Timestamp, change: impl FnOnce(&mut Descriptor)) {
        let (_, previous) = self.descriptors.last().expect("a first version");
        let mut next = owners::following(previous);
        change(&mut next);
        self.push(entry(EntryKind::Descriptor, owners::sign(&next), now));
        self.descriptors.push((self.entries.len() - 1, next));
    }

    /// Replaces the key of the home.
    pub(crate) fn replace_key(&mut self, key_seed: u8, now: Timestamp) {
        let last_head = Head { size: self.size(), root: self.tree.root() };
        self.amend(now, |next| {
            next.home = node_key(NODE, key_seed);
            next.last_head = Some(last_head);
        });
        self.key = signing_key(key_seed);
        self.seeds.push(key_seed);
    }

    /// The home as a full copy serves it: the log up to the checkpoint that the copy has reached.
    pub(crate) fn of_copy(memory: &Memory, domain: &DomainName) -> Option<Self> {
        let (note, entry0) = (memory.note.clone()?, *memory.leaves.first()?);
        let mut home = Self { origin: Origin { domain: domain.clone(), entry0 }, note, ..Self::unfounded() };
        for (index, entry) in memory.entries.iter().take(memory.sealed).enumerate() {
            home.take_back(entry.clone()?, memory.about(index));
        }
        home.signed = vec![(0, home.size())];
        Some(home)
    }

    /// Takes an entry that another node has kept.
    pub(crate) fn take_back(&mut self, entry: Entry, about: usize) {
        let last = self.descriptors.last().map(|(_, last)| last);
        if let Some(next) = owners::read(&entry.body, last) {
            self.hidden = owners::hidden(&next);
            let named = |seed: &&u8| node_key(NODE, **seed) == next.home;
            self.key = self.seeds.iter().find(named).map_or(self.key.clone(), |seed| signing_key(*seed));
            self.descriptors.push((self.entries.len(), next));
        }
        self.push_about(entry, about);
    }

    /// The same log at an earlier size, as from a backup; the keys are kept elsewhere.
    pub(crate) fn put_back(&self, backup: &Self) -> Self {
        let mut home = Self { origin: self.origin.clone(), note: backup.note.clone(), ..Self::unfounded() };
        (home.seeds, home.page_limit) = (self.seeds.clone(), self.page_limit);
        home.signed = self.signed.clone();
        backup.entries.iter().zip(&backup.about).for_each(|(entry, about)| home.take_back(entry.clone(), *about));
        home
    }

    fn unfounded() -> Self {
        Self {
            origin: Origin { domain: "nowhere.example".parse().expect("a domain"), entry0: [0; 32] },
            descriptors: Vec::new(),
            entries: Vec::new(),
            about: Vec::new(),
            hidden: BTreeSet::new(),
            turns: Vec::new(),
            turned: 0,
            kept_back: BTreeSet::new(),
            page_limit: usize::MAX,
            key: signing_key(0),
            note: String::new(),
            signed: Vec::new(),
            leaves: Vec::new(),
            partial: false,
            seeds: Vec::new(),
            tree: Tree::new(),
        }
    }

    /// What it shows to a reader who may, or may not, copy everything.
    pub(crate) fn for_reader(&self, partial: bool) -> Cow<'_, Self> {
        if partial == self.partial && (partial || self.hidden.is_empty()) {
            return Cow::Borrowed(self);
        }
        let hidden = if partial { self.hidden.clone() } else { BTreeSet::new() };
        Cow::Owned(Self { partial, hidden, ..self.clone() })
    }

    /// The same as shown by a peer that withholds entries from readers of a part.
    pub(crate) fn keeping_back(&self, indices: impl IntoIterator<Item = usize>) -> Self {
        Self { kept_back: indices.into_iter().filter(|_| self.partial).collect(), ..self.clone() }
    }

    /// Statements, this many in seven, always the same ones.
    pub(crate) fn any_said(&self, chance: u8) -> impl Iterator<Item = usize> {
        let is_said = move |index: &usize| self.about[*index] != OWN && self.leaves[*index][0] % 7 < chance;
        (0..self.entries.len()).filter(is_said)
    }

    /// The home as the operator of a copy knows it.
    pub(crate) fn as_source(&self) -> Source {
        let key = Some(self.key.verifying_key().to_bytes());
        Source { name: NODE.to_owned(), key, is_shown: true }
    }

    /// The same, showing everything.
    pub(crate) fn indiscreet(self) -> Self {
        Self { hidden: BTreeSet::new(), ..self }
    }

    /// The head of the log as it stands.
    pub(crate) fn head(&self) -> (u64, Hash) {
        (self.tree.size(), self.tree.root())
    }

    /// The largest size that it has signed.
    pub(crate) fn signed_size(&self) -> u64 {
        self.signed.iter().map(|(_, size)| *size).max().unwrap_or(0)
    }

    /// Signs the log as it stands, and records when.
    pub(crate) fn sign(&mut self, now: Timestamp) {
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: self.size(), root: self.tree.root() };
        self.note =
            cosignature::cosign(&checkpoint.sign(&self.key).expect("a key in memory signs"), NODE, &self.key, now)
                .expect("a note with room");
        self.signed.push((now.as_seconds(), self.size()));
    }

    /// Amends the descriptor without changing anything that matters.
    pub(crate) fn amend_idly(&mut self, now: Timestamp) {
        let hidden = self.hidden.clone();
        self.amend(now, |next| owners::hide(next, &hidden, now));
    }

    /// The same home with a different log from an index on.
    pub(crate) fn fork_at(&self, index: usize) -> Self {
        let mut fork = Self { entries: Vec::new(), leaves: Vec::new(), tree: Tree::new(), ..self.clone() };
        fork.about.clear();
        fork.turns.retain(|(at, _)| *at < index);
        fork.signed.retain(|(_, size)| *size <= index as u64);
        self.entries.iter().take(index).for_each(|entry| fork.push(entry.clone()));
        fork.descriptors.retain(|(at, _)| *at < index);
        fork
    }

    pub(crate) fn page(&self, from: u64, limit: usize, until: u64) -> Option<wire::Page> {
        let count = usize::try_from(until.checked_sub(from)?).ok()?.min(limit).min(self.page_limit);
        let first = usize::try_from(from).ok()?;
        let show = |(index, _): (usize, &Entry)| self.travelling(index);
        let entries: Vec<_> = self.entries.iter().enumerate().skip(first).take(count).map(show).collect();
        let proven = from + entries.len() as u64;
        let proof = self.tree.consistency_proof(proven, until, |_| None).ok()?;
        let proof = proof.iter().map(|hash| Base64(hash.0)).collect();
        let sight = self.partial.then(|| self.sight(first, first + entries.len()));
        Some(wire::Page { from, entries, size: until, checkpoint: None, proof, sight })
    }

    fn travelling(&self, index: usize) -> wire::Entry {
        let entry = &self.entries[index];
        if self.kept_back.contains(&index) || self.hidden.contains(&self.about[index]) {
            wire::Entry::Hidden(entry.leaf_data())
        } else {
            wire::Entry::Whole(entry.clone())
        }
    }

    /// The indices, below a bound, of the entries about an identity.
    fn entries_about(&self, id: usize, end: usize) -> impl Iterator<Item = u64> {
        let is_named = move |index: &usize| self.about[*index] == id && !self.kept_back.contains(index);
        (0..end).filter(is_named).map(|index| index as u64)
    }

    /// What stands for a reader's rights, computed as nodes do: two with the same descriptor mean the same by it.
    pub(crate) fn rights(&self) -> wire::Rights {
        let version = self.descriptors.last().map_or(0, |(_, descriptor)| descriptor.version);
        Base64((u128::from(version) << 64 | u128::from(self.turned)).to_be_bytes())
    }

    fn sight(&self, first: usize, end: usize) -> wire::Sight {
        let ids: BTreeSet<usize> = self.about[first..end].iter().copied().filter(|id| *id != OWN).collect();
        // Pages are made by the rights at the time of asking: between the first of these entries and now, each was
        // either shown at some time, or not.
        let was_shown = |id: &usize| self.turns.iter().any(|(at, turned)| turned == id && *at >= first);
        let (hidden, shown): (Vec<usize>, Vec<usize>) = ids.into_iter().partition(|id| self.hidden.contains(id));
        let ended = hidden.into_iter().filter(was_shown);
        wire::Sight {
            rights: self.rights(),
            earlier: shown.into_iter().flat_map(|id| self.entries_about(id, first)).collect(),
            ended: ended.flat_map(|id| self.entries_about(id, first)).collect(),
        }
    }

    /// The answer to a second look; `None` for one that goes beyond what is here.
    pub(crate) fn again(&self, again: &wire::Again) -> Option<wire::Shown> {
        if again.hidden.iter().chain(&again.held).any(|index| *index >= self.size()) {
            return None;
        }
        let is_hidden = |index: &u64| self.hidden.contains(&self.about[*index as usize]);
        let entries: Vec<wire::Entry> =
            again.hidden.iter().take(self.page_limit).map(|index| self.travelling(*index as usize)).collect();
        let shown = again.hidden.iter().take(entries.len()).filter(|index| !is_hidden(index));
        let ids: BTreeSet<usize> = shown.map(|index| self.about[*index as usize]).filter(|id| *id != OWN).collect();
        Some(wire::Shown {
            question: again.question,
            earlier: ids.into_iter().flat_map(|id| self.entries_about(id, self.entries.len())).collect(),
            rights: self.partial.then(|| self.rights()),
            entries,
            lost: again.held.iter().copied().filter(is_hidden).collect(),
        })
    }

    /// Lets the reader read an identity, or no longer: by an entry about it, by a descriptor, or by what the peer's
    /// operator says about the reader.
    pub(crate) fn turn(&mut self, id: usize, by: Turn, now: Timestamp) {
        match by {
            Turn::Entry => {
                while self.entries.len() % IDENTITIES != id {
                    self.append_many(1, "true", now);
                }
                self.turns.push((self.entries.len(), id));
                self.append_many(1, "turns", now);
            }
            Turn::Descriptor => {
                let mut hidden = self.hidden.clone();
                toggle(&mut hidden, id);
                self.amend(now, |next| owners::hide(next, &hidden, now));
            }
            Turn::Peer => self.turned += 1,
        }
        toggle(&mut self.hidden, id);
    }

    pub(crate) fn descriptors(&self, from: u64) -> wire::Descriptors {
        let known = self.descriptors.iter().filter(|(_, descriptor)| descriptor.version >= from);
        let entries = known.map(|(index, _)| wire::Entry::Whole(self.entries[*index].clone())).collect();
        wire::Descriptors { from, entries }
    }
}

fn toggle(hidden: &mut BTreeSet<usize>, id: usize) {
    if !hidden.remove(&id) {
        hidden.insert(id);
    }
}

pub(crate) fn entry(kind: EntryKind, body: Vec<u8>, now: Timestamp) -> Entry {
    let header = Header { kind, admitted_at: now, source: None }.encode().expect("a header");
    // Here, salts only need to differ.
    let salt = core::array::from_fn(|i| body.get(i).copied().unwrap_or(i as u8));
    Entry { header, salt, body }
}
