//! A second look at what is held, before a page takes effect that changes what this mirror may read.
//!
//! Read rules hide whole identities. What they hide changes with descriptors, with grants, and with what the peer says
//! about this mirror; then earlier entries that came as bare leaves are asked for, each compared with its leaf, and
//! what may no longer be read is noted. Only then is the page applied, and with it everything that was filled in: so a
//! copy goes from one consistent state to the next, and its checkpoint never stands for an identity of which it has
//! only a part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ics_core::limits;
use ics_core::log::LeafData;
use ics_core::log::entry::{Entry, EntryKind, Header};
use ics_core::statement::Remnant;
use ics_core::time::Timestamp;

use super::Mirror;
use super::doubt::{Doubt, Word};
use super::page::{Held, VerifiedPage};
use super::stop::{Stop, Trouble};
use crate::pause::Pause;
use crate::wire::{self, Rights};

/// Milliseconds within which a peer that does not answer must be back for a look to go on where it was, if another one
/// can be asked.
const PATIENCE_MILLIS: u64 = 60_000;

/// The entries to be looked at again: the next of them, at most [`limits::FEED_ENTRIES`], in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The first index that counts.
    pub from: u64,
    /// Only these; if `None`, all that are held.
    pub among: Option<Arc<BTreeSet<u64>>>,
}

/// An entry as it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its index.
    pub index: u64,
    /// Its leaf data.
    pub leaf: LeafData,
    /// Whether header and body are here, and are believed to be what this node may read.
    pub is_whole: bool,
}

/// Hidden entries that have become readable, proven by their leaves, and held ones that no longer are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fill {
    /// The entries by index, in ascending order.
    pub entries: Vec<(u64, Header, Entry)>,
    /// Indices of entries that this mirror holds and may no longer read.
    pub lost: Vec<u64>,
    /// If the home shows here what others have said may not be read: who said so, and from which entry on.
    pub doubt: Option<Doubt>,
    /// What the peer says is left of erased statements, by index, where no more than the leaf is here. Nobody has signed
    /// that; it takes the place of the leaf, so that what was said before the erasure is judged as by everybody who came
    /// too late for the statement.
    pub erased: Vec<(u64, Remnant)>,
    /// More of the same. The fill is to be refused if not all of this is said by erasures that are held, filled in or
    /// not.
    pub tested: Vec<(u64, Remnant)>,
}

/// A look that is under way.
#[derive(Debug, Clone)]
pub(super) struct Review {
    /// What this mirror may read, as the peer said when it gave the page.
    rights: Option<Rights>,
    rest: Survey,
    /// What the home is asked about because others have said it.
    doubt: Option<Doubt>,
    /// Entries on which what was shown rests: they must be shown as well, or everything is looked at again.
    needed: BTreeSet<u64>,
    /// Entries held before the page.
    size: u64,
    /// Indices of the entries that the page hides.
    hidden: BTreeSet<u64>,
    question: u64,
    asked: Vec<Seen>,
    /// Since its last answer, how often the peer was asked in vain, and until when it may be.
    cut_off: Option<(u32, Pause)>,
    /// Whether everything that is held is looked at.
    is_full: bool,
    /// The first entry that was said to be erased, until that is compared with the log.
    gone_from: Option<u64>,
    /// During the pass that does so: what the erasures on the page that waits say themselves is left.
    told: Option<Arc<BTreeMap<u64, Remnant>>>,
    fill: Option<Arc<Fill>>,
}

/// The next step of a look.
pub(super) enum Step {
    Survey(Survey),
    Ask(wire::Again),
    Fill(Arc<Fill>),
}

