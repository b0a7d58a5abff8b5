//! Which statements stand: the rules of docs/calculus.md, section 2, in the order in which they depend on each other.
//!
//! 1. *In force*: admitted, its signer not compromised then, and inside its `from`/`until`. A statement that is not in
//!    force does nothing: neither what it says nor what it supersedes has effect. The same holds for one that the
//!    owners have lifted in the descriptor, which is the only end of a block for ever.
//! 2. *Taken back* by a withdrawal, or *replaced* by a statement that names it in `supersedes`. What has been taken
//!    back replaces nothing. Nothing takes back or replaces a withdrawal or a block for ever. A statement about a group
//!    is ended by statements about that group. A grant is the exception: a role over a group is a role over each
//!    member, and a statement about one member can end it for that member.
//! 3. *Entitled*: what vouches needs its role now; what blocks needed its role when it was admitted.
//!
//! All of it is a function of sets: neither the order of the input nor that of the log changes anything, except that a
//! signer is judged by the descriptor and the grants before the statement.

mod between;
mod forestalled;

use std::collections::{BTreeMap, BTreeSet};

use super::Logged;
use super::membership::{Belongs, Membership};
use super::naming::Naming;
use crate::domain::Domain;
use crate::identity::{Fingerprint, IdentityId};
use crate::statement::{Group, StatementId, Subject};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Effect, Role};

use super::report::{Entitlement, Standing};
use between::{ends_own, gave, gives, grantee};
pub(crate) use between::{may_lift, replaces, speaks_of, takes_back};

/// A statement with what became of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) logged: &'a Logged,
    pub(crate) standing: Standing,
    /// The statement that replaced it or took it back.
    pub(crate) by: Option<StatementId>,
    /// How sure it is that it concerns the subject: surely, if it names the subject itself.
    belongs: Belongs,
    /// Whether its signer's role covered the subject when it was admitted.
    covers: Covered,
    /// Whether its supersessions count: it is in force, and nobody has taken it back. What was itself replaced still
    /// replaces.
    acts: bool,
    /// What its status does, if it gives one.
    pub(crate) effect: Option<Effect>,
}

impl<'a> Judged<'a> {
    pub(crate) fn stands(&self) -> bool {
        self.standing == Standing::Stands
    }

    pub(crate) fn is_direct(&self, subject: &IdentityId) -> bool {
        self.logged.subject_id() == *subject
    }

    fn blocks(&self) -> bool {
        self.effect.is_some_and(Effect::blocks)
    }

    fn gave_role(&self) -> bool {
        self.logged.act() == Act::Grant && !matches!(self.standing, Standing::Refused | Standing::Compromised)
    }
}

/// Statements that gave roles, by grantee and role; each list is in the order of the log.
pub(crate) type Grants<'s, 'a> = BTreeMap<(Fingerprint, Role), Vec<&'s Judged<'a>>>;

/// Grants by the holder and the role that they gave, each with the index of the entry that ended it, if one has.
type Holdings<'s> = BTreeMap<(Fingerprint, Role), Vec<(&'s Logged, Option<u64>)>>;

/// All statements that concern a subject, judged at a point in time.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) subject: IdentityId,
    /// In the order of the log, each statement once.
    pub(crate) judged: Vec<Judged<'a>>,
    pub(crate) membership: Membership,
    /// Roles over the subject that live grants give.
    granted: BTreeSet<(Fingerprint, Role)>,
}

impl<'a> Scene<'a> {
    /// Judges `about` (statements about the subject) and `groups` (about groups that it may belong to). If the subject
    /// is itself a group, it is passed as `group`, because what a group selects is part of it.
    pub(crate) fn judge(
        domain: &'a Domain,
        subject: IdentityId,
        group: Option<&Group>,
        about: &'a [Logged],
        groups: &'a [Logged],
        at: Timestamp,
    ) -> Self {
        let concerns = about.iter().filter(|statement| statement.subject_id() == subject);
        let around = groups.iter().filter(|statement| statement.subject_id() != subject);
        let mut once = BTreeMap::new();
        for statement in concerns.chain(around) {
            once.entry((statement.index(), statement.id())).or_insert(statement);
        }
        let judged = once.into_values().map(|logged| begin(domain, logged, at)).collect();
        let mut scene = Self { domain, subject, judged, membership: Membership::default(), granted: BTreeSet::new() };
        scene.find_acting();
        scene.end_with_the_erased(at);
        scene.take_back();
        scene.replace_own();
        scene.find_groups(group);
        scene.judge_roles();
        scene
    }

