//! Listings and search, a page at a time.

use std::collections::BTreeSet;

use ics_core::identity::{Fingerprint, IdentityId, Kind};
use ics_core::limits;
use ics_core::record::{Logged, Posting, Record};
use ics_core::vocabulary::{Act, Attribute, DomainName, StatusName};

use super::entries::{about, keys, restore};
use super::problem::Code;
use super::read::Sight;
use super::{App, AppError, Reader};
use crate::api::{IdentityPage, IdentitySummary, ListQuery};

/// Items in a page unless told.
const DEFAULT_ITEMS: usize = 100;
/// Entries that are looked at for one page; a page may then be short, or empty, and still have a next one.
const ENTRIES_PER_PAGE: usize = 4 * limits::PAGE_ITEMS;

/// A query, read: what the index finds, and what must hold of the record.
struct Filter {
    /// An entry is found that has all postings of one of these.
    alternatives: Vec<Vec<Posting>>,
    kind: Option<Kind>,
    model: Option<String>,
    lot: Option<String>,
    status: Option<StatusName>,
    signer: Option<Fingerprint>,
}

impl App {
    /// A page of a domain's identities, in the order in which the log first speaks of them in the way asked for.
    ///
    /// # Errors
    /// When the domain is not here or a filter is malformed.
    pub fn list(&self, reader: Reader, domain: &DomainName, query: &ListQuery) -> Result<IdentityPage, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let (records, next) = self.page(reader, &sight, query)?;
        Ok(IdentityPage { as_of: self.as_of(&sight), items: records.iter().map(summary).collect(), next })
    }

    /// The records of a page, and `after` for the next one.
    pub(crate) fn page(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        query: &ListQuery,
    ) -> Result<(Vec<Record>, Option<u64>), AppError> {
        let filter = Filter::read(query, sight)?;
        let limit = query.limit.unwrap_or(DEFAULT_ITEMS);
        if !(1..=limits::PAGE_ITEMS).contains(&limit) {
            let detail = format!("limit takes 1 to {}, not {limit}", limits::PAGE_ITEMS);
            return Err(AppError::new(Code::OutOfRange, detail));
        }
        let start = query.after.map_or(0, |after| after.saturating_add(1));
        let (indices, more) = self.search(sight, &filter, start)?;
        let mut records = Vec::new();
        let mut seen = BTreeSet::new();
        let mut last = None;
        for entry in self.store().entries_at(sight.hosted.number, &indices)? {
            if records.len() == limit {
                break;
            }
            last = Some(entry.index);
            let Some(statement) = restore(&sight.domain, &entry)? else { continue };
            if seen.insert(statement.subject_id()) {
                records.extend(self.listed(reader, sight, &filter, &statement)?);
            }
        }
        let is_more = more || indices.last().copied() != last;
        Ok((records, last.filter(|_| is_more)))
    }

    /// The entries from `start` on that one of the filter's alternatives finds, and whether there may be more.
    fn search(&self, sight: &Sight<'_>, filter: &Filter, start: u64) -> Result<(Vec<u64>, bool), AppError> {
        let mut indices = BTreeSet::new();
        let mut end = sight.seal.size;
        for postings in &filter.alternatives {
            let range = start..end;
            let page = self.store().positions(sight.hosted.number, &keys(postings), range, ENTRIES_PER_PAGE)?;
            indices.extend(page.indices);
            // Nothing behind the place where one alternative broke off is complete.
            end = page.next.unwrap_or(end);
        }
        Ok((indices.into_iter().take_while(|index| *index < end).collect(), end < sight.seal.size))
    }

    /// The record of an identity if it belongs into the listing, and not on an earlier page of it.
    fn listed(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        filter: &Filter,
        statement: &Logged,
    ) -> Result<Option<Record>, AppError> {
        let id = statement.subject_id();
        if !filter.fits_statement(statement) || earlier(sight, filter, &id, statement.index())? {
            return Ok(None);
        }
        let record = self.readable(reader, sight, &id)?.map(|(record, _)| record);
        Ok(record.filter(|record| filter.fits(record)))
    }
}

