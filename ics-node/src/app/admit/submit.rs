//! Takes statements in at a domain's home.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ics_core::domain::Domain;
use ics_core::limits;
use ics_core::log::entry::{EntryKind, Header, Salt};
use ics_core::log::source::Source;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::check::{Checked, What, check_sent};
use super::judge::{Judgement, judge};
use super::sender::Sender;
use super::unite::{revocation_alone, united_late};
use crate::api::problem::Code;
use crate::api::{Problem, SubmissionResult, SubmissionResults};
use crate::app::clock::Clock;
use crate::app::copy::feed::Unproven;
use crate::app::entries::{Brought, Line, Log, Snapshot};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, fill, random};
use crate::background::{self, breathe_among};
use crate::locked::Locked as _;
use crate::store::{Certified, Content, NewContent, NewEntry, Part, Pending, StoreError, WriteTx, Written};

/// How much work ([`Line::work`]) one job of the writer does before other jobs get their turn: a whole batch about
/// things with short records is less, and a batch about the longest record is cut into jobs of 64 statements.
pub(in crate::app) const JOB_WORK: usize = 64 * limits::RECORD_STATEMENTS;

/// What became of one body in the writer.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was appended.
    Appended(Unproven),
    /// It already stood in the log, at this index.
    Present(u64),
    /// The policy does not admit it, or it is not what it claims to be.
    Refused(Problem),
}

/// One body for the writer, the source that it was adopted from, and the salt of its entry.
pub(crate) struct Incoming {
    pub(crate) checked: Result<Checked, Problem>,
    pub(crate) source: Option<Source>,
    pub(crate) salt: Salt,
}

/// How many statements were submitted, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Submissions(Mutex<BTreeMap<&'static str, u64>>);

impl Submissions {
    /// Counts results by their outcome. The home of a copied domain chooses the codes of its refusals, and must not be
    /// able to invent outcomes here.
    fn hear(&self, results: &[SubmissionResult]) {
        for result in results {
            let outcome = match result {
                SubmissionResult::Receipt(_) => "accepted",
                SubmissionResult::Problem(problem) => Code::named(problem.code()).map_or("other", Code::as_str),
                SubmissionResult::Pending(_) => "pending",
            };
            self.add(outcome, 1);
        }
    }

    fn add(&self, outcome: &'static str, count: u64) {
        if count > 0 {
            *self.0.locked().entry(outcome).or_default() += count;
        }
    }
}

impl App {
    /// How many statements were submitted, in whatever way, by outcome: `accepted`, `pending` or the code of the
    /// problem. A certificate that is sent in as a key is submitted to every domain at home here.
    #[must_use]
    pub fn submission_counts(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.submissions.0.locked();
        counts.iter().map(|(outcome, count)| (*outcome, *count)).collect()
    }

    /// Counts parts of a submission that did not become bodies.
    pub(in crate::app) fn count_malformed(&self, parts: usize) {
        self.0.submissions.add(Code::MalformedStatement.as_str(), parts as u64);
    }

    /// Submits bodies to a domain: admits them if this node is its home, forwards them if it is a mirror.
    ///
    /// Each body gets its own result, in the given order. What gets a receipt is on disk and in the log.
    ///
    /// # Errors
    /// When the batch as a whole exceeds a limit, the domain is not held here, or the node cannot write.
    pub async fn submit(&self, domain: &DomainName, bodies: Vec<Vec<u8>>) -> Result<SubmissionResults, AppError> {
        self.submit_from(&mut Sender::own(), domain, bodies).await
    }

    /// As [`App::submit`], for a client of a face.
    ///
    /// # Errors
    /// As [`App::submit`]; also when what is not kept here finds no place from which to wait for the home.
    pub(crate) async fn submit_from(
        &self,
        sender: &mut Sender,
        domain: &DomainName,
        bodies: Vec<Vec<u8>>,
    ) -> Result<SubmissionResults, AppError> {
        let count = bodies.len() as u64;
        let taken = self.take_in(sender, domain, bodies).await;
        match &taken {
            Ok(results) => self.0.submissions.hear(&results.results),
            Err(error) => self.0.submissions.add(error.code().as_str(), count),
        }
        taken
    }

    async fn take_in(
        &self,
        sender: &mut Sender,
        domain: &DomainName,
        bodies: Vec<Vec<u8>>,
    ) -> Result<SubmissionResults, AppError> {
        check_batch(&bodies)?;
        let hosted = self.hosted(domain)?;
        if hosted.part == Part::Mirror {
            return self.forward(sender, &hosted, bodies).await;
        }
        let home = Arc::clone(&hosted);
        let outcomes = match self.blocking(move |app| app.submit_home(&home, bodies)).await? {
            Taken::Shown(results) => return Ok(results),
            Taken::Waits(outcomes) => outcomes,
        };
        self.until_shown(&hosted, reach(&outcomes)).await?;
        self.blocking(move |app| app.results(&hosted, outcomes)).await
    }

