//! A verdict with all the evidence for it.

use std::collections::BTreeSet;

use ics_core::checker::{Case, Exhibit, Rejection, Shown, VERSION};
use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::trust::{Looked, Testimony, Verdict, verdict};
use ics_core::vocabulary::DomainName;

use super::answers::{Depth, Query};
use super::verdict::{Matter, NO_POLICY, check_use, known, still_to_come};
use crate::api::problem::Code;
use crate::api::{Check, Evidence};
use crate::app::{App, AppError, Reader};

/// How often a verdict is tried again while the logs that it rests on keep growing.
const TRIES: usize = 4;

/// Why there is no verdict with its evidence, if the checker rejected nothing.
const RENEWED: &str = "the answers of other nodes are renewed faster than they can be read";

/// In debug builds every answer is checked, a gateway's too, and none is given that the checker rejects. At run time
/// that would cost what the cache is there to save. An answer that rests on more than the checker accepts is given
/// unchecked, as at run time.
pub(super) const EVERY_ANSWER: bool = cfg!(debug_assertions);

impl App {
    /// Whether a thing may be used in this way, now, by this node's trust policy, with the evidence, which anybody can
    /// check without a network. No case leaves this node that its own checker rejects.
    ///
    /// # Errors
    /// As [`App::verdict`]; when there is no trust policy; when a domain says more about one of the two things than the
    /// checker accepts; when the logs grow faster than they are read.
    pub fn case(&self, reader: Reader, thing: &str, usage: &str, peer: Option<&str>) -> Result<Case, AppError> {
        check_use(usage)?;
        let (thing, peer) = (Query::parse(thing)?, peer.map(Query::parse).transpose()?);
        let Some(policy) = self.0.trust.as_deref() else {
            return Err(AppError::new(Code::NoPolicy, NO_POLICY));
        };
        Ok(self.proven(&Matter { reader, policy, usage, thing: &thing, peer: peer.as_ref() })?.1)
    }

    /// The verdict for people. Where every answer is checked, the checker has accepted it.
    pub(super) fn answered(&self, matter: &Matter<'_>, now: Timestamp) -> Result<Verdict, AppError> {
        if EVERY_ANSWER {
            match self.proven(matter) {
                Err(error) if is_too_much(&error) => {}
                proven => return proven.map(|(verdict, _)| verdict),
            }
        }
        Ok(verdict(&self.question(matter, now)?, matter.policy, now))
    }

    /// The verdict for people, and as a case that the checker has accepted.
    pub(in crate::app) fn proven(&self, matter: &Matter<'_>) -> Result<(Verdict, Case), AppError> {
        let mut why = RENEWED.to_owned();
        for _ in 0..TRIES {
            let Some((verdict, case)) = self.make_case(matter, self.clock().now())? else { continue };
            match case.check() {
                Ok(()) => return Ok((verdict, case)),
                // The log may have grown between the answer and the evidence for it.
                Err(rejected) => why = rejected.to_string(),
            }
        }
        Err(AppError::Internal(format!("the checker rejects the verdict on `{}`: {why}", matter.thing.text())))
    }

    /// A gateway's answer, possibly from memory, after the checker has accepted the evidence at the same moment and
    /// that gives the same answer.
    pub(super) fn proven_check(&self, matter: &Matter<'_>, depth: Depth) -> Result<Option<Check>, AppError> {
        let mut why = RENEWED.to_owned();
        for _ in 0..TRIES {
            let now = self.clock().now();
            let Some(check) = self.decided(matter, depth, now)? else { return Ok(None) };
            let made = match self.make_case(matter, now) {
                Err(error) if is_too_much(&error) => return Ok(Some(check)),
                made => made?,
            };
            let Some((verdict, case)) = made else { continue };
            match case.check() {
                Ok(()) if says(&check, &verdict) => return Ok(Some(check)),
                // The log may have grown in between, or its home may have confirmed that this is all of it.
                Ok(()) => why = format!("{check:?} is not {:?}, {:?}", verdict.outcome, verdict.reason),
                Err(rejected) => why = rejected.to_string(),
            }
        }
        Err(AppError::Internal(format!("the checker rejects the answer on `{}`: {why}", matter.thing.text())))
    }

    /// `None` if the answer of another node, on which the verdict rests, was renewed before its evidence was taken.
    fn make_case(&self, matter: &Matter<'_>, now: Timestamp) -> Result<Option<(Verdict, Case)>, AppError> {
        let question = self.question(matter, now)?;
        let Some(thing) = self.exhibits(&question.thing)? else { return Ok(None) };
        let peer = match &question.peer {
            Some(peer) => match self.exhibits(peer)? {
                Some(shown) => Some(shown),
                None => return Ok(None),
            },
            None => None,
        };
        let verdict = verdict(&question, matter.policy, now);
        let case = Case {
            version: VERSION,
            usage: matter.usage.to_owned(),
            at: now,
            thing,
            peer,
            policy: matter.policy.document().clone(),
            verdict: Verdict { reasons: Vec::new(), ..verdict.clone() },
        };
        Ok(Some((verdict, case)))
    }

