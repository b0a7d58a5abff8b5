//! Submissions for domains whose home is another node. They are kept until the home has answered, and are sent in the
//! order in which they came in, with growing pauses after failures.
//!
//! Only what a known signer has signed is kept. A stranger's submission is passed on at once or not at all, so that
//! nobody can fill the outbox at others' expense.
//!
//! If the home refuses a batch as a whole, smaller batches are sent until the offending body is found; and less is
//! sent after one that does not arrive in time, which it never would over a slow line. The same is done if something on
//! the way to the home does not take it, such as a proxy with a limit; what that refuses even alone goes on waiting and
//! is sent again in a while, and what stands behind it, perhaps a block, is sent before it. What the home refuses of
//! that goes on waiting as well: it may rest on what is missing, such as its signer's certificate. Nor does anything
//! wait here for what the next peer on the way has taken in while it cannot reach the home.
//!
//! The body is deleted once the home has answered, so the receipt must prove that the body stands in the log: anybody
//! on the way to the home could send some receipt.

mod post;
mod retry;
mod way;

use std::sync::Arc;
use std::time::Duration;

use ics_core::log::receipt::Receipt;
use ics_core::log::source::EvidenceError;
use ics_core::statement::body;
use ics_core::statement::{StatementId, is_certificate, split};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::http::PeerError;
use ics_sync::wire::Outcome;
use tokio::sync::watch;

use self::retry::Place;
pub(crate) use self::retry::Retry;
pub(crate) use self::way::Passing;
use self::way::{is_final, is_of_the_way, is_too_slow};
use super::admit::unite::stands_for;
use super::entries::Snapshot;
use super::home::heartbeat::stopped;
use super::hosted::Hosted;
use super::{App, AppError, Sender, random};
use crate::api::problem::Code;
use crate::api::{OUTBOX_SHOWN, OutboxItem, Pending, Problem, SubmissionResult, SubmissionResults};
use crate::store::{DomainNumber, Part, Posted};

/// How long a submitter waits for the home's answer before being told that the submission is pending.
const ANSWER: Duration = Duration::from_secs(8);
/// How often to check whether something is to be sent again.
const TICK: Duration = Duration::from_millis(500);
/// How many bodies are passed over one after the other without a pause. If there are more, perhaps nothing is taken, or
/// the home would be asked about all of them at once.
const PASSED_OVER: usize = 8;

/// What is sent at once: the numbers under which the bodies wait, and the bodies.
type Batch = Vec<(u64, Vec<u8>)>;

/// How much waits for the home of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The domain.
    pub domain: DomainName,
    /// Statements that wait.
    pub statements: u64,
    /// When the first of them was taken in.
    pub since: Option<Timestamp>,
}

/// How sending a batch ended.
enum Sent {
    /// The home has answered, and more may be waiting.
    Answered,
    /// The home does not take the batch as a whole: send less at once.
    TooMuch,
    /// The home refuses something that may rest on what was passed over.
    TooEarly,
    /// What the home has not answered is at the next peer on the way there.
    TakenOn,
    /// Send it later.
    Rest,
    /// Something on the way, or a slow line, takes less than this: send it later, and less at once.
    RestOfLess,
}

/// Puts off what waits, after a failure.
fn rest(retry: &mut Retry) -> Result<(), AppError> {
    let [jitter] = random()?;
    retry.failed(jitter);
    Ok(())
}

/// The result to keep for a body that the home has refused. The submitter may be gone, so the operator is told.
fn refused(hosted: &Hosted, id: u64, problem: Problem) -> Result<(u64, String), AppError> {
    tracing::warn!(domain = %hosted.name, id, why = %problem.detail, "the home refused what waited for it");
    Ok((id, json(&SubmissionResult::Problem(problem))?))
}

impl App {
    /// Submits bodies to the domain's home; those of known signers are kept until it has answered.
    pub(crate) async fn forward(
        &self,
        sender: &mut Sender,
        hosted: &Arc<Hosted>,
        bodies: Vec<Vec<u8>>,
    ) -> Result<SubmissionResults, AppError> {
        let of = Arc::clone(hosted);
        let posted = match self.blocking(move |app| app.post(&of, bodies)).await? {
            Ok(posted) => posted,
            Err(bodies) => {
                sender.waits_for(hosted)?;
                return self.pass_on(hosted, bodies).await;
            }
        };
        // What is on disk is taken in, also if there is no place from which to wait for the home's answer: strangers
        // must not keep a block out. The next look at the outboxes sends it.
        if sender.waits_for(hosted).is_ok() {
            let (app, of) = (self.clone(), Arc::clone(hosted));
            // This continues after the submitter has gone away or has waited long enough.
            let sending = tokio::spawn(async move { app.send_waiting(&of, true).await });
            if let Ok(Ok(Err(error))) = tokio::time::timeout(ANSWER, sending).await {
                tracing::warn!(domain = %hosted.name, %error, "the outbox was not sent");
            }
        }
        self.blocking(move |app| app.results_of(&posted)).await
    }

