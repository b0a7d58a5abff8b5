//! What is kept in memory of `acme.db`: accounts, from one of which every request comes, and what clients ask for again
//! a moment after it was made.
//!
//! All of it is added and removed while a job runs, so that none is older than the file; and what a transaction wrote
//! is forgotten with everything else if SQLite takes that transaction back, which it may do by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ics_core::vocabulary::DomainName;
use quick_cache::sync::Cache;
use rusqlite::Connection;

use super::Issued;
use crate::acme::account::Account;
use crate::acme::authorization::Authorization;
use crate::acme::order::Order;
use crate::locked::Locked as _;

/// How many accounts are kept.
const ACCOUNTS: usize = 4096;
/// How many orders, authorizations and certificates are kept of each. A certificate with its issuers takes a few KiB.
const NEWEST: usize = 256;

/// See the module. Rows are kept by their numbers.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) accounts: Cache<u64, (DomainName, Arc<Account>)>,
    pub(super) orders: Newest<Order>,
    pub(super) authorizations: Newest<Authorization>,
    pub(super) certificates: Newest<(DomainName, Issued)>,
    /// The issuers above the last certificate, as PEM, and their number.
    above: Mutex<Option<(Arc<str>, i64)>>,
    /// Whether any account may be blocked. Most nodes never block one.
    has_blocks: AtomicBool,
}

impl Memory {
    /// Nothing yet; from now on, whatever the connection takes back is forgotten.
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Arc<Self>> {
        let has_blocks = connection.query_row("SELECT EXISTS (SELECT 1 FROM block)", [], |row| row.get(0))?;
        let memory = Arc::new(Self {
            accounts: Cache::new(ACCOUNTS),
            orders: Newest::default(),
            authorizations: Newest::default(),
            certificates: Newest::default(),
            above: Mutex::default(),
            has_blocks: AtomicBool::new(has_blocks),
        });
        let of_hook = Arc::clone(&memory);
        connection.rollback_hook(Some(move || of_hook.forget()))?;
        Ok(memory)
    }

    /// Forgets all rows.
    pub(super) fn forget(&self) {
        self.accounts.clear();
        self.orders.clear();
        self.authorizations.clear();
        self.certificates.clear();
        *self.last_above() = None;
    }

    fn last_above(&self) -> MutexGuard<'_, Option<(Arc<str>, i64)>> {
        self.above.locked()
    }

    /// The number of these issuers, if they are above the last certificate, too.
    pub(super) fn above(&self, pem: &Arc<str>) -> Option<i64> {
        self.last_above().as_ref().filter(|(last, _)| last == pem).map(|(_, number)| *number)
    }

    pub(super) fn note_above(&self, pem: &Arc<str>, number: i64) {
        *self.last_above() = Some((Arc::clone(pem), number));
    }

    /// To be called before the first account is blocked.
    pub(super) fn note_block(&self) {
        self.has_blocks.store(true, Ordering::Release);
    }

    /// Whether the file has to be asked whether an account is blocked.
    pub(super) fn has_blocks(&self) -> bool {
        self.has_blocks.load(Ordering::Acquire)
    }
}

/// The newest [`NEWEST`] rows of a table, whose numbers grow.
#[derive(Debug)]
pub(super) struct Newest<T>(Mutex<BTreeMap<u64, T>>);

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Newest<T> {
    pub(super) fn get(&self, id: u64) -> Option<T> {
        self.rows().get(&id).cloned()
    }

    pub(super) fn put(&self, id: u64, row: T) {
        let mut rows = self.rows();
        rows.insert(id, row);
        if rows.len() > NEWEST {
            rows.pop_first();
        }
    }

    pub(super) fn remove(&self, id: u64) {
        self.rows().remove(&id);
    }

    fn clear(&self) {
        self.rows().clear();
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<u64, T>> {
        self.0.locked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_rows_are_kept() {
        let newest = Newest::default();
        let last = NEWEST as u64;
        (0..=last).for_each(|id| newest.put(id, id));
        assert_eq!([0, 1, last].map(|id| newest.get(id)), [None, Some(1), Some(last)]);
        newest.remove(2);
        newest.put(0, 0);
        assert_eq!([0, 1, 2].map(|id| newest.get(id)), [Some(0), Some(1), None], "there is room for an older one");
    }
}