    /// The roles over the subject that a signer has now.
    pub(crate) fn roles_of(&self, signer: &Fingerprint) -> BTreeSet<Role> {
        let mut roles = self.domain.descriptor().roles_of(signer);
        roles.extend(self.granted.iter().filter(|(grantee, _)| grantee == signer).map(|(_, role)| role.clone()));
        roles
    }

    pub(crate) fn has_role(&self, statement: &Logged) -> bool {
        self.domain.holds_now(&statement.signer(), statement.role())
            || self.granted.contains(&(statement.signer(), statement.role().clone()))
    }

    /// Whether the signer of a statement that is to be admitted has their role only through what was said in other
    /// domains. In a domain that never had a source to adopt from, no signer has.
    pub(crate) fn has_role_from_elsewhere(&self, statement: &Logged) -> bool {
        let gives_now = |it: &&Judged<'_>| it.stands() && gives(it.logged, statement);
        self.domain.descriptors().any(|descriptor| !descriptor.sources.is_empty())
            && !self.domain.holds_now(&statement.signer(), statement.role())
            && !self.given_here().iter().any(gives_now)
    }

    /// The grants by which this domain itself gave a role over the subject, in the order of the log: made here, by a
    /// signer whom the descriptor listed in their role or who had it then from another such grant.
    fn given_here(&self) -> Vec<&Judged<'a>> {
        let ending = Naming::new(&self.judged, |it| it.acts);
        let mut given = Vec::new();
        let mut held = Holdings::new();
        let is_said_here = |it: &&Judged<'a>| it.covers.surely && it.logged.source().is_empty();
        for it in self.judged.iter().filter(|it| it.gave_role()).filter(is_said_here) {
            let said = it.logged;
            let former = held.get(&(said.signer(), said.role().clone()));
            let is_given_here = || former.is_some_and(|all| all.iter().any(|(grant, end)| gave(grant, *end, said)));
            if self.domain.held_at(said.index(), &said.signer(), said.role()) || is_given_here() {
                given.push(it);
                if let Some(holder) = grantee(said) {
                    let end = ending.ending(&self.subject, it, ends_own).map(Logged::index);
                    held.entry(holder).or_default().push((said, end));
                }
            }
        }
        given
    }

    /// The statements that ever gave a role over the subject, by grantee and role.
    pub(crate) fn grants(&self) -> Grants<'_, 'a> {
        let mut grants = Grants::new();
        for it in self.judged.iter().filter(|it| it.gave_role()) {
            if let Some(holder) = grantee(it.logged) {
                grants.entry(holder).or_default().push(it);
            }
        }
        grants
    }

    /// Approvals that have expired or that their signers have replaced. A former approval vouches: it needs the role
    /// now, and a withdrawal ends it whether it had expired before or not.
    pub(crate) fn formerly_approved(&self) -> impl Iterator<Item = &Judged<'a>> {
        let is_over = |it: &&Judged<'a>| matches!(it.standing, Standing::Lapsed | Standing::Replaced);
        let is_approval = |it: &&Judged<'a>| it.logged.act() == Act::Approval && !it.logged.is_erased();
        let withdrawals = self.withdrawals();
        self.judged
            .iter()
            .filter(is_over)
            .filter(is_approval)
            .filter(|it| it.covers.surely && self.has_role(it.logged))
            .filter(move |it| withdrawals.ending(&self.subject, it, takes_back).is_none())
    }

    /// Whether a statement about the subject, neither a grant nor a withdrawal, itself ends another: now or once that
    /// begins, and whatever else has ended it, since that other end may expire earlier.
    pub(crate) fn ends(&self, x: &Judged<'_>, s: &Logged) -> bool {
        x.acts && s.subject_id() == self.subject && (replaces(x.logged, s) || may_lift(self.domain, x.logged, s))
    }

    /// Whether an erased statement had been deliberately replaced. Whose statement it was is erased as well, but the
    /// log admitted a replacement only from the same signer, unless the replacement was adopted from another domain,
    /// which nobody here has checked.
    pub(crate) fn was_replaced(&self, erased: &Logged) -> bool {
        let has_replaced = |x: &Judged<'_>| {
            x.acts
                && x.logged.act() == erased.act()
                && x.logged.subject_id() == erased.subject_id()
                && x.logged.index() < erased.index()
                && x.logged.source().is_empty()
                && x.logged.claims().supersedes.contains(&erased.id())
        };
        erased.is_erased() && self.judged.iter().any(has_replaced)
    }

    /// What gives a signer their role: what gives it now takes precedence over what gave it when the statement was
    /// admitted.
    pub(crate) fn entitled_by(&self, statement: &Logged, grants: &Grants<'_, 'a>) -> Option<Entitlement> {
        let (signer, role, index) = (statement.signer(), statement.role(), statement.index());
        let descriptor = |holds: bool, version: u64| holds.then_some(Entitlement::Descriptor(version));
        let given = grants.get(&(signer, role.clone()));
        let grant = |counts: &dyn Fn(&Judged<'a>) -> bool| {
            given?.iter().find(|it| counts(it)).map(|it| Entitlement::Grant(it.logged.id()))
        };
        descriptor(self.domain.holds_now(&signer, role), self.domain.descriptor().version)
            .or_else(|| grant(&Judged::stands))
            .or_else(|| {
                let version = self.domain.descriptor_at(index).version;
                descriptor(self.domain.held_at(index, &signer, role), version)
            })
            .or_else(|| grant(&|it| it.logged.index() < index))
    }

    /// Marks each statement that can be ended and for which `ending` finds another that ends it.
    fn mark(&mut self, standing: Standing, ending: impl Fn(&Self, &Judged<'a>) -> Option<&'a Logged>) {
        let enders: Vec<_> =
            self.judged.iter().map(|it| if it.can_be_ended() { ending(self, it) } else { None }).collect();
        for (judged, by) in self.judged.iter_mut().zip(enders) {
            if let Some(by) = by {
                (judged.standing, judged.by) = (standing, Some(by.id()));
            }
        }
    }

    /// Finds which statements act. That an erasure has ended a statement does not change what that statement ends.
    fn find_acting(&mut self) {
        let withdrawals = self.withdrawals();
        let acting: Vec<bool> = self
            .judged
            .iter()
            .map(|it| {
                let is_taken_back = || withdrawals.ending(&self.subject, it, takes_back).is_some();
                it.stands() && !(it.can_be_ended() && is_taken_back())
            })
            .collect();
        self.judged.iter_mut().zip(acting).for_each(|(judged, acts)| judged.acts = acts);
    }

    fn withdrawals(&self) -> Naming<'a> {
        Naming::new(&self.judged, |it| it.stands() && it.logged.act() == Act::Withdrawal)
    }

    /// What an erased statement had ended stays ended for as long as it would have held: the owners who erased it say what
    /// that was.
    fn end_with_the_erased(&mut self, at: Timestamp) {
        let withdrawals = self.withdrawals();
        let holds = |it: &Judged<'_>| it.logged.claims().until.is_none_or(|until| at < until);
        let erased = Naming::new(&self.judged, |it| holds(it) && self.keeps_ended(it, &withdrawals));
        self.mark(Standing::Replaced, |scene, it| erased.ending(&scene.subject, it, |_, _| true));
    }

    /// Whether it is what is left of an erased statement, and what that had ended stays so. It falls as the statement would
    /// have: with its signer, if the owners lift it, or if the signer takes it back. If its erasure names no signer, it
    /// is the owners' own word, and falls with nobody.
    fn keeps_ended(&self, it: &Judged<'_>, withdrawals: &Naming<'_>) -> bool {
        let is_taken_back =
            || it.effect != Some(Effect::BlocksForEver) && withdrawals.ending(&self.subject, it, takes_back).is_some();
        let has_fallen = match it.standing {
            Standing::Refused => true,
            Standing::Compromised | Standing::Lifted => it.logged.said_by().is_some(),
            _ => it.logged.said_by().is_some() && is_taken_back(),
        };
        it.logged.is_erased() && !has_fallen
    }

    fn take_back(&mut self) {
        let withdrawals = self.withdrawals();
        self.mark(Standing::Withdrawn, |scene, it| withdrawals.ending(&scene.subject, it, takes_back));
    }

    /// Replacement by the same signer, or of a grant by its grantee.
    fn replace_own(&mut self) {
        let replacing = Naming::new(&self.judged, |it| it.acts && it.logged.act() != Act::Withdrawal);
        self.mark(Standing::Replaced, |scene, it| replacing.ending(&scene.subject, it, replaces));
    }

    /// Finds the groups of the subject. Only a signer whose role comes from the descriptor says what surely belongs to
    /// a group: roles over a group are roles over each member, and labels of a group are labels of each member, so a
    /// role granted over one thing would turn into others. What other signers say only keeps the subject from escaping
    /// a block.
    fn find_groups(&mut self, group: Option<&Group>) {
        let mut membership = group.map(Membership::of_group).unwrap_or_default();
        for it in self.judged.iter().filter(|it| it.is_direct(&self.subject)) {
            if it.logged.is_erased() {
                if it.standing != Standing::Refused {
                    membership.take_erased(it.logged);
                }
            } else if it.stands() && it.logged.act() != Act::Withdrawal {
                membership.feared.take(it.logged);
                if self.domain.holds_now(&it.logged.signer(), it.logged.role()) {
                    membership.sure.take(it.logged);
                }
            }
        }
        for it in &mut self.judged {
            it.belongs = match (it.logged.subject_id(), it.logged.subject()) {
                (id, _) if id == self.subject => Belongs::Surely,
                (IdentityId::Group(id), Subject::Group(group)) => membership.of(&id, group),
                _ => Belongs::No,
            };
        }
        self.membership = membership;
    }

    /// Judges grants, over the subject and over groups, lifting by other roles, and whose role covers the subject.
    fn judge_roles(&mut self) {
        let covered = self.covered();
        let live = self.judged.iter().zip(&covered).filter(|(it, covered)| it.stands() && covered.surely);
        self.granted = live.filter_map(|(it, _)| grantee(it.logged)).collect();
        self.lift(&covered);
        let standings: Vec<_> =
            self.judged.iter().zip(&covered).map(|(it, covered)| self.entitlement(it, covered)).collect();
        for (judged, standing) in self.judged.iter_mut().zip(standings) {
            judged.standing = standing;
        }
        for (judged, covered) in self.judged.iter_mut().zip(&covered) {
            judged.covers = *covered;
        }
        let subject = self.subject;
        self.judged.retain(|it| it.concerns(&subject));
    }

    /// For each statement, whether its signer's role covered the subject when it was admitted: by the descriptor of
    /// that time, or by an earlier grant whose giver was covered in turn. For statements about the subject itself,
    /// admission has ensured it.
    ///
    /// A grant no longer covers the subject once a statement about the subject has ended it: somebody who has sold a
    /// thing does not regain it by what they say later about its lot.
    fn covered(&self) -> Vec<Covered> {
        let here = Naming::new(&self.judged, |it| it.acts && it.is_direct(&self.subject));
        let mut surely = Holders::default();
        let mut perhaps = Holders::default();
        let mut all = Vec::with_capacity(self.judged.len());
        for it in &self.judged {
            let (index, signer, role) = (it.logged.index(), it.logged.signer(), it.logged.role());
            let always = it.is_direct(&self.subject) || self.domain.held_at(index, &signer, role);
            let covered = Covered {
                surely: it.belongs == Belongs::Surely && (always || surely.held_at(index, &signer, role)),
                perhaps: it.belongs >= Belongs::Perhaps && (always || perhaps.held_at(index, &signer, role)),
            };
            if let Some(held) = grantee(it.logged).filter(|_| it.gave_role()) {
                let until = here.ending(&self.subject, it, ends_own).map(Logged::index);
                surely.add(held.clone(), until, covered.surely);
                perhaps.add(held, until, covered.perhaps);
            }
            all.push(covered);
        }
        all
    }

    /// Ends statuses that another role lifts, as the descriptor allowed when the lifting statement was admitted.
    fn lift(&mut self, covered: &[Covered]) {
        let covering = self.judged.iter().zip(covered).filter(|(_, covered)| covered.surely);
        let lifters: BTreeSet<u64> = covering.map(|(it, _)| it.logged.index()).collect();
        let naming = Naming::new(&self.judged, |it| it.acts && lifters.contains(&it.logged.index()));
        let domain = self.domain;
        let lifted = |x: &Logged, s: &Logged| may_lift(domain, x, s);
        self.mark(Standing::Replaced, |scene, it| naming.ending(&scene.subject, it, lifted));
    }

    fn entitlement(&self, it: &Judged<'_>, covered: &Covered) -> Standing {
        if !it.stands() {
            return it.standing;
        }
        match it.logged.act() {
            Act::Withdrawal => Standing::Stands,
            _ if it.blocks() && covered.perhaps => Standing::Stands,
            _ if !covered.surely => Standing::NotCovering,
            Act::Grant => Standing::Stands,
            _ if self.has_role(it.logged) => Standing::Stands,
            _ => Standing::RoleLost,
        }
    }
}

