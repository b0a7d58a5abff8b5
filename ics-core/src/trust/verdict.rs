//! The relying party's answer: may this thing be used so, now? With everything that it rests on.
//!
//! - A blocking status in any domain that counts denies, however old the news of it: it stands until lifted.
//! - Otherwise every domain that counts must have been heard of lately enough, one of them must know the thing, and
//!   they must agree on what it is; else the answer is `unknown`, never `allow`.
//! - Then the rules of the trust policy decide, and what no rule permits is denied.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::heard::{Heard, does, lacks, signer};
use super::{TrustPolicy, TrustRequest};
use crate::descriptor::Freshness;
use crate::identity::{Fingerprint, excerpt};
use crate::log::checkpoint::Origin;
use crate::record::Record;
use crate::statement::StatementId;
use crate::time::Timestamp;
use crate::vocabulary::{Act, DomainName, Role};

/// What one domain says of a thing, and how complete and how fresh that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Testimony {
    /// Which domain.
    pub origin: Origin,
    /// Entries of its log that were read: all up to a verified checkpoint.
    pub size: u64,
    /// The time that a cosignature of that checkpoint, or of a later one of the same size, proves.
    pub as_of: Timestamp,
    /// The bounds in its descriptor.
    pub freshness: Freshness,
    /// Its record; absent if it does not know the thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
}

/// A thing that was looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// What was asked for: an id or a name, as it was asked.
    pub asked: String,
    /// How many identities the name fits. With more than one, nobody knows which is meant.
    pub candidates: usize,
    /// What the domains say of it.
    pub testimonies: Vec<Testimony>,
}

/// What is to be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What for: `connect`, `install`, `operate` or any other word.
    #[serde(rename = "use")]
    pub usage: String,
    /// The thing that is to be used.
    pub thing: Looked,
    /// The thing that it is to deal with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Looked>,
}

/// The answer in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It may be used so.
    Allow,
    /// It may not.
    Deny,
    /// Nobody can tell; not to be taken for a yes.
    Unknown,
}

/// Which of two things is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// The thing that is to be used.
    Thing,
    /// The one that it is to deal with.
    Peer,
}

/// A statement on which the answer rests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Of which thing.
    pub of: Party,
    /// The domain that has it.
    pub domain: DomainName,
    /// Its index there.
    pub index: u64,
    /// The statement.
    pub statement: StatementId,
    /// Its signer.
    pub signer: Fingerprint,
    /// The first User ID of his certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The capacity in which he speaks.
    pub role: Role,
    /// What the statement does.
    pub act: Act,
    /// How it counts, in words.
    pub rule: String,
}

/// How far the copy of a domain reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The domain.
    pub domain: DomainName,
    /// Entries read.
    pub size: u64,
    /// When its home, or a witness, last confirmed that there are no more.
    pub as_of: Timestamp,
    /// Until when that is recent enough for this use.
    pub fresh_until: Timestamp,
}

/// The answer with its derivation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The answer.
    pub outcome: Outcome,
    /// What for.
    #[serde(rename = "use")]
    pub usage: String,
    /// When it was given.
    pub at: Timestamp,
    /// Until when it holds, if nothing more is heard; absent where nothing can be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_until: Option<Timestamp>,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// The rules of the trust policy that decided, by their ids.
    pub rules: Vec<String>,
    /// The statements on which it rests.
    pub derivation: Vec<Step>,
    /// Statements that contradict each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
    /// Domains that were not heard, because the trust policy does not name them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ignored: BTreeSet<Origin>,
    /// How far the copies of the domains that count reach.
    pub as_of: Vec<AsOf>,
}

/// Answers a question by a trust policy: a pure function of what was heard, the policy and the time.
#[must_use]
pub fn verdict(question: &Question, policy: &TrustPolicy, now: Timestamp) -> Verdict {
    let thing = Heard::new(Party::Thing, &question.thing, policy);
    let peer = question.peer.as_ref().map(|peer| Heard::new(Party::Peer, peer, policy));
    let both: Vec<&Heard<'_>> = [&thing].into_iter().chain(&peer).collect();
    let as_of = as_of(&both, policy, &question.usage, now);
    let answer = Answer::blocked(&both)
        .or_else(|| Answer::unknown(&both, policy, &as_of, now))
        .unwrap_or_else(|| Answer::by_rules(question, policy, &thing, peer.as_ref()));
    Verdict {
        outcome: answer.outcome,
        usage: question.usage.clone(),
        at: now,
        fresh_until: if answer.outcome == Outcome::Unknown { None } else { fresh_until(&both, &as_of) },
        reasons: answer.reasons,
        rules: answer.rules,
        derivation: both.iter().flat_map(|heard| heard.derivation()).collect(),
        conflicts: both.iter().flat_map(|heard| heard.conflicts()).collect(),
        ignored: both.iter().flat_map(|heard| heard.ignored.iter().copied().cloned()).collect(),
        as_of,
    }
}

