//! Copies of a running store.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use ics_core::log::checkpoint::Origin;
use ics_core::time::Timestamp;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::acme::{FILE as ACME_FILE, keeping};
use super::check::{Report, check_log};
use super::error::StoreError;
use super::heads::{HeadFiles, log_in};
use super::types::Part;
use super::wal::beside;
use super::{
    HEADS_DIR, INDEX_FILE, LOG_FILE, SEEN_DIR, Store, gone, list_numbers, lock, make_private, schema, state,
    sync_names, table, witnessed,
};

impl Store {
    /// Copies the log, the heads' files and what the ACME server remembers into a directory that holds no store, while
    /// the node goes on. The index is derived and left out.
    ///
    /// The copy is a store that can be opened. Its home domains are held ([`Store::hold`]): a node on which it is put
    /// back asks the mirrors before it signs.
    ///
    /// # Errors
    /// When the directory holds a store or cannot be written, or the database fails.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.shared.pool.read(|reader| copy_store(self.dir(), &reader.log, &self.shared.heads, to))
    }
}

/// Copies the store in a directory like [`Store::backup`], without opening it; another process may be using it.
///
/// # Errors
/// When there is no store, and as [`Store::backup`].
pub fn backup(dir: &Path, to: &Path) -> Result<(), StoreError> {
    copy_store(dir, &open_log(dir)?, &HeadFiles::open(&dir.join(HEADS_DIR))?, to)
}

/// Reads and checks a copy like [`Store::check`], but without the index, which a copy does not have.
///
/// # Errors
/// When there is no store, or it cannot be read. Inconsistencies are in the report.
pub fn check_backup(dir: &Path) -> Result<Report, StoreError> {
    let log = open_log(dir)?;
    let published = state::load(&log, &HeadFiles::open(&dir.join(HEADS_DIR))?)?;
    let mut report = check_log(&log, &published)?;
    keeping::check(dir, &mut report)?;
    Ok(report)
}

/// When a copy was made at the earliest: the newest time at which its node had vouched for a domain.
///
/// # Errors
/// When there is no copy, or it cannot be read.
pub fn copied_at(dir: &Path) -> Result<Option<Timestamp>, StoreError> {
    let log = open_log(dir)?;
    let mut newest: Option<Timestamp> = None;
    for (info, _) in table::domains(&log)?.into_iter().filter(|(info, _)| info.part == Part::Home) {
        // The heads' files hold the notes alone.
        let seal = table::head(&log, info.number)?.and_then(|head| head.seal);
        newest = newest.max(seal.and_then(|seal| seal.cosigned_at));
    }
    Ok(newest)
}

/// The logs for which a directory has on file that their heads were signed there, as far as these files can be read.
#[must_use]
pub fn signed_logs(dir: &Path) -> Vec<Origin> {
    let files = std::fs::read_dir(dir.join(HEADS_DIR)).into_iter().flatten().flatten();
    files.filter_map(|file| log_in(&file.path())).collect()
}

/// Whether a store can be read only if a file can be written beside it: for a database with a write-ahead log, SQLite
/// keeps memory shared with other users in such a file. What [`backup`] makes has no write-ahead log; a copy made in
/// another way does.
#[must_use]
pub fn is_read_by_writing(dir: &Path) -> bool {
    // The 20th byte is the version needed for reading, 2 with a write-ahead log (sqlite.org/fileformat2.html, 1.3).
    let mut head = [0; 20];
    let read = File::open(dir.join(LOG_FILE)).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head.last() == Some(&2)
}

/// Copies, byte for byte, those files of a store that [`put_back`] reads from a copy; no process may be using the
/// store.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy_files(dir: &Path, to: &Path) -> Result<(), StoreError> {
    let databases = [LOG_FILE, ACME_FILE].into_iter().flat_map(|file| ["", "-wal"].map(|end| format!("{file}{end}")));
    for name in databases.chain([RESTORING.to_owned()]).filter(|name| dir.join(name).exists()) {
        copy_file(&dir.join(&name), &to.join(&name))?;
    }
    let (heads, copies) = (dir.join(HEADS_DIR), to.join(HEADS_DIR));
    if heads.exists() {
        make_private(&copies)?;
        for entry in std::fs::read_dir(&heads).map_err(StoreError::io(&heads))? {
            let name = entry.map_err(StoreError::io(&heads))?.file_name();
            copy_file(&heads.join(&name), &copies.join(&name))?;
        }
    }
    Ok(())
}

/// Copies a file, but not its mode: files on read-only media often forbid writing.
pub(crate) fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = File::open(from).map_err(StoreError::io(from))?;
    let copied = File::create(to).and_then(|mut target| std::io::copy(&mut source, &mut target));
    copied.map(|_| ()).map_err(StoreError::io(to))
}

