//! The highest checkpoint that this node has signed for each of its domains, in a file outside the database.
//!
//! A database restored from a copy has forgotten what it signed since; signing on from there would be a fork. The file
//! tells, so it must not be part of what is restored. For the same reason a witness keeps here what it has seen of the
//! logs of others.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::vocabulary::DomainName;
use sha2::{Digest as _, Sha256};

use super::error::StoreError;
use super::types::Seal;
use super::{gone, make_private, replace_file, sync_names};
use crate::open_files::open_patiently;

/// The name of a new file before it replaces the old one; no domain's name begins with a dot.
const NEW: &str = ".new";
/// The prefix of new files that wait for their commit.
const STAGED: &str = ".new-";

/// The file that says that these files may be incomplete, see [`HeadFiles::doubt`]. No other name here begins with a
/// dot.
const DOUBTED: &str = ".doubted";

/// Stands for a key in that file if it is not known which one it was.
const ANY_KEY: &str = "*";

/// The directory of these files. A file is named after the domain and holds the signed note as it was published.
#[derive(Debug)]
pub(crate) struct HeadFiles {
    dir: PathBuf,
    /// Counts staged files, for their names.
    staged: AtomicU64,
}

/// A checkpoint that is already written and replaces a head's file later: even if the disk is full by then, it has its
/// room.
#[derive(Debug)]
pub(crate) struct Staged {
    size: u64,
    file: File,
    /// Its path until then.
    new: Option<PathBuf>,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // If this fails, the leftover file is in nobody's way.
        let _ = self.new.take().map(fs::remove_file);
    }
}

impl HeadFiles {
    /// Makes the directory in place of one that was lost, in doubt from the first moment on.
    pub(crate) fn make_doubted(dir: &Path) -> Result<(), StoreError> {
        let unfinished = dir.with_extension("new");
        Self::open(&unfinished)?.doubt(None)?;
        fs::rename(&unfinished, dir).map_err(StoreError::io(dir))?;
        dir.parent().map_or(Ok(()), sync_names)
    }

