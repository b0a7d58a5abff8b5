//! Which statement may end which: docs/calculus.md, 2.3, 2.4 and 2.7.

use std::collections::BTreeMap;

use super::standing::ruling;
use crate::descriptor::Descriptor;
use crate::identity::{Fingerprint, IdentityId};
use crate::record::Logged;
use crate::statement::StatementId;
use crate::vocabulary::{Act, DomainName, Role};

/// Statements by what they name, in the order of the log: whoever is asked to check has bounded time.
pub(super) type Naming<'a> = BTreeMap<StatementId, Vec<&'a Logged>>;

pub(super) fn naming<'a>(all: impl Iterator<Item = &'a Logged>) -> Naming<'a> {
    let mut naming = Naming::new();
    for x in all {
        x.claims().supersedes.iter().for_each(|id| naming.entry(*id).or_default().push(x));
    }
    naming
}

/// Those that name a statement.
pub(super) fn of<'n, 'a>(naming: &'n Naming<'a>, s: &Logged) -> impl Iterator<Item = &'a Logged> + use<'n, 'a> {
    naming.get(&s.id()).into_iter().flatten().copied()
}

/// The index of the first of these that takes a grant back or replaces it, for a thing.
pub(super) fn end_of(thing: &IdentityId, naming: &Naming<'_>, grant: &Logged) -> Option<u64> {
    let ends = |x: &Logged| names(thing, x, grant) && (takes_back(x, grant) || replaces(x, grant));
    of(naming, grant).find(|x| ends(x)).map(Logged::index)
}

/// Whether it is the remnant of a statement that this signer had made, according to its erasure.
pub(super) fn was_of(s: &Logged, signer: &Fingerprint) -> bool {
    s.said_by().is_some_and(|by| by.signer == *signer)
}

/// The domain from which something was adopted; what is left of an erased statement, from where its erasure says.
pub(super) fn adopted_from(s: &Logged) -> Option<&DomainName> {
    let way = match s.said_by() {
        Some(by) => &*by.source,
        None => s.source(),
    };
    way.first().map(|nearest| &nearest.domain)
}

/// What is left of an erased statement belongs to its signer, or, if its erasure names none, to those who erased it,
/// from the erasure on; a grant belongs to its giver in the role in which it was given.
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
