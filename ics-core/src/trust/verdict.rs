//! The relying party's answer: whether this thing may be used in this way now, with everything that the answer rests
//! on.
//!
//! Most of it does not depend on the age of what was heard: [`settle`] finds that part, once for as long as the records
//! stay the same, and [`Ruling::at`] compares it with the time.
//!
//! - A blocking status in any domain that counts denies, however old the news of it: it stands until lifted.
//! - Otherwise every domain that counts must have been heard recently enough, one of them must know the thing, and they
//!   must agree on what it is; else the answer is `unknown`, never `allow`.
//! - Then the rules of the trust policy decide, and what no rule permits is denied.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::derivation::{Conflict, Step};
use super::heard::{Heard, lacks, signer};
use super::{Facts, TrustPolicy, TrustRequest};
use crate::descriptor::Freshness;
use crate::identity::excerpt;
use crate::limits;
use crate::log::Hash;
use crate::log::checkpoint::Origin;
use crate::record::Record;
use crate::time::Timestamp;
use crate::vocabulary::DomainName;

/// What one domain says about a thing, and how complete and how fresh that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Testimony {
    /// Which domain.
    pub origin: Origin,
    /// Entries of its log that were read: all up to a verified checkpoint.
    pub size: u64,
    /// The root of that checkpoint.
    pub root: Hash,
    /// The version of its descriptor in force.
    pub descriptor: u64,
    /// The time that a cosignature of that checkpoint, or of a later one of the same size, proves.
    pub as_of: Timestamp,
    /// The freshness bounds in its descriptor.
    pub freshness: Freshness,
    /// Its record; absent if it does not know the thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// Whether this copy of the domain holds something about the thing but is no longer shown the rest.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub withheld: bool,
}

/// A thing that was looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// What was asked for: an id or a name, as it was asked.
    pub asked: String,
    /// How many identities the name fits. With more than one, it is not known which is meant.
    pub candidates: usize,
    /// What the domains say of it.
    pub testimonies: Vec<Testimony>,
}

/// What is to be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The use: `connect`, `install`, `operate` or any other word.
    #[serde(rename = "use")]
    pub usage: String,
    /// The thing that is to be used.
    pub thing: Looked,
    /// The thing that it is to interact with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Looked>,
}

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It may be used in this way.
    Allow,
    /// It may not.
    Deny,
    /// It cannot be decided; must never be treated as permission.
    Unknown,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Unknown => "unknown",
        }
    }
}

/// Why an answer is what it is, as one word for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A rule of the trust policy permits it.
    Permitted,
    /// A status blocks one of the two things.
    Blocked,
    /// A rule of the trust policy forbids it.
    Forbidden,
    /// No rule of the trust policy permits it.
    NotPermitted,
    /// The trust policy could not be evaluated.
    RulesFailed,
    /// A name fits several identities.
    Ambiguous,
    /// No domain that counts knows it, and all were heard recently.
    UnknownIdentity,
    /// The domains differ on what kind of thing it is.
    KindsDiffer,
    /// Nothing was heard of a domain that counts.
    NotHeard,
    /// A domain that counts no longer shows this node what it says of the thing.
    Withheld,
    /// A record was judged at a time before something began or ended.
    Outdated,
    /// The clock is behind what a domain has confirmed, so the age of the news is unknown.
    ClockBehind,
    /// The last news of a domain is too old for this use.
    Stale,
    /// There is no trust policy by which to decide.
    NoPolicy,
    /// The basis of the answer could not be read.
    Unreadable,
}

impl Reason {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Blocked => "blocked",
            Self::Forbidden => "forbidden",
            Self::NotPermitted => "not-permitted",
            Self::RulesFailed => "rules-failed",
            Self::Ambiguous => "ambiguous",
            Self::UnknownIdentity => "unknown-identity",
            Self::KindsDiffer => "kinds-differ",
            Self::NotHeard => "not-heard",
            Self::Withheld => "withheld",
            Self::Outdated => "outdated",
            Self::ClockBehind => "clock-behind",
            Self::Stale => "stale",
            Self::NoPolicy => "no-policy",
            Self::Unreadable => "unreadable",
        }
    }
}

