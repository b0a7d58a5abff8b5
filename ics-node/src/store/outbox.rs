//! Submissions that wait for the home of a domain: durable before anybody is told that they wait, in order, and
//! bounded.

use ics_core::limits;
use ics_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use super::Store;
use super::check::Report;
use super::columns::{int, millis, time};
use super::error::{Full, StoreError};
use super::types::DomainNumber;

/// A body on its way to the home of its domain, or its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Increases with every body that is taken in, and is never used again.
    pub id: u64,
    /// When it was taken in.
    pub at: Timestamp,
    /// How often sending it has failed.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When the home answered, and the receipt or problem that it gave, as JSON; absent while the body waits.
    pub done: Option<(Timestamp, String)>,
}

/// Deletes what is kept of a body if its receipt is for an erased entry, which has its remnant in the place of the
/// header. If there is neither, this node may not read the entry, and the receipt is all that it has of it.
const FORGET_LATE: &str = "DELETE FROM outbox WHERE id = ?1 AND CASE WHEN json_valid(result) THEN EXISTS (\
                           SELECT 1 FROM entry \
                           WHERE position = (outbox.domain << 40) + json_extract(outbox.result, '$.receipt.index') \
                           AND body IS NULL AND salt IS NULL AND length(header) > 0) END";

const COLUMNS: &str = "id, at, attempts, last_error, done_at, result";

impl Store {
    /// Takes bodies into the outbox of a domain, one after another. A body that already waits there keeps its place,
    /// one that was admitted keeps its receipt, and one that was refused is tried again. They are returned in their
    /// present state, since a finished one may be among the oldest that are kept, and be dropped next.
    ///
    /// # Errors
    /// When the outbox of the domain is full ([`limits::OUTBOX_BODIES`], [`limits::OUTBOX_BYTES`], a tenth more for
    /// statements that `block`; then none of them is taken in), or the database fails.
    pub fn post(
        &self,
        domain: DomainNumber,
        bodies: Vec<Vec<u8>>,
        at: Timestamp,
        block: bool,
    ) -> Result<Vec<Posted>, StoreError> {
        self.desk(move |log| {
            let posted: Vec<Posted> = bodies.iter().map(|body| put(log, domain, body, at)).collect::<Result<_, _>>()?;
            let sql = "SELECT count(*), ifnull(sum(length(body)), 0) FROM outbox WHERE domain = ?1 AND done_at IS NULL";
            let (waiting, bytes): (i64, i64) =
                log.query_row(sql, [domain.get()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let room = |limit: usize| if block { limit + limit / limits::OUTBOX_BLOCKS } else { limit };
            let (most, most_bytes) = (room(limits::OUTBOX_BODIES), room(limits::OUTBOX_BYTES));
            let fits = |found: i64, most: usize| usize::try_from(found).is_ok_and(|found| found <= most);
            if fits(waiting, most) && fits(bytes, most_bytes) {
                Ok(posted)
            } else {
                Err(StoreError::Full(Full::Outbox { bodies: most, bytes: most_bytes }))
            }
        })
    }

    /// The bodies of a domain that wait after an id, in order: as many as fit a batch.
    ///
    /// # Errors
    /// When the database fails.
    pub fn waiting(&self, domain: DomainNumber, after: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.shared.pool.read(|reader| {
            let sql =
                "SELECT id, body FROM outbox WHERE domain = ?1 AND done_at IS NULL AND id > ?3 ORDER BY id LIMIT ?2";
            let mut statement = reader.log.prepare_cached(sql)?;
            let mut rows =
                statement.query(params![domain.get(), int(limits::BATCH_STATEMENTS), after.cast_signed()])?;
            let (mut waiting, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let (id, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
                bytes += body.len();
                if bytes > limits::BATCH_BYTES && !waiting.is_empty() {
                    break;
                }
                waiting.push((id.cast_unsigned(), body));
            }
            Ok(waiting)
        })
    }

    /// Whether any body of a domain waits after an id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_waiting(&self, domain: DomainNumber, after: u64) -> Result<bool, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT 1 FROM outbox WHERE domain = ?1 AND done_at IS NULL AND id > ?2 LIMIT 1";
            Ok(reader.log.prepare_cached(sql)?.exists(params![domain.get(), after.cast_signed()])?)
        })
    }

