//! For whom and what the certificates issued here are. The log does not say so, since what is signed and copied cannot
//! be taken back. It is stored by the commit of the statement that names the certificate; it is part of backups, but
//! not of what mirrors copy. Long after the certificate has ended it is deleted.

pub(super) mod unconfirmed;

use std::collections::BTreeSet;

use ics_core::identity::Fingerprint;
use ics_core::name::Name;
use ics_core::vocabulary::CertificateUse;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

pub use self::unconfirmed::Unconfirmed;
use super::Store;
use super::columns::int;
use super::error::StoreError;
use super::transaction::WriteTx;
use super::types::{DOMAIN_ENTRIES, DomainNumber, Position};

/// The contents of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// The names.
    pub names: BTreeSet<Name>,
    /// What it is for.
    pub uses: BTreeSet<CertificateUse>,
    /// Whether its key shows that the thing itself is connecting: true if the thing, the registrar or a signer of the
    /// domain asked for it, and not just somebody with a role over the thing or in control of its host.
    pub shows: bool,
    /// Who said whose key it is, if that was a signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<Word>,
    /// How its holder may confirm it, if it is revoked otherwise, or that this is not needed (CMP). This is kept apart,
    /// and only for the time that its holder has for it, or until it is revoked.
    #[serde(skip)]
    pub unconfirmed: Option<Unconfirmed>,
}

/// The word of a signer that a key is that of a thing: the signer asked for a certificate of it on behalf of the thing,
/// or has named it as the thing's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The signer, by primary fingerprint.
    pub signer: Fingerprint,
    /// The entry by which the key was named, or which names the certificate for which the signer asked, if that is not
    /// this certificate: with that key, or with one that came after it in the same way, this one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
}

impl Store {
    /// What is in the certificate that an entry of a domain names, if it was issued here and is known.
    ///
    /// # Errors
    /// When the database fails.
    pub fn certified(&self, domain: DomainNumber, entry: u64) -> Result<Option<Certified>, StoreError> {
        self.shared.pool.read(|reader| {
            let mut statement = reader.log.prepare_cached("SELECT document FROM certified WHERE position = ?1")?;
            let position = Position::new(domain, entry).0;
            let found = statement.query_row([position], |row| row.get::<_, String>(0)).optional()?;
            // Damaged data count as unknown: nothing true depends on them.
            Ok(found.and_then(|document| serde_json::from_str(&document).ok()))
        })
    }

    /// The next entries of a domain, from one on, that name certificates whose contents are stored.
    ///
    /// # Errors
    /// When the database fails.
    pub fn certified_from(&self, domain: DomainNumber, from: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let (from, end) = (Position::new(domain, from).0, Position::new(domain, DOMAIN_ENTRIES).0);
        self.shared.pool.read(|reader| {
            let sql =
                "SELECT position FROM certified WHERE position >= ?1 AND position < ?2 ORDER BY position LIMIT ?3";
            let mut statement = reader.log.prepare_cached(sql)?;
            let found = statement.query_map([from, end, int(limit)], |row| Ok(Position(row.get(0)?).index()))?;
            Ok(found.collect::<Result<Vec<u64>, _>>()?)
        })
    }

    /// Deletes the contents of the certificates that these entries name. Copies of them are removed from the file with
    /// the next day ([`Store::long_ago`]): for that all of it is read.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_certified(&self, domain: DomainNumber, entries: Vec<u64>) -> Result<(), StoreError> {
        self.desk_forgetting(move |log| {
            let mut statement = log.prepare_cached("DELETE FROM certified WHERE position = ?1")?;
            for entry in entries {
                statement.execute([Position::new(domain, entry).0])?;
            }
            Ok(())
        })
    }
}

impl WriteTx<'_> {
    /// Stores what is in the certificate that an entry of this job names.
    pub fn certify(&mut self, entry: u64, certified: Certified) {
        self.draft.certified.push((entry, certified));
    }
}

/// Writes them together with the entries.
pub(crate) fn keep(log: &Connection, domain: DomainNumber, all: &[(u64, Certified)]) -> Result<(), StoreError> {
    for (entry, certified) in all {
        let document = serde_json::to_string(certified);
        let document = document.map_err(|error| StoreError::refused(format!("what was certified: {error}")))?;
        let sql = "INSERT OR REPLACE INTO certified (position, document) VALUES (?1, ?2)";
        log.prepare_cached(sql)?.execute(params![Position::new(domain, *entry).0, document])?;
        if let Some(unconfirmed) = &certified.unconfirmed {
            unconfirmed::wait(log, domain, unconfirmed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ics_core::time::Timestamp;

    use super::*;
    use crate::store::days::DAY_MILLIS;
    use crate::store::{Content, NewContent, NewEntry, Part};

    /// For copies the whole file is read, and something may be forgotten each minute.
    #[test]
    fn copies_of_what_is_forgotten_are_removed_with_the_next_day() {
        let dir = tempfile::tempdir().expect("dir");
        let store = Store::of_tests(dir.path());
        let name = "d.example".parse().expect("a name");
        let domain = store.create_domain(&name, Part::Home, None).expect("made").number;
        let job = |tx: &mut WriteTx<'_>| {
            let content = NewContent::Whole(Content { salt: [0; 16], body: vec![1] });
            let index = tx.append(NewEntry { header: vec![1], content, keys: Vec::new(), effective: true })?;
            let (names, uses) = (BTreeSet::new(), BTreeSet::new());
            tx.certify(index, Certified { names, uses, shows: true, word: None, unconfirmed: None });
            Ok::<_, StoreError>(())
        };
        store.write(domain, job).expect("queued").wait().expect("written");
        let beside = Connection::open(dir.path().join("ics.db")).expect("opens");
        let is_due = || {
            let sql = "SELECT EXISTS (SELECT 1 FROM unscrubbed)";
            beside.query_row(sql, [], |row| row.get::<_, bool>(0)).expect("reads")
        };
        let is_cleaned = || {
            let began = Instant::now();
            while is_due() {
                assert!(began.elapsed() < Duration::from_secs(60), "nobody cleans it");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        // A new file says so of what earlier versions left.
        is_cleaned();
        let day = |number: u64| Timestamp::from_millis(number * DAY_MILLIS);
        store.long_ago(day(1)).expect("is noted");
        store.forget_certified(domain, vec![0]).expect("is deleted");
        assert_eq!(store.certified(domain, 0).expect("reads"), None);
        store.long_ago(day(1)).expect("reads");
        assert!(is_due());
        store.long_ago(day(2)).expect("is noted");
        is_cleaned();
    }
}
