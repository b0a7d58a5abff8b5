//! The write-ahead log of a database: where it is, and how it is made durable before a store is read.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::{schema, sync_names};

/// How many bytes of the write-ahead log a start rewrites at once.
const AT_ONCE: usize = 1 << 20;

/// The write-ahead log of a database.
pub(crate) fn wal_of(log: &Path) -> PathBuf {
    beside(log, "-wal")
}

/// The file beside another one whose name is that one's with this at the end.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Opens the log for writing. What is left in its write-ahead log is made durable first, before SQLite may copy it into
/// the database.
pub(super) fn open_log_to_write(log: &Path) -> Result<rusqlite::Connection, StoreError> {
    sync_wal(log)?;
    schema::open_writer(schema::File::Log, log)
}

/// Makes durable what a process committed without syncing, because it was killed or a sync failed. This is about to be
/// read as the present state, and heads' files are raised by it; after a power cut they would then be ahead of the
/// database, which is the sign of a restore.
pub(super) fn sync_wal(log: &Path) -> Result<(), StoreError> {
    let path = wal_of(log);
    match write_again(&path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_names),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(&path)(error)),
    }
}

/// Writes a file over itself, durably; a crash meanwhile leaves each byte as it was. Just syncing is not enough: after
/// a failed sync, the system may consider data written that never reached the disk, show it to readers, and report
/// success the next time.
fn write_again(path: &Path) -> std::io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut part = vec![0; AT_ONCE];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut part)?;
        let Some(bytes) = part.get(..read).filter(|bytes| !bytes.is_empty()) else { return file.sync_all() };
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)?;
        at += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_again_is_as_it_was() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("ics.db-wal");
        for length in [0, 1, AT_ONCE, 2 * AT_ONCE + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("small")).collect();
            std::fs::write(&path, &bytes).expect("written");
            write_again(&path).expect("written again");
            assert!(std::fs::read(&path).expect("read") == bytes, "{length} bytes");
        }
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(write_again(&path).expect_err("there is none").kind(), ErrorKind::NotFound);
        assert!(!path.exists());
    }
}
