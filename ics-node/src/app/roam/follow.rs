//! Adopting and following single things of a domain of which no copy is here, by what its home attests of them.
//!
//! All that the home says of a thing comes with each answer, so nothing is to be kept but how far its log was looked at.
//! Who follows many things, or a model or a lot, keeps a copy: without one nobody knows what there is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;

use super::attest::size_of;
use super::kept::{Answer, Sought};
use crate::api::{AdoptionRequest, AdoptionResult, ProvenEntry};
use crate::app::answers::Query;
use crate::app::follow::kept;
use crate::app::hosted::Hosted;
use crate::app::problem::Code;
use crate::app::{App, AppError};
use crate::store::{Following, Part};

/// A domain of this node, what it follows, and by which origin that is asked for.
type Work = (Arc<Hosted>, Following, Origin);

impl App {
    /// The origin by which others are asked about a domain of which there is no copy here.
    pub(in crate::app) fn elsewhere(&self, domain: &DomainName) -> Option<Origin> {
        if self.hosted(domain).is_ok() { None } else { self.peers_table().roamed_origin(domain) }
    }

    /// Takes things of such a domain into one of this node, and has it follow them if that is wanted.
    ///
    /// # Errors
    /// When a model or a lot is wanted, nobody has an answer that is proved, or the domain does not know one of them.
    pub(in crate::app) async fn adopt_elsewhere(
        &self,
        target: &Arc<Hosted>,
        origin: &Origin,
        request: &AdoptionRequest,
    ) -> Result<(AdoptionResult, u64), AppError> {
        let source = &origin.domain;
        if request.model.is_some() || request.lot.is_some() {
            let detail = format!("no copy of `{source}` is here: without one only things that are named are adopted");
            return Err(AppError::new(Code::UnknownDomain, detail));
        }
        let (mut result, mut ids, mut reached, mut size) = (AdoptionResult::default(), BTreeSet::new(), u64::MAX, 0);
        for query in &request.ids {
            let sought = Sought { origin: origin.clone(), asked: Query::parse(query)?.canonical() };
            let answer = self.ask_peers(&sought, limits::ROAMING_HOPS).await;
            let answer =
                answer.map_err(|why| AppError::new(Code::Behind, format!("`{source}` is not heard: {why}")))?;
            ids.insert(answer.identity().ok_or_else(|| AppError::unknown_identity(query))?);
            reached = reached.min(answer.attested.checkpoint.size);
            if request.follow != Some(false) {
                let (all, _) = said(&answer, 0);
                let into = Arc::clone(target);
                let taken = self.at_once(move |app| app.take_all(&into, vec![all])).await?;
                size = size.max(taken.1);
                add(&mut result, taken.0);
            }
        }
        result.identities = ids.iter().map(ToString::to_string).collect();
        if let Some(follows) = request.follow {
            let (what, into, source) = (kept(request, &ids)?, Arc::clone(target), source.clone());
            self.at_once(move |app| app.set_follow(&into, &source, what, follows, reached)).await?;
        }
        Ok((result, size))
    }

    /// Takes over what the homes of such domains attest of the things that are followed, where their logs have gone on.
    pub(in crate::app) async fn follow_elsewhere(&self) {
        for (target, following, origin) in self.at_once(|app| Ok(app.followed_elsewhere())).await.unwrap_or_default() {
            let took = self.follow_from_afar(&target, &following, &origin).await;
            if let Err(error) = &took {
                tracing::warn!(domain = %target.name, source = %origin.domain, %error, "it is not followed");
            }
            target.set_follow_error(&following.source, took.err().map(|error| error.to_string()));
        }
    }

    /// What is to be looked at now: each as often as the peers are looked at who cannot push.
    fn followed_elsewhere(&self) -> Vec<Work> {
        let mut work = Vec::new();
        for target in self.all_hosted().into_iter().filter(|hosted| hosted.part == Part::Home) {
            for following in self.store().followed(target.number).unwrap_or_default() {
                let Some(origin) = self.elsewhere(&following.source) else { continue };
                let intervals = self.peers_table().asked_about(&origin).into_iter().map(|peer| peer.config.interval_ms);
                let pause = Duration::from_millis(intervals.min().unwrap_or(2_000));
                if self.roaming().is_due((&target.name, &following.source), pause, Instant::now()) {
                    work.push((Arc::clone(&target), following, origin));
                }
            }
        }
        work
    }