impl Review {
    /// The look that a page makes necessary, if any, when it comes from a peer whose word decides; `question` is a
    /// number with which no earlier look began.
    ///
    /// If something was filled in that has not taken effect, the look that it came from was broken off, and it is not
    /// known what is missing.
    pub(super) fn of(page: &wire::Page, held: &Held, unsettled: bool, word: Word<'_>, question: u64) -> Option<Self> {
        let from = held.tree.size();
        let sight = page.sight.as_ref();
        let rights = sight.map(|sight| sight.rights.clone());
        if from == 0 || !held.is_decided(page, word) {
            return None;
        }
        let earlier = sight.map(|sight| sight.earlier.iter().copied().filter(|index| *index < from).collect());
        let mut needed: BTreeSet<u64> = earlier.unwrap_or_default();
        let doubt = held.doubt.clone().filter(|_| word.is_home);
        // Whoever shows all answers for what others have hidden as well: after him nobody knows any more that they did.
        let ends_doubt = |_: &&Doubt| word.is_home || sight.is_none();
        let doubted = held.doubt.as_ref().filter(ends_doubt).map(|doubt| doubt.from);
        let looks_at_all = unsettled || held.has_other_rights(page) || sight.is_some_and(wire::Sight::may_lack);
        let rest = match (looks_at_all, doubted) {
            (true, _) => Survey { from: 0, among: None },
            (false, Some(from)) => Survey { from, among: None },
            (false, None) if needed.is_empty() => return None,
            (false, None) => Survey { from: 0, among: Some(Arc::new(core::mem::take(&mut needed))) },
        };
        let is_hidden = |(_, entry): &(u64, &wire::Entry)| matches!(entry, wire::Entry::Hidden(_));
        let hidden = (from..).zip(&page.entries).filter(is_hidden).map(|(index, _)| index).collect();
        let is_full = rest.among.is_none() && rest.from == 0;
        Some(Self {
            rights,
            rest,
            doubt,
            needed,
            size: from,
            hidden,
            question,
            asked: Vec::new(),
            cut_off: None,
            is_full,
            gone_from: None,
            told: None,
            fill: None,
        })
    }

    /// Whether everything that is held is looked at.
    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn step(&self) -> Step {
        match &self.fill {
            Some(fill) => Step::Fill(Arc::clone(fill)),
            None if self.asked.is_empty() => Step::Survey(self.rest.clone()),
            None => Step::Ask(self.again()),
        }
    }

    fn again(&self) -> wire::Again {
        let which =
            |wanted| self.asked.iter().filter(move |seen| self.wants(seen) == wanted).map(|seen| seen.index).collect();
        wire::Again { question: self.question, hidden: which(true), held: which(false), until: None }
    }

    /// Whether an entry is asked for: if only its leaf is here, or if it came from others than the home, because only
    /// with the entry does the home say on which others it rests.
    fn wants(&self, seen: &Seen) -> bool {
        !seen.is_whole || (self.is_doubted(seen.index) && self.rest.among.is_none())
    }

