//! Listings and search, a page at a time.

use core::ops::Range;
use std::collections::BTreeSet;

use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::record::{Digest, Logged, Posting, Record};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, StatusName};

use super::everything::is_introduction;
use super::filter::{Filter, SAID_OF_GROUPS, Software};
use super::read::Sight;
use crate::api::problem::Code;
use crate::api::{IdentityPage, IdentitySummary, ListQuery};
use crate::app::entries::{about, is_spoken_of_before, keys, restore};
use crate::app::{App, AppError, Reader};
use crate::store::DomainNumber;

/// How many items a page has by default.
const DEFAULT_ITEMS: usize = 100;
/// How many entries are looked at for one page; it may then be short or even empty, and still have a next one.
const ENTRIES_PER_PAGE: usize = 4 * limits::PAGE_ITEMS;
/// How many entries of the log, whatever they say, one page covers for a reader who may not see all of them.
const STRETCH: u64 = ENTRIES_PER_PAGE as u64;
/// The least number of entries that are read at once.
const ENTRIES_AT_ONCE: usize = 50;
/// How many times at most the index is asked for the newest entries.
const LOOKS_FOR_NEWEST: usize = 12;
/// Within a range of this many entries the index surely returns all that it finds: it breaks off after more than 1024
/// that wait in memory. The range is extended where few are found.
const FIRST_SPAN: u64 = 1_000;
/// How many entries are looked at for each of the newest identities: most may mention the same ones again, or hidden
/// ones.
const ENTRIES_FOR_EACH: usize = 20;
/// For how many pieces of software with a given status the devices running them are searched.
const SOFTWARE_PER_PAGE: usize = 64;

/// The result of one look-up in the index.
#[derive(Default)]
pub(in crate::app) struct Found {
    pub(in crate::app) records: Vec<Record>,
    /// The `after` of the next look-up, if there may be more.
    pub(in crate::app) next: Option<u64>,
    /// Whether it ended because there is more than was asked for.
    is_full: bool,
    /// How many entries were looked at.
    pub(in crate::app) looked: usize,
}

/// A page of a listing.
pub(super) struct Page {
    pub(super) records: Vec<Record>,
    /// The `after` of the next page, if there may be more.
    pub(super) next: Option<u64>,
    /// Whether things may be missing because something was erased and what is left of it is not shown yet.
    pub(super) cut_short: bool,
}

/// When, and at which entry, a log first mentioned an identity in the way asked for: the later, the newer.
pub(in crate::app) type Since = (Timestamp, u64);

