//! Restores a copy of a node's home directory.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ics_core::log::checkpoint::Origin;
use ics_core::time::Timestamp;
use serde::Serialize;
use tempfile::TempDir;

use super::backup::{DATA, FILE_BYTES};
use super::descriptor;
use crate::config::{self, Config, ConfigError};
use crate::keys::{self, file};
use crate::store::{self, Speaking, StoreError};

/// What was restored.
#[derive(Debug)]
pub struct PutBack {
    /// Entries in the copy.
    pub entries: u64,
    /// Files that were missing here and came from the copy, relative to the home directory.
    pub files: Vec<PathBuf>,
    /// Where the former store is now, if there was one.
    pub replaced: Option<PathBuf>,
    /// Leftovers of earlier attempts that did not finish.
    pub attempts: Vec<PathBuf>,
    /// The ACME accounts that came from the copy, if any.
    pub accounts: Option<Accounts>,
}

/// ACME accounts in a former state: no log says which of them were revoked or given up since.
#[derive(Debug, Serialize)]
pub struct Accounts {
    /// The earliest time at which that was their state; absent if unknown.
    pub as_of: Option<Timestamp>,
    /// The holders for whom they speak again.
    pub holders: Vec<Speaking>,
}

/// The accounts of a store that was restored by other means.
///
/// # Errors
/// When they cannot be read.
pub fn accounts(data: &Path) -> Result<Option<Accounts>, RestoreError> {
    let holders = store::speaking(data)?;
    Ok((!holders.is_empty()).then_some(Accounts { as_of: None, holders }))
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The copy is damaged or inconsistent.
    #[error("the copy is damaged: {0}")]
    Damaged(String),
    /// The copy is of another log than the one that has been signed here.
    #[error("the copy is of the log `{1}`, and this node signs `{0}`")]
    AnotherLog(Origin, Origin),
    /// A file could not be read or written.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The configuration of the copy is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be opened or replaced.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The prefix of directories in which a store is read.
const PLACE: &str = ".ics-restore-";

/// A copy of a home directory, and where its store can be read.
#[derive(Debug)]
pub struct CopyOfHome {
    home: PathBuf,
    data: PathBuf,
    _place: Option<Place>,
}

/// A directory in which a store is read. It is removed when this value is dropped, but stays if the process is killed.
#[derive(Debug)]
struct Place {
    dir: TempDir,
    /// The directory, locked to show that it is in use.
    _lock: File,
}

impl Place {
    fn make_in(beside: &Path) -> io::Result<Self> {
        let permissions = Permissions::from_mode(0o700);
        let dir = tempfile::Builder::new().prefix(PLACE).permissions(permissions).tempdir_in(beside);
        let dir = dir.map_err(|error| file::unnamed(&error))?;
        let lock = File::open(dir.path())?;
        // On systems that cannot lock directories, [`remove_left`] takes every such directory to be in use.
        let _ = lock.lock();
        Ok(Self { dir, _lock: lock })
    }
}

/// Removes what killed commands have left in a home directory: each is a node's whole store, and contains what may have
/// been erased since. Returns those that cannot be removed, and why.
#[must_use]
pub fn remove_left(home: &Path) -> Vec<(PathBuf, io::Error)> {
    let is_place = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(PLACE.as_bytes());
    let is_in_use = |place: &PathBuf| File::open(place).is_ok_and(|dir| dir.try_lock().is_err());
    let places = fs::read_dir(home).into_iter().flatten().flatten().filter(is_place).map(|entry| entry.path());
    let left: Vec<PathBuf> = places.filter(|place| !is_in_use(place)).collect();
    left.into_iter().filter_map(|place| fs::remove_dir_all(&place).err().map(|error| (place, error))).collect()
}

impl CopyOfHome {
    /// Opens a copy. SQLite must be able to write beside a store of some copies; if such a copy is on a read-only
    /// medium, its files are first copied into a directory of their own in `beside`.
    ///
    /// # Errors
    /// When they must be copied and cannot be.
    pub fn open(home: &Path, beside: &Path) -> Result<Self, RestoreError> {
        let (home, given) = (home.to_owned(), home.join(DATA));
        if !store::is_read_by_writing(&given) || tempfile::tempfile_in(&given).is_ok() {
            return Ok(Self { home, data: given, _place: None });
        }
        let failed = |source| RestoreError::File { path: beside.to_owned(), source };
        file::make_private_directory(beside).map_err(failed)?;
        let place = Place::make_in(beside).map_err(failed)?;
        store::copy_files(&given, place.dir.path())?;
        Ok(Self { home, data: place.dir.path().to_owned(), _place: Some(place) })
    }

    /// Where its store can be read.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }
}

/// Puts files of a copy that are missing into a home directory: above all the configuration and descriptors, and what
/// the configuration of the copy names. Nothing is overwritten, and nothing is written elsewhere. Before that, the
/// intention is recorded in the store's directory ([`store::begin_put_back`]).
///
/// # Errors
/// When there is no copy or it is of another log, the node runs, a file cannot be read or written, or the configuration
/// is invalid.
pub fn missing_files(copy: &CopyOfHome, home: &Path) -> Result<Vec<PathBuf>, RestoreError> {
    let (of_copy, copy) = (copy.data(), copy.home.as_path());
    let config = Config::load_or_default(copy)?;
    if let Some(data) = data(copy, home)? {
        refuse_another_log(of_copy, &data)?;
        store::begin_put_back(of_copy, &data)?;
    }
    let mut files = vec![PathBuf::from(config::FILE_NAME)];
    for directory in [descriptor::DIRECTORY, keys::DIRECTORY] {
        let entries = fs::read_dir(copy.join(directory)).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| Path::new(directory).join(entry.file_name())).collect();
        paths.sort_unstable();
        files.extend(paths);
    }
    files.extend(config.files().iter().filter_map(|file| file.below(copy)).map(Path::to_owned));
    let mut put = Vec::new();
    for path in files {
        let (from, to) = (copy.join(&path), home.join(&path));
        if from.is_file() && !to.exists() {
            put_file(&from, &to)?;
            put.push(path);
        }
    }
    Ok(put)
}

