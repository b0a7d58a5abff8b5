//! Checks the whole log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ics_core::log::Hash;
use ics_core::log::merkle::{Tree, leaf_hash};
use rusqlite::Connection;

use super::acme::keeping;
use super::backup::open_log;
use super::damage;
use super::error::StoreError;
use super::heads::HeadFiles;
use super::index::{build, file};
use super::outbox;
use super::replay::{Replay, replay};
use super::schema;
use super::sight::Show;
use super::state::{DomainState, Published};
use super::table;
use super::types::{DomainInfo, Key, Part, Position, Seal, StoredEntry};
use super::{HEADS_DIR, INDEX_FILE, KeysOf, Store};

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many entries were read.
    pub entries: u64,
    /// How many of these have only a leaf here: they were erased or withheld.
    pub without_content: u64,
    /// What is inconsistent, at most 100 findings; empty if all is well.
    pub findings: Vec<String>,
    /// What is inconsistent only in the index, which can be rebuilt from the log; at most 100 findings.
    pub index: Vec<String>,
    /// Whether there is no index, as in a copy, or the next start rebuilds it anyway. Neither is an error.
    pub without_index: bool,
}

/// Examines what [`inspect`] reads: the store knows neither signatures nor the meaning of bodies.
pub trait Inspector {
    /// Examines an entry with its header; returns what is wrong with it, if anything.
    fn entry(&mut self, domain: &DomainInfo, entry: &StoredEntry) -> Option<String>;

    /// Examines a signed checkpoint that the store keeps, after all entries of its domain; returns what is wrong with
    /// it, if anything.
    fn checkpoint(&mut self, domain: &DomainInfo, seal: &Seal) -> Option<String>;

    /// Examines the next entries of a log, given what precedes them, and returns where something else is stored than
    /// the log itself implies. Not called if anything else was found wrong.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn decide(&mut self, _: &mut Replay<'_>, _: &[StoredEntry]) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// Reports progress: `done` of `of` entries have been read.
    fn progress(&mut self, done: u64, of: u64);
}

/// For callers who only want to know whether what is stored is consistent.
struct Nobody;

impl Inspector for Nobody {
    fn entry(&mut self, _: &DomainInfo, _: &StoredEntry) -> Option<String> {
        None
    }

    fn checkpoint(&mut self, _: &DomainInfo, _: &Seal) -> Option<String> {
        None
    }

    fn progress(&mut self, _: u64, _: u64) {}
}

/// After this many findings, no more are recorded.
const FINDINGS: usize = 100;

/// How many entries are read in one transaction.
const PART: usize = 10_000;

impl Report {
    pub(super) fn find(&mut self, finding: String) {
        push(&mut self.findings, finding);
    }

    fn find_in_index(&mut self, finding: String) {
        push(&mut self.index, finding);
    }
}

fn push(findings: &mut Vec<String>, finding: String) {
    if findings.len() < FINDINGS {
        findings.push(finding);
    }
}