    /// Sends what is waiting for a domain's home, batch by batch, until nothing is waiting or the home does not answer.
    async fn send_waiting(&self, hosted: &Arc<Hosted>, urged: bool) -> Result<(), AppError> {
        let mut retry = match urged {
            // By then the submitter has been answered; what they left here is sent all the same.
            true => match tokio::time::timeout(ANSWER, hosted.retry.lock()).await {
                Ok(retry) => retry,
                Err(_) => return Ok(()),
            },
            false => hosted.retry.lock().await,
        };
        let (mut passed_over, mut took_nothing, mut was_again) = (0, false, false);
        while retry.may_send(urged) {
            let (number, places) = (hosted.number, retry.begin());
            let (mut batch, place) = self.blocking(move |app| app.waiting_at(number, places)).await?;
            batch.truncate(retry.most());
            let Some(last) = batch.last().map(|(id, _)| *id) else {
                let [jitter] = random()?;
                retry.comes_to_the_end(place, took_nothing, jitter);
                return Ok(());
            };
            // What the next peer has is sent there once more in one batch at a time, since all of it would take long.
            // While that pauses, what comes later goes on.
            if place.is_again && (was_again || passed_over == PASSED_OVER) {
                let [jitter] = random()?;
                retry.put_off(jitter);
                return Ok(());
            }
            if passed_over == PASSED_OVER {
                return rest(&mut retry);
            }
            retry.sends(place);
            let count = batch.len();
            let sent = match self.send(hosted, batch, place.behind > 0).await {
                Ok(sent) => sent,
                // The home's answer was not stored, so the same batch is sent again; the store may fail for a long
                // time.
                Err(error) => {
                    rest(&mut retry)?;
                    return Err(error);
                }
            };
            if matches!(sent, Sent::TooMuch | Sent::TooEarly | Sent::RestOfLess) {
                retry.halve(count);
            }
            if matches!(sent, Sent::TooEarly | Sent::RestOfLess) && count == 1 {
                retry.pass_over(last);
                passed_over += 1;
            }
            match sent {
                Sent::TakenOn => {
                    retry.taken_on(last);
                    (took_nothing, was_again) = (true, place.is_again);
                }
                Sent::Answered => {
                    retry.answered(place);
                    (passed_over, took_nothing) = (0, false);
                }
                Sent::TooMuch | Sent::TooEarly => {}
                Sent::RestOfLess if count == 1 => took_nothing = true,
                Sent::Rest | Sent::RestOfLess => return rest(&mut retry),
            }
        }
        Ok(())
    }

    /// What waits at the first place, or, if that is nothing, at the second one; and which of the two it is. If nothing
    /// waits anywhere, it is the one at which something was passed over before.
    fn waiting_at(
        &self,
        number: DomainNumber,
        (first, second): (Place, Option<Place>),
    ) -> Result<(Batch, Place), AppError> {
        let batch = self.store().waiting(number, first.behind)?;
        let Some(second) = second.filter(|_| batch.is_empty()) else { return Ok((batch, first)) };
        let batch = self.store().waiting(number, second.behind)?;
        let is_at_the_end = batch.is_empty() && first.is_again;
        Ok((batch, if is_at_the_end { first } else { second }))
    }

    /// Sends a batch; `lacks` says that something before it was passed over.
    async fn send(&self, hosted: &Arc<Hosted>, batch: Batch, lacks: bool) -> Result<Sent, AppError> {
        let bodies = batch.iter().map(|(_, body)| body.clone()).collect();
        let missing = || {
            Err(PeerError::Transport(format!(
                "no address leads to the home of `{}`: a bundle takes it there (`ics export --bundle`)",
                hosted.name
            )))
        };
        let answer = self.submit_towards_home(hosted, bodies).await.unwrap_or_else(missing);
        let hosted = Arc::clone(hosted);
        self.blocking(move |app| app.note(&hosted, &batch, answer, lacks)).await
    }

