//! Which groups concern an identity: those that may hold it, and those that may hold these in turn, because they decide
//! in which roles signers spoke about them.

use std::collections::{BTreeMap, BTreeSet};

use super::replay::Replay;
use crate::identity::IdentityId;
use crate::record::{Logged, candidate_groups};
use crate::statement::Subject;

impl Replay {
    /// The first statement about something other than the identity and its groups.
    pub(super) fn stranger(&self, identity: &IdentityId) -> Option<&Logged> {
        let reached = self.reached(identity);
        let strangers = self.about.iter().filter(|(subject, _)| !reached.contains(subject));
        strangers.filter_map(|(_, said)| said.first()).min_by_key(|logged| logged.index())
    }

    fn reached(&self, identity: &IdentityId) -> BTreeSet<IdentityId> {
        let filed = self.filed();
        let mut reached = BTreeSet::from([*identity]);
        let mut next = vec![*identity];
        while let Some(subject) = next.pop() {
            let said = self.about.get(&subject).map(Vec::as_slice).unwrap_or_default();
            let groups = candidate_groups(said);
            let keys = groups.named.iter().chain(&groups.selectors);
            next.extend(keys.filter_map(|key| filed.get(key)).flatten().filter(|group| reached.insert(**group)));
        }
        reached
    }

    /// The groups by the keys under which [`candidate_groups`] looks for them: their ids and what they select.
    fn filed(&self) -> BTreeMap<[u8; 32], BTreeSet<IdentityId>> {
        let mut filed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for logged in &self.groups {
            let (IdentityId::Group(id), Subject::Group(group)) = (logged.subject_id(), logged.subject()) else {
                continue;
            };
            for key in [id].into_iter().chain(group.selector_key()) {
                filed.entry(key).or_default().insert(logged.subject_id());
            }
        }
        filed
    }
}
