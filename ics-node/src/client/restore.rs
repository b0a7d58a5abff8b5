//! Putting a copy of a node's home directory back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ics_core::time::Timestamp;

use super::backup::DATA;
use super::descriptor;
use super::home::OPERATOR_TOKEN_FILE;
use crate::config;
use crate::keys::{self, file};
use crate::store::{self, StoreError};

/// Bytes of a file of the home directory: descriptors and keys have less.
const FILE_BYTES: usize = 16 * 1024 * 1024;

/// What was put back.
#[derive(Debug)]
pub struct PutBack {
    /// Entries in the copy.
    pub entries: u64,
    /// Files that were missing here and came from the copy, relative to the home directory.
    pub files: Vec<PathBuf>,
    /// Where the former store lies now, if there was one.
    pub replaced: Option<PathBuf>,
}

/// Why nothing was put back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The copy does not fit together.
    #[error("the copy is damaged: {0}")]
    Damaged(String),
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

/// Puts the files of a copy that are missing into a home directory, configuration and descriptors above all; nothing is
/// overwritten.
///
/// # Errors
/// When a file cannot be read or written.
pub fn missing_files(copy: &Path, home: &Path) -> Result<Vec<PathBuf>, RestoreError> {
    let mut files = vec![PathBuf::from(config::FILE_NAME), PathBuf::from(OPERATOR_TOKEN_FILE)];
    for directory in [descriptor::DIRECTORY, keys::DIRECTORY] {
        let entries = fs::read_dir(copy.join(directory)).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| Path::new(directory).join(entry.file_name())));
    }
    let mut put = Vec::new();
    for path in files {
        let (from, to) = (copy.join(&path), home.join(&path));
        if from.is_file() && !to.exists() {
            let failed = |source| RestoreError::File { path: from.clone(), source };
            let bytes = fs::metadata(&from).map_err(failed)?.len();
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(FILE_BYTES);
            let content = file::read_secret(&from, bytes).map_err(failed)?;
            let failed = |source| RestoreError::File { path: to.clone(), source };
            if let Some(parent) = to.parent() {
                file::make_private_directory(parent).map_err(failed)?;
            }
            file::create_private(&to, &content).map_err(failed)?;
            put.push(path);
        }
    }
    Ok(put)
}

/// Puts the store of a copy in the place of the node's, which must not run; the copy is read and compared first.
///
/// # Errors
/// When there is no copy or it is damaged, the node runs, or the disk fails.
pub fn put_back(copy: &Path, data: &Path, at: Timestamp) -> Result<PutBack, RestoreError> {
    let report = store::check_backup(&copy.join(DATA))?;
    if !report.findings.is_empty() {
        return Err(RestoreError::Damaged(report.findings.join("; ")));
    }
    let replaced = store::put_back(&copy.join(DATA), data, at)?;
    Ok(PutBack { entries: report.entries, files: Vec::new(), replaced })
}