/// Who had roles over the subject by grants, each up to an index of the log: the maximum if the grant was not ended for
/// this subject.
#[derive(Default)]
struct Holders(BTreeMap<Fingerprint, BTreeMap<Role, u64>>);

impl Holders {
    fn add(&mut self, (grantee, role): (Fingerprint, Role), until: Option<u64>, covers: bool) {
        if covers {
            let held = self.0.entry(grantee).or_default().entry(role).or_default();
            *held = until.unwrap_or(u64::MAX).max(*held);
        }
    }

    fn held_at(&self, index: u64, signer: &Fingerprint, role: &Role) -> bool {
        self.0.get(signer).and_then(|roles| roles.get(role)).is_some_and(|until| index < *until)
    }
}

/// Whether a signer's role covered the subject.
#[derive(Debug, Clone, Copy, Default)]
struct Covered {
    surely: bool,
    perhaps: bool,
}

impl Judged<'_> {
    /// Whether something can still end it: not what is over already.
    fn can_be_ended(&self) -> bool {
        self.stands() && self.is_endable()
    }

    /// Neither a withdrawal nor a block for ever ends by another statement.
    fn is_endable(&self) -> bool {
        self.logged.act() != Act::Withdrawal && self.effect != Some(Effect::BlocksForEver)
    }

    /// Whether it concerns a subject: a statement about a group holds for its members, except one that introduces the
    /// group itself.
    fn concerns(&self, subject: &IdentityId) -> bool {
        let introduces = matches!(self.logged.act(), Act::Identity | Act::Installed | Act::Issued);
        self.is_direct(subject) || (self.belongs != Belongs::No && !introduces)
    }
}

/// The first rule: whether the statement is in force at all.
fn begin<'a>(domain: &Domain, logged: &'a Logged, at: Timestamp) -> Judged<'a> {
    let effect = domain.effect_of(logged);
    let claims = logged.claims();
    let standing = if logged.is_refused() {
        Standing::Refused
    } else if domain.is_compromised(logged) {
        Standing::Compromised
    } else if domain.is_lifted(logged) {
        Standing::Lifted
    } else if logged.is_erased() && claims.status.is_none() {
        Standing::Erased
    } else if logged.is_to_come(at) {
        Standing::NotYet
    } else if claims.until.is_some_and(|until| until <= at) && effect != Some(Effect::BlocksForEver) {
        Standing::Lapsed
    } else {
        Standing::Stands
    };
    Judged { logged, standing, by: None, belongs: Belongs::No, covers: Covered::default(), acts: false, effect }
}
