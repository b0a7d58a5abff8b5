//! A page of a log on its way into the store of a copy.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::vec::IntoIter;

use ics_core::domain::Domain;
use ics_core::log::Hash;
use ics_core::log::entry::{Entry, Header, LeafData};
use ics_core::log::merkle::leaf_hash;
use ics_core::statement::Remnant;
use ics_core::time::Timestamp;
use ics_sync::mirror::{VerifiedEntry, VerifiedPage};

use super::looked::Looked;
use super::reveal::lose;
use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::admit::check::{Checked, check_logged};
use crate::app::admit::judge::{Judgement, grow, judge, why_without_effect};
use crate::app::admit::submit::JOB_WORK;
use crate::app::entries::{Line, keys_of, keys_of_remnant};
use crate::app::hosted::Hosted;
use crate::app::outbox::json;
use crate::app::{App, AppError, random};
use crate::background::breathe_among;
use crate::store::{Content, Key, NewContent, NewEntry, Part, RightsMark, Seal, StoreError, WriteError, WriteTx};

impl App {
    /// Stores a verified page; at a home that has lost it, as part of what it gets back. Nothing is accepted from a log
    /// that contradicts what this node has seen of it as a witness, or in answers about single things.
    ///
    /// A page that takes long is stored in several jobs, between which the writer does other jobs
    /// ([`Arriving::append_some`]). `looked` is the result of checking the page ahead of time, if that was done.
    pub(crate) fn take_page(
        &self,
        hosted: &Arc<Hosted>,
        page: &Arc<VerifiedPage>,
        looked: Option<Looked>,
    ) -> Result<(), AppError> {
        self.take_page_in_jobs(hosted, page, looked, JOB_WORK)
    }

    /// As [`App::take_page`], in jobs of at most `most` work, but at least one entry each.
    pub(in crate::app) fn take_page_in_jobs(
        &self,
        hosted: &Arc<Hosted>,
        page: &Arc<VerifiedPage>,
        looked: Option<Looked>,
        most: usize,
    ) -> Result<(), AppError> {
        let mut arriving = self.arriving(hosted, page, looked)?;
        self.check_against_seen(hosted, page)?;
        loop {
            let is_begun = arriving.done > 0;
            let appended = self.append_part(hosted, arriving, most).map_err(|error| self.not_taken(page, error));
            if is_begun && appended.is_err() {
                // The copier believes that nothing of this page is here, so it must start anew from what is.
                hosted.moved.send_modify(|moves| *moves += 1);
            }
            arriving = appended?;
            if arriving.is_done() {
                if page.settles && hosted.lacks_certification.load(Ordering::Relaxed) {
                    self.learn_certifications(hosted);
                }
                return Ok(());
            }
        }
    }

    /// Lets the domain know of the certifications that were filled in and have taken effect with a page; what is
    /// appended it knows anyway. The page is stored even if that fails, and the copier must not believe otherwise.
    fn learn_certifications(&self, hosted: &Hosted) {
        match self.known_if_sound(hosted) {
            Ok(known) => {
                hosted.begin_again(known);
                hosted.lacks_certification.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(domain = %hosted.name, %error, "certifications are learnt with a later page");
            }
        }
    }

    /// A page to be stored, with its bodies verified.
    fn arriving(
        &self,
        hosted: &Hosted,
        page: &Arc<VerifiedPage>,
        looked: Option<Looked>,
    ) -> Result<Arriving, AppError> {
        let checked = check_page(hosted.domain().as_deref(), page, looked, random()?).into_iter();
        let reached = page.checkpoint.clone().map(|checkpoint| self.seal_of(hosted, checkpoint));
        let doubt = page.doubt.as_ref().map(json).transpose()?;
        Ok(Arriving { page: Arc::clone(page), checked, done: 0, reached, doubt, now: self.clock().now() })
    }

    /// Has the writer append part of a page, and waits until that is durable; returns what is left of the page.
    fn append_part(
        &self,
        hosted: &Arc<Hosted>,
        mut arriving: Arriving,
        most: usize,
    ) -> Result<Arriving, WriteError<StoreError>> {
        let writer = Arc::clone(hosted);
        let job = move |tx: &mut WriteTx<'_>| arriving.append_some(tx, &writer, most).map(|()| arriving);
        let pending = match hosted.part {
            Part::Mirror => self.store().write(hosted.number, job)?,
            Part::Home => self.store().restore(hosted.number, job)?,
        };
        let arriving = pending.wait()?.value;
        self.tell(hosted);
        Ok(arriving)
    }

