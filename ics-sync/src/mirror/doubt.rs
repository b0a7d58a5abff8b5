//! Tracks on whose word it rests that this mirror may not read an entry.
//!
//! It is proven that a leaf is in the log, but not that the policy hides from this mirror what it stands for. The home
//! decides that. Any other peer only claims it, and could withhold what the mirror may read, for instance the block of
//! a thing. So a mirror that can ask the home takes entries from others, but nothing that they say about its rights: it
//! keeps its former checkpoint, and asks the home about these entries again. A mirror whose operator knows no home
//! relies on the word of the peers that it has, and says so.

use std::collections::BTreeSet;

use ics_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Mirror;
use super::charter::Charter;
use super::listen::Listening;
use super::page::Held;
use super::stop::Trouble;
use crate::wire;

/// Names that are remembered.
const NAMES: usize = 16;

/// A peer, as the operator of this node describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// The key that the operator has given for it.
    pub key: Option<[u8; 32]>,
    /// Whether the transport proves that this peer answers. If so, it is the home if the descriptor in force gives the
    /// home this name or key.
    pub is_shown: bool,
}

/// Entries of which others than the home have said what this mirror may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// Index of the first; all later ones count as well.
    pub from: u64,
    /// Who has said so.
    pub by: BTreeSet<String>,
}

/// The peers, and which of them answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    all: Vec<Source>,
    asked: usize,
}

/// What the word of the answering peer is worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) name: &'a str,
    /// Whether it is the home.
    pub(super) is_home: bool,
    /// Whether the home can be asked.
    pub(super) knows_home: bool,
}

impl Sources {
    /// Whether somebody else can be asked than whoever answers.
    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    pub(super) fn word(&self, charter: &Charter) -> Word<'_> {
        let is_home = |source: &Source| charter.is_home(source);
        let asked = self.all.get(self.asked);
        Word {
            name: asked.map_or("a bundle brought by hand", |source| &source.name),
            is_home: asked.is_some_and(is_home),
            knows_home: self.all.iter().any(is_home),
        }
    }
}

impl Doubt {
    /// What is in doubt after a page from a peer that says what may be read of it. If that peer `decides` it, with
    /// other rights than before, it decides about everything that is held.
    pub(super) fn after(held: &Held, page: &wire::Page, decides: bool, word: Word<'_>) -> Option<Self> {
        if word.is_home || (decides && page.sight.is_none()) {
            return None;
        }
        let ended = page.sight.iter().flat_map(|sight| &sight.ended).copied();
        let begins = ended.chain([page.from]).min().unwrap_or(0);
        let may_lack = page.sight.as_ref().is_some_and(wire::Sight::may_lack);
        let said = if may_lack || (decides && held.has_other_rights(page)) { 0 } else { begins };
        Some(Self::since(held, said, word))
    }

    /// What is in doubt once one more peer has said what may be read from an index on.
    pub(super) fn since(held: &Held, said: u64, word: Word<'_>) -> Self {
        let Self { from, mut by } = held.doubt.clone().unwrap_or(Self { from: said, by: BTreeSet::new() });
        if by.len() < NAMES {
            by.insert(word.name.to_owned());
        }
        Self { from: from.min(said), by }
    }

    /// The names of those who said so, in words.
    #[must_use]
    pub fn names(&self) -> String {
        self.by.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl Mirror {
    /// Sets the peers of which one answers; until then, none is the home.
    #[must_use]
    pub fn among(mut self, sources: Vec<Source>) -> Self {
        self.sources = Sources { all: sources, asked: 0 };
        self
    }

    /// Sets which of its peers answers from now on, counted from 0. What one peer has begun to show is not taken as
    /// another's word if that one continues it; nor need another peer know the descriptors that the checkpoint of one
    /// requires, or those that only one has shown and under which the home has signed nothing, or lead to that
    /// checkpoint at all. News may get through from one and not from another.
    pub fn hears(&mut self, peer: usize) {
        if self.sources.asked != peer {
            self.break_off_review();
            self.aim_anew();
            (self.undecided, self.looks_late, self.listening) = (None, false, Listening::default());
            let known = [&self.reached, &self.target, &self.later].into_iter().flatten();
            let signed_under = known.map(|known| known.descriptor).max().unwrap_or_default();
            let pending = self.pending.as_mut().map(|(_, next)| next);
            self.held.iter_mut().chain(pending).for_each(|held| held.charter.forget_after(signed_under));
            self.sources.asked = peer;
        }
    }

    /// Waits for the home's word if it can be had; returns whether that is awaited.
    pub(super) fn awaits_home(&mut self, now: Timestamp) -> bool {
        let Some((held, doubt)) = self.held.as_ref().and_then(|held| Some((held, held.doubt.as_ref()?))) else {
            return false;
        };
        let Word { is_home, knows_home, .. } = self.sources.word(&held.charter);
        let trouble = Trouble::Unconfirmed { from: doubt.from, by: doubt.names() };
        if is_home {
            self.asks_rights = true;
            self.rest(now);
        } else if knows_home {
            self.fail(trouble, now);
        }
        knows_home
    }
}
