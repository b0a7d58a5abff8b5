//! Finds the identity that a name means in a domain, if it means exactly one.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::name::{Lookup, Name};
use ics_core::record::{Logged, Posting, Record};

use super::memory::{Kept, name_key};
use super::read::Sight;
use crate::app::entries::find_besides;
use crate::app::{App, AppError};
use crate::store::Key;

impl App {
    /// The identities of a domain that a look-up means. For a name, those to which an entitled signer gives it now,
    /// without those that have given it up to a successor.
    pub(crate) fn identities(&self, sight: &Sight<'_>, lookup: &Lookup) -> Result<BTreeSet<IdentityId>, AppError> {
        let name = match lookup {
            Lookup::Ids(ids) => {
                let mut known = BTreeSet::new();
                for id in ids {
                    if self.kept(sight, id)?.is_something() {
                        known.insert(*id);
                    }
                }
                return Ok(known);
            }
            Lookup::Name(name) => name,
        };
        let key = name_key(name);
        if let Some(called) = self.called_in_memory(sight, key) {
            return Ok(called.map(|kept| kept.id).into_iter().collect());
        }
        let (giving, candidates) = self.giving(sight, name, &[])?;
        let mut named = Vec::new();
        for id in candidates {
            let kept = self.kept_besides(sight, &id, &giving)?;
            if kept.is_called(key.0) {
                named.push(kept);
            }
        }
        without_replaced(name, &named)
    }

    /// Whether a name that an identity has means no other one. Usually only one identity was ever given it. Statements
    /// at hand are not read again.
    pub(in crate::app) fn means_only(
        &self,
        sight: &Sight<'_>,
        name: &Name,
        id: &IdentityId,
        at_hand: &[Logged],
    ) -> Result<bool, AppError> {
        if let Some(named) = self.memory().recall_name(sight.hosted.number, name_key(name)) {
            return Ok(named.means(id));
        }
        let (_, candidates) = self.giving(sight, name, at_hand)?;
        let one = BTreeSet::from([*id]);
        Ok(candidates == one || self.identities(sight, &Lookup::Name(name.clone()))? == one)
    }

    /// What is kept about the identity that has a name now: `Some(None)` if none has it, `None` if that is not known.
    pub(super) fn called_in_memory(&self, sight: &Sight<'_>, name: (Key, u64)) -> Option<Option<Arc<Kept>>> {
        let named = self.memory().recall_named(sight.hosted.number, name, self.clock().now())?;
        Some(named.filter(|kept| kept.is_called(name.0)))
    }

    /// The identities to which a name was ever given, if need be by the statements that gave it, which are then added to
    /// those at hand.
    pub(in crate::app) fn ever_named(
        &self,
        sight: &Sight<'_>,
        name: &Name,
        at_hand: &mut Vec<Logged>,
    ) -> Result<BTreeSet<IdentityId>, AppError> {
        if let Some(only) = self.memory().recall_named(sight.hosted.number, name_key(name), self.clock().now()) {
            return Ok(only.map(|kept| kept.id).into_iter().collect());
        }
        let (giving, ids) = self.giving(sight, name, at_hand)?;
        at_hand.extend(giving);
        at_hand.sort_unstable_by_key(Logged::index);
        at_hand.dedup_by_key(|statement| statement.index());
        Ok(ids)
    }

    /// The statements that ever gave a name, and the identities that they are about. If that is at most one, it is kept
    /// in memory. Statements at hand are not read again.
    fn giving(
        &self,
        sight: &Sight<'_>,
        name: &Name,
        at_hand: &[Logged],
    ) -> Result<(Vec<Logged>, BTreeSet<IdentityId>), AppError> {
        let (memory, number) = (self.memory(), sight.hosted.number);
        let era = memory.era(number);
        let posting = Posting::Name(name.clone());
        let (giving, _) = find_besides(&sight.entries, &sight.domain, &posting, limits::RECORD_STATEMENTS, at_hand)?;
        let candidates: BTreeSet<IdentityId> = giving.iter().map(Logged::subject_id).collect();
        if candidates.len() <= 1 {
            memory.keep_name(number, name_key(name), candidates.first().copied(), (&era, sight.seal.size));
        }
        Ok((giving, candidates))
    }

    /// Keeps in memory what a name means in a domain, if that is not known; statements at hand are not read again.
    pub(super) fn know_name(&self, sight: &Sight<'_>, name: &Name, at_hand: &[Logged]) -> Result<(), AppError> {
        if self.memory().recall_name(sight.hosted.number, name_key(name)).is_none() {
            self.giving(sight, name, at_hand)?;
        }
        Ok(())
    }
}

/// Those of several identities that still have a name: see [`Record::gives_up`].
fn without_replaced(name: &Name, named: &[Arc<Kept>]) -> Result<BTreeSet<IdentityId>, AppError> {
    if named.len() < 2 {
        return Ok(named.iter().map(|kept| kept.id).collect());
    }
    let mut records = Vec::with_capacity(named.len());
    for kept in named {
        records.extend(kept.record()?);
    }
    let successors: Vec<&Record> = records.iter().filter(|record| !record.replaces.is_empty()).collect();
    let has_it_still = |record: &&Record| !successors.iter().any(|successor| record.gives_up(name, successor));
    Ok(records.iter().filter(has_it_still).map(|record| record.identity.id).collect())
}