    /// Records that sending bodies has failed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn post_failed(&self, ids: Vec<u64>, why: String) -> Result<(), StoreError> {
        self.desk(move |log| {
            let sql = "UPDATE outbox SET attempts = attempts + 1, last_error = ?2 WHERE id = ?1";
            let mut statement = log.prepare_cached(sql)?;
            ids.iter().try_for_each(|id| statement.execute(params![id.cast_signed(), why]).map(|_| ()))?;
            Ok(())
        })
    }

    /// Records the home's results for bodies. The last [`limits::OUTBOX_DONE`] receipts and as many refusals are kept:
    /// a refusal is recorded nowhere else. Nothing is kept of what was erased before its receipt came.
    ///
    /// # Errors
    /// When the database fails.
    pub fn post_done(
        &self,
        domain: DomainNumber,
        results: Vec<(u64, String)>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.desk_erasing(move |log| {
            let sql = "UPDATE outbox SET done_at = ?2, result = ?3, body = NULL, last_error = NULL WHERE id = ?1";
            let mut statement = log.prepare_cached(sql)?;
            let mut forget = log.prepare_cached(FORGET_LATE)?;
            let mut late = 0;
            for (id, result) in &results {
                statement.execute(params![id.cast_signed(), millis(at), result])?;
                late += forget.execute([id.cast_signed()])?;
            }
            let old = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE domain = ?1 AND done_at IS NOT NULL \
                       AND (json_extract(result, '$.problem') IS NULL) = ?3 \
                       ORDER BY done_at DESC, id DESC LIMIT -1 OFFSET ?2)";
            for receipts in [true, false] {
                log.execute(old, params![domain.get(), int(limits::OUTBOX_DONE), receipts])?;
            }
            Ok(((), late > 0))
        })
    }

    /// Ends waiting bodies of a domain that were refused, given the SHA-256 of each and the problem as JSON; returns
    /// how many there were. Bodies that no longer wait stay as they are.
    ///
    /// # Errors
    /// When the database fails.
    pub fn post_refused(
        &self,
        domain: DomainNumber,
        refused: Vec<([u8; 32], String)>,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        self.desk(move |log| {
            let sql = "UPDATE outbox SET done_at = ?3, result = ?4, body = NULL, last_error = NULL \
                       WHERE domain = ?1 AND hash = ?2 AND done_at IS NULL";
            let mut statement = log.prepare_cached(sql)?;
            let mut ended = 0;
            for (hash, result) in &refused {
                ended += statement.execute(params![domain.get(), hash, millis(at), result])?;
            }
            Ok(ended as u64)
        })
    }

    /// One body by its id; `None` if it is no longer kept.
    ///
    /// # Errors
    /// When the database fails.
    pub fn posted(&self, id: u64) -> Result<Option<Posted>, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = format!("SELECT {COLUMNS} FROM outbox WHERE id = ?1");
            Ok(reader.log.prepare_cached(&sql)?.query_row([id.cast_signed()], posted).optional()?)
        })
    }

    /// The outbox of a domain: what waits, in order; then what was refused, and what is in the log, newest first; at
    /// most `limit` of each.
    ///
    /// # Errors
    /// When the database fails.
    pub fn outbox(&self, domain: DomainNumber, limit: usize) -> Result<Vec<Posted>, StoreError> {
        self.shared.pool.read(|reader| {
            let mut all = Vec::new();
            for rest in [
                "done_at IS NULL ORDER BY id",
                "json_extract(result, '$.problem') IS NOT NULL ORDER BY done_at DESC, id DESC",
                "json_extract(result, '$.problem') IS NULL AND done_at IS NOT NULL ORDER BY done_at DESC, id DESC",
            ] {
                let sql = format!("SELECT {COLUMNS} FROM outbox WHERE domain = ?1 AND {rest} LIMIT ?2");
                let mut statement = reader.log.prepare_cached(&sql)?;
                let found = statement.query_map(params![domain.get(), int(limit)], posted)?;
                all.extend(found.collect::<Result<Vec<_>, _>>()?);
            }
            Ok(all)
        })
    }

    /// How many bodies of a domain wait, and since when the first of them has waited.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count_waiting(&self, domain: DomainNumber) -> Result<(u64, Option<Timestamp>), StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT count(*), min(at) FROM outbox WHERE domain = ?1 AND done_at IS NULL";
            let mut statement = reader.log.prepare_cached(sql)?;
            Ok(statement.query_row([domain.get()], |row| {
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, Option<i64>>(1)?.map(time)))
            })?)
        })
    }
}

