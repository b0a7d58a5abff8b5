//! The index file: merging into it and reading from it.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::store::error::StoreError;
use crate::store::types::{DomainNumber, Key, Position};

/// How far a domain is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Entries whose postings are in the index.
    pub(crate) upto: u64,
    /// Leaf data of the last of them: shows that the index belongs to this log.
    pub(crate) leaf: [u8; 32],
}

/// Adds postings, in order, and notes the progress, in one transaction.
pub(crate) fn merge(
    connection: &mut Connection,
    postings: &BTreeSet<(Key, Position)>,
    progress: &BTreeMap<DomainNumber, Progress>,
) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        // A catch-up after a crash may meet postings that are there already.
        let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO posting VALUES (?1, ?2)")?;
        for (key, position) in postings {
            insert.execute([key.0, position.0])?;
        }
        let mut note = transaction.prepare_cached("INSERT OR REPLACE INTO progress VALUES (?1, ?2, ?3)")?;
        for (domain, progress) in progress {
            note.execute(params![domain.get(), progress.upto.cast_signed(), progress.leaf])?;
        }
    }
    Ok(transaction.commit()?)
}

/// How far a domain is indexed in the file.
pub(crate) fn progress(connection: &Connection, domain: DomainNumber) -> Result<Option<Progress>, StoreError> {
    let sql = "SELECT indexed_upto, leaf FROM progress WHERE domain = ?1";
    let read =
        |row: &rusqlite::Row<'_>| Ok(Progress { upto: row.get::<_, i64>(0)?.cast_unsigned(), leaf: row.get(1)? });
    Ok(connection.query_row(sql, [domain.get()], read).optional()?)
}

/// Domains of which the index knows something.
pub(crate) fn domains(connection: &Connection) -> Result<Vec<u32>, StoreError> {
    let mut statement = connection.prepare("SELECT domain FROM progress")?;
    let domains = statement.query_map([], |row| row.get(0))?;
    Ok(domains.collect::<Result<_, _>>()?)
}

/// The next postings of a key in the file, from `from` to below `end`, in order, `limit` at most.
pub(crate) fn read(
    connection: &Connection,
    key: Key,
    from: Position,
    end: Position,
    limit: usize,
) -> Result<Vec<Position>, StoreError> {
    let sql = "SELECT position FROM posting WHERE key = ?1 AND position >= ?2 AND position < ?3 \
               ORDER BY position LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let positions = statement
        .query_map(params![key.0, from.0, end.0, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            row.get(0).map(Position)
        })?;
    Ok(positions.collect::<Result<_, _>>()?)
}