    async fn follow_from_afar(
        &self,
        target: &Arc<Hosted>,
        following: &Following,
        origin: &Origin,
    ) -> Result<(), AppError> {
        let source = &following.source;
        if self.size_elsewhere(origin).await.is_some_and(|size| size <= following.upto) {
            return Ok(());
        }
        let (into, from) = (Arc::clone(target), source.clone());
        let ids = self.at_once(move |app| Ok(app.store().followed_ids(into.number, &from)?)).await?;
        let mut reached = u64::MAX;
        for id in ids {
            let sought = Sought { origin: origin.clone(), asked: id };
            let answer = self.ask_peers(&sought, limits::ROAMING_HOPS).await;
            let answer =
                answer.map_err(|why| AppError::new(Code::Behind, format!("`{source}` is not heard: {why}")))?;
            reached = reached.min(answer.attested.checkpoint.size);
            let (into, upto) = (Arc::clone(target), following.upto);
            self.at_once(move |app| app.take_over_answer(&into, &answer, upto)).await?;
        }
        if reached < u64::MAX {
            let (into, from) = (Arc::clone(target), source.clone());
            self.at_once(move |app| Ok(app.store().follow_upto(into.number, &from, reached)?)).await?;
        }
        Ok(())
    }

    /// How far the log is said to go: nothing rests on that but whether it is asked about things.
    async fn size_elsewhere(&self, origin: &Origin) -> Option<u64> {
        for peer in self.peers_table().asked_about(origin) {
            if let Some(asking) = peer.asking()
                && let Ok(note) = asking.http.checkpoint(&origin.domain).await
            {
                return size_of(&note);
            }
        }
        None
    }

    /// Takes over what a home attests, if its rules let it be followed; what is new and is not admitted is alarmed.
    fn take_over_answer(&self, target: &Arc<Hosted>, answer: &Answer, new_from: u64) -> Result<(), AppError> {
        let Some((domain, record)) = target.domain().zip(answer.attested.testimony.record.as_ref()) else {
            return Ok(());
        };
        if !self.may_follow(&domain, &answer.attested.domain, record) {
            return Ok(());
        }
        let (old, new) = said(answer, new_from);
        self.take_all(target, vec![old])?;
        let (result, _) = self.take_all(target, vec![new])?;
        for problem in result.refused {
            let text = format!("{}: {}", answer.attested.testimony.origin.domain, problem.detail);
            self.store().alarm(Some(target.number), self.clock().now(), "not-taken-over", &text)?;
        }
        Ok(())
    }

    fn take_all(
        &self,
        target: &Arc<Hosted>,
        batches: Vec<Vec<ProvenEntry>>,
    ) -> Result<(AdoptionResult, u64), AppError> {
        let (mut result, mut size) = (AdoptionResult::default(), 0);
        for entries in batches.iter().flat_map(|entries| entries.chunks(limits::BATCH_STATEMENTS)) {
            size = self.take(target, entries.to_vec(), &mut result)?.max(size);
        }
        Ok((result, size))
    }

    async fn at_once<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, AppError> {
        let app = self.clone();
        let ended = crate::background::spawn(move || work(&app)).await;
        ended.unwrap_or_else(|error| Err(AppError::Internal(format!("what was asked for was given up: {error}"))))
    }
}

fn add(result: &mut AdoptionResult, more: AdoptionResult) {
    result.adopted += more.adopted;
    result.present += more.present;
    result.refused.extend(more.refused);
}

/// What is said of a thing, and the certificates behind that: what stands before an index, and the rest. A domain's
/// descriptors and erasures are its own.
fn said(answer: &Answer, from: u64) -> (Vec<ProvenEntry>, Vec<ProvenEntry>) {
    let is_taken = |entry: &&ProvenEntry| ["statement", "document", "certificate"].contains(&entry.kind.as_str());
    let all = answer.evidence.entries.iter().filter(is_taken).cloned();
    if from == 0 { (all.collect(), Vec::new()) } else { all.partition(|entry| entry.receipt.index < from) }
}