/// The file in a store's directory that says that a copy is being put there, and where what was there before has been
/// moved.
const RESTORING: &str = "restoring";
/// The prefix of the names of directories to which a former store is moved.
const REPLACED: &str = "replaced-";
/// The line of that file which says that the former store has been moved.
const MOVED: &str = "moved";

/// Marks a directory as about to get a copy, before the rest of a home directory is put there: until [`put_back`] has
/// ended, nobody opens a store in it. A node would otherwise found its domains anew there, with other origins. A store
/// that is already there stays in use until it is replaced.
///
/// # Errors
/// When there is no copy, another process uses the store, or a file fails.
pub fn begin_put_back(copy: &Path, dir: &Path) -> Result<(), StoreError> {
    drop(open_log(copy)?);
    make_private(dir)?;
    let _lock = lock(dir)?;
    if dir.join(LOG_FILE).exists() { Ok(()) } else { mark(dir) }
}

/// Makes the mark; what an earlier attempt has written in it stays.
fn mark(dir: &Path) -> Result<(), StoreError> {
    let mark = dir.join(RESTORING);
    let file = std::fs::File::options().create(true).append(true).open(&mark);
    file.and_then(|file| file.sync_all()).map_err(StoreError::io(&mark))?;
    sync_names(dir)
}

/// What the mark says: the places to which things were moved (first that of the former store, then those of what
/// unfinished attempts had put here), and whether the former store has been moved.
fn marked(dir: &Path) -> Result<(Vec<PathBuf>, bool), StoreError> {
    let mark = dir.join(RESTORING);
    let said = std::fs::read_to_string(&mark).map_err(StoreError::io(&mark))?;
    let is_place = |line: &&str| line.starts_with(REPLACED) && !line.contains('/');
    let places = said.lines().filter(is_place).map(|name| dir.join(name)).collect();
    Ok((places, said.lines().any(|line| line == MOVED)))
}

/// Adds a line to the mark, durably. It starts with a line break, in case the last line was cut off.
fn say(dir: &Path, line: &str) -> Result<(), StoreError> {
    let mark = dir.join(RESTORING);
    let file = std::fs::File::options().append(true).open(&mark);
    let written = file.and_then(|mut file| {
        file.write_all(format!("\n{line}\n").as_bytes())?;
        file.sync_all()
    });
    written.map_err(StoreError::io(&mark))
}

fn unmark(dir: &Path) -> Result<(), StoreError> {
    let mark = dir.join(RESTORING);
    std::fs::remove_file(&mark).map_err(StoreError::io(&mark))?;
    sync_names(dir)
}

/// Refuses a store for which a restore has begun and not ended.
pub(crate) fn refuse_unfinished(dir: &Path) -> Result<(), StoreError> {
    let mark = dir.join(RESTORING);
    if !mark.exists() {
        return Ok(());
    }
    let former = marked(dir).ok().and_then(|(places, _)| places.into_iter().next()).filter(|place| place.exists());
    let former = former.map(|place| format!("; what was here before is in `{}`", place.display())).unwrap_or_default();
    Err(StoreError::Unfinished { mark, former })
}

/// Whether a directory holds a store, or what is left of one.
#[must_use]
pub fn is_anything_in(dir: &Path) -> bool {
    [LOG_FILE, HEADS_DIR, SEEN_DIR].iter().any(|name| dir.join(name).exists())
}

/// What a copy has replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Where the former store is now, if there was one.
    pub former: Option<PathBuf>,
    /// Where the remains of unfinished attempts are now: parts of copies, of no use.
    pub attempts: Vec<PathBuf>,
}

/// Puts a copy in the place of a store that no process is using. What is there is moved to a directory beside it, whose
/// path is returned, even if an interrupted attempt moved it. Heads' files stay where they are, and only higher ones
/// are taken from the copy: what was ever signed is never forgotten. Only the files beside the database know what this
/// node has cosigned since the copy was made; if they are gone, the store says so ([`Store::may_have_cosigned_more`]).
/// What the ACME server remembers is put back only if it is gone or damaged.
///
/// # Errors
/// When there is no copy, another process uses the store, or a file fails. After an interruption nobody can open the
/// store until a copy has been put back completely.
pub fn put_back(copy: &Path, dir: &Path, now: Timestamp) -> Result<Moved, StoreError> {
    drop(open_log(copy)?);
    make_private(dir)?;
    let _lock = lock(dir)?;
    mark(dir)?;
    let aside = move_aside(dir, &format!("{REPLACED}{}", now.as_millis()))?;
    let log = open_log(copy)?;
    let (copies, heads) = (HeadFiles::open(&copy.join(HEADS_DIR))?, HeadFiles::open(&dir.join(HEADS_DIR))?);
    let seen = HeadFiles::open(&dir.join(SEEN_DIR))?;
    // Before the database: an interruption here leads to one question too many, never to one too few.
    if !is_where_it_was(&log, &copies, (&heads, &seen))? {
        seen.doubt(None)?;
    }
    raise_heads(&log, &copies, &heads)?;
    list_numbers::raise(&copy.join(HEADS_DIR), &dir.join(HEADS_DIR))?;
    let (unfinished, path) = (dir.join(".new"), dir.join(LOG_FILE));
    let copied = pages(&log, &unfinished).and_then(|copied| one_file(&copied));
    copied.map_err(|error| error.of_disk(dir))?;
    std::fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(StoreError::io(&unfinished))?;
    std::fs::rename(&unfinished, &path).map_err(StoreError::io(&path))?;
    sync_names(dir)?;
    keeping::put_back(copy, dir, &aside)?;
    let (places, _) = marked(dir)?;
    unmark(dir)?;
    let attempts = places.into_iter().filter(|place| *place != aside && place.exists()).collect();
    Ok(Moved { former: Some(aside).filter(|aside| aside.exists()), attempts })
}

