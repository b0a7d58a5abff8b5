//! What follows from the premises: docs/calculus.md, section 3.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::admitted::{is_nameable, may_name};
use super::cedar::{self, OwnSchema, described, entity};
use super::premises::Heard;
use super::standing::{Judged, Judgement};
use super::{Premises, Sought};
use crate::identity::{IdentityId, Kind};
use crate::limits;
use crate::log::checkpoint::Origin;
use crate::name::Lookup;
use crate::time::Timestamp;
use crate::trust::{AsOf, Conflict, Facts, Outcome, Party, Reason, Rule, Saying, TrustDocument};
use crate::vocabulary::{Act, Attribute, DomainName, Effect};

static SCHEMA: OwnSchema = LazyLock::new(|| cedar::read(include_str!("../../../schemas/trust.cedarschema")));

/// One of the two things, as the domains that count describe it.
pub(super) struct Described<'a> {
    pub(super) of: Party,
    sought: &'a Sought,
    /// By origin.
    pub(super) heard: Vec<(&'a Heard, Option<Judgement<'a>>)>,
}

/// What must be answered.
pub(super) struct Expected {
    pub(super) outcome: Outcome,
    pub(super) reason: Reason,
    pub(super) rules: BTreeSet<String>,
    pub(super) fresh_until: Option<Timestamp>,
}

impl<'a> Described<'a> {
    pub(super) fn new(of: Party, sought: &'a Sought, policy: &TrustDocument, at: Timestamp) -> Self {
        let mut counting: Vec<&Heard> = sought.heard.iter().filter(|it| policy.domains.contains(&it.origin)).collect();
        counting.sort_by(|a, b| a.origin.cmp(&b.origin));
        let judged = |it: &'a Heard| (it, it.scene(it.judged_at.unwrap_or(at)).map(|scene| scene.judge(None)));
        Self { of, sought, heard: counting.into_iter().map(judged).collect() }
    }

    fn judgements(&self) -> impl Iterator<Item = (&'a Heard, &Judgement<'a>)> {
        self.heard.iter().filter_map(|(heard, judgement)| Some((*heard, judgement.as_ref()?)))
    }

    /// The statements of an act that count, each with its domain.
    fn counting(&self, act: Act) -> impl Iterator<Item = (&'a DomainName, &Judged<'a>)> {
        self.judgements()
            .flat_map(move |(heard, judgement)| judgement.counting(act).map(move |it| (&heard.origin.domain, it)))
    }

    /// Rule 3.2: the kinds that domains state where somebody vouches for the thing in a role that counts; if nobody
    /// does, all kinds that they state.
    fn kinds(&self, policy: &TrustDocument) -> BTreeSet<Kind> {
        let kind = |(heard, judgement): (&'a Heard, &Judgement<'a>)| {
            let own = || judgement.judged.iter().filter(|it| Some(it.said.subject_id()) == heard.id);
            let introduces = |it: &&Judged<'_>| it.said.claims().act == Act::Identity;
            let counts =
                |it: &&Judged<'_>| matches!(it.rule, Rule::Entitled | Rule::Block | Rule::Grant | Rule::Withdrawal);
            let first = own().filter(counts).find(introduces).or_else(|| own().find(counts)).or_else(|| own().next());
            let vouching = || judgement.counting(Act::Identity);
            let is_heard = vouching().any(|it| fills(policy, &heard.origin.domain, it));
            first.map(|it| (it.said.subject().kind(), vouching().next().is_some(), is_heard))
        };
        let all: Vec<(Kind, bool, bool)> = self.judgements().filter_map(kind).collect();
        let is_vouched = all.iter().any(|(.., is_heard)| *is_heard);
        all.into_iter().filter(|(_, vouched, _)| !is_vouched || *vouched).map(|(kind, ..)| kind).collect()
    }