struct Answer {
    outcome: Outcome,
    reasons: Vec<String>,
    rules: Vec<String>,
}

impl Answer {
    /// Denied, if anything blocks.
    fn blocked(both: &[&Heard<'_>]) -> Option<Self> {
        let blocking = both.iter().filter_map(|heard| {
            let (domain, status) = heard.status().filter(|(_, status)| status.effect.blocks())?;
            Some(format!(
                "{} is `{}`, which {}: said in {domain} at index {} by {}",
                heard.name(),
                status.name,
                does(status.effect),
                status.by.index,
                signer(&status.by)
            ))
        });
        let reasons: Vec<String> = blocking.collect();
        (!reasons.is_empty()).then(|| Self { outcome: Outcome::Deny, reasons, rules: Vec::new() })
    }

    /// Unknown, if something is missing without which nobody can tell.
    fn unknown(both: &[&Heard<'_>], policy: &TrustPolicy, as_of: &[AsOf], now: Timestamp) -> Option<Self> {
        let mut reasons: BTreeSet<String> = as_of
            .iter()
            .filter(|it| it.fresh_until <= now)
            .map(|it| format!("the last news of {} is of {}, too old since {}", it.domain, it.as_of, it.fresh_until))
            .collect();
        for heard in both {
            reasons.extend(heard.missing(policy, now));
        }
        let reasons: Vec<String> = reasons.into_iter().collect();
        (!reasons.is_empty()).then(|| Self { outcome: Outcome::Unknown, reasons, rules: Vec::new() })
    }

    fn by_rules(question: &Question, policy: &TrustPolicy, thing: &Heard<'_>, peer: Option<&Heard<'_>>) -> Self {
        let Some(facts) = thing.facts() else {
            return Self { outcome: Outcome::Unknown, reasons: vec![thing.nobody_knows()], rules: Vec::new() };
        };
        let request =
            TrustRequest { usage: question.usage.clone(), thing: facts, peer: peer.and_then(|peer| peer.facts()) };
        let decision = policy.decide(&request);
        let usage = excerpt(&question.usage);
        let reasons = match (decision.allow, decision.errors.as_slice(), decision.reasons.as_slice()) {
            (true, ..) => vec![format!("the trust policy permits `{usage}`: {}", decision.reasons.join(", "))],
            (_, [], []) => {
                let thing_lacks = lacks(thing, &request.thing);
                let peer_lacks = peer.zip(request.peer.as_ref()).map(|(peer, facts)| lacks(peer, facts));
                [format!("no rule of the trust policy permits `{usage}`"), thing_lacks]
                    .into_iter()
                    .chain(peer_lacks)
                    .collect()
            }
            (_, [], forbidding) => vec![format!("the trust policy forbids `{usage}`: {}", forbidding.join(", "))],
            (_, errors, _) => vec![format!("the trust policy cannot be evaluated: {}", errors.join("; "))],
        };
        let outcome = if decision.allow { Outcome::Allow } else { Outcome::Deny };
        Self { outcome, reasons, rules: decision.reasons }
    }
}

/// One line per domain: the older copy, where the two things were looked up in different ones.
fn as_of(both: &[&Heard<'_>], policy: &TrustPolicy, usage: &str, now: Timestamp) -> Vec<AsOf> {
    let mut by_domain: BTreeMap<&Origin, AsOf> = BTreeMap::new();
    for testimony in both.iter().flat_map(|heard| &heard.counting) {
        let seconds = policy.freshness().seconds(usage).min(testimony.freshness.seconds(usage));
        let line = AsOf {
            domain: testimony.origin.domain.clone(),
            size: testimony.size,
            as_of: testimony.as_of,
            fresh_until: testimony.as_of.min(now).plus_millis(seconds.saturating_mul(1000)),
        };
        let known = by_domain.entry(&testimony.origin).or_insert_with(|| line.clone());
        if line.fresh_until < known.fresh_until {
            *known = line;
        }
    }
    by_domain.into_values().collect()
}

/// Until the first copy is too old, or the first statement begins or ends.
fn fresh_until(both: &[&Heard<'_>], as_of: &[AsOf]) -> Option<Timestamp> {
    let changes = both.iter().flat_map(|heard| heard.records()).filter_map(|record| record.changes_at);
    as_of.iter().map(|it| it.fresh_until).chain(changes).min()
}

#[cfg(test)]
mod tests;
