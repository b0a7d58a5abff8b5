//! How a bundle answers the questions of a mirror.

use std::io::{Read, Seek};

use ics_core::limits;

use super::read::{Bundle, Section, Span};
use super::{BundleError, Earlier};
use crate::carried::{Carried, Wanted};
use crate::wire::{Again, Descriptors, Entry, Page, Shown, Sight};

impl<R: Read + Seek> Bundle<R> {
    /// What a section answers to a node that wants something of its domain.
    ///
    /// # Errors
    /// When the file can no longer be read, or has changed.
    pub fn answer(&mut self, section: usize, wanted: &Wanted) -> Result<Carried, BundleError> {
        let missing = |why: &str| Ok(Carried::Missing(why.to_owned()));
        let Some(found) = self.sections().get(section) else { return missing("the bundle has nothing of the domain") };
        match wanted {
            Wanted::Descriptors { from } => self.descriptors(section, *from),
            Wanted::Checkpoint => match &found.note {
                Some(note) => Ok(Carried::Checkpoint(note.clone())),
                None => missing("the bundle has no checkpoint of the domain"),
            },
            Wanted::Page { from, limit, until } if found.size() == Some(*until) => self.entries(section, *from, *limit),
            Wanted::Page { until, .. } => {
                let has = found.size().unwrap_or_default();
                let why =
                    format!("the bundle ends at {has} entries, but the node has heard of {until}: bring a newer one");
                Ok(Carried::Missing(why))
            }
            Wanted::Again(again) => self.again(section, again),
            Wanted::Nothing(_) => missing("the node wants nothing more"),
        }
    }

    fn descriptors(&mut self, section: usize, from: u64) -> Result<Carried, BundleError> {
        let places = self.sections().get(section).map(|section| section.descriptors.clone()).unwrap_or_default();
        for place in places {
            let Descriptors { from: first, entries } = self.json(place)?;
            let skipped = from.checked_sub(first).and_then(|skipped| usize::try_from(skipped).ok());
            if let Some(skipped) = skipped.filter(|skipped| *skipped < entries.len()) {
                let entries = entries.into_iter().skip(skipped).collect();
                return Ok(Carried::Descriptors(Descriptors { from, entries }));
            }
        }
        Ok(Carried::Descriptors(Descriptors { from, entries: Vec::new() }))
    }

    /// The rest of the page that holds an index.
    fn entries(&mut self, section: usize, from: u64, limit: usize) -> Result<Carried, BundleError> {
        let Some(found) = self.sections().get(section) else { return Ok(Carried::Missing(String::new())) };
        let begins = found.begins().unwrap_or_default();
        let is_last = |page: &&Span| page.end == from && found.size() == Some(from);
        let holds = |page: &&Span| page.from <= from && from < page.end;
        let page = found.pages.iter().find(holds).or_else(|| found.pages.iter().rfind(is_last));
        let Some(Span { place, .. }) = page.copied() else {
            let why = if from < begins {
                format!(
                    "the bundle begins at entry {begins}, but the node has only {from} entries: bring the earlier \
                     bundle that is missing, or a whole one"
                )
            } else {
                format!("the bundle has no entries from {from} on")
            };
            return Ok(Carried::Missing(why));
        };
        let page = cut(self.page(place)?, from);
        // The proof leads on from the end of the whole page.
        if page.entries.len() > limit {
            let why = format!("the bundle's page has {} entries, but {limit} were asked for", page.entries.len());
            return Ok(Carried::Missing(why));
        }
        Ok(Carried::Page(page))
    }

    /// Entries that were hidden from the reader on receipt, as far as the bundle shows them now.
    fn again(&mut self, section: usize, again: &Again) -> Result<Carried, BundleError> {
        let why = "what this node may read has changed, and the bundle has news only: ask for a whole one, made without `--since`";
        let missing = || Ok(Carried::Missing(why.to_owned()));
        let (mut entries, mut bytes, mut lost) = (Vec::new(), 0, Vec::new());
        for index in &again.hidden {
            let Some(entry) = self.entry(section, *index)? else { return missing() };
            bytes += entry.bytes();
            if bytes > limits::FEED_BYTES && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        for index in &again.held {
            match self.entry(section, *index)? {
                Some(Entry::Hidden(_)) => lost.push(*index),
                Some(_) => {}
                None => return missing(),
            }
        }
        let rights = self.sections().get(section).and_then(|section| section.rights.clone());
        let earlier = self.all_earlier(section)?;
        Ok(Carried::Shown(Shown { question: again.question, rights, entries, earlier, lost }))
    }

    fn entry(&mut self, section: usize, index: u64) -> Result<Option<Entry>, BundleError> {
        let Some(found) = self.sections().get(section) else { return Ok(None) };
        let Some((Span { place, from, .. }, is_page)) = found.span(index) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(last, _)| *last != place) {
            let entries = if is_page {
                (from..).zip(self.page(place)?.entries).collect()
            } else {
                let Earlier { indices, entries } = self.json(place)?;
                indices.into_iter().zip(entries).collect()
            };
            self.last = Some((place, entries));
        }
        let entries = self.last.as_ref().map(|(_, entries)| entries.as_slice()).unwrap_or_default();
        let found = entries.binary_search_by_key(&index, |(index, _)| *index).ok().and_then(|at| entries.get(at));
        Ok(found.map(|(_, entry)| entry.clone()))
    }

    /// Indices of the earlier entries in a bundle of news: all on which its pages rest.
    fn all_earlier(&mut self, section: usize) -> Result<Vec<u64>, BundleError> {
        let spans = self.sections().get(section).map(|section| section.earlier.clone()).unwrap_or_default();
        let mut indices = Vec::new();
        for span in spans {
            indices.extend(self.json::<Earlier>(span.place)?.indices);
            if indices.len() > limits::SIGHT_INDICES {
                return Err(BundleError::TooMany { what: "earlier entries", limit: limits::SIGHT_INDICES });
            }
        }
        Ok(indices)
    }
}

impl Section {
    /// The part with the entry at an index, and whether it is a page.
    fn span(&self, index: u64) -> Option<(Span, bool)> {
        let within = |spans: &[Span]| {
            let behind = spans.partition_point(|span| span.end <= index);
            spans.get(behind).copied().filter(|span| span.from <= index)
        };
        within(&self.pages).map(|span| (span, true)).or_else(|| within(&self.earlier).map(|span| (span, false)))
    }
}

/// A page without the entries before an index, for a reader who has them. For one who may read only a part, what the
/// rest of the page shows may rest on the entries removed.
fn cut(mut page: Page, from: u64) -> Page {
    let skipped = usize::try_from(from.saturating_sub(page.from)).unwrap_or(usize::MAX).min(page.entries.len());
    let before: Vec<Entry> = page.entries.drain(..skipped).collect();
    if let Some(sight) = &mut page.sight {
        for (index, entry) in (page.from..).zip(&before) {
            match entry {
                Entry::Whole(_) => sight.earlier.push(index),
                Entry::Hidden(_) => sight.ended.push(index),
                Entry::Erased { .. } => {}
            }
        }
    }
    page.from = page.from.saturating_add(skipped as u64);
    page.sight = page.sight.map(Sight::bounded);
    page
}