    fn exhibits(&self, looked: &Looked) -> Result<Option<Shown>, AppError> {
        let exhibit = |it: &Testimony| -> Result<Option<Exhibit>, AppError> {
            if !self.is_here(&it.origin) {
                let roamed = self.roamed_evidence(it, looked)?;
                let entries = roamed.as_ref().map_or(0, |(evidence, _)| evidence.entries.len());
                check_entries(&it.origin.domain, entries)?;
                return Ok(roamed.map(|(evidence, believed)| Exhibit { evidence, withheld: it.withheld, believed }));
            }
            let id = it.record.as_ref().map(|record| record.identity.id);
            let evidence = self.exhibit(&it.origin.domain, id, &looked.asked)?;
            let believed = self.believed(it, &evidence)?;
            Ok(Some(Exhibit { evidence, withheld: it.withheld, believed }))
        };
        let heard: Option<Vec<Exhibit>> = looked.testimonies.iter().map(exhibit).collect::<Result<_, AppError>>()?;
        let (asked, candidates) = (looked.asked.clone(), looked.candidates);
        Ok(heard.map(|heard| Shown { asked, candidates, heard }))
    }

    /// The time as of which this node counts a domain, if the home has signed a later one: by this node's clock that
    /// time was still in the future when it arrived.
    fn believed(&self, it: &Testimony, evidence: &Evidence) -> Result<Option<Timestamp>, AppError> {
        let Some(domain) = self.hosted(&it.origin.domain)?.domain() else { return Ok(None) };
        Ok(less_than_signed(&domain, &evidence.checkpoint, it.as_of))
    }

    /// The evidence for what a domain says about an identity; without an id, only for how far the domain reaches.
    fn exhibit(&self, domain: &DomainName, id: Option<IdentityId>, asked: &str) -> Result<Evidence, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let said = match &id {
            Some(id) => self.resolve(&sight, id)?.map(|(_, said)| said),
            None => None,
        };
        let name = id.map_or_else(|| asked.to_owned(), |id| id.to_string());
        let indices = self.rests_on(&sight, said.unwrap_or_default())?;
        check_entries(domain, indices.len())?;
        self.evidence_at(&sight, name, &indices)
    }
}

/// Checks that a domain says no more about a thing than the checker accepts in a case, so that the caller is told
/// before all of it is proven.
fn check_entries(domain: &DomainName, entries: usize) -> Result<(), AppError> {
    if entries <= limits::CASE_ENTRIES {
        return Ok(());
    }
    let rejection = Rejection::Entries { domain: domain.clone(), entries };
    Err(AppError::new(Code::TooMuchSaid, rejection.to_string()))
}

fn is_too_much(error: &AppError) -> bool {
    error.code() == Code::TooMuchSaid
}

/// The time as of which a checkpoint counts, if its home has signed a later one.
fn less_than_signed(domain: &Domain, checkpoint: &str, as_of: Timestamp) -> Option<Timestamp> {
    let signed = domain.descriptor().vouched_at(checkpoint).ok().flatten();
    signed.filter(|signed| as_of < *signed).map(|_| as_of)
}

/// Whether a gateway's answer is this verdict, as of the same entries and times.
fn says(check: &Check, verdict: &Verdict) -> bool {
    let entries: BTreeSet<String> = verdict.as_of.iter().map(|it| format!("{}={}", it.domain, it.size)).collect();
    check.verdict == verdict.outcome
        && check.reason == verdict.reason
        && check.as_of == known(verdict.as_of.iter().map(|it| it.as_of).min())
        && check.fresh_until == still_to_come(verdict.fresh_until, verdict.at)
        && check.view.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>() == entries
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This is nobody's failure, and the message names the limit.
    #[test]
    fn more_than_is_checked_makes_no_case() {
        let domain: DomainName = "devices.acme.example".parse().expect("a name");
        assert!(check_entries(&domain, limits::CASE_ENTRIES).is_ok());
        let error = check_entries(&domain, limits::CASE_ENTRIES + 1).expect_err("one more");
        assert_eq!((error.code().status(), is_too_much(&error)), (422, true));
        let said = error.to_string();
        assert!(said.contains("devices.acme.example") && said.contains("1025") && said.contains("1024"), "{said}");
    }
}