    /// As [`App::submit`] at the home of a domain, without waiting for its witnesses.
    pub(in crate::app) fn submit_home(&self, hosted: &Arc<Hosted>, bodies: Vec<Vec<u8>>) -> Result<Taken, AppError> {
        // Otherwise a silent domain, which knows nobody, would refuse each body for good.
        self.store().check_sound(hosted.number)?;
        let now = self.clock().now();
        let timed = bodies.into_iter().map(|body| (body, now)).collect();
        let domain = hosted.domain();
        let size = domain.as_ref().map_or(0, |domain| domain.size());
        let log = Snapshot { store: self.store(), number: hosted.number, size };
        let checked = check_sent(domain.as_deref(), &log, timed, random()?)?;
        let salts = salts(checked.len())?;
        let incoming = |(checked, salt)| Incoming { checked, source: None, salt };
        let incoming = checked.into_iter().zip(salts).map(incoming).collect();
        let outcomes = self.append(hosted, incoming)?;
        // A receipt under a checkpoint that lacks the witnesses demanded by the domain would acknowledge too much.
        if *hosted.sealed.borrow() < reach(&outcomes) {
            return Ok(Taken::Waits(outcomes));
        }
        self.results(hosted, outcomes).map(Taken::Shown)
    }

    /// Has the writer admit and append. What this returns is durable.
    ///
    /// Much work is split into several jobs, between which the writer does those of others. If a later job fails, what
    /// earlier ones have appended stays, as after a commit that nobody was told of: submitting it again gives its
    /// receipts.
    pub(crate) fn append(&self, hosted: &Arc<Hosted>, incoming: Vec<Incoming>) -> Result<Vec<Outcome>, AppError> {
        self.append_in_jobs(hosted, incoming, JOB_WORK)
    }

    /// As [`App::append`], in jobs of at most `most` work, but at least one body each.
    pub(in crate::app) fn append_in_jobs(
        &self,
        hosted: &Arc<Hosted>,
        incoming: Vec<Incoming>,
        most: usize,
    ) -> Result<Vec<Outcome>, AppError> {
        let mut outcomes = Vec::with_capacity(incoming.len());
        let mut left = incoming;
        loop {
            let written = self.hand_in(hosted, left, Default::default(), most)?.wait()?;
            let (more, rest) = self.appended(hosted, written);
            outcomes.extend(more);
            if rest.is_empty() {
                return Ok(outcomes);
            }
            left = rest;
        }
    }

    /// As [`App::append`], for one or two bodies in a single job, without a blocked thread, with what was read about the
    /// same thing. If the last of them is the statement by which a certificate is issued, `certified` holds the contents
    /// of the certificate.
    ///
    /// Whoever waits for news is told even if the caller gives up meanwhile, for example because a client has hung up.
    pub(crate) async fn append_in_turns(
        &self,
        hosted: &Arc<Hosted>,
        incoming: Vec<Incoming>,
        certified: Option<Certified>,
        brought: Brought,
    ) -> Result<Vec<Outcome>, AppError> {
        let pending = self.hand_in(hosted, incoming, (certified, brought), usize::MAX)?;
        let (app, hosted) = (self.clone(), Arc::clone(hosted));
        let appended = background::at_once(async move {
            let written = pending.done().await?;
            Ok::<_, AppError>(app.appended(&hosted, written).0)
        });
        appended.await.unwrap_or_else(|| Err(AppError::Internal("what was appended could not be told of".to_owned())))
    }

