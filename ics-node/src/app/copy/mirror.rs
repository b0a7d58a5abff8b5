//! The mirror's side of the store: verified pages of entries from the home's log are judged and appended to this node's
//! copy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ics_core::domain::Domain;
use ics_core::limits;
use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::log::entry::{Entry, Header, LeafData};
use ics_core::statement::Remnant;
use ics_core::statement::body::{self, Body};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::Applier;
use ics_sync::mirror::{
    Doubt, Fill, Mirror, Resume, Seen, Settings, SignedCheckpoint, Stop, Survey, VerifiedEntry, VerifiedPage,
};
use ics_sync::wire::{Base64, Page};
use tokio::task::JoinHandle;

use super::looked::{Looked, bodies_of};
use super::peers::Peer;
use super::reveal::lose;
use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::admit::check::{Checked, check_logged};
use crate::app::admit::judge::{Judgement, grow, judge, why_without_effect};
use crate::app::entries::{Line, keys_of, keys_of_remnant};
use crate::app::hosted::Hosted;
use crate::app::outbox::json;
use crate::app::{App, AppError, random};
use crate::background::breathe_among;
use crate::store::{
    Content, Fork, Key, NewContent, NewEntry, Part, RightsMark, Seal, StoreError, StoredEntry, WriteError, WriteTx,
};

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

    /// What of a copy rests on the word of others than the home.
    pub(super) fn doubt(&self, hosted: &Hosted) -> Result<Option<Doubt>, AppError> {
        let damaged = |error| AppError::Internal(format!("what is kept of peers of `{}`: {error}", hosted.name));
        self.store().doubt(hosted.number)?.map(|json| serde_json::from_str(&json).map_err(damaged)).transpose()
    }

    /// The remnants that came in a part of the log instead of statements, by index, except those that an erasure in the
    /// same part confirms.
    fn unerased(&self, hosted: &Hosted, from: u64, end: u64) -> Result<BTreeMap<u64, Remnant>, AppError> {
        let (mut erased, mut from) = (BTreeMap::new(), from);
        while from < end {
            let entries = self.store().entries(hosted.number, from, limits::FEED_ENTRIES, limits::FEED_BYTES)?;
            from += entries.len().max(1) as u64;
            for StoredEntry { index, header, content, .. } in entries {
                match content {
                    None => erased.extend(Remnant::from_bytes(&header).map(|remnant| (index, remnant))),
                    Some(content) => {
                        if let Ok(Body::Erasure(signed)) = body::parse(&content.body)
                            && let Some((index, left)) = signed.erasure.leaves()
                            && erased.get(&index) == Some(&left)
                        {
                            erased.remove(&index);
                        }
                    }
                }
            }
        }
        Ok(erased)
    }

    /// Stores both heads of what is known to be a fork.
    pub(crate) fn keep_fork(&self, hosted: &Hosted, reason: &Stop) -> Result<(), AppError> {
        if let Stop::Fork { ours, theirs, .. } | Stop::Unproven { ours, theirs, .. } = reason {
            let ours = ours.clone().unwrap_or_default();
            let fork = Fork { domain: Some(hosted.number), at: self.clock().now(), ours, theirs: theirs.clone() };
            self.store().keep_fork(fork)?;
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

    /// Stores a verified page, in one transaction with the checkpoint that it reaches; at a home that has lost it, as
    /// part of what it gets back. Nothing is accepted from a log that contradicts what this node has seen of it as a
    /// witness, or in answers about single things.
    ///
    /// `looked` is the result of checking the page ahead of time, if that was done.
    pub(crate) fn take_page(
        &self,
        hosted: &Arc<Hosted>,
        page: &Arc<VerifiedPage>,
        looked: Option<Looked>,
    ) -> Result<(), AppError> {
        let mut checked = check_page(hosted.domain().as_deref(), page, looked, random()?).into_iter();
        let (writer, from, entries) = (Arc::clone(hosted), page.from, Arc::clone(page));
        let reached = page.checkpoint.clone().map(|checkpoint| self.seal_of(hosted, checkpoint));
        let (rights, ended) = (page.rights.as_ref().map(|rights| rights.0), page.ended.clone());
        let (settles, doubt) = (page.settles, page.doubt.as_ref().map(json).transpose()?);
        let seen = self.seen_beside(hosted, page)?;
        let now = self.clock().now();
        let job = move |tx: &mut WriteTx<'_>| {
            if tx.size() != from {
                return Err(StoreError::Refused {
                    rule: format!("a page from {from} on came to {} entries", tx.size()),
                });
            }
            let (mut domain, mut line) = writer.working_at(from)?;
            for entry in &entries.entries {
                breathe_among(entries.entries.len());
                match entry {
                    VerifiedEntry::Whole { header, entry } => {
                        append_copied(tx, &mut line, &mut domain, header, entry, checked.next(), now)?;
                    }
                    VerifiedEntry::Hidden(leaf) => append_hidden(tx, &mut domain, *leaf, None)?,
                    VerifiedEntry::Erased { leaf, remnant } => {
                        append_hidden(tx, &mut domain, *leaf, Some(*remnant))?;
                    }
                }
                refuse_fork(tx, seen.as_ref())?;
            }
            if writer.part == Part::Mirror {
                for index in ended.into_iter().filter(|index| *index < from) {
                    line.forget();
                    lose(tx, index)?;
                }
                match settles {
                    true => settle(tx, &writer, rights, doubt),
                    false => tx.doubt(doubt),
                }
            }
            if let Some(seal) = reached.filter(|seal| proves_as_much(seal, tx.head().seal.as_ref())) {
                tx.seal(seal)?;
            }
            writer.set_working(domain.clone(), line);
            Ok(domain)
        };
        let pending = match hosted.part {
            Part::Mirror => self.store().write(hosted.number, job)?,
            Part::Home => self.store().restore(hosted.number, job)?,
        };
        hosted.publish(pending.wait().map_err(|error| self.not_taken(page, error))?.value);
        self.tell(hosted);
        Ok(())
    }

    /// What this node has seen of the log that a page belongs to, other than as its mirror. What is already held is
    /// compared here, and what the page adds while it is appended.
    fn seen_beside(&self, hosted: &Hosted, page: &VerifiedPage) -> Result<Option<(u64, Hash)>, AppError> {
        let Some(reached) = page.checkpoint.as_ref().filter(|_| hosted.part == Part::Mirror) else { return Ok(None) };
        let Some(seen) = self.seen_of(&reached.checkpoint)? else { return Ok(None) };
        if seen.size <= page.from && self.store().root_at(hosted.number, seen.size)? != seen.root {
            let forked = StoreError::Forked { domain: hosted.name.clone(), size: seen.size };
            return Err(self.not_taken(page, WriteError::Job(forked)));
        }
        Ok(Some((seen.size, seen.root)))
    }

    /// Why a page was not accepted; the operator is told about a fork.
    fn not_taken(&self, page: &VerifiedPage, error: WriteError<StoreError>) -> AppError {
        if let (WriteError::Job(StoreError::Forked { .. }), Some(reached)) = (&error, &page.checkpoint)
            && let Err(error) = self.tell_of_fork(&reached.checkpoint, &reached.note)
        {
            return error;
        }
        error.into()
    }
}