/// How far the copy of a domain reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The domain.
    pub domain: DomainName,
    /// Entries read.
    pub size: u64,
    /// The root of the checkpoint over them.
    pub root: Hash,
    /// The version of the descriptor by which they were judged.
    pub descriptor: u64,
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
    /// Why, in one word.
    pub reason: Reason,
    /// The use that was asked about.
    #[serde(rename = "use")]
    pub usage: String,
    /// When it was given.
    pub at: Timestamp,
    /// Until when it holds, if nothing more is heard; absent if nothing can be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_until: Option<Timestamp>,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// The rules of the trust policy that decided, by their ids.
    pub rules: Vec<String>,
    /// What the domains that count say of the thing, taken together; absent if they do not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thing: Option<Facts>,
    /// The same for its peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Facts>,
    /// All statements about the two things, with what became of each.
    pub derivation: Vec<Step>,
    /// Contradictions between statements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
    /// Domains that do not count, because the trust policy does not name them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ignored: BTreeSet<Origin>,
    /// How far the copies of the domains that count reach.
    pub as_of: Vec<AsOf>,
}

/// Answers a question under a trust policy: a pure function of what was heard, the policy and the time.
#[must_use]
pub fn verdict(question: &Question, policy: &TrustPolicy, now: Timestamp) -> Verdict {
    let both = Heard::both(question, policy);
    let as_of = as_of(&both, policy, &question.usage, now);
    let answer = Answer::settled(&both, question, policy, now).at(&as_of, now);
    let mut facts = both.iter().map(Heard::facts);
    Verdict {
        outcome: answer.outcome,
        reason: answer.reason,
        usage: question.usage.clone(),
        at: now,
        fresh_until: if answer.outcome == Outcome::Unknown { None } else { holds_until(&both, &as_of) },
        reasons: answer.reasons,
        rules: answer.rules,
        thing: facts.next().flatten(),
        peer: facts.next().flatten(),
        derivation: both.iter().flat_map(Heard::derivation).collect(),
        conflicts: both.iter().flat_map(Heard::conflicts).collect(),
        ignored: both.iter().flat_map(|heard| heard.ignored.iter().copied().cloned()).collect(),
        as_of,
    }
}

impl Verdict {
    /// The answer `unknown`, where nothing could be asked or heard.
    #[must_use]
    pub const fn unknown(usage: String, reason: Reason, reasons: Vec<String>, at: Timestamp) -> Self {
        Self {
            outcome: Outcome::Unknown,
            reason,
            usage,
            at,
            fresh_until: None,
            reasons,
            rules: Vec::new(),
            thing: None,
            peer: None,
            derivation: Vec::new(),
            conflicts: Vec::new(),
            ignored: BTreeSet::new(),
            as_of: Vec::new(),
        }
    }
}

/// An answer with its reasons: the members of a [`Verdict`] of the same names.
struct Answer {
    outcome: Outcome,
    reason: Reason,
    reasons: Vec<String>,
    rules: Vec<String>,
}

/// The answer for as long as the records stay the same and what was heard is recent enough, by outcome and reason
/// alone: what a cache keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling {
    outcome: Outcome,
    reason: Reason,
}

/// Finds what does not depend on the age of what was heard. The records must be those of `now`.
#[must_use]
pub fn settle(question: &Question, policy: &TrustPolicy, now: Timestamp) -> Ruling {
    Answer::settled(&Heard::both(question, policy), question, policy, now).ruling()
}

