//! Whether the log's home should have admitted a statement: docs/calculus.md, section 1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::cedar::{self, OwnSchema, described, entity};
use super::ends::{adopted_from, end_of, gives, may_lift, naming, replaces, takes_back, was_of};
use super::standing::{Judged, Judgement, Scene};
use crate::identity::IdentityId;
use crate::limits;
use crate::name::Name;
use crate::record::Logged;
use crate::statement::{StatementId, Subject};
use crate::time::Timestamp;
use crate::trust::Rule;
use crate::vocabulary::{Act, Attribute, Effect};

static SCHEMA: OwnSchema = LazyLock::new(|| cedar::read(include_str!("../../../schemas/policy.cedarschema")));

/// A statement at the point of its admission.
struct Next<'a> {
    s: &'a Logged,
    /// Earlier statements about the same subject and about groups.
    before: &'a [Logged],
    scene: Scene<'a>,
    judgement: Judgement<'a>,
}

/// Whether a statement should have been admitted, with `before` it in the log. `last` is when the preceding entry was
/// admitted; `unseen` says that it rests on a statement that has been erased since, so that only its form can be
/// judged.
pub(super) fn is_admitted(scene: Scene<'_>, s: &Logged, last: Timestamp, unseen: bool) -> bool {
    let before = scene.statements;
    let is_again =
        before.iter().any(|other| other.id() == s.id() && other.subject_id() == s.subject_id() && !other.is_refused());
    if is_again || !is_from_here(&scene, s) || !is_in_time(s, last) || !is_formed(&scene, s) || !may_name(&scene, s) {
        return false;
    }
    let next = Next { s, before, scene, judgement: scene.judge(Some(s)) };
    unseen
        || next.has_role()
            && next.is_of_that_kind()
            && next.may_issue()
            && next.may_supersede()
            && next.has_room()
            && next.selects_few()
            && next.is_permitted()
}

/// Rule 1.1.
fn is_from_here(scene: &Scene<'_>, s: &Logged) -> bool {
    let (own, claimed) = (&scene.descriptor().domain, &s.claims().domain);
    let is_pinned = |nearest: &crate::record::SourceRef| {
        let fits =
            |source: &crate::descriptor::Source| source.domain == nearest.domain && source.entry0.0 == nearest.entry0;
        scene.descriptor().sources.iter().any(fits)
    };
    let comes_from = match (s.source().first(), s.source().last()) {
        (Some(nearest), Some(first)) => claimed != own && is_pinned(nearest) && first.domain == *claimed,
        _ => claimed == own,
    };
    comes_from && !scene.is_compromised(s)
}

/// Rule 1.2.
fn is_in_time(s: &Logged, last: Timestamp) -> bool {
    s.admitted_at() >= last && s.signed_at().millis_since(s.admitted_at()) <= limits::CLOCK_SKEW_MILLIS
}

/// Rule 1.3.
fn is_formed(scene: &Scene<'_>, s: &Logged) -> bool {
    let (claims, kind, effect) = (s.claims(), s.subject().kind(), scene.effect(s));
    let knows_status = claims.status.is_none() || effect.is_some();
    let is_unbounded = effect != Some(Effect::BlocksForEver) || claims.until.is_none();
    let revokes = kind.has_key() && effect.is_some_and(Effect::blocks);
    let knows_role = s.grant().is_none_or(|grant| scene.descriptor().roles.contains_key(&grant.role));
    let fits = claims.act == Act::Withdrawal || s.revokes() == revokes;
    knows_status && is_unbounded && fits && knows_role
}

/// Rule 1.4, at a place of the log.
pub(super) fn may_name(scene: &Scene<'_>, s: &Logged) -> bool {
    s.chosen_names().all(|name| is_nameable(scene, s, name))
}

/// Whether the signer's role may give a name.
pub(super) fn is_nameable(scene: &Scene<'_>, s: &Logged, name: &Name) -> bool {
    let spec = scene.descriptor().roles.get(&s.claims().role);
    spec.is_some_and(|spec| spec.names.iter().any(|pattern| name.fits(pattern)))
}

