//! What can go wrong in the store, by whose fault it is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ics_core::vocabulary::DomainName;
use rusqlite::ErrorCode;

use crate::open_files::are_short;

/// Why the store did not do what was asked.
///
/// Cheap to clone: one failed commit is reported to every job that shared it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing, or not yet.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// It is there already.
    #[error("{what} already exists")]
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
    /// The database knows less than this node has signed, or was restored from a backup: signing now could fork the
    /// log.
    #[error(
        "domain `{domain}` holds {size} entries, fewer than this node may have signed{}; it stays silent until the \
         lost entries are back (`ics restore`)", .signed.map_or(String::new(), |signed| format!(" ({signed})"))
    )]
    Behind {
        /// The domain.
        domain: DomainName,
        /// The number of entries in the database.
        size: u64,
        /// The number of entries under the highest checkpoint ever signed, if that is known.
        signed: Option<u64>,
    },
    /// There are two histories of one domain: what is stored does not lead to a checkpoint that was signed.
    #[error("domain `{domain}` has another root at size {size} than the checkpoint that was signed for it")]
    Forked {
        /// The domain.
        domain: DomainName,
        /// The size at which the roots differ.
        size: u64,
    },
    /// As much is waiting as is allowed: the caller may come back later.
    #[error("{0}")]
    Full(Full),
    /// The checkpoint could not be signed, so nothing of the batch was stored.
    #[error("the checkpoint of `{domain}` could not be signed: {reason}")]
    Unsealed {
        /// The domain.
        domain: DomainName,
        /// What the signer said.
        reason: String,
    },
    /// The job panicked; nothing of it was stored.
    #[error("the write was abandoned because of an internal error")]
    Panicked,
    /// Another process has this directory open; two writers would fork the log.
    #[error("the store in `{dir}` is in use by another process")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A copy is being put in the place of this store, or that was begun and not finished.
    #[error(
        "`{mark}` says that a restore was begun here and did not finish: run `ics restore` with the copy again to \
         finish it{former}"
    )]
    Unfinished {
        /// The file that says so.
        mark: PathBuf,
        /// Where the former store is, in words to be appended; empty if there was none.
        former: String,
    },
    /// Written by a newer version of this program.
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
    /// What an entry said can no longer be read; it may have been a block.
    #[error(
        "entry {entry} of `{domain}` is damaged on this node's disk and may have blocked anything, so nothing is \
         answered about the domain: `ics fsck` shows what is damaged, `ics restore COPY` restores a copy, and `ics \
         domain recopy {domain}` copies another node's domain again"
    )]
    Damaged {
        /// The domain.
        domain: DomainName,
        /// The index of the entry, the first if there are several.
        entry: u64,
    },
    /// The writer has stopped: after a failed fsync nobody knows what is on the disk, and a thread that has panicked
    /// does not come back. A restart reads it afresh; a serving node exits so that it is restarted.
    #[error("the store takes no more writes until it is restarted: {why}")]
    Halted {
        /// What made it stop.
        why: String,
    },
    /// Nothing was stored; the next write may find room again.
    #[error("the node's disk is full: nothing is stored until there is room on it again")]
    NoRoom,
    /// The disk is full or failing while the store is opened, or so badly that the store takes no more writes.
    #[error("the disk of `{path}` {trouble}")]
    Disk {
        /// The file, or the directory of the store.
        path: PathBuf,
        /// What is wrong with it.
        trouble: String,
    },
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