    fn hand_in(
        &self,
        hosted: &Arc<Hosted>,
        incoming: Vec<Incoming>,
        (certified, brought): (Option<Certified>, Brought),
        most: usize,
    ) -> Result<Pending<Turn, StoreError>, AppError> {
        self.check_open(hosted)?;
        self.check_home_key(hosted)?;
        let incoming: Vec<_> = incoming.into_iter().map(|one| self.under_own_key(hosted, one)).collect();
        let (clock, writer) = (self.clock().clone(), Arc::clone(hosted));
        let job = move |tx: &mut WriteTx<'_>| {
            let mut incoming = incoming.into_iter();
            let outcomes = append_some(tx, &writer, (&mut incoming, brought), &clock, most)?;
            if let (Some(Outcome::Appended(last)), Some(certified)) = (outcomes.last(), certified) {
                tx.certify(last.index, certified);
            }
            Ok((outcomes, incoming.collect::<Vec<_>>()))
        };
        Ok(self.store().write(hosted.number, job)?)
    }

    /// The outcomes of what is durable now, and what is left to be submitted in another job; whoever waits is told.
    fn appended(&self, hosted: &Arc<Hosted>, written: Written<Turn>) -> Turn {
        self.tell(hosted);
        written.value
    }

    /// Receipts under the newest checkpoint, made after the commit. Only entries that stood there before are read for
    /// them.
    fn results(&self, hosted: &Hosted, outcomes: Vec<Outcome>) -> Result<SubmissionResults, AppError> {
        let mut logged = Vec::with_capacity(outcomes.len());
        let mut results = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            results.push(match outcome {
                Outcome::Refused(problem) => Some(SubmissionResult::Problem(problem)),
                Outcome::Appended(unproven) => {
                    logged.push(unproven);
                    None
                }
                Outcome::Present(index) => match self.store().entry(hosted.number, index)? {
                    // Perhaps by something in the same batch, the rest of which still gets its receipts.
                    entry if entry.content.is_none() => Some(SubmissionResult::Problem(erased_since(index))),
                    entry => {
                        logged.push(Unproven::stored(entry)?);
                        None
                    }
                },
            });
        }
        let mut receipts = self.receipts(hosted, logged)?;
        let missing = || AppError::Internal("there is no receipt for an entry".to_owned());
        let given = |receipt| SubmissionResult::Receipt(Box::new(receipt));
        let mut receipt = || receipts.next().map(given).ok_or_else(missing);
        let results = results.into_iter().map(|known| known.map_or_else(&mut receipt, Ok));
        Ok(SubmissionResults { results: results.collect::<Result<_, AppError>>()? })
    }
}

/// The outcomes of one job, and the bodies that it leaves to the next.
type Turn = (Vec<Outcome>, Vec<Incoming>);

/// A submission that is on disk.
pub(in crate::app) enum Taken {
    /// It can be acknowledged.
    Shown(SubmissionResults),
    /// It still lacks its witnesses.
    Waits(Vec<Outcome>),
}

/// For a body that stood in the log when it was judged, and has been erased since.
fn erased_since(index: u64) -> Problem {
    Problem::of(Code::StatementErased, format!("entry {index} was erased"))
}

/// How many entries a checkpoint must cover for the receipts of these outcomes.
pub(in crate::app) fn reach(outcomes: &[Outcome]) -> u64 {
    let index = |outcome: &Outcome| match outcome {
        Outcome::Appended(unproven) => Some(unproven.index),
        Outcome::Present(index) => Some(*index),
        Outcome::Refused(_) => None,
    };
    outcomes.iter().filter_map(index).max().map_or(0, |index| index + 1)
}

/// Random salts for this many entries, drawn at once.
fn salts(count: usize) -> Result<Vec<Salt>, AppError> {
    let mut salts: Vec<Salt> = vec![[0; 16]; count];
    fill(salts.as_flattened_mut())?;
    Ok(salts)
}

fn check_batch(bodies: &[Vec<u8>]) -> Result<(), AppError> {
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    if bodies.is_empty() {
        return Err(AppError::new(Code::BatchEmpty, "the submission holds no statement"));
    }
    if bodies.len() > limits::BATCH_STATEMENTS {
        let detail = format!("{} statements, {} at most", bodies.len(), limits::BATCH_STATEMENTS);
        return Err(AppError::new(Code::BatchTooLarge, detail));
    }
    if bytes > limits::BATCH_BYTES {
        return Err(AppError::new(Code::BatchTooLarge, format!("{bytes} bytes, {} at most", limits::BATCH_BYTES)));
    }
    Ok(())
}

/// In the writer: admits what the policy allows, one after the other, each judged after those before it.
pub(crate) fn append_all(
    tx: &mut WriteTx<'_>,
    hosted: &Arc<Hosted>,
    incoming: Vec<Incoming>,
    clock: &Clock,
) -> Result<Vec<Outcome>, StoreError> {
    append_some(tx, hosted, (&mut incoming.into_iter(), Brought::default()), clock, usize::MAX)
}

/// As [`append_all`], stopping after `most` work ([`Line::work`]), but not before the first body. The bodies that are
/// not taken are left in `incoming`.
pub(in crate::app) fn append_some(
    tx: &mut WriteTx<'_>,
    hosted: &Arc<Hosted>,
    (incoming, brought): (&mut std::vec::IntoIter<Incoming>, Brought),
    clock: &Clock,
    most: usize,
) -> Result<Vec<Outcome>, StoreError> {
    let (mut domain, mut line) = hosted.working_at(tx.size())?;
    line.begin(tx.size(), brought);
    let (count, before) = (incoming.len(), line.work());
    let mut outcomes = Vec::with_capacity(count);
    for one in incoming {
        breathe_among(count);
        outcomes.push(append_one(tx, &mut domain, &mut line, one, clock.now())?);
        if line.work() - before >= most {
            break;
        }
    }
    tx.wait_for_witnesses(domain.as_ref().is_some_and(|domain| domain.descriptor().quorum() > 0));
    hosted.leave(tx, domain, line);
    Ok(outcomes)
}

