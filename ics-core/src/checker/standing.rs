//! What becomes of each statement in one domain: the rules of docs/calculus.md, section 2, in order.
//!
//! Written from that text, over plain lists, to be read beside it. No code that decides elsewhere is used here.

use std::collections::{BTreeMap, BTreeSet};

use super::ends::{self, Naming, act, end_of, gives, may_lift, names, of, replaces, takes_back};
use crate::descriptor::Descriptor;
use crate::identity::{Fingerprint, IdentityId};
use crate::record::Logged;
use crate::statement::{Group, Subject};
use crate::time::Timestamp;
use crate::trust::Rule;
use crate::vocabulary::{Act, Attribute, Effect, Role};

/// What a domain's log holds about a thing, at a place of the log and a time.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    /// The descriptors, each with the index of its entry, in the order of the log.
    pub(super) chain: &'a [(u64, Descriptor)],
    /// Statements about the thing and about groups, by index. Those that were not admitted are marked as refused.
    pub(super) statements: &'a [Logged],
    pub(super) thing: IdentityId,
    /// Only entries before this index are considered.
    pub(super) before: u64,
    pub(super) at: Timestamp,
}

/// A statement with what became of it.
pub(super) struct Judged<'a> {
    pub(super) said: &'a Logged,
    pub(super) rule: Rule,
    pub(super) effect: Option<Effect>,
    /// Whether what it names in `supersedes` ends by it.
    pub(super) acts: bool,
    /// Whether it is a remnant, and what the erased statement had ended stays ended.
    keeps_ended: bool,
}

/// What became of all statements, with what is needed to check the reasons given for it.
pub(super) struct Judgement<'a> {
    pub(super) judged: Vec<Judged<'a>>,
    scene: Scene<'a>,
    /// Signers with the roles that live grants give them over the thing.
    granted: BTreeSet<(Fingerprint, Role)>,
    /// Indices of the statements whose signer's role surely covered the thing.
    pub(super) covered: BTreeSet<u64>,
}

/// Values and groups that are said of the thing.
#[derive(Default)]
struct Told {
    groups: BTreeSet<[u8; 32]>,
    values: BTreeMap<Attribute, BTreeSet<String>>,
    /// Values restated by erasures, which contradict others.
    gone: Vec<(Attribute, String)>,
}

/// Which of the statements are left of those that count so far, by their place in the list.
struct Work<'a> {
    scene: Scene<'a>,
    all: Vec<&'a Logged>,
    rules: Vec<Option<Rule>>,
    /// Whether it is in force and not taken back: then what it names ends by it.
    acts: Vec<bool>,
    /// Whether it is a remnant, and what the erased statement had ended stays ended.
    keeps_ended: Vec<bool>,
    /// Whether it surely concerns the thing, and whether it may.
    belongs: Vec<(bool, bool)>,
    covers: Vec<(bool, bool)>,
}

