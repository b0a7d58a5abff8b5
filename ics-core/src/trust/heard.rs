//! What the domains that count say about one thing, combined.

use std::collections::{BTreeMap, BTreeSet};

use super::derivation::{Conflict, Party, Saying, Step};
use super::verdict::{Looked, Question, Reason, Testimony};
use super::{Facts, TrustPolicy};
use crate::identity::{Kind, excerpt};
use crate::log::checkpoint::Origin;
use crate::record::{By, Given, GivenStatus, Listed, Record, Standing};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, DomainName, Effect};

/// What the domains that count say about a thing.
pub(super) struct Heard<'a> {
    of: Party,
    looked: &'a Looked,
    policy: &'a TrustPolicy,
    pub(super) counting: Vec<&'a Testimony>,
    pub(super) ignored: BTreeSet<&'a Origin>,
}

impl<'a> Heard<'a> {
    /// For the thing, and for its peer if there is one.
    pub(super) fn both(question: &'a Question, policy: &'a TrustPolicy) -> Vec<Self> {
        let peer = question.peer.iter().map(|peer| Self::new(Party::Peer, peer, policy));
        core::iter::once(Self::new(Party::Thing, &question.thing, policy)).chain(peer).collect()
    }

    fn new(of: Party, looked: &'a Looked, policy: &'a TrustPolicy) -> Self {
        let (mut counting, ignored): (Vec<_>, Vec<_>) =
            looked.testimonies.iter().partition(|testimony| policy.domains().contains(&testimony.origin));
        counting.sort_by_key(|testimony| &testimony.origin);
        Self { of, looked, policy, counting, ignored: ignored.into_iter().map(|testimony| &testimony.origin).collect() }
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &'a Record> {
        self.counting.iter().filter_map(|testimony| testimony.record.as_ref())
    }

    /// The kinds that domains state where somebody vouches for the thing in a role that counts; if nobody does, all
    /// kinds that they state. A vouching signer whose role does not count contradicts, but does not decide what the
    /// thing is.
    fn kinds(&self) -> BTreeSet<Kind> {
        let counts = |record: &Record| record.vouched.iter().any(|by| self.policy.counts(&by.role, &record.domain));
        let is_vouched = self.records().any(counts);
        let saying = self.records().filter(|record| !is_vouched || !record.vouched.is_empty());
        saying.map(|record| record.identity.kind).collect()
    }

    /// The statuses that stand, whoever has given them.
    fn statuses(&self) -> impl Iterator<Item = (&'a DomainName, &'a GivenStatus)> {
        self.records().flat_map(|record| {
            let status = record.status.iter();
            let all = status.flat_map(|status| core::iter::once(&status.decides).chain(&status.conflict));
            all.map(|given| (&record.domain, given))
        })
    }

    /// The most restrictive status that counts, and its effect; among equals, the first in the log of the first domain.
    /// What blocks counts whoever says it; everything else only if the role in which it is said counts.
    pub(super) fn status(&self) -> Option<(&'a DomainName, &'a Listed, Effect)> {
        let policy = self.policy;
        let counting = self.records().flat_map(move |record| {
            let is_status = |it: &&Listed| it.act == Act::Status && it.standing == Standing::Stands;
            let given = record.statements.iter().filter(is_status);
            let given = given.map(move |it| (&record.domain, it, it.effect.unwrap_or(Effect::None)));
            given.filter(move |(domain, it, effect)| effect.blocks() || policy.counts(&it.by.role, domain))
        });
        counting.reduce(|first, next| if next.2 > first.2 { next } else { first })
    }

    pub(super) fn facts(&self) -> Option<Facts> {
        let kind = self.kinds().pop_first()?;
        let status = self.status();
        let effect = status.map_or(Effect::None, |(_, _, effect)| effect);
        let effects: BTreeSet<Effect> = self.statuses().map(|(_, given)| given.effect).collect();
        let roles = |by: fn(&Record) -> &Vec<By>| {
            let all = self.records().flat_map(|record| by(record).iter().map(|by| (&by.role, &record.domain)));
            let counting = all.filter(|(role, domain)| self.policy.counts(role, domain));
            counting.map(|(role, _)| role.to_string()).collect::<BTreeSet<_>>()
        };
        let labels = self.records().flat_map(|record| record.labels.iter().map(|label| (label, &record.domain)));
        let labels = labels.filter(|(label, domain)| self.policy.counts_label(&label.by.role, domain));
        Some(Facts {
            kind,
            attributes: self.attributes(),
            effect,
            status: status.and_then(|(_, given, _)| given.status.as_ref()).map(ToString::to_string),
            vouching_roles: roles(|record| &record.vouched),
            approving_roles: roles(|record| &record.approvals),
            formerly_approving_roles: roles(|record| &record.formerly_approved),
            labels: labels.map(|(label, _)| label.value.clone()).collect(),
            conflict: effects.len() > 1,
        })
    }

    /// The values given for each attribute, and whether the role in which each is given counts.
    fn values(&self) -> BTreeMap<Attribute, Vec<(&'a str, bool)>> {
        let mut values: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in self.records() {
            let said =
                |given: &'a Given<String>| (given.value.as_str(), self.policy.counts(&given.by.role, &record.domain));
            for (attribute, given) in &record.attributes {
                values.entry(*attribute).or_default().extend(given.iter().map(said));
            }
        }
        values
    }