    /// The statuses that stand in each domain, one per name, except for the most restrictive, which is the first in its
    /// log.
    fn statuses(&self) -> Vec<(&'a DomainName, &Judged<'a>)> {
        let mut all = Vec::new();
        for (heard, judgement) in self.judgements() {
            let standing: Vec<&Judged<'a>> = judgement.counting(Act::Status).collect();
            let Some(most) = standing.iter().map(|it| effect_of(it)).max() else { continue };
            let Some(decides) = standing.iter().find(|it| effect_of(it) == most) else { continue };
            let others = standing.iter().filter(|it| it.said.claims().status != decides.said.claims().status);
            all.extend(core::iter::once(decides).chain(others).map(|it| (&heard.origin.domain, *it)));
        }
        all
    }

    /// Rule 3.1: the most restrictive that counts; among equals, the first in the first domain.
    fn status(&self, policy: &TrustDocument) -> Option<(Effect, String)> {
        let given = self.counting(Act::Status);
        let given: Vec<_> = given.filter(|(domain, it)| effect_of(it).blocks() || fills(policy, domain, it)).collect();
        let most = given.iter().map(|(_, it)| effect_of(it)).max()?;
        let (_, decides) = given.iter().find(|(_, it)| effect_of(it) == most)?;
        Some((most, decides.said.claims().status.as_ref()?.to_string()))
    }

    fn values(&self) -> BTreeMap<Attribute, Vec<Saying>> {
        let mut values: BTreeMap<Attribute, Vec<Saying>> = BTreeMap::new();
        for (domain, it) in self.counting(Act::Identity) {
            for (attribute, value) in &it.said.claims().attributes {
                values.entry(*attribute).or_default().push(saying(domain, it, value));
            }
        }
        values
    }

    /// Rule 3.3.
    pub(super) fn facts(&self, policy: &TrustDocument) -> Option<Facts> {
        let kind = self.kinds(policy).pop_first()?;
        let status = self.status(policy);
        let effect = status.as_ref().map_or(Effect::None, |(effect, _)| *effect);
        let effects: BTreeSet<Effect> = self.statuses().iter().map(|(_, it)| effect_of(it)).collect();
        let spoken = |act| self.counting(act).filter(move |(domain, it)| fills(policy, domain, it));
        let roles = |act| spoken(act).map(|(_, it)| it.said.claims().role.to_string()).collect();
        let former = |(heard, judgement): (&'a Heard, &Judgement<'a>)| {
            let former = judgement.judged.iter().filter(|it| it.rule == Rule::Formerly);
            let former = former.filter(|it| fills(policy, &heard.origin.domain, it));
            former.map(|it| it.said.claims().role.to_string()).collect::<Vec<_>>()
        };
        let labels = spoken(Act::Label).filter(|(_, it)| policy.labelling_roles.contains(&it.said.claims().role));
        let backed: BTreeSet<Attribute> =
            spoken(Act::Identity).flat_map(|(_, it)| it.said.claims().attributes.keys().copied()).collect();
        let agreed = |(attribute, said): (Attribute, Vec<Saying>)| {
            let first = said.first()?.value.clone();
            let is_agreed = backed.contains(&attribute) && said.iter().all(|it| it.value == first);
            is_agreed.then_some((attribute, first))
        };
        Some(Facts {
            kind,
            attributes: self.values().into_iter().filter_map(agreed).collect(),
            effect,
            conflict: effects.len() > 1,
            status: status.map(|(_, status)| status),
            vouching_roles: roles(Act::Identity),
            approving_roles: roles(Act::Approval),
            formerly_approving_roles: self.judgements().flat_map(former).collect(),
            labels: labels.filter_map(|(_, it)| it.said.claims().label.clone()).collect(),
        })
    }

    pub(super) fn conflicts(&self) -> BTreeSet<(String, Vec<Saying>)> {
        let statuses = self.statuses().into_iter();
        let statuses =
            statuses.filter_map(|(domain, it)| Some(saying(domain, it, it.said.claims().status.as_ref()?.as_str())));
        let mut said: Vec<(String, Vec<Saying>)> = vec![(Conflict::STATUS.to_owned(), statuses.collect())];
        said.extend(self.values().into_iter().map(|(attribute, said)| (attribute.to_string(), said)));
        let differ = |said: &[Saying]| said.iter().any(|a| said.iter().any(|b| a.value != b.value));
        let conflicts = said.into_iter().filter(|(_, said)| differ(said));
        conflicts
            .map(|(about, mut said)| {
                said.sort();
                (about, said)
            })
            .collect()
    }