impl<'a> Scene<'a> {
    /// The descriptor in force at this place of the log.
    pub(super) fn descriptor(&self) -> &'a Descriptor {
        ruling(self.chain, self.before)
    }

    pub(super) fn holds(&self, index: u64, signer: &Fingerprint, role: &Role) -> bool {
        let descriptor = ruling(self.chain, index);
        descriptor.roles.get(role).is_some_and(|spec| spec.signers.contains(signer))
    }

    pub(super) fn holds_now(&self, signer: &Fingerprint, role: &Role) -> bool {
        self.holds(self.before, signer, role)
    }

    /// The effect of the status: as the descriptor says here, or as it said when the statement was admitted, or as its
    /// erasure says.
    pub(super) fn effect(&self, s: &Logged) -> Option<Effect> {
        let status = s.claims().status.as_ref()?;
        let kind = s.subject().kind();
        let then = || ruling(self.chain, s.index()).effect(status, kind);
        self.descriptor().effect(status, kind).or_else(then).or_else(|| s.restated_effect())
    }

    /// Whether the signer is declared compromised at the place of a statement, here or where it was adopted from; for a
    /// remnant, the signer and place that its erasure names. What names nobody is the owners' common word.
    pub(super) fn is_compromised(&self, s: &Logged) -> bool {
        let own = &self.descriptor().domain;
        let (signer, at, source) = match s.said_by() {
            Some(by) => (by.signer, by.index, &*by.source),
            None if s.is_erased() => return false,
            None => (s.signer(), s.index(), s.source()),
        };
        let mut places = source.iter().map(|it| (&it.domain, it.index)).chain([(own, at)]);
        places.any(|(domain, index)| {
            let declared = self.descriptor().compromised.iter();
            declared.filter(|it| it.signer == signer && it.domain == *domain).any(|it| it.from_index <= index)
        })
    }

    /// Whether something begins later. For a remnant that is what had not begun by the log's time when it was erased.
    fn is_to_come(&self, s: &Logged) -> bool {
        let begins_after = |at: Timestamp| s.claims().from.is_some_and(|from| at < from);
        begins_after(self.at) && (!s.is_erased() || begins_after(s.admitted_at()))
    }

    /// Rule 2.1: why a statement is not in force.
    fn not_in_force(&self, s: &Logged) -> Option<Rule> {
        let until = s.claims().until;
        if s.is_refused() {
            Some(Rule::Refused)
        } else if self.is_compromised(s) {
            Some(Rule::Compromised)
        } else if self.descriptor().lifted.contains(&s.id()) {
            Some(Rule::Lifted)
        } else if s.is_erased() && s.claims().status.is_none() {
            Some(Rule::Erased)
        } else if self.is_to_come(s) {
            Some(Rule::NotYet)
        } else if until.is_some_and(|until| until <= self.at) && self.effect(s) != Some(Effect::BlocksForEver) {
            Some(Rule::Lapsed)
        } else {
            None
        }
    }

    pub(super) fn judge(self, next: Option<&'a Logged>) -> Judgement<'a> {
        let is_group = |s: &Logged| matches!(s.subject_id(), IdentityId::Group(_));
        let concerns = |s: &&Logged| s.index() < self.before && (s.subject_id() == self.thing || is_group(s));
        let all: Vec<&Logged> = self.statements.iter().filter(concerns).collect();
        let rules = all.iter().map(|s| self.not_in_force(s)).collect();
        let none = vec![(false, false); all.len()];
        let (acts, keeps_ended) = (Vec::new(), Vec::new());
        let mut work = Work { scene: self, all, rules, acts, keeps_ended, belongs: none.clone(), covers: none };
        work.find_acting();
        work.end_with_the_erased();
        work.take_back();
        work.replace();
        let mut granted = work.granted(|work, i| work.is_direct(i));
        work.find_groups(next);
        work.find_covered();
        granted.extend(work.granted(|work, i| work.covers.get(i).is_some_and(|it| it.0)));
        work.lift();
        work.finish(granted)
    }
}

/// The descriptor that governs the entry at an index: the last one before it.
pub(super) fn ruling(chain: &[(u64, Descriptor)], index: u64) -> &Descriptor {
    let before = chain.iter().rev().find(|(at, _)| *at < index);
    #[expect(clippy::expect_used, reason = "a chain begins with entry 0: whoever makes one has seen to that")]
    let (_, descriptor) = before.or_else(|| chain.first()).expect("a chain of descriptors is not empty");
    descriptor
}

impl<'a> Work<'a> {
    fn is_direct(&self, i: usize) -> bool {
        self.all.get(i).is_some_and(|s| s.subject_id() == self.scene.thing)
    }

    fn stands(&self, i: usize) -> bool {
        self.rules.get(i).is_some_and(Option::is_none)
    }

    /// Whether another statement can end it: neither a withdrawal nor a block for ever can be ended.
    fn can_end(&self, i: usize) -> bool {
        let ends = |s: &&Logged| act(s) != Act::Withdrawal && self.scene.effect(s) != Some(Effect::BlocksForEver);
        self.stands(i) && self.all.get(i).is_some_and(ends)
    }

    /// Gives this rule to the statements that end by `x`, for each `x` that `may`; all at once.
    fn end(&mut self, rule: Rule, may: impl Fn(&Self, usize) -> bool, ends: impl Fn(&Logged, &Logged) -> bool) {
        let enders = self.naming(|i| may(self, i));
        let thing = self.scene.thing;
        let is_ended = |s: &Logged| of(&enders, s).any(|x| names(&thing, x, s) && ends(x, s));
        let ended: Vec<bool> = self.all.iter().enumerate().map(|(i, s)| self.can_end(i) && is_ended(s)).collect();
        for (place, ended) in self.rules.iter_mut().zip(ended) {
            if ended {
                *place = Some(rule);
            }
        }
    }

