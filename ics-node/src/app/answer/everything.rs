//! Lists everything that a domain speaks of, a page at a time.
//!
//! First comes what it introduces, and then all else: what others have introduced is spoken of too, by whoever approves,
//! labels or blocks it. Nearly all that is said is about what was introduced, so it is looked through only when the former
//! has come to its end, and a domain that introduces all its things lists as fast as if there were nothing else.

use ics_core::record::{Logged, Posting, Record};
use ics_core::statement::openpgp_key_of;
use ics_core::vocabulary::Act;

use super::list::{Filter, Found};
use super::moments::Moment;
use super::read::Sight;
use crate::app::entries::{is_spoken_of_before, restore};
use crate::app::{App, AppError, Reader};

/// What is added to a place in the log once a listing goes through what nobody introduces: no log is so long, and whoever
/// reads JSON has such numbers whole.
const REST: u64 = 1 << 52;

/// What may be the first that is said of somebody, whether or not anybody may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mentions {
    /// The places of the entries, and the ids of whom they are about: see [`crate::app::Then::is_found_at`].
    pub found: Vec<(u64, String)>,
    /// Where to go on, if there may be more.
    pub next: Option<u64>,
}

impl App {
    /// The records of a page of everything that a domain speaks of.
    pub(in crate::app) fn everything(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Found, AppError> {
        let (is_rest, after) = after.map_or((false, None), |after| {
            let (is_rest, after) = place(after);
            (is_rest, Some(after))
        });
        let mut page = Found { records: Vec::new(), next: None, looked: 0 };
        if !is_rest {
            page = self.found_by(reader, sight, &Filter::introduced(), after, limit)?;
            if page.next.is_some() {
                return Ok(page);
            }
        }
        // A full page has a next one only for what its reader may read: that is looked for here.
        let left = limit.saturating_sub(page.records.len());
        let rest = self.found_by(reader, sight, &Filter::rest(), after.filter(|_| is_rest), left)?;
        page.records.extend(rest.records);
        page.looked += rest.looked;
        page.next = rest.next.map(rest_from);
        Ok(page)
    }

    /// The first `most` records that are introduced behind a place, through as many looks as it takes.
    pub(super) fn first_introduced(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        mut after: Option<u64>,
        most: usize,
    ) -> Result<Vec<Record>, AppError> {
        let (filter, mut records) = (Filter::introduced(), Vec::new());
        while records.len() < most {
            let found = self.found_by(reader, sight, &filter, after, most - records.len())?;
            records.extend(found.records);
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        Ok(records)
    }

    /// By what everything is found that a domain speaks of at a moment, from a place on; 0 is the first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn mentions(&self, moment: &Moment, from: u64, limit: usize) -> Result<Mentions, AppError> {
        let (is_rest, start) = place(from);
        let (number, size) = (moment.number_here(), moment.size());
        let alternatives = if is_rest { not_introducing() } else { introducing() };
        let (indices, end) = self.spoken(number, &alternatives, start..size, limit)?;
        let log = self.log_then(moment).snapshot;
        let mut found = Vec::with_capacity(indices.len());
        for entry in self.store().entries_at(number, &indices)? {
            if is_rest {
                let statement = restore(moment.rules(), &entry)?;
                if let Some(statement) = statement
                    && !is_spoken_of_before(&log, moment.rules(), &statement)?
                {
                    found.push((entry.index, statement.subject_id().to_string()));
                }
                continue;
            }
            // Who has a key is known by its packet; the rest is read with all that is said of him.
            let key = entry.content.as_ref().and_then(|content| openpgp_key_of(&content.body));
            let id = match key {
                Some(key) => Some(key.to_string()),
                None => restore(moment.rules(), &entry)?.map(|statement| statement.subject_id().to_string()),
            };
            found.extend(id.map(|id| (entry.index, id)));
        }
        let next = match (is_rest, end < size) {
            (false, true) => Some(end),
            (false, false) => Some(rest_from(0)),
            (true, true) => Some(rest_from(end)),
            (true, false) => None,
        };
        Ok(Mentions { found, next })
    }
}

pub(super) fn is_introduction(statement: &Logged) -> bool {
    statement.claims().act == Act::Identity
}

/// What introduces somebody.
pub(super) fn introducing() -> Vec<Vec<Posting>> {
    vec![vec![Posting::Act(Act::Identity)]]
}

/// What is said of somebody without introducing him.
pub(super) fn not_introducing() -> Vec<Vec<Posting>> {
    Act::ALL.iter().filter(|act| **act != Act::Identity).map(|act| vec![Posting::Act(*act)]).collect()
}

/// Whether a listing goes through what nobody introduces, and where in the log.
const fn place(cursor: u64) -> (bool, u64) {
    match cursor.checked_sub(REST) {
        Some(index) => (true, index),
        None => (false, cursor),
    }
}

const fn rest_from(index: u64) -> u64 {
    index.saturating_add(REST)
}
