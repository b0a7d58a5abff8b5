//! What directories (LDAP) are made of: things one by one, found by what is said about them, with the bodies of the
//! statements.

use std::sync::Arc;

use ics_core::identity::IdentityId;
use ics_core::name::Lookup;
use ics_core::record::{Posting, Record};
use ics_core::vocabulary::DomainName;

use super::answers::Told;
use super::filter::Filter;
use super::list::{Found, start_after};
use super::read::{Sight, parse};
use super::resolved::check_whole;
use crate::api::AsOf;
use crate::api::problem::Code;
use crate::app::{App, AppError, Reader};
use crate::store::{DomainNumber, Standing};

/// What a domain says about one identity, and how complete and fresh that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// How complete and fresh it is.
    pub as_of: AsOf,
    /// The record.
    pub record: Record,
    /// The domain's number at this node.
    pub domain: DomainNumber,
}

/// A mark of what was known about an identity in a domain when it was looked up; as long as it stands, nothing has
/// changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The domain's number at this node.
    pub domain: DomainNumber,
    rests_on: RestsOn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RestsOn {
    /// What is kept about an identity.
    Kept { id: IdentityId, generation: u64 },
    /// The descriptor of this version, whose rules show the reader nothing, so nothing was looked up.
    Rules(u64),
}

/// The result of a look-up by id, even if nothing was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    /// The thing, if the reader may read what the domain says about it.
    pub thing: Option<Thing>,
    /// What the result rests on, except for what changes with time alone; empty if the text is not an id.
    pub marks: Vec<Mark>,
}

/// Some of a domain's identities, in the order in which the log first mentions them in the way asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThingPage {
    /// Those that the reader may read.
    pub things: Vec<Thing>,
    /// Where to continue, if there may be more; even an empty page may have a next one.
    pub next: Option<u64>,
    /// How many entries of the log were looked at.
    pub looked: usize,
    /// Whether things may be missing because something was erased and what is left of it is not shown yet.
    pub cut_short: bool,
}

impl App {
    /// The thing with exactly this id, if the reader may read what the domain says about it.
    ///
    /// # Errors
    /// When the domain cannot answer now. If the domain is not held here, the result is empty.
    pub fn thing(&self, reader: Reader, domain: &DomainName, id: &str) -> Result<Looked, AppError> {
        let Ok(Lookup::Ids(ids)) = parse(id) else { return Ok(Looked::default()) };
        if !ids.iter().any(|known| known.to_string() == id) {
            return Ok(Looked::default());
        }
        match self.look_up(reader, domain, &ids) {
            Err(error) if error.code() == Code::UnknownDomain => Ok(Looked::default()),
            looked => looked,
        }
    }

