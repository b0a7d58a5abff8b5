//! Look-ups through memory: answers that are already encoded, and what they are made of.
//!
//! Everything here works at two depths: [`Depth::Memory`] answers at once or not at all, on any thread;
//! [`Depth::Store`] reads what memory lacks, and blocks.

use core::fmt::Write as _;
use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::name::Lookup;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use sha2::{Digest as _, Sha256};

use super::memory::{Kept, name_key};
use super::read::{only, parse};
use super::resolved::cut_short;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader};
use crate::store::{DomainNumber, Key, Reach};

/// How far to go for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Memory only: answers at once or not at all.
    Memory,
    /// The store as well: blocks.
    Store,
}

/// How much of a record is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What it is, its status, and who vouches for it.
    Summary,
    /// All of it.
    Whole,
}

/// A look-up, parsed once.
#[derive(Debug, Clone)]
pub struct Query {
    text: String,
    lookup: Lookup,
    /// The key under which the entries that give the name are found.
    name: Option<(Key, u64)>,
}

/// An answer as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The JSON.
    pub json: Vec<u8>,
    /// A short tag of what it says: equal answers have equal tags, however old they are.
    pub tag: String,
}

/// A domain that can answer now, and how far its log reaches; the domain itself reaches at least as far.
pub(crate) struct Source {
    pub(crate) hosted: Arc<Hosted>,
    pub(crate) domain: Arc<Domain>,
    pub(crate) reach: Reach,
}

/// What one domain says about an identity, and up to where the log was read.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) hosted: Arc<Hosted>,
    pub(crate) reach: Reach,
    pub(crate) kept: Arc<Kept>,
}

impl Told {
    /// Whether something else may have taken the identity's place; the store knows what.
    fn is_over(&self) -> bool {
        self.kept.known().is_some_and(|known| known.over)
    }

    /// Whether the domain knows the identity and the reader may read what it says.
    ///
    /// # Errors
    /// When memory is damaged.
    pub(crate) fn is_readable(&self, app: &App, reader: Reader) -> Result<bool, AppError> {
        match (self.kept.known(), reader) {
            (None, _) => Ok(false),
            (Some(_), Reader::Operator) => Ok(true),
            (Some(known), Reader::Anonymous) => Ok(known.open),
            // What a known party may read depends on the roles that the record gives it.
            (Some(_), Reader::Key(_)) => {
                let (record, domain) = (self.kept.record()?, self.hosted.domain());
                Ok(record.zip(domain).is_some_and(|(record, domain)| app.may_read(reader, &domain, &record)))
            }
        }
    }
}

/// The identities that a query means, and what memory returned along the way, so that it need not be asked twice.
#[derive(Default)]
struct Meant {
    ids: Vec<IdentityId>,
    hot: Vec<(DomainNumber, Arc<Kept>)>,
}

/// The identities that a query means, each with what the domains say about it.
pub(crate) type Gathered = Vec<(IdentityId, Vec<Told>)>;

