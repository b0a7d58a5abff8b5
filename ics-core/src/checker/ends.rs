//! Which statement may end which: docs/calculus.md, 2.3, 2.4 and 2.7.

use super::standing::ruling;
use crate::descriptor::Descriptor;
use crate::identity::{Fingerprint, IdentityId};
use crate::record::Logged;
use crate::vocabulary::{Act, Role};

/// Whether it is the remnant of a statement that this signer had made, according to its erasure.
pub(super) fn was_of(s: &Logged, signer: &Fingerprint) -> bool {
    s.said_by().is_some_and(|by| by.signer == *signer)
}

/// Whether `s` belongs to the signer of `x`. A remnant belongs to the signer of the erased statement or, if its erasure
/// does not name them, to whoever signed the erasure, from the erasure on; a grant belongs to its giver in the role in
/// which they gave it.
fn is_own(x: &Logged, s: &Logged) -> bool {
    let in_that_role = act(s) != Act::Grant || x.claims().role == s.claims().role;
    let is_erasers = s.is_erased() && s.said_by().is_none() && s.index() < x.index();
    let by_the_same = x.signer() == s.signer() && in_that_role && (!s.is_erased() || is_erasers);
    by_the_same || was_of(s, &x.signer()) || s.grant().is_some_and(|grant| grant.grantee == x.signer())
}

/// Whether `x` names `s`, for a thing: a statement about a group is ended by statements about that group, except that a
/// statement about one member may end a grant over a group for that member.
pub(super) fn names(thing: &IdentityId, x: &Logged, s: &Logged) -> bool {
    let of_the_same = x.subject_id() == s.subject_id();
    (of_the_same || act(s) == Act::Grant && x.subject_id() == *thing) && x.claims().supersedes.contains(&s.id())
}

pub(super) fn act(s: &Logged) -> Act {
    s.claims().act
}

pub(super) fn gives(g: &Logged, signer: &Fingerprint, role: &Role) -> bool {
    g.grant().is_some_and(|grant| grant.grantee == *signer && grant.role == *role)
}

/// Rule 2.3: what a withdrawal takes back.
pub(super) fn takes_back(x: &Logged, s: &Logged) -> bool {
    act(x) == Act::Withdrawal && act(s) != Act::Withdrawal && is_own(x, s)
}

/// Rule 2.4: which statements of its own signer a statement replaces.
pub(super) fn replaces(x: &Logged, s: &Logged) -> bool {
    act(x) == act(s) && act(x) != Act::Withdrawal && is_own(x, s)
}

/// Rule 2.7: which statuses of others a role may lift.
pub(super) fn may_lift(chain: &[(u64, Descriptor)], x: &Logged, s: &Logged) -> bool {
    let lifts = ruling(chain, x.index()).lifts.get(&x.claims().role);
    let status = s.claims().status.as_ref();
    act(x) == Act::Status
        && act(s) == Act::Status
        && lifts.zip(status).is_some_and(|(statuses, status)| statuses.contains(status))
}