    /// Which are in force and not taken back (2.3), whatever else ends them; and for which remnants 2.2 holds.
    fn find_acting(&mut self) {
        let (thing, in_force) = (self.scene.thing, self.naming(|i| self.stands(i)));
        let is_taken_back = |s: &Logged| of(&in_force, s).any(|w| names(&thing, w, s) && takes_back(w, s));
        let acts = |(i, s): (usize, &&Logged)| self.stands(i) && !(self.can_end(i) && is_taken_back(s));
        let keeps = |(i, s): (usize, &&Logged)| {
            let over = s.claims().until.is_some_and(|until| until <= self.scene.at);
            let for_ever = self.scene.effect(s) == Some(Effect::BlocksForEver);
            let has_fallen = match self.rules.get(i).copied().flatten() {
                Some(Rule::Refused) => true,
                Some(Rule::Compromised | Rule::Lifted) => s.said_by().is_some(),
                _ => s.said_by().is_some() && !for_ever && is_taken_back(s),
            };
            s.is_erased() && !over && !has_fallen
        };
        let acting: Vec<bool> = self.all.iter().enumerate().map(acts).collect();
        let keeping: Vec<bool> = self.all.iter().enumerate().map(keeps).collect();
        (self.acts, self.keeps_ended) = (acting, keeping);
    }

