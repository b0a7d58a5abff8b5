//! Which statements name another as ended by them, found by the one that is named: a record has thousands of
//! statements, and of each it is asked what ends it.

use std::collections::BTreeMap;

use super::Logged;
use super::standing::{Judged, speaks_of};
use crate::identity::IdentityId;
use crate::statement::StatementId;

/// Statements by the ids that they name in `supersedes`.
pub(super) struct Naming<'a>(BTreeMap<StatementId, Vec<&'a Logged>>);

impl<'a> Naming<'a> {
    /// Those of the statements that `counts` takes.
    pub(super) fn new(judged: &[Judged<'a>], counts: impl Fn(&Judged<'a>) -> bool) -> Self {
        let mut naming: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for it in judged.iter().filter(|it| counts(it)) {
            for named in &it.logged.claims().supersedes {
                naming.entry(*named).or_default().push(it.logged);
            }
        }
        Self(naming)
    }

    /// The first of them, by index, that names another and ends it for a subject: `ends` is given the two.
    pub(super) fn ending(
        &self,
        subject: &IdentityId,
        it: &Judged<'_>,
        ends: impl Fn(&Logged, &Logged) -> bool,
    ) -> Option<&'a Logged> {
        let naming = self.0.get(&it.logged.id())?;
        naming.iter().copied().find(|x| speaks_of(subject, x, it.logged) && ends(x, it.logged))
    }
}
