//! The relying party's answer: may this thing be used so, now? With everything that it rests on.
//!
//! - A blocking status in any domain that counts denies, however old the news of it: it stands until lifted.
//! - Otherwise every domain that counts must have been heard of lately enough, one of them must know the thing, and
//!   they must agree on what it is; else the answer is `unknown`, never `allow`.
//! - Then the rules of the trust policy decide, and what no rule permits is denied.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Facts, TrustPolicy, TrustRequest};
use crate::descriptor::Freshness;
use crate::identity::{Fingerprint, excerpt};
use crate::log::checkpoint::Origin;
use crate::record::{By, GivenStatus, Record};
use crate::statement::StatementId;
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, DomainName, Effect, Role};

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

/// What the domains that count say of a thing.
struct Heard<'a> {
    of: Party,
    looked: &'a Looked,
    counting: Vec<&'a Testimony>,
    ignored: BTreeSet<&'a Origin>,
}

impl<'a> Heard<'a> {
    fn new(of: Party, looked: &'a Looked, policy: &TrustPolicy) -> Self {
        let (mut counting, ignored): (Vec<_>, Vec<_>) =
            looked.testimonies.iter().partition(|testimony| policy.domains().contains(&testimony.origin));
        counting.sort_by_key(|testimony| &testimony.origin);
        Self { of, looked, counting, ignored: ignored.into_iter().map(|testimony| &testimony.origin).collect() }
    }

    fn records(&self) -> impl Iterator<Item = &'a Record> {
        self.counting.iter().filter_map(|testimony| testimony.record.as_ref())
    }

    fn statuses(&self) -> impl Iterator<Item = (&'a DomainName, &'a GivenStatus)> {
        self.records().flat_map(|record| {
            let status = record.status.iter();
            let all = status.flat_map(|status| core::iter::once(&status.decides).chain(&status.conflict));
            all.map(|given| (&record.domain, given))
        })
    }

    /// The most restrictive; among equals that of the first domain, which stands first there.
    fn status(&self) -> Option<(&'a DomainName, &'a GivenStatus)> {
        self.statuses().reduce(|first, next| if next.1.effect > first.1.effect { next } else { first })
    }

    fn facts(&self) -> Option<Facts> {
        let kind = self.records().next()?.identity.kind;
        let status = self.status();
        let effect = status.map_or(Effect::None, |(_, status)| status.effect);
        let roles = |by: fn(&Record) -> &Vec<By>| {
            self.records().flat_map(by).map(|by| by.role.to_string()).collect::<BTreeSet<_>>()
        };
        Some(Facts {
            kind,
            attributes: self.attributes(),
            effect,
            status: status.map(|(_, status)| status.name.to_string()),
            vouching_roles: roles(|record| &record.vouched),
            approving_roles: roles(|record| &record.approvals),
            labels: self.records().flat_map(|record| &record.labels).map(|label| label.value.clone()).collect(),
            conflict: self.statuses().any(|(_, other)| other.effect != effect),
        })
    }

    fn values(&self) -> BTreeMap<Attribute, BTreeSet<&'a str>> {
        let mut values: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (attribute, given) in self.records().flat_map(|record| &record.attributes) {
            values.entry(*attribute).or_default().extend(given.iter().map(|given| given.value.as_str()));
        }
        values
    }

    /// The attributes on which all agree.
    fn attributes(&self) -> BTreeMap<Attribute, String> {
        let agreed = |(attribute, values): (Attribute, BTreeSet<&str>)| match values.first() {
            Some(value) if values.len() == 1 => Some((attribute, (*value).to_owned())),
            _ => None,
        };
        self.values().into_iter().filter_map(agreed).collect()
    }

    fn conflicts(&self) -> Vec<String> {
        let contradictory = self.values().into_iter().filter(|(_, values)| values.len() > 1);
        let mut conflicts: Vec<String> = contradictory
            .map(|(attribute, values)| {
                let values = values.into_iter().map(|value| format!("`{}`", excerpt(value))).collect::<Vec<_>>();
                format!("{}: `{attribute}` is said to be {}", self.name(), values.join(" and "))
            })
            .collect();
        let decides = self.status();
        for (domain, other) in self.statuses().filter(|(_, other)| decides.is_some_and(|(_, it)| it.name != other.name))
        {
            conflicts.push(format!(
                "{}: `{}` stands beside it, given in {domain} at index {} by {}",
                self.name(),
                other.name,
                other.by.index,
                signer(&other.by)
            ));
        }
        conflicts
    }

    /// How reasons speak of it.
    fn name(&self) -> String {
        let asked = excerpt(&self.looked.asked);
        match self.of {
            Party::Thing => format!("`{asked}`"),
            Party::Peer => format!("the peer `{asked}`"),
        }
    }

    fn derivation(&self) -> Vec<Step> {
        let step = |record: &Record, by: &By, act, rule| Step {
            of: self.of,
            domain: record.domain.clone(),
            index: by.index,
            statement: by.statement,
            signer: by.signer,
            name: by.name.clone(),
            role: by.role.clone(),
            act,
            rule,
        };
        let mut steps = Vec::new();
        for record in self.records() {
            let said = |what: &str, by: &By| match &by.group {
                Some(group) => format!("{what}, as a member of the group {group}"),
                None => what.to_owned(),
            };
            steps.extend(
                record.vouched.iter().map(|by| step(record, by, Act::Identity, said("vouches for its identity", by))),
            );
            steps.extend(record.approvals.iter().map(|by| step(record, by, Act::Approval, said("approves of it", by))));
            steps.extend(record.labels.iter().map(|label| {
                let rule = said(&format!("gives it the label `{}`", excerpt(&label.value)), &label.by);
                step(record, &label.by, Act::Label, rule)
            }));
            let status = record.status.iter();
            steps.extend(status.flat_map(|s| core::iter::once(&s.decides).chain(&s.conflict)).map(|given| {
                let rule =
                    said(&format!("gives it the status `{}`, which {}", given.name, does(given.effect)), &given.by);
                step(record, &given.by, Act::Status, rule)
            }));
        }
        steps
    }
}