fn append_one(
    tx: &mut WriteTx<'_>,
    domain: &mut Option<Arc<Domain>>,
    line: &mut Line,
    incoming: Incoming,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let Incoming { checked, source, salt } = incoming;
    let (checked, source) = match (checked, domain.as_deref()) {
        (Ok(sent), Some(domain)) => {
            let from_source = source.as_ref().map(|_| sent.what.id());
            let whole = united_late(domain, &*tx, sent)?;
            // The source's proof does not cover a certificate that has become more than the source has.
            let is_more = whole.as_ref().is_ok_and(|it| from_source.is_some_and(|id| it.what.id() != id));
            (whole, source.filter(|_| !is_more))
        }
        (checked, _) => (checked, source),
    };
    let checked = match checked {
        Ok(checked) => checked,
        Err(problem) => return Ok(Outcome::Refused(problem)),
    };
    let admitted_at = admission(domain.as_deref(), &checked.what, now);
    let header = Header { kind: entry_kind(&checked.what), admitted_at, source };
    let (header, checked, judgement) = judge_or_end(&*tx, domain.as_deref(), (header, checked), line)?;
    let admitted = match judgement {
        Judgement::Admitted(admitted) => admitted,
        Judgement::Present(index) => return Ok(Outcome::Present(index)),
        Judgement::Refused(problem) => return Ok(Outcome::Refused(problem)),
    };
    let bytes = match header.encode() {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Outcome::Refused(Problem::of(Code::SourceUnproven, error.to_string()))),
    };
    let Checked { body, what, keys } = checked;
    let content = NewContent::Whole(Content { salt, body });
    let (index, leaf) = tx.append_with_leaf(NewEntry { header: bytes.clone(), content, keys, effective: true })?;
    admitted.extend(tx, domain, index, &header, leaf)?;
    Ok(Outcome::Appended(Unproven { index, id: what.id(), header: bytes, salt, leaf }))
}

/// Judges what comes in. If the rules keep out a certificate by which its holder revokes the key, the revocation is
/// judged alone: it ends the state that stands in the log. It is not what the source has logged, so no source is named.
fn judge_or_end(
    log: &impl Log,
    domain: Option<&Domain>,
    (header, checked): (Header, Checked),
    line: &mut Line,
) -> Result<(Header, Checked, Judgement), StoreError> {
    let judgement = judge(log, domain, &header, &checked, line)?;
    if let (Judgement::Refused(_), Some(known)) = (&judgement, domain)
        && let Some(ended) = revocation_alone(known, log, &checked)?
    {
        let header = Header { source: None, ..header };
        let judgement = judge(log, domain, &header, &ended, line)?;
        return Ok((header, ended, judgement));
    }
    Ok((header, checked, judgement))
}

/// When an entry is admitted: never earlier than the entry before it. A further state of a certificate may revoke its
/// key, so it gets a time of its own: a domain that adopts earlier entries knows only by this time, not by the place,
/// that they precede it.
fn admission(domain: Option<&Domain>, what: &What, now: Timestamp) -> Timestamp {
    let Some(domain) = domain else { return now };
    let last = domain.last_admitted_at();
    match what {
        What::Certificate(certificate) if domain.certificate(&certificate.primary()).is_some() => {
            now.max(last.plus_millis(1))
        }
        _ => now.max(last),
    }
}

/// The kind of entry that a body becomes.
fn entry_kind(what: &What) -> EntryKind {
    match what {
        What::Statement(statement) => statement.subject().entry_kind(),
        What::Certificate(_) => EntryKind::Certificate,
        What::Certification(..) => EntryKind::Certification,
        What::Descriptor(_) => EntryKind::Descriptor,
        What::Erasure(_) => EntryKind::Erasure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A remote home may give codes that this program does not know.
    #[test]
    fn invented_codes_are_one_outcome() {
        let result = |code: &str| {
            let problem =
                Problem { kind: format!("urn:ics:problem:{code}"), ..Problem::of(Code::Quota, "no".to_owned()) };
            SubmissionResult::Problem(problem)
        };
        let submissions = Submissions::default();
        submissions.hear(&["made-up-1", "made-up-2", "quota"].map(result));
        submissions.add("pending", 0);
        let counts = submissions.0.into_inner().expect("a lock");
        assert_eq!(counts, BTreeMap::from([("other", 2), ("quota", 1)]));
    }
}