    /// The attributes on which all agree, if at least one of their signers' roles counts.
    fn attributes(&self) -> BTreeMap<Attribute, String> {
        let agreed = |(attribute, said): (Attribute, Vec<(&str, bool)>)| {
            let (first, _) = *said.first()?;
            let is_agreed = said.iter().all(|(value, _)| *value == first) && said.iter().any(|(_, counts)| *counts);
            is_agreed.then(|| (attribute, first.to_owned()))
        };
        self.values().into_iter().filter_map(agreed).collect()
    }

    /// Contradictions: between values of one attribute, and between statuses.
    pub(super) fn conflicts(&self) -> Vec<Conflict> {
        let mut said: BTreeMap<&str, Vec<Saying>> = BTreeMap::new();
        let saying = |domain: &DomainName, by: &By, value: &str| Saying {
            value: value.to_owned(),
            domain: domain.clone(),
            index: by.index,
        };
        for record in self.records() {
            for (attribute, given) in &record.attributes {
                let all = given.iter().map(|given| saying(&record.domain, &given.by, &given.value));
                said.entry(attribute.as_str()).or_default().extend(all);
            }
        }
        let statuses = self.statuses().map(|(domain, given)| saying(domain, &given.by, given.name.as_str()));
        said.entry(Conflict::STATUS).or_default().extend(statuses);
        let differ = said
            .into_iter()
            .filter(|(_, said)| said.iter().any(|other| Some(&other.value) != said.first().map(|it| &it.value)));
        differ.map(|(about, said)| Conflict { of: self.of, about: about.to_owned(), said }).collect()
    }

    /// How reasons refer to it.
    pub(super) fn name(&self) -> String {
        let asked = excerpt(&self.looked.asked);
        match self.of {
            Party::Thing => format!("`{asked}`"),
            Party::Peer => format!("the peer `{asked}`"),
        }
    }

    /// What became of each statement, by domain and index.
    pub(super) fn derivation(&self) -> impl Iterator<Item = Step> {
        self.records().flat_map(|record| record.statements.iter().map(|listed| Step::new(self.of, record, listed)))
    }
}

pub(super) fn signer(by: &By) -> String {
    let name = by.name.as_ref().map_or_else(|| by.signer.to_string(), |name| excerpt(name));
    format!("{name} as {}", by.role)
}

impl Heard<'_> {
    pub(super) fn nobody_knows(&self) -> String {
        format!("no domain that counts knows {}", self.name())
    }

    /// Whether no domain says what it is.
    pub(super) fn is_unknown(&self) -> bool {
        self.kinds().is_empty()
    }

    /// What is missing for a decision. That no domain knows the thing is only said if all domains were heard, and
    /// recently: somebody who takes an unknown thing for harmless must not be told so because a domain was not asked.
    pub(super) fn missing(&self, now: Timestamp) -> Vec<(Reason, String)> {
        let mut missing = Vec::new();
        if self.looked.candidates > 1 {
            let words = format!("{} fits {} identities", self.name(), self.looked.candidates);
            missing.push((Reason::Ambiguous, words));
        }
        for origin in self.policy.domains() {
            if !self.counting.iter().any(|testimony| testimony.origin == *origin) {
                missing.push((Reason::NotHeard, format!("{} counts, but nothing was heard of it", origin.domain)));
            }
        }
        for testimony in self.counting.iter().filter(|testimony| testimony.withheld) {
            let domain = &testimony.origin.domain;
            let words = format!("{domain} no longer shows this node what it says of {}", self.name());
            missing.push((Reason::Withheld, words));
        }
        for record in self.records().filter(|record| record.changes_at.is_some_and(|change| change <= now)) {
            let words = format!(
                "the record of {} was judged at {}, something has begun or ended since",
                record.domain, record.at
            );
            missing.push((Reason::Outdated, words));
        }
        if self.kinds().len() > 1 {
            let words = format!("the domains differ on what kind of thing {} is", self.name());
            missing.push((Reason::KindsDiffer, words));
        }
        missing
    }
}

/// What a thing has, to show somebody which rule it fails.
pub(super) fn lacks(heard: &Heard<'_>, facts: &Facts) -> String {
    let list = |words: &BTreeSet<String>, none: &str, some: &str| match words.is_empty() {
        true => none.to_owned(),
        false => format!("{some} {}", words.iter().map(|word| excerpt(word)).collect::<Vec<_>>().join(", ")),
    };
    let status = match (&facts.status, facts.effect) {
        (None, _) if heard.statuses().next().is_some() => {
            "its status is given in a role that counts only from other domains".to_owned()
        }
        (None, _) => "it has no status".to_owned(),
        (Some(status), effect) => format!("its status is `{status}`, which {}", effect.does()),
    };
    let is_labelled = heard.records().any(|record| !record.labels.is_empty());
    let unlabelled = if is_labelled { "its labels are given in roles that do not count" } else { "it has no label" };
    format!(
        "{}: {status}; {}; {}; {}",
        heard.name(),
        list(&facts.vouching_roles, "nobody vouches for it", "vouched for by"),
        list(&facts.approving_roles, "nobody approves of it", "approved by"),
        list(&facts.labels, unlabelled, "labels:"),
    )
}