impl Ruling {
    /// The answer at a time. For each domain, `as_of` gives when it last confirmed, and until when that is recent
    /// enough.
    ///
    /// A block holds however old the news; nothing else is certain once the news is too old, not even that nobody knows
    /// the thing. Of several reasons for doubt, one that fresher news would not resolve comes first.
    #[must_use]
    pub fn at(self, as_of: impl Iterator<Item = (Timestamp, Timestamp)>, now: Timestamp) -> (Outcome, Reason) {
        let was_heard = self.outcome != Outcome::Unknown || self.reason == Reason::UnknownIdentity;
        if self.reason == Reason::Blocked || !was_heard {
            return (self.outcome, self.reason);
        }
        let worst = as_of.filter_map(|(as_of, fresh_until)| doubt(as_of, fresh_until, now)).min();
        worst.map_or((self.outcome, self.reason), |reason| (Outcome::Unknown, reason))
    }
}

/// Why news of that time cannot be relied on now; `None` if it can.
fn doubt(as_of: Timestamp, fresh_until: Timestamp, now: Timestamp) -> Option<Reason> {
    if as_of > now.plus_millis(limits::CLOCK_SKEW_MILLIS) {
        Some(Reason::ClockBehind)
    } else {
        (fresh_until <= now).then_some(Reason::Stale)
    }
}

fn in_words(it: &AsOf, reason: Reason, now: Timestamp) -> String {
    match reason {
        Reason::ClockBehind => format!(
            "the clock says {now}, but {} was confirmed at {}: set the clock, or nobody can tell how old the news is",
            it.domain, it.as_of
        ),
        _ if it.as_of == Timestamp::default() => format!(
            "the home of {} has given no believable time at which there was nothing more, so nobody can tell how old \
             the news is",
            it.domain
        ),
        _ => format!("the last news of {} is of {}, too old since {}", it.domain, it.as_of, it.fresh_until),
    }
}

