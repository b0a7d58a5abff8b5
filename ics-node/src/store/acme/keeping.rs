//! Copying and checking `acme.db`: accounts and blocks must survive the loss of a disk as the log does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use ics_core::identity::Fingerprint;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::{FILE, Issued, read};
use crate::acme::account::{Account, AccountStatus, Holder};
use crate::acme::authorization::Authorization;
use crate::acme::order::Order;
use crate::store::backup::copy_file;
use crate::store::check::Report;
use crate::store::error::StoreError;
use crate::store::wal::wal_of;
use crate::store::{make_private, schema, sync_names};

/// Copies the file of a store, if it has one; another process may be using it. Credentials that have not yet made their
/// accounts are left out: they are secrets, and expire soon.
pub(crate) fn copy(dir: &Path, to: &Path) -> Result<(), StoreError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(());
    }
    make_private(to)?;
    let unfinished = to.join(".new-acme");
    {
        let source = schema::open_reader(&path)?;
        let mut target = Connection::open(&unfinished)?;
        if Backup::new(&source, &mut target)?.step(-1)? != StepResult::Done {
            return Err(StoreError::refused("acme.db was busy; the backup is not complete"));
        }
        target.pragma_update(None, "secure_delete", true)?;
        target.execute("DELETE FROM credential", [])?;
        target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    }
    put(&unfinished, to)
}

/// Puts a copy of the file where there is none, or in place of a damaged one, which is moved to `aside`. A sound file
/// stays: it knows what was blocked since the copy was made. Returns whether one was moved aside.
pub(crate) fn put_back(copy: &Path, dir: &Path, aside: &Path) -> Result<bool, StoreError> {
    let (from, path) = (copy.join(FILE), dir.join(FILE));
    let mut report = Report::default();
    check(dir, &mut report)?;
    if !from.exists() || (path.exists() && report.findings.is_empty()) {
        return Ok(false);
    }
    let is_replaced = path.exists();
    for name in ["", "-wal", "-shm"].map(|end| format!("{FILE}{end}")) {
        let path = dir.join(&name);
        if path.exists() {
            make_private(aside)?;
            std::fs::rename(&path, aside.join(&name)).map_err(StoreError::io(&path))?;
        }
    }
    let unfinished = dir.join(".new-acme");
    copy_file(&from, &unfinished)?;
    // If the copy was not closed properly, its last commits are only in its write-ahead log. Both files are copied
    // unchanged, so that [`is_of_copy`] recognises them.
    if wal_of(&from).exists() {
        let wal = wal_of(&path);
        copy_file(&wal_of(&from), &wal)?;
        File::open(&wal).and_then(|file| file.sync_all()).map_err(StoreError::io(&wal))?;
    }
    put(&unfinished, dir)?;
    Ok(is_replaced)
}

/// A holder for whom valid accounts speak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Speaking {
    /// The domain.
    pub domain: String,
    /// The signer or the thing.
    pub holder: Fingerprint,
    /// How many accounts.
    pub accounts: u64,
}

/// The holders for whom a store's valid accounts speak, by domain and holder; another process may be using the store.
///
/// # Errors
/// When the file cannot be read.
pub fn speaking(dir: &Path) -> Result<Vec<Speaking>, StoreError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let acme = schema::open_reader(&path)?;
    schema::check_known(schema::File::Acme, &path, &acme)?;
    let mut statement = acme.prepare("SELECT domain, document FROM account")?;
    let mut rows = statement.query([])?;
    let mut counted: BTreeMap<(String, Fingerprint), u64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (domain, document): (String, String) = (row.get(0)?, row.get(1)?);
        let account = read::<Account>(&document)?;
        if account.status == AccountStatus::Valid {
            let (Holder::Signer(holder) | Holder::Thing(holder)) = account.holder;
            *counted.entry((domain, holder)).or_default() += 1;
        }
    }
    let speaking = counted.into_iter().map(|((domain, holder), accounts)| Speaking { domain, holder, accounts });
    Ok(speaking.collect())
}

/// Whether the ACME file of a store is exactly that of a copy: then it lacks what was blocked since the copy was made.
/// A file that was used since is different.
///
/// # Errors
/// When a file cannot be read.
pub fn is_of_copy(copy: &Path, dir: &Path) -> Result<bool, StoreError> {
    let (from, path) = (copy.join(FILE), dir.join(FILE));
    if !from.exists() || !path.exists() {
        return Ok(false);
    }
    Ok(digest(&from)? == digest(&path)?)
}

/// The digest of a database together with its write-ahead log.
fn digest(path: &Path) -> Result<[u8; 32], StoreError> {
    let mut hasher = Sha256::new();
    hash(path, &mut hasher)?;
    let wal = wal_of(path);
    if wal.exists() {
        hash(&wal, &mut hasher)?;
    }
    Ok(hasher.finalize().into())
}

fn hash(path: &Path, hasher: &mut Sha256) -> Result<(), StoreError> {
    let mut read = || -> std::io::Result<()> {
        let mut file = BufReader::new(File::open(path)?);
        loop {
            let bytes = file.fill_buf()?;
            if bytes.is_empty() {
                return Ok(());
            }
            hasher.update(bytes);
            let length = bytes.len();
            file.consume(length);
        }
    };
    read().map_err(StoreError::io(path))
}

/// Gives a finished file its final name, durably.
fn put(unfinished: &Path, dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(FILE);
    std::fs::File::open(unfinished).and_then(|file| file.sync_all()).map_err(StoreError::io(unfinished))?;
    std::fs::rename(unfinished, &path).map_err(StoreError::io(&path))?;
    sync_names(dir)
}

/// Checks the file of a store, if it has one: its structure, its references, and every document.
pub(crate) fn check(dir: &Path, report: &mut Report) -> Result<(), StoreError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(());
    }
    match look_through(&path, report) {
        Err(error @ (StoreError::Corrupt { .. } | StoreError::Newer { .. })) => {
            report.find(error.to_string());
            Ok(())
        }
        other => other,
    }
}

fn look_through(path: &Path, report: &mut Report) -> Result<(), StoreError> {
    let acme = schema::open_reader(path)?;
    schema::check_known(schema::File::Acme, path, &acme)?;
    let acme = acme.unchecked_transaction()?;
    let verdict = schema::quick_check(&acme)?;
    if verdict != "ok" {
        report.find(format!("{FILE}: {verdict}"));
        return Ok(());
    }
    let orphans: i64 = acme.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if orphans > 0 {
        report.find(format!("{FILE}: {orphans} rows refer to others that are not there"));
    }
    documents::<Account>(&acme, "account", report)?;
    documents::<Order>(&acme, "orders", report)?;
    documents::<Authorization>(&acme, "authorization", report)?;
    documents::<Issued>(&acme, "certificate", report)
}

fn documents<T: DeserializeOwned>(acme: &Connection, table: &str, report: &mut Report) -> Result<(), StoreError> {
    let mut statement = acme.prepare(&format!("SELECT id, document FROM {table}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, document): (i64, String) = (row.get(0)?, row.get(1)?);
        if let Err(error) = read::<T>(&document) {
            report.find(format!("{FILE}: {table} {id}: {error}"));
        }
    }
    Ok(())
}