/// Whether the same query finds the identity by an earlier entry.
fn earlier(sight: &Sight<'_>, filter: &Filter, id: &IdentityId, index: u64) -> Result<bool, AppError> {
    let said = about(&sight.entries, &sight.domain, id)?;
    Ok(said.iter().any(|other| other.index() < index && filter.fits_statement(other)))
}

impl Filter {
    fn read(query: &ListQuery, sight: &Sight<'_>) -> Result<Self, AppError> {
        let malformed = |error: String| AppError::new(Code::MalformedQuery, error);
        let kind = query.kind.as_deref().map(str::parse::<Kind>).transpose().map_err(|e| malformed(e.to_string()))?;
        let status =
            query.status.as_deref().map(str::parse::<StatusName>).transpose().map_err(|e| malformed(e.to_string()))?;
        let signer =
            query.signer.as_deref().map(str::parse::<Fingerprint>).transpose().map_err(|e| malformed(e.to_string()))?;
        let mut postings = Vec::new();
        postings.extend(kind.map(Posting::Kind));
        postings.extend(query.model.clone().map(|model| Posting::Attribute(Attribute::Model, model)));
        postings.extend(query.lot.clone().map(|lot| Posting::Attribute(Attribute::Lot, lot)));
        // A status and its signer are mostly said elsewhere than the attributes, in a statement of their own.
        if postings.is_empty() {
            postings.extend(status.clone().map(Posting::Status));
        }
        let alternatives = match signer {
            Some(signer) if postings.is_empty() => by_signer(sight, signer),
            _ if postings.is_empty() => vec![vec![Posting::Act(Act::Identity)]],
            _ => vec![postings],
        };
        Ok(Self { alternatives, kind, model: query.model.clone(), lot: query.lot.clone(), status, signer })
    }

    /// Whether a statement has the postings that were looked for: hashes collide.
    fn fits_statement(&self, statement: &Logged) -> bool {
        if self.signer == Some(statement.signer()) {
            return true;
        }
        let postings = ics_core::record::postings(statement);
        self.alternatives.iter().any(|wanted| wanted.iter().all(|posting| postings.contains(posting)))
    }

    fn fits(&self, record: &Record) -> bool {
        let has = |attribute, wanted: &Option<String>| {
            let given = record.attributes.get(&attribute);
            wanted.as_ref().is_none_or(|wanted| given.is_some_and(|given| given.iter().any(|it| it.value == *wanted)))
        };
        let status = record.status.as_ref().map(|status| &status.decides.name);
        self.kind.is_none_or(|kind| record.identity.kind == kind)
            && has(Attribute::Model, &self.model)
            && has(Attribute::Lot, &self.lot)
            && self.status.as_ref().is_none_or(|wanted| status == Some(wanted))
            && self.signer.is_none_or(|signer| record.statements.iter().any(|it| it.by.signer == signer))
    }
}

/// Entries are filed under the key that signed them: a signer has as many as his certificate.
fn by_signer(sight: &Sight<'_>, signer: Fingerprint) -> Vec<Vec<Posting>> {
    match sight.domain.signer(&signer) {
        Ok(certificate) => certificate.keys().map(|key| vec![Posting::Signer(key)]).collect(),
        Err(_) => vec![vec![Posting::Signer(signer)]],
    }
}

/// One line for a record.
pub(crate) fn summary(record: &Record) -> IdentitySummary {
    let attributes = record.agreed_attributes();
    IdentitySummary {
        id: record.identity.id.to_string(),
        kind: record.identity.kind,
        title: record.title.clone(),
        status: record.status.as_ref().map(|status| status.decides.name.to_string()),
        effect: record.effect().to_string(),
        attributes: attributes.into_iter().map(|(attribute, value)| (attribute.to_string(), value)).collect(),
    }
}
