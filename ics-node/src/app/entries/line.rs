//! What the writer keeps about a thing from one admission to the next, so that of a long record it reads only what is
//! new.

use std::collections::BTreeMap;

use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::record::{CandidateGroups, Logged, Posting, candidate_groups};
use ics_core::statement::Remnant;

use super::{Entries, Said, is_about_group, is_more_about, of_groups, restored};
use crate::app::admit::check::What;
use crate::store::StoreError;

/// From this many statements on a record is long and kept; most things have fewer.
const LONG: usize = 16;

/// About how many bytes of long records are kept: one record of the largest size, with typical statements.
const KEPT_BYTES: usize = 8 << 20;

/// How many statements at hand can be judged in the time that reading one takes.
const READ: usize = 16;

/// What is kept about a domain from one admission to the next.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// The first statement about the last new thing, and all that is said about its groups: the next thing off a
    /// factory line belongs to the same groups. Forgotten as soon as something more is said about any group.
    last: Option<(Logged, Vec<Logged>)>,
    /// Statements of long records.
    kept: Kept,
    /// What this job brought with it, sorted by index.
    brought: Vec<Logged>,
    /// The size of the log from which on no entry that stands in it has changed, if that is known.
    unchanged_since: Option<u64>,
    /// See [`Line::work`].
    work: usize,
}

/// Statements that were read outside the writer, in log order, when `size` entries were shown. The writer need not read
/// them again, unless something in the log has changed since.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub(crate) statements: Vec<Logged>,
    pub(crate) size: u64,
}

impl Line {
    /// Forgets what the judged entry may have changed. A statement changes no earlier one; an erasure does, and a
    /// certificate may show that statements are somebody else's.
    pub(crate) fn take(&mut self, what: &What, is_admitted: bool) {
        match what {
            What::Statement(statement) if is_about_group(statement.subject()) => self.last = None,
            What::Statement(_) => {}
            _ if is_admitted => self.forget(),
            _ => {}
        }
    }

    /// Forgets everything: entries that stand in the log have changed.
    pub(crate) fn forget(&mut self) {
        *self = Self { work: self.work, ..Self::default() };
    }

    /// Begins a job, in a log of this size. Only homes are brought anything, and there nothing that stands in the log
    /// changes unless an entry is appended: what was read when all were shown that stand there is as it was.
    pub(crate) fn begin(&mut self, size: u64, brought: Brought) {
        let is_unchanged = brought.size >= *self.unchanged_since.get_or_insert(size);
        self.brought = if is_unchanged { brought.statements } else { Vec::new() };
    }

    /// To be called if the next entry does not directly follow the last: entries in between may be about groups.
    pub(crate) fn skip(&mut self) {
        self.last = None;
    }

    /// The work done so far, in units of judging one statement at hand.
    pub(crate) const fn work(&self) -> usize {
        self.work
    }

    /// All that is said about the subject of a statement to be admitted, and about its groups. For a thing that is new
    /// to the log the statement itself names the groups, and the next thing off a factory line names the same ones, so
    /// what is said about those is read once.
    pub(crate) fn before(
        &mut self,
        entries: &impl Entries,
        domain: &Domain,
        next: &Logged,
    ) -> Result<Said, StoreError> {
        let id = next.subject_id();
        let indices = entries.indices(&[Posting::Subject(id)], limits::RECORD_ENTRIES)?;
        self.work += 1;
        if indices.len() >= LONG {
            // Anybody can resubmit what is already in the log; its id alone shows that.
            let same = self.find(entries, domain, &Posting::Statement(next.id()), limits::PAGE_ITEMS)?;
            if same.iter().any(|it| !it.is_refused()) {
                return Ok(Said { about: same, ..Said::default() });
            }
        }
        if indices.is_empty() && !is_about_group(next.subject()) {
            return Ok(Said { groups: self.groups_of_new(entries, domain, next)?, ..Said::default() });
        }
        self.said_at(entries, domain, &id, &indices, Some(next))
    }

    /// All that is said about an identity, and about its groups.
    pub(crate) fn said(
        &mut self,
        entries: &impl Entries,
        domain: &Domain,
        id: &IdentityId,
    ) -> Result<Said, StoreError> {
        let indices = entries.indices(&[Posting::Subject(*id)], limits::RECORD_ENTRIES)?;
        self.said_at(entries, domain, id, &indices, None)
    }

