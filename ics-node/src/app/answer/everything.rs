//! Lists everything that a domain mentions, a page at a time.
//!
//! First come the things that it introduces, then all others: what other domains have introduced is also mentioned when
//! somebody approves, labels or blocks it here. Nearly all statements are about introduced things, so the rest is
//! searched only after the first part has ended, and a domain that introduces all its things is listed quickly.

use ics_core::record::{Logged, Posting, Record};
use ics_core::statement::openpgp_key_of;
use ics_core::vocabulary::Act;

use super::filter::Filter;
use super::list::{Found, start_after};
use super::moments::Moment;
use super::read::Sight;
use crate::app::entries::{is_spoken_of_before, restore};
use crate::app::{App, AppError, Reader};

/// Added to a place in the log once a listing has reached the part that nobody introduces. No log is that long, and
/// JSON readers keep numbers of this size exact.
const REST: u64 = 1 << 52;

/// Entries that may be the first to mention some identity, whether or not anybody may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mentions {
    /// The indices of the entries, and the ids of the identities that they are about: see
    /// [`crate::app::Then::is_found_at`].
    pub found: Vec<(u64, String)>,
    /// Where to continue, if there may be more.
    pub next: Option<u64>,
}

impl App {
    /// The records of one page of everything that a domain mentions.
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
        let mut page = Found::default();
        if !is_rest {
            page = self.page_by(reader, sight, &Filter::introduced(), after, limit)?;
            if page.next.is_some() {
                return Ok(page);
            }
        }
        // A full page has a next one only if there is more that its reader may read: this look-up finds out.
        let left = limit.saturating_sub(page.records.len());
        let rest = self.page_by(reader, sight, &Filter::rest(), after.filter(|_| is_rest), left)?;
        page.records.extend(rest.records);
        page.looked += rest.looked;
        page.next = rest.next.map(rest_from);
        Ok(page)
    }

    /// The first `most` records introduced after a place, in as many look-ups as that takes.
    pub(super) fn first_introduced(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        mut after: Option<u64>,
        most: usize,
    ) -> Result<Vec<Record>, AppError> {
        let (filter, mut records) = (Filter::introduced(), Vec::new());
        while records.len() < most {
            let range = start_after(after)..sight.seal.size;
            let found = self.found_by(reader, sight, &filter, range, most - records.len())?;
            records.extend(found.records);
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        Ok(records)
    }

    /// The entries by which everything that a domain mentions at a moment is found, from a place on; 0 is the start.
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
            // The id of a thing with a key follows from its key packet; others need the whole statement.
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

/// The postings of statements that introduce an identity.
pub(super) fn introducing() -> Vec<Vec<Posting>> {
    vec![vec![Posting::Act(Act::Identity)]]
}

/// The postings of statements about an identity that do not introduce it.
pub(super) fn not_introducing() -> Vec<Vec<Posting>> {
    Act::ALL.iter().filter(|act| **act != Act::Identity).map(|act| vec![Posting::Act(*act)]).collect()
}

/// Whether a listing has reached the part that nobody introduces, and where it is in the log.
const fn place(cursor: u64) -> (bool, u64) {
    match cursor.checked_sub(REST) {
        Some(index) => (true, index),
        None => (false, cursor),
    }
}

const fn rest_from(index: u64) -> u64 {
    index.saturating_add(REST)
}
