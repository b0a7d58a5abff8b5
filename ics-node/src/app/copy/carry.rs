//! Copies brought by hand in a bundle: the mirror's state machine asks, and the one who has the file answers.
//!
//! What is brought is checked by the same rules as what a peer sends, since the same code asks for it. Nothing is kept
//! between two questions except the state machine, which can start again at any time.

use std::sync::{Arc, TryLockError};

use ics_core::identity::excerpt;
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::record::Posting;
use ics_core::statement::body::{self, Body};
use ics_core::vocabulary::DomainName;
use ics_sync::carried::{Carried, Cursor, Reached, Wanted};
use ics_sync::mirror::{Action, Mirror, Stop};
use ics_sync::wire::{Base64, Refusal, Refusals};

use super::feed::Unproven;
use super::two_logs::OtherLog;
use crate::api::problem::Code;
use crate::api::{OutboxBatch, Problem, SubmissionResult};
use crate::app::admit::unite::stands_for;
use crate::app::entries::{Entries as _, Snapshot};
use crate::app::hosted::{Hosted, Known};
use crate::app::outbox::json;
use crate::app::{App, AppError, Reader};
use crate::config::{PeerConfig, PeerName};
use crate::store::Part;

/// What is asking for news that somebody brings by hand.
#[derive(Debug)]
pub(crate) enum Asking {
    /// The copy's own state machine, and up to which change it knows the copy.
    Mirror(Box<Mirror>, Known),
    /// The reading of another log's beginning, after the state machine stopped because of it.
    Begins(Box<OtherLog>),
}

/// The length in milliseconds of the state machine's pauses; nobody waits for them to end.
const PAUSE_MILLIS: u64 = 60_000;