    /// As [`Line::said`], for an identity mentioned at these indices and in the `next` statement to be admitted.
    fn said_at(
        &mut self,
        entries: &impl Entries,
        domain: &Domain,
        id: &IdentityId,
        indices: &[u64],
        next: Option<&Logged>,
    ) -> Result<Said, StoreError> {
        self.work += indices.len();
        let (about, remnants) = self.at(entries, &Posting::Subject(*id), domain, indices)?;
        let groups = self.groups(entries, domain, &candidate_groups(about.iter().chain(next)))?;
        Ok(Said { unseen: is_more_about(id, &about, &remnants), about, groups })
    }

    /// What is said about the groups of a thing that nobody has mentioned.
    fn groups_of_new(
        &mut self,
        entries: &impl Entries,
        domain: &Domain,
        next: &Logged,
    ) -> Result<Vec<Logged>, StoreError> {
        if let Some((last, groups)) = &self.last {
            let (last, next) = (last.claims(), next.claims());
            if (last.act, &last.groups, &last.attributes) == (next.act, &next.groups, &next.attributes) {
                self.work += groups.len();
                return Ok(groups.clone());
            }
        }
        let groups = self.groups(entries, domain, &candidate_groups([next]))?;
        self.last = Some((next.clone(), groups.clone()));
        Ok(groups)
    }

    /// The first statements with a posting, in log order.
    pub(crate) fn find(
        &mut self,
        entries: &impl Entries,
        domain: &Domain,
        posting: &Posting,
        limit: usize,
    ) -> Result<Vec<Logged>, StoreError> {
        let indices = entries.indices(core::slice::from_ref(posting), limit)?;
        self.work += indices.len();
        Ok(self.at(entries, posting, domain, &indices)?.0)
    }

    /// All statements about these groups.
    fn groups(
        &mut self,
        entries: &impl Entries,
        domain: &Domain,
        candidates: &CandidateGroups,
    ) -> Result<Vec<Logged>, StoreError> {
        of_groups(candidates, |posting, limit| self.find(entries, domain, posting, limit))
    }

    /// The statements that have a posting, among the entries to which it has led, in log order, and the remnants of
    /// those that were erased. Statements at hand are not read again.
    fn at(
        &mut self,
        entries: &impl Entries,
        posting: &Posting,
        domain: &Domain,
        indices: &[u64],
    ) -> Result<(Vec<Logged>, Vec<Remnant>), StoreError> {
        let mut logged = self.kept.at(posting, indices);
        if logged.is_empty() {
            let is_asked = |it: &&Logged| indices.binary_search(&it.index()).is_ok() && posting.is_of(it);
            logged.extend(self.brought.iter().filter(is_asked).cloned());
        }
        let is_missing = |index: &u64| logged.binary_search_by_key(index, Logged::index).is_err();
        let missing: Vec<u64> = indices.iter().copied().filter(is_missing).collect();
        let (read, remnants) = restored(entries, posting, domain, &entries.entries_at(&missing)?)?;
        self.work += READ * missing.len();
        if indices.len() >= LONG {
            self.kept.keep(&read, indices, KEPT_BYTES);
        }
        logged.extend(read);
        logged.sort_unstable_by_key(Logged::index);
        Ok((logged, remnants))
    }
}

/// Statements of long records, by index, as they were restored. Each was verified before it entered the log, and is
/// exactly what is read there.
#[derive(Debug, Default)]
struct Kept {
    statements: BTreeMap<u64, Logged>,
    bytes: usize,
}

impl Kept {
    /// The kept statements at some indices that have a posting. For any other, the log itself must be asked why its
    /// index leads there.
    fn at(&self, posting: &Posting, indices: &[u64]) -> Vec<Logged> {
        let of_it = |index: &u64| self.statements.get(index).filter(|it| posting.is_of(it)).cloned();
        indices.iter().filter_map(of_it).collect()
    }

