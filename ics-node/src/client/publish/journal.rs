//! The journal beside an input file: which rows are in the log, so that publishing goes on where it stopped.
//!
//! It also fixes the time and the salts of the run: a row whose acknowledgement got lost is signed to the same statement
//! again, and the log answers with its first receipt.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ics_core::identity::Fingerprint;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Role};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::keys::file;

/// The version of the format.
const VERSION: u32 = 1;
/// Bytes of a row's digest that are kept: enough that no two rows of one file are taken for each other.
const KEPT: usize = 16;

/// Rows that are in the log.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    head: Head,
    acknowledged: HashSet<[u8; KEPT]>,
}

/// Makes the salt of each row's signature: unpredictable, and the same each time.
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
    /// What was said of all rows alike, by column; absent in journals of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<BTreeMap<String, String>>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file failed.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a journal of this version.
    #[error("`{path}`, line {line}: it is not a journal of this program", path = path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// It is that of another run.
    #[error("`{path}` is the journal of {signer} as {role} in `{domain}`", path = path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// Its signer.
        signer: Fingerprint,
        /// His role.
        role: Role,
        /// Its domain.
        domain: DomainName,
    },
    /// It is that of a run in which something else was said of all rows.
    #[error(
        "`{path}` is the journal of a run that said {theirs} of all rows, and this one says {ours}",
        path = path.display()
    )]
    Said {
        /// The file.
        path: PathBuf,
        /// What the other run said.
        theirs: String,
        /// What this one says.
        ours: String,
    },
}

/// What was said of all rows alike, for people.
fn options(said: &BTreeMap<String, String>) -> String {
    let options: Vec<String> = said.iter().map(|(column, value)| format!("{column} = {value}")).collect();
    if options.is_empty() { "nothing".to_owned() } else { options.join(", ") }
}

impl Journal {
    /// Where the journal of an input file is.
    #[must_use]
    pub fn path_of(input: &Path) -> PathBuf {
        with_suffix(input, "journal")
    }

    /// Opens the journal of an input file, or begins it with this time. `said` is what is said of all rows alike.
    ///
    /// # Errors
    /// When it cannot be read or written, or is that of another signer, role or domain, or of a run that said something
    /// else.
    pub fn open(
        input: &Path,
        (domain, role, signer): (&DomainName, &Role, &Fingerprint),
        said: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<Self, JournalError> {
        let path = Self::path_of(input);
        let failed = |source| JournalError::File { path: path.clone(), source };
        if !path.exists() {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|e| failed(io::Error::other(e.to_string())))?;
            let head = Head {
                version: VERSION,
                domain: domain.clone(),
                role: role.clone(),
                signer: *signer,
                signed_at: Timestamp::from_seconds(now.as_seconds()),
                seed: HEXLOWER.encode(&seed),
                said: Some(said.clone()),
            };
            let line = serde_json::to_string(&head).map_err(|e| failed(io::Error::other(e)))?;
            file::create_private(&path, format!("{line}\n").as_bytes()).map_err(failed)?;
        }
        let (head, acknowledged) = read(&path)?;
        if head.domain != *domain || head.role != *role || head.signer != *signer {
            return Err(JournalError::Other { path, signer: head.signer, role: head.role, domain: head.domain });
        }
        if let Some(theirs) = head.said.as_ref().filter(|theirs| *theirs != said) {
            return Err(JournalError::Said { path, theirs: options(theirs), ours: options(said) });
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        Ok(Self { file, head, acknowledged, path })
    }

    /// The time at which all rows are signed.
    #[must_use]
    pub const fn signed_at(&self) -> Timestamp {
        self.head.signed_at
    }

    /// What makes the salts of the run.
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

    /// What of a row's digest stands in the journal.
    #[must_use]
    pub fn mark(row: &[u8; 32]) -> [u8; KEPT] {
        let mut mark = [0; KEPT];
        mark.iter_mut().zip(row).for_each(|(kept, byte)| *kept = *byte);
        mark
    }

    /// Notes that rows are in the log.
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
        let written = self.file.write_all(lines.as_bytes());
        written.map_err(|source| JournalError::File { path: self.path.clone(), source })
    }
}

/// An input file's name with something behind it.
pub(super) fn with_suffix(input: &Path, suffix: &str) -> PathBuf {
    let mut name = input.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<(Head, HashSet<[u8; KEPT]>), JournalError> {
    let failed = |source| JournalError::File { path: path.to_owned(), source };
    let form = |line| JournalError::Form { path: path.to_owned(), line };
    let mut lines = BufReader::new(File::open(path).map_err(failed)?).lines();
    let first = lines.next().ok_or_else(|| form(1))?.map_err(failed)?;
    let head: Head = serde_json::from_str(&first).map_err(|_| form(1))?;
    if head.version != VERSION {
        return Err(form(1));
    }
    let mut acknowledged = HashSet::new();
    let mut lines = lines.enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let line = line.map_err(failed)?;
        match HEXLOWER.decode(line.as_bytes()).ok().and_then(|mark| mark.try_into().ok()) {
            Some(mark) => acknowledged.insert(mark),
            // The last line may be cut off where the program was: its row is published again.
            None if lines.peek().is_none() => break,
            None => return Err(form(number + 2)),
        };
    }
    Ok((head, acknowledged))
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

    #[test]
    fn a_line_cut_off_at_the_end_is_forgiven() {
        let directory = tempfile::tempdir().expect("directory");
        let input = directory.path().join("d.csv");
        open(&input, "d.example", 1).expect("begun").acknowledge(&[[1; 32], [2; 32]]).expect("written");
        let path = Journal::path_of(&input);
        let text = fs::read_to_string(&path).expect("read");
        fs::write(&path, &text[..text.len() - 5]).expect("cut");
        assert_eq!(open(&input, "d.example", 1).expect("continued").count(), 1);

        fs::write(&path, format!("{}x\n{}\n", text, "0".repeat(32))).expect("damaged");
        assert!(matches!(open(&input, "d.example", 1), Err(JournalError::Form { line: 4, .. })));
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