impl Answer {
    /// The answer for as long as the records stay the same and what was heard is recent enough.
    fn settled(both: &[Heard<'_>], question: &Question, policy: &TrustPolicy, now: Timestamp) -> Self {
        Self::blocked(both)
            .or_else(|| Self::missing(both, now))
            .unwrap_or_else(|| Self::by_rules(question, policy, both))
    }

    const fn ruling(&self) -> Ruling {
        Ruling { outcome: self.outcome, reason: self.reason }
    }

    /// The answer at a time, given how recently each domain was heard.
    fn at(self, as_of: &[AsOf], now: Timestamp) -> Self {
        let (outcome, reason) = self.ruling().at(as_of.iter().map(|it| (it.as_of, it.fresh_until)), now);
        if outcome != Outcome::Unknown {
            return self;
        }
        let doubted = as_of.iter().filter_map(|it| doubt(it.as_of, it.fresh_until, now).map(|why| (it, why)));
        let mut reasons: BTreeSet<String> = doubted.map(|(it, why)| in_words(it, why, now)).collect();
        if self.outcome == Outcome::Unknown {
            reasons.extend(self.reasons);
        }
        Self { outcome, reason, reasons: reasons.into_iter().collect(), rules: Vec::new() }
    }

    /// Denies, if anything blocks.
    fn blocked(both: &[Heard<'_>]) -> Option<Self> {
        let blocking = both.iter().filter_map(|heard| {
            let (domain, given, effect) = heard.status().filter(|(_, _, effect)| effect.blocks())?;
            Some(format!(
                "{} is `{}`, which {}: said in {domain} at index {} by {}",
                heard.name(),
                given.status.as_ref()?,
                effect.does(),
                given.by.index,
                signer(&given.by)
            ))
        });
        let reasons: Vec<String> = blocking.collect();
        let denied = Self { outcome: Outcome::Deny, reason: Reason::Blocked, reasons, rules: Vec::new() };
        (!denied.reasons.is_empty()).then_some(denied)
    }

    /// Answers `unknown`, if something is missing without which no decision is possible, however fresh the news.
    fn missing(both: &[Heard<'_>], now: Timestamp) -> Option<Self> {
        let missing: BTreeSet<(Reason, String)> = both.iter().flat_map(|heard| heard.missing(now)).collect();
        let reason = missing.first()?.0;
        let reasons: BTreeSet<String> = missing.into_iter().map(|(_, words)| words).collect();
        Some(Self { outcome: Outcome::Unknown, reason, reasons: reasons.into_iter().collect(), rules: Vec::new() })
    }

    fn by_rules(question: &Question, policy: &TrustPolicy, both: &[Heard<'_>]) -> Self {
        let facts: Option<Vec<Facts>> = both.iter().map(Heard::facts).collect();
        let mut facts = facts.unwrap_or_default().into_iter();
        let Some(thing) = facts.next() else {
            let reasons = both.iter().filter(|heard| heard.is_unknown()).map(Heard::nobody_knows).collect();
            return Self { outcome: Outcome::Unknown, reason: Reason::UnknownIdentity, reasons, rules: Vec::new() };
        };
        let request = TrustRequest { usage: question.usage.clone(), thing, peer: facts.next() };
        let decision = policy.decide(&request);
        let usage = excerpt(&question.usage);
        let (reason, reasons) = match (decision.allow, decision.errors.as_slice(), decision.reasons.as_slice()) {
            (true, _, permitting) => {
                (Reason::Permitted, vec![format!("the trust policy permits `{usage}`: {}", permitting.join(", "))])
            }
            (_, [], []) => {
                let facts = core::iter::once(&request.thing).chain(&request.peer);
                let lacking = both.iter().zip(facts).map(|(heard, facts)| lacks(heard, facts));
                let first = format!("no rule of the trust policy permits `{usage}`");
                (Reason::NotPermitted, core::iter::once(first).chain(lacking).collect())
            }
            (_, [], forbidding) => {
                (Reason::Forbidden, vec![format!("the trust policy forbids `{usage}`: {}", forbidding.join(", "))])
            }
            (_, errors, _) => {
                (Reason::RulesFailed, vec![format!("the trust policy cannot be evaluated: {}", errors.join("; "))])
            }
        };
        let outcome = if decision.allow { Outcome::Allow } else { Outcome::Deny };
        Self { outcome, reason, reasons, rules: decision.reasons }
    }
}

/// One line per domain; if the two things were looked up in different copies of it, the older one.
fn as_of(both: &[Heard<'_>], policy: &TrustPolicy, usage: &str, now: Timestamp) -> Vec<AsOf> {
    let mut by_domain: BTreeMap<&Origin, AsOf> = BTreeMap::new();
    for testimony in both.iter().flat_map(|heard| &heard.counting) {
        let seconds = policy.fresh_for(&testimony.freshness, usage);
        let line = AsOf {
            domain: testimony.origin.domain.clone(),
            size: testimony.size,
            root: testimony.root,
            descriptor: testimony.descriptor,
            as_of: testimony.as_of,
            fresh_until: fresh_until(testimony.as_of, seconds, now),
        };
        let known = by_domain.entry(&testimony.origin).or_insert_with(|| line.clone());
        if line.fresh_until < known.fresh_until {
            *known = line;
        }
    }
    by_domain.into_values().collect()
}

/// Until when news of a time is recent enough. News that another clock dates later than now counts as from now; news of
/// no time, which is the epoch, never is, however old news may be.
#[must_use]
pub fn fresh_until(as_of: Timestamp, seconds: u64, now: Timestamp) -> Timestamp {
    let seconds = if as_of == Timestamp::default() { 0 } else { seconds };
    as_of.min(now).plus_millis(seconds.saturating_mul(1000))
}

/// Until the first copy becomes too old, or the first statement begins or ends.
fn holds_until(both: &[Heard<'_>], as_of: &[AsOf]) -> Option<Timestamp> {
    let changes = both.iter().flat_map(|heard| heard.records()).filter_map(|record| record.changes_at);
    as_of.iter().map(|it| it.fresh_until).chain(changes).min()
}

#[cfg(test)]
mod tests;