const fn does(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "neither permits nor blocks",
        Effect::Permits => "permits its use",
        Effect::Blocks => "blocks its use",
        Effect::BlocksForEver => "blocks its use for ever",
    }
}

fn signer(by: &By) -> String {
    let name = by.name.as_ref().map_or_else(|| by.signer.to_string(), |name| excerpt(name));
    format!("{name} as {}", by.role)
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

impl Heard<'_> {
    fn nobody_knows(&self) -> String {
        format!("no domain that counts knows {}", self.name())
    }

    /// What keeps the domains from telling.
    fn missing(&self, policy: &TrustPolicy, now: Timestamp) -> Vec<String> {
        let mut missing = Vec::new();
        if self.looked.candidates > 1 {
            missing.push(format!("{} fits {} identities", self.name(), self.looked.candidates));
        }
        for origin in policy.domains() {
            if !self.counting.iter().any(|testimony| testimony.origin == *origin) {
                missing.push(format!("{} counts, but nothing was heard of it", origin.domain));
            }
        }
        for record in self.records().filter(|record| record.changes_at.is_some_and(|change| change <= now)) {
            missing.push(format!(
                "the record of {} was judged at {}, something has begun or ended since",
                record.domain, record.at
            ));
        }
        let kinds: BTreeSet<_> = self.records().map(|record| record.identity.kind).collect();
        match kinds.len() {
            0 => missing.push(self.nobody_knows()),
            1 => {}
            _ => missing.push(format!("the domains differ on what kind of thing {} is", self.name())),
        }
        missing
    }
}

/// What a thing has, for somebody who wonders which rule it does not fit.
fn lacks(heard: &Heard<'_>, facts: &Facts) -> String {
    let list = |words: &BTreeSet<String>, none: &str, some: &str| match words.is_empty() {
        true => none.to_owned(),
        false => format!("{some} {}", words.iter().map(|word| excerpt(word)).collect::<Vec<_>>().join(", ")),
    };
    let status = match (&facts.status, facts.effect) {
        (None, _) => "it has no status".to_owned(),
        (Some(status), effect) => format!("its status is `{status}`, which {}", does(effect)),
    };
    format!(
        "{}: {status}; {}; {}; {}",
        heard.name(),
        list(&facts.vouching_roles, "nobody vouches for it", "vouched for by"),
        list(&facts.approving_roles, "nobody approves of it", "approved by"),
        list(&facts.labels, "it has no label", "labels:"),
    )
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
