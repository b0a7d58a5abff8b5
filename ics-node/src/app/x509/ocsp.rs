//! OCSP: questions about certificates, answered from the record. An answer is signed once and kept for as long as the
//! record says the same; whatever ends the record in memory ends the answer with it. Answers that serve only one
//! client, such as those with a nonce, are limited for each client.

use std::sync::Arc;

use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_core::record::Logged;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::responders::Answering;
use crate::app::answer::memory::{Place, place_of};
use crate::app::answer::read::Sight;
use crate::app::{App, AppError, Asker, Depth};
use crate::shares::Shares;
use crate::store::{DomainNumber, Part};
use crate::x509::{AnswerTimes, Authority, OcspError, Question, Questions, Responder, SerialNumber, State};

/// An answer, as DER, and how long it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspAnswer {
    /// The response.
    pub der: Arc<[u8]>,
    /// The time as of which it is given.
    pub this_update: Timestamp,
    /// Until when it is valid.
    pub next_update: Timestamp,
    /// What it rests on, if it may be given to others.
    rests_on: Option<Rests>,
}

/// What an answer rests on: what memory keeps about one identity, and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rests {
    domain: DomainNumber,
    place: Place,
    generation: u64,
    /// The same for its signer, if that is not the issuer.
    by: Option<(Place, u64)>,
    /// Until when it is given without being made again.
    serves_until: Timestamp,
}

/// The state of a certificate, and what that rests on.
pub(in crate::app) type Found = (Option<State>, Option<(IdentityId, u64, Option<Timestamp>)>);

/// The answers that are kept, and how many each asker may have signed for itself alone.
pub(crate) struct Answers {
    /// By domain and question.
    kept: Cache<(DomainNumber, Vec<u8>), Arc<OcspAnswer>, Bytes>,
    shares: Shares,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<(DomainNumber, Vec<u8>), Arc<OcspAnswer>> for Bytes {
    fn weight(&self, key: &(DomainNumber, Vec<u8>), answer: &Arc<OcspAnswer>) -> u64 {
        (key.1.len() + answer.der.len() + size_of::<OcspAnswer>()) as u64 + 96
    }
}

/// For how many milliseconds an answer is given again if it comes with a certificate of which nothing is known here.
const UNKNOWN_MILLIS: u64 = 60_000;

/// The average size of an answer in bytes.
const EXPECTED_BYTES: u64 = 700;

impl Answers {
    /// A cache for answers of at most `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / EXPECTED_BYTES).unwrap_or(usize::MAX).min(limits::OCSP_ANSWERS_KEPT);
        let shares = Shares::of_askers(limits::OCSP_SIGNED_PER_ASKER, limits::OCSP_SIGNED_PER_ASKER_AT_ONCE);
        Self { kept: Cache::with_weighter(items, bytes, Bytes), shares }
    }
}

impl App {
    /// Answers an OCSP request, as DER; `None` if that needs more than `depth`. A client that has used up its budget of
    /// individual answers gets the common one, without its nonce, as RFC 9654 (3.1) and RFC 5019 (4) allow a responder.
    ///
    /// # Errors
    /// When the node does not answer for the certificate, or cannot now: [`OcspError::to_der`] gives the response for
    /// the client.
    pub fn ocsp(
        &self,
        asker: Asker,
        domain: &DomainName,
        request: &[u8],
        depth: Depth,
    ) -> Result<Option<Arc<OcspAnswer>>, OcspError> {
        let mut questions = Questions::parse(request)?;
        let hosted = self.hosted(domain).map_err(|_| OcspError::Unauthorized)?;
        let is_for_all = questions.common().is_some();
        if !is_for_all && depth == Depth::Store && !self.may_sign_for(asker) {
            questions.nonce = None;
            // There are no common answers to several questions at once.
            questions.common().ok_or(OcspError::TryLater)?;
        }
        let failed = |error: AppError| {
            tracing::error!(%error, %domain, "no answer about a certificate");
            if error.is_internal() { OcspError::Internal } else { OcspError::TryLater }
        };
        let answer = match self.signed_already(hosted.number, &questions) {
            Some(answer) => answer,
            None if depth == Depth::Memory => return Ok(None),
            None => self.answer_now(&self.sight(&hosted).map_err(failed)?, &questions)?,
        };
        if is_for_all {
            return Ok(Some(answer));
        }
        // Nobody else will send these exact bytes: keeping the answer for them would only displace others.
        Ok(Some(Arc::new(OcspAnswer { rests_on: None, ..(*answer).clone() })))
    }