    /// Stores what the home, or a mirror on the way to it, has answered.
    fn note(
        &self,
        hosted: &Hosted,
        batch: &[(u64, Vec<u8>)],
        answer: Result<Vec<Outcome>, PeerError>,
        lacks: bool,
    ) -> Result<Sent, AppError> {
        let outcomes = match answer {
            Ok(outcomes) => outcomes,
            Err(error) if is_final(&error) && batch.len() > 1 => return Ok(Sent::TooMuch),
            Err(error) if is_final(&error) => {
                let problem = Problem::of(Code::Refused, format!("the home refused it: {error}"));
                let refused = batch.iter().map(|(id, _)| refused(hosted, *id, problem.clone()));
                let results = refused.collect::<Result<_, AppError>>()?;
                self.store().post_done(hosted.number, results, self.clock().now())?;
                return Ok(Sent::Answered);
            }
            Err(error) => {
                let ids = batch.iter().map(|(id, _)| *id).collect();
                self.store().post_failed(ids, error.to_string())?;
                // One that is too slow even alone is not passed over: its home may only be slow at present.
                let takes_less = is_of_the_way(&error) || is_too_slow(&error) && batch.len() > 1;
                return Ok(if takes_less { Sent::RestOfLess } else { Sent::Rest });
            }
        };
        let (mut done, mut waiting, mut why, mut is_early) = (Vec::new(), Vec::new(), String::new(), false);
        let mut taken_on = 0;
        for ((id, body), outcome) in batch.iter().zip(outcomes) {
            match result(outcome) {
                Ok(SubmissionResult::Receipt(receipt)) => match self.check_receipt(hosted, body, &receipt) {
                    Ok(()) => done.push((*id, json(&SubmissionResult::Receipt(receipt))?)),
                    Err(problem) => {
                        waiting.push(*id);
                        why = format!("the receipt does not prove that it is in the log: {problem}");
                    }
                },
                Ok(SubmissionResult::Problem(problem)) if lacks || !problem.is_final() => {
                    is_early |= problem.is_final();
                    waiting.push(*id);
                    why = problem.detail;
                }
                Ok(SubmissionResult::Pending(pending)) => {
                    waiting.push(*id);
                    taken_on += 1;
                    let upstream = pending.why.unwrap_or_default();
                    why = format!("it waits at the next peer on its way to the home: {upstream}");
                }
                Ok(SubmissionResult::Problem(problem)) => done.push(refused(hosted, *id, problem)?),
                Err(error) => {
                    waiting.push(*id);
                    why = format!("the answer is not understood: {error}");
                }
            }
        }
        let (rests, is_taken_on) = (!waiting.is_empty(), waiting.len() == taken_on);
        self.store().post_done(hosted.number, done, self.clock().now())?;
        if rests {
            self.store().post_failed(waiting, why)?;
        }
        Ok(match (rests, is_early) {
            (_, true) => Sent::TooEarly,
            (true, false) if is_taken_on => Sent::TakenOn,
            (true, false) => Sent::Rest,
            (false, false) => Sent::Answered,
        })
    }

