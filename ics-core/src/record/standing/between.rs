//! How one statement bears on another: what it can end, and what role a grant gives it.

use crate::domain::Domain;
use crate::identity::{Fingerprint, IdentityId};
use crate::record::Logged;
use crate::vocabulary::{Act, Role};

/// Whether `x` can end `s` for a subject: both are about the same identity, or `x` is about the subject and `s` is a
/// grant over a group.
pub(crate) fn speaks_of(subject: &IdentityId, x: &Logged, s: &Logged) -> bool {
    x.subject_id() == s.subject_id() || (s.act() == Act::Grant && x.subject_id() == *subject)
}

/// Whether `s` is the own statement of the signer of `x`. The remnant of an erased statement belongs to whoever made
/// that statement. If the erasure does not name them, it belongs from then on to whoever signed the erasure; what that
/// owner said before does not affect it. A grant is ended by its giver in the role in which they gave it, so that
/// somebody who has sold a thing, and kept another role over it, cannot undo the sale. Its grantee can end it as well.
fn is_own(x: &Logged, s: &Logged) -> bool {
    let in_that_role = s.grant().is_none() || x.role() == s.role();
    let by_the_same = match s.said_by() {
        Some(by) => x.signer() == by.signer,
        None => x.signer() == s.signer() && in_that_role && (!s.is_erased() || s.index() < x.index()),
    };
    by_the_same || s.grant().is_some_and(|grant| grant.grantee == x.signer())
}

/// A withdrawal takes back statements of its own signer, and a grant that was made to that signer.
pub(crate) fn takes_back(x: &Logged, s: &Logged) -> bool {
    x.act() == Act::Withdrawal && s.act() != Act::Withdrawal && is_own(x, s)
}

/// A signer replaces their own statements by one of the same act, and a grant made to them by one that they make.
pub(crate) fn replaces(x: &Logged, s: &Logged) -> bool {
    x.act() == s.act() && s.act() != Act::Withdrawal && is_own(x, s)
}

/// Whether either of the two holds: this is how a grant ends.
pub(super) fn ends_own(x: &Logged, s: &Logged) -> bool {
    takes_back(x, s) || replaces(x, s)
}

/// Whether a statement lifts another by its role, as the descriptor of its place in the log allows.
pub(crate) fn may_lift(domain: &Domain, x: &Logged, s: &Logged) -> bool {
    let lifts = |status| domain.descriptor_at(x.index()).may_lift(x.role(), status);
    x.act() == Act::Status && s.act() == Act::Status && s.claims().status.as_ref().is_some_and(lifts)
}

/// Whether a grant gives the signer of a statement the role in which it is made.
pub(super) fn gives(grant: &Logged, statement: &Logged) -> bool {
    grant.grant().is_some_and(|grant| grant.grantee == statement.signer() && grant.role == *statement.role())
}

/// Whether a grant to the signer of a later statement held when that was admitted: it was in its time, and no entry
/// before the statement had ended it. The statement may end it itself, as a sale does.
pub(super) fn gave(grant: &Logged, end: Option<u64>, later: &Logged) -> bool {
    let is_in_time = grant.claims().is_in_time(later.admitted_at());
    is_in_time && end.is_none_or(|end| later.index() <= end)
}

/// To whom a grant gives which role.
pub(super) fn grantee(statement: &Logged) -> Option<(Fingerprint, Role)> {
    statement.grant().map(|grant| (grant.grantee, grant.role.clone()))
}
