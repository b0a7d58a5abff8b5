//! What a mirror holds, and how a page of entries extends it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ics_core::log::checkpoint::Checkpoint;
use ics_core::log::entry::{Entry, EntryKind, Header};
use ics_core::log::merkle::{Tree, leaf_hash, verify_consistency};
use ics_core::log::{Hash, LeafData};
use ics_core::statement::body::{self, Body};
use ics_core::statement::{Remnant, StatementId};
use ics_core::time::Timestamp;

use super::awaited::Awaited;
use super::charter::{Charter, SignedCheckpoint};
use super::doubt::{Doubt, Word};
use super::stop::Stop;
use crate::wire::{self, Rights};

/// Entries that are proven to be in the home's log, directly after those that the mirror holds. Only a mirror makes
/// one, so a recipient need not check that again; signatures and policy they do check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedPage {
    /// Index of the first entry, which is also the number of entries held before.
    pub from: u64,
    /// The entries; empty if only a newer checkpoint of the same log is to be kept.
    pub entries: Vec<VerifiedEntry>,
    /// Number of entries including these.
    pub size: u64,
    /// Root of the tree including these.
    pub root: Hash,
    /// The home's checkpoint, if this page reaches it: from now on the newest that this node can serve.
    pub checkpoint: Option<SignedCheckpoint>,
    /// What this node may read from now on; absent if that is everything.
    pub rights: Option<Rights>,
    /// Whether a peer whose word decides has decided that: then what was filled in before takes effect.
    pub settles: bool,
    /// Indices of earlier entries about identities that this node may no longer read.
    pub ended: Vec<u64>,
    /// The part of it that from now on rests on the word of others than the home.
    pub doubt: Option<Doubt>,
}

/// An entry that is proven to be in the home's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedEntry {
    /// An entry that this mirror may see.
    Whole {
        /// Its header, decoded.
        header: Header,
        /// Everything that its leaf data covers.
        entry: Entry,
    },
    /// An entry that this mirror may not see.
    Hidden(LeafData),
    /// An entry whose body was erased.
    Erased {
        /// Its leaf data.
        leaf: LeafData,
        /// What the peer says about it. No signature covers that here; it is believed once the owners' erasure, later
        /// in the log, says the same.
        remnant: Remnant,
    },
}

impl VerifiedPage {
    /// One without entries, for what is said of those that are held.
    pub(super) fn dating(held: &Held, checkpoint: Option<SignedCheckpoint>) -> Self {
        let (size, root) = (held.tree.size(), held.tree.root());
        let (rights, doubt) = (held.rights.clone(), held.doubt.clone());
        Self {
            from: size,
            entries: Vec::new(),
            size,
            root,
            checkpoint,
            rights,
            settles: true,
            ended: Vec::new(),
            doubt,
        }
    }
}

impl VerifiedEntry {
    /// The entry's leaf data.
    #[must_use]
    pub fn leaf_data(&self) -> LeafData {
        match self {
            Self::Whole { entry, .. } => entry.leaf_data(),
            Self::Hidden(leaf) | Self::Erased { leaf, .. } => *leaf,
        }
    }
}

/// What a mirror holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) charter: Charter,
    pub(super) tree: Tree,
    /// Admission time of the last entry that could be seen.
    pub(super) admitted_at: Timestamp,
    /// What this node may read; absent if that is everything.
    pub(super) rights: Option<Rights>,
    /// What peers have said is left of erased statements, as far as no erasure in the log has confirmed it yet.
    pub(super) erased: Awaited,
    /// What the owners' erasures on the page that was read last say is left, by index, if anybody asks about that.
    pub(super) borne_out: Arc<BTreeMap<u64, Remnant>>,
    /// The entries of which others than the home have said whether they may be read.
    pub(super) doubt: Option<Doubt>,
    /// The checkpoint to which the last page is proven to lead, also if it is not reached yet: it shows that the home
    /// signed a log that begins with what is held. Absent until a page has come since this mirror was resumed.
    pub(super) proven_by: Option<SignedCheckpoint>,
}

impl Held {
    /// A statement that is said to be erased although no erasure up to here says so: the erasure is still to come, or
    /// the peer withholds the statement. A mirror that may not read everything cannot tell.
    pub(super) fn unerased(&self) -> Option<StatementId> {
        self.unerased_from(0)
    }

    /// As [`Held::unerased`], among the entries from an index on.
    fn unerased_from(&self, from: u64) -> Option<StatementId> {
        self.erased.any_from(from).filter(|_| self.rights.is_none())
    }

    /// Notes that each of the entries before an index was looked at once more. Those that are erased were compared with
    /// the log, whatever was said about them before.
    pub(super) fn has_looked(&mut self, upto: u64) {
        if self.rights.is_none() {
            self.erased.forget_before(upto);
        }
    }

    /// A statement that this page says was erased although an erasure on the same page says that something else was
    /// there: another statement, or one about another thing. Nothing of such a page is taken, since statements in
    /// between are judged by what the erased one was about.
    pub(super) fn belied(&self, page: &VerifiedPage) -> Option<StatementId> {
        let mut told = self.borne_out.range(page.from..);
        told.find_map(|(index, _)| self.erased.get(*index)).map(|left| left.statement)
    }

    /// Takes a page without what it says of this mirror's rights: they stay what they were, and what it hides is in doubt.
    pub(super) fn leave_rights(&mut self, page: &mut VerifiedPage, former: &Self) {
        self.rights.clone_from(&former.rights);
        if let Some(doubt) = &mut self.doubt {
            doubt.from = former.doubt.as_ref().map_or(page.from, |former| former.from.min(page.from));
        }
        (page.rights, page.doubt, page.settles) = (self.rights.clone(), self.doubt.clone(), false);
        page.ended.clear();
    }

