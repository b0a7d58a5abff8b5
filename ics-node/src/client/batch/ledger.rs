//! A journal of what this machine has done with each batch, so that nothing is signed or submitted twice by mistake.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ics_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::BatchError;
use crate::keys::file;

/// The file in the home directory, with a line of JSON for each action.
const FILE_NAME: &str = "batches.ndjson";

/// An action on a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Done {
    /// The batch was signed.
    Signed,
    /// The signed batch was submitted, at least in part: some of it may be in the log.
    Submitted,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// The action.
    pub done: Done,
    /// The SHA-256 of the unsigned batch.
    pub batch: String,
    /// The SHA-256 of the signed one.
    pub signed: String,
    /// The time of the action.
    pub at: Timestamp,
}

/// The journal of a home directory.
#[derive(Debug, Clone)]
pub struct Ledger {
    path: PathBuf,
}

impl Ledger {
    /// The journal of a home directory; it need not exist yet.
    #[must_use]
    pub fn new(home: &Path) -> Self {
        Self { path: home.join(FILE_NAME) }
    }

    /// The first note of this action on a batch.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find(&self, done: Done, batch: &str) -> Result<Option<Noted>, BatchError> {
        let text = match std::fs::read_to_string(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|source| self.failed(source))?,
        };
        // An empty line stands before each note, and a line cut off by a crash was never acknowledged.
        let mut notes = text.lines().filter_map(|line| serde_json::from_str::<Noted>(line).ok());
        Ok(notes.find(|noted| noted.done == done && noted.batch == batch))
    }

    /// Adds a note, durably. It starts with a line break, in case the last line was cut off.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn note(&self, noted: &Noted) -> Result<(), BatchError> {
        let failed = |source| self.failed(source);
        if let Some(home) = self.path.parent() {
            file::make_private_directory(home).map_err(failed)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path).map_err(failed)?;
        let line = serde_json::to_string(noted).map_err(|e| failed(std::io::Error::other(e)))?;
        file.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    fn failed(&self, source: std::io::Error) -> BatchError {
        BatchError::File { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a full disk or a power cut leaves it.
    #[test]
    fn what_is_noted_after_a_line_that_was_cut_off_is_found() {
        let home = tempfile::tempdir().expect("directory");
        let ledger = Ledger::new(home.path());
        let noted = |batch: &str| Noted {
            done: Done::Signed,
            batch: batch.to_owned(),
            signed: "ab".to_owned(),
            at: Timestamp::from_seconds(1_795_162_200),
        };
        let found = |batch: &str| ledger.find(Done::Signed, batch).expect("read");
        assert_eq!(found("one"), None);
        ledger.note(&noted("one")).expect("written");
        let path = home.path().join(FILE_NAME);
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(&path, format!("{text}{{\"done\":\"sig")).expect("cut off");
        ledger.note(&noted("two")).expect("written");
        assert_eq!([found("one"), found("two")], [Some(noted("one")), Some(noted("two"))]);
    }
}
