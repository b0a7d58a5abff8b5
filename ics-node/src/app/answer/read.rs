//! Reading: records, views, histories, evidence.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::name::{Lookup, Name};
use ics_core::record::{Logged, Posting, Record};
use ics_core::statement::openpgp_view;
use ics_core::vocabulary::DomainName;

use super::answers::Query;
use super::memory::{Kept, name_key};
use super::resolved::{check_whole, cut_short};
use crate::api::problem::Code;
use crate::api::{Evidence, History, RecordAnswer, ViewAnswer};
use crate::app::entries::{Said, Snapshot, find_besides, kind_key};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader};
use crate::store::{Erasures, Part, Reach, Seal, StoreError, StoredEntry};

/// One domain's durable log as far as it can be proven, and what it says about itself, which reaches at least as far.
pub(crate) struct Sight<'a> {
    pub(crate) hosted: &'a Hosted,
    /// The domain under its newest rules, which say who may read and what is admitted; they may not be shown yet.
    pub(crate) domain: Arc<Domain>,
    /// The domain under the rules at the end of the log that is read, by which its statements are judged.
    pub(crate) shown: Arc<Domain>,
    pub(crate) seal: Seal,
    /// What had been erased before.
    pub(super) erasures: Erasures,
    pub(crate) entries: Snapshot<'a>,
}

/// What is known about what a text means in all domains here, as far as the reader may read it.
pub(crate) struct Records {
    /// The identities that are known.
    pub(crate) ids: BTreeSet<IdentityId>,
    /// What each domain says about each of them.
    pub(crate) answers: Vec<RecordAnswer>,
    /// The domains that could not answer when all this was read, and those that show nothing of what they say about one
    /// of the identities, because all of it is cut short.
    pub(crate) unheard: Vec<DomainName>,
}

impl Sight<'_> {
    /// How far it is read.
    pub(crate) const fn reach(&self) -> Reach {
        Reach { size: self.seal.size, root: self.seal.root, cosigned_at: self.seal.cosigned_at }
    }

    /// The indices of all states of these signers' certificates: an old state may have made a statement that still
    /// counts. The domain knows where they are, so nothing is read about other certificates.
    pub(crate) fn certificates_of(&self, signers: &BTreeSet<Fingerprint>) -> Vec<u64> {
        signers.iter().flat_map(|signer| self.domain.certificate_states(signer)).collect()
    }

    /// The statements that give something this name, in log order.
    pub(crate) fn naming(&self, name: Name) -> Result<Vec<Logged>, StoreError> {
        self.naming_besides(name, &[])
    }

    /// As [`Sight::naming`], without reading again the statements at hand.
    pub(crate) fn naming_besides(&self, name: Name, at_hand: &[Logged]) -> Result<Vec<Logged>, StoreError> {
        let (posting, limit) = (Posting::Name(name), limits::RECORD_STATEMENTS);
        Ok(find_besides(&self.entries, &self.domain, &posting, limit, at_hand)?.0)
    }
}

impl App {
    /// A domain to read from.
    pub(crate) fn sight<'a>(&'a self, hosted: &'a Hosted) -> Result<Sight<'a>, AppError> {
        let erasures = self.store().erasures(hosted.number);
        let seal = self.seal(hosted)?;
        // Only now, so that no entry is read by rules that ended before it.
        let domain = hosted.domain().ok_or_else(|| AppError::unknown_domain(&hosted.name))?;
        let entries = Snapshot { store: self.store(), number: hosted.number, size: seal.size };
        let shown = as_shown(&domain, seal.size);
        Ok(Sight { hosted, domain, shown, seal, erasures, entries })
    }

