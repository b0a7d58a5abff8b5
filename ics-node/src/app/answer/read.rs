//! Reading: records, views, histories, evidence.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::name::Lookup;
use ics_core::record::{Logged, Record};
use ics_core::statement::{openpgp_key_of, openpgp_view};
use ics_core::vocabulary::DomainName;

use super::answers::Query;
use super::memory::{Kept, name_key};
use crate::api::problem::Code;
use crate::api::{AsOf, Evidence, History, RecordAnswer, ViewAnswer};
use crate::app::entries::{Said, Snapshot, kind_key};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader};
use crate::store::{Part, Reach, Seal, StoreError, StoredEntry};

/// One domain's durable log as far as it can be proven, and what it says of itself at that size.
pub(crate) struct Sight<'a> {
    pub(crate) hosted: &'a Hosted,
    /// As its rules are now: they say who may read and what is admitted, and may wait to be shown.
    pub(crate) domain: Arc<Domain>,
    /// As they are where the log that is read ends: by these its statements are judged.
    pub(crate) shown: Arc<Domain>,
    pub(crate) seal: Seal,
    pub(crate) entries: Snapshot<'a>,
}

impl Sight<'_> {
    /// Whether what the domain says of itself goes as far as the log that is read: it is published a moment later.
    pub(crate) fn is_whole(&self) -> bool {
        self.domain.size() >= self.seal.size
    }

    /// How far it is read.
    pub(crate) const fn reach(&self) -> Reach {
        Reach { size: self.seal.size, root: self.seal.root, cosigned_at: self.seal.cosigned_at }
    }
}

impl App {
    /// A domain to read from.
    pub(crate) fn sight<'a>(&'a self, hosted: &'a Hosted) -> Result<Sight<'a>, AppError> {
        let seal = self.seal(hosted)?;
        let domain = hosted.domain().ok_or_else(|| AppError::unknown_domain(&hosted.name))?;
        let entries = Snapshot { store: self.store(), number: hosted.number, size: seal.size };
        let shown = as_shown(&domain, seal.size);
        Ok(Sight { hosted, domain, shown, seal, entries })
    }

    /// The domains that can be read; and why one cannot of which this node should know, be it damaged, at home here, or
    /// copied as configured now: of what is not found nobody may say then that nothing is known of it.
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

    /// Whether this node should know of a domain that cannot be read. Of a copy whose peer was removed before anything came
    /// nothing ever will.
    pub(crate) fn is_awaited(&self, hosted: &Hosted) -> bool {
        let is_damaged = || self.store().check_sound(hosted.number).is_err();
        hosted.part == Part::Home || self.peers_table().copies(&hosted.name) || is_damaged()
    }

    /// How complete and how fresh answers from it are.
    pub(crate) fn as_of(&self, sight: &Sight<'_>) -> AsOf {
        self.as_of_reach(&sight.reach(), sight.shown.descriptor().freshness.default)
    }

    /// The same of answers that go so far.
    pub(super) fn as_of_reach(&self, reach: &Reach, fresh_for_seconds: u64) -> AsOf {
        let time = reach.cosigned_at;
        AsOf {
            size: reach.size,
            root: reach.root.to_string(),
            time,
            age_seconds: time.map(|time| self.clock().now().millis_since(time) / 1000),
            fresh_for_seconds,
        }
    }

