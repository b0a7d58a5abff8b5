//! An independent checker: given an answer with its derivation and everything that proves it, accepts or rejects it.
//!
//! It is written from docs/calculus.md alone. Forms, proofs and signatures are read by the same code as everywhere, but
//! nothing that decides is shared: not [`crate::record`], not [`crate::trust`], not the admission rule of
//! [`crate::domain`], and of [`crate::policy`] only the bounds that rules must meet before they are parsed. So an
//! answer that it accepts was found twice, by two programs.
//!
//! It cannot see what the evidence leaves out: see [`crate::evidence`]. Whoever answers also states some things that
//! cannot be checked: how many identities a name fits, whether a copy is no longer shown everything, and that they
//! believe a home's time only up to an earlier one. All of these can only make the answer `unknown`.

mod admitted;
mod answer;
mod cedar;
mod ends;
mod premises;
mod standing;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use self::answer::{Described, expected, reach};
pub(crate) use self::premises::Heard;
use self::standing::{Judged, Judgement};
use crate::descriptor::fields::read;
use crate::evidence::{Evidence, EvidenceRefusal};
use crate::identity::{IdentityId, excerpt};
use crate::limits;
use crate::log::checkpoint::Origin;
use crate::record::{Digest, Entitlement};
use crate::statement::StatementId;
use crate::time::Timestamp;
use crate::trust::{Party, Rule, Step, TrustDocument, Verdict};
use crate::vocabulary::DomainName;

/// The version of the format of cases.
pub const VERSION: u32 = 1;

/// An answer with everything needed to check it: what was asked and when, the trust policy, and the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The version of this format: [`VERSION`].
    pub version: u32,
    /// The use that was asked about.
    #[serde(rename = "use")]
    pub usage: String,
    /// When it was asked.
    pub at: Timestamp,
    /// The thing.
    pub thing: Shown,
    /// The thing that it is to interact with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Shown>,
    /// The trust policy.
    pub policy: TrustDocument,
    /// The answer, without its reasons in words: words cannot be checked.
    pub verdict: Verdict,
}

/// A thing, with the evidence for what was heard of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// The id or name that was asked for.
    pub asked: String,
    /// How many identities it fitted.
    pub candidates: usize,
    /// One piece of evidence for each domain that was heard. If the domain says nothing about the thing, it holds only
    /// the domain's descriptors.
    pub heard: Vec<Exhibit>,
}

/// A piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exhibit {
    /// The evidence.
    pub evidence: Evidence,
    /// Whether the copy that was asked is no longer shown everything that the domain says about the thing.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub withheld: bool,
    /// The time as of which the answerer counts the evidence, if that is earlier than its home signed: by the
    /// answerer's clock, the signed time was still in the future when it arrived. The epoch if the answerer believes
    /// none of its times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub believed: Option<Timestamp>,
}

/// Why an answer is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Longer than [`limits::CASE_BYTES`].
    #[error("the case has {0} bytes, {max} at most are read", max = limits::CASE_BYTES)]
    TooLong(usize),
    /// Not a case.
    #[error("this is not a case: {0}")]
    Json(String),
    /// A format version that this program does not know.
    #[error("the case has version {0}; this program knows version {known}", known = VERSION)]
    Version(u32),
    /// It contains reasons in words.
    #[error("the case gives reasons in words, which cannot be checked: leave them out")]
    Words,
    /// A piece of evidence proves nothing.
    #[error("the evidence of {domain}: {refusal}")]
    Evidence {
        /// The domain that it names.
        domain: DomainName,
        /// Why it is refused.
        refusal: Box<EvidenceRefusal>,
    },
    /// More than [`limits::CASE_ENTRIES`] entries from one domain.
    #[error("the evidence of {domain} has {entries} entries about the thing; at most {max} are checked in a case",
        max = limits::CASE_ENTRIES)]
    Entries {
        /// The domain that the evidence names.
        domain: DomainName,
        /// How many there are.
        entries: usize,
    },
    /// A domain was heard twice.
    #[error("the case has two pieces of evidence of {0} about the same thing")]
    Twice(DomainName),
    /// The statements are not about what was asked for.
    #[error(
        "the evidence is not about `{0}`, or a name that fits several things was answered as if it fitted only one"
    )]
    NotMeant(String),
    /// A statement is left out of the derivation.
    #[error("the derivation leaves out entry {index} of {domain}, of which it must say: {}", rule.reason())]
    Missing {
        /// The domain.
        domain: DomainName,
        /// The entry.
        index: u64,
        /// What became of it.
        rule: Rule,
    },
    /// The derivation has a step for which there is no evidence, or one in the wrong place.
    #[error(
        "the derivation has a step for entry {index} of {domain}, which the evidence does not show, or does not show \
         there"
    )]
    Unfounded {
        /// The domain.
        domain: DomainName,
        /// The entry.
        index: u64,
    },
    /// A step differs from its statement, or from what follows from the rules.
    #[error(
        "entry {index} of {domain}: the derivation says {said} for its {what}; by the rules and the evidence it is \
         {found}"
    )]
    Step {
        /// The domain.
        domain: DomainName,
        /// The entry.
        index: u64,
        /// The property that differs.
        what: &'static str,
        /// What the derivation says.
        said: String,
        /// What follows from the rules.
        found: String,
    },
    /// The answer differs from what follows from the rules.
    #[error("the answer says {said} for its {what}; by the rules it is {found}")]
    Answer {
        /// The property that differs.
        what: &'static str,
        /// What the answer says.
        said: String,
        /// What follows from the rules.
        found: String,
    },
}

