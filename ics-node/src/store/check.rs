//! Walking the whole log.

use ics_core::log::entry::leaf_data;
use ics_core::log::merkle::{Tree, leaf_hash};
use rusqlite::Connection;

use super::Store;
use super::error::StoreError;
use super::schema;
use super::state::{DomainState, Published};
use super::table;
use super::types::StoredEntry;

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Entries that were read.
    pub entries: u64,
    /// Entries of which only the leaf is there: erased or withheld.
    pub without_content: u64,
    /// What does not fit, 100 findings at most; empty if all is well.
    pub findings: Vec<String>,
}

/// Findings after which a check writes no more of them down.
const FINDINGS: usize = 100;

/// Entries that are read in one transaction.
const PART: usize = 10_000;

impl Report {
    fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        }
    }
}

impl Store {
    /// Reads everything and compares: SQLite's own structures, the leaves with the entries, the tiles and roots with
    /// the leaves, the look-ups with the entries. Takes seconds for every million entries; the node goes on meanwhile.
    ///
    /// # Errors
    /// When the database cannot be read. What does not fit is in the report.
    pub fn check(&self) -> Result<Report, StoreError> {
        self.shared.pool.read(|reader| {
            let mut report = check_log(&reader.log, &self.shared.published)?;
            check_file("index", &reader.index, &mut report)?;
            for state in self.shared.published.all() {
                self.check_index(&reader.log, &reader.index, &state, &mut report)?;
            }
            Ok(report)
        })
    }

    fn check_index(
        &self,
        log: &Connection,
        index: &Connection,
        state: &DomainState,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let (domain, name) = (state.info.number, &state.info.name);
        walk(log, state, |entry| {
            for key in (self.shared.keys_of)(&entry) {
                let range = entry.index..entry.index + 1;
                let page = self.shared.index.search(index, domain, &[key], range, 1)?;
                if page.indices.is_empty() {
                    report.find(format!("entry {} of `{name}` is not found by one of its keys", entry.index));
                }
            }
            Ok(true)
        })
    }
}

/// What [`Store::check`] does about the log.
pub(crate) fn check_log(log: &Connection, published: &Published) -> Result<Report, StoreError> {
    let mut report = Report::default();
    check_file("log", log, &mut report)?;
    for state in published.all() {
        check_tree(log, &state, &mut report)?;
    }
    Ok(report)
}

fn check_file(name: &str, connection: &Connection, report: &mut Report) -> Result<(), StoreError> {
    let verdict = schema::quick_check(connection)?;
    if verdict != "ok" {
        report.find(format!("{name}: {verdict}"));
    }
    Ok(())
}

/// All entries in order, for as long as `take` wants more; in parts, so that no transaction keeps the write-ahead log
/// from being emptied.
fn walk(
    log: &Connection,
    state: &DomainState,
    mut take: impl FnMut(StoredEntry) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut more = true;
    for from in (0..state.head.size).step_by(PART) {
        let end = state.head.size.min(from + PART as u64);
        table::scan_entries(log, state.info.number, from, end, |entry| {
            more = take(entry)?;
            Ok(more)
        })?;
        if !more {
            break;
        }
    }
    Ok(())
}

fn check_tree(log: &Connection, state: &DomainState, report: &mut Report) -> Result<(), StoreError> {
    let (domain, name) = (state.info.number, &state.info.name);
    let mut tree = Tree::new();
    walk(log, state, |entry| {
        if entry.index != tree.size() {
            report.find(format!("entry {} of `{name}` is missing", tree.size()));
            return Ok(false);
        }
        check_leaf(&entry, report, name.as_str());
        tree.push(leaf_hash(&entry.leaf));
        for (tile, hashes) in tree.take_full_tiles() {
            if table::tile(log, domain, tile)?.is_none_or(|stored| stored != hashes) {
                report.find(format!("{tile} of `{name}` does not fit its entries"));
            }
        }
        Ok(true)
    })?;
    if (tree.size(), tree.root()) != (state.head.size, state.head.root) {
        report.find(format!("`{name}` has {} entries and root {} by its entries", tree.size(), tree.root()));
    }
    Ok(())
}

fn check_leaf(entry: &StoredEntry, report: &mut Report, name: &str) {
    report.entries += 1;
    match &entry.content {
        None => report.without_content += 1,
        Some(content) if leaf_data(&content.salt, &entry.header, &content.body) == entry.leaf => {}
        Some(_) => report.find(format!("entry {} of `{name}` does not have the leaf that is stored", entry.index)),
    }
}
