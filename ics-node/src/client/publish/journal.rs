//! The journal beside an input file: it lists which rows are in the log, so that publishing continues where it stopped.
//!
//! It also fixes the time and the salts of the run: a row whose acknowledgement was lost is signed into the same
//! statement again, and the log answers with its first receipt.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Role};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::keys::file;

/// The version of the format.
const VERSION: u32 = 1;
/// How many bytes of a row's digest are kept: enough that no two rows of one file are confused.
const KEPT: usize = 16;

/// A journal: the rows that are in the log.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// The number of its bytes that form whole lines.
    bytes: u64,
    head: Head,
    acknowledged: HashSet<[u8; KEPT]>,
}

/// Derives the salt of each row's signature: unpredictable, and the same each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salts(String);

impl Salts {
    /// The salt for a row, by its digest.
    #[must_use]
    pub fn of(&self, row: &[u8; 32]) -> [u8; 32] {
        Sha256::new().chain_update(&self.0).chain_update(row).finalize().into()
    }
}

/// The first line: what all rows have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u32,
    domain: DomainName,
    role: Role,
    signer: Fingerprint,
    signed_at: Timestamp,
    seed: String,
    /// The fields that hold for all rows, by column; absent in journals written before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<BTreeMap<String, String>>,
}

impl Head {
    /// The head of a run that begins at this time.
    fn new(
        (domain, role, signer): (&DomainName, &Role, &Fingerprint),
        said: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| io::Error::other(e.to_string()))?;
        Ok(Self {
            version: VERSION,
            domain: domain.clone(),
            role: role.clone(),
            signer: *signer,
            signed_at: now.whole_seconds(),
            seed: HEXLOWER.encode(&seed),
            said: Some(said.clone()),
        })
    }

    fn line(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self).map_err(io::Error::other)? + "\n")
    }
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file could not be read or written.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another run is writing it.
    #[error("`{path}`: another run publishes this file now", path = path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// It is not a journal of this version.
    #[error("`{path}`, line {line}: it is not a journal of this program", path = path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// It belongs to another run.
    #[error("`{path}` is the journal of {signer} as {role} in `{domain}`", path = path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// Its signer.
        signer: Fingerprint,
        /// The signer's role.
        role: Role,
        /// Its domain.
        domain: DomainName,
    },
    /// It belongs to a run with other fields for all rows.
    #[error(
        "`{path}` is the journal of a run that said {theirs} of all rows, and this one says {ours}",
        path = path.display()
    )]
    Said {
        /// The file.
        path: PathBuf,
        /// The other run's fields.
        theirs: String,
        /// This run's fields.
        ours: String,
    },
    /// Its rows are signed as of a time in the future.
    #[error(
        "`{path}`: its rows are signed as of {signed_at}, but the clock of this machine says {now}: the log would \
         refuse them",
        path = path.display()
    )]
    Ahead {
        /// The file.
        path: PathBuf,
        /// The time of its signatures.
        signed_at: Timestamp,
        /// The time by this machine's clock.
        now: Timestamp,
    },
}

/// The fields for all rows, for people.
fn options(said: &BTreeMap<String, String>) -> String {
    let options: Vec<String> = said.iter().map(|(column, value)| format!("{column} = {value}")).collect();
    if options.is_empty() { "nothing".to_owned() } else { options.join(", ") }
}

impl Journal {
    /// The path of the journal of an input file.
    #[must_use]
    pub fn path_of(input: &Path) -> PathBuf {
        with_suffix(input, "journal")
    }

    /// Opens the journal of an input file, or begins it with this time. `said` is what is said about all rows. A
    /// journal that was begun while the clock was ahead is not begun anew: rows from it may wait at a mirror, and would
    /// be said twice.
    ///
    /// # Errors
    /// When it cannot be read or written; when it belongs to another signer, role or domain, or to a run with other
    /// fields for all rows; or when its rows are signed as of a time in the future.
    pub fn open(
        input: &Path,
        (domain, role, signer): (&DomainName, &Role, &Fingerprint),
        said: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<Self, JournalError> {
        let path = Self::path_of(input);
        let failed = |source| JournalError::File { path: path.clone(), source };
        if !path.exists() {
            let head = Head::new((domain, role, signer), said, now).map_err(failed)?;
            file::create_private(&path, head.line().map_err(failed)?.as_bytes()).map_err(failed)?;
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        // Otherwise what another run is writing would be cut off below.
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Busy { path: path.clone() },
            TryLockError::Error(source) => failed(source),
        })?;
        let Lines { head, acknowledged, bytes } = read(&path)?;
        if head.domain != *domain || head.role != *role || head.signer != *signer {
            return Err(JournalError::Other { path, signer: head.signer, role: head.role, domain: head.domain });
        }
        if let Some(theirs) = head.said.as_ref().filter(|theirs| *theirs != said) {
            return Err(JournalError::Said { path, theirs: options(theirs), ours: options(said) });
        }
        // Up to this difference the log accepts what is signed, and may have accepted rows whose acknowledgements were
        // lost.
        if head.signed_at.millis_since(now) > limits::CLOCK_SKEW_MILLIS {
            return Err(JournalError::Ahead { path, signed_at: head.signed_at, now });
        }
        // Otherwise the next line would follow the remains of one that was cut off.
        file.set_len(bytes).map_err(failed)?;
        Ok(Self { file, bytes, head, acknowledged, path })
    }