/// What is full, and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The writer's queue.
    #[error("{0} writes wait for the node's store, which is the limit; try again in a moment")]
    Writes(usize),
    /// The place after the last commit, which has not been published yet.
    #[error(
        "what was logged last has not taken effect yet, and only one commit may wait for that; try again in a moment"
    )]
    Turn,
    /// What waits for the home of a domain.
    #[error(
        "{bodies} bodies of the domain, or {} MiB, wait here for its home, which is the limit: `ics outbox` shows \
         them, and `ics peer status` shows why they wait", .bytes >> 20
    )]
    Outbox {
        /// How many bodies may wait.
        bodies: usize,
        /// How many bytes they may have.
        bytes: usize,
    },
    /// Requests for enrolment in a domain.
    #[error(
        "{0} requests already wait for an operator, which is the limit: the operator sees them with `ics enroll list`"
    )]
    Enrolments(usize),
    /// The files and connections that the system lets the node have open.
    #[error(
        "as many files and connections are open as the system lets the node have (`LimitNOFILE=` of its unit, `ulimit \
         -n`); it goes on once some are closed"
    )]
    Files,
}

/// Whether an error means that a disk, or this user's quota on it, is full.
pub(crate) const fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl StoreError {
    /// An error of the operating system about one file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source: Arc::new(source) }
    }

    /// Turns an error about the disk of a store into one that names the store's directory: SQLite names no file, and
    /// reports a full disk as a failing one if it cannot create the memory shared by its processes, which a start needs
    /// first.
    pub(crate) fn of_disk(self, dir: &Path) -> Self {
        let is_io = |source: &rusqlite::Error| source.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        match self {
            Self::NoRoom => Self::Disk { path: dir.to_owned(), trouble: "is full".to_owned() },
            Self::Io { source, .. } if are_short(&source) => Self::Full(Full::Files),
            Self::Io { path, source } if is_full(source.kind()) => {
                Self::Disk { path, trouble: format!("is full: {source}") }
            }
            Self::Sqlite { source } if is_io(&source) => {
                let code = source.sqlite_extended_error_code().unwrap_or_default();
                let trouble = format!("is full or fails (SQLite: {source}, code {code})");
                Self::Disk { path: dir.to_owned(), trouble }
            }
            Self::Sqlite { source } if source.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
                let text = "SQLite cannot open or make a file in it: others own it, its disk is mounted read-only, or \
                            the process may not open more files (`LimitNOFILE=`, `ulimit -n`)";
                Self::Io { path: dir.to_owned(), source: Arc::new(std::io::Error::other(text)) }
            }
            other => other,
        }
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
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::corrupt(error.to_string()),
            Some(ErrorCode::DiskFull) => Self::NoRoom,
            _ => Self::Sqlite { source: Arc::new(error) },
        }
    }
}

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The job itself refused; nothing of it was stored.
    #[error("{0}")]
    Job(E),
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;
    use rustix::io::Errno;

    use super::*;

    /// A start on a full disk is reported as that, whatever SQLite or the system calls it.
    #[test]
    fn a_disk_that_is_full_or_fails_is_named() {
        let dir = Path::new("/var/lib/ics/data");
        let sqlite = |code| StoreError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        let full = StoreError::io(&dir.join("lock"))(ErrorKind::StorageFull.into());
        for error in [sqlite(ffi::SQLITE_FULL), full] {
            let told = error.of_disk(dir).to_string();
            assert!(told.starts_with("the disk of `/var/lib/ics/data") && told.contains("is full"), "{told}");
        }
        for code in [
            ffi::SQLITE_IOERR_SHMSIZE,
            ffi::SQLITE_IOERR_SHMOPEN,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR,
        ] {
            let told = sqlite(code).of_disk(dir).to_string();
            assert!(told.starts_with("the disk of `/var/lib/ics/data` is full or fails"), "{told}");
            assert!(told.contains(&code.to_string()), "{told}");
        }
        let told = sqlite(ffi::SQLITE_CANTOPEN).of_disk(dir).to_string();
        assert!(told.starts_with("`/var/lib/ics/data`") && told.contains("ulimit -n"), "{told}");
        let other = sqlite(ffi::SQLITE_BUSY).of_disk(dir);
        assert!(matches!(other, StoreError::Sqlite { .. }), "{other}");
        let short = StoreError::io(&dir.join("lock"))(Errno::MFILE.into()).of_disk(dir);
        assert!(short.to_string().contains("LimitNOFILE"), "no disk is at fault: {short}");
    }
}
