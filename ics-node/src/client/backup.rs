//! A copy of a node's home directory, made while the node runs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::descriptor;
use crate::config::{self, Config};
use crate::keys::{self, file};
use crate::store::{self, Report, StoreError};
use crate::words::serialize_path;

/// The store's directory in the copy.
pub const DATA: &str = "data";
/// The size limit of a file in the home directory, in bytes; descriptors and keys are smaller.
pub(super) const FILE_BYTES: usize = 16 * 1024 * 1024;

/// Why a secret is left out.
const WITHOUT_KEYS: &str = "it is secret: `--with-keys` copies it";

/// What was copied.
#[derive(Debug)]
pub struct Backup {
    /// Files of the home directory that were copied, relative to it.
    pub files: Vec<PathBuf>,
    /// Files and directories that the node needs or its configuration names, and that the copy lacks.
    pub left_out: Vec<LeftOut>,
    /// The result of checking the copy of the store.
    pub report: Report,
}

/// A file or directory that a node may need and that its copy lacks.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its path.
    #[serde(serialize_with = "serialize_path")]
    pub path: PathBuf,
    /// Why it was left out.
    pub why: &'static str,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no node to copy.
    #[error("this home directory is not that of a node")]
    NoNode,
    /// The target already has contents.
    #[error("`{path}` exists and is not empty", path = .0.display())]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The store could not be copied or checked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies the store, the configuration, the descriptors, other files in the home directory that the configuration names
/// and, on demand, the secret keys and the operator's token into a new directory. Never copied are the passphrase of
/// the keys and what lies elsewhere, which is for others to back up. The copy of the store is read and compared.
///
/// # Errors
/// When the directory is not empty, or something cannot be read or written.
pub fn make(home: &Path, config: &Config, to: &Path, with_keys: bool) -> Result<Backup, BackupError> {
    let node = config.node.as_ref().ok_or(BackupError::NoNode)?;
    refuse_existing(to)?;
    // Without a store nothing must be created.
    drop(store::open_log(&node.data)?);
    store::make_private(&to.join(DATA))?;
    let mut files = vec![PathBuf::from(config::FILE_NAME)];
    files.extend(files_in(home, descriptor::DIRECTORY)?);
    if with_keys {
        files.extend(files_in(home, keys::DIRECTORY)?);
    }
    let (named, not_copied) = named_files(home, config, with_keys)?;
    files.extend(named);
    let left_out = secrets_left_out(home, with_keys)?.into_iter().chain(not_copied).collect();
    let mut copied = BTreeSet::new();
    files.retain(|path| copied.insert(path.clone()));
    for path in &files {
        copy(&home.join(path), &to.join(path))?;
    }
    // Last of all: an interrupted backup holds no store, so it cannot be mistaken for a complete one.
    store::backup(&node.data, &to.join(DATA))?;
    Ok(Backup { files, left_out, report: store::check_backup(&to.join(DATA))? })
}

/// Secrets that are not copied, whatever the configuration names.
fn secrets_left_out(home: &Path, with_keys: bool) -> Result<Vec<LeftOut>, BackupError> {
    let passphrase = home.join(keys::PASSPHRASE_FILE);
    let passphrase = passphrase.exists().then_some((passphrase, "the passphrase is never copied: keep it elsewhere"));
    let has_keys = !with_keys && !files_in(home, keys::DIRECTORY)?.is_empty();
    let keys = has_keys.then(|| (home.join(keys::DIRECTORY), WITHOUT_KEYS));
    Ok(passphrase.into_iter().chain(keys).map(|(path, why)| LeftOut { path, why }).collect())
}

/// The files that the configuration names: those to copy, relative to the home directory, and those that cannot be
/// copied.
fn named_files(home: &Path, config: &Config, with_keys: bool) -> Result<(Vec<PathBuf>, Vec<LeftOut>), BackupError> {
    let root = fs::canonicalize(home).map_err(failed(home))?;
    let (mut named, mut left_out, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for file in config.files().into_iter().filter(|file| seen.insert(file.path)) {
        let mut leave_out = |why| left_out.push(LeftOut { path: file.path.to_owned(), why });
        match fs::canonicalize(file.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => leave_out("it is not there"),
            Err(error) => return Err(failed(file.path)(error)),
            // A link may lead out of the home directory, like any path.
            Ok(real) => match file.below(home).filter(|_| real.starts_with(&root)) {
                None => leave_out("it is not in the home directory"),
                Some(_) if file.is_private && !with_keys => leave_out(WITHOUT_KEYS),
                Some(path) => named.push(path.to_owned()),
            },
        }
    }
    Ok((named, left_out))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::File { path: path.to_owned(), source }
}

fn refuse_existing(to: &Path) -> Result<(), BackupError> {
    match fs::read_dir(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(to)(error)),
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(BackupError::Exists(to.to_owned())),
            None => Ok(()),
        },
    }
}

/// The files in a subdirectory of the home directory; none if it is missing.
fn files_in(home: &Path, directory: &str) -> Result<Vec<PathBuf>, BackupError> {
    let path = home.join(directory);
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed(&path))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed(&path))?;
        if entry.file_type().map_err(failed(&path))?.is_file() {
            files.push(Path::new(directory).join(entry.file_name()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The copy is readable by its owner only, like everything in a home directory.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let content = file::read_secret(from, FILE_BYTES.min(size(from)?)).map_err(failed(from))?;
    if let Some(parent) = to.parent() {
        file::make_private_directory(parent).map_err(failed(parent))?;
    }
    file::create_private(to, &content).map_err(failed(to))
}

fn size(path: &Path) -> Result<usize, BackupError> {
    let bytes = fs::metadata(path).map_err(failed(path))?.len();
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}