    /// Whether an answer may be given again for the same question: nothing that it rests on has ended, and it need not
    /// be made again yet.
    #[must_use]
    pub fn ocsp_holds(&self, answer: &OcspAnswer) -> bool {
        let Some(rests) = answer.rests_on else { return false };
        let now = self.clock().now();
        let is_kept = |(place, generation)| {
            let kept = self.memory().recall_at(rests.domain, place, now);
            kept.is_some_and(|kept| kept.generation == generation)
        };
        now < rests.serves_until && is_kept((rests.place, rests.generation)) && rests.by.is_none_or(is_kept)
    }

    /// Whether something may be signed for this asker alone.
    pub(super) fn may_sign_for(&self, asker: Asker) -> bool {
        asker.take_share(&self.0.ocsp.shares).is_ok()
    }

    fn signed_already(&self, domain: DomainNumber, questions: &Questions) -> Option<Arc<OcspAnswer>> {
        let question = questions.common()?;
        self.0.ocsp.kept.get(&(domain, question.key())).filter(|answer| self.ocsp_holds(answer))
    }

    fn answer_now(&self, sight: &Sight<'_>, questions: &Questions) -> Result<Arc<OcspAnswer>, OcspError> {
        let failed = |error: AppError| {
            if !error.is_internal() {
                return OcspError::TryLater;
            }
            tracing::error!(%error, domain = %sight.hosted.name, "no answer about a certificate");
            OcspError::Internal
        };
        let rules = sight.domain.descriptor().certificates.as_ref().ok_or(OcspError::Unauthorized)?;
        let first = questions.questions.first().ok_or(OcspError::Malformed)?;
        let authority =
            self.authorities_of(&rules.issuers).find(|it| first.is_about(it)).ok_or(OcspError::Unauthorized)?;
        if !questions.questions.iter().all(|question| question.is_about(&authority)) {
            return Err(OcspError::Unauthorized);
        }
        let now = self.clock().now();
        let answering = self.answers_for(sight, &authority, now).map_err(failed)?;
        let Answering { key, delegation, rests_on: by } = answering.ok_or(OcspError::Unauthorized)?;
        let news = self.as_of_news(sight, now, rules.answers_hold).map_err(failed)?;
        let (this_update, hold) = news.ok_or(OcspError::TryLater)?;
        let mut states = Vec::with_capacity(questions.questions.len());
        let mut rests_on = None;
        let mut next_update = this_update.plus_millis(hold);
        for question in &questions.questions {
            let (state, kept) = self.state_of(sight, &authority, question).map_err(failed)?;
            if let Some((_, _, Some(changes_at))) = kept {
                // If a change is known to be coming, nothing is promised beyond it.
                next_update = next_update.min(changes_at);
            }
            rests_on = kept.map(|(id, generation, _)| (id, generation));
            states.push((question, state));
        }
        // Nobody has to sign that a serial number was never issued (RFC 5019, 2.2.3).
        if states.iter().all(|(_, state)| state.is_none()) {
            return Err(OcspError::Unauthorized);
        }
        let states: Vec<(&Question, State)> =
            states.into_iter().map(|(question, state)| (question, state.unwrap_or(State::Ended))).collect();
        let certificate = delegation.as_ref().map(|it| &it.certificate);
        let responder = Responder { signer: &*key.signer as &dyn Signer, certificate };
        let next_update = holds_until(next_update, now, delegation.as_ref().map(|it| it.not_after));
        let times = AnswerTimes { this_update, next_update, produced_at: now };
        let der = responder.respond(&states, questions.nonce.as_deref(), times);
        let der = der.map_err(|error| failed(AppError::Internal(error.to_string())))?.into();
        let (Some(question), Some((id, generation))) = (questions.common(), rests_on) else {
            return Ok(Arc::new(OcspAnswer { der, this_update, next_update, rests_on: None }));
        };
        let serves_until = serves_until(next_update, now, delegation.is_none() || by.is_some());
        let domain = sight.hosted.number;
        let rests_on = Some(Rests { domain, place: place_of(&id), generation, by, serves_until });
        let answer = Arc::new(OcspAnswer { der, this_update, next_update, rests_on });
        self.0.ocsp.kept.insert((domain, question.key()), Arc::clone(&answer));
        Ok(answer)
    }

    /// The state of the certificate in question, and what that rests on: the identity, what is kept about it, and when
    /// that changes. There is no state if this issuer never issued the serial number.
    fn state_of(&self, sight: &Sight<'_>, authority: &Authority, question: &Question) -> Result<Found, AppError> {
        let serial = question.serial();
        serial.map_or(Ok((None, None)), |serial| self.state_of_serial(sight, authority, &serial))
    }

    /// As `state_of`, by a serial number.
    pub(super) fn state_of_serial(
        &self,
        sight: &Sight<'_>,
        authority: &Authority,
        serial: &SerialNumber,
    ) -> Result<Found, AppError> {
        let Some(issued) = self.issued(sight, serial)? else { return Ok((None, None)) };
        if !is_by(sight, &issued, authority) {
            return Ok((None, None));
        }
        let kept = self.kept(sight, &issued.subject_id())?;
        if kept.withheld {
            self.check_all_is_shown(sight, &issued.subject_id())?;
        }
        let Some(record) = kept.record()? else { return Ok((None, None)) };
        let rests_on = (issued.subject_id(), kept.generation, kept.changes_at());
        Ok((Some(State::of(&record, issued.index())), Some(rests_on)))
    }