impl App {
    /// A page of a domain's identities, in the order in which the log first mentions them in the way asked for. If all
    /// are asked for, those that the domain introduces come first.
    ///
    /// # Errors
    /// When the domain is not held here, or a filter is malformed.
    pub fn list(&self, reader: Reader, domain: &DomainName, query: &ListQuery) -> Result<IdentityPage, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let Page { records, next, cut_short } = self.page(reader, &sight, query)?;
        let items = records.iter().map(|record| summary_of(record, query.label.as_deref())).collect();
        Ok(IdentityPage { as_of: self.as_of(&sight), items, next, cut_short })
    }

    /// The records of a page.
    pub(super) fn page(&self, reader: Reader, sight: &Sight<'_>, query: &ListQuery) -> Result<Page, AppError> {
        let limit = page_items(query.limit)?;
        let is_all = ListQuery { after: None, limit: None, ..query.clone() } == ListQuery::default();
        let (found, lacks_software) = if is_all {
            (self.everything(reader, sight, query.after, limit)?, false)
        } else {
            let (filter, lacks_software) = self.filter(reader, sight, query)?;
            (self.page_by(reader, sight, &filter, query.after, limit)?, lacks_software)
        };
        let cut_short = lacks_software || self.may_miss(reader, sight)?;
        Ok(Page { records: found.records, next: found.next, cut_short })
    }

    /// The matching identities and since when each matches, searched from the last entry backwards: those found include
    /// the `most` newest ones, if there are as many. The flag says whether there may be more because the search was cut
    /// short; hidden identities count towards that.
    pub(in crate::app) fn newest(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        query: &ListQuery,
        most: usize,
    ) -> Result<(Vec<(IdentityId, Since)>, bool), AppError> {
        let (filter, _) = self.filter(reader, sight, query)?;
        let (mut newest, mut seen, mut looked) = (Vec::new(), BTreeSet::new(), 0);
        let (mut end, mut span) = (sight.seal.size, FIRST_SPAN);
        for _ in 0..LOOKS_FOR_NEWEST {
            let start = end.saturating_sub(span);
            let (indices, reached) = self.search(sight, &filter, start..end)?;
            if reached < end {
                // A full search returns the first of many, but the last ones are wanted.
                span = FIRST_SPAN;
                continue;
            }
            for indices in indices.rchunks(most.max(1)) {
                if looked >= most.saturating_mul(ENTRIES_FOR_EACH) {
                    return Ok((newest, true));
                }
                looked += indices.len();
                for entry in self.store().entries_at(sight.hosted.number, indices)? {
                    let is_new = |it: &Logged| filter.fits_statement(it) && seen.insert(it.subject_id());
                    if let Some(statement) = restore(&sight.domain, &entry)?.filter(is_new) {
                        newest.extend(self.since(reader, sight, &filter, &statement.subject_id())?);
                    }
                }
                // An identity that was merely mentioned again is older than that, so others before this may be newer.
                let first = indices.first().copied().unwrap_or(start);
                if newest.iter().filter(|(_, (_, since))| *since >= first).count() >= most {
                    return Ok((newest, false));
                }
            }
            if start == 0 {
                return Ok((newest, false));
            }
            (end, span) = (start, span.saturating_mul(8));
        }
        Ok((newest, true))
    }

    /// The filter of a query, and whether it may lack software for which it should look. In a domain where the reader
    /// may read nothing, it finds nothing.
    fn filter(&self, reader: Reader, sight: &Sight<'_>, query: &ListQuery) -> Result<(Filter, bool), AppError> {
        let is_open = self.may_read_any(reader, &sight.domain);
        let (running, lacks_software) = self.running(reader, query)?;
        let filter = Filter::read(query, sight, is_open, running, self.members(reader, query)?)?;
        Ok((filter, lacks_software))
    }

    /// The software that a query asks for, and whether some may be missing: see [`Page::cut_short`]. Any domain here
    /// may have given it the status.
    fn running(&self, reader: Reader, query: &ListQuery) -> Result<(Option<Software>, bool), AppError> {
        let Some(runs) = query.runs.as_deref() else { return Ok((None, false)) };
        if let Ok(digest) = runs.parse::<Digest>() {
            return Ok((Some([digest.0].into()), false));
        }
        let status: StatusName = runs.parse().map_err(malformed)?;
        let (mut software, mut looked, mut lacks_software) = (BTreeSet::new(), 0, false);
        for hosted in self.all_hosted() {
            let Ok(sight) = self.sight(&hosted) else { continue };
            self.software_with(reader, &sight, &status, (&mut software, &mut looked))?;
            lacks_software |= self.may_miss(reader, &sight)?;
        }
        Ok((Some(software), lacks_software))
    }

    /// Adds the software to which a domain gives a status, and the number of entries looked at.
    fn software_with(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        status: &StatusName,
        (software, looked): (&mut Software, &mut usize),
    ) -> Result<(), AppError> {
        let ask = |what: String| AppError::new(Code::OutOfRange, format!("{what}: ask for each piece of software"));
        // The refusal suggests asking for a lot, which is no help here: the lot would be that of the devices.
        let is_open = self.may_read_any(reader, &sight.domain);
        let filter = Filter::software_with(sight, is_open, status).map_err(|error| match error.code() {
            Code::OutOfRange => ask(format!("more than {SAID_OF_GROUPS} statements give that status to groups")),
            _ => error,
        })?;
        let mut after = None;
        loop {
            let range = start_after(after)..sight.seal.size;
            let found = self.found_by(reader, sight, &filter, range, SOFTWARE_PER_PAGE + 1)?;
            software.extend(found.records.iter().filter_map(|record| match record.identity.id {
                IdentityId::Software(digest) => Some(digest),
                IdentityId::Key(_) | IdentityId::Group(_) => None,
            }));
            *looked += found.looked;
            if software.len() > SOFTWARE_PER_PAGE {
                return Err(ask(format!("more than {SOFTWARE_PER_PAGE} pieces of software have that status")));
            }
            if *looked > ENTRIES_PER_PAGE {
                return Err(ask(format!("more than {ENTRIES_PER_PAGE} entries speak of that status")));
            }
            after = found.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// The records of a page that a filter finds. Where a look-up breaks off depends on hidden entries, too. So for
    /// readers who may not see everything a page covers a fixed stretch of the log instead, whatever that contains.
    pub(super) fn page_by(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        filter: &Filter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Found, AppError> {
        let (mut start, size) = (start_after(after), sight.seal.size);
        if self.is_shown_all(reader, &sight.domain) || !self.may_read_any(reader, &sight.domain) {
            return self.found_by(reader, sight, filter, start..size, limit);
        }
        let end = start.saturating_add(STRETCH).min(size);
        let mut page = Found::default();
        loop {
            let found = self.found_by(reader, sight, filter, start..end, limit - page.records.len())?;
            page.records.extend(found.records);
            page.looked += found.looked;
            page.next = found.next;
            match found.next.map(|next| next.saturating_add(1)) {
                Some(next) if !found.is_full && next < end => start = next,
                _ => return Ok(page),
            }
        }
    }

    /// The first records in a range of the log that a filter finds, in one look-up: it may break off.
    pub(super) fn found_by(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        filter: &Filter,
        range: Range<u64>,
        limit: usize,
    ) -> Result<Found, AppError> {
        if !self.may_read_any(reader, &sight.domain) {
            return Ok(Found::default());
        }
        let (indices, end) = self.search(sight, filter, range)?;
        let (mut records, mut seen, mut looked) = (Vec::new(), BTreeSet::new(), 0);
        // About as many entries are read at once as may be returned, since most are. One more tells whether there is a
        // next page.
        for indices in indices.chunks(limit.max(ENTRIES_AT_ONCE) + 1) {
            for entry in self.store().entries_at(sight.hosted.number, indices)? {
                let statement = restore(&sight.domain, &entry)?.filter(|it| seen.insert(it.subject_id()));
                let record = statement.map(|it| self.listed(reader, sight, filter, &it)).transpose()?.flatten();
                // A full page has a next one only if there is more that its reader may read; otherwise its end would
                // reveal hidden items.
                if records.len() == limit && record.is_some() {
                    return Ok(Found { records, next: entry.index.checked_sub(1), is_full: true, looked });
                }
                records.extend(record);
                looked += 1;
            }
        }
        // Even if nothing was found, there may be more after the place where the search broke off, or the range ended.
        let next = end.checked_sub(1).filter(|_| end < sight.seal.size);
        Ok(Found { records, next, is_full: false, looked })
    }

    /// The entries of a range that any of the filter's alternatives finds, and the place up to which these are
    /// complete.
    fn search(&self, sight: &Sight<'_>, filter: &Filter, range: Range<u64>) -> Result<(Vec<u64>, u64), AppError> {
        self.spoken(sight.hosted.number, &filter.alternatives, range, ENTRIES_PER_PAGE)
    }

    /// As `search`, for any alternatives, at most `limit` entries.
    pub(in crate::app) fn spoken(
        &self,
        domain: DomainNumber,
        alternatives: &[Vec<Posting>],
        range: Range<u64>,
        limit: usize,
    ) -> Result<(Vec<u64>, u64), AppError> {
        let mut indices = BTreeSet::new();
        let Range { start, mut end } = range;
        for postings in alternatives {
            let page = self.store().positions(domain, &keys(postings), start..end, limit)?;
            indices.extend(page.indices);
            // After the place where one alternative broke off, nothing is complete.
            end = page.next.unwrap_or(end);
            // However many alternatives there are, no more is held at once than one page looks at.
            while indices.len() > limit
                && let Some(last) = indices.pop_last()
            {
                end = end.min(last);
            }
        }
        Ok((indices.into_iter().take_while(|index| *index < end).collect(), end))
    }

    /// The record of an identity, if it belongs in the listing and was not on an earlier page.
    fn listed(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        filter: &Filter,
        statement: &Logged,
    ) -> Result<Option<Record>, AppError> {
        let id = statement.subject_id();
        if !filter.fits_statement(statement) {
            return Ok(None);
        }
        // Nearly all statements are about things mentioned before, which one look-up tells.
        if filter.is_rest && is_spoken_of_before(&sight.entries, &sight.domain, statement)? {
            return Ok(None);
        }
        let said = about(&sight.entries, &sight.domain, &id)?;
        let first = said.iter().find(|it| filter.fits_statement(it));
        let is_found_there = first.is_some_and(|first| first.index() < statement.index());
        if is_found_there || (filter.is_rest && said.iter().any(is_introduction)) {
            return Ok(None);
        }
        self.fitting(reader, sight, filter, &id)
    }

    /// The record of an identity, if the reader may read it and it matches.
    fn fitting(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        filter: &Filter,
        id: &IdentityId,
    ) -> Result<Option<Record>, AppError> {
        let record = self.readable(reader, sight, id)?.map(|(record, _)| record);
        Ok(record.filter(|record| filter.fits(record)))
    }

    /// Since when an identity is mentioned in the way asked for, if it belongs in the listing.
    fn since(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        filter: &Filter,
        id: &IdentityId,
    ) -> Result<Option<(IdentityId, Since)>, AppError> {
        if self.fitting(reader, sight, filter, id)?.is_none() {
            return Ok(None);
        }
        let first = first_of(sight, filter, id)?;
        Ok(first.map(|first| (*id, (first.admitted_at(), first.index()))))
    }
}

/// The greatest number of items on a page, given what was asked for.
pub(in crate::app) fn page_items(limit: Option<usize>) -> Result<usize, AppError> {
    let limit = limit.unwrap_or(DEFAULT_ITEMS);
    if (1..=limits::PAGE_ITEMS).contains(&limit) {
        return Ok(limit);
    }
    Err(AppError::new(Code::OutOfRange, format!("limit takes 1 to {}, not {limit}", limits::PAGE_ITEMS)))
}

/// The first entry that is looked at behind what an earlier page covered.
pub(super) fn start_after(after: Option<u64>) -> u64 {
    after.map_or(0, |after| after.saturating_add(1))
}

pub(super) fn malformed(error: impl core::fmt::Display) -> AppError {
    AppError::new(Code::MalformedQuery, error.to_string())
}

/// The first statement by which the query finds an identity.
fn first_of(sight: &Sight<'_>, filter: &Filter, id: &IdentityId) -> Result<Option<Logged>, AppError> {
    let said = about(&sight.entries, &sight.domain, id)?;
    Ok(said.into_iter().find(|statement| filter.fits_statement(statement)))
}

/// The one-line summary of a record.
pub(crate) fn summary(record: &Record) -> IdentitySummary {
    summary_of(record, None)
}

/// As [`summary`]; if a label was looked for, it names no other.
pub(super) fn summary_of(record: &Record, label: Option<&str>) -> IdentitySummary {
    let attributes = record.agreed_attributes();
    let labels = record.labels.iter().filter(|given| label.is_none_or(|label| given.value == label));
    IdentitySummary {
        id: record.identity.id.to_string(),
        kind: record.identity.kind,
        title: record.title.clone(),
        status: record.status.as_ref().map(|status| status.decides.name.to_string()),
        effect: record.effect().to_string(),
        cut_short: record.cut_short,
        labels: labels.take(limits::LABELS_LISTED).cloned().collect(),
        attributes: attributes.into_iter().map(|(attribute, value)| (attribute.to_string(), value)).collect(),
    }
}
