//! Mirrored domains: where a copy continues, and the storing of what its state machine reports.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ics_core::limits;
use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::statement::Remnant;
use ics_core::statement::body::{self, Body};
use ics_core::vocabulary::DomainName;
use ics_sync::Applier;
use ics_sync::mirror::{
    Awaited, Doubt, Fill, Mirror, Resume, Seen, Settings, SignedCheckpoint, Stop, Survey, VerifiedPage,
};
use ics_sync::wire::{Base64, Page};
use tokio::task::JoinHandle;

use super::looked::{Looked, bodies_of};
use super::peers::Peer;
use crate::app::hosted::{Hosted, Known};
use crate::app::{App, AppError, random};
use crate::locked::Locked as _;
use crate::store::{Fork, Seal, StoredEntry};

/// How many stored forks of a domain are searched for one that is already known.
const FORKS_LOOKED: usize = 1_000;

impl App {
    /// Resumes a mirror where it left off: at its last verified checkpoint.
    pub(crate) fn resume(&self, hosted: &Hosted, domain: &DomainName, peers: &[Arc<Peer>]) -> Result<Mirror, AppError> {
        let interval_millis = peers.iter().map(|peer| peer.config.interval_ms).min().unwrap_or_default();
        let mut origins = peers.iter().flat_map(|peer| &peer.config.mirror);
        let origin = origins.find(|origin| origin.domain == *domain);
        let origin = origin.ok_or_else(|| AppError::unknown_domain(domain))?;
        self.resume_at(hosted, origin, interval_millis, true)
    }

    /// Resumes a domain of this origin; `listens` says whether it also listens for news, or only asks.
    pub(crate) fn resume_at(
        &self,
        hosted: &Hosted,
        origin: &Origin,
        interval_millis: u64,
        listens: bool,
    ) -> Result<Mirror, AppError> {
        self.store().check_sound(hosted.number)?;
        let settings = Settings { interval_millis, listens, seed: u64::from_be_bytes(random()?) };
        if hosted.domain().is_none() && self.store().head(hosted.number)?.size > 0 {
            hosted.hold_still(|| self.read_again(hosted))?;
        }
        let Some(known) = hosted.domain() else { return Ok(Mirror::pinned(origin.clone(), settings)) };
        let (head, sight) = (self.store().head(hosted.number)?, self.store().sight(hosted.number)?);
        let proven = head.seal.as_ref().map_or(0, |seal| seal.size);
        let resume = Resume {
            origin: known.origin(),
            descriptor: known.descriptor().clone(),
            tree: self.store().tree(hosted.number)?,
            admitted_at: known.last_admitted_at(),
            checkpoint: head.seal.map(|seal| seal.note),
            rights: sight.rights.map(Base64),
            unsettled: sight.unsettled,
            erased: self.unerased(hosted, proven, head.size)?,
            doubt: self.doubt(hosted)?,
        };
        Ok(Mirror::resume(resume, settings, self.clock().now()))
    }

    /// Reads what the log says about the domain itself, where that failed after the end of the copy was given up: what
    /// is held would else be taken for nothing, and no page would fit it. What is held stays as it is, so nobody who
    /// copies begins anew for it.
    fn read_again(&self, hosted: &Hosted) -> Result<(), AppError> {
        // Somebody else may have read it meanwhile, and gone on.
        if hosted.domain().is_none() {
            hosted.begin_again(self.known_if_sound(hosted)?);
        }
        Ok(())
    }

    /// What of a copy rests on the word of others than the home.
    pub(super) fn doubt(&self, hosted: &Hosted) -> Result<Option<Doubt>, AppError> {
        let damaged = |error| AppError::Internal(format!("what is kept of peers of `{}`: {error}", hosted.name));
        self.store().doubt(hosted.number)?.map(|json| serde_json::from_str(&json).map_err(damaged)).transpose()
    }

    /// The remnants that came in a part of the log instead of statements, except those that an erasure in the same part
    /// confirms.
    fn unerased(&self, hosted: &Hosted, from: u64, end: u64) -> Result<Awaited, AppError> {
        let (mut erased, mut from) = (Awaited::default(), from);
        while from < end {
            let entries = self.store().entries(hosted.number, from, limits::FEED_ENTRIES, limits::FEED_BYTES)?;
            from += entries.len().max(1) as u64;
            for StoredEntry { index, header, content, effective, .. } in entries {
                match content {
                    None => erased.extend(Remnant::from_bytes(&header).map(|remnant| (index, remnant))),
                    // An erasure without effect erased nothing.
                    Some(_) if !effective => {}
                    Some(content) => {
                        if let Ok(Body::Erasure(signed)) = body::parse(&content.body)
                            && let Some((index, left)) = signed.erasure.leaves()
                        {
                            erased.confirm(index, &left);
                        }
                    }
                }
            }
        }
        Ok(erased)
    }