    fn look_up(&self, reader: Reader, domain: &DomainName, ids: &[IdentityId]) -> Result<Looked, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let (mut looked, mut known) = (Looked::default(), Vec::new());
        let mark = |rests_on| Mark { domain: hosted.number, rests_on };
        if !self.may_read_any(reader, &sight.domain) {
            looked.marks.push(mark(RestsOn::Rules(sight.domain.descriptor().version)));
            return Ok(looked);
        }
        for id in ids {
            let kept = self.kept(&sight, id)?;
            self.check_silence(reader, &sight.domain, &kept)?;
            looked.marks.push(mark(RestsOn::Kept { id: *id, generation: kept.generation }));
            if kept.known().is_some() {
                known.push(Told { hosted: Arc::clone(&hosted), reach: sight.reach(), kept });
            }
        }
        // If two identities have the same text as id, neither is returned, as for any name that fits several.
        if let [told] = known.as_slice()
            && told.is_readable(self, reader)?
        {
            let as_of = self.as_of(&sight);
            let record = told.kept.record()?;
            // An entry has no place for what is not known.
            record.iter().try_for_each(check_whole)?;
            looked.thing = record.map(|record| Thing { as_of, record, domain: hosted.number });
        }
        Ok(looked)
    }

    /// Whether what was known when a mark was made is still so.
    #[must_use]
    pub fn stands(&self, mark: &Mark) -> bool {
        match mark.rests_on {
            RestsOn::Kept { id, generation } => {
                let kept = self.memory().recall(mark.domain, &id, self.clock().now());
                kept.is_some_and(|kept| kept.generation == generation)
            }
            RestsOn::Rules(version) => {
                let hosted = self.all_hosted().into_iter().find(|hosted| hosted.number == mark.domain);
                let domain = hosted.and_then(|hosted| hosted.domain());
                domain.is_some_and(|domain| domain.descriptor().version == version)
            }
        }
    }

    /// How complete and fresh a domain is now; `None` while it is silent or not held here. If this is called before a
    /// mark is checked, it never promises more than the mark stands for.
    #[must_use]
    pub fn as_of_domain(&self, number: DomainNumber) -> Option<AsOf> {
        let hosted = self.all_hosted().into_iter().find(|hosted| hosted.number == number)?;
        let reach = self.store().reach(number).ok()??;
        Some(self.as_of_reach(&reach, hosted.domain()?.descriptor_at(reach.size).freshness.default))
    }

    /// The next things of a domain that have one of the postings, at most `limit`.
    ///
    /// # Errors
    /// When the domain is not held here or cannot answer now.
    pub fn things(
        &self,
        reader: Reader,
        domain: &DomainName,
        postings: &[Posting],
        after: Option<u64>,
        limit: usize,
    ) -> Result<ThingPage, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let is_open = self.may_read_any(reader, &sight.domain);
        let filter = Filter::any_of(&sight, is_open, postings)?;
        let found = self.found_by(reader, &sight, &filter, start_after(after)..sight.seal.size, limit)?;
        self.things_of(reader, &sight, found)
    }

    /// The next of all things that a domain mentions, at most `limit`: first those that it introduces.
    ///
    /// # Errors
    /// As [`App::things`].
    pub fn all_things(
        &self,
        reader: Reader,
        domain: &DomainName,
        after: Option<u64>,
        limit: usize,
    ) -> Result<ThingPage, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let found = self.everything(reader, &sight, after, limit)?;
        self.things_of(reader, &sight, found)
    }

    fn things_of(&self, reader: Reader, sight: &Sight<'_>, found: Found) -> Result<ThingPage, AppError> {
        let as_of = self.as_of(sight);
        let thing = |record| Thing { as_of: as_of.clone(), record, domain: sight.hosted.number };
        // If two identities have the same text as id, neither is returned, as for any name that fits several.
        let alone = |record: &Record| {
            let ids = IdentityId::candidates(&record.identity.id.to_string()).unwrap_or_default();
            let others = ids.into_iter().filter(|id| *id != record.identity.id).collect();
            self.identities(sight, &Lookup::Ids(others)).is_ok_and(|others| others.is_empty())
        };
        let cut_short = found.records.iter().any(|record| record.cut_short) || self.may_miss(reader, sight)?;
        // An entry that lacks a block would say that there is none.
        let whole = found.records.into_iter().filter(|record| !record.cut_short);
        let things = whole.filter(alone).map(thing).collect();
        Ok(ThingPage { things, next: found.next, looked: found.looked, cut_short })
    }

    /// The bodies of entries that are listed in a record which the reader may read.
    ///
    /// # Errors
    /// When the store fails.
    pub fn bodies_of(&self, domain: &DomainName, indices: &[u64]) -> Result<Vec<Option<Vec<u8>>>, AppError> {
        let hosted = self.hosted(domain)?;
        let entries = self.store().entries_at(hosted.number, indices)?;
        Ok(entries.into_iter().map(|entry| entry.content.map(|content| content.body)).collect())
    }

    /// A number that changes whenever what this node has to say may have changed, except with time alone; `None` while
    /// a domain is silent.
    ///
    /// It is made of the numbers of entries and the cosignature times of all domains, which only grow. What is not
    /// shown yet counts too: an erasure deletes at once, and access rules are in force at once.
    #[must_use]
    pub fn stamp(&self) -> Option<u128> {
        let mut stamp = 0_u128;
        for hosted in self.all_hosted() {
            let head = self.store().head(hosted.number).ok()?;
            self.store().check_sound(hosted.number).ok()?;
            if matches!(self.store().standing(hosted.number).ok()?, Standing::Behind { .. }) {
                return None;
            }
            let Some(seal) = head.seal else { continue };
            let cosigned = seal.cosigned_at.map_or(0, ics_core::time::Timestamp::as_millis);
            stamp += ((u128::from(head.size) + u128::from(seal.size)) << 64) + u128::from(cosigned);
        }
        Some(stamp)
    }
}
