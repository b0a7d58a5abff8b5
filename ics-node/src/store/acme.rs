//! What the ACME server has to remember: credentials, accounts, orders, authorizations, certificates, blocks.
//!
//! It is kept in a file of its own, `acme.db`, because ACME clients cause most of its contents, and none of it is
//! needed to know what is true. Accounts and blocks are synced before they are acknowledged. Everything else is written
//! together, a few times a second: a crash may lose the latest orders, whose clients then begin again.

mod certificates;
mod holders;
pub(super) mod keeping;
mod memory;
mod together;

use core::fmt;
use std::path::Path;
use std::sync::Arc;

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use rusqlite::{Connection, OptionalExtension as _, Params, Statement, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

pub use self::certificates::Issued;
pub use self::holders::Made;
use self::memory::Memory;
use self::together::Together;
use super::columns::{millis, time};
use super::error::StoreError;
use super::wal::sync_wal;
use super::{days, make_private, schema};
use crate::acme::account::{Account, Holder};
use crate::acme::authorization::Authorization;
use crate::acme::identifier::Identifier;
use crate::acme::order::Order;

pub(crate) const FILE: &str = "acme.db";
/// How many orders, or authorizations without an order, are added between two clearings, and how many rows of each
/// table a clearing deletes.
const CLEARED_EACH: u64 = 16;
const CLEARED_AT_ONCE: u32 = 256;

/// The size of the statement cache: all statements that there are.
const STATEMENTS: usize = 57;

/// The open file.
#[derive(Debug)]
pub struct AcmeStore {
    together: Together,
    memory: Arc<Memory>,
}

/// How soon what a transaction wrote must be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged.
    Now,
    /// With the next one that must be, or soon: until then everybody here sees it, but a crash loses it.
    Soon,
}

/// A secret with which somebody known to the node can create one account.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its key id.
    pub kid: String,
    /// The domain in which it counts.
    pub domain: DomainName,
    /// The signer or thing for whom its account will speak.
    pub holder: Holder,
    /// The HS256 key.
    pub secret: Zeroizing<Vec<u8>>,
    /// Until when it can be used.
    pub expires: Timestamp,
}

/// Shows everything but the secret.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kid, domain, holder, secret: _, expires } = self;
        let mut shown = f.debug_struct("Credential");
        shown.field("kid", kid).field("domain", domain).field("holder", holder).field("expires", expires);
        shown.finish_non_exhaustive()
    }
}

/// A block: an account must not get another certificate for an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// When the block was noted.
    pub since: Timestamp,
    /// The last entry of the log that cannot lift it; `None` if it was noted by a version that recorded only the time.
    pub follows: Option<u64>,
    /// Why.
    pub why: String,
}

/// What one job reads and writes.
pub struct AcmeTx<'c>(&'c Connection, &'c Memory);