    /// The time at which all rows are signed.
    #[must_use]
    pub const fn signed_at(&self) -> Timestamp {
        self.head.signed_at
    }

    /// The source of the run's salts.
    #[must_use]
    pub fn salts(&self) -> Salts {
        Salts(self.head.seed.clone())
    }

    /// The rows that are in the log.
    #[must_use]
    pub fn acknowledged(&self) -> HashSet<[u8; KEPT]> {
        self.acknowledged.clone()
    }

    /// How many rows are in the log.
    #[must_use]
    pub fn count(&self) -> usize {
        self.acknowledged.len()
    }

    /// The part of a row's digest that is kept in the journal.
    #[must_use]
    pub fn mark(row: &[u8; 32]) -> [u8; KEPT] {
        let mut mark = [0; KEPT];
        mark.iter_mut().zip(row).for_each(|(kept, byte)| *kept = *byte);
        mark
    }

    /// Notes that rows are in the log. What a failing disk wrote of it is undone.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn acknowledge(&mut self, rows: &[[u8; 32]]) -> Result<(), JournalError> {
        let mut lines = String::with_capacity(rows.len() * (2 * KEPT + 1));
        for row in rows {
            let mark = Self::mark(row);
            lines.push_str(&HEXLOWER.encode(&mark));
            lines.push('\n');
            self.acknowledged.insert(mark);
        }
        if let Err(source) = self.file.write_all(lines.as_bytes()) {
            // If that fails as well, the next run that opens the file does it.
            let _ = self.file.set_len(self.bytes);
            return Err(JournalError::File { path: self.path.clone(), source });
        }
        self.bytes += lines.len() as u64;
        Ok(())
    }
}