    /// The domains that can be read; and why one cannot be read that this node should know, because it is damaged, at
    /// home here, or copied under the present configuration. In that case nobody may say of what is not found that it
    /// is unknown.
    pub(crate) fn sights<'a>(&'a self, hosted: &'a [Arc<Hosted>]) -> (Vec<Sight<'a>>, Option<AppError>) {
        let (mut sights, mut silent) = (Vec::with_capacity(hosted.len()), None);
        for hosted in hosted {
            match self.sight(hosted) {
                Ok(sight) => sights.push(sight),
                Err(error @ AppError::Store(StoreError::Damaged { .. })) => silent = Some(error),
                Err(error) if hosted.part == Part::Home => silent = Some(error),
                Err(error) if self.is_awaited(hosted) => silent = silent.or(Some(error)),
                Err(_) => {}
            }
        }
        (sights, silent)
    }

    /// Whether this node should know a domain that cannot be read. If a copy's peer was removed before anything
    /// arrived, nothing will ever come.
    pub(crate) fn is_awaited(&self, hosted: &Hosted) -> bool {
        let is_damaged = || self.store().check_sound(hosted.number).is_err();
        hosted.part == Part::Home || self.peers_table().copies(&hosted.name) || is_damaged()
    }

    /// What a domain says about an identity, asked for by id or name.
    ///
    /// # Errors
    /// When the domain is not held here, or says nothing about it that the reader may read; both look alike.
    pub fn record(&self, reader: Reader, domain: &DomainName, query: &str) -> Result<RecordAnswer, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let kept = self.kept_meant_by(reader, &sight, query)?;
        self.answer_of(reader, &sight, &kept)?.ok_or_else(|| AppError::unknown_identity(query))
    }

    /// What is kept about an identity, as an answer, if the reader may read it.
    pub(super) fn answer_of(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        kept: &Kept,
    ) -> Result<Option<RecordAnswer>, AppError> {
        self.check_silence(reader, &sight.domain, kept)?;
        let readable = kept.record()?.filter(|record| match reader {
            Reader::Anonymous => kept.known().is_some_and(|known| known.open),
            Reader::Key(_) | Reader::Operator => self.may_read(reader, &sight.domain, record),
        });
        let Some(record) = readable else { return Ok(None) };
        let succeeded_by = self.successors_of(reader, sight, &record)?;
        // What memory keeps was resolved a while ago, and would give the same now.
        let record = Record { at: self.clock().now(), ..record };
        Ok(Some(RecordAnswer { as_of: self.as_of(sight), record, succeeded_by }))
    }

    /// What a domain holds about an identity, as OpenPGP; only objects of one version, because clients that know only
    /// version 4 stop at the first object of version 6.
    ///
    /// # Errors
    /// As [`App::record`].
    pub fn record_openpgp(
        &self,
        reader: Reader,
        domain: &DomainName,
        query: &str,
        version: u8,
    ) -> Result<Vec<u8>, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let id = self.meant_by(reader, &sight, query, &parse(query)?)?;
        let bodies = self.bodies(reader, &sight, &id)?;
        openpgp(query, &bodies, version)
    }

    /// What every domain here says about an identity, side by side.
    ///
    /// # Errors
    /// When the text is neither an id nor a name, or nothing that the reader may read is known about it, or that cannot
    /// be known because a domain of this node is silent.
    pub fn view(&self, reader: Reader, query: &str) -> Result<ViewAnswer, AppError> {
        let Records { ids, answers, unheard } = self.records(reader, query)?;
        let records = if ids.len() == 1 { answers } else { Vec::new() };
        let identities = ids.iter().map(ToString::to_string).collect();
        Ok(ViewAnswer { query: query.to_owned(), identities, records, unheard })
    }

    /// The identities that a text means in any domain here, and the records about them that the reader may read.
    pub(crate) fn records(&self, reader: Reader, query: &str) -> Result<Records, AppError> {
        let lookup = parse(query)?;
        let mut ids = BTreeSet::new();
        let mut answers = Vec::new();
        let hosted = self.all_hosted();
        let (mut sights, mut silent) = self.sights(&hosted);
        let mut unheard = self.missed(&hosted, &sights.iter().map(|sight| sight.hosted.number).collect());
        sights.retain(|sight| self.may_read_any(reader, &sight.domain));
        for sight in &sights {
            ids.extend(self.identities(sight, &lookup)?);
        }
        let (mut known, mut silenced) = (BTreeSet::new(), BTreeSet::new());
        for id in &ids {
            for sight in &sights {
                let kept = self.kept(sight, id)?;
                if self.is_silenced(reader, &sight.domain, &kept) {
                    silenced.insert(sight.hosted.name.clone());
                    silent.get_or_insert_with(|| cut_short(id));
                } else if let Some(answer) = self.answer_of(reader, sight, &kept)? {
                    known.insert(*id);
                    answers.push(answer);
                }
            }
        }
        if known.is_empty() {
            return Err(silent.unwrap_or_else(|| AppError::unknown_identity(query)));
        }
        unheard.extend(silenced);
        Ok(Records { ids: known, answers, unheard })
    }

    /// What is kept about the one identity that a text means; a name in memory leads to it directly.
    fn kept_meant_by(&self, reader: Reader, sight: &Sight<'_>, query: &str) -> Result<Arc<Kept>, AppError> {
        let lookup = parse(query)?;
        if let Lookup::Name(name) = &lookup
            && self.may_read_any(reader, &sight.domain)
            && let Some(Some(kept)) = self.called_in_memory(sight, name_key(name))
        {
            return Ok(kept);
        }
        self.kept(sight, &self.meant_by(reader, sight, query, &lookup)?)
    }

    /// The one identity that a text means, among those that the reader may read; the reader is not told that others
    /// exist.
    fn meant_by(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        query: &str,
        lookup: &Lookup,
    ) -> Result<IdentityId, AppError> {
        only(query, self.identities_for(reader, sight, lookup)?)
    }

    /// The identities that a text means, if the reader may read anything at all; if there are several, only those that
    /// the reader may read.
    pub(crate) fn identities_for(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        lookup: &Lookup,
    ) -> Result<BTreeSet<IdentityId>, AppError> {
        if !self.may_read_any(reader, &sight.domain) {
            return Ok(BTreeSet::new());
        }
        let ids = self.identities(sight, lookup)?;
        if ids.len() < 2 {
            return Ok(ids);
        }
        let mut shown = BTreeSet::new();
        for id in ids {
            shown.extend(self.readable(reader, sight, &id)?.map(|_| id));
        }
        Ok(shown)
    }

    /// What every domain here holds about an identity, as OpenPGP.
    ///
    /// # Errors
    /// As [`App::view`], and when the name fits several.
    pub fn view_openpgp(&self, reader: Reader, query: &str, version: u8) -> Result<Vec<u8>, AppError> {
        let lookup = parse(query)?;
        let mut bodies = Vec::new();
        let (mut ids, mut shown) = (BTreeSet::new(), BTreeSet::new());
        let hosted = self.all_hosted();
        let (sights, silent) = self.sights(&hosted);
        for sight in sights.iter().filter(|sight| self.may_read_any(reader, &sight.domain)) {
            ids.extend(self.identities(sight, &lookup)?);
        }
        // Only after all ids are known, because a domain that does not give this name may block what another one calls
        // by it.
        for sight in &sights {
            for id in &ids {
                let of_id = self.bodies(reader, sight, id)?;
                shown.extend(Some(*id).filter(|_| !of_id.is_empty()));
                bodies.extend(of_id);
            }
        }
        match silent {
            Some(silent) if bodies.is_empty() => return Err(silent),
            _ if shown.len() > 1 => return Err(ambiguous(query, &shown)),
            _ => {}
        }
        // What was adopted is held by several domains.
        let mut seen = BTreeSet::new();
        bodies.retain(|body: &Vec<u8>| seen.insert(body.clone()));
        openpgp(query, &bodies, version)
    }

    /// Everything that a domain's log says about an identity, standing or not.
    ///
    /// # Errors
    /// As [`App::record`].
    pub fn history(&self, reader: Reader, domain: &DomainName, query: &str) -> Result<History, AppError> {
        let RecordAnswer { as_of, record, .. } = self.record(reader, domain, query)?;
        Ok(History { as_of, id: record.identity.id.to_string(), items: record.statements })
    }

    /// What a verifier without a network needs to rebuild the record. From the home it includes the record head, which
    /// proves that this is everything.
    ///
    /// # Errors
    /// As [`App::record`].
    pub fn evidence(&self, reader: Reader, domain: &DomainName, query: &str) -> Result<Evidence, AppError> {
        let hosted = self.hosted(domain)?;
        if hosted.part == Part::Home {
            match self.attested_evidence(reader, domain, &Query::parse(query)?) {
                // If the log grows too fast for a record head, the evidence is given without one.
                Err(error) if error.code() == Code::Busy => {}
                attested => return attested,
            }
        }
        let sight = self.sight(&hosted)?;
        let id = self.meant_by(reader, &sight, query, &parse(query)?)?;
        let readable = self.readable(reader, &sight, &id)?;
        let (record, said) = readable.ok_or_else(|| AppError::unknown_identity(query))?;
        check_whole(&record)?;
        self.evidence_of(&sight, id.to_string(), Some(said))
    }

    /// As [`App::evidence`]; `None` if no copy of the domain is held here.
    ///
    /// # Errors
    /// As [`App::record`].
    pub fn evidence_here(
        &self,
        reader: Reader,
        domain: &DomainName,
        query: &str,
    ) -> Result<Option<Evidence>, AppError> {
        if self.hosted(domain).is_err() {
            return Ok(None);
        }
        self.evidence(reader, domain, query).map(Some)
    }

    /// Evidence for what was said; if `said` is `None`, only for how far the domain reaches.
    pub(crate) fn evidence_of(&self, sight: &Sight<'_>, id: String, said: Option<Said>) -> Result<Evidence, AppError> {
        let indices = self.rests_on(sight, said.unwrap_or_default())?;
        self.evidence_at(sight, id, &indices)
    }

    /// As `evidence_of`, when the entries on which it rests are known.
    pub(crate) fn evidence_at(&self, sight: &Sight<'_>, id: String, indices: &[u64]) -> Result<Evidence, AppError> {
        let hosted = sight.hosted;
        let entries = self.prove(hosted, self.store().entries_at(hosted.number, indices)?)?;
        let checkpoint =
            entries.first().map_or_else(|| sight.seal.note.clone(), |entry| entry.receipt.checkpoint.clone());
        Ok(Evidence { version: 1, id, domain: hosted.name.clone(), checkpoint, head: None, entries })
    }

    /// The entries on which a record rests: what was said, all descriptors, and the certificates of the signers.
    pub(crate) fn rests_on(&self, sight: &Sight<'_>, said: Said) -> Result<Vec<u64>, AppError> {
        let statements = with_groups(sight, said)?;
        let grantees = statements.iter().filter_map(|it| it.claims().grant.as_ref().map(|grant| grant.grantee));
        let signers: BTreeSet<Fingerprint> = statements.iter().map(Logged::signer).chain(grantees).collect();
        let mut indices: BTreeSet<u64> = statements.iter().map(Logged::index).collect();
        indices.extend(sight.domain.descriptor_indices());
        indices.extend(sight.certificates_of(&signers));
        Ok(indices.into_iter().filter(|index| *index < sight.seal.size).collect())
    }

    /// All entries of a kind that have effect, in log order.
    pub(crate) fn entries_of_kind(&self, hosted: &Hosted, kind: EntryKind) -> Result<Vec<StoredEntry>, AppError> {
        let mut found = Vec::new();
        let mut from = Some(0);
        let size = self.store().head(hosted.number)?.size;
        while let Some(start) = from {
            let page = self.store().positions(hosted.number, &[kind_key(kind)], start..size, limits::PAGE_ITEMS)?;
            let entries = self.store().entries_at(hosted.number, &page.indices)?;
            let of_kind = |entry: &StoredEntry| {
                entry.effective && Header::decode(&entry.header).is_ok_and(|header| header.kind == kind)
            };
            found.extend(entries.into_iter().filter(of_kind));
            from = page.next;
        }
        Ok(found)
    }

    /// What a domain says about an identity now, if the reader may read it. If the reader may read nothing in the
    /// domain, nothing is looked up.
    pub(crate) fn readable(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        id: &IdentityId,
    ) -> Result<Option<(Record, Said)>, AppError> {
        if !self.may_read_any(reader, &sight.domain) {
            return Ok(None);
        }
        let resolved = self.resolve(sight, id)?;
        Ok(resolved.filter(|(record, _)| self.may_read(reader, &sight.domain, record)))
    }

    /// The OpenPGP bodies about an identity that the reader may read, without the certificates of its signers.
    pub(crate) fn bodies(&self, reader: Reader, sight: &Sight<'_>, id: &IdentityId) -> Result<Vec<Vec<u8>>, AppError> {
        let own = self.own_certificate(sight, id)?;
        let Some((_, said)) = self.readable(reader, sight, id)? else { return Ok(own) };
        let indices: Vec<u64> = said.about.iter().filter(|it| !it.is_refused()).map(Logged::index).collect();
        let entries = self.store().entries_at(sight.hosted.number, &indices)?;
        let bodies = entries.into_iter().filter_map(|entry| entry.content.map(|content| content.body));
        Ok(own.into_iter().chain(bodies).collect())
    }

    /// The certificate of a signer, which can be looked up like anything else that has a key.
    fn own_certificate(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<Vec<Vec<u8>>, AppError> {
        let IdentityId::Key(fingerprint) = id else { return Ok(Vec::new()) };
        let indices = certificate_at(&sight.domain, fingerprint, sight.seal.size);
        let entries = self.store().entries_at(sight.hosted.number, &indices)?;
        Ok(entries.into_iter().filter_map(|entry| entry.content.map(|content| content.body)).collect())
    }
}