/// What is to be answered, with everything that is proven.
#[derive(Debug, Clone)]
pub(crate) struct Premises {
    pub(crate) usage: String,
    pub(crate) at: Timestamp,
    pub(crate) policy: TrustDocument,
    pub(crate) thing: Sought,
    pub(crate) peer: Option<Sought>,
}

/// One of the two things.
#[derive(Debug, Clone)]
pub(crate) struct Sought {
    pub(crate) asked: String,
    pub(crate) candidates: usize,
    pub(crate) heard: Vec<Heard>,
}

impl Case {
    /// Reads a case from its JSON. Nothing is checked yet.
    ///
    /// # Errors
    /// When it is over [`limits::CASE_BYTES`], or not the JSON of a case; the field is named.
    pub fn parse(json: &[u8]) -> Result<Self, Rejection> {
        if json.len() > limits::CASE_BYTES {
            return Err(Rejection::TooLong(json.len()));
        }
        read(json).map_err(|error| Rejection::Json(excerpt(&error)))
    }

    /// Checks the answer against the evidence: every proof and signature, every step, and what follows from them.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check(&self) -> Result<(), Rejection> {
        if self.version != VERSION {
            return Err(Rejection::Version(self.version));
        }
        if !self.verdict.reasons.is_empty() {
            return Err(Rejection::Words);
        }
        let sought = |shown: &Shown| {
            let opened = shown.heard.iter().map(|it| Heard::open(it, self.at));
            let heard = opened.collect::<Result<Vec<_>, _>>()?;
            Ok(Sought { asked: shown.asked.clone(), candidates: shown.candidates, heard })
        };
        let premises = Premises {
            usage: self.usage.clone(),
            at: self.at,
            policy: self.policy.clone(),
            thing: sought(&self.thing)?,
            peer: self.peer.as_ref().map(sought).transpose()?,
        };
        check(&self.verdict, &premises)
    }
}

/// Checks an answer against what is proven.
pub(crate) fn check(verdict: &Verdict, premises: &Premises) -> Result<(), Rejection> {
    let describe = |of, sought| Described::new(of, sought, &premises.policy, premises.at);
    let both: Vec<Described<'_>> = core::iter::once(describe(Party::Thing, &premises.thing))
        .chain(premises.peer.iter().map(|peer| describe(Party::Peer, peer)))
        .collect();
    let things = || core::iter::once(&premises.thing).chain(&premises.peer);
    for sought in things() {
        let mut seen = BTreeSet::new();
        if let Some(twice) = sought.heard.iter().find(|it| !seen.insert(&it.origin)) {
            return Err(Rejection::Twice(twice.origin.domain.clone()));
        }
    }
    for (described, sought) in both.iter().zip(things()) {
        if !described.is_meant() {
            return Err(Rejection::NotMeant(excerpt(&sought.asked)));
        }
    }
    check_steps(verdict, &both)?;
    let reach = reach(&both, premises);
    let expected = expected(&both, premises, &reach);
    let mut facts = both.iter().map(|it| it.facts(&premises.policy));
    let conflicts: Vec<_> =
        both.iter().flat_map(|it| it.conflicts().into_iter().map(|(about, said)| (it.of, about, said))).collect();
    let mut said: Vec<_> = verdict
        .conflicts
        .iter()
        .map(|it| {
            let mut said = it.said.clone();
            said.sort();
            (it.of, it.about.clone(), said)
        })
        .collect();
    said.sort();
    let heard = |sought: &Sought| sought.heard.iter().map(|it| it.origin.clone()).collect::<Vec<_>>();
    let all = things().flat_map(heard);
    let ignored: BTreeSet<Origin> = all.filter(|origin| !premises.policy.domains.contains(origin)).collect();
    let rules: Vec<String> = expected.rules.into_iter().collect();
    equal("use", &verdict.usage, &premises.usage)?;
    equal("time", &verdict.at, &premises.at)?;
    equal("thing's facts", &verdict.thing, &facts.next().flatten())?;
    equal("peer's facts", &verdict.peer, &facts.next().flatten())?;
    equal("reach", &verdict.as_of, &reach)?;
    equal("outcome", &verdict.outcome, &expected.outcome)?;
    equal("reason", &verdict.reason, &expected.reason)?;
    equal("rules", &verdict.rules, &rules)?;
    equal("end", &verdict.fresh_until, &expected.fresh_until)?;
    equal("conflicts", &said, &conflicts)?;
    equal("ignored domains", &verdict.ignored, &ignored)
}

