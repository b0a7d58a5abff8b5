//! Grants after which a domain of this node looks again at what it follows: what the grantee said there, and was
//! refused because the role was missing, may be taken over now.
//!
//! They are stored by the commit of the grant, for each followed domain, and deleted when the domain has looked. So
//! neither a crash nor a restart loses one, and a hundred of them cost one look at each thing concerned.

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use rusqlite::{Connection, params};

use super::Store;
use super::columns::millis;
use super::error::StoreError;
use super::transaction::WriteTx;
use super::types::DomainNumber;

/// How many grants of each kind are handled at once, at most.
const AT_ONCE: i64 = 500;

/// A grant in a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    entry: u64,
    thing: String,
    begins: Timestamp,
}

/// Grants of a domain after which it still has to look again at another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unheeded {
    /// The grants over things: their indices in the domain's log, and the ids of the things.
    pub things: Vec<(u64, String)>,
    /// The indices of grants over groups.
    pub groups: Vec<u64>,
}

impl Unheeded {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.things.is_empty() && self.groups.is_empty()
    }
}

impl Store {
    /// The first grants of a domain, already in force, after which it still has to look again at another one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unheeded(&self, domain: DomainNumber, source: &DomainName, now: Timestamp) -> Result<Unheeded, StoreError> {
        let now = millis(now);
        self.shared.pool.read(|reader| {
            let sql = "SELECT entry, thing FROM follow_grant WHERE domain = ?1 AND source = ?2 AND begins <= ?3 \
                       AND (thing = '') = ?4 ORDER BY entry LIMIT ?5";
            let mut statement = reader.log.prepare_cached(sql)?;
            let mut found = |of_groups: bool| -> Result<Vec<(u64, String)>, StoreError> {
                let rows = statement
                    .query_map(params![domain.get(), source.as_str(), now, of_groups, AT_ONCE], |row| {
                        Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
                    })?;
                Ok(rows.collect::<Result<_, _>>()?)
            };
            let (things, groups) = (found(false)?, found(true)?);
            Ok(Unheeded { things, groups: groups.into_iter().map(|(entry, _)| entry).collect() })
        })
    }

    /// Records that a domain has looked again at another one because of these grants.
    ///
    /// # Errors
    /// When the database fails.
    pub fn have_heeded(&self, domain: DomainNumber, source: &DomainName, entries: Vec<u64>) -> Result<(), StoreError> {
        let source = source.clone();
        self.desk(move |log| forget(log, domain, &source, &entries))
    }

    /// Makes a domain look again at everything that another one says because of these grants; false if it is still at
    /// the beginning there, since it may have looked before it had the grants.
    ///
    /// # Errors
    /// When the database fails.
    pub fn heed_anew(&self, domain: DomainNumber, source: &DomainName, entries: Vec<u64>) -> Result<bool, StoreError> {
        let source = source.clone();
        self.desk(move |log| {
            let sql = "UPDATE follow_cursor SET size = 0 WHERE domain = ?1 AND source = ?2 AND size > 0";
            let is_sent_back = log.execute(sql, params![domain.get(), source.as_str()])? > 0;
            if is_sent_back {
                forget(log, domain, &source, &entries)?;
            }
            Ok(is_sent_back)
        })
    }
}

impl WriteTx<'_> {
    /// Makes the domain look again, because of one of its own grants, at a thing in all domains that it follows, or at
    /// everything that they say if `thing` is `None`. It does so once the grant is in force.
    pub fn follow_granted(&mut self, entry: u64, thing: Option<String>, begins: Timestamp) {
        self.draft.granted.push(Granted { entry, thing: thing.unwrap_or_default(), begins });
    }
}

/// Stores grants for each followed domain.
pub(crate) fn note(log: &Connection, domain: DomainNumber, granted: &[Granted]) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO follow_grant \
               SELECT domain, source, ?2, ?3, ?4 FROM follow_cursor WHERE domain = ?1";
    for Granted { entry, thing, begins } in granted {
        log.prepare_cached(sql)?.execute(params![domain.get(), entry.cast_signed(), thing, millis(*begins)])?;
    }
    Ok(())
}

fn forget(log: &Connection, domain: DomainNumber, source: &DomainName, entries: &[u64]) -> Result<(), StoreError> {
    let sql = "DELETE FROM follow_grant WHERE domain = ?1 AND source = ?2 AND entry = ?3";
    let mut statement = log.prepare_cached(sql)?;
    for entry in entries {
        statement.execute(params![domain.get(), source.as_str(), entry.cast_signed()])?;
    }
    Ok(())
}