impl App {
    /// Takes the bundle's answer to the last question about a domain, and returns what is wanted next.
    ///
    /// # Errors
    /// When the domain is not copied here, somebody else is bringing news of it, or the store fails.
    pub fn carried(&self, domain: &DomainName, carried: Carried) -> Result<Wanted, AppError> {
        let malformed = |error: ics_sync::wire::WireError| AppError::new(Code::MalformedRequest, error.to_string());
        let carried = carried.checked().map_err(malformed)?;
        let hosted = self.copied(domain)?;
        if let Carried::Refused(refusals) = carried {
            return self.refused(&hosted, refusals);
        }
        let mut carrying = match hosted.carrying.try_lock() {
            Ok(carrying) => carrying,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(AppError::new(Code::Busy, format!("somebody else is bringing news of `{domain}`")));
            }
        };
        let asking = match carrying.take() {
            Some(asking) if carried != Carried::Begin => asking,
            _ => {
                let (mirror, known) = self.resume_carried(&hosted)?;
                Asking::Mirror(mirror, known)
            }
        };
        let (wanted, next) = match asking {
            Asking::Mirror(mut mirror, known) => {
                mirror.handle_carried(carried, self.clock().now());
                self.ask_on(&hosted, mirror, known)?
            }
            Asking::Begins(other) => self.read_on(&hosted, other, &carried)?,
        };
        *carrying = next;
        Ok(wanted)
    }

    /// How far this node's copy of a domain is.
    ///
    /// # Errors
    /// When the domain is not copied here.
    pub fn cursor(&self, domain: &DomainName) -> Result<Cursor, AppError> {
        let hosted = self.copied(domain)?;
        let (size, sight) = (self.store().head(hosted.number)?.size, self.store().sight(hosted.number)?);
        Ok(Cursor { origin: self.origin_of_copy(&hosted)?, size, rights: sight.rights.map(Base64) })
    }

    /// What waits here for the home of a domain, after an item of the outbox: as much as fits a batch.
    ///
    /// # Errors
    /// When the domain is not copied here, or the store fails.
    pub fn outbox_batch(&self, domain: &DomainName, after: u64) -> Result<OutboxBatch, AppError> {
        let waiting = self.store().waiting(self.copied(domain)?.number, after)?;
        let last = waiting.last().map_or(after, |(id, _)| *id);
        let statements = waiting.into_iter().map(|(_, body)| Base64(body)).collect();
        Ok(OutboxBatch { statements, last })
    }

    /// The reader that a peer acts as, for an operator who makes a bundle for it.
    ///
    /// # Errors
    /// When there is no such peer, it has no key, or it does not read here.
    pub fn reader_named(&self, name: &PeerName) -> Result<Reader, AppError> {
        let peer: PeerConfig = self.peers_table().named(name)?.config.clone();
        let pin = peer.pin().filter(|pin| self.party(*pin).is_some());
        pin.map(Reader::Key).ok_or_else(|| {
            let detail = format!("nobody reads here as `{name}`: the peer has no key, or this node only pulls from it");
            AppError::new(Code::PeerRefused, detail)
        })
    }

    fn copied(&self, domain: &DomainName) -> Result<Arc<Hosted>, AppError> {
        let hosted = self.hosted(domain)?;
        match hosted.part {
            Part::Mirror => Ok(hosted),
            Part::Home => Err(AppError::new(Code::IsHome, format!("this node is the home of `{domain}`"))),
        }
    }

    fn origin_of_copy(&self, hosted: &Hosted) -> Result<Origin, AppError> {
        let pinned = self.store().domain(&hosted.name)?.entry0;
        let entry0 = pinned.ok_or_else(|| AppError::unknown_domain(&hosted.name))?;
        Ok(Origin { domain: hosted.name.clone(), entry0 })
    }

    fn resume_carried(&self, hosted: &Hosted) -> Result<(Box<Mirror>, Known), AppError> {
        let known = hosted.known();
        let mirror = self.resume_at(hosted, &self.origin_of_copy(hosted)?, PAUSE_MILLIS, false)?;
        Ok((Box::new(mirror), known))
    }

    /// Does what the mirror says until only the bundle can continue; returns what is wanted from it, and for what.
    fn ask_on(
        &self,
        hosted: &Arc<Hosted>,
        mut mirror: Box<Mirror>,
        mut known: Known,
    ) -> Result<(Wanted, Option<Asking>), AppError> {
        loop {
            let now = self.clock().now();
            match mirror.poll_action(now) {
                Action::Apply(page) => match hosted.change(&known, || self.take_page(hosted, &page, None)) {
                    Some(Ok(())) => {
                        mirror.handle_applied(self.clock().now());
                        hosted.moved.send_modify(|moves| *moves += 1);
                    }
                    // A peer was faster, or part of the page was stored: what is here need not be brought again.
                    None => (mirror, known) = self.resume_carried(hosted)?,
                    Some(Err(_)) if self.store().head(hosted.number)?.size != page.from => {
                        (mirror, known) = self.resume_carried(hosted)?;
                    }
                    Some(Err(error)) => return Err(error),
                },
                Action::RootAt { size } => mirror.handle_root(&self.store().root_at(hosted.number, size)?, now),
                Action::Survey(survey) => mirror.handle_surveyed(self.survey(hosted, &survey)?),
                Action::Fill(fill) => match hosted.change(&known, || self.take_fill(hosted, &fill)) {
                    Some(Ok(())) => {
                        mirror.handle_filled();
                        hosted.moved.send_modify(|moves| *moves += 1);
                    }
                    None => (mirror, known) = self.resume_carried(hosted)?,
                    // What it says does not hold.
                    Some(Err(AppError::Problem { detail, .. })) => mirror.handle_failure(&detail, now),
                    Some(Err(error)) => return Err(error),
                },
                Action::Stopped(stop) => {
                    let root_at = |size| self.store().root_at(hosted.number, size);
                    return match OtherLog::of(&stop, root_at)? {
                        Some(other) => Ok((other.wanted(), Some(Asking::Begins(Box::new(other))))),
                        None if self.gives_up_for(hosted, &stop)? => {
                            let why = "what was held and not shown yet had been read without something that the \
                                       bundle has, and was given up: bring it again, or, if it has news only, a whole \
                                       one, made without `--since`";
                            self.nothing_more(hosted, Some(why.to_owned()))
                        }
                        None => self.refuse(hosted, &stop),
                    };
                }
                Action::Wait { .. } | Action::Listen { .. } => {
                    let trouble = mirror.status().trouble.map(|trouble| trouble.to_string());
                    return self.nothing_more(hosted, trouble);
                }
                action => match Wanted::of(&action) {
                    Some(wanted) => return Ok((wanted, Some(Asking::Mirror(mirror, known)))),
                    None => return self.nothing_more(hosted, None),
                },
            }
        }
    }

    /// Continues reading the beginning of the log to which the bundle leads but what is held here does not.
    fn read_on(
        &self,
        hosted: &Hosted,
        mut other: Box<OtherLog>,
        carried: &Carried,
    ) -> Result<(Wanted, Option<Asking>), AppError> {
        let shown = match carried {
            Carried::Page(page) => other.read(page),
            _ => Some(false),
        };
        match shown {
            None => Ok((other.wanted(), Some(Asking::Begins(other)))),
            Some(is_fork) => self.refuse(hosted, &other.into_stop(is_fork)),
        }
    }

    /// Refuses a bundle, and tells the domain's operator as well as whoever brings it. If the home has signed two logs,
    /// both checkpoints are proof. A page that leads nowhere proves nothing: whoever carried it may have made it.
    fn refuse(&self, hosted: &Hosted, stop: &Stop) -> Result<(Wanted, Option<Asking>), AppError> {
        let why = match stop {
            Stop::Fork { .. } => format!("{stop}; `ics domain forks` shows both heads"),
            Stop::Unproven { .. } => format!("{stop}; a whole bundle, made without `--since`, shows which"),
            _ => stop.to_string(),
        };
        let is_fork = matches!(stop, Stop::Fork { .. });
        if is_fork {
            self.keep_fork(hosted, stop)?;
        }
        let kind = if is_fork { "fork" } else { "bundle-refused" };
        self.store().alarm_once(hosted.number, self.clock().now(), kind, &why)?;
        self.nothing_more(hosted, Some(why))
    }

    fn nothing_more(&self, hosted: &Hosted, trouble: Option<String>) -> Result<(Wanted, Option<Asking>), AppError> {
        Ok((Wanted::Nothing(self.reached(hosted, trouble)?), None))
    }

    fn reached(&self, hosted: &Hosted, trouble: Option<String>) -> Result<Reached, AppError> {
        let settled = self.settle_outbox(hosted)?;
        let head = self.store().head(hosted.number)?;
        let as_of = head.seal.and_then(|seal| seal.cosigned_at);
        let unconfirmed = self.doubt(hosted)?.is_some();
        Ok(Reached { size: head.size, as_of, trouble, unconfirmed, settled, refused: 0 })
    }

    /// Ends what waits here and, according to the bundle, was refused. Nobody has signed that, and it is shown as such.
    /// What is in the log has its receipt already or gets it: a copy of the log counts more than any bundle.
    fn refused(&self, hosted: &Arc<Hosted>, refusals: Refusals) -> Result<Wanted, AppError> {
        let reached = self.reached(hosted, None)?;
        let mut ended = Vec::with_capacity(refusals.refused.len());
        for Refusal { body, problem } in refusals.refused {
            let problem: Problem = serde_json::from_value(problem)
                .map_err(|error| AppError::new(Code::MalformedRequest, format!("no problem document: {error}")))?;
            if !problem.is_final() {
                continue;
            }
            let who = excerpt(&refusals.from);
            let detail = format!("so says the bundle from `{who}`, which nobody has signed: {}", problem.detail);
            let hint = Some("submit it again if you doubt that".to_owned());
            ended.push((body.0, json(&SubmissionResult::Problem(Problem { detail, hint, ..problem }))?));
        }
        let refused = self.store().post_refused(hosted.number, ended, self.clock().now())?;
        Ok(Wanted::Nothing(Reached { refused, ..reached }))
    }

    /// Ends what waits here and is in the log by now: the copy proves it as well as the home's answer would.
    fn settle_outbox(&self, hosted: &Hosted) -> Result<u64, AppError> {
        let (mut settled, mut after) = (0, 0);
        loop {
            let waiting = self.store().waiting(hosted.number, after)?;
            let Some((last, _)) = waiting.last() else { return Ok(settled) };
            after = *last;
            let mut found = Vec::new();
            for (id, bytes) in waiting {
                if let Some(entry) = self.logged_body(hosted, &bytes)? {
                    found.push((id, entry));
                }
            }
            // Of a copy of which nothing is proven yet there are no receipts either.
            if found.is_empty() {
                continue;
            }
            let (ids, entries): (Vec<u64>, Vec<Unproven>) = found.into_iter().unzip();
            let receipts = self.receipts(hosted, entries)?;
            let done = ids
                .into_iter()
                .zip(receipts)
                .map(|(id, receipt)| Ok((id, json(&SubmissionResult::Receipt(Box::new(receipt)))?)));
            let done = done.collect::<Result<Vec<_>, AppError>>()?;
            settled += done.len() as u64;
            self.store().post_done(hosted.number, done, self.clock().now())?;
        }
    }

    /// The entry of the log with this body, if it is proven.
    fn logged_body(&self, hosted: &Hosted, bytes: &[u8]) -> Result<Option<Unproven>, AppError> {
        let Ok(parsed) = body::parse(bytes) else { return Ok(None) };
        let proven = self.seal(hosted).map_or(0, |seal| seal.size);
        let snapshot = Snapshot { store: self.store(), number: hosted.number, size: proven };
        for entry in snapshot.find(&[Posting::Statement(parsed.id())], limits::PAGE_ITEMS)? {
            if entry.content.as_ref().is_some_and(|content| content.body == bytes) {
                return Unproven::stored(entry).map(Some);
            }
        }
        // The home enters a certificate together with all that it has of it, or only what revokes its key, if the rules
        // keep out the rest.
        if let Body::Certificate(sent) = &parsed
            && let Some(domain) = hosted.domain()
            && let Some((index, held)) = domain.certificate(&sent.primary())
            && index < proven
        {
            let entry = self.store().entry(hosted.number, index)?;
            let body = entry.content.as_ref().map(|content| &content.body);
            if held.covers(sent) || body.is_some_and(|body| stands_for(&domain, &snapshot, body, bytes)) {
                return Unproven::stored(entry).map(Some);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Party;

    /// Otherwise nobody would send it, since it would seem to be done: what revoked the key may have been there long
    /// before.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_comes_with_a_revocation_is_done_where_the_rules_keep_it_out() {
        let length = Party::found("devices.acme.example").certificate.len();
        for (limit, is_done) in [(None, false), (Some(length + 10), true)] {
            let maker = Party::found_with("devices.acme.example", |it| it.limits.certificate_bytes = limit);
            let app = maker.open();
            let revoked = maker.revoked(&maker.certificate, 3);
            let bodies = vec![maker.certificate.clone(), revoked.clone()];
            let results = app.submit(&maker.domain, bodies).await.expect("batch").results;
            assert!(results.iter().all(|it| matches!(it, SubmissionResult::Receipt(_))), "{results:?}");
            let hosted = app.hosted(&maker.domain).expect("here");
            let found = |body: &[u8]| app.logged_body(&hosted, body).expect("read").map(|entry| entry.index);
            assert_eq!(found(&revoked), Some(2));
            let more = maker.revoked(&maker.renewed(app.clock().now()), 3);
            assert_eq!(found(&more).is_some(), is_done, "{limit:?}");
        }
    }
}