    /// Those that `may` end something, by what they name.
    fn naming(&self, may: impl Fn(usize) -> bool) -> Naming<'a> {
        ends::naming(self.all.iter().enumerate().filter(|(i, _)| may(*i)).map(|(_, x)| *x))
    }

    fn acts(&self, i: usize) -> bool {
        self.acts.get(i) == Some(&true)
    }

    fn keeps_ended(&self, i: usize) -> bool {
        self.keeps_ended.get(i) == Some(&true)
    }

    /// Rule 2.2.
    fn end_with_the_erased(&mut self) {
        self.end(Rule::Replaced, Self::keeps_ended, |_, _| true);
    }

    fn take_back(&mut self) {
        self.end(Rule::Withdrawn, Self::stands, takes_back);
    }

    fn replace(&mut self) {
        self.end(Rule::Replaced, Self::acts, replaces);
    }

    fn granted(&self, counts: impl Fn(&Self, usize) -> bool) -> BTreeSet<(Fingerprint, Role)> {
        let live = self.all.iter().enumerate().filter(|(i, _)| self.stands(*i) && counts(self, *i));
        live.filter_map(|(_, s)| s.grant()).map(|grant| (grant.grantee, grant.role.clone())).collect()
    }

    /// Rule 2.5: to which groups the thing surely belongs, and to which it may. What a group selects, `next` says as
    /// well.
    fn find_groups(&mut self, next: Option<&'a Logged>) {
        let (mut sure, mut feared) = (Told::default(), Told::default());
        let own = self.all.iter().chain(&next).find(|s| s.subject_id() == self.scene.thing).map(|s| s.subject());
        if let Some(Subject::Group(group)) = own {
            sure.add(&group.attributes);
            feared.add(&group.attributes);
        }
        for (i, s) in self.all.iter().enumerate().filter(|(i, _)| self.is_direct(*i)) {
            let claims = s.claims();
            if s.is_erased() {
                if self.rules.get(i) != Some(&Some(Rule::Refused)) {
                    feared.groups.extend(&claims.groups);
                    feared.add(&claims.attributes);
                    sure.gone.extend(claims.attributes.iter().map(|(attribute, value)| (*attribute, value.clone())));
                }
            } else if self.stands(i) && act(s) != Act::Withdrawal {
                let is_listed = self.scene.holds_now(&s.signer(), &claims.role);
                for told in [Some(&mut feared), is_listed.then_some(&mut sure)].into_iter().flatten() {
                    told.groups.extend(&claims.groups);
                    if act(s) == Act::Identity {
                        told.add(&claims.attributes);
                    }
                }
            }
        }
        self.belongs = self
            .all
            .iter()
            .enumerate()
            .map(|(i, s)| match (s.subject_id(), s.subject()) {
                _ if self.is_direct(i) => (true, true),
                (IdentityId::Group(id), Subject::Group(group)) => {
                    let surely = sure.has(&id, group, true);
                    (surely, surely || feared.has(&id, group, false))
                }
                _ => (false, false),
            })
            .collect();
    }

    /// Rule 2.6: whose role covered the thing when the statement was admitted, surely and perhaps.
    fn find_covered(&mut self) {
        let thing = self.scene.thing;
        let ending = self.naming(|i| self.is_direct(i) && self.acts(i));
        // Until which index of the log a grant gives whom which role over this thing, surely and perhaps.
        let mut given: BTreeMap<(Fingerprint, Role), (u64, u64)> = BTreeMap::new();
        for (i, s) in self.all.iter().enumerate() {
            let (signer, role) = (s.signer(), &s.claims().role);
            let always = self.is_direct(i) || self.scene.holds(s.index(), &signer, role);
            let (sure_until, may_until) = given.get(&(signer, role.clone())).copied().unwrap_or_default();
            let (is_sure, may_be) = self.belongs.get(i).copied().unwrap_or_default();
            let covers = (is_sure && (always || s.index() < sure_until), may_be && (always || s.index() < may_until));
            if let Some(grant) = s.grant().filter(|_| self.gave_role(i)) {
                let end = end_of(&thing, &ending, s).unwrap_or(u64::MAX);
                let until = given.entry((grant.grantee, grant.role.clone())).or_default();
                until.0 = until.0.max(if covers.0 { end } else { 0 });
                until.1 = until.1.max(if covers.1 { end } else { 0 });
            }
            if let Some(place) = self.covers.get_mut(i) {
                *place = covers;
            }
        }
    }

    fn gave_role(&self, i: usize) -> bool {
        !matches!(self.rules.get(i), Some(Some(Rule::Refused | Rule::Compromised)))
    }

    /// Rule 2.7.
    fn lift(&mut self) {
        let chain = self.scene.chain;
        let lifter = |work: &Self, i: usize| work.acts(i) && work.covers.get(i).is_some_and(|it| it.0);
        self.end(Rule::Replaced, lifter, |x, s| may_lift(chain, x, s));
    }

    /// Rules 2.8 and 2.9, and which statements concern the thing at all.
    fn finish(self, granted: BTreeSet<(Fingerprint, Role)>) -> Judgement<'a> {
        let scene = self.scene;
        let has_role = |s: &Logged| {
            scene.holds_now(&s.signer(), &s.claims().role) || granted.contains(&(s.signer(), s.claims().role.clone()))
        };
        let (mut judged, mut covered) = (Vec::new(), BTreeSet::new());
        let in_force = self.naming(|i| self.stands(i));
        for (i, said) in self.all.iter().enumerate() {
            let introduces = matches!(act(said), Act::Identity | Act::Installed | Act::Issued);
            let (_, may_belong) = self.belongs.get(i).copied().unwrap_or_default();
            if !self.is_direct(i) && (!may_belong || introduces) {
                continue;
            }
            let effect = scene.effect(said);
            let (surely, perhaps) = self.covers.get(i).copied().unwrap_or_default();
            if surely {
                covered.insert(said.index());
            }
            let is_taken_back = || of(&in_force, said).any(|w| names(&scene.thing, w, said) && takes_back(w, said));
            let rule = match self.rules.get(i).copied().flatten() {
                None if act(said) == Act::Withdrawal => Rule::Withdrawal,
                None if effect.is_some_and(Effect::blocks) && perhaps => Rule::Block,
                None if !surely => Rule::NotCovering,
                None if act(said) == Act::Grant => Rule::Grant,
                None if has_role(said) => Rule::Entitled,
                None => Rule::RoleLost,
                Some(Rule::Lapsed | Rule::Replaced)
                    if act(said) == Act::Approval
                        && !said.is_erased()
                        && surely
                        && has_role(said)
                        && !is_taken_back() =>
                {
                    Rule::Formerly
                }
                Some(rule) => rule,
            };
            judged.push(Judged { said, rule, effect, acts: self.acts(i), keeps_ended: self.keeps_ended(i) });
        }
        Judgement { judged, scene, granted, covered }
    }
}

impl Told {
    fn add(&mut self, attributes: &BTreeMap<Attribute, String>) {
        for (attribute, value) in attributes {
            self.values.entry(*attribute).or_default().insert(value.clone());
        }
    }