    /// Makes the directory if it is missing.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        make_private(dir)?;
        Ok(Self { dir: dir.to_owned(), staged: AtomicU64::new(0) })
    }

    /// The checkpoint on file, if there is one.
    pub(crate) fn read(&self, domain: &DomainName) -> Result<Option<Seal>, StoreError> {
        self.read_as(domain.as_str(), |origin| origin.domain == *domain)
    }

    /// As [`HeadFiles::read`], for a file of any name; `is_of` says whether its log is the one meant.
    fn read_as(&self, name: &str, is_of: impl FnOnce(&Origin) -> bool) -> Result<Option<Seal>, StoreError> {
        let path = self.dir.join(name);
        match open_patiently(|| fs::read_to_string(&path)) {
            Ok(note) => parse(note, is_of)
                .map(Some)
                .ok_or_else(|| StoreError::corrupt(format!("`{}` is not a checkpoint of this domain", path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path)(error)),
        }
    }

    /// The largest checkpoint seen of another node's log. Two domains may share a name, so the file is named after the
    /// origin.
    pub(crate) fn seen(&self, origin: &Origin) -> Result<Option<Seal>, StoreError> {
        self.read_as(&name_of(origin), |found| found == origin)
    }

    /// Stores durably what was seen of another node's log.
    pub(crate) fn see(&self, origin: &Origin, note: &str) -> Result<(), StoreError> {
        self.replace(&name_of(origin), note)
    }

    /// Deletes durably what was seen of other nodes' logs of a domain; returns the largest size among them.
    pub(crate) fn forget(&self, domain: &DomainName) -> Result<Option<u64>, StoreError> {
        let mut most = None;
        for file in fs::read_dir(&self.dir).map_err(StoreError::io(&self.dir))? {
            let path = file.map_err(StoreError::io(&self.dir))?.path();
            let Ok(note) = fs::read_to_string(&path) else { continue };
            if let Some(seal) = parse(note, |origin| origin.domain == *domain) {
                fs::remove_file(&path).map_err(StoreError::io(&path))?;
                most = most.max(Some(seal.size));
            }
        }
        sync_names(&self.dir)?;
        Ok(most)
    }

    /// Stores a checkpoint durably unless one at least as high is on file: what was once signed stays, even if less of
    /// the log has come back.
    pub(crate) fn raise(&self, domain: &DomainName, seal: &Seal) -> Result<(), StoreError> {
        let is_higher = self.read(domain)?.is_none_or(|on_file| seal.size > on_file.size);
        if is_higher { self.write(domain, seal) } else { Ok(()) }
    }

    /// Writes a checkpoint, not yet durably, for a later [`HeadFiles::raise_staged`].
    pub(crate) fn stage(&self, seal: &Seal) -> Result<Staged, StoreError> {
        let new = self.dir.join(format!("{STAGED}{}", self.staged.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&new).map_err(StoreError::io(&new))?;
        let mut staged = Staged { size: seal.size, file, new: Some(new.clone()) };
        staged.file.write_all(seal.note.as_bytes()).map_err(StoreError::io(&new))?;
        Ok(staged)
    }

    /// Removes staged checkpoints left by a crash. Only for the holder of the store's lock: those of a running node are
    /// still to be used.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        for file in fs::read_dir(&self.dir).map_err(StoreError::io(&self.dir))? {
            let file = file.map_err(StoreError::io(&self.dir))?;
            if file.file_name().to_string_lossy().starts_with(STAGED) {
                fs::remove_file(file.path()).map_err(StoreError::io(&file.path()))?;
            }
        }
        Ok(())
    }

    /// As [`HeadFiles::raise`], with a checkpoint that was staged. What is on file is read each time rather than
    /// remembered: it must never decrease, whoever raised it meanwhile (somebody who restores files beside a running
    /// node, or the proof that a witness provides). Compared with two syncs the reading costs nothing.
    pub(crate) fn raise_staged(&self, domain: &DomainName, mut staged: Staged) -> Result<(), StoreError> {
        if self.read(domain)?.is_some_and(|on_file| on_file.size >= staged.size) {
            return Ok(());
        }
        let Some(new) = staged.new.take() else { return Ok(()) };
        staged.file.sync_all().map_err(StoreError::io(&new))?;
        self.rename(&new, domain.as_str())
    }

    /// Stores a checkpoint durably, whatever is on file: for a new epoch, and for proof of another history. Everything
    /// else uses [`HeadFiles::raise`].
    ///
    /// A crash before the rename leaves the old file, one after it the new file, never a part of either.
    pub(crate) fn write(&self, domain: &DomainName, seal: &Seal) -> Result<(), StoreError> {
        self.replace(domain.as_str(), &seal.note)
    }

    /// Records durably that more may have been cosigned than these files show, because they were lost or themselves
    /// restored. `key` is the key concerned, if known: a new key has cosigned nothing.
    pub(crate) fn doubt(&self, key: Option<&[u8; 32]>) -> Result<(), StoreError> {
        let mut doubted = self.doubted()?.unwrap_or_default();
        doubted.insert(key.map_or_else(|| ANY_KEY.to_owned(), |key| HEXLOWER.encode(key)));
        self.write_doubted(&doubted)
    }

    /// Assigns a doubt about an unknown key to this one, which was in use when the doubt arose.
    pub(crate) fn tie_doubt(&self, key: &[u8; 32]) -> Result<(), StoreError> {
        let Some(mut doubted) = self.doubted()?.filter(|doubted| doubted.contains(ANY_KEY)) else { return Ok(()) };
        doubted.remove(ANY_KEY);
        doubted.insert(HEXLOWER.encode(key));
        self.write_doubted(&doubted)
    }

    /// Whether more may have been cosigned with a key than these files show. If that cannot be read, the answer is yes.
    pub(crate) fn are_doubted(&self, key: Option<&[u8; 32]>) -> bool {
        match (self.doubted(), key) {
            (Ok(None), _) => false,
            (Ok(Some(doubted)), Some(key)) => doubted.contains(ANY_KEY) || doubted.contains(&HEXLOWER.encode(key)),
            (Ok(Some(_)), None) | (Err(_), _) => true,
        }
    }

    /// Withdraws the doubt about a key, or all doubts.
    pub(crate) fn trust(&self, key: Option<&[u8; 32]>) -> Result<(), StoreError> {
        let mut others = key.and(self.doubted()?).unwrap_or_default();
        others.remove(ANY_KEY);
        key.map(|key| others.remove(&HEXLOWER.encode(key)));
        if !others.is_empty() {
            return self.write_doubted(&others);
        }
        let path = self.dir.join(DOUBTED);
        gone(&path, fs::remove_file(&path))?;
        sync_names(&self.dir)
    }

    /// The keys in doubt, if any; an empty file names no key and stands for all.
    fn doubted(&self) -> Result<Option<BTreeSet<String>>, StoreError> {
        let path = self.dir.join(DOUBTED);
        match fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => Ok(Some(BTreeSet::from([ANY_KEY.to_owned()]))),
            Ok(text) => Ok(Some(text.lines().map(str::to_owned).collect())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path)(error)),
        }
    }

    fn write_doubted(&self, doubted: &BTreeSet<String>) -> Result<(), StoreError> {
        let lines: String = doubted.iter().map(|key| format!("{key}\n")).collect();
        self.replace(DOUBTED, &lines)
    }

    fn replace(&self, name: &str, note: &str) -> Result<(), StoreError> {
        replace_file(&self.dir, NEW, name, note)
    }

    fn rename(&self, new: &Path, name: &str) -> Result<(), StoreError> {
        let path = self.dir.join(name);
        fs::rename(new, &path).map_err(StoreError::io(&path))?;
        // Without this, a power cut may bring the old file back.
        sync_names(&self.dir)
    }
}

