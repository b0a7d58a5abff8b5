//! What has taken the place of a thing.

use std::collections::BTreeSet;

use ics_core::identity::IdentityId;
use ics_core::record::{Given, Logged, Posting, Record};

use super::read::Sight;
use crate::app::entries::find_logged;
use crate::app::{App, AppError, Reader};

/// How many statements are looked at: a thing normally has one successor.
const LOOKED_AT: usize = 64;

/// Whether a domain considers a thing's time over: only then is its successor looked for.
pub(crate) fn is_over(record: &Record) -> bool {
    record.effect().blocks() || record.vouched.is_empty()
}

impl App {
    /// The identities that, according to a domain, have taken the place of another, among those that the reader may
    /// read. This depends on statements about them, so it is not part of the thing's own record.
    pub(crate) fn successors(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        id: &IdentityId,
    ) -> Result<Vec<Given<String>>, AppError> {
        let said = find_logged(&sight.entries, &sight.domain, &Posting::Replaces(*id), LOOKED_AT)?;
        let candidates: BTreeSet<IdentityId> = said.iter().map(Logged::subject_id).collect();
        let (old, mut successors) = (id.to_string(), Vec::new());
        for candidate in candidates.iter().filter(|candidate| *candidate != id) {
            let record = self.kept(sight, candidate)?.record()?;
            let readable = record.filter(|record| self.may_read(reader, &sight.domain, record));
            let given = readable.and_then(|record| record.replaces.into_iter().find(|given| given.value == old));
            successors.extend(given.map(|given| Given { value: candidate.to_string(), by: given.by }));
        }
        Ok(successors)
    }

    /// As `successors`, for a record that was read.
    pub(crate) fn successors_of(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        record: &Record,
    ) -> Result<Vec<Given<String>>, AppError> {
        if is_over(record) { self.successors(reader, sight, &record.identity.id) } else { Ok(Vec::new()) }
    }
}