    /// Rule 3.4: what is missing for a decision.
    fn missing(&self, policy: &TrustDocument, at: Timestamp) -> impl Iterator<Item = Reason> {
        let is_unheard = |origin: &Origin| !self.heard.iter().any(|(heard, _)| heard.origin == *origin);
        let is_outdated = |(heard, judgement): (&Heard, &Judgement<'_>)| {
            heard.judged_at.is_some() && judgement.changes_at().is_some_and(|change| change <= at)
        };
        let kinds = self.kinds(policy).len();
        let is_withheld = self.heard.iter().any(|(heard, _)| heard.withheld);
        [
            (self.sought.candidates > 1, Reason::Ambiguous),
            (kinds > 1, Reason::KindsDiffer),
            (policy.domains.iter().any(is_unheard), Reason::NotHeard),
            (is_withheld, Reason::Withheld),
            (self.judgements().any(is_outdated), Reason::Outdated),
        ]
        .into_iter()
        .filter_map(|(is_so, reason)| is_so.then_some(reason))
    }

    /// Rule 3.7: whether the statements are about what was asked for.
    pub(super) fn is_meant(&self) -> bool {
        let ids: BTreeSet<IdentityId> = self.heard.iter().filter_map(|(heard, _)| heard.id).collect();
        let Some(id) = ids.first() else { return true };
        let is_one = ids.len() == 1 && self.sought.candidates == 1;
        is_one
            && match self.sought.asked.parse() {
                Ok(Lookup::Ids(asked)) => asked.contains(id),
                Ok(Lookup::Name(name)) => self.judgements().any(|(heard, judgement)| {
                    let Some(scene) = heard.scene(Timestamp::default()) else { return false };
                    let chosen = |it: &Judged<'_>| it.said.chosen_names().any(|chosen| *chosen == name);
                    let given = |it: &Judged<'_>| {
                        it.said.names().contains(&name) && (!chosen(it) || is_nameable(&scene, it.said, &name))
                    };
                    let issued = |it: &Judged<'_>| it.said.claims().names.contains(&name) && may_name(&scene, it.said);
                    judgement.counting(Act::Identity).any(given) || judgement.counting(Act::Issued).any(issued)
                }),
                Err(_) => false,
            }
    }
}

fn effect_of(it: &Judged<'_>) -> Effect {
    it.effect.unwrap_or(Effect::None)
}

/// Whether the role in which something is said counts in the domain.
fn fills(policy: &TrustDocument, domain: &DomainName, it: &Judged<'_>) -> bool {
    policy.roles.get(&it.said.claims().role).is_none_or(|domains| domains.contains(domain))
}

fn saying(domain: &DomainName, it: &Judged<'_>, value: &str) -> Saying {
    Saying { value: value.to_owned(), domain: domain.clone(), index: it.said.index() }
}