    /// What a domain says of an identity, asked for by id or name.
    ///
    /// # Errors
    /// When the domain is not here, or says nothing of it that the reader may read; both look alike.
    pub fn record(&self, reader: Reader, domain: &DomainName, query: &str) -> Result<RecordAnswer, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let kept = self.kept_meant_by(reader, &sight, query)?;
        let readable = kept.record()?.filter(|record| match reader {
            Reader::Anonymous => kept.known().is_some_and(|known| known.open),
            Reader::Key(_) | Reader::Operator => self.may_read(reader, &sight.domain, record),
        });
        let record = readable.ok_or_else(|| AppError::unknown_identity(query))?;
        let succeeded_by = self.successors_of(reader, &sight, &record)?;
        // What memory keeps was judged a while ago, and would be judged the same now.
        let record = Record { at: self.clock().now(), ..record };
        Ok(RecordAnswer { as_of: self.as_of(&sight), record, succeeded_by })
    }

    /// What a domain holds of an identity, as OpenPGP; only objects of one version, because clients of version 4 stop
    /// at the first of version 6.
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

    /// What every domain here says of an identity, side by side.
    ///
    /// # Errors
    /// When the text is neither id nor name, or nothing that the reader may read is known of it, or cannot be known while
    /// a domain of this node is silent.
    pub fn view(&self, reader: Reader, query: &str) -> Result<ViewAnswer, AppError> {
        let (ids, records) = self.records(reader, query)?;
        let answers = if ids.len() == 1 { records } else { Vec::new() };
        Ok(ViewAnswer {
            query: query.to_owned(),
            identities: ids.iter().map(ToString::to_string).collect(),
            records: answers,
            unheard: self.unheard_domains()?,
        })
    }

    /// The identities that a text fits, in any domain here, and the records that the reader may read of them.
    pub(crate) fn records(
        &self,
        reader: Reader,
        query: &str,
    ) -> Result<(BTreeSet<IdentityId>, Vec<RecordAnswer>), AppError> {
        let lookup = parse(query)?;
        let mut ids = BTreeSet::new();
        let mut answers = Vec::new();
        let hosted = self.all_hosted();
        let (mut sights, silent) = self.sights(&hosted);
        sights.retain(|sight| self.may_read_any(reader, &sight.domain));
        for sight in &sights {
            ids.extend(self.identities(sight, &lookup)?);
        }
        let mut known = BTreeSet::new();
        for id in &ids {
            for sight in &sights {
                if let Some((record, _)) = self.readable(reader, sight, id)? {
                    known.insert(*id);
                    let succeeded_by = self.successors_of(reader, sight, &record)?;
                    answers.push(RecordAnswer { as_of: self.as_of(sight), record, succeeded_by });
                }
            }
        }
        if known.is_empty() {
            return Err(silent.unwrap_or_else(|| AppError::unknown_identity(query)));
        }
        Ok((known, answers))
    }

    /// What is kept of the one identity that a text fits; a name in memory leads to it at once.
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

    /// The one identity that a text fits, of those that the reader may read: of others he is not told that they are there.
    fn meant_by(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        query: &str,
        lookup: &Lookup,
    ) -> Result<IdentityId, AppError> {
        only(query, self.identities_for(reader, sight, lookup)?)
    }

    /// The identities that a text fits, if the reader may read anything at all; of several those that he may read.
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

    /// What every domain here holds of an identity, as OpenPGP.
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
        // Only then, because a domain that gives no names may block what another one calls so.
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
        bodies.dedup();
        openpgp(query, &bodies, version)
    }

    /// Everything that a domain's log says of an identity, standing or not.
    ///
    /// # Errors
    /// As [`App::record`].
    pub fn history(&self, reader: Reader, domain: &DomainName, query: &str) -> Result<History, AppError> {
        let RecordAnswer { as_of, record, .. } = self.record(reader, domain, query)?;
        Ok(History { as_of, id: record.identity.id.to_string(), items: record.statements })
    }

    /// What a verifier without a network needs to make the record himself: from its home with the record head, which says
    /// that this is all.
    ///
    /// # Errors
    /// As [`App::record`].
    pub fn evidence(&self, reader: Reader, domain: &DomainName, query: &str) -> Result<Evidence, AppError> {
        let hosted = self.hosted(domain)?;
        if hosted.part == Part::Home {
            match self.attested_evidence(reader, domain, &Query::parse(query)?) {
                // A log that goes on too fast for it is no reason to give nothing.
                Err(error) if error.code() == Code::Busy => {}
                attested => return attested,
            }
        }
        let sight = self.sight(&hosted)?;
        let id = self.meant_by(reader, &sight, query, &parse(query)?)?;
        let (_, said) = self.readable(reader, &sight, &id)?.ok_or_else(|| AppError::unknown_identity(query))?;
        self.evidence_of(&sight, id.to_string(), Some(said))
    }

    /// The same; `None` where no copy of the domain is here.
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

    /// Evidence for what was said; without, of how far the domain reaches.
    pub(crate) fn evidence_of(&self, sight: &Sight<'_>, id: String, said: Option<Said>) -> Result<Evidence, AppError> {
        let indices = self.rests_on(sight, said.unwrap_or_default())?;
        self.evidence_at(sight, id, &indices)
    }

    /// The same, where it is known upon which entries it rests.
    pub(crate) fn evidence_at(&self, sight: &Sight<'_>, id: String, indices: &[u64]) -> Result<Evidence, AppError> {
        let hosted = sight.hosted;
        let entries = self.prove(hosted, self.store().entries_at(hosted.number, indices)?)?;
        let checkpoint =
            entries.first().map_or_else(|| sight.seal.note.clone(), |entry| entry.receipt.checkpoint.clone());
        Ok(Evidence { version: 1, id, domain: hosted.name.clone(), checkpoint, head: None, entries })
    }

    /// The entries upon which a record rests: what was said, all descriptors, and the certificates of the signers.
    pub(crate) fn rests_on(&self, sight: &Sight<'_>, said: Said) -> Result<Vec<u64>, AppError> {
        let statements = with_groups(sight, said)?;
        let grantees = statements.iter().filter_map(|it| it.claims().grant.as_ref().map(|grant| grant.grantee));
        let signers: BTreeSet<Fingerprint> = statements.iter().map(Logged::signer).chain(grantees).collect();
        let mut indices: BTreeSet<u64> = statements.iter().map(Logged::index).collect();
        indices.extend(sight.domain.descriptor_indices());
        indices.extend(self.not_known_yet(sight, EntryKind::Descriptor)?.iter().map(|entry| entry.index));
        indices.extend(self.certificates_of(sight, &signers)?);
        Ok(indices.into_iter().filter(|index| *index < sight.seal.size).collect())
    }

    /// Every state of the certificates of these signers: an old one may have made a statement that still counts. The domain
    /// knows where they stand, so nothing is read of the certificates of others.
    pub(crate) fn certificates_of(
        &self,
        sight: &Sight<'_>,
        signers: &BTreeSet<Fingerprint>,
    ) -> Result<Vec<u64>, AppError> {
        let mut indices: Vec<u64> = signers.iter().flat_map(|it| sight.domain.certificate_states(it)).collect();
        let holder = |entry: &StoredEntry| openpgp_key_of(&entry.content.as_ref()?.body);
        let of_signer = |entry: &StoredEntry| holder(entry).is_some_and(|holder| signers.contains(&holder));
        let new = self.not_known_yet(sight, EntryKind::Certificate)?;
        indices.extend(new.iter().filter(|entry| of_signer(entry)).map(|entry| entry.index));
        Ok(indices)
    }

    /// The entries of a kind that can be read, and of which the domain says nothing yet: it is published a moment later.
    fn not_known_yet(&self, sight: &Sight<'_>, kind: EntryKind) -> Result<Vec<StoredEntry>, AppError> {
        if sight.is_whole() {
            return Ok(Vec::new());
        }
        self.entries_of_kind(sight.hosted, kind, sight.domain.size())
    }

    /// All entries of a kind from an index on that have effect, in log order.
    pub(crate) fn entries_of_kind(
        &self,
        hosted: &Hosted,
        kind: EntryKind,
        first: u64,
    ) -> Result<Vec<StoredEntry>, AppError> {
        let mut found = Vec::new();
        let mut from = Some(first);
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

    /// What a domain says of an identity now, if the reader may read it. Nothing is read of it where he may read nothing.
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

    /// The OpenPGP bodies about an identity that the reader may read: certificates of its signers are not among them.
    pub(crate) fn bodies(&self, reader: Reader, sight: &Sight<'_>, id: &IdentityId) -> Result<Vec<Vec<u8>>, AppError> {
        let own = self.own_certificate(sight, id)?;
        let Some((_, said)) = self.readable(reader, sight, id)? else { return Ok(own) };
        let indices: Vec<u64> = said.about.iter().filter(|it| !it.is_refused()).map(Logged::index).collect();
        let entries = self.store().entries_at(sight.hosted.number, &indices)?;
        let bodies = entries.into_iter().filter_map(|entry| entry.content.map(|content| content.body));
        Ok(own.into_iter().chain(bodies).collect())
    }

    /// The certificate of a signer, who is looked up like anything else that has a key.
    fn own_certificate(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<Vec<Vec<u8>>, AppError> {
        let IdentityId::Key(fingerprint) = id else { return Ok(Vec::new()) };
        let indices = certificate_at(&sight.domain, fingerprint, sight.seal.size);
        let entries = self.store().entries_at(sight.hosted.number, &indices)?;
        Ok(entries.into_iter().filter_map(|entry| entry.content.map(|content| content.body)).collect())
    }
}

/// A domain as of what is shown of it. A descriptor that waits for witnesses, or for the rest of a copy, rules nothing that
/// anybody could prove.
pub(super) fn as_shown(domain: &Arc<Domain>, size: u64) -> Arc<Domain> {
    if domain.size() <= size { Arc::clone(domain) } else { Arc::new(domain.shown_at(size)) }
}

/// Where a signer's certificate stands in a log of that size: its latest state, and what others have certified of it. A home
/// that waits for its witnesses knows of more than it shows.
pub(super) fn certificate_at(domain: &Domain, fingerprint: &Fingerprint, size: u64) -> Vec<u64> {
    let is_shown = |index: &u64| *index < size;
    let Some(state) = domain.certificate_states(fingerprint).filter(is_shown).last() else { return Vec::new() };
    let certified = domain.certifications(fingerprint).into_iter().filter(is_shown);
    core::iter::once(state).chain(certified).collect()
}

/// All statements that a verifier needs: those about groups of groups too, because roles are granted over them.
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

/// What somebody looks up.
pub(crate) fn parse(query: &str) -> Result<Lookup, AppError> {
    query.parse().map_err(|error: ics_core::name::NameError| AppError::new(Code::MalformedId, error.to_string()))
}

/// The one identity that a name must fit; they are all told, so they must be those that the reader may read.
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
