//! Judges the entries of a log again, as a mirror would, to check what is stored beside the log (`ics fsck`).

use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::log::entry::Header;
use ics_core::record::Posting;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use crate::api::Problem;
use crate::app::admit::check::{Checked, check_logged};
use crate::app::admit::judge::{Judgement, grow, judge};
use crate::app::entries::{Entries, Line, Log, keys};
use crate::app::open::stored_keys;
use crate::store::{Content, Key, Replay, StoreError, StoredEntry, misled};

impl Entries for Replay<'_> {
    fn indices(&self, postings: &[Posting], limit: usize) -> Result<Vec<u64>, StoreError> {
        let keys = keys(postings);
        let Some((first, others)) = keys.split_first() else { return Ok(Vec::new()) };
        if others.is_empty() {
            return self.positions(*first, limit);
        }
        let mut found = Vec::new();
        for index in self.positions(*first, usize::MAX)? {
            let its = stored_keys(&self.entry(index)?);
            if others.iter().all(|key| its.contains(key)) && found.len() < limit {
                found.push(index);
            }
        }
        Ok(found)
    }

    fn entries_at(&self, indices: &[u64]) -> Result<Vec<StoredEntry>, StoreError> {
        indices.iter().map(|index| self.entry(*index)).collect()
    }

    fn misled_to(&self, index: u64) -> StoreError {
        misled(index)
    }
}

impl Log for Replay<'_> {
    fn name(&self) -> &DomainName {
        &self.domain().name
    }

    fn count(&self) -> u64 {
        self.size()
    }

    fn first(&self, key: Key) -> Result<Option<u64>, StoreError> {
        Ok(self.positions(key, 1)?.first().copied())
    }

    fn at(&self, index: u64) -> Result<StoredEntry, StoreError> {
        self.entry(index)
    }
}

/// Judges entries, given what the log has said so far.
#[derive(Default)]
pub(in crate::app) struct Judge {
    domain: Option<Arc<Domain>>,
    line: Line,
}

impl Judge {
    /// Judges the next entries of a log, and returns where something else is stored. About an erased entry no more can
    /// be said than the erasure says.
    pub(in crate::app) fn page(
        &mut self,
        before: &mut Replay<'_>,
        page: &[StoredEntry],
        seed: [u8; 32],
    ) -> Result<Vec<String>, StoreError> {
        let whole: Vec<(&StoredEntry, &Content, Header)> = page.iter().filter_map(whole).collect();
        let bodies: Vec<(&[u8], Timestamp)> =
            whole.iter().map(|(_, content, header)| (content.body.as_slice(), header.keys_judged_at())).collect();
        let mut checked = check_logged(self.domain.as_deref(), &bodies, seed).into_iter();
        let mut whole = whole.iter().peekable();
        let mut problems = Vec::new();
        for entry in page {
            let Some((_, _, header)) = whole.next_if(|(next, ..)| next.index == entry.index) else {
                let last = self.domain.as_ref().map_or_else(Timestamp::default, |domain| domain.last_admitted_at());
                grow(&mut self.domain, entry.index, last);
                before.pass(entry, entry.effective);
                continue;
            };
            let refusal = self.refusal(before, entry, header, checked.next())?;
            if let Some(problem) = contradiction(entry, refusal.as_deref()) {
                problems.push(format!("entry {} of `{}`: {problem}", entry.index, before.domain().name));
            }
            before.pass(entry, refusal.is_none());
        }
        Ok(problems)
    }

    /// Why an entry has no effect, if it has none.
    fn refusal(
        &mut self,
        before: &Replay<'_>,
        entry: &StoredEntry,
        header: &Header,
        checked: Option<Result<Checked, Problem>>,
    ) -> Result<Option<String>, StoreError> {
        let judgement = match &checked {
            Some(Ok(checked)) => judge(before, self.domain.as_deref(), header, checked, &mut self.line)?,
            Some(Err(problem)) => Judgement::Refused(problem.clone()),
            None => return Err(StoreError::corrupt("an entry was left out of its page")),
        };
        let why = match judgement {
            Judgement::Admitted(admission) if admission.kind == header.kind => {
                admission.pass(&mut self.domain, entry.index, header, entry.leaf)?;
                return Ok(None);
            }
            Judgement::Admitted(admission) => {
                format!("its header calls it {}, it is {}", header.kind.as_str(), admission.kind.as_str())
            }
            Judgement::Present(index) => format!("it stands at index {index} already"),
            Judgement::Refused(problem) => problem.detail,
        };
        grow(&mut self.domain, entry.index, header.admitted_at);
        Ok(Some(why))
    }
}

/// An entry whose content is here, with its header.
fn whole(entry: &StoredEntry) -> Option<(&StoredEntry, &Content, Header)> {
    Some((entry, entry.content.as_ref()?, Header::decode(&entry.header).ok()?))
}

fn contradiction(entry: &StoredEntry, refusal: Option<&str>) -> Option<String> {
    match (entry.effective, refusal) {
        (true, Some(why)) => Some(format!("it is stored as one that has effect, and the log gives it none: {why}")),
        (false, None) => Some("it is stored as one without effect, but the log gives it effect".to_owned()),
        (true, None) | (false, Some(_)) => None,
    }
}