    fn is_doubted(&self, index: u64) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| doubt.from <= index)
    }

    /// Takes what is held; false if nothing is left to be looked at. `told` is what the erasures on the page that waits
    /// say is left; `most` is how many entries are asked for at once.
    fn surveyed(&mut self, seen: Vec<Seen>, told: &Arc<BTreeMap<u64, Remnant>>, most: usize) -> bool {
        let Some(last) = seen.last() else { return self.goes_on(told) };
        // Entries that were named and are here need no question; only a change of rights can take them away. The same
        // holds when the only question left is what was erased.
        let is_of_missing = self.rest.among.is_some() || self.told.is_some();
        self.rest.from = last.index.saturating_add(1);
        self.question = self.question.wrapping_add(1);
        let mut asked = seen.into_iter().filter(|seen| !(is_of_missing && seen.is_whole));
        self.asked = asked.by_ref().take(most).collect();
        if let Some(next) = asked.next() {
            self.rest.from = next.index;
        }
        true
    }

    /// Goes back to what was asked last, because it was not answered.
    pub(super) fn goes_back(&mut self, now: Timestamp) {
        let (times, patience) = self.cut_off.unwrap_or((0, Pause::of(now, PATIENCE_MILLIS)));
        self.cut_off = Some((times.saturating_add(1), patience));
        if let Some(first) = self.asked.first() {
            self.rest.from = first.index;
        }
        self.asked = Vec::new();
    }

    /// Whether the peer may be back soon.
    pub(super) fn is_patient(&self, now: Timestamp) -> bool {
        self.cut_off.is_none_or(|(_, patience)| patience.until(now).is_some())
    }

    /// Notes that the peer has answered; returns how often it was asked in vain before.
    fn comes_back(&mut self) -> u32 {
        self.cut_off.take().map_or(0, |(times, _)| times)
    }

    /// Whether the peer is being asked.
    pub(super) fn is_asking(&self) -> bool {
        self.fill.is_none() && !self.asked.is_empty()
    }

    /// Continues after one pass through what is held: with the entries that are needed besides, and then, if anything
    /// was said to be erased, with another pass from there on that compares this with the log. Otherwise a peer that
    /// left something out could call it erased when asked for it. By then everything that the peer shows is here,
    /// erasures included, so nothing has to be remembered of what it called erased. A mirror that may not read
    /// everything cannot tell, because the erasure may be hidden from it.
    fn goes_on(&mut self, told: &Arc<BTreeMap<u64, Remnant>>) -> bool {
        let needed = core::mem::take(&mut self.needed);
        if !needed.is_empty() {
            self.rest = Survey { from: 0, among: Some(Arc::new(needed)) };
            return true;
        }
        let Some(from) = self.gone_from.take().filter(|_| self.rights.is_none()) else { return false };
        self.told = Some(Arc::clone(told));
        self.rest = Survey { from, among: None };
        true
    }

    /// Checks that an answer fits the question, and says no less than the peer said when it gave the page.
    fn check(&self, shown: &wire::Shown, again: &wire::Again) -> Result<(), Refused> {
        if shown.question != self.question {
            return Err(Trouble::NotAsked("entries in answer to another question".to_owned()).into());
        }
        if shown.rights != self.rights {
            return Err(Trouble::Failure("what this node may read has changed meanwhile".to_owned()).into());
        }
        if shown.entries.len() > again.hidden.len() || (shown.entries.is_empty() && !again.hidden.is_empty()) {
            let what = format!("{} entries, where {} were hidden", shown.entries.len(), again.hidden.len());
            return Err(Trouble::NotAsked(what).into());
        }
        if let Some(index) = shown.lost.iter().find(|index| again.held.binary_search(index).is_err()) {
            return Err(Trouble::NotAsked(format!("that entry {index} may not be read")).into());
        }
        // Who may read everything may go on reading what he holds.
        if let Some(index) = shown.lost.first().filter(|_| self.rights.is_none()) {
            return Err(Trouble::Withheld { from: *index, size: self.size }.into());
        }
        if let Some(index) = shown.earlier.iter().find(|index| self.hidden.contains(index)) {
            let words = format!("entry {index} was hidden, and something that rests on it is shown now");
            return Err(Trouble::Failure(words).into());
        }
        Ok(())
    }

    /// Takes the peer's answer.
    pub(super) fn shown(&mut self, shown: wire::Shown) -> Result<(), Refused> {
        let again = self.again();
        self.check(&shown, &again)?;
        // What did not fit comes next.
        if let Some(next) = again.hidden.get(shown.entries.len()) {
            self.rest.from = *next;
        }
        // What is hidden or gone rests on nothing; if entries named for it were asked for, a peer could go on for ever. A
        // mirror that may read everything is shown all that is missing anyway.
        let is_any_shown = shown.entries.iter().any(|entry| matches!(entry, wire::Entry::Whole(_)));
        let names_any = is_any_shown && self.rights.is_some();
        let may_lack = names_any && shown.earlier.len() >= limits::SIGHT_INDICES;
        if names_any {
            self.needed.extend(shown.earlier.into_iter().filter(|index| *index < self.size));
        }
        let (mut entries, mut lost) = (Vec::with_capacity(shown.entries.len()), shown.lost);
        let (mut erased, mut tested) = (Vec::new(), Vec::new());
        for (seen, entry) in self.asked.iter().filter(|seen| self.wants(seen)).zip(shown.entries) {
            match revealed(*seen, entry)? {
                Revealed::Now(index, header, entry) if !seen.is_whole => entries.push((index, *header, entry)),
                Revealed::Not if self.rest.among.is_some() => {
                    let words = format!("entry {} is hidden, and something that rests on it was shown", seen.index);
                    return Err(Trouble::Failure(words).into());
                }
                // It would never be asked for again.
                Revealed::Not if self.rights.is_none() => {
                    return Err(Trouble::Withheld { from: seen.index, size: self.size }.into());
                }
                Revealed::Not if seen.is_whole => lost.push(seen.index),
                Revealed::Gone(left) if !seen.is_whole => erased.push((seen.index, left)),
                Revealed::Now(..) | Revealed::Not | Revealed::Gone(_) => {}
            }
        }
        self.asked = Vec::new();
        match &self.told {
            // The page that waits bears some of it out. That is noted all the same: the peer may have said something
            // else before.
            Some(told) => {
                (erased, tested) = erased.into_iter().partition(|(index, left)| told.get(index) == Some(left));
            }
            None => self.gone_from = self.gone_from.into_iter().chain(erased.first().map(|(index, _)| *index)).min(),
        }
        if !(entries.is_empty() && lost.is_empty() && erased.is_empty() && tested.is_empty()) {
            lost.sort_unstable();
            let doubt = self.doubt.clone().filter(|_| entries.iter().any(|(index, ..)| self.is_doubted(*index)));
            self.fill = Some(Arc::new(Fill { entries, lost, doubt, erased, tested }));
        }
        if may_lack && !self.is_full {
            (self.rest, self.is_full) = (Survey { from: 0, among: None }, true);
        }
        Ok(())
    }

    /// Whether what was said to be erased is being compared with the log.
    pub(super) fn is_testing_erased(&self) -> bool {
        self.fill.as_ref().is_some_and(|fill| !fill.tested.is_empty())
    }

    /// The fill is stored.
    pub(super) fn filled(&mut self) {
        self.fill = None;
    }
}

