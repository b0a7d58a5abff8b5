//! A verdict with everything that proves it.

use ics_core::checker::{Case, Exhibit, Shown, VERSION};
use ics_core::identity::IdentityId;
use ics_core::trust::{Looked, Testimony, TrustPolicy, Verdict, verdict};
use ics_core::vocabulary::DomainName;

use super::answers::Query;
use super::problem::Code;
use super::{App, AppError, Reader};
use crate::api::Evidence;

/// How often a verdict is tried anew while the logs that it rests on go on.
const TRIES: usize = 4;

impl App {
    /// Whether a thing may be used so, by this node's trust policy, now, with the evidence: what anybody can check without
    /// a network. No case leaves this node that its own checker rejects.
    ///
    /// # Errors
    /// As [`App::verdict`]; when there is no trust policy; when the logs go on faster than they are read.
    pub fn case(&self, reader: Reader, thing: &str, usage: &str, peer: Option<&str>) -> Result<Case, AppError> {
        let (thing, peer) = (Query::parse(thing)?, peer.map(Query::parse).transpose()?);
        let Some(policy) = self.0.trust.as_deref() else {
            let detail = "this node has no trust policy: `policy` in the section `trust` of ics.toml names one";
            return Err(AppError::new(Code::Behind, detail));
        };
        Ok(self.proven(reader, policy, &thing, usage, peer.as_ref())?.1)
    }

    /// The verdict as people read it, and as a case that the checker has accepted.
    pub(super) fn proven(
        &self,
        reader: Reader,
        policy: &TrustPolicy,
        thing: &Query,
        usage: &str,
        peer: Option<&Query>,
    ) -> Result<(Verdict, Case), AppError> {
        let mut rejection = None;
        for _ in 0..TRIES {
            let now = self.clock().now();
            let question = self.question(reader, policy, thing, usage, peer)?;
            let verdict = verdict(&question, policy, now);
            let case = Case {
                version: VERSION,
                usage: usage.to_owned(),
                at: now,
                thing: self.exhibits(&question.thing)?,
                peer: question.peer.as_ref().map(|peer| self.exhibits(peer)).transpose()?,
                policy: policy.document().clone(),
                verdict: Verdict { reasons: Vec::new(), ..verdict.clone() },
            };
            match case.check() {
                Ok(()) => return Ok((verdict, case)),
                // The log may have gone on between the answer and the evidence for it.
                Err(rejected) => rejection = Some(rejected),
            }
        }
        let why = rejection.map_or_else(String::new, |rejection| rejection.to_string());
        Err(AppError::Internal(format!("the checker rejects the verdict on `{}`: {why}", thing.text())))
    }

    fn exhibits(&self, looked: &Looked) -> Result<Shown, AppError> {
        let exhibit = |it: &Testimony| {
            if let Some(evidence) = self.roamed_evidence(it, &looked.asked)? {
                return Ok(Exhibit { evidence, withheld: it.withheld });
            }
            let id = it.record.as_ref().map(|record| record.identity.id);
            let evidence = self.exhibit(&it.origin.domain, id, &looked.asked)?;
            Ok(Exhibit { evidence, withheld: it.withheld })
        };
        let heard = looked.testimonies.iter().map(exhibit);
        Ok(Shown {
            asked: looked.asked.clone(),
            candidates: looked.candidates,
            heard: heard.collect::<Result<_, AppError>>()?,
        })
    }

    /// What a domain says of an identity, or no more than how far it reaches.
    fn exhibit(&self, domain: &DomainName, id: Option<IdentityId>, asked: &str) -> Result<Evidence, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let said = match &id {
            Some(id) => self.resolve(&sight, id)?.map(|(_, said)| said),
            None => None,
        };
        let name = id.map_or_else(|| asked.to_owned(), |id| id.to_string());
        self.evidence_of(&sight, name, said)
    }
}