    /// Refuses a page as a whole, before anything of it is stored, if it leads to the checkpoint of another log than
    /// the one that this node has seen other than as its mirror.
    fn check_against_seen(&self, hosted: &Hosted, page: &VerifiedPage) -> Result<(), AppError> {
        let Some(reached) = page.checkpoint.as_ref().filter(|_| hosted.part == Part::Mirror) else { return Ok(()) };
        let Some(seen) = self.seen_of(&reached.checkpoint)? else { return Ok(()) };
        if self.root_with(hosted, page, seen.size)? == seen.root {
            return Ok(());
        }
        let forked = StoreError::Forked { domain: hosted.name.clone(), size: seen.size };
        Err(self.not_taken(page, WriteError::Job(forked)))
    }

    /// The root of the first `size` entries of the log held here, continued by a page.
    fn root_with(&self, hosted: &Hosted, page: &VerifiedPage, size: u64) -> Result<Hash, AppError> {
        if size <= page.from {
            return Ok(self.store().root_at(hosted.number, size)?);
        }
        let mut tree = self.store().tree(hosted.number)?;
        if tree.size() != page.from {
            return Err(StoreError::refused(out_of_place(page.from, tree.size())).into());
        }
        for entry in &page.entries {
            if tree.size() < size {
                tree.push(leaf_hash(&entry.leaf_data()));
            }
        }
        Ok(tree.root())
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

/// A page that is being stored, in one or several jobs of the writer.
pub(in crate::app) struct Arriving {
    page: Arc<VerifiedPage>,
    /// The checked bodies of the entries that are not appended yet.
    checked: IntoIter<Result<Checked, Problem>>,
    /// How many of its entries have been appended.
    done: usize,
    /// Its checkpoint, as it is stored.
    reached: Option<Seal>,
    /// What will rest on the word of nodes other than the home from now on, as JSON.
    doubt: Option<String>,
    now: Timestamp,
}

impl Arriving {
    /// Whether all of it is stored.
    pub(in crate::app) fn is_done(&self) -> bool {
        self.done >= self.page.entries.len()
    }

    /// In the writer: appends more of its entries, until `most` work is done ([`Line::work`]), but at least one.
    ///
    /// What the page says about this node's rights takes effect with the first part, as if the sender had sent a
    /// shorter page: otherwise, after a crash in between, it would no longer be known which entries may be hidden here,
    /// and on whose word. The checkpoint comes with the last part: readers see no more than it covers, and so nothing
    /// of the page before that.
    pub(in crate::app) fn append_some(
        &mut self,
        tx: &mut WriteTx<'_>,
        hosted: &Arc<Hosted>,
        most: usize,
    ) -> Result<(), StoreError> {
        let page = Arc::clone(&self.page);
        let (is_first, from) = (self.done == 0, page.from + self.done as u64);
        if tx.size() != from {
            return Err(StoreError::refused(out_of_place(from, tx.size())));
        }
        let (mut domain, mut line) = hosted.working_at(from)?;
        let before = line.work();
        for entry in page.entries.iter().skip(self.done) {
            breathe_among(page.entries.len());
            match entry {
                VerifiedEntry::Whole { header, entry } => {
                    append_copied(tx, &mut line, &mut domain, header, entry, self.checked.next(), self.now)?;
                }
                VerifiedEntry::Hidden(leaf) => append_hidden(tx, &mut domain, *leaf, None)?,
                VerifiedEntry::Erased { leaf, remnant } => append_hidden(tx, &mut domain, *leaf, Some(*remnant))?,
            }
            self.done += 1;
            if line.work() - before >= most {
                break;
            }
        }
        if is_first && hosted.part == Part::Mirror {
            self.decide_rights(tx, hosted, &mut line)?;
        }
        if self.is_done()
            && let Some(seal) = self.reached.take()
            && proves_as_much(&seal, tx.head().seal.as_ref())
        {
            tx.seal(seal)?;
        }
        hosted.leave(tx, domain, line);
        Ok(())
    }

    /// Applies what the page says about this node's rights: what the node may no longer read is removed, and what was
    /// filled in takes effect if the page settles that.
    fn decide_rights(&mut self, tx: &mut WriteTx<'_>, hosted: &Hosted, line: &mut Line) -> Result<(), StoreError> {
        for index in self.page.ended.iter().filter(|index| **index < self.page.from) {
            line.forget();
            lose(tx, *index)?;
        }
        let doubt = self.doubt.take();
        match self.page.settles {
            true => settle(tx, hosted, self.page.rights.as_ref().map(|rights| rights.0), doubt),
            false => tx.doubt(doubt),
        }
        Ok(())
    }
}

/// Why a page, or what is left of one, is not accepted.
fn out_of_place(from: u64, size: u64) -> String {
    format!("a page that begins at entry {from} came to a copy of {size} entries")
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