impl AcmeStore {
    /// Opens the file in the store's directory, creating it if it is missing.
    ///
    /// # Errors
    /// As [`super::Store::open`].
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        make_private(dir)?;
        let path = dir.join(FILE);
        sync_wal(&path)?;
        let open = || schema::open_writer(schema::File::Acme, &path);
        let (connection, copier) = (open()?, open()?);
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let memory = Memory::of(&connection)?;
        Ok(Self { together: Together::new([connection, copier])?, memory })
    }

    /// Runs a job that only reads; it sees everything that others have written.
    ///
    /// # Errors
    /// Those of the job.
    pub fn look<T, E>(&self, job: impl FnOnce(&AcmeTx<'_>) -> Result<T, E>) -> Result<T, E> {
        self.together.look(|connection| job(&AcmeTx(connection, &self.memory)))
    }

    /// Whether nobody who uses the file now waits for the disk.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.together.is_quick()
    }

    /// Whether any account may be blocked.
    #[must_use]
    pub fn has_blocks(&self) -> bool {
        self.memory.has_blocks()
    }

    /// An order and its authorizations, if all of it is in memory: then nobody is waited for.
    #[must_use]
    pub fn order_in_memory(&self, id: u64) -> Option<(Order, Vec<Authorization>)> {
        let order = self.memory.orders.get(id)?;
        let authorizations = order.authorizations.iter().map(|number| self.memory.authorizations.get(*number));
        let authorizations = authorizations.collect::<Option<_>>()?;
        Some((order, authorizations))
    }

    /// A certificate, by its number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn certificate(&self, domain: &DomainName, id: u64) -> Result<Option<Issued>, StoreError> {
        match self.memory.certificates.get(id) {
            Some((of, issued)) => Ok((of == *domain).then_some(issued)),
            None => self.look(|tx| tx.stored_certificate(domain, id)),
        }
    }

    /// An account of a domain, by its number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn account(&self, domain: &DomainName, id: u64) -> Result<Option<Arc<Account>>, StoreError> {
        if let Some((of, account)) = self.memory.accounts.get(&id) {
            return Ok((of == *domain).then_some(account));
        }
        self.look(|tx| {
            let account = tx.account(domain, id)?.map(Arc::new);
            if let Some(account) = &account {
                self.memory.accounts.insert(id, (domain.clone(), Arc::clone(account)));
            }
            Ok(account)
        })
    }

    /// Runs a job, alone; if it fails, nothing of it remains. A job with [`Durability::Soon`] must decide before it
    /// writes: if it fails after that, the whole transaction is rolled back, including what others have written in it.
    ///
    /// # Errors
    /// Those of the job, and when the database fails.
    pub fn with<T, E: From<StoreError>>(
        &self,
        durability: Durability,
        job: impl FnOnce(&AcmeTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.together.run(durability, |connection| job(&AcmeTx(connection, &self.memory)))
    }

    /// Whether copies may be left in the file or its write-ahead log of what was deleted: contacts of accounts that
    /// have ended, and names in what ended long ago.
    ///
    /// # Errors
    /// When the database fails.
    pub fn must_clean(&self) -> Result<bool, StoreError> {
        let (deleted, cleaned) = self.together.look(together::scrubbed)?;
        Ok(deleted > cleaned)
    }

    /// Removes deleted data from the unallocated parts of the file's pages and from the write-ahead log. This reads the
    /// whole file.
    ///
    /// # Errors
    /// When the database fails, or somebody is reading the write-ahead log.
    pub fn clean(&self) -> Result<(), StoreError> {
        self.together.clean()
    }
}