/// The name of an input file with a suffix.
pub(super) fn with_suffix(input: &Path, suffix: &str) -> PathBuf {
    let mut name = input.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// The contents of a journal.
struct Lines {
    head: Head,
    acknowledged: HashSet<[u8; KEPT]>,
    bytes: u64,
}

fn read(path: &Path) -> Result<Lines, JournalError> {
    let failed = |source| JournalError::File { path: path.to_owned(), source };
    let form = |line| JournalError::Form { path: path.to_owned(), line };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let (mut line, mut number, mut bytes) = (Vec::new(), 1, 0);
    let mut next = || -> Result<Option<(usize, u64, Vec<u8>)>, JournalError> {
        line.clear();
        bytes += file.read_until(b'\n', &mut line).map_err(failed)? as u64;
        number += 1;
        // The last line may have been cut off by a crash: its row is published again.
        Ok(line.strip_suffix(b"\n").map(|whole| (number - 1, bytes, whole.to_vec())))
    };
    let (_, mut whole, first) = next()?.ok_or_else(|| form(1))?;
    let head: Head = serde_json::from_slice(&first).map_err(|_| form(1))?;
    if head.version != VERSION {
        return Err(form(1));
    }
    let mut acknowledged = HashSet::new();
    while let Some((number, so_far, line)) = next()? {
        let mark = HEXLOWER.decode(&line).ok().and_then(|mark| mark.try_into().ok());
        acknowledged.insert(mark.ok_or_else(|| form(number))?);
        whole = so_far;
    }
    Ok(Lines { head, acknowledged, bytes: whole })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const NOW: Timestamp = Timestamp::from_millis(1_795_162_200_123);

    fn open(input: &Path, domain: &str, signer: u8) -> Result<Journal, JournalError> {
        let domain = domain.parse().expect("domain");
        let role = "manufacturer".parse().expect("role");
        Journal::open(input, (&domain, &role, &Fingerprint::V4([signer; 20])), &BTreeMap::new(), NOW)
    }

    #[test]
    fn belongs_to_what_was_said_of_all_rows() {
        let directory = tempfile::tempdir().expect("directory");
        let input = directory.path().join("d.csv");
        let domain = "d.example".parse().expect("domain");
        let role = "manufacturer".parse().expect("role");
        let open = |manu: &str| {
            let said = BTreeMap::from([("manu".to_owned(), manu.to_owned())]);
            Journal::open(&input, (&domain, &role, &Fingerprint::V4([1; 20])), &said, NOW)
        };
        open("Acme").expect("begun").acknowledge(&[[1; 32]]).expect("written");
        assert_eq!(open("Acme").expect("continued").count(), 1);
        let refusal = open("Acmee").expect_err("its rows would be skipped").to_string();
        assert!(refusal.ends_with("said manu = Acme of all rows, and this one says manu = Acmee"), "{refusal}");
    }

    #[test]
    fn remembers_rows_time_and_salts() {
        let directory = tempfile::tempdir().expect("directory");
        let input = directory.path().join("d.csv");
        let mut journal = open(&input, "d.example", 1).expect("begun");
        let (at, salts) = (journal.signed_at(), journal.salts());
        assert_eq!(at.as_millis() % 1000, 0, "signatures count in whole seconds");
        journal.acknowledge(&[[1; 32], [2; 32]]).expect("written");
        drop(journal);

        let journal = open(&input, "d.example", 1).expect("continued");
        assert_eq!((journal.signed_at(), journal.salts(), journal.count()), (at, salts.clone(), 2));
        assert!(journal.acknowledged().contains(&Journal::mark(&[2; 32])));
        assert!(!journal.acknowledged().contains(&Journal::mark(&[3; 32])));
        assert_eq!(salts.of(&[1; 32]), salts.of(&[1; 32]));
        assert_ne!(salts.of(&[1; 32]), salts.of(&[2; 32]));
    }

    /// Rows from it may wait at a mirror, even if none is known to be in the log.
    #[test]
    fn one_begun_while_the_clock_was_ahead_is_neither_continued_nor_begun_anew() {
        let directory = tempfile::tempdir().expect("directory");
        let input = directory.path().join("d.csv");
        let (domain, role) = ("d.example".parse().expect("domain"), "manufacturer".parse().expect("role"));
        let run = (&domain, &role, &Fingerprint::V4([1; 20]));
        let open = |now: Timestamp| Journal::open(&input, run, &BTreeMap::new(), now);
        let begun = open(NOW).expect("begun");
        let (at, salts) = (begun.signed_at(), begun.salts());
        drop(begun);
        let behind = |by: u64| open(Timestamp::from_millis(at.as_millis() - by)).map(|journal| journal.salts());
        assert_eq!(behind(limits::CLOCK_SKEW_MILLIS).expect("the log takes so much"), salts);
        let refusal = behind(limits::CLOCK_SKEW_MILLIS + 1).expect_err("its rows would be refused");
        assert!(matches!(refusal, JournalError::Ahead { signed_at, .. } if signed_at == at), "{refusal}");

        let mut same = open(NOW.plus_millis(3_600_000)).expect("continued");
        assert_eq!((same.signed_at(), same.salts()), (at, salts));
        same.acknowledge(&[[1; 32]]).expect("written");
        drop(same);
        behind(limits::CLOCK_SKEW_MILLIS + 1).expect_err("and still would be");
    }

    #[test]
    fn a_line_cut_off_at_the_end_is_forgiven() {
        let directory = tempfile::tempdir().expect("directory");
        let input = directory.path().join("d.csv");
        open(&input, "d.example", 1).expect("begun").acknowledge(&[[1; 32], [2; 32]]).expect("written");
        let path = Journal::path_of(&input);
        let text = fs::read_to_string(&path).expect("read");
        for cut in [5, 1] {
            fs::write(&path, &text[..text.len() - cut]).expect("cut");
            let mut journal = open(&input, "d.example", 1).expect("continued");
            assert_eq!(journal.count(), 1);
            journal.acknowledge(&[[2; 32], [3; 32]]).expect("written");
            drop(journal);
            assert_eq!(
                open(&input, "d.example", 1).expect("continued").count(),
                3,
                "no line stands behind a part of one"
            );
        }

        fs::write(&path, format!("{}x\n{}\n", text, "0".repeat(32))).expect("damaged");
        assert!(matches!(open(&input, "d.example", 1), Err(JournalError::Form { line: 4, .. })));
    }

    #[test]
    fn serves_one_run_at_a_time() {
        let directory = tempfile::tempdir().expect("directory");
        let input = directory.path().join("d.csv");
        let journal = open(&input, "d.example", 1).expect("begun");
        assert!(matches!(open(&input, "d.example", 1), Err(JournalError::Busy { .. })));
        drop(journal);
        open(&input, "d.example", 1).expect("free");
    }

    #[test]
    fn belongs_to_one_signer_and_domain() {
        let directory = tempfile::tempdir().expect("directory");
        let input = directory.path().join("d.csv");
        open(&input, "d.example", 1).expect("begun");
        assert!(matches!(open(&input, "e.example", 1), Err(JournalError::Other { .. })));
        assert!(matches!(open(&input, "d.example", 2), Err(JournalError::Other { .. })));
    }
}