impl Store {
    /// Reads and checks everything: SQLite's own structures, leaves against entries, tiles and roots against leaves,
    /// look-ups against entries. Takes seconds for every million entries; the node goes on meanwhile.
    ///
    /// # Errors
    /// When the database cannot be read. Inconsistencies are in the report.
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
        walk(log, state, Show::Logged, |entry| {
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

/// The part of [`Store::check`] that concerns the log.
pub(crate) fn check_log(log: &Connection, published: &Published) -> Result<Report, StoreError> {
    let mut report = Report::default();
    check_file("log", log, &mut report)?;
    for state in published.all() {
        let sealed = state.head.seal.iter().map(|seal| (seal.size, seal.root)).collect();
        check_tree(log, &state, sealed, &mut Nobody, &mut report)?;
    }
    Ok(report)
}

/// Reads the store in a directory without opening it, and checks everything that it holds: SQLite's own structures,
/// leaves, tiles, roots, checkpoints, the heads' files, what waits for other homes, and the index as far as it goes.
/// Another process may be using the store.
///
/// # Errors
/// When there is no store, or it cannot be read at all. Inconsistencies are in the report.
pub fn inspect(dir: &Path, keys_of: &KeysOf, inspector: &mut impl Inspector) -> Result<Report, StoreError> {
    let log = open_log(dir)?;
    let mut report = Report::default();
    check_file("log", &log, &mut report)?;
    let heads = HeadFiles::open(&dir.join(HEADS_DIR))?;
    for (info, _) in table::domains(&log)? {
        check_domain(&log, info, &heads, inspector, &mut report)?;
    }
    outbox::check(&log, &mut report)?;
    keeping::check(dir, &mut report)?;
    let (index, keys_of) = (index_file(dir), damage::filed(Arc::clone(keys_of)));
    match &index {
        Some(path) => check_index_file(path, &log, &keys_of, &mut report)?,
        None => report.without_index = true,
    }
    // Whatever rests on damaged entries or a damaged index would mean nothing.
    if report.findings.is_empty() && report.index.is_empty() {
        replay(&log, index.as_deref(), &keys_of, inspector, &mut report)?;
    }
    Ok(report)
}

fn index_file(dir: &Path) -> Option<PathBuf> {
    Some(dir.join(INDEX_FILE)).filter(|path| path.exists() && !build::is_stale(path))
}

/// The present state of a domain, from its log.
fn state_of(log: &Connection, info: DomainInfo) -> Result<DomainState, StoreError> {
    let mut state = DomainState::empty(info);
    if let Some(head) = table::head(log, state.info.number)? {
        state.head = head;
    }
    Ok(state)
}

/// The head's file is read before the log: what is signed was logged before, so anything added in between only makes
/// the log longer.
fn check_domain(
    log: &Connection,
    info: DomainInfo,
    heads: &HeadFiles,
    inspector: &mut impl Inspector,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut seals: Vec<Seal> = Vec::new();
    if info.part == Part::Home {
        match heads.read(&info.name) {
            Ok(on_file) => seals.extend(on_file),
            Err(error) => report.find(format!("the head's file of `{}`: {error}", info.name)),
        }
    }
    let state = state_of(log, info)?;
    let (name, size) = (&state.info.name, state.head.size);
    seals.extend(state.head.seal.clone());
    if let Some(seal) = seals.iter().find(|seal| state.info.part == Part::Home && seal.size > size) {
        report.find(format!("`{name}` has {size} entries, but {} were signed: the rest is lost", seal.size));
    }
    check_tree(log, &state, seals.iter().map(|seal| (seal.size, seal.root)).collect(), inspector, report)?;
    for seal in &seals {
        if let Some(problem) = inspector.checkpoint(&state.info, seal) {
            report.find(format!("the checkpoint of `{name}` for {} entries: {problem}", seal.size));
        }
    }
    Ok(())
}

/// Checks that every key of every entry is in the index, and nothing else. This is one transaction, because a running
/// node merges. The log is read in its newest state, which is safe: an entry enters the index after it enters the log.
fn check_index_file(path: &Path, log: &Connection, keys_of: &KeysOf, report: &mut Report) -> Result<(), StoreError> {
    let result = compare_index(path, log, keys_of, report);
    match result {
        Err(error @ (StoreError::Corrupt { .. } | StoreError::Newer { .. })) => {
            report.find_in_index(error.to_string());
            Ok(())
        }
        other => other,
    }
}

fn compare_index(path: &Path, log: &Connection, keys_of: &KeysOf, report: &mut Report) -> Result<(), StoreError> {
    let index = schema::open_reader(path)?;
    if schema::check_known(schema::File::Index, path, &index)? < schema::newest(schema::File::Index) {
        report.without_index = true;
        return Ok(());
    }
    let index = index.unchecked_transaction()?;
    let verdict = schema::quick_check(&index)?;
    if verdict != "ok" {
        report.find_in_index(verdict);
    }
    let mut expected = 0;
    for (info, _) in table::domains(log)? {
        let state = state_of(log, info)?;
        let (domain, name) = (state.info.number, &state.info.name);
        let upto = file::progress(&index, domain)?.map_or(0, |progress| progress.upto);
        if upto > state.head.size {
            report.find_in_index(format!("it knows {upto} entries of `{name}`, but the log has {}", state.head.size));
        }
        walk(log, &state, Show::Logged, |entry| {
            if entry.index >= upto {
                return Ok(false);
            }
            let keys: BTreeSet<Key> = keys_of(&entry).into_iter().collect();
            expected += keys.len() as u64;
            let (position, next) = (Position::new(domain, entry.index), Position::new(domain, entry.index + 1));
            for key in keys {
                if file::read(&index, key, position, next, 1)?.positions.is_empty() {
                    report.find_in_index(format!("entry {} of `{name}` is not found by one of its keys", entry.index));
                }
            }
            Ok(true)
        })?;
    }
    let found = file::count(&index)?;
    if found != expected {
        report.find_in_index(format!("it holds {found} keys, but the entries have {expected}"));
    }
    Ok(())
}

fn check_file(name: &str, connection: &Connection, report: &mut Report) -> Result<(), StoreError> {
    let verdict = schema::quick_check(connection)?;
    if verdict != "ok" {
        report.find(format!("{name}: {verdict}"));
    }
    Ok(())
}

/// Passes all entries in order to `take` until it returns false; in parts, so that no transaction keeps the write-ahead
/// log from being emptied.
fn walk(
    log: &Connection,
    state: &DomainState,
    show: Show,
    mut take: impl FnMut(StoredEntry) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut more = true;
    for from in (0..state.head.size).step_by(PART) {
        let end = state.head.size.min(from + PART as u64);
        table::scan_entries(log, state.info.number, from..end, show, |entry| {
            more = take(entry)?;
            Ok(more)
        })?;
        if !more {
            break;
        }
    }
    Ok(())
}

/// `sealed` holds sizes and the roots that were signed for them.
fn check_tree(
    log: &Connection,
    state: &DomainState,
    sealed: Vec<(u64, Hash)>,
    inspector: &mut impl Inspector,
    report: &mut Report,
) -> Result<(), StoreError> {
    let (domain, name) = (state.info.number, &state.info.name);
    let mut tree = Tree::new();
    walk(log, state, Show::Unsettled, |entry| {
        if entry.index != tree.size() {
            report.find(format!("entry {} of `{name}` is missing", tree.size()));
            return Ok(false);
        }
        check_leaf(&entry, report, name.as_str());
        if let Some(problem) = inspector.entry(&state.info, &entry) {
            report.find(format!("entry {} of `{name}`: {problem}", entry.index));
        }
        tree.push(leaf_hash(&entry.leaf));
        inspector.progress(tree.size(), state.head.size);
        if let Some((size, _)) = sealed.iter().find(|(size, root)| *size == tree.size() && *root != tree.root()) {
            report.find(format!("`{name}` has another root at size {size} than the one that was signed"));
        }
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
        Some(_) if damage::is_sound(entry) => {}
        Some(_) => report.find(format!("entry {} of `{name}` does not have the leaf that is stored", entry.index)),
    }
}