/// Why an answer is not accepted.
pub(super) enum Refused {
    Stop(Stop),
    Trouble(Trouble),
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// What has become of an entry that was hidden.
enum Revealed {
    Now(u64, Box<Header>, Entry),
    Not,
    /// There is nothing left to be shown but this; the owners' erasure says what stays.
    Gone(Remnant),
}

/// An entry that was hidden, if it is shown now; it must match its leaf in the home's log.
fn revealed(seen: Seen, entry: wire::Entry) -> Result<Revealed, Refused> {
    let index = seen.index;
    if entry.leaf_data() != seen.leaf {
        let words = format!("the peer's entry {index} is not the one that the home signed");
        return Err(Trouble::Failure(words).into());
    }
    match entry {
        wire::Entry::Hidden(_) => Ok(Revealed::Not),
        wire::Entry::Erased { remnant, .. } => Ok(Revealed::Gone(remnant)),
        wire::Entry::Whole(entry) => match entry.header() {
            // These are never hidden, and what came after was judged without it.
            Ok(header) if !seen.is_whole && matches!(header.kind, EntryKind::Descriptor | EntryKind::Certificate) => {
                Err(Refused::Stop(Stop::KeptBack { index, kind: header.kind }))
            }
            Ok(header) => Ok(Revealed::Now(index, Box::new(header), entry)),
            Err(problem) => Err(Refused::Stop(Stop::Header { index, problem })),
        },
    }
}

impl Mirror {
    /// Takes a page without entries, for what it says about this mirror's rights.
    pub(super) fn handle_rights(&mut self, page: wire::Page, now: Timestamp) {
        let Some(held) = self.held.as_ref().filter(|held| page.entries.is_empty() && page.from == held.tree.size())
        else {
            return self.not_asked(format!("entries from {} on", page.from), now);
        };
        self.asks_rights = false;
        let word = self.sources.word(&held.charter);
        let review = Review::of(&page, held, self.unsettled, word, super::question(page.from, now));
        if !held.is_decided(&page, word) && (self.unsettled || held.has_other_rights(&page)) {
            let trouble = Trouble::Unconfirmed { from: held.tree.size(), by: word.name.to_owned() };
            return self.fail(trouble, now);
        }
        if page.sight.is_some() && !word.is_home && held.charter.is_public() {
            return self.fail(Trouble::Public { size: page.size }, now);
        }
        if review.is_none() {
            return self.rest(now);
        }
        let doubt = Doubt::after(held, &page, true, word);
        let rights = page.sight.map(|sight| sight.rights);
        let next = Held { rights, doubt, borne_out: Arc::default(), ..held.clone() };
        let checkpoint = self.reached.clone().filter(|reached| reached.checkpoint.size == next.tree.size());
        let page = VerifiedPage::dating(&next, checkpoint);
        self.pending = Some((Arc::new(page), next));
        (self.review, self.pause) = (review, Pause::default());
    }

