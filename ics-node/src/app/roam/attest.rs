//! What this node answers to nodes without a copy: as a home what it attests itself, otherwise what it got from another
//! node.

use std::sync::Arc;

use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::record_head::{Finding, HeadReader, RecordHead};
use ics_core::vocabulary::DomainName;
use ics_sync::wire::{Attestation, Base64};

use super::kept::{Answer, Outcome, Sought};
use crate::api::Evidence;
use crate::api::problem::Code;
use crate::app::answer::answers::Query;
use crate::app::answer::read::{Sight, ambiguous};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader};
use crate::store::Part;

/// How often evidence is assembled again while the log keeps growing.
const TRIES: usize = 8;

impl App {
    /// Evidence of what a domain of this node says about a thing, with the record head that says that this is
    /// everything; `None` if this node is not its home. What the reader may not read looks like what does not exist.
    ///
    /// # Errors
    /// When a name fits several things, the domain cannot be read now, something said about the thing was erased and
    /// what is left of it is not shown yet, or the log grows faster than it is read. While that is so of anything in
    /// the domain, readers who may not read everything are not told of any thing that nothing is said about it.
    pub fn attest(
        &self,
        reader: Reader,
        domain: &DomainName,
        query: &Query,
        seen: u64,
    ) -> Result<Option<Attestation>, AppError> {
        let Ok(hosted) = self.hosted(domain) else { return Ok(None) };
        if hosted.part != Part::Home {
            return Ok(None);
        }
        for _ in 0..TRIES {
            let sight = self.sight(&hosted)?;
            let ids = self.identities_for(reader, &sight, query.lookup())?;
            if ids.len() > 1 {
                return Err(ambiguous(query.text(), &ids));
            }
            let evidence = self.all_that_is_said(reader, &sight, query, ids.first())?;
            let is_shown_all = self.is_shown_all(reader, &sight.domain);
            match ids.first() {
                Some(id) if is_shown_all || !is_nothing(&evidence) => self.check_all_is_shown(&sight, id)?,
                // That nothing is said would take the place of an earlier answer, which may have had a block. But who
                // may read nothing about a thing must not learn that it is known, so that is not said of any thing.
                _ if !is_shown_all && self.may_read_any(reader, &sight.domain) => {
                    self.check_no_erasure_waits(&sight)?
                }
                _ => {}
            }
            // The log may have grown meanwhile.
            if size_of(&evidence.checkpoint) == Some(sight.seal.size) {
                let head = self.record_head_of(reader, &sight, query, &evidence)?;
                let consistency = self.consistency_from(&hosted, seen, sight.seal.size)?;
                return Ok(Some(Attestation { evidence: Evidence { head: Some(head), ..evidence }, consistency }));
            }
        }
        Err(AppError::new(Code::Busy, "the log goes on faster than it is read"))
    }

    /// The evidence alone, if something is said that the reader may read.
    pub(in crate::app) fn attested_evidence(
        &self,
        reader: Reader,
        domain: &DomainName,
        query: &Query,
    ) -> Result<Evidence, AppError> {
        let attested = self.attest(reader, domain, query, 0)?.map(|attested| attested.evidence);
        let said = attested.filter(|evidence| !is_nothing(evidence));
        said.ok_or_else(|| AppError::unknown_identity(query.text()))
    }

    fn all_that_is_said(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        query: &Query,
        id: Option<&IdentityId>,
    ) -> Result<Evidence, AppError> {
        let readable = id.map(|id| self.readable(reader, sight, id)).transpose()?.flatten();
        match readable {
            Some((record, said)) => self.evidence_of(sight, record.identity.id.to_string(), Some(said)),
            None => self.evidence_of(sight, query.canonical(), None),
        }
    }

    /// Signs which entries there are. Evidence of nothing holds only descriptors, and its id is the question.
    fn record_head_of(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        query: &Query,
        evidence: &Evidence,
    ) -> Result<String, AppError> {
        let finding =
            if is_nothing(evidence) { Finding::Nothing(pin(reader)) } else { Finding::Identity(evidence.id.clone()) };
        let indices = evidence.entries.iter().map(|entry| entry.receipt.index).collect();
        self.record_head(sight, query.canonical(), finding, indices)
    }

    /// Signs which entries there are, as this node sees the domain.
    pub(super) fn record_head(
        &self,
        sight: &Sight<'_>,
        asked: String,
        finding: Finding,
        indices: Vec<u64>,
    ) -> Result<String, AppError> {
        let head = RecordHead {
            origin: sight.domain.origin(),
            asked,
            finding,
            at: self.clock().now().whole_seconds(),
            size: sight.seal.size,
            root: sight.seal.root,
            indices,
        };
        head.sign(&*self.0.keys.key).map_err(|error| AppError::Internal(format!("a record head: {error}")))
    }