/// Deletes the receipt of an erased entry, and the digest of what was sent: with the receipt's salt and header,
/// somebody who guesses the body could prove that it was this one. What cannot be parsed is not a receipt.
pub(crate) fn forget(log: &Connection, domain: DomainNumber, entry: u64) -> Result<(), StoreError> {
    let sql = "DELETE FROM outbox WHERE domain = ?1 AND done_at IS NOT NULL \
               AND CASE WHEN json_valid(result) THEN json_extract(result, '$.receipt.index') = ?2 END";
    log.prepare_cached(sql)?.execute(params![domain.get(), entry.cast_signed()])?;
    Ok(())
}

/// Checks that what waits still has the digest under which it was taken in (and so can be parsed), and that the results
/// of the rest can be parsed. A store last opened by an older version may have no outbox yet.
pub(crate) fn check(log: &Connection, report: &mut Report) -> Result<(), StoreError> {
    if !log.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'outbox'")?.exists([])? {
        return Ok(());
    }
    let sql = "SELECT name, id, hash, body, done_at, done_at IS NULL OR ifnull(json_valid(result), 0) \
               FROM outbox JOIN domain ON domain = number ORDER BY id";
    let mut statement = log.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, id): (String, i64) = (row.get(0)?, row.get(1)?);
        let (hash, body): ([u8; 32], Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
        let (done, is_readable): (Option<i64>, bool) = (row.get(4)?, row.get(5)?);
        let fits = |body: &[u8]| <[u8; 32]>::from(Sha256::digest(body)) == hash;
        if done.is_none() && !body.as_deref().is_some_and(fits) {
            report.find(format!(
                "submission {id} in the outbox of `{name}` is not what was accepted: whoever made it must submit it \
                 again"
            ));
        }
        if !is_readable {
            report.find(format!("what became of submission {id} in the outbox of `{name}` cannot be read"));
        }
    }
    Ok(())
}

fn put(log: &Connection, domain: DomainNumber, body: &[u8], at: Timestamp) -> Result<Posted, StoreError> {
    let hash: [u8; 32] = Sha256::digest(body).into();
    // A refusal need not be final: what was missing may be there by now.
    let refused =
        "DELETE FROM outbox WHERE domain = ?1 AND hash = ?2 AND json_extract(result, '$.problem') IS NOT NULL";
    log.prepare_cached(refused)?.execute(params![domain.get(), hash])?;
    let sql = "INSERT OR IGNORE INTO outbox (domain, hash, body, at) VALUES (?1, ?2, ?3, ?4)";
    log.prepare_cached(sql)?.execute(params![domain.get(), hash, body, millis(at)])?;
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE domain = ?1 AND hash = ?2");
    Ok(log.prepare_cached(&sql)?.query_row(params![domain.get(), hash], posted)?)
}

fn posted(row: &Row<'_>) -> rusqlite::Result<Posted> {
    let done: Option<i64> = row.get(4)?;
    Ok(Posted {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        at: time(row.get(1)?),
        attempts: row.get(2)?,
        last_error: row.get(3)?,
        done: done.map(time).zip(row.get(5)?),
    })
}
