//! What peers say is left of erased statements, until the owners' erasures say the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use ics_core::limits;
use ics_core::statement::{Remnant, StatementId};

/// The remnants that peers have given for erased statements, by index, as far as no erasure in the log has confirmed
/// them yet.
///
/// A peer can call any number of entries erased, so only [`limits::ERASURES_AWAITED`] are remembered. What is beyond
/// that counts as confirmed by nothing, whatever the log says, until all that is held was looked at once more and
/// compared with the log, for which nothing needs to be remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Awaited {
    told: Arc<BTreeMap<u64, Remnant>>,
    /// The last one that is not remembered.
    beyond: Option<(u64, StatementId)>,
}

impl Awaited {
    /// Notes what is said to be left in the place of an entry.
    pub fn insert(&mut self, index: u64, remnant: Remnant) {
        if self.told.len() < limits::ERASURES_AWAITED || self.told.contains_key(&index) {
            Arc::make_mut(&mut self.told).insert(index, remnant);
        } else {
            self.beyond = self.beyond.max(Some((index, remnant.statement)));
        }
    }

    /// Takes what an erasure says is left in the place of an entry.
    pub fn confirm(&mut self, index: u64, left: &Remnant) {
        if self.told.get(&index) == Some(left) {
            Arc::make_mut(&mut self.told).remove(&index);
        }
    }

    /// Forgets an entry, because it is here after all or was compared with the log.
    pub(super) fn remove(&mut self, index: u64) {
        if self.told.contains_key(&index) {
            Arc::make_mut(&mut self.told).remove(&index);
        }
    }

    /// Forgets those before an index, because each of them was looked at once more.
    pub(super) fn forget_before(&mut self, index: u64) {
        if self.told.range(..index).next().is_some() {
            Arc::make_mut(&mut self.told).retain(|at, _| *at >= index);
        }
        self.beyond = self.beyond.filter(|(at, _)| *at >= index);
    }

    pub(super) fn get(&self, index: u64) -> Option<&Remnant> {
        self.told.get(&index)
    }

    /// One of the statements that are still to be confirmed, among the entries from an index on.
    pub(super) fn any_from(&self, index: u64) -> Option<StatementId> {
        let told = self.told.range(index..).next().map(|(_, left)| left.statement);
        told.or_else(|| self.beyond.filter(|(at, _)| *at >= index).map(|(_, statement)| statement))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

impl Extend<(u64, Remnant)> for Awaited {
    fn extend<T: IntoIterator<Item = (u64, Remnant)>>(&mut self, told: T) {
        told.into_iter().for_each(|(index, remnant)| self.insert(index, remnant));
    }
}

impl FromIterator<(u64, Remnant)> for Awaited {
    fn from_iter<T: IntoIterator<Item = (u64, Remnant)>>(told: T) -> Self {
        let mut awaited = Self::default();
        awaited.extend(told);
        awaited
    }
}

#[cfg(test)]
mod tests {
    use ics_core::identity::IdentityId;

    use super::*;

    fn left(index: u64) -> Remnant {
        let mut statement = [0; 32];
        statement[..8].copy_from_slice(&index.to_be_bytes());
        Remnant { statement: StatementId(statement), identity: IdentityId::Software([1; 32]) }
    }

    /// A copy is not complete because it could not remember what its log has to confirm.
    #[test]
    fn what_is_beyond_the_bound_is_confirmed_only_by_looking_at_everything_again() {
        let most = limits::ERASURES_AWAITED as u64;
        let mut awaited: Awaited = (0..=most).map(|index| (index, left(index))).collect();
        assert_eq!((awaited.told.len(), awaited.get(most)), (limits::ERASURES_AWAITED, None));
        for index in 0..=most {
            awaited.confirm(index, &left(index));
        }
        assert_eq!((awaited.told.len(), awaited.any_from(0)), (0, Some(left(most).statement)));
        assert_eq!(awaited.any_from(most + 1), None, "nothing after it was said to be erased");
        awaited.forget_before(most);
        assert_eq!(awaited.any_from(0), Some(left(most).statement));
        awaited.forget_before(most + 1);
        assert_eq!(awaited, Awaited::default());
    }

    #[test]
    fn another_remnant_confirms_nothing() {
        let mut awaited = Awaited::default();
        awaited.insert(4, left(4));
        awaited.confirm(4, &left(5));
        awaited.confirm(5, &left(4));
        assert_eq!(awaited.any_from(0), Some(left(4).statement));
        awaited.confirm(4, &left(4));
        assert_eq!((awaited.any_from(0), awaited.is_empty()), (None, true));
    }
}
