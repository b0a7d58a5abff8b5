//! Copies of a running store.

use std::path::{Path, PathBuf};

use ics_core::time::Timestamp;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::acme::keeping;
use super::check::{Report, check_log};
use super::error::StoreError;
use super::heads::HeadFiles;
use super::types::Part;
use super::{
    HEADS_DIR, INDEX_FILE, LOG_FILE, SEEN_DIR, Store, lock, make_private, schema, state, sync_names, table, witnessed,
};

impl Store {
    /// Copies the log, the heads' files and what the ACME server remembers into a directory, which must not hold a store,
    /// while the node goes on. The index is derived and left out.
    ///
    /// The copy is a store that can be opened. Its home domains are held ([`Store::hold`]): whoever puts it back asks
    /// the mirrors before he signs.
    ///
    /// # Errors
    /// When the directory holds a store, or cannot be written, or the database fails.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        refuse_store(to)?;
        keeping::copy(self.dir(), to)?;
        self.shared.pool.read(|reader| copy_store(&reader.log, &self.shared.heads, to))
    }
}

/// Copies the store in a directory like [`Store::backup`], without opening it: another process may use it meanwhile.
///
/// # Errors
/// When there is no store, and as [`Store::backup`].
pub fn backup(dir: &Path, to: &Path) -> Result<(), StoreError> {
    let log = open_log(dir)?;
    refuse_store(to)?;
    keeping::copy(dir, to)?;
    copy_store(&log, &HeadFiles::open(&dir.join(HEADS_DIR))?, to)
}

/// Reads a copy and compares like [`Store::check`], but leaves out the index, which a copy has not.
///
/// # Errors
/// When there is no store, or it cannot be read. What does not fit is in the report.
pub fn check_backup(dir: &Path) -> Result<Report, StoreError> {
    let log = open_log(dir)?;
    let published = state::load(&log, &HeadFiles::open(&dir.join(HEADS_DIR))?)?;
    let mut report = check_log(&log, &published)?;
    keeping::check(dir, &mut report)?;
    Ok(report)
}

/// The file in a store's directory that says that a copy is being put there, and where what was in its way lies.
const RESTORING: &str = "restoring";
/// What the names of directories begin with in which a former store lies.
const REPLACED: &str = "replaced-";

/// Says of a directory that a copy comes there, before a home directory gets what else it lacks: until [`put_back`] has
/// ended, nobody opens a store in it. A node would found its domains anew there, with other origins. Where there is a
/// store already, it stays in use until it is replaced.
///
/// # Errors
/// When there is no copy, another process uses the store, or a file fails.
pub fn begin_put_back(copy: &Path, dir: &Path) -> Result<(), StoreError> {
    drop(open_log(copy)?);
    make_private(dir)?;
    let _lock = lock(dir)?;
    if dir.join(LOG_FILE).exists() { Ok(()) } else { mark(dir) }
}

/// Makes the mark; what one says that an earlier attempt has left stays.
fn mark(dir: &Path) -> Result<(), StoreError> {
    let mark = dir.join(RESTORING);
    let file = std::fs::File::options().create(true).append(true).open(&mark);
    file.and_then(|file| file.sync_all()).map_err(StoreError::io(&mark))?;
    sync_names(dir)
}

/// Makes the mark with the place of the former store, before anything is moved there: a place that is new, or the one to
/// which an earlier attempt has begun to move it.
fn mark_with_place(dir: &Path, new: &str) -> Result<PathBuf, StoreError> {
    mark(dir)?;
    let mark = dir.join(RESTORING);
    let named = std::fs::read_to_string(&mark).map_err(StoreError::io(&mark))?;
    if named.starts_with(REPLACED) && !named.contains('/') {
        return Ok(dir.join(named));
    }
    std::fs::write(&mark, new).map_err(StoreError::io(&mark))?;
    std::fs::File::open(&mark).and_then(|file| file.sync_all()).map_err(StoreError::io(&mark))?;
    Ok(dir.join(new))
}

fn unmark(dir: &Path) -> Result<(), StoreError> {
    let mark = dir.join(RESTORING);
    std::fs::remove_file(&mark).map_err(StoreError::io(&mark))?;
    sync_names(dir)
}

/// Refuses a store in whose place a copy is being put.
pub(crate) fn refuse_unfinished(dir: &Path) -> Result<(), StoreError> {
    let mark = dir.join(RESTORING);
    if mark.exists() { Err(StoreError::Unfinished { mark }) } else { Ok(()) }
}

/// Whether a directory holds a store, or what is left of one.
#[must_use]
pub fn is_anything_in(dir: &Path) -> bool {
    [LOG_FILE, HEADS_DIR, SEEN_DIR].iter().any(|name| dir.join(name).exists())
}

