//! What is said for a later time and will not count then either: who is told what is to come is not told of it.

use std::collections::BTreeSet;

use super::{Judged, Scene, ends_own};
use crate::record::naming::Naming;
use crate::record::{Logged, Standing};
use crate::vocabulary::Act;

impl Scene<'_> {
    /// The indices of the statements whose time is still to come and that will not count then: something that counts has
    /// ended them for all their time, or the role of their signer does not cover the subject. Others may lift a block
    /// before it begins; that is not looked at.
    pub(crate) fn forestalled(&self) -> BTreeSet<u64> {
        let waiting: Vec<_> = self.judged.iter().filter(|it| it.standing == Standing::NotYet).collect();
        if waiting.is_empty() {
            return BTreeSet::new();
        }
        let withdrawals = self.withdrawals();
        let acting = Naming::new(&self.judged, |it| it.acts);
        let erased = Naming::new(&self.judged, |it| self.keeps_ended(it, &withdrawals));
        let is_ended = |it: &Judged<'_>| {
            let by_own = acting.ending(&self.subject, it, |x, s| outlasts(x, s) && ends_own(x, s));
            by_own.or_else(|| erased.ending(&self.subject, it, outlasts)).is_some()
        };
        let will_count = |it: &Judged<'_>| it.covers_to_count() && !(it.is_endable() && is_ended(it));
        waiting.into_iter().filter(|it| !will_count(it)).map(|it| it.logged.index()).collect()
    }
}

impl Judged<'_> {
    /// Whether the role of its signer covers the subject as it must for this to count.
    fn covers_to_count(&self) -> bool {
        match self.logged.act() {
            Act::Withdrawal => true,
            _ if self.blocks() => self.covers.perhaps,
            _ => self.covers.surely,
        }
    }
}

/// Whether what `x` ends does not come back before the time of `s` is over.
fn outlasts(x: &Logged, s: &Logged) -> bool {
    x.claims().until.is_none_or(|until| s.claims().until.is_some_and(|end| end <= until))
}