/// A domain under the rules that are shown. A descriptor that waits for witnesses, or for the rest of a copy, has no
/// force yet, because nobody could prove it.
pub(super) fn as_shown(domain: &Arc<Domain>, size: u64) -> Arc<Domain> {
    if domain.size() <= size { Arc::clone(domain) } else { Arc::new(domain.shown_at(size)) }
}

/// Where a signer's certificate stands in a log of this size: its latest state, and what others have certified on it. A
/// home that waits for its witnesses knows more than it shows.
pub(super) fn certificate_at(domain: &Domain, fingerprint: &Fingerprint, size: u64) -> Vec<u64> {
    let is_shown = |index: &u64| *index < size;
    let Some(state) = domain.certificate_states(fingerprint).filter(is_shown).last() else { return Vec::new() };
    let certified = domain.certifications(fingerprint).into_iter().filter(is_shown);
    core::iter::once(state).chain(certified).collect()
}

/// All statements that a verifier needs, including those about groups of groups, because roles are granted over them.
pub(crate) fn with_groups(sight: &Sight<'_>, said: Said) -> Result<Vec<Logged>, AppError> {
    let mut statements = said.about;
    let mut waiting = said.groups;
    let mut known = BTreeSet::new();
    while let Some(statement) = waiting.pop() {
        if known.insert(statement.subject_id()) {
            waiting.extend(Said::read(&sight.entries, &sight.domain, &statement.subject_id())?.groups);
        }
        statements.push(statement);
    }
    Ok(statements)
}