impl Query {
    /// Parses an id or a name.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, AppError> {
        let lookup = parse(text)?;
        let name = match &lookup {
            Lookup::Name(name) => Some(name_key(name)),
            Lookup::Ids(_) => None,
        };
        Ok(Self { text: text.to_owned(), lookup, name })
    }

    /// A query by id.
    pub(crate) fn of(id: &IdentityId) -> Self {
        Self { text: id.to_string(), lookup: Lookup::Ids(vec![*id]), name: None }
    }

    /// What is asked for, in canonical form: the same for all spellings.
    pub(crate) fn canonical(&self) -> String {
        match &self.lookup {
            Lookup::Name(name) => name.to_string(),
            Lookup::Ids(ids) => ids.first().map_or_else(|| self.text.clone(), ToString::to_string),
        }
    }

    /// Whether it asks by a name, which several identities may have.
    pub(crate) const fn is_by_name(&self) -> bool {
        matches!(self.lookup, Lookup::Name(_))
    }

    pub(crate) const fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// The query as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl App {
    /// What a domain says about an identity, asked for by id or name; `None` if that needs more than `depth`.
    ///
    /// # Errors
    /// When the domain is not held here; when it says nothing about the identity or nothing that the reader may read,
    /// which are indistinguishable; when a name fits several identities; when the store fails.
    pub fn answer(
        &self,
        reader: Reader,
        domain: &DomainName,
        query: &Query,
        extent: Extent,
        depth: Depth,
    ) -> Result<Option<Encoded>, AppError> {
        let hosted = self.hosted(domain)?;
        if self.store().reach(hosted.number)?.is_none() {
            // This returns the reason why the domain cannot answer.
            self.seal(&hosted)?;
        }
        let sources = self.open_to(reader, self.sources([hosted])?);
        let Some(gathered) = self.gather(query, &sources, (depth, self.clock().now()))? else { return Ok(None) };
        let (known, _) = self.readable_of(reader, gathered)?;
        only(&query.text, known.iter().map(|(id, _)| *id).collect())?;
        let told = known.first().and_then(|(_, told)| told.first());
        let told = told.ok_or_else(|| AppError::unknown_identity(&query.text))?;
        if (extent, depth) == (Extent::Whole, Depth::Memory) && told.is_over() {
            return Ok(None);
        }
        let mut encoded = Encoded::empty();
        self.write(reader, told, extent, &mut encoded)?;
        Ok(Some(encoded))
    }

    /// What every domain here says about an identity, side by side; `None` if that needs more than `depth`.
    ///
    /// # Errors
    /// When nothing that the reader may read is known about it, or the store fails.
    pub fn answer_view(
        &self,
        reader: Reader,
        query: &Query,
        extent: Extent,
        depth: Depth,
    ) -> Result<Option<Encoded>, AppError> {
        let hosted = self.all_hosted();
        let sources = self.sources(hosted.iter().cloned())?;
        let mut missed = match sources.len() < hosted.len() {
            true => self.missed(&hosted, &sources.iter().map(|source| source.hosted.number).collect()),
            false => Vec::new(),
        };
        let sources = self.open_to(reader, sources);
        let Some(gathered) = self.gather(query, &sources, (depth, self.clock().now()))? else { return Ok(None) };
        let (known, silenced) = self.readable_of(reader, gathered)?;
        missed.extend(silenced);
        if known.is_empty() {
            let silent = self.sights(&hosted).1;
            return Err(silent.unwrap_or_else(|| AppError::unknown_identity(&query.text)));
        }
        let is_over = || known.iter().flat_map(|(_, told)| told).any(Told::is_over);
        if (extent, depth) == (Extent::Whole, Depth::Memory) && is_over() {
            return Ok(None);
        }
        let mut encoded = self.encode_view(reader, query, &known, extent)?;
        if !missed.is_empty() {
            encoded.add_unheard(&missed)?;
        }
        Ok(Some(encoded))
    }

    /// Those of these domains that were not read although this node should know them: nothing of them has arrived, or
    /// they are silent. What was read tells, not another look: a domain that begins to answer between two looks would be
    /// missed by both.
    pub(super) fn missed(&self, hosted: &[Arc<Hosted>], read: &BTreeSet<DomainNumber>) -> Vec<DomainName> {
        let missed = hosted.iter().filter(|hosted| !read.contains(&hosted.number) && self.is_awaited(hosted));
        missed.map(|hosted| hosted.name.clone()).collect()
    }

    /// The identities about which the reader may read anything, with what that is; and the domains that show nothing of
    /// what they say about one of the identities, because all of it is cut short. The reader is not told that others
    /// exist.
    ///
    /// # Errors
    /// When there is nothing else, or memory is damaged.
    pub(crate) fn readable_of(
        &self,
        reader: Reader,
        gathered: Gathered,
    ) -> Result<(Gathered, BTreeSet<DomainName>), AppError> {
        let (mut known, mut silenced, mut silent) = (Gathered::new(), BTreeSet::new(), None);
        for (id, told) in gathered {
            let mut readable = Vec::with_capacity(told.len());
            for one in told {
                if one.is_readable(self, reader)? {
                    readable.push(one);
                } else if one.kept.cut_short
                    && let Some(domain) = one.hosted.domain()
                    && self.is_silenced(reader, &domain, &one.kept)
                {
                    silenced.insert(one.hosted.name.clone());
                    silent.get_or_insert_with(|| cut_short(&id));
                }
            }
            if !readable.is_empty() {
                known.push((id, readable));
            }
        }
        match silent {
            Some(silent) if known.is_empty() => Err(silent),
            _ => Ok((known, silenced)),
        }
    }

    fn encode_view(
        &self,
        reader: Reader,
        query: &Query,
        known: &Gathered,
        extent: Extent,
    ) -> Result<Encoded, AppError> {
        let mut encoded = Encoded::empty();
        encoded.json.extend_from_slice(b"{\"query\":");
        encoded.add_text(&query.text)?;
        encoded.json.extend_from_slice(b",\"identities\":[");
        for (number, (id, _)) in known.iter().enumerate() {
            encoded.json.extend_from_slice(if number == 0 { b"" } else { b"," });
            encoded.add_text(&id.to_string())?;
        }
        encoded.json.extend_from_slice(b"],\"records\":[");
        // If a name fits several identities, nothing is said about any of them.
        let told: &[Told] = match known.as_slice() {
            [(_, told)] => told,
            _ => &[],
        };
        for (number, told) in told.iter().enumerate() {
            encoded.json.extend_from_slice(if number == 0 { b"" } else { b"," });
            self.write(reader, told, extent, &mut encoded)?;
        }
        encoded.json.extend_from_slice(b"]}");
        if told.is_empty() {
            // The tag covers which identities the name fits, even if another answer has equally many. Writing to a
            // string cannot fail.
            let _ = write!(encoded.tag, "{:x}", digest(&encoded.json));
        }
        Ok(encoded)
    }

    /// Appends `{"as_of":…,"record":…}`.
    fn write(&self, reader: Reader, told: &Told, extent: Extent, encoded: &mut Encoded) -> Result<(), AppError> {
        let domain = told.hosted.domain();
        let fresh_for = domain.map_or(0, |domain| domain.descriptor_at(told.reach.size).freshness.default);
        encoded.json.extend_from_slice(b"{\"as_of\":");
        self.write_as_of(&told.reach, fresh_for, &mut encoded.json)?;
        encoded.json.extend_from_slice(match extent {
            Extent::Summary => b",\"summary\":",
            Extent::Whole => b",\"record\":",
        });
        told.kept.write(extent == Extent::Whole, &mut encoded.json)?;
        if extent == Extent::Whole && told.is_over() {
            self.write_successors(reader, told, encoded)?;
        }
        encoded.json.push(b'}');
        let says = told.kept.known().map_or(0, |known| known.tag);
        let time = told.reach.cosigned_at.map_or(0, Timestamp::as_millis);
        // Writing to a string cannot fail.
        let _ = write!(encoded.tag, "{says:x}.{:x}.{time:x}.", told.reach.size);
        if extent == Extent::Summary {
            encoded.tag.push('s');
        }
        Ok(())
    }

    /// Appends what has taken the thing's place. That depends on statements about other things, so it is not kept with
    /// this one.
    fn write_successors(&self, reader: Reader, told: &Told, encoded: &mut Encoded) -> Result<(), AppError> {
        let mut successors = self.successors(reader, &self.sight(&told.hosted)?, &told.kept.id)?;
        successors.retain(|given| given.by.index < told.reach.size);
        if successors.is_empty() {
            return Ok(());
        }
        let json = serde_json::to_vec(&successors).map_err(|error| AppError::Internal(error.to_string()))?;
        encoded.json.extend_from_slice(b",\"succeeded_by\":");
        encoded.json.extend_from_slice(&json);
        // Writing to a string cannot fail.
        let _ = write!(encoded.tag, "{:x}.", digest(&json));
        Ok(())
    }

    /// Those of these domains that can answer now.
    pub(crate) fn sources(&self, hosted: impl IntoIterator<Item = Arc<Hosted>>) -> Result<Vec<Source>, AppError> {
        let mut sources = Vec::new();
        for hosted in hosted {
            if let Some(reach) = self.store().reach(hosted.number)?
                && let Some(domain) = hosted.domain()
            {
                sources.push(Source { hosted, domain, reach });
            }
        }
        Ok(sources)
    }

    /// The sources in which the reader may read anything; in the others nothing is looked up.
    pub(crate) fn open_to(&self, reader: Reader, mut sources: Vec<Source>) -> Vec<Source> {
        sources.retain(|source| self.may_read_any(reader, &source.domain));
        sources
    }

    /// The identities that a query means in any of these domains, each with what all of them say about it.
    pub(crate) fn gather(
        &self,
        query: &Query,
        sources: &[Source],
        (depth, now): (Depth, Timestamp),
    ) -> Result<Option<Gathered>, AppError> {
        let mut meant = Meant::default();
        for source in sources {
            if !self.whom(query, &source.hosted, (depth, now), &mut meant)? {
                return Ok(None);
            }
        }
        let Meant { mut ids, hot } = meant;
        ids.sort_unstable();
        ids.dedup();
        let mut gathered = Vec::with_capacity(ids.len());
        for id in ids {
            let mut told = Vec::with_capacity(sources.len());
            for source in sources {
                match self.kept_at(source, &id, &hot, (depth, now))? {
                    Some(one) => told.push(one),
                    None => return Ok(None),
                }
            }
            gathered.push((id, told));
        }
        Ok(Some(gathered))
    }

    /// Adds the identities that a query means in one domain; false if that needs more than `depth`.
    fn whom(
        &self,
        query: &Query,
        hosted: &Hosted,
        (depth, now): (Depth, Timestamp),
        meant: &mut Meant,
    ) -> Result<bool, AppError> {
        if self.whom_in_memory(query, hosted.number, now, meant) {
            return Ok(true);
        }
        if depth == Depth::Memory {
            return Ok(false);
        }
        let sight = self.sight(hosted)?;
        meant.ids.extend(self.identities(&sight, &query.lookup)?);
        Ok(true)
    }

    /// Adds them from memory; false if memory does not know them all.
    fn whom_in_memory(&self, query: &Query, domain: DomainNumber, now: Timestamp, meant: &mut Meant) -> bool {
        let memory = self.memory();
        let mut add = |kept: Arc<Kept>, is_meant: bool| {
            if is_meant {
                meant.ids.push(kept.id);
            }
            meant.hot.push((domain, kept));
        };
        match (&query.lookup, query.name) {
            (Lookup::Ids(ids), _) => ids.iter().all(|id| {
                let Some(kept) = memory.recall(domain, id, now) else { return false };
                let is_meant = kept.is_something();
                add(kept, is_meant);
                true
            }),
            (Lookup::Name(_), Some(name)) => {
                let Some(named) = memory.recall_named(domain, name, now) else { return false };
                if let Some(kept) = named {
                    let is_meant = kept.is_called(name.0);
                    add(kept, is_meant);
                }
                true
            }
            (Lookup::Name(_), None) => false,
        }
    }

    /// What a domain says about an identity, and up to where its log was read.
    fn kept_at(
        &self,
        source: &Source,
        id: &IdentityId,
        hot: &[(DomainNumber, Arc<Kept>)],
        (depth, now): (Depth, Timestamp),
    ) -> Result<Option<Told>, AppError> {
        let told = |kept, reach| Some(Told { hosted: Arc::clone(&source.hosted), reach, kept });
        let number = source.hosted.number;
        let at_hand = hot.iter().find(|(domain, kept)| *domain == number && kept.id == *id);
        let kept = at_hand.map(|(_, kept)| Arc::clone(kept)).or_else(|| self.memory().recall(number, id, now));
        match (kept, depth) {
            (Some(kept), _) => Ok(told(kept, source.reach)),
            (None, Depth::Memory) => Ok(None),
            (None, Depth::Store) => {
                let sight = self.sight(&source.hosted)?;
                Ok(told(self.kept(&sight, id)?, sight.reach()))
            }
        }
    }
}

impl Encoded {
    /// Room for a summary and its tag.
    fn empty() -> Self {
        Self { json: Vec::with_capacity(1024), tag: String::with_capacity(64) }
    }

    fn add_text(&mut self, text: &str) -> Result<(), AppError> {
        serde_json::to_writer(&mut self.json, text).map_err(|error| AppError::Internal(error.to_string()))
    }

    /// Adds to the JSON object which domains could not be heard; the tag changes with them.
    fn add_unheard(&mut self, unheard: &[DomainName]) -> Result<(), AppError> {
        let names = serde_json::to_vec(unheard).map_err(|error| AppError::Internal(error.to_string()))?;
        // The closing brace is put back after them.
        self.json.pop();
        self.json.extend_from_slice(b",\"unheard\":");
        self.json.extend_from_slice(&names);
        self.json.push(b'}');
        // Writing to a string cannot fail.
        let _ = write!(self.tag, "-{:x}", digest(&names));
        Ok(())
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
