//! An index of which statements name which others in `supersedes`: a record has thousands, and each is asked about.

use std::collections::BTreeMap;

use super::Logged;
use super::standing::{Judged, speaks_of};
use crate::identity::IdentityId;
use crate::statement::StatementId;

/// Which statements name which in `supersedes`, by the named one.
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

    /// The first statement by index that ends another for a subject.
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