const fn counts(rule: Rule) -> bool {
    matches!(rule, Rule::Entitled | Rule::Block | Rule::Grant | Rule::Withdrawal)
}

/// Whether a time is within a statement's `from` and `until`.
fn is_in_force(s: &Logged, at: Timestamp) -> bool {
    s.claims().from.is_none_or(|from| from <= at) && s.claims().until.is_none_or(|until| at < until)
}

impl<'a> Next<'a> {
    /// Rule 1.5.
    fn has_role(&self) -> bool {
        self.judgement.roles_of(&self.s.signer()).contains(&self.s.claims().role)
    }

    fn is_about_it(&self, it: &Judged<'_>) -> bool {
        it.said.subject_id() == self.s.subject_id()
    }

    /// Introductions of the very subject that count and that the statement does not replace.
    fn introductions(&self) -> impl Iterator<Item = &'a Logged> {
        let all = self.judgement.judged.iter().filter(|it| counts(it.rule) && it.said.claims().act == Act::Identity);
        let kept = |it: &&Judged<'a>| self.is_about_it(it) && !self.s.claims().supersedes.contains(&it.said.id());
        all.filter(kept).map(|it| it.said)
    }

    /// Rule 1.6.
    fn is_of_that_kind(&self) -> bool {
        self.introductions().all(|it| it.subject().kind() == self.s.subject().kind())
    }

    /// Rule 1.7.
    fn may_issue(&self) -> bool {
        let blocks = |it: &Judged<'_>| counts(it.rule) && it.effect.is_some_and(Effect::blocks);
        self.s.claims().act != Act::Issued || !self.judgement.judged.iter().any(blocks)
    }

    /// Rule 1.8.
    fn may_supersede(&self) -> bool {
        self.s.claims().supersedes.iter().all(|id| self.may_end(id))
    }

    fn may_end(&self, id: &StatementId) -> bool {
        let is_here = |it: &&Judged<'_>| self.is_about_it(it) || it.said.claims().act == Act::Grant;
        let found = self.judgement.judged.iter().filter(is_here).find(|it| it.said.id() == *id);
        let is_adopted = !self.s.source().is_empty();
        let Some(target) = found else { return is_adopted };
        let (s, old) = (self.s, target.said);
        let lifts = may_lift(self.scene.chain, s, old);
        if old.is_erased() && !lifts && !was_of(old, &s.signer()) {
            let blocks = self.scene.effect(s).is_some_and(Effect::blocks);
            return old.claims().status.is_none() && (is_adopted || blocks);
        }
        let (new_act, old_act) = (s.claims().act, old.claims().act);
        target.effect != Some(Effect::BlocksForEver)
            && old_act != Act::Withdrawal
            && (new_act == Act::Withdrawal || new_act == old_act)
            && (takes_back(s, old) || replaces(s, old) || lifts)
    }

    /// Whether another statement shares the bounds of this one.
    fn is_beside(&self, other: &Logged) -> bool {
        let selects = |s: &Logged| match s.subject() {
            Subject::Group(group) if !group.attributes.is_empty() => Some(group.attributes.clone()),
            _ => None,
        };
        other.subject_id() == self.s.subject_id() || selects(self.s).is_some_and(|it| selects(other) == Some(it))
    }

    /// Rule 1.9.
    fn has_room(&self) -> bool {
        let signer = self.s.signer();
        let beside: BTreeMap<u64, &Logged> =
            self.before.iter().filter(|it| self.is_beside(it)).map(|it| (it.index(), it)).collect();
        let quota = self.scene.descriptor().limits.statements_per_signer_and_identity;
        let quota = quota.unwrap_or(limits::STATEMENTS_PER_SIGNER_AND_IDENTITY);
        let said: Vec<&Logged> = beside.values().copied().filter(|other| other.signer() == signer).collect();
        let is_over = |it: &Logged| {
            it.claims().act == Act::Issued && it.claims().until.is_some_and(|until| until <= self.s.admitted_at())
        };
        let over: BTreeSet<StatementId> = said.iter().filter(|it| is_over(it)).map(|it| it.id()).collect();
        let ends_over = |it: &Logged| {
            let named = &it.claims().supersedes;
            it.claims().act == Act::Withdrawal && !named.is_empty() && named.iter().all(|id| over.contains(id))
        };
        let own = said.iter().filter(|it| !is_over(it) && !ends_over(it)).count();
        let has_blocked = self.judgement.judged.iter().any(|it| {
            let blocks = counts(it.rule) && it.effect.is_some_and(Effect::blocks);
            blocks && it.said.signer() == signer && self.is_beside(it.said)
        });
        let blocks = |s: &Logged| self.scene.effect(s).is_some_and(Effect::blocks);
        let former_blocks = said.iter().filter(|it| blocks(it)).count();
        let is_first_block = blocks(self.s)
            && is_in_force(self.s, self.s.admitted_at())
            && !has_blocked
            && former_blocks < limits::FIRST_BLOCKS;
        let takes_back_own = self.judgement.judged.iter().any(|it| {
            let is_block = it.effect.is_some_and(Effect::blocks);
            let is_own = takes_back(self.s, it.said) && self.is_beside(it.said);
            counts(it.rule) && !is_block && is_own && self.s.claims().supersedes.contains(&it.said.id())
        });
        let is_named = self.scene.descriptor().roles.values().any(|spec| spec.signers.contains(&signer));
        let most = if is_first_block && is_named {
            limits::RECORD_STATEMENTS
        } else if is_first_block {
            limits::RECORD_STATEMENTS_GRANTED
        } else if takes_back_own {
            limits::RECORD_STATEMENTS_ENDS
        } else if own < quota {
            limits::RECORD_STATEMENTS_OPEN
        } else {
            0
        };
        beside.len() < most
    }

    /// Rule 1.10.
    fn selects_few(&self) -> bool {
        let about = self.judgement.judged.iter().filter(|it| self.is_about_it(it) && !it.said.is_refused());
        let named = about.flat_map(|it| &it.said.claims().groups).chain(&self.s.claims().groups);
        let few_groups =
            self.s.claims().groups.is_empty() || named.collect::<BTreeSet<_>>().len() <= limits::GROUPS_NAMED;
        few_groups && self.gives_few_values()
    }

    fn gives_few_values(&self) -> bool {
        let known = || self.judgement.judged.iter().filter(|it| self.is_about_it(it) && !it.said.is_refused());
        let own = match self.s.subject() {
            Subject::Group(group) => Some(&group.attributes),
            _ => None,
        };
        self.s.claims().attributes.iter().filter(|(attribute, _)| Attribute::SELECTING.contains(attribute)).all(
            |(attribute, value)| {
                let given = known().filter_map(|it| it.said.claims().attributes.get(attribute));
                let given = given.chain(own.and_then(|own| own.get(attribute)));
                given.chain([value]).collect::<BTreeSet<_>>().len() <= limits::SELECTING_VALUES
            },
        )
    }

    /// Rule 1.12: the grants that this domain itself has given, in the order of the log.
    fn given_here(&self) -> Vec<&Judged<'a>> {
        let ending = naming(self.judgement.judged.iter().filter(|it| it.acts).map(|it| it.said));
        let mut given: Vec<(&Judged<'a>, Option<u64>)> = Vec::new();
        for it in &self.judgement.judged {
            let (g, role) = (it.said, &it.said.claims().role);
            let gave = !matches!(it.rule, Rule::Refused | Rule::Compromised) && g.grant().is_some();
            let is_said_here = g.source().is_empty() && self.judgement.covered.contains(&g.index());
            let is_listed = || self.scene.holds(g.index(), &g.signer(), role);
            let by_former = || {
                given.iter().any(|(former, end)| {
                    let is_over = end.is_some_and(|end| end < g.index());
                    gives(former.said, &g.signer(), role) && !is_over && is_in_force(former.said, g.admitted_at())
                })
            };
            if gave && is_said_here && (is_listed() || by_former()) {
                given.push((it, end_of(&self.scene.thing, &ending, g)));
            }
        }
        given.into_iter().map(|(it, _)| it).collect()
    }

    /// Rule 1.12: whether the signer has the role from other domains only.
    fn is_granted_elsewhere(&self) -> bool {
        let (signer, role) = (self.s.signer(), &self.s.claims().role);
        let gives_now = |it: &&Judged<'_>| it.rule == Rule::Grant && gives(it.said, &signer, role);
        let mut chain = self.scene.chain.iter().filter(|(index, _)| *index < self.scene.before);
        chain.any(|(_, descriptor)| !descriptor.sources.is_empty())
            && !self.scene.holds_now(&signer, role)
            && !self.given_here().iter().any(gives_now)
    }

    /// Rule 1.12: whether it lifts a status that others gave, other than one from the domain that it comes from.
    fn lifts(&self) -> bool {
        let is_status = |s: &Logged| s.claims().status.is_some();
        let own = adopted_from(self.s);
        let came_along = |old: &Logged| own.is_some() && own == adopted_from(old);
        let lifts = |it: &Judged<'_>| {
            let old = it.said;
            let is_named = self.is_about_it(it) && self.s.claims().supersedes.contains(&old.id());
            is_named && is_status(old) && !replaces(self.s, old) && !came_along(old)
        };
        is_status(self.s) && self.judgement.judged.iter().any(lifts)
    }

    /// Rule 1.11.
    fn is_permitted(&self) -> bool {
        let claims = self.s.claims();
        let signer = self.s.signer().to_string();
        let roles: Vec<(&str, String)> =
            self.judgement.roles_of(&self.s.signer()).iter().map(|role| ("Role", role.to_string())).collect();
        let principal = described("Party", &signer, &json!({ "fingerprint": signer }), &roles);
        let id: IdentityId = self.s.subject_id();
        let mut attributes: Map<String, Value> =
            self.known_attributes().into_iter().map(|(key, value)| (key.to_string(), value.into())).collect();
        attributes.insert("kind".to_owned(), entity("Kind", self.s.subject().kind().as_str()));
        let resource = described("Identity", &id.to_string(), &attributes.into(), &[]);
        let source = self.s.source().first();
        let mut context = Map::from_iter([
            ("role".to_owned(), entity("Role", claims.role.as_str())),
            ("adopted".to_owned(), source.is_some().into()),
            ("granted_elsewhere".to_owned(), self.is_granted_elsewhere().into()),
        ]);
        let words = [
            ("status", claims.status.as_ref().map(|it| entity("Status", it.as_str()))),
            ("effect", self.scene.effect(self.s).map(|it| entity("Effect", it.as_str()))),
            ("lifts", claims.status.as_ref().map(|_| self.lifts().into())),
            ("label", claims.label.clone().map(Value::from)),
            ("grants", claims.grant.as_ref().map(|it| entity("Role", it.role.as_str()))),
            ("source", source.map(|it| entity("Domain", it.domain.as_str()))),
        ];
        context.extend(words.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        let rules = &self.scene.descriptor().access;
        cedar::ask(&SCHEMA, rules, principal, claims.act.as_str(), resource, context.into())
            .is_some_and(|answer| answer.permits)
    }

    /// The attributes on which introductions agree; for a group what it selects, and for an introduction what it says
    /// itself.
    fn known_attributes(&self) -> BTreeMap<Attribute, String> {
        let mut values: BTreeMap<Attribute, BTreeSet<&String>> = BTreeMap::new();
        for (attribute, value) in self.introductions().flat_map(|it| &it.claims().attributes) {
            values.entry(*attribute).or_default().insert(value);
        }
        let mut known: BTreeMap<Attribute, String> = values
            .into_iter()
            .filter(|(_, values)| values.len() == 1)
            .filter_map(|(attribute, values)| Some((attribute, (*values.first()?).clone())))
            .collect();
        if let Subject::Group(group) = self.s.subject() {
            known.extend(group.attributes.clone());
        }
        known.extend(self.s.claims().attributes.clone());
        known
    }
}
