//! What domains of this node take over from others by themselves, and how far they have come.

use ics_core::vocabulary::DomainName;
use rusqlite::{OptionalExtension as _, params};

use super::Store;
use super::error::StoreError;
use super::types::DomainNumber;

/// What a domain follows in another one: an identity's id, or what begins with `{`, a choice by attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following {
    /// The domain that is followed.
    pub source: DomainName,
    /// Entries of its log that were looked at.
    pub upto: u64,
    /// Identities that are followed one by one.
    pub identities: u64,
    /// Choices by attributes.
    pub choices: Vec<String>,
}

impl Store {
    /// Has a domain follow things in another one from `upto` on, or from where it is with others if that is before.
    ///
    /// # Errors
    /// When the database fails.
    pub fn follow(
        &self,
        domain: DomainNumber,
        source: &DomainName,
        what: Vec<String>,
        upto: u64,
    ) -> Result<(), StoreError> {
        let source = source.to_string();
        self.desk(move |log| {
            let mut statement = log.prepare_cached("INSERT OR IGNORE INTO follow VALUES (?1, ?2, ?3)")?;
            for what in &what {
                statement.execute(params![domain.get(), source, what])?;
            }
            let sql = "INSERT INTO follow_cursor VALUES (?1, ?2, ?3) \
                       ON CONFLICT (domain, source) DO UPDATE SET size = min(size, excluded.size)";
            log.execute(sql, params![domain.get(), source, upto.cast_signed()])?;
            Ok(())
        })
    }

    /// Ends that; gives how many of them were followed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unfollow(&self, domain: DomainNumber, source: &DomainName, what: Vec<String>) -> Result<usize, StoreError> {
        let source = source.to_string();
        self.desk(move |log| {
            let sql = "DELETE FROM follow WHERE domain = ?1 AND source = ?2 AND what = ?3";
            let mut statement = log.prepare_cached(sql)?;
            let mut ended = 0;
            for what in &what {
                ended += statement.execute(params![domain.get(), source, what])?;
            }
            let sql = "DELETE FROM follow_cursor WHERE domain = ?1 AND source = ?2 \
                       AND NOT EXISTS (SELECT 1 FROM follow WHERE domain = ?1 AND source = ?2)";
            log.execute(sql, params![domain.get(), source])?;
            Ok(ended)
        })
    }

    /// What a domain follows, by source.
    ///
    /// # Errors
    /// When the database fails.
    pub fn followed(&self, domain: DomainNumber) -> Result<Vec<Following>, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT source, size FROM follow_cursor WHERE domain = ?1 ORDER BY source";
            let mut statement = reader.log.prepare_cached(sql)?;
            let found = statement.query_map([domain.get()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let cursors: Vec<(String, i64)> = found.collect::<Result<_, _>>()?;
            let mut all = Vec::new();
            for (source, upto) in cursors {
                let Ok(name) = source.parse() else { continue };
                let sql = "SELECT count(*) FROM follow WHERE domain = ?1 AND source = ?2 AND what NOT LIKE '{%'";
                let mut count = reader.log.prepare_cached(sql)?;
                let identities: i64 = count.query_row(params![domain.get(), source], |row| row.get(0))?;
                let sql = "SELECT what FROM follow WHERE domain = ?1 AND source = ?2 AND what LIKE '{%' ORDER BY what";
                let mut chosen = reader.log.prepare_cached(sql)?;
                let choices = chosen.query_map(params![domain.get(), source], |row| row.get(0))?;
                all.push(Following {
                    source: name,
                    upto: upto.cast_unsigned(),
                    identities: identities.cast_unsigned(),
                    choices: choices.collect::<Result<_, _>>()?,
                });
            }
            Ok(all)
        })
    }

    /// Whether a domain follows an identity in another one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_followed(&self, domain: DomainNumber, source: &DomainName, id: &str) -> Result<bool, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT 1 FROM follow WHERE domain = ?1 AND source = ?2 AND what = ?3";
            let mut statement = reader.log.prepare_cached(sql)?;
            let found: Option<i64> =
                statement.query_row(params![domain.get(), source.as_str(), id], |row| row.get(0)).optional()?;
            Ok(found.is_some())
        })
    }

    /// The ids of what a domain follows one by one in another one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn followed_ids(&self, domain: DomainNumber, source: &DomainName) -> Result<Vec<String>, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT what FROM follow WHERE domain = ?1 AND source = ?2 AND what NOT LIKE '{%' ORDER BY what";
            let mut statement = reader.log.prepare_cached(sql)?;
            let ids = statement.query_map(params![domain.get(), source.as_str()], |row| row.get(0))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }

    /// Says how far another log was followed, by whoever had begun at `from`; false where that is not so any more.
    ///
    /// # Errors
    /// When the database fails.
    pub fn follow_upto(
        &self,
        domain: DomainNumber,
        source: &DomainName,
        from: u64,
        upto: u64,
    ) -> Result<bool, StoreError> {
        let source = source.to_string();
        self.desk(move |log| {
            let sql = "UPDATE follow_cursor SET size = ?4 WHERE domain = ?1 AND source = ?2 AND size = ?3";
            Ok(log.execute(sql, params![domain.get(), source, from.cast_signed(), upto.cast_signed()])? > 0)
        })
    }
}