    /// Stores both heads of what is known to be a fork. One proof against a head of this log is enough: a peer that is
    /// asked again and again shows another head of the other log each time that log is cosigned.
    pub(crate) fn keep_fork(&self, hosted: &Hosted, reason: &Stop) -> Result<(), AppError> {
        if let Stop::Fork { ours, theirs, .. } | Stop::Unproven { ours, theirs, .. } = reason {
            let ours = ours.clone().unwrap_or_default();
            let kept = self.store().forks(Some(hosted.number), FORKS_LOOKED)?;
            if kept.iter().all(|fork| fork.ours != ours) {
                let fork = Fork { domain: Some(hosted.number), at: self.clock().now(), ours, theirs: theirs.clone() };
                self.store().keep_fork(fork)?;
            }
        }
        Ok(())
    }

    /// A checkpoint as it is stored, with the time at which its home cosigned it. A clock that is behind follows that
    /// time.
    pub(crate) fn seal_of(&self, hosted: &Hosted, checkpoint: SignedCheckpoint) -> Seal {
        let SignedCheckpoint { checkpoint, note, as_of, claimed, .. } = checkpoint;
        let believed = claimed.filter(|time| self.clock().learn(&hosted.name, *time));
        Seal { size: checkpoint.size, root: checkpoint.root, note, cosigned_at: as_of.or(believed) }
    }
}

/// Hands verified pages to the store.
pub(crate) struct Taking {
    app: App,
    hosted: Arc<Hosted>,
    /// Up to which change the copier knows the copy.
    known: Arc<Known>,
    /// The checks under way of pages that probably come next, by their first index: while one thread writes, the others
    /// verify.
    looking: Arc<Mutex<BTreeMap<u64, JoinHandle<Looked>>>>,
}

/// How many pages are checked ahead at most. Checks of pages that were requested in vain are only dropped by this
/// limit.
const LOOKED_AHEAD: usize = 4;

impl Applier for Taking {
    fn ahead(&self) -> impl Fn(u64, &Page) + Send + use<> {
        let (hosted, looking) = (Arc::clone(&self.hosted), Arc::clone(&self.looking));
        move |from, page| {
            let (Some(bodies), Ok(seed)) = (bodies_of(page), random()) else { return };
            let domain = hosted.domain();
            let mut looking = looking.locked();
            if looking.len() >= LOOKED_AHEAD {
                looking.clear();
            }
            looking.insert(from, crate::background::spawn(move || Looked::through(domain, bodies, seed)));
        }
    }

    async fn apply(&mut self, page: &Arc<VerifiedPage>) -> Result<(), String> {
        let looking = {
            let mut looking = self.looking.locked();
            let later = looking.split_off(&page.from.saturating_add(1));
            core::mem::replace(&mut *looking, later).remove(&page.from)
        };
        let looked = match looking {
            Some(looking) => looking.await.ok(),
            None => None,
        };
        let page = Arc::clone(page);
        self.change(move |app, hosted| app.take_page(hosted, &page, looked)).await
    }

    async fn root_at(&mut self, size: u64) -> Result<Hash, String> {
        self.blocking(move |app, hosted| Ok(app.store().root_at(hosted.number, size)?)).await
    }

    async fn survey(&mut self, survey: &Survey) -> Result<Vec<Seen>, String> {
        let survey = survey.clone();
        self.blocking(move |app, hosted| app.survey(hosted, &survey)).await
    }

    async fn fill(&mut self, fill: &Fill) -> Result<(), String> {
        let fill = fill.clone();
        self.change(move |app, hosted| app.take_fill(hosted, &fill)).await
    }
}

impl Taking {
    /// `known` is from before it was read where the copy continues.
    pub(crate) fn new(app: &App, hosted: &Arc<Hosted>, known: Known) -> Self {
        Self { app: app.clone(), hosted: Arc::clone(hosted), known: Arc::new(known), looking: Arc::default() }
    }

    /// Changes what is held, unless it was changed by somebody who brings a bundle.
    async fn change(
        &self,
        work: impl FnOnce(&App, &Arc<Hosted>) -> Result<(), AppError> + Send + 'static,
    ) -> Result<(), String> {
        let known = Arc::clone(&self.known);
        let changed = self.blocking(move |app, hosted| hosted.change(&known, || work(app, hosted)).transpose()).await?;
        changed.ok_or_else(|| {
            self.hosted.moved.send_modify(|moves| *moves += 1);
            "the copy was changed by a bundle that was brought, and goes on from there".to_owned()
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&App, &Arc<Hosted>) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, String> {
        let hosted = Arc::clone(&self.hosted);
        self.app.blocking(move |app| work(app, &hosted)).await.map_err(|error| error.to_string())
    }
}
