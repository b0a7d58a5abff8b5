//! A node's store, in memory: what was applied survives a restart of the mirror.

use std::collections::BTreeMap;
use std::sync::Arc;

use ics_core::descriptor::Descriptor;
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::log::entry::{Entry, EntryKind};
use ics_core::log::merkle::{Tree, leaf_hash};
use ics_core::log::{Hash, LeafData};
use ics_core::statement::Remnant;
use ics_core::statement::body::{self, Body};
use ics_core::time::Timestamp;
use ics_sync::Applier;
use ics_sync::mirror::{Doubt, Fill, Mirror, Resume, Seen, Settings, Survey, VerifiedEntry, VerifiedPage};
use ics_sync::wire;

use crate::home::{Home, OWN};
use crate::{owners, speech};

#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) leaves: Vec<LeafData>,
    tree: Tree,
    /// What is held of each entry.
    pub(crate) kept: Vec<Kept>,
    /// The entries themselves, if they have come.
    pub(crate) entries: Vec<Option<Entry>>,
    pub(crate) rights: Option<wire::Rights>,
    /// Entries under the last checkpoint.
    pub(crate) sealed: usize,
    pub(crate) descriptor: Option<Descriptor>,
    pub(crate) admitted_at: Timestamp,
    pub(crate) note: Option<String>,
    /// When the home vouched for the last checkpoint.
    pub(crate) as_of: Option<Timestamp>,
    /// The remnants received since the last checkpoint, borne out or not. Nothing is erased here.
    pub(crate) erased: BTreeMap<u64, Remnant>,
    /// The remnants in the place of entries, as they were last given.
    pub(crate) left: BTreeMap<u64, Remnant>,
    /// What rests on the word of others than the home.
    pub(crate) doubt: Option<Doubt>,
    /// Reports about peers that had left out what the home shows.
    pub(crate) left_out: Vec<Doubt>,
    /// How many pages will fail to be stored.
    pub(crate) failures: usize,
}

/// What is held of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    Hidden,
    Whole(Vec<u8>),
    /// Filled in, but without effect yet.
    Filled(Vec<u8>),
    /// It was whole, and may no longer be read.
    Lost(Vec<u8>),
}

impl Memory {
    /// A mirror that resumes from this store.
    pub(crate) fn mirror(&self, origin: &Origin, settings: Settings, now: Timestamp) -> Mirror {
        let Some(descriptor) = &self.descriptor else { return Mirror::pinned(origin.clone(), settings) };
        let resume = Resume {
            origin: origin.clone(),
            descriptor: descriptor.clone(),
            tree: self.tree.clone(),
            admitted_at: self.admitted_at,
            checkpoint: self.note.clone(),
            rights: self.rights.clone(),
            unsettled: self.kept.iter().any(|kept| matches!(kept, Kept::Filled(_))),
            erased: self.erased.iter().map(|(index, left)| (*index, *left)).collect(),
            doubt: self.doubt.clone(),
        };
        Mirror::resume(resume, settings, now)
    }

    pub(crate) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// The root of the first `size` entries.
    pub(crate) fn root_of(&self, size: u64) -> Hash {
        let mut tree = Tree::new();
        self.leaves.iter().take(size as usize).for_each(|leaf| tree.push(leaf_hash(leaf)));
        tree.root()
    }