fn equal<T: PartialEq + core::fmt::Debug>(what: &'static str, said: &T, found: &T) -> Result<(), Rejection> {
    if said == found {
        return Ok(());
    }
    Err(Rejection::Answer { what, said: excerpt(&format!("{said:?}")), found: excerpt(&format!("{found:?}")) })
}

/// Checks that every statement has its step, in the order of things, domains and logs, and every step its statement.
fn check_steps(verdict: &Verdict, both: &[Described<'_>]) -> Result<(), Rejection> {
    let mut steps = verdict.derivation.iter().peekable();
    for described in both {
        for (heard, judgement) in &described.heard {
            let Some(judgement) = judgement else { continue };
            // The list of statements is bounded, and so are the steps for those without effect.
            let may_omit = judgement.judged.len() > limits::RECORD_STATEMENTS;
            for it in &judgement.judged {
                let is_it = |step: &&Step| {
                    step.of == described.of && step.domain == heard.origin.domain && step.index == it.said.index()
                };
                match steps.next_if(is_it) {
                    Some(step) => Checked { step, it, judgement, heard }.check()?,
                    None if may_omit && !it.rule.has_effect() => {}
                    None => {
                        let (domain, index) = (heard.origin.domain.clone(), it.said.index());
                        return Err(Rejection::Missing { domain, index, rule: it.rule });
                    }
                }
            }
        }
    }
    match steps.next() {
        Some(step) => Err(Rejection::Unfounded { domain: step.domain.clone(), index: step.index }),
        None => Ok(()),
    }
}

/// A step together with its statement.
struct Checked<'a> {
    step: &'a Step,
    it: &'a Judged<'a>,
    judgement: &'a Judgement<'a>,
    heard: &'a Heard,
}

impl Checked<'_> {
    fn check(&self) -> Result<(), Rejection> {
        let (step, said) = (self.step, self.it.said);
        let claims = said.claims();
        let group = match said.subject_id() {
            IdentityId::Group(id) if Some(said.subject_id()) != self.heard.id => Some(Digest(id)),
            _ => None,
        };
        self.equal("statement", &step.statement, &said.id())?;
        self.equal("group", &step.group, &group)?;
        self.equal("signer", &step.signer, &said.signer())?;
        self.equal("signer's name", &step.name.as_ref(), &self.heard.names.get(&said.signer()))?;
        self.equal("role", &step.role, &claims.role)?;
        self.equal("act", &step.act, &claims.act)?;
        self.equal("status", &step.status, &claims.status)?;
        self.equal("effect", &step.effect, &self.it.effect)?;
        self.equal("label", &step.label, &claims.label)?;
        self.equal("erasure", &step.erased, &said.is_erased())?;
        self.equal("admission", &step.admitted_at, &said.admitted_at())?;
        self.equal("beginning", &step.from, &claims.from)?;
        self.equal("end", &step.until, &claims.until)?;
        self.equal("rule", &step.rule, &self.it.rule)?;
        self.equal("entitlement", &self.is_entitled(), &true)?;
        self.equal("ending statement", &self.is_ended(), &true)
    }

    /// Whether something holds of a statement with this id: one that was refused may stand in the log again.
    fn any(&self, id: StatementId, holds: impl Fn(&Judged<'_>) -> bool) -> bool {
        self.judgement.judged.iter().any(|it| it.said.id() == id && holds(it))
    }

    /// Whether the entitlement that the step names is one, or it names none and there is none.
    fn is_entitled(&self) -> bool {
        match self.step.entitled_by {
            None => !self.judgement.is_entitled_somehow(self.it.said),
            Some(Entitlement::Descriptor(version)) => self.judgement.is_described(self.it.said, version),
            Some(Entitlement::Grant(id)) => self.any(id, |grant| self.judgement.is_granted(self.it.said, grant)),
        }
    }

    /// Whether the statement named as the end could end it; a statement that another one ended must name that one.
    fn is_ended(&self) -> bool {
        let is_over = self.it.said.claims().until.is_some_and(|until| until <= self.judgement.at());
        let ends = match self.it.rule {
            Rule::Withdrawn | Rule::Replaced => true,
            Rule::Formerly => !is_over,
            _ => false,
        };
        match self.step.ended_by {
            None => !ends,
            Some(id) => ends && self.any(id, |x| self.judgement.is_ended_by(self.it, x.said)),
        }
    }

    fn equal<T: PartialEq + core::fmt::Debug>(&self, what: &'static str, said: &T, found: &T) -> Result<(), Rejection> {
        if said == found {
            return Ok(());
        }
        let (said, found) = (excerpt(&format!("{said:?}")), excerpt(&format!("{found:?}")));
        Err(Rejection::Step { domain: self.step.domain.clone(), index: self.step.index, what, said, found })
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod mutants;
#[cfg(test)]
mod tests;