/// Rule 3.5: how far each domain reaches; of two copies, the older one.
pub(super) fn reach(both: &[Described<'_>], premises: &Premises) -> Vec<AsOf> {
    let mut lines: BTreeMap<&Origin, AsOf> = BTreeMap::new();
    for (heard, _) in both.iter().flat_map(|it| &it.heard) {
        let of = |freshness: &crate::descriptor::Freshness| {
            freshness.uses.get(&premises.usage).copied().unwrap_or(freshness.default)
        };
        let is_confirmed = heard.as_of > Timestamp::default();
        let seconds = of(&premises.policy.freshness).min(of(&heard.descriptor().freshness)) * u64::from(is_confirmed);
        let line = AsOf {
            domain: heard.origin.domain.clone(),
            size: heard.size,
            root: heard.root,
            descriptor: heard.descriptor().version,
            as_of: heard.as_of,
            fresh_until: heard.as_of.min(premises.at).plus_millis(seconds.saturating_mul(1000)),
        };
        match lines.get(&heard.origin) {
            Some(older) if older.fresh_until <= line.fresh_until => {}
            _ => drop(lines.insert(&heard.origin, line)),
        }
    }
    lines.into_values().collect()
}

/// Rules 3.1, 3.4, 3.5 and 3.6, in this order.
pub(super) fn expected(both: &[Described<'_>], premises: &Premises, reach: &[AsOf]) -> Expected {
    let changes = both.iter().flat_map(Described::judgements).filter_map(|(_, judgement)| judgement.changes_at());
    let until = reach.iter().map(|it| it.fresh_until).chain(changes).min();
    let certain = |outcome, reason, rules| Expected { outcome, reason, rules, fresh_until: until };
    let unknown = |reason| Expected { outcome: Outcome::Unknown, reason, rules: BTreeSet::new(), fresh_until: None };
    if both.iter().any(|it| it.status(&premises.policy).is_some_and(|(effect, _)| effect.blocks())) {
        return certain(Outcome::Deny, Reason::Blocked, BTreeSet::new());
    }
    if let Some(reason) = both.iter().flat_map(|it| it.missing(&premises.policy, premises.at)).min() {
        return unknown(reason);
    }
    let skewed = premises.at.plus_millis(limits::CLOCK_SKEW_MILLIS);
    if reach.iter().any(|it| it.as_of > skewed) {
        return unknown(Reason::ClockBehind);
    }
    if reach.iter().any(|it| it.fresh_until <= premises.at) {
        return unknown(Reason::Stale);
    }
    let facts: Option<Vec<Facts>> = both.iter().map(|it| it.facts(&premises.policy)).collect();
    let mut facts = facts.unwrap_or_default().into_iter();
    let Some(thing) = facts.next() else { return unknown(Reason::UnknownIdentity) };
    let (outcome, reason, rules) = by_rules(premises, &thing, facts.next().as_ref());
    certain(outcome, reason, rules)
}

/// Rule 3.6.
fn by_rules(premises: &Premises, thing: &Facts, peer: Option<&Facts>) -> (Outcome, Reason, BTreeSet<String>) {
    let action = match premises.usage.as_str() {
        known @ ("connect" | "install" | "operate") => known,
        _ => "other",
    };
    let resource = peer.map_or_else(|| described("Nothing", "nothing", &json!({}), &[]), |it| in_cedar("peer", it));
    let context = json!({ "use": premises.usage });
    let answer = cedar::ask(&SCHEMA, &premises.policy.rules, in_cedar("thing", thing), action, resource, context);
    match answer {
        Some(answer) if answer.permits => (Outcome::Allow, Reason::Permitted, answer.rules),
        Some(answer) if answer.failed => (Outcome::Deny, Reason::RulesFailed, answer.rules),
        Some(answer) if answer.rules.is_empty() => (Outcome::Deny, Reason::NotPermitted, answer.rules),
        Some(answer) => (Outcome::Deny, Reason::Forbidden, answer.rules),
        None => (Outcome::Deny, Reason::RulesFailed, BTreeSet::new()),
    }
}

fn in_cedar(id: &str, facts: &Facts) -> Value {
    let mut attrs = Map::from_iter([
        ("kind".to_owned(), entity("Kind", facts.kind.as_str())),
        ("effect".to_owned(), entity("Effect", facts.effect.as_str())),
        ("vouching_roles".to_owned(), json!(facts.vouching_roles)),
        ("approving_roles".to_owned(), json!(facts.approving_roles)),
        ("formerly_approving_roles".to_owned(), json!(facts.formerly_approving_roles)),
        ("labels".to_owned(), json!(facts.labels)),
        ("conflict".to_owned(), facts.conflict.into()),
    ]);
    attrs.extend(facts.attributes.iter().map(|(key, value)| (key.to_string(), value.clone().into())));
    attrs.extend(facts.status.iter().map(|status| ("status".to_owned(), status.clone().into())));
    described("Thing", id, &attrs.into(), &[])
}