    /// Checks that a receipt proves that a body stands in the home's log, by the home's key as this copy knows it. If
    /// the home has a new key, that succeeds once the copy has got that far.
    fn check_receipt(&self, hosted: &Hosted, body: &[u8], receipt: &Receipt) -> Result<(), String> {
        let domain = hosted.domain().ok_or("nothing of the domain is here")?;
        if receipt.origin != domain.origin() {
            return Err(format!("it is of another log, `{}`", receipt.origin));
        }
        let (id, body) = canonical(body).ok_or("the body is not understood")?;
        if receipt.id != id && !is_certificate(&body) {
            return Err(format!("it is for another body, {}", receipt.id));
        }
        let key = domain.descriptor().home.home_of(&receipt.origin).map_err(|error| error.to_string())?;
        match receipt.verify(&body, &key) {
            Ok(_) => Ok(()),
            // Descriptors and erasures that say the same may bear other signatures, and the home enters a certificate
            // together with all that it has of it. In these cases the copy will soon have the entry.
            Err(EvidenceError::Leaf) if self.holds(hosted, receipt, &body) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether the entry that a receipt names is held here, and is what the receipt says and what was sent.
    fn holds(&self, hosted: &Hosted, receipt: &Receipt, sent: &[u8]) -> bool {
        let held = self.store().entry(hosted.number, receipt.index).ok();
        let content = held.filter(|held| held.leaf == receipt.leaf).and_then(|held| held.content);
        let Some((content, domain)) = content.zip(hosted.domain()) else { return false };
        let log = Snapshot { store: self.store(), number: hosted.number, size: domain.size() };
        let is_named = canonical(&content.body).is_some_and(|(id, _)| id == receipt.id);
        is_named && stands_for(&domain, &log, &content.body, sent)
    }

    /// The results of bodies so far. A body that was already done when it was taken in may since have been dropped as
    /// one of the oldest results. One that was done since is gone if it was erased, or was refused and came once more.
    fn results_of(&self, posted: &[Posted]) -> Result<SubmissionResults, AppError> {
        let gone = || {
            let detail = "the home's answer is no longer kept, perhaps because of an erasure: submit it once more";
            Ok(SubmissionResult::Problem(Problem::of(Code::Upstream, detail.to_owned())))
        };
        let mut results = Vec::with_capacity(posted.len());
        for before in posted {
            results.push(match before.done {
                Some(_) => shown(before)?,
                None => self.store().posted(before.id)?.as_ref().map_or_else(gone, shown)?,
            });
        }
        Ok(SubmissionResults { results })
    }

    /// Sends what is waiting in the outboxes of all domains, until `stop` becomes true.
    pub async fn send_outboxes(self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => {}
            }
            for hosted in self.all_hosted().into_iter().filter(|hosted| hosted.part == Part::Mirror) {
                // If the lock is held, its holder is sending.
                let retry = hosted.retry.try_lock().ok();
                let places = retry.and_then(|retry| retry.may_send(false).then(|| retry.begin()));
                let Some((first, second)) = places else { continue };
                // What was passed over may be much, and is not looked at before its time.
                let behind = if second.is_some() { 0 } else { first.behind };
                if self.store().is_waiting(hosted.number, behind).unwrap_or(false) {
                    let app = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = app.send_waiting(&hosted, false).await {
                            tracing::error!(domain = %hosted.name, %error, "the outbox was not sent");
                        }
                    });
                }
            }
        }
    }

    /// What is waiting for the homes of other domains, and what became of earlier submissions.
    ///
    /// # Errors
    /// When the store fails.
    pub fn outbox(&self) -> Result<Vec<OutboxItem>, AppError> {
        let mut items = Vec::new();
        for hosted in self.all_hosted().into_iter().filter(|hosted| hosted.part == Part::Mirror) {
            for posted in self.store().outbox(hosted.number, OUTBOX_SHOWN)? {
                let done_at = posted.done.as_ref().map(|(at, _)| *at);
                items.push(OutboxItem {
                    id: posted.id,
                    domain: hosted.name.clone(),
                    at: posted.at,
                    attempts: posted.attempts,
                    done_at,
                    result: shown(&posted)?,
                });
            }
        }
        Ok(items)
    }

    /// How much is waiting for the home of each domain that this node copies.
    ///
    /// # Errors
    /// When the store fails.
    pub fn outbox_sizes(&self) -> Result<Vec<Waiting>, AppError> {
        let mirrors = self.all_hosted().into_iter().filter(|hosted| hosted.part == Part::Mirror);
        let count = |hosted: Arc<Hosted>| {
            let (statements, since) = self.store().count_waiting(hosted.number)?;
            Ok(Waiting { domain: hosted.name.clone(), statements, since })
        };
        mirrors.map(count).collect()
    }
}

/// The id of a body, and its bytes as the log holds them.
fn canonical(body: &[u8]) -> Option<(StatementId, Vec<u8>)> {
    if let Ok(parsed) = body::parse(body) {
        return Some((parsed.id(), body.to_vec()));
    }
    let bodies = split(body).ok()?.bodies;
    let [body] = bodies.as_slice() else { return None };
    Some((body::parse(body).ok()?.id(), body.clone()))
}

fn result(outcome: Outcome) -> Result<SubmissionResult, serde_json::Error> {
    Ok(match outcome {
        Outcome::Receipt(receipt) => SubmissionResult::Receipt(serde_json::from_value(receipt)?),
        Outcome::Problem(problem) => SubmissionResult::Problem(serde_json::from_value(problem)?),
        Outcome::Pending(pending) => SubmissionResult::Pending(serde_json::from_value(pending)?),
    })
}

pub(super) fn json(kept: &impl serde::Serialize) -> Result<String, AppError> {
    serde_json::to_string(kept).map_err(|error| AppError::Internal(format!("what is kept has no JSON form: {error}")))
}

fn shown(posted: &Posted) -> Result<SubmissionResult, AppError> {
    match &posted.done {
        Some((_, result)) => serde_json::from_str(result)
            .map_err(|error| AppError::Internal(format!("a result in the outbox is damaged: {error}"))),
        None => Ok(SubmissionResult::Pending(Pending {
            id: posted.id,
            since: posted.at,
            attempts: posted.attempts,
            why: posted.last_error.clone(),
        })),
    }
}

#[cfg(test)]
mod tests;