/// Refuses a log that leads to another root than was seen.
fn refuse_fork(tx: &WriteTx<'_>, seen: Option<&(u64, Hash)>) -> Result<(), StoreError> {
    match seen {
        Some((size, root)) if tx.size() == *size && tx.root() != *root => {
            Err(StoreError::Forked { domain: tx.domain().name.clone(), size: *size })
        }
        _ => Ok(()),
    }
}

/// Whether a checkpoint may replace the one that is shown. For the same number of entries, one with a time that is not
/// believed proves less than one with a believed time; otherwise somebody with an old checkpoint of a home whose clock
/// was ahead could undo what a later one proved.
fn proves_as_much(new: &Seal, shown: Option<&Seal>) -> bool {
    let is_less = |shown: &Seal| shown.size == new.size && shown.cosigned_at.is_some();
    new.cosigned_at.is_some() || !shown.is_some_and(is_less)
}

/// Makes what was filled in take effect. Domains here that follow this one have passed over those entries and must look
/// at them now.
fn settle(tx: &mut WriteTx<'_>, hosted: &Hosted, rights: Option<RightsMark>, doubt: Option<String>) {
    let is_under_way = tx.sight().unsettled;
    if let Some(first) = hosted.take_filled().or(is_under_way.then_some(0)) {
        tx.follow_back(first);
    }
    tx.settle(rights, doubt);
}

/// Parses and verifies the bodies of a page, each as of the time at which the home, or its source, admitted it.
fn check_page(
    domain: Option<&Domain>,
    page: &VerifiedPage,
    looked: Option<Looked>,
    seed: [u8; 32],
) -> Vec<Result<Checked, Problem>> {
    let bodies: Vec<(&[u8], Timestamp)> = page
        .entries
        .iter()
        .filter_map(|entry| match entry {
            VerifiedEntry::Whole { header, entry } => Some((entry.body.as_slice(), header.keys_judged_at())),
            VerifiedEntry::Hidden(_) | VerifiedEntry::Erased { .. } => None,
        })
        .collect();
    looked.and_then(|looked| looked.of(domain, &bodies)).unwrap_or_else(|| check_logged(domain, &bodies, seed))
}

