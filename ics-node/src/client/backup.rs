//! A copy of a node's home directory, made while the node runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::descriptor;
use crate::config::{self, NodeConfig};
use crate::keys::{self, file};
use crate::store::{self, Report, StoreError};

/// Where the store goes in the copy.
pub const DATA: &str = "data";
/// Bytes of a file of the home directory: descriptors and keys have less.
const FILE_BYTES: usize = 16 * 1024 * 1024;

/// What was copied.
#[derive(Debug)]
pub struct Backup {
    /// Files of the home directory that were copied, relative to it.
    pub files: Vec<PathBuf>,
    /// What reading the copy of the store has found.
    pub report: Report,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something already.
    #[error("`{path}` exists and is not empty", path = .0.display())]
    Exists(PathBuf),
    /// A file.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies the store, the configuration and the descriptors of a home directory, and on demand its secret keys and the
/// operator's token, into a new directory. The passphrase of the keys is never copied. The copy of the store is read
/// and compared.
///
/// # Errors
/// When the directory is not empty, or something cannot be read or written.
pub fn make(home: &Path, node: &NodeConfig, to: &Path, with_keys: bool) -> Result<Backup, BackupError> {
    refuse_existing(to)?;
    store::backup(&node.data, &to.join(DATA))?;
    let mut files = vec![PathBuf::from(config::FILE_NAME)];
    files.extend(files_in(home, descriptor::DIRECTORY)?);
    if with_keys {
        files.extend(files_in(home, keys::DIRECTORY)?);
        let token = node.operator_token_file.as_deref().and_then(|path| path.strip_prefix(home).ok());
        files.extend(token.filter(|path| home.join(path).exists()).map(Path::to_owned));
    }
    for path in &files {
        copy(&home.join(path), &to.join(path))?;
    }
    Ok(Backup { files, report: store::check_backup(&to.join(DATA))? })
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

/// The files of a directory below the home directory; none if it is missing.
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

/// For the owner only, like everything in a home directory.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let content = file::read_secret(from, FILE_BYTES.min(size(from)?)).map_err(failed(from))?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed(parent))?;
    }
    file::create_private(to, &content).map_err(failed(to))
}

fn size(path: &Path) -> Result<usize, BackupError> {
    let bytes = fs::metadata(path).map_err(failed(path))?.len();
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}