fn name_of(origin: &Origin) -> String {
    HEXLOWER.encode(&Sha256::digest(origin.to_string()))
}

/// The log whose checkpoint a file holds, if it can be read.
pub(super) fn log_in(path: &Path) -> Option<Origin> {
    let mut found = None;
    parse(fs::read_to_string(path).ok()?, |origin| {
        found = Some(origin.clone());
        true
    })?;
    found
}

/// The note is not verified: the file is as much our own as the database is.
fn parse(note: String, is_of: impl FnOnce(&Origin) -> bool) -> Option<Seal> {
    let Checkpoint { origin, size, root } = Checkpoint::claimed(&note).ok()?;
    is_of(&origin).then_some(Seal { size, root, note, cosigned_at: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use ics_core::log::Hash;

    fn seal(domain: &DomainName, size: u64) -> Seal {
        let origin = Origin { domain: domain.clone(), entry0: [1; 32] };
        let checkpoint = Checkpoint { origin, size, root: Hash([7; 32]) };
        let note = checkpoint.sign(&SigningKey::from_bytes(&[2; 32])).expect("a key in memory signs");
        Seal { size, root: checkpoint.root, note, cosigned_at: None }
    }

    #[test]
    fn the_last_checkpoint_is_read_back() {
        let dir = tempfile::tempdir().expect("dir");
        let files = HeadFiles::open(&dir.path().join("heads")).expect("open");
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        assert_eq!(long.len(), 253, "the longest name");
        let domain: DomainName = long.parse().expect("name");
        assert_eq!(files.read(&domain).expect("none yet"), None);
        for size in [1, 2] {
            files.write(&domain, &seal(&domain, size)).expect("write");
            assert_eq!(files.read(&domain).expect("read"), Some(seal(&domain, size)));
        }
    }

    #[test]
    fn what_a_crash_has_left_staged_is_swept_away() {
        let dir = tempfile::tempdir().expect("dir");
        let files = HeadFiles::open(dir.path()).expect("open");
        let domain: DomainName = "d.example".parse().expect("name");
        files.raise(&domain, &seal(&domain, 3)).expect("raise");
        core::mem::forget(files.stage(&seal(&domain, 4)).expect("staged"));
        let count = || fs::read_dir(dir.path()).expect("a directory").count();
        assert_eq!(count(), 2);
        files.sweep().expect("swept");
        assert_eq!((count(), files.read(&domain).expect("read")), (1, Some(seal(&domain, 3))));
    }

    #[test]
    fn a_lower_checkpoint_does_not_take_the_place_of_a_higher_one() {
        let dir = tempfile::tempdir().expect("dir");
        let files = HeadFiles::open(dir.path()).expect("open");
        let domain: DomainName = "d.example".parse().expect("name");
        for (size, on_file) in [(3, 3), (2, 3), (4, 4)] {
            files.raise(&domain, &seal(&domain, size)).expect("raise");
            assert_eq!(files.read(&domain).expect("read"), Some(seal(&domain, on_file)), "after {size}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_not_an_absence() {
        let dir = tempfile::tempdir().expect("dir");
        let files = HeadFiles::open(dir.path()).expect("open");
        let domain: DomainName = "d.example".parse().expect("name");
        let whole = seal(&domain, 5).note;
        let other = seal(&"other.example".parse().expect("name"), 5).note;
        for text in ["", &whole[..whole.len() / 2], &other] {
            fs::write(dir.path().join("d.example"), text).expect("write");
            assert!(matches!(files.read(&domain), Err(StoreError::Corrupt { .. })), "{text:?}");
        }
    }
}