    /// Applies a page, or fails as a store may.
    pub(crate) fn store(&mut self, page: &VerifiedPage) -> Result<(), String> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err("the disk is full".to_owned());
        }
        assert_eq!(page.from, self.size(), "a page begins where the last one ended");
        self.doubt.clone_from(&page.doubt);
        for kept in self.kept.iter_mut().filter(|_| page.settles) {
            if let Kept::Filled(body) = kept {
                *kept = Kept::Whole(core::mem::take(body));
            }
        }
        page.ended.iter().for_each(|index| self.lose(*index));
        self.rights.clone_from(&page.rights);
        for entry in &page.entries {
            self.leaves.push(entry.leaf_data());
            self.tree.push(leaf_hash(&entry.leaf_data()));
            if let VerifiedEntry::Whole { header, entry } = entry {
                assert_eq!(entry.header(), Ok(header.clone()));
                assert!(header.admitted_at >= self.admitted_at, "admission times never go back");
                self.admitted_at = header.admitted_at;
                self.kept.push(Kept::Whole(entry.body.clone()));
                self.entries.push(Some(entry.clone()));
                if header.kind == EntryKind::Descriptor {
                    let next = owners::read(&entry.body, self.descriptor.as_ref());
                    self.descriptor = next.or(self.descriptor.take());
                }
            } else {
                self.kept.push(Kept::Hidden);
                self.entries.push(None);
                if let VerifiedEntry::Erased { remnant, .. } = entry {
                    self.erased.insert(self.kept.len() as u64 - 1, *remnant);
                    self.left.insert(self.kept.len() as u64 - 1, *remnant);
                }
            }
        }
        assert_eq!(
            (page.size, page.root),
            (self.tree.size(), self.tree.root()),
            "the page tells size and root with it"
        );
        if let Some(signed) = &page.checkpoint {
            assert_eq!((signed.checkpoint.size, signed.checkpoint.root), (page.size, page.root));
            self.note = Some(signed.note.clone());
            self.erased.clear();
            self.as_of = signed.as_of;
            self.sealed = self.leaves.len();
        }
        Ok(())
    }

    /// Gives up what no checkpoint covers.
    pub(crate) fn give_up_unshown(&mut self) {
        self.leaves.truncate(self.sealed);
        self.kept.truncate(self.sealed);
        self.entries.truncate(self.sealed);
        self.tree = Tree::new();
        self.leaves.iter().for_each(|leaf| self.tree.push(leaf_hash(leaf)));
        (self.descriptor, self.admitted_at) = (None, Timestamp::default());
        for entry in self.entries.iter().flatten() {
            let header = entry.header().expect("a header");
            self.admitted_at = header.admitted_at;
            if header.kind == EntryKind::Descriptor {
                let next = owners::read(&entry.body, self.descriptor.as_ref());
                self.descriptor = next.or(self.descriptor.take());
            }
        }
        let shown = self.sealed as u64;
        self.erased.retain(|index, _| *index < shown);
        self.left.retain(|index, _| *index < shown);
        self.doubt = self.doubt.take().filter(|doubt| doubt.from < shown);
    }

    fn lose(&mut self, index: u64) {
        let kept = &mut self.kept[index as usize];
        if let Kept::Whole(body) | Kept::Filled(body) = kept {
            *kept = Kept::Lost(core::mem::take(body));
        }
    }

    pub(crate) fn look(&self, survey: &Survey) -> Vec<Seen> {
        let meant = |index: &u64| survey.among.as_ref().is_none_or(|among| among.contains(index));
        let seen = |index: u64| Seen {
            index,
            leaf: self.leaves[index as usize],
            is_whole: matches!(self.kept[index as usize], Kept::Whole(_) | Kept::Filled(_)),
        };
        (survey.from..self.size()).filter(meant).map(seen).take(limits::FEED_ENTRIES).collect()
    }

    pub(crate) fn take(&mut self, fill: &Fill) -> Result<(), String> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err("the disk is full".to_owned());
        }
        for (index, left) in &fill.tested {
            let says_so = |entry: &Entry| match body::parse(&entry.body) {
                Ok(Body::Erasure(signed)) => signed.erasure.leaves() == Some((*index, *left)),
                _ => false,
            };
            if !self.entries.iter().flatten().any(says_so) {
                return Err(format!("nothing says that entry {index} was erased"));
            }
        }
        for (index, left) in fill.erased.iter().chain(&fill.tested) {
            self.erased.insert(*index, *left);
            self.left.insert(*index, *left);
        }
        for (index, _, entry) in &fill.entries {
            assert_eq!(entry.leaf_data(), self.leaves[*index as usize], "only what the home signed is filled in");
            self.kept[*index as usize] = Kept::Filled(entry.body.clone());
            self.entries[*index as usize] = Some(entry.clone());
            self.erased.remove(index);
            self.left.remove(index);
        }
        fill.lost.iter().for_each(|index| self.lose(*index));
        self.left_out.extend(fill.doubt.clone());
        Ok(())
    }

    /// What an entry is about, according to its body.
    pub(crate) fn about(&self, index: usize) -> usize {
        self.entries[index].as_ref().map_or(OWN, |entry| speech::about(&entry.body, index))
    }

    /// The store of a home, as its recovery reads it.
    pub(crate) fn of_home(home: &Home) -> Self {
        let mut memory = Self { leaves: home.leaves.clone(), note: Some(home.note.clone()), ..Self::default() };
        for entry in &home.entries {
            memory.tree.push(entry.leaf_hash());
            memory.kept.push(Kept::Whole(entry.body.clone()));
            memory.entries.push(Some(entry.clone()));
            memory.admitted_at = entry.header().expect("a header").admitted_at;
        }
        memory.descriptor = home.descriptors.last().map(|(_, descriptor)| descriptor.clone());
        memory.sealed = memory.leaves.len();
        memory
    }

    /// Indices of the entries that are shown, under the last checkpoint.
    pub(crate) fn shown(&self) -> impl Iterator<Item = usize> {
        let whole = |index: &usize| matches!(self.kept[*index], Kept::Whole(_));
        (0..self.sealed).filter(whole)
    }
}

impl Applier for Memory {
    async fn apply(&mut self, page: &Arc<VerifiedPage>) -> Result<(), String> {
        self.store(page)
    }

    async fn root_at(&mut self, size: u64) -> Result<Hash, String> {
        Ok(self.root_of(size))
    }

    async fn survey(&mut self, survey: &Survey) -> Result<Vec<Seen>, String> {
        Ok(self.look(survey))
    }

    async fn fill(&mut self, fill: &Fill) -> Result<(), String> {
        self.take(fill)
    }
}