/// Parses what somebody looks up.
pub(crate) fn parse(query: &str) -> Result<Lookup, AppError> {
    query.parse().map_err(|error: ics_core::name::NameError| AppError::new(Code::MalformedId, error.to_string()))
}

/// The one identity that a name must mean. If there are several, the error lists them, so they must be ones that the
/// reader may read.
pub(crate) fn only(query: &str, ids: BTreeSet<IdentityId>) -> Result<IdentityId, AppError> {
    let mut all = ids.iter();
    match (all.next(), all.next()) {
        (Some(id), None) => Ok(*id),
        (None, _) => Err(AppError::unknown_identity(query)),
        (Some(_), Some(_)) => Err(ambiguous(query, &ids)),
    }
}

pub(crate) fn ambiguous(query: &str, ids: &BTreeSet<IdentityId>) -> AppError {
    let list: Vec<String> = ids.iter().take(5).map(ToString::to_string).collect();
    let detail = format!("`{query}` fits {} identities: {}", ids.len(), list.join(", "));
    AppError::new(Code::AmbiguousName, detail)
}

fn openpgp(query: &str, bodies: &[Vec<u8>], version: u8) -> Result<Vec<u8>, AppError> {
    let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    let view = openpgp_view(&bodies, version);
    if view.is_empty() { Err(AppError::unknown_identity(query)) } else { Ok(view) }
}