    /// Whether somebody decides what may be read of a page: the home does, and whoever is asked where no home is known.
    /// Anybody may show all of it to whoever may read all.
    pub(super) fn is_decided(&self, page: &wire::Page, word: Word<'_>) -> bool {
        let is_plain = page.sight.is_none() && self.rights.is_none() && self.doubt.is_none();
        word.is_home || !word.knows_home || is_plain
    }

    /// Whether a page comes with different rights than this node had.
    pub(super) fn has_other_rights(&self, page: &wire::Page) -> bool {
        page.sight.as_ref().map(|sight| &sight.rights) != self.rights.as_ref()
    }

    /// Reads a page as the continuation, up to the checkpoint: returns what is then held, and the page for others to
    /// apply.
    ///
    /// The proof is checked first: only what the home signed may be held against the home. `looks_at_all` says that
    /// everything held is looked at once more before the page is applied.
    pub(super) fn extend(
        &self,
        page: wire::Page,
        target: &SignedCheckpoint,
        ours: Option<&SignedCheckpoint>,
        (word, looks_at_all): (Word<'_>, bool),
    ) -> Result<(Self, VerifiedPage), Stop> {
        let mut next = Self { borne_out: Arc::default(), ..self.clone() };
        next.grow(&page.entries)?;
        let Checkpoint { size, root, .. } = target.checkpoint;
        let proof: Vec<Hash> = page.proof.iter().map(|hash| Hash(hash.0)).collect();
        let from = self.tree.size();
        verify_consistency(next.tree.size(), &next.tree.root(), size, &root, &proof).map_err(|_| Stop::Unproven {
            from,
            size,
            ours: self.covered_by(ours).map(|known| known.note.clone()),
            theirs: target.note.clone(),
        })?;
        next.proven_by = Some(target.clone());
        let settles = self.is_decided(&page, word);
        next.doubt = Doubt::after(self, &page, settles, word);
        let sight = page.sight.filter(|_| settles);
        let (rights, ended) = sight.map_or_else(Default::default, |sight| (Some(sight.rights), sight.ended));
        let rights = if settles { rights } else { self.rights.clone() };
        next.rights.clone_from(&rights);
        let looks = looks_at_all || self.doubt.is_some();
        let entries = (from..).zip(page.entries).map(|(index, entry)| next.read(index, entry, target, looks));
        let entries = entries.collect::<Result<_, _>>()?;
        // What is withheld would never be asked for again if this counted as complete.
        let is_confirmed = next.unerased_from(if looks_at_all { from } else { 0 }).is_none();
        let is_all = next.tree.size() == size && settles && is_confirmed;
        let checkpoint = is_all.then(|| target.clone());
        let (size, root) = (next.tree.size(), next.tree.root());
        let page =
            VerifiedPage { from, entries, size, root, checkpoint, rights, ended, settles, doubt: next.doubt.clone() };
        Ok((next, page))
    }

    /// The checkpoint that proves that the home has signed all that is held, or else the one that was reached.
    fn covered_by<'a>(&'a self, reached: Option<&'a SignedCheckpoint>) -> Option<&'a SignedCheckpoint> {
        let covers = |known: &&SignedCheckpoint| known.checkpoint.size >= self.tree.size();
        reached.into_iter().chain(self.proven_by.as_ref()).find(covers).or(reached)
    }

    fn grow(&mut self, entries: &[wire::Entry]) -> Result<(), Stop> {
        for entry in entries {
            let leaf = entry.leaf_data();
            if self.tree.size() == 0 && leaf != self.charter.origin.entry0 {
                let found = format!("an entry 0 of {}", Hash(leaf));
                return Err(Stop::Origin { expected: self.charter.origin.clone(), found });
            }
            self.tree.push(leaf_hash(&leaf));
        }
        // Whoever applies the page makes and stores tiles with their own tree.
        drop(self.tree.take_full_tiles());
        Ok(())
    }

    /// Notes what an erasure says is left. One that the owners did not sign, or that was adopted, has no effect,
    /// whatever the home logs: it could otherwise hide anything by it.
    fn note_erasure(&mut self, header: &Header, body: &[u8]) {
        if header.source.is_none()
            && let Ok(Body::Erasure(signed)) = body::parse(body)
            && let Some((index, left)) = signed.erasure.leaves()
            && self.charter.is_by_owners(&signed)
        {
            self.erased.confirm(index, &left);
            Arc::make_mut(&mut self.borne_out).insert(index, left);
        }
    }

    /// Notes what a proven entry says about the log itself; what it says was erased only if that is of use, because it
    /// was said before or may be said when what is held is looked at.
    fn read(
        &mut self,
        index: u64,
        entry: wire::Entry,
        target: &SignedCheckpoint,
        looks: bool,
    ) -> Result<VerifiedEntry, Stop> {
        let entry = match entry {
            wire::Entry::Hidden(leaf) => return Ok(VerifiedEntry::Hidden(leaf)),
            wire::Entry::Erased { leaf, remnant } => {
                self.erased.insert(index, remnant);
                return Ok(VerifiedEntry::Erased { leaf, remnant });
            }
            wire::Entry::Whole(entry) => entry,
        };
        let header = entry.header().map_err(|problem| Stop::Header { index, problem })?;
        let (at, before) = (header.admitted_at, self.admitted_at);
        if at < before {
            return Err(Stop::Time { index, at, before });
        }
        self.admitted_at = at;
        match header.kind {
            EntryKind::Descriptor if index > 0 => self.charter.enact(&entry.body, target)?,
            EntryKind::Erasure if looks || !self.erased.is_empty() => self.note_erasure(&header, &entry.body),
            _ => {}
        }
        Ok(VerifiedEntry::Whole { header, entry })
    }
}