/// Appends what the home has logged. An entry that the policy, as this node applies it, would not have admitted stays
/// in the log without effect and raises an alarm.
fn append_copied(
    tx: &mut WriteTx<'_>,
    line: &mut Line,
    domain: &mut Option<Arc<Domain>>,
    header: &Header,
    entry: &Entry,
    checked: Option<Result<Checked, Problem>>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let judgement = match &checked {
        Some(Ok(checked)) => judge(&*tx, domain.as_deref(), header, checked, line)?,
        Some(Err(problem)) => Judgement::Refused(problem.clone()),
        None => Judgement::Refused(Problem::of(Code::MalformedStatement, "its body was not read".to_owned())),
    };
    let why = match judgement {
        Judgement::Admitted(admission) if admission.kind == header.kind => {
            let (keys, body) = checked.and_then(Result::ok).map(|checked| (checked.keys, checked.body)).unzip();
            // What was checked is byte for byte what the home has logged, so it need not be copied.
            let body = body.unwrap_or_else(|| entry.body.clone());
            let (index, leaf) = append(tx, keys.unwrap_or_default(), entry, body, true)?;
            return admission.extend(tx, domain, index, header, leaf);
        }
        Judgement::Admitted(admission) => {
            format!("its header calls it {}, it is {}", header.kind.as_str(), admission.kind.as_str())
        }
        Judgement::Present(index) => format!("it stands at index {index} already"),
        Judgement::Refused(problem) => why_without_effect(tx, tx.size(), &problem),
    };
    let (index, _) = append(tx, keys_of(header, &entry.body), entry, entry.body.clone(), false)?;
    tx.alarm(now, "entry-without-effect", &format!("entry {index}: {why}"));
    grow(domain, index, header.admitted_at);
    Ok(())
}

fn append_hidden(
    tx: &mut WriteTx<'_>,
    domain: &mut Option<Arc<Domain>>,
    leaf: LeafData,
    remnant: Option<Remnant>,
) -> Result<(), StoreError> {
    let content = NewContent::Leaf(leaf);
    let header = remnant.map_or_else(Vec::new, |remnant| remnant.to_bytes());
    let keys = remnant.map_or_else(Vec::new, |remnant| keys_of_remnant(&remnant));
    let index = tx.append(NewEntry { header, content, keys, effective: false })?;
    let last = domain.as_ref().map_or_else(Timestamp::default, |domain| domain.last_admitted_at());
    grow(domain, index, last);
    Ok(())
}

fn append(
    tx: &mut WriteTx<'_>,
    keys: Vec<Key>,
    entry: &Entry,
    body: Vec<u8>,
    effective: bool,
) -> Result<(u64, LeafData), StoreError> {
    let content = NewContent::Whole(Content { salt: entry.salt, body });
    tx.append_with_leaf(NewEntry { header: entry.header.clone(), content, keys, effective })
}

/// Hands verified pages to the store.
pub(crate) struct Taking {
    app: App,
    hosted: Arc<Hosted>,
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
            let mut looking = looking.lock().unwrap_or_else(PoisonError::into_inner);
            if looking.len() >= LOOKED_AHEAD {
                looking.clear();
            }
            looking.insert(from, crate::background::spawn(move || Looked::through(domain, bodies, seed)));
        }
    }

    async fn apply(&mut self, page: &Arc<VerifiedPage>) -> Result<(), String> {
        let looking = {
            let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
            let later = looking.split_off(&page.from.saturating_add(1));
            core::mem::replace(&mut *looking, later).remove(&page.from)
        };
        let looked = match looking {
            Some(looking) => looking.await.ok(),
            None => None,
        };
        let page = Arc::clone(page);
        self.blocking(move |app, hosted| app.take_page(hosted, &page, looked)).await
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
        self.blocking(move |app, hosted| app.take_fill(hosted, &fill)).await
    }
}

impl Taking {
    pub(crate) fn new(app: &App, hosted: &Arc<Hosted>) -> Self {
        Self { app: app.clone(), hosted: Arc::clone(hosted), looking: Arc::default() }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&App, &Arc<Hosted>) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, String> {
        let hosted = Arc::clone(&self.hosted);
        self.app.blocking(move |app| work(app, &hosted)).await.map_err(|error| error.to_string())
    }
}
