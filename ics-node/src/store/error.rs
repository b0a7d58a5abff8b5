//! What can go wrong in the store, sorted by whose fault it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ics_core::vocabulary::DomainName;

/// Why the store did not do what it was asked.
///
/// Cheap to clone: one failed commit is reported to every job that shared it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing (yet).
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// It is there already.
    #[error("{what} exists already")]
    Exists {
        /// What was to be made.
        what: String,
    },
    /// The caller's job broke a rule of the log.
    #[error("{rule}")]
    Refused {
        /// The rule.
        rule: String,
    },
    /// The database knows less than this node has signed, or was restored from a backup: signing now could fork.
    #[error(
        "domain `{domain}` holds {size} entries, fewer than this node may have signed{}; it stays silent until the \
         lost tail is back", .signed.map_or(String::new(), |signed| format!(" ({signed})"))
    )]
    Behind {
        /// The domain.
        domain: DomainName,
        /// Entries in the database.
        size: u64,
        /// Entries under the highest checkpoint ever signed, where that is known.
        signed: Option<u64>,
    },
    /// Two histories of one domain: what is stored does not lead to a checkpoint that was signed.
    #[error("domain `{domain}` has another root at size {size} than the checkpoint that was signed for it")]
    Forked {
        /// The domain.
        domain: DomainName,
        /// The size at which the roots differ.
        size: u64,
    },
    /// The writer has as many jobs waiting as it may hold: come back later.
    #[error("the store has {waiting} writes waiting, which is its limit")]
    Full {
        /// The limit of the queue.
        waiting: usize,
    },
    /// The checkpoint could not be signed, so nothing of the batch was stored.
    #[error("the checkpoint of `{domain}` could not be signed: {reason}")]
    Unsealed {
        /// The domain.
        domain: DomainName,
        /// What the signer said.
        reason: String,
    },
    /// The job panicked; nothing of it was stored.
    #[error("the write was given up because of an internal error")]
    Panicked,
    /// Another process has this directory open; two writers would fork the log.
    #[error("the store in `{dir}` is in use by another process")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A copy is being put in the place of this store, or was and did not come to its end.
    #[error(
        "`{mark}` says that a restore was begun here and did not end: `ics restore` with the copy again ends it{former}"
    )]
    Unfinished {
        /// The file that says so.
        mark: PathBuf,
        /// Where the former store is, in words to be put behind; empty where there was none.
        former: String,
    },
    /// Made by a newer version of this program.
    #[error("`{file}` has schema version {found}, this program knows {known}: use a newer version of ics")]
    Newer {
        /// The database file.
        file: PathBuf,
        /// The version of the file.
        found: i64,
        /// The newest version that this program can read.
        known: i64,
    },
    /// The data contradict themselves.
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What does not fit.
        what: String,
    },
    /// The writer has stopped: after a failed fsync nobody knows what is on the disk, and a thread that has panicked does
    /// not come back. A restart reads it afresh; a node that serves ends for it.
    #[error("the store takes no more writes until it is restarted: {why}")]
    Halted {
        /// What made it stop.
        why: String,
    },
    /// Nothing of it was stored, and the next write may find room again.
    #[error("the node's disk is full: nothing is stored until there is room on it again")]
    NoRoom,
    /// The operating system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: Arc<std::io::Error>,
    },
    /// SQLite refused.
    #[error("SQLite: {source}")]
    Sqlite {
        /// Its reason.
        source: Arc<rusqlite::Error>,
    },
}

impl StoreError {
    /// Of the operating system, about one file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    pub(crate) fn refused(rule: impl Into<String>) -> Self {
        Self::Refused { rule: rule.into() }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::corrupt(error.to_string()),
            Some(DiskFull) => Self::NoRoom,
            _ => Self::Sqlite { source: Arc::new(error) },
        }
    }
}

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The job itself said no; nothing of it was stored.
    #[error("{0}")]
    Job(E),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}
