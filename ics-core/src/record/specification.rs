//! A second version of the status rules, as predicates over the set of statements about a device and its groups: slow,
//! in no particular order, and written from the rules alone. The results of resolution are compared with it.

use crate::domain::Domain;
use crate::identity::Fingerprint;
use crate::record::Logged;
use crate::samples::device;
use crate::statement::Subject;
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, Effect, Role};

pub(crate) struct Specification<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) all: &'a [Logged],
    pub(crate) at: Timestamp,
}

fn direct(s: &Logged) -> bool {
    s.subject_id() == device()
}

fn own(x: &Logged, s: &Logged) -> bool {
    let given = s.act() == Act::Grant && s.claims().grant.as_ref().is_some_and(|grant| grant.grantee == x.signer());
    x.signer() == s.signer() && (s.act() != Act::Grant || x.role() == s.role()) || given
}

/// Whether `x` names `s`: a statement about a group is ended by statements about that group, except that a statement
/// about one member may end a grant for that member.
fn names(x: &Logged, s: &Logged) -> bool {
    let of_the_same = x.subject_id() == s.subject_id();
    (of_the_same || s.act() == Act::Grant && direct(x)) && x.claims().supersedes.contains(&s.id())
}

fn gives(g: &Logged, signer: Fingerprint, role: &Role) -> bool {
    let grant = g.claims().grant.as_ref();
    g.act() == Act::Grant && grant.is_some_and(|grant| grant.grantee == signer && grant.role == *role)
}

impl Specification<'_> {
    fn any(&self, holds: impl Fn(&Logged) -> bool) -> bool {
        self.all.iter().any(holds)
    }

    fn has_effect(&self, s: &Logged, effect: Effect) -> bool {
        self.domain.effect_of(s) == Some(effect)
    }

    fn counts(&self, s: &Logged) -> bool {
        !s.is_refused() && !self.domain.is_compromised(s)
    }

    fn in_force(&self, s: &Logged) -> bool {
        let begun = s.claims().from.is_none_or(|from| from <= self.at);
        let over = s.claims().until.is_some_and(|until| until <= self.at);
        let lifted = self.domain.descriptor().lifted.contains(&s.id());
        self.counts(s) && !lifted && begun && (!over || self.has_effect(s, Effect::BlocksForEver))
    }

    fn can_end(&self, s: &Logged) -> bool {
        s.act() != Act::Withdrawal && !self.has_effect(s, Effect::BlocksForEver)
    }

    fn alive(&self, s: &Logged) -> bool {
        let taken_back = self.any(|w| w.act() == Act::Withdrawal && self.in_force(w) && names(w, s) && own(w, s));
        self.in_force(s) && !(self.can_end(s) && taken_back)
    }

    fn unreplaced(&self, s: &Logged) -> bool {
        let replaced = self.any(|x| x.act() == s.act() && self.alive(x) && names(x, s) && own(x, s));
        self.alive(s) && !(self.can_end(s) && replaced)
    }

    fn by_descriptor(&self, signer: Fingerprint, role: &Role) -> bool {
        self.domain.descriptor().roles_of(&signer).contains(role)
    }

    fn describes(&self, s: &Logged, vouching: bool) -> bool {
        let listed = self.by_descriptor(s.signer(), s.role());
        direct(s) && s.act() != Act::Withdrawal && self.unreplaced(s) && (!vouching || listed)
    }

    fn has(&self, attribute: Attribute, value: &str, vouching: bool) -> bool {
        let values = || {
            self.all
                .iter()
                .filter(|s| s.act() == Act::Identity && self.describes(s, vouching))
                .filter_map(move |s| s.claims().attributes.get(&attribute))
        };
        values().any(|given| given == value) && (!vouching || values().all(|given| given == value))
    }

    fn belongs(&self, s: &Logged, vouching: bool) -> bool {
        let Subject::Group(group) = s.subject() else { return direct(s) };
        let crate::identity::IdentityId::Group(id) = s.subject_id() else { return false };
        let selected = !group.attributes.is_empty()
            && group.attributes.iter().all(|(attribute, value)| self.has(*attribute, value, vouching));
        selected || self.any(|d| d.claims().groups.contains(&id) && self.describes(d, vouching))
    }

    /// Whether its signer's role covered the device when it was admitted.
    fn covered(&self, s: &Logged, vouching: bool) -> bool {
        let ended_here = |g: &Logged| {
            let ends = |x: &Logged| x.act() == Act::Withdrawal || x.act() == Act::Grant;
            self.any(|x| direct(x) && x.index() <= s.index() && ends(x) && self.alive(x) && names(x, g) && own(x, g))
        };
        let before =
            |g: &Logged| g.index() < s.index() && !ended_here(g) && self.counts(g) && gives(g, s.signer(), s.role());
        self.belongs(s, vouching)
            && (direct(s)
                || self.domain.descriptor_at(s.index()).roles_of(&s.signer()).contains(s.role())
                || self.any(|g| before(g) && self.covered(g, vouching)))
    }

    fn has_role(&self, s: &Logged) -> bool {
        self.by_descriptor(s.signer(), s.role())
            || self.any(|g| gives(g, s.signer(), s.role()) && self.unreplaced(g) && self.covered(g, true))
    }

    fn lifted(&self, s: &Logged) -> bool {
        let may = |x: &Logged| {
            let status = s.claims().status.as_ref();
            status.is_some_and(|status| self.domain.descriptor_at(x.index()).may_lift(x.role(), status))
        };
        s.act() == Act::Status
            && self.can_end(s)
            && self.any(|x| x.act() == Act::Status && self.alive(x) && names(x, s) && may(x) && self.covered(x, true))
    }

    pub(crate) fn stands(&self, s: &Logged) -> bool {
        let concerns = direct(s) || !matches!(s.act(), Act::Identity | Act::Installed | Act::Issued);
        let blocks = self.has_effect(s, Effect::Blocks) || self.has_effect(s, Effect::BlocksForEver);
        let counts = match s.act() {
            Act::Withdrawal => self.belongs(s, false),
            Act::Grant => self.covered(s, true),
            _ => blocks && self.covered(s, false) || self.covered(s, true) && self.has_role(s),
        };
        concerns && counts && self.unreplaced(s) && !self.lifted(s)
    }

    pub(crate) fn effect(&self) -> Effect {
        let standing = self.all.iter().filter(|s| self.stands(s));
        standing.filter_map(|s| self.domain.effect_of(s)).max().unwrap_or(Effect::None)
    }

    /// The effects of all statuses that stand.
    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.all.iter().filter(|s| self.stands(s)).filter_map(|s| self.domain.effect_of(s)).collect()
    }

    /// Whether it is an approval that is over and counts as a former one in the role of a maintainer: its signer could
    /// still give it, and has not taken it back.
    pub(crate) fn formerly_approves(&self, s: &Logged) -> bool {
        let begun = s.claims().from.is_none_or(|from| from <= self.at);
        let lifted = self.domain.descriptor().lifted.contains(&s.id());
        let over = s.claims().until.is_some_and(|until| until <= self.at);
        let taken_back = self.any(|w| w.act() == Act::Withdrawal && self.in_force(w) && names(w, s) && own(w, s));
        let replaced = self.any(|x| x.act() == s.act() && self.alive(x) && names(x, s) && own(x, s));
        s.act() == Act::Approval
            && s.role().as_str() == "maintainer"
            && self.counts(s)
            && begun
            && !lifted
            && (over || replaced)
            && !taken_back
            && self.covered(s, true)
            && self.has_role(s)
    }
}