    /// Keeps what was read of a record, as far as there is room; if there is too little, other records are dropped.
    fn keep(&mut self, read: &[Logged], record: &[u64], most: usize) {
        if self.bytes + read.iter().map(Logged::memory_bytes).sum::<usize>() > most {
            self.statements.retain(|index, _| record.binary_search(index).is_ok());
            self.bytes = self.statements.values().map(Logged::memory_bytes).sum();
        }
        for statement in read {
            let bytes = self.bytes + statement.memory_bytes();
            if bytes <= most {
                self.bytes = bytes;
                self.statements.insert(statement.index(), statement.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ics_core::identity::Kind;
    use ics_core::log::entry::{EntryKind, Header};
    use ics_core::statement::Claims;
    use ics_core::statement::body::{self, Body};
    use ics_core::statement::make::certify;
    use ics_core::time::Timestamp;
    use ics_core::vocabulary::Act;

    use super::*;
    use crate::app::hosted::Hosted;
    use crate::fixture::{SALT, device, signer, word};
    use crate::store::{DomainNumber, Part};

    fn statement(index: u64) -> Logged {
        let said = Claims::new(Act::Identity, word("manufacturer"), word("devices.acme.example"));
        let (maker, key, at) = (signer("maker", 1), device(1), Timestamp::from_seconds(1_767_225_600));
        let user_id = format!("Pump {index}");
        let body = certify(&maker, &key, &user_id, None, Kind::Device, &said, false, at, &SALT).expect("made");
        let Ok(Body::Statement(kept)) = body::parse(&body) else { panic!("a statement") };
        let header = Header { kind: EntryKind::Statement, admitted_at: at, source: None };
        Logged::from_store(index, &header, &kept, kept.issuer()).expect("a header")
    }

    #[test]
    fn what_is_kept_stays_within_its_bound_and_for_another_record_it_goes() {
        let said: Vec<Logged> = (0..8).map(statement).collect();
        let (subject, other) = (Posting::Subject(said[0].subject_id()), Posting::Statement(said[0].id()));
        let most = 4 * said[0].memory_bytes();
        let all: Vec<u64> = (0..8).collect();
        let held = |kept: &Kept| kept.at(&subject, &all).iter().map(Logged::index).collect::<Vec<_>>();

        let mut kept = Kept::default();
        kept.keep(&said[..3], &all[..3], most);
        assert_eq!(held(&kept), [0, 1, 2]);
        assert_eq!(kept.at(&other, &all).len(), 1, "of another posting what has it");
        kept.keep(&said[3..7], &all[3..], most);
        assert_eq!(held(&kept), [3, 4, 5, 6], "the former record is gone");
        kept.keep(&said[7..], &all[3..], most);
        assert_eq!(held(&kept), [3, 4, 5, 6], "there is no room for more of the same");
        assert_eq!(kept.bytes, most);
    }

    /// What was erased must not be judged by.
    #[test]
    fn what_a_job_brings_counts_only_if_nothing_in_the_log_has_changed_since_it_was_read() {
        let (mut line, said) = (Line::default(), statement(3));
        let is_taken = |line: &mut Line, at, read_at| {
            line.begin(at, Brought { statements: vec![said.clone()], size: read_at });
            !line.brought.is_empty()
        };
        assert!(!is_taken(&mut line, 10, 9), "it is not known what happened before");
        assert!(is_taken(&mut line, 12, 10) && is_taken(&mut line, 20, 20));
        line.forget();
        assert!(line.brought.is_empty());
        assert!(!is_taken(&mut line, 21, 20), "entry 20 may have erased it");
        assert!(is_taken(&mut line, 22, 21));
    }

    #[test]
    fn what_is_at_hand_of_a_domain_that_rests_is_forgotten() {
        let said = statement(0);
        let number = DomainNumber::new(1).expect("in range");
        let hosted = Hosted::new(number, word("devices.acme.example"), Part::Mirror, None);
        let mut line = Line { last: Some((said.clone(), Vec::new())), ..Line::default() };
        line.kept.keep(core::slice::from_ref(&said), &[0], KEPT_BYTES);
        hosted.set_working(None, line);
        let is_at_hand = || {
            let (domain, line) = hosted.working_at(0).expect("nothing is under way");
            let found = (line.last.is_some(), line.kept.statements.len());
            hosted.set_working(domain, line);
            found
        };
        hosted.forget_line_if_idle();
        assert_eq!(is_at_hand(), (true, 1), "something came in since the start");
        hosted.forget_line_if_idle();
        assert_eq!(is_at_hand(), (false, 0));
    }
}