impl AcmeTx<'_> {
    /// Adds an order and returns its number.
    ///
    /// # Errors
    /// When the database fails, here and below.
    pub fn add_order(&self, order: &Order, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "INSERT INTO orders (account, created, expires, document) VALUES (?1, ?2, ?3, ?4)";
        let row = params![order.account.cast_signed(), millis(now), millis(order.expires), text(order)?];
        let id = self.insert(sql, row)?;
        self.clear_sometimes(id, now)?;
        self.1.orders.put(id, order.clone());
        Ok(id)
    }

    /// An order.
    ///
    /// # Errors
    /// As above.
    pub fn order(&self, id: u64) -> Result<Option<Order>, StoreError> {
        match self.1.orders.get(id) {
            Some(order) => Ok(Some(order)),
            None => self.document("SELECT document FROM orders WHERE id = ?1", [id.cast_signed()]),
        }
    }

    /// Changes an order, if it is still there: the transaction that made it may have been taken back meanwhile, and its
    /// number given to another order. No order ever ends at another time, and hardly two of one account at the same.
    ///
    /// # Errors
    /// As above.
    pub fn put_order(&self, id: u64, order: &Order) -> Result<(), StoreError> {
        let sql = "UPDATE orders SET document = ?2 WHERE id = ?1 AND account = ?3 AND expires = ?4";
        let row = params![id.cast_signed(), text(order)?, order.account.cast_signed(), millis(order.expires)];
        if self.0.prepare_cached(sql)?.execute(row)? > 0 {
            self.1.orders.put(id, order.clone());
        }
        Ok(())
    }

    /// The numbers of an account's newest orders, newest first.
    ///
    /// # Errors
    /// As above.
    pub fn newest_orders(&self, account: u64, limit: u32) -> Result<Vec<u64>, StoreError> {
        let sql = "SELECT id FROM orders WHERE account = ?1 ORDER BY created DESC, id DESC LIMIT ?2";
        let mut statement = self.0.prepare_cached(sql)?;
        let ids = statement.query_map(params![account.cast_signed(), limit], |row| row.get::<_, i64>(0))?;
        Ok(ids.map(|id| id.map(i64::cast_unsigned)).collect::<Result<_, _>>()?)
    }

    /// Adds an authorization and returns its number.
    ///
    /// # Errors
    /// As above.
    pub fn add_authorization(&self, authorization: &Authorization) -> Result<u64, StoreError> {
        let sql = "INSERT INTO authorization (account, identifier, expires, document) VALUES (?1, ?2, ?3, ?4)";
        let Authorization { account, identifier, expires, challenges, .. } = authorization;
        // Most follow from the record, and nobody looks for those but by their number.
        let found_by = if challenges.is_empty() { String::new() } else { identifier.query() };
        let row = params![account.cast_signed(), found_by, millis(*expires), text(authorization)?];
        let id = self.insert(sql, row)?;
        self.1.authorizations.put(id, authorization.clone());
        Ok(id)
    }

    /// Adds an authorization without an order and returns its number.
    ///
    /// # Errors
    /// As above.
    pub fn add_lone_authorization(&self, authorization: &Authorization, now: Timestamp) -> Result<u64, StoreError> {
        let id = self.add_authorization(authorization)?;
        self.clear_sometimes(id, now)?;
        Ok(id)
    }

    /// An authorization.
    ///
    /// # Errors
    /// As above.
    pub fn authorization(&self, id: u64) -> Result<Option<Authorization>, StoreError> {
        match self.1.authorizations.get(id) {
            Some(authorization) => Ok(Some(authorization)),
            None => self.document("SELECT document FROM authorization WHERE id = ?1", [id.cast_signed()]),
        }
    }

    /// Changes an authorization of an account, if it is still there.
    ///
    /// # Errors
    /// As above.
    pub fn put_authorization(&self, id: u64, authorization: &Authorization) -> Result<(), StoreError> {
        let sql = "UPDATE authorization SET expires = ?2, document = ?3 WHERE id = ?1 AND account = ?4";
        let Authorization { account, expires, .. } = authorization;
        let row = params![id.cast_signed(), millis(*expires), text(authorization)?, account.cast_signed()];
        if self.0.prepare_cached(sql)?.execute(row)? > 0 {
            self.1.authorizations.put(id, authorization.clone());
        }
        Ok(())
    }

    /// The newest authorizations of an account for an identifier that have not expired, without those that follow from
    /// the record.
    ///
    /// # Errors
    /// As above.
    pub fn authorizations(
        &self,
        account: u64,
        identifier: &Identifier,
        now: Timestamp,
    ) -> Result<Vec<Authorization>, StoreError> {
        let sql = "SELECT id, document FROM authorization WHERE account = ?1 AND identifier = ?2 AND identifier <> '' \
                   AND expires > ?3 ORDER BY id DESC LIMIT 32";
        let mut statement = self.0.prepare_cached(sql)?;
        let row = params![account.cast_signed(), identifier.query(), millis(now)];
        Ok(numbered(&mut statement, row)?.into_iter().map(|(_, authorization)| authorization).collect())
    }

    /// Blocks an account from getting another certificate for an identifier. Of two blocks, the one that holds longer
    /// stays.
    ///
    /// # Errors
    /// As above.
    pub fn block(&self, account: u64, identifier: &Identifier, block: &Block) -> Result<(), StoreError> {
        let Block { since, follows, why } = block;
        let sql = "INSERT INTO block (account, identifier, since, follows, why) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (account, identifier) DO UPDATE
             SET since = excluded.since, follows = excluded.follows, why = excluded.why
             WHERE block.follows IS NULL OR block.follows <= excluded.follows";
        let follows = follows.map(u64::cast_signed);
        self.1.note_block();
        let row = params![account.cast_signed(), identifier.query(), millis(*since), follows, why];
        self.0.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }

    /// The block on an account for an identifier, if there is one.
    ///
    /// # Errors
    /// As above.
    pub fn blocked(&self, account: u64, identifier: &Identifier) -> Result<Option<Block>, StoreError> {
        if !self.1.has_blocks() {
            return Ok(None);
        }
        let sql = "SELECT since, follows, why FROM block WHERE account = ?1 AND identifier = ?2";
        let row = params![account.cast_signed(), identifier.query()];
        Ok(self.0.prepare_cached(sql)?.query_row(row, read_block).optional()?)
    }

    /// Clears old rows each time another [`CLEARED_EACH`] rows have been added.
    fn clear_sometimes(&self, id: u64, now: Timestamp) -> Result<(), StoreError> {
        if id.is_multiple_of(CLEARED_EACH) { self.clear(now) } else { Ok(()) }
    }

    /// Deletes some of what ended long ago; until then its client can ask what became of it, and a certificate tells
    /// whom to block.
    ///
    /// # Errors
    /// As above.
    pub fn clear(&self, now: Timestamp) -> Result<(), StoreError> {
        days::note(self.0, now)?;
        let Some(before) = days::long_ago(self.0)? else { return Ok(()) };
        let deleted = self.clear_rows("orders", before, |id| self.1.orders.remove(id))?
            + self.clear_rows("authorization", before, |id| self.1.authorizations.remove(id))?
            + self.clear_rows("certificate", before, |id| self.1.certificates.remove(id))?;
        // Each row may name people. The whole file is read to find copies, so that is due only once all of a day's rows
        // are deleted.
        if deleted > 0 && !self.is_any_to_clear(before)? { self.note_due() } else { Ok(()) }
    }

    fn is_any_to_clear(&self, before: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM orders WHERE expires < ?1) \
                   OR EXISTS (SELECT 1 FROM authorization WHERE expires < ?1) \
                   OR EXISTS (SELECT 1 FROM certificate WHERE expires < ?1)";
        Ok(self.0.query_row(sql, [millis(before)], |row| row.get(0))?)
    }

    /// Notes that the file must be cleaned ([`AcmeStore::clean`]), for those who start the node after a crash as well.
    fn note_due(&self) -> Result<(), StoreError> {
        self.0.execute("UPDATE scrubbed SET ended = ended + 1", [])?;
        Ok(())
    }

    /// Deletes some rows of a table that ended before, and has memory forget them; returns how many.
    fn clear_rows(&self, table: &str, before: Timestamp, forget: impl Fn(u64)) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE expires < ?1 LIMIT {CLEARED_AT_ONCE}) \
             RETURNING id"
        );
        let (mut statement, mut deleted) = (self.0.prepare_cached(&sql)?, 0);
        for id in statement.query_map([millis(before)], |row| row.get::<_, i64>(0))? {
            forget(id?.cast_unsigned());
            deleted += 1;
        }
        Ok(deleted)
    }

    fn insert(&self, sql: &str, row: impl rusqlite::Params) -> Result<u64, StoreError> {
        self.0.prepare_cached(sql)?.execute(row)?;
        Ok(self.0.last_insert_rowid().cast_unsigned())
    }

    fn count(&self, sql: &str, row: impl rusqlite::Params) -> Result<u64, StoreError> {
        Ok(self.0.prepare_cached(sql)?.query_row(row, |row| row.get::<_, i64>(0))?.cast_unsigned())
    }

    fn document<T: DeserializeOwned>(&self, sql: &str, row: impl rusqlite::Params) -> Result<Option<T>, StoreError> {
        let document = self.0.prepare_cached(sql)?.query_row(row, |row| row.get::<_, String>(0)).optional()?;
        document.map(|document| read(&document)).transpose()
    }
}

fn read_block(row: &rusqlite::Row<'_>) -> rusqlite::Result<Block> {
    let follows = row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned);
    Ok(Block { since: time(row.get(0)?), follows, why: row.get(2)? })
}

fn text(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::corrupt(format!("acme.db: {error}")))
}

/// The numbers and documents that a query finds.
fn numbered<T: DeserializeOwned>(statement: &mut Statement<'_>, of: impl Params) -> Result<Vec<(u64, T)>, StoreError> {
    let rows = statement.query_map(of, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (id, document) = row?;
        found.push((id.cast_unsigned(), read(&document)?));
    }
    Ok(found)
}

fn read<T: DeserializeOwned>(document: &str) -> Result<T, StoreError> {
    serde_json::from_str(document).map_err(|error| StoreError::corrupt(format!("acme.db: {error}")))
}

fn damaged(what: &str) -> StoreError {
    StoreError::corrupt(format!("acme.db: a {what} is damaged"))
}

#[cfg(test)]
mod tests;