/// Puts a copy in the place of a store that no process uses. What is there is moved into a directory beside it, whose
/// path is given, also where an attempt that was interrupted has moved it. Heads' files stay where they are, and of those
/// in the copy only higher ones count: what was ever signed is never forgotten. What this node has cosigned since the copy
/// only the files beside the database know; where they are gone, it says so ([`Store::may_have_cosigned_more`]). What the
/// ACME server remembers is put back only if it is gone or damaged.
///
/// # Errors
/// When there is no copy, another process uses the store, or a file fails. Whoever is interrupted on the way leaves a store
/// that nobody opens until a copy was put back as a whole.
pub fn put_back(copy: &Path, dir: &Path, now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
    drop(open_log(copy)?);
    make_private(dir)?;
    let _lock = lock(dir)?;
    let new = format!("{REPLACED}{}", now.as_millis());
    let aside = mark_with_place(dir, &new)?;
    // What an earlier attempt has put here must not take the place of what it had moved.
    let free = |name: &str| if aside.join(name).exists() { dir.join(&new) } else { aside.clone() };
    for name in
        [LOG_FILE, INDEX_FILE].into_iter().flat_map(|file| ["", "-wal", "-shm"].map(|end| format!("{file}{end}")))
    {
        let path = dir.join(&name);
        if path.exists() {
            let to = free(&name);
            make_private(&to)?;
            std::fs::rename(&path, to.join(&name)).map_err(StoreError::io(&path))?;
        }
    }
    let log = open_log(copy)?;
    let (copies, heads) = (HeadFiles::open(&copy.join(HEADS_DIR))?, HeadFiles::open(&dir.join(HEADS_DIR))?);
    let seen = HeadFiles::open(&dir.join(SEEN_DIR))?;
    // Before the database: whoever is interrupted here asks once too often, never too seldom.
    if !is_where_it_was(&log, &copies, (&heads, &seen))? {
        seen.doubt(None)?;
    }
    raise_heads(&log, &copies, &heads)?;
    let (unfinished, path) = (dir.join(".new"), dir.join(LOG_FILE));
    std::fs::copy(copy.join(LOG_FILE), &unfinished).map_err(StoreError::io(&unfinished))?;
    std::fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(StoreError::io(&unfinished))?;
    std::fs::rename(&unfinished, &path).map_err(StoreError::io(&path))?;
    sync_names(dir)?;
    keeping::put_back(copy, dir, &aside)?;
    unmark(dir)?;
    Ok(Some(aside).filter(|aside| aside.exists()))
}

/// Whether a copy goes back to where it was made: the files beside the database know all that it knows. Elsewhere they
/// do not know what was cosigned since, and where the copy knows nothing that is on file, nobody can tell.
fn is_where_it_was(
    log: &Connection,
    copies: &HeadFiles,
    (heads, seen): (&HeadFiles, &HeadFiles),
) -> Result<bool, StoreError> {
    let (mut is_so, mut known) = witnessed::covered(log, seen)?;
    for (info, _) in table::domains(log)?.into_iter().filter(|(info, _)| info.part == Part::Home) {
        let Some(copied) = copies.read(&info.name)? else { continue };
        known += 1;
        is_so &= heads.read(&info.name)?.is_some_and(|seal| seal.size >= copied.size);
    }
    Ok(is_so && known > 0)
}

fn raise_heads(log: &Connection, copies: &HeadFiles, heads: &HeadFiles) -> Result<(), StoreError> {
    for (info, _) in table::domains(log)?.into_iter().filter(|(info, _)| info.part == Part::Home) {
        let known = heads.read(&info.name)?.map_or(0, |seal| seal.size);
        if let Some(seal) = copies.read(&info.name)?.filter(|seal| seal.size > known) {
            heads.write(&info.name, &seal)?;
        }
    }
    Ok(())
}

pub(crate) fn open_log(dir: &Path) -> Result<Connection, StoreError> {
    refuse_unfinished(dir)?;
    let path = dir.join(LOG_FILE);
    if !path.exists() {
        return Err(StoreError::not_found(format!("store in `{}`", dir.display())));
    }
    let log = schema::open_reader(&path)?;
    schema::check_known(schema::File::Log, &path, &log)?;
    Ok(log)
}

fn refuse_store(to: &Path) -> Result<(), StoreError> {
    let path = to.join(LOG_FILE);
    if path.exists() { Err(StoreError::Exists { what: format!("`{}`", path.display()) }) } else { Ok(()) }
}

/// The database comes last: a copy that was cut off holds no store.
fn copy_store(log: &Connection, heads: &HeadFiles, to: &Path) -> Result<(), StoreError> {
    make_private(to)?;
    let path = to.join(LOG_FILE);
    // The heads before the log, so that they do not show more than the copy has.
    copy_heads(log, heads, &to.join(HEADS_DIR))?;
    let unfinished = to.join(".new");
    copy(log, &unfinished)?;
    std::fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(StoreError::io(&unfinished))?;
    std::fs::rename(&unfinished, &path).map_err(StoreError::io(&path))?;
    sync_names(to)
}

fn copy_heads(log: &Connection, heads: &HeadFiles, to: &Path) -> Result<(), StoreError> {
    let copies = HeadFiles::open(to)?;
    for (info, _) in table::domains(log)?.into_iter().filter(|(info, _)| info.part == Part::Home) {
        if let Some(seal) = heads.read(&info.name)? {
            copies.write(&info.name, &seal)?;
        }
    }
    Ok(())
}

/// In one step: a copy in several would begin again with every commit in between.
fn copy(log: &Connection, to: &Path) -> Result<(), StoreError> {
    let mut target = Connection::open(to)?;
    if Backup::new(log, &mut target)?.step(-1)? != StepResult::Done {
        return Err(StoreError::refused("the database was busy; the backup is not complete"));
    }
    target.execute("UPDATE domain SET held = 1 WHERE part = 'home'", [])?;
    // One file, without a write-ahead log beside it; opening the store turns that on again.
    target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    Ok(())
}