    /// Abandons a look in progress: what was filled in so far waits for the next page that takes effect.
    pub(super) fn break_off_review(&mut self) {
        if self.review.take().is_some() {
            self.pending = None;
            self.asks_rights = self.target.is_none();
        }
    }

    /// Takes the report that nothing in the log says of an entry that it was erased, as the peer does. After a page
    /// that leads to no checkpoint the erasure may still come, so the look waits for the page that leads to one. After
    /// any other page the mirror waits for another checkpoint or peer.
    pub(super) fn is_not_erased(&mut self, what: &str, now: Timestamp) {
        self.looks_late = self.looks_later();
        if !self.looks_late {
            self.fail(Trouble::Failure(what.to_owned()), now);
            self.asks_rights = false;
        }
    }

    /// Puts off the look before the page in hand, if that page leads to no checkpoint. The page is taken without what it
    /// says about this mirror's rights: nothing that was filled in takes effect, and everything is looked at again
    /// later. If this mirror could not read everything so far, the entries of the page rest on the peer's word, because
    /// what the peer called erased may belong to them.
    pub(super) fn looks_later(&mut self) -> bool {
        let (Some((page, next)), Some(held)) = (&mut self.pending, &self.held) else { return false };
        if page.checkpoint.is_some() || page.entries.is_empty() || page.rights.is_some() {
            return false;
        }
        let word = self.sources.word(&held.charter);
        let is_part = held.rights.is_some() && !word.is_home;
        let doubt = if is_part { Some(Doubt::since(held, page.from, word)) } else { held.doubt.clone() };
        let page = Arc::make_mut(page);
        (page.rights, page.doubt, page.settles) = (held.rights.clone(), doubt.clone(), false);
        (next.rights, next.doubt) = (held.rights.clone(), doubt);
        self.review = None;
        true
    }

    /// Takes what is held of the entries that [`super::Action::Survey`] asks about, in ascending order; none when there are no
    /// more.
    pub fn handle_surveyed(&mut self, seen: Vec<Seen>) {
        let most = self.portion.entries();
        let (Some(review), Some((page, next))) = (&mut self.review, &mut self.pending) else { return };
        if review.surveyed(seen, &next.borne_out, most) {
            return;
        }
        if review.is_full() {
            next.has_looked(page.from);
        }
        self.review = None;
    }

    /// Takes the peer's answer to [`super::Action::FetchAgain`].
    pub fn handle_shown(&mut self, shown: wire::Shown, now: Timestamp) {
        let asks = matches!(self.review.as_ref().map(Review::step), Some(Step::Ask(_)));
        let Some(review) = self.review.as_mut().filter(|_| asks) else { return };
        match review.shown(shown) {
            Ok(()) => {
                let times = review.comes_back();
                if times > 0 {
                    (self.failures, self.trouble) = (self.failures.saturating_sub(times), None);
                }
                self.portion = self.portion.after_success();
            }
            Err(Refused::Stop(stop)) => self.stopped = Some(stop),
            Err(Refused::Trouble(trouble)) => self.fail(trouble, now),
        }
    }

    /// Takes the report that what [`super::Action::Fill`] brings is durably stored. It takes effect with the page.
    pub fn handle_filled(&mut self) {
        if let Some(review) = &mut self.review {
            if let (Some(fill), Some((_, next))) = (&review.fill, &mut self.pending) {
                let tested = fill.tested.iter().map(|(index, _)| *index);
                fill.entries.iter().map(|(index, ..)| *index).chain(tested).for_each(|index| next.erased.remove(index));
            }
            review.filled();
            self.unsettled = true;
        }
    }
}