    /// Whether the thing is said to be in a group: by the group's id, or by having everything that it selects.
    fn has(&self, id: &[u8; 32], group: &Group, is_agreed: bool) -> bool {
        let has = |(attribute, value): (&Attribute, &String)| {
            let values = self.values.get(attribute);
            let is_contradicted = self.gone.iter().any(|(of, gone)| of == attribute && gone != value);
            let agrees = |values: &BTreeSet<String>| values.len() == 1 && !is_contradicted;
            let fits = values.is_some_and(|values| values.contains(value) && (!is_agreed || agrees(values)));
            Attribute::SELECTING.contains(attribute) && fits
        };
        self.groups.contains(id) || (!group.attributes.is_empty() && group.attributes.iter().all(has))
    }
}

impl<'a> Judgement<'a> {
    /// The time at which they were judged.
    pub(super) const fn at(&self) -> Timestamp {
        self.scene.at
    }

    /// The roles that a signer has over the thing.
    pub(super) fn roles_of(&self, signer: &Fingerprint) -> BTreeSet<Role> {
        let descriptor = self.scene.descriptor();
        let by_descriptor = descriptor.roles.iter().filter(|(_, spec)| spec.signers.contains(signer));
        let by_grant = self.granted.iter().filter(|(grantee, _)| grantee == signer);
        by_descriptor.map(|(role, _)| role.clone()).chain(by_grant.map(|(_, role)| role.clone())).collect()
    }

    /// The statements of an act that count.
    pub(super) fn counting(&self, of: Act) -> impl Iterator<Item = &Judged<'a>> {
        self.judged.iter().filter(move |it| matches!(it.rule, Rule::Entitled | Rule::Block) && act(it.said) == of)
    }

    /// Whether the statement that is said to have ended another one could have done so.
    pub(super) fn is_ended_by(&self, it: &Judged<'_>, x: &Logged) -> bool {
        let ends = match it.rule {
            Rule::Withdrawn => takes_back(x, it.said),
            _ => {
                x.is_erased()
                    || replaces(x, it.said)
                    || self.covered.contains(&x.index()) && may_lift(self.scene.chain, x, it.said)
            }
        };
        let other = self.judged.iter().find(|other| other.said.index() == x.index());
        let acts = other.is_some_and(|other| other.acts || other.keeps_ended);
        names(&self.scene.thing, x, it.said) && ends && acts
    }

    /// Whether the descriptor now, or else the one when it was admitted, gives a signer their role.
    pub(super) fn is_described(&self, s: &Logged, version: u64) -> bool {
        let (now, then) = (self.scene.descriptor(), ruling(self.scene.chain, s.index()));
        let role = &s.claims().role;
        now.version == version && self.scene.holds_now(&s.signer(), role)
            || then.version == version && self.scene.holds(s.index(), &s.signer(), role) && !self.has_role(s)
    }

    /// Whether a grant gives a signer their role: one that holds now, or else one from before the statement.
    pub(super) fn is_granted(&self, s: &Logged, grant: &Judged<'_>) -> bool {
        let gives = gives(grant.said, &s.signer(), &s.claims().role);
        let gave = !matches!(grant.rule, Rule::Refused | Rule::Compromised) && grant.said.index() < s.index();
        let held = self.scene.holds(s.index(), &s.signer(), &s.claims().role);
        let now = self.scene.holds_now(&s.signer(), &s.claims().role);
        gives && !now && (grant.rule == Rule::Grant || gave && !held && !self.has_role(s))
    }

    fn has_role(&self, s: &Logged) -> bool {
        self.roles_of(&s.signer()).contains(&s.claims().role)
    }

    /// Whether anything known here gives a signer their role.
    pub(super) fn is_entitled_somehow(&self, s: &Logged) -> bool {
        let held = self.scene.holds(s.index(), &s.signer(), &s.claims().role);
        let described = held || self.scene.holds_now(&s.signer(), &s.claims().role);
        described || self.judged.iter().any(|grant| self.is_granted(s, grant))
    }

    /// When, after this time, the first of them begins or ends by itself, or what one had ended comes back.
    pub(super) fn changes_at(&self) -> Option<Timestamp> {
        let may_change =
            |it: &&Judged<'_>| it.keeps_ended || !matches!(it.rule, Rule::Refused | Rule::Compromised | Rule::Lifted);
        let claims = self.judged.iter().filter(may_change).map(|it| it.said.claims());
        claims.flat_map(|claims| [claims.from, claims.until]).flatten().filter(|bound| *bound > self.scene.at).min()
    }
}
