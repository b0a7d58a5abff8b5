//! A log as it was when each of its entries was judged, without an open store.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::KeysOf;
use super::check::{Inspector, Report};
use super::error::StoreError;
use super::index::file;
use super::schema;
use super::sight::Show;
use super::table;
use super::types::{DomainInfo, Key, Position, StoredEntry};

/// How many entries are judged at once.
const PAGE: u64 = 1_000;

/// The part of a domain's log before an entry, searchable by keys.
#[derive(Debug)]
pub struct Replay<'c> {
    log: &'c Connection,
    index: Option<&'c Connection>,
    info: DomainInfo,
    /// How many entries the index covers.
    upto: u64,
    /// The postings of the entries after those, in order.
    behind: Vec<(Key, Position)>,
    /// The index of the entry to be judged next.
    next: u64,
    /// Earlier entries that were judged otherwise than is stored.
    otherwise: BTreeMap<u64, bool>,
}

impl<'c> Replay<'c> {
    fn new(
        log: &'c Connection,
        index: Option<&'c Connection>,
        info: DomainInfo,
        size: u64,
        keys_of: &KeysOf,
    ) -> Result<Self, StoreError> {
        let number = info.number;
        let progress = index.map(|index| file::progress(index, number)).transpose()?.flatten();
        let upto = progress.map_or(0, |progress| progress.upto);
        let mut behind = Vec::new();
        table::scan_entries(log, number, upto..size, Show::Logged, |entry| {
            let position = Position::new(number, entry.index);
            behind.extend(keys_of(&entry).into_iter().map(|key| (key, position)));
            Ok(true)
        })?;
        behind.sort_unstable();
        Ok(Self { log, index, info, upto, behind, next: 0, otherwise: BTreeMap::new() })
    }

    pub(crate) const fn domain(&self) -> &DomainInfo {
        &self.info
    }

    /// How many entries precede the one to be judged next.
    pub(crate) const fn size(&self) -> u64 {
        self.next
    }

    /// The first of these that have a key, in log order.
    pub(crate) fn positions(&self, key: Key, limit: usize) -> Result<Vec<u64>, StoreError> {
        let number = self.info.number;
        let (start, end) = (Position::new(number, 0), Position::new(number, self.next.min(self.upto)));
        let mut found = match self.index {
            Some(index) if start < end => file::read(index, key, start, end, limit)?.positions,
            _ => Vec::new(),
        };
        let first = self.behind.partition_point(|(other, _)| *other < key);
        let (end, behind) = (Position::new(number, self.next), self.behind.iter().skip(first));
        found.extend(behind.take_while(|(other, at)| *other == key && *at < end).map(|(_, at)| *at));
        Ok(found.into_iter().take(limit).map(Position::index).collect())
    }

    /// An entry, with the effect that it was judged to have.
    pub(crate) fn entry(&self, index: u64) -> Result<StoredEntry, StoreError> {
        let missing = || StoreError::not_found(format!("entry {index} in `{}`", self.info.name));
        let entry = table::entry(self.log, self.info.number, index, Show::Logged)?.ok_or_else(missing)?;
        let effective = self.otherwise.get(&index).copied().unwrap_or(entry.effective);
        Ok(StoredEntry { effective, ..entry })
    }

    /// Continues after an entry.
    pub(crate) fn pass(&mut self, entry: &StoredEntry, effective: bool) {
        if entry.effective != effective {
            self.otherwise.insert(entry.index, effective);
        }
        self.next = entry.index + 1;
    }
}

/// Has all entries judged again. A mirror that may read only a part, or could once read less, judged with what it had
/// then, and again with what came since; that cannot be reconstructed from the log alone.
pub(super) fn replay(
    log: &Connection,
    index: Option<&Path>,
    keys_of: &KeysOf,
    inspector: &mut impl Inspector,
    report: &mut Report,
) -> Result<(), StoreError> {
    let index = index.map(schema::open_reader).transpose()?;
    // What a running node merges meanwhile belongs to the log after that, so nothing is found twice.
    let index = index.as_ref().map(Connection::unchecked_transaction).transpose()?;
    for (info, _) in table::domains(log)? {
        if table::sight(log, info.number)?.is_partial() {
            continue;
        }
        let size = table::head(log, info.number)?.map_or(0, |head| head.size);
        let mut before = Replay::new(log, index.as_deref(), info, size, keys_of)?;
        for from in (0..size).step_by(PAGE as usize) {
            let mut page = Vec::new();
            let end = size.min(from + PAGE);
            table::scan_entries(log, before.info.number, from..end, Show::Logged, |entry| {
                page.push(entry);
                Ok(true)
            })?;
            for problem in inspector.decide(&mut before, &page)? {
                report.find(problem);
            }
            inspector.progress(end, size);
        }
    }
    Ok(())
}