/// A name that is unused in a directory: if the clock went back, there may be a former store with the same time.
fn unused(dir: &Path, name: &str) -> String {
    let others = (1_u64..).map(|number| format!("{name}-{number}"));
    let mut names = core::iter::once(name.to_owned()).chain(others);
    names.find(|name| !dir.join(name).exists()).unwrap_or_default()
}

/// Moves away what is in the way of a copy, and returns the place of the former store. Once that has been moved,
/// anything found here comes from an unfinished attempt and is moved to a place of its own.
fn move_aside(dir: &Path, new: &str) -> Result<PathBuf, StoreError> {
    let (places, was_moved) = marked(dir)?;
    let files = [LOG_FILE, INDEX_FILE].into_iter();
    let files = files.flat_map(|file| ["", "-wal", "-shm"].map(|end| format!("{file}{end}")));
    let names: Vec<String> = files.filter(|name| dir.join(name).exists()).collect();
    let to = match places.first() {
        Some(former) if !was_moved || names.is_empty() => former.clone(),
        _ => {
            let new = unused(dir, new);
            say(dir, &new)?;
            dir.join(new)
        }
    };
    for name in names {
        let path = dir.join(&name);
        make_private(&to)?;
        std::fs::rename(&path, to.join(&name)).map_err(StoreError::io(&path))?;
    }
    if !was_moved {
        say(dir, MOVED)?;
    }
    Ok(places.into_iter().next().unwrap_or(to))
}

/// Whether a copy goes back to where it was made: the files beside the database then know all that the copy knows.
/// Elsewhere they do not know what was cosigned since; and if nothing that the copy knows is on file, nobody can tell.
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
        if let Some(seal) = copies.read(&info.name)? {
            heads.raise(&info.name, &seal)?;
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

fn copy_store(dir: &Path, log: &Connection, heads: &HeadFiles, to: &Path) -> Result<(), StoreError> {
    refuse_store(to)?;
    let copied = keeping::copy(dir, to)
        .and_then(|()| list_numbers::raise(&dir.join(HEADS_DIR), &to.join(HEADS_DIR)))
        .and_then(|()| copy_log(log, heads, to));
    // The error is about the copy's disk: the node's own may have room.
    copied.map_err(|error| error.of_disk(to))
}

/// The database comes last: an interrupted copy does not look like a store.
fn copy_log(log: &Connection, heads: &HeadFiles, to: &Path) -> Result<(), StoreError> {
    make_private(to)?;
    let path = to.join(LOG_FILE);
    // Heads before the log, so that they do not show more than the copy has.
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

fn copy(log: &Connection, to: &Path) -> Result<(), StoreError> {
    let target = pages(log, to)?;
    target.execute("UPDATE domain SET held = 1 WHERE part = 'home'", [])?;
    one_file(&target)
}

/// Copies the whole database, including what is only in its write-ahead log (as after a kill): SQLite reads both. In a
/// single step: a copy in several steps would restart with every commit in between.
fn pages(log: &Connection, to: &Path) -> Result<Connection, StoreError> {
    // What an unfinished attempt has left would be taken for the beginning of this copy.
    for left in ["", "-journal", "-wal", "-shm"].map(|end| beside(to, end)) {
        gone(&left, std::fs::remove_file(&left))?;
    }
    let mut target = Connection::open(to)?;
    if Backup::new(log, &mut target)?.step(-1)? != StepResult::Done {
        return Err(StoreError::refused("the database was busy; the copy is not complete"));
    }
    Ok(target)
}

/// Makes a copy a single file without a write-ahead log; opening the store turns that on again.
fn one_file(target: &Connection) -> Result<(), StoreError> {
    Ok(target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?)
}
