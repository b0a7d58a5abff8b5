//! Copies of a running store.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::StoreError;
use super::heads::HeadFiles;
use super::types::Part;
use super::{HEADS_DIR, LOG_FILE, Store, make_private};

impl Store {
    /// Copies the log and the heads' files into a directory, which must not hold a store, while the node goes on. The
    /// index is derived and left out.
    ///
    /// The copy is a store that can be opened. Its home domains are held ([`Store::hold`]): whoever puts it back asks
    /// the mirrors before he signs.
    ///
    /// # Errors
    /// When the directory holds a store, or cannot be written, or the database fails.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        make_private(to)?;
        let path = to.join(LOG_FILE);
        if path.exists() {
            return Err(StoreError::Exists { what: format!("`{}`", path.display()) });
        }
        // The heads before the log, so that they do not show more than the copy has.
        self.copy_heads(&to.join(HEADS_DIR))?;
        let unfinished = to.join(".new");
        self.shared.pool.read(|reader| copy(&reader.log, &unfinished))?;
        std::fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(StoreError::io(&unfinished))?;
        std::fs::rename(&unfinished, &path).map_err(StoreError::io(&path))?;
        std::fs::File::open(to).and_then(|dir| dir.sync_all()).map_err(StoreError::io(to))
    }

    fn copy_heads(&self, to: &Path) -> Result<(), StoreError> {
        let copies = HeadFiles::open(to)?;
        for state in self.shared.published.all().iter().filter(|state| state.info.part == Part::Home) {
            if let Some(seal) = self.shared.heads.read(&state.info.name)? {
                copies.write(&state.info.name, &seal)?;
            }
        }
        Ok(())
    }
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