/// Refuses a copy of another node's home: its log would take the place of this node's log of the same name, and nobody
/// could tell what was lost.
fn refuse_another_log(copy: &Path, data: &Path) -> Result<(), RestoreError> {
    let own = store::signed_logs(data);
    for other in store::signed_logs(copy) {
        if let Some(own) = own.iter().find(|own| own.domain == other.domain && **own != other) {
            return Err(RestoreError::AnotherLog(own.clone(), other));
        }
    }
    Ok(())
}

/// The store's directory according to the home directory's own configuration, or else the one that it gets from the
/// copy.
fn data(copy: &Path, home: &Path) -> Result<Option<PathBuf>, RestoreError> {
    let (config, of) = match Config::load(home) {
        Err(ConfigError::Missing(_)) => (Config::load_or_default(copy)?, copy),
        other => (other?, home),
    };
    let here = |data: &Path| data.strip_prefix(of).map_or_else(|_| data.to_owned(), |below| home.join(below));
    Ok(config.node.map(|node| here(&node.data)))
}

fn put_file(from: &Path, to: &Path) -> Result<(), RestoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::File { path, source }
    };
    let bytes = fs::metadata(from).map_err(failed(from))?.len();
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(FILE_BYTES);
    let content = file::read_secret(from, bytes).map_err(failed(from))?;
    if let Some(parent) = to.parent() {
        file::make_private_directory(parent).map_err(failed(to))?;
    }
    file::create_private(to, &content).map_err(failed(to))
}

/// Replaces the store of a node, which must not run, with that of a copy, after reading and comparing the copy.
///
/// # Errors
/// When there is no copy or it is damaged, the node runs, or the disk fails.
pub fn put_back(copy: &CopyOfHome, data: &Path, at: Timestamp) -> Result<PutBack, RestoreError> {
    let report = store::check_backup(copy.data())?;
    if !report.findings.is_empty() {
        return Err(RestoreError::Damaged(report.findings.join("; ")));
    }
    let store::Moved { former, attempts } = store::put_back(copy.data(), data, at)?;
    let accounts = if store::is_of_copy(copy.data(), data)? { accounts(data)? } else { None };
    let as_of = store::copied_at(copy.data())?;
    let accounts = accounts.map(|accounts| Accounts { as_of, ..accounts });
    Ok(PutBack { entries: report.entries, files: Vec::new(), replaced: former, attempts, accounts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_command_has_left_is_removed_and_what_is_in_use_stays() {
        let home = tempfile::tempdir().expect("directory");
        let in_use = Place::make_in(home.path()).expect("made");
        let Place { dir, .. } = Place::make_in(home.path()).expect("made");
        let left = dir.keep();
        fs::write(left.join("ics.db"), b"a store").expect("written");
        let own = home.path().join("keys");
        fs::create_dir(&own).expect("made");
        assert!(remove_left(home.path()).is_empty(), "all of it goes");
        assert_eq!([left.as_path(), in_use.dir.path(), own.as_path()].map(Path::exists), [false, true, true]);
        let path = in_use.dir.path().to_owned();
        drop(in_use);
        assert!(!path.exists());
    }
}