    fn consistency_from(&self, hosted: &Hosted, seen: u64, size: u64) -> Result<Vec<Base64<[u8; 32]>>, AppError> {
        if seen == 0 || seen >= size {
            return Ok(Vec::new());
        }
        let proof = self.store().consistency_proof(hosted.number, seen, size)?;
        Ok(proof.into_iter().map(|hash| Base64(hash.0)).collect())
    }

    /// What the home of a domain attests, fetched from a peer for a reader that this node knows. The reader gets only
    /// what the domain's own rules permit, and questions beyond its budget are answered from what is kept.
    ///
    /// # Errors
    /// When this node has a copy of the domain, which everybody may know; and when the reader is a stranger, may not
    /// have others asked, or nobody has an answer for it, all of which look alike.
    pub async fn relay(
        &self,
        reader: Reader,
        domain: &DomainName,
        query: &Query,
        (hops, seen): (u8, u64),
    ) -> Result<Attestation, AppError> {
        let is_known = !self.is_stranger(reader);
        let origin: Option<Origin> = self.peers_table().roamed_origin(domain).filter(|_| is_known && hops > 0);
        let origin = origin.ok_or_else(|| self.not_attested(domain))?;
        let sought = Sought { origin, asked: query.canonical() };
        let asker = self.asker(reader, None);
        let answer = if self.roaming().may_ask(asker) {
            let _place = self.roaming().place(&sought).await;
            self.ask_peers(&sought, (hops.min(limits::ROAMING_HOPS) - 1, asker), |_| true).await.ok()
        } else {
            self.roaming().count(Outcome::Limited);
            None
        };
        // An answer from before shows its time; an answer to another question is none for this reader.
        let is_to_it = |answer: &Arc<Answer>| answer.attested.head.asked == sought.asked;
        let answer = answer.or_else(|| self.roaming().recall(&sought).filter(is_to_it));
        let answer = answer.ok_or_else(|| AppError::unknown_identity(query.text()))?;
        let record = answer.attested.testimony.record.as_ref();
        let may_read = |record| self.may_read(reader, &answer.attested.domain, record);
        if !record.is_some_and(may_read) {
            return Err(AppError::unknown_identity(query.text()));
        }
        let consistency = self.proof_of(&answer, seen).await;
        Ok(Attestation { evidence: answer.evidence.clone(), consistency })
    }

    /// Why nothing of a domain is attested here: only its home can say that nothing is left out, so a copy does not
    /// attest.
    fn not_attested(&self, domain: &DomainName) -> AppError {
        let Some(held) = self.hosted(domain).ok().and_then(|hosted| hosted.domain()) else {
            return AppError::unknown_domain(domain);
        };
        let home = &held.descriptor().home.name;
        let detail = format!("this node has a copy of `{domain}`; only its home (`{home}`) attests: ask there");
        AppError::new(Code::NotHome, detail)
    }

    /// The evidence alone, requested on this node's own behalf.
    ///
    /// # Errors
    /// As [`App::relay`], and when the query is malformed.
    pub async fn relay_evidence(&self, reader: Reader, domain: &DomainName, query: &str) -> Result<Evidence, AppError> {
        let asked = Query::parse(query)?;
        Ok(self.relay(reader, domain, &asked, (limits::ROAMING_HOPS + 1, 0)).await?.evidence)
    }

    /// The proof that an answer follows from what a reader has seen, from the peer that gave the answer; empty if the
    /// peer cannot be reached.
    async fn proof_of(&self, answer: &Answer, seen: u64) -> Vec<Base64<[u8; 32]>> {
        let Checkpoint { origin, size, .. } = &answer.attested.checkpoint;
        if seen == 0 || seen >= *size {
            return Vec::new();
        }
        let Ok(peer) = self.peers_table().named(&answer.from) else { return Vec::new() };
        let Some(asking) = peer.asking() else { return Vec::new() };
        asking.http.consistency(&origin.domain, seen, *size).await.unwrap_or_default()
    }
}

/// Whether evidence shows nothing of the thing: then it holds only descriptors.
fn is_nothing(evidence: &Evidence) -> bool {
    evidence.entries.iter().all(|entry| entry.kind == "descriptor")
}

pub(super) fn pin(reader: Reader) -> HeadReader {
    match reader {
        Reader::Key(key) => Some(*key.as_bytes()),
        Reader::Anonymous | Reader::Operator => None,
    }
}

pub(super) fn size_of(checkpoint: &str) -> Option<u64> {
    Checkpoint::claimed(checkpoint).ok().map(|checkpoint| checkpoint.size)
}