    /// The time as of which the domain is known here, and for how many milliseconds from then on an answer is valid;
    /// `None` if that time is too long ago. A home knows the domain as of now, unless there are entries that it may not
    /// show yet, as when they wait for witnesses, or it has signed another log than it holds: then what it shows must
    /// not be called current. What it does not show may be a revocation, so nothing is promised for longer than
    /// otherwise.
    pub(super) fn as_of_news(
        &self,
        sight: &Sight<'_>,
        now: Timestamp,
        hold_seconds: u64,
    ) -> Result<Option<(Timestamp, u64)>, AppError> {
        let is_home = sight.hosted.part == Part::Home;
        let hold = hold_seconds.saturating_mul(1000);
        let is_all_shown = self.store().head(sight.hosted.number)?.size == sight.seal.size;
        if is_home && is_all_shown && !self.is_silent(sight.hosted)? {
            return Ok(Some((now, hold)));
        }
        let fresh = sight.domain.descriptor().freshness.default.saturating_mul(1000);
        let as_of = sight.seal.cosigned_at.and_then(|as_of| while_fresh(as_of, now, fresh));
        let from_now = |as_of| now.millis_since(as_of).saturating_add(hold);
        Ok(as_of.map(|as_of| (as_of, if is_home { fresh.min(from_now(as_of)) } else { fresh })))
    }
}

/// Whether a statement of act `issued` was signed by the key of an authority.
pub(in crate::app) fn is_by(sight: &Sight<'_>, issued: &Logged, authority: &Authority) -> bool {
    sight.domain.signer(&issued.signer()).is_ok_and(|certificate| {
        certificate.public_keys().any(|key| key.to_spki_der().as_ref() == Some(&authority.spki))
    })
}

/// Until when an answer is given again: for half of the remaining time, since the state that it reports may be older
/// than the answer; but only for a moment if nothing here would tell that the certificate with which it is given is
/// revoked.
fn serves_until(next_update: Timestamp, now: Timestamp, is_answerer_known: bool) -> Timestamp {
    let half = next_update.millis_since(now) / 2;
    now.plus_millis(if is_answerer_known { half } else { half.min(UNKNOWN_MILLIS) })
}

/// The time to put on an answer that rests on the state as of `as_of`, while that is fresh. An answer from the future
/// would outlast the correction of the home's clock.
fn while_fresh(as_of: Timestamp, now: Timestamp, fresh_millis: u64) -> Option<Timestamp> {
    as_of.believed_at(now).filter(|as_of| now.millis_since(*as_of) < fresh_millis)
}

/// Until when an answer is valid: for at least a second, since clients require that to be after the signature; but no
/// longer than the certificate with which it is given, since after that nobody trusts its key.
fn holds_until(promised: Timestamp, now: Timestamp, answerer_ends: Option<Timestamp>) -> Timestamp {
    let until = promised.max(now.plus_millis(1000));
    answerer_ends.map_or(until, |ends| until.min(ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_a_second_unless_its_certificate_ends_before() {
        let at = Timestamp::from_millis;
        let now = at(50_000);
        for (promised, ends, until) in [
            (90_000, None, 90_000),
            (90_000, Some(70_000), 70_000),
            (50_000, None, 51_000),
            (50_000, Some(70_000), 51_000),
            (90_000, Some(50_400), 50_400),
            (50_000, Some(50_400), 50_400),
        ] {
            assert_eq!(holds_until(at(promised), now, ends.map(at)), at(until), "{promised} {ends:?}");
        }
    }

    /// A copy may still hear of it, and that it is revoked.
    #[test]
    fn an_answer_by_an_unknown_certificate_is_soon_made_anew() {
        let at = Timestamp::from_millis;
        for (next_update, is_known, until) in
            [(3_600_000, true, 1_800_000), (3_600_000, false, UNKNOWN_MILLIS), (10_000, false, 5_000)]
        {
            assert_eq!(serves_until(at(next_update), at(0), is_known), at(until), "{next_update} {is_known}");
        }
    }

    #[test]
    fn no_answer_is_from_the_future() {
        let at = Timestamp::from_seconds;
        let given = |seconds| while_fresh(at(seconds), at(100_000), 3_600_000);
        assert_eq!(given(96_400), None, "it is too old");
        assert_eq!(given(96_401), Some(at(96_401)));
        assert_eq!(given(100_300), Some(at(100_000)), "clocks differ by so much");
        assert_eq!(given(100_301), None, "a clock is wrong");
    }
}
