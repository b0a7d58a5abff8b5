//! Who names whom as ended, found by the one that is named: a record has thousands of statements, and each is asked about.

use std::collections::BTreeMap;

use super::Logged;
use super::standing::{Judged, replaces, speaks_of, takes_back};
use crate::identity::IdentityId;
use crate::statement::StatementId;

/// Who names whom in `supersedes`.
pub(super) struct Naming<'a>(BTreeMap<StatementId, Vec<&'a Logged>>);

impl<'a> Naming<'a> {
    pub(super) fn new(judged: &[Judged<'a>], counts: impl Fn(&Judged<'a>) -> bool) -> Self {
        let mut naming: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for it in judged.iter().filter(|it| counts(it)) {
            for named in &it.logged.claims().supersedes {
                naming.entry(*named).or_default().push(it.logged);
            }
        }
        Self(naming)
    }

    /// The first statement by index that ends another.
    fn first(&self, s: &Logged, ends: impl Fn(&Logged, &Logged) -> bool) -> Option<&'a Logged> {
        self.0.get(&s.id())?.iter().copied().find(|x| ends(x, s))
    }

    /// The same for a subject.
    pub(super) fn ending(
        &self,
        subject: &IdentityId,
        it: &Judged<'_>,
        ends: impl Fn(&Logged, &Logged) -> bool,
    ) -> Option<StatementId> {
        self.first(it.logged, |x, s| speaks_of(subject, x, s) && ends(x, s)).map(Logged::id)
    }

    /// From which index on a grant no longer covers the subject, because of what was said of the subject: who has sold a
    /// thing does not come back to it by what he says of its lot later.
    pub(super) fn ends_grant(&self, grant: &Logged) -> Option<u64> {
        self.first(grant, |x, s| takes_back(x, s) || replaces(x, s)).map(Logged::index)
    }
}
