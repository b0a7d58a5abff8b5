//! The index file: merging into it and reading from it.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::filter::Filter;
use crate::background::breathe;
use crate::store::error::StoreError;
use crate::store::types::{DomainNumber, Key, Position};

/// How far a domain is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How many entries have their postings in the index.
    pub(crate) upto: u64,
    /// The leaf data of the last of these; it shows that the index belongs to this log.
    pub(crate) leaf: [u8; 32],
}

/// How many rows are written before yielding to others who wait for the processor.
const ROWS_A_BREATH: usize = 16;

/// The most positions in one row, and so the most that a look-up reads in vain.
const BLOCK: usize = 64;

/// Adds postings and records the progress in one transaction: after a crash there are both or neither, so no posting is
/// added twice. The postings come in parts, in order; no key occurs in two parts.
pub(crate) fn merge(
    connection: &mut Connection,
    parts: impl IntoIterator<Item = Vec<(Key, Position)>>,
    progress: &BTreeMap<DomainNumber, Progress>,
    forgotten: &BTreeSet<(Key, Position)>,
) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO posting VALUES (?1, ?2, ?3, ?4)")?;
        for postings in parts {
            // A block belongs to one domain: later postings of the domain go into later blocks, and a block is found by
            // its first position.
            let of_one = |a: &(Key, Position), b: &(Key, Position)| a.0 == b.0 && a.1.domain() == b.1.domain();
            let blocks = postings.chunk_by(of_one).flat_map(|of_key| of_key.chunks(BLOCK));
            for (number, block) in blocks.enumerate() {
                if number % ROWS_A_BREATH == 0 {
                    breathe();
                }
                let [(key, first), others @ ..] = block else { continue };
                let more = distances(*first, others);
                insert.execute(params![key.0, first.0, more, checksum(*key, *first, more.as_deref())])?;
            }
        }
        let mut note = transaction.prepare_cached("INSERT OR REPLACE INTO progress VALUES (?1, ?2, ?3)")?;
        for (domain, progress) in progress {
            note.execute(params![domain.get(), progress.upto.cast_signed(), progress.leaf])?;
        }
    }
    forgotten.iter().try_for_each(|(key, position)| remove(&transaction, *key, *position))?;
    Ok(transaction.commit()?)
}

/// Removes one posting from the block that holds it.
fn remove(connection: &Connection, key: Key, position: Position) -> Result<(), StoreError> {
    let positions = block_around(connection, key, position)?;
    let Some(first) = positions.first().filter(|_| positions.contains(&position)) else { return Ok(()) };
    connection.execute("DELETE FROM posting WHERE key = ?1 AND position = ?2", params![key.0, first.0])?;
    let left: Vec<_> = positions.iter().filter(|other| **other != position).map(|other| (key, *other)).collect();
    if let [(_, first), others @ ..] = left.as_slice() {
        let more = distances(*first, others);
        let sum = checksum(key, *first, more.as_deref());
        connection.execute("INSERT INTO posting VALUES (?1, ?2, ?3, ?4)", params![key.0, first.0, more, sum])?;
    }
    Ok(())
}

/// The positions in the block that holds this one, if there is such a block.
fn block_around(connection: &Connection, key: Key, position: Position) -> Result<Vec<Position>, StoreError> {
    let sql = "SELECT position, more, checksum FROM posting WHERE key = ?1 AND position <= ?2 \
               ORDER BY position DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![key.0, position.0])?;
    let mut positions = Vec::new();
    let Some(row) = rows.next()? else { return Ok(positions) };
    let (mut last, mut rest) = block(key, row)?;
    positions.push(last);
    while !rest.is_empty() {
        last = next_position(last, &mut rest).ok_or_else(damaged)?;
        positions.push(last);
    }
    Ok(positions)
}

/// The first position of a row, and the encoded distances of the others.
fn block<'r>(key: Key, row: &'r Row<'_>) -> Result<(Position, &'r [u8]), StoreError> {
    let first = Position(row.get(0).map_err(|_| damaged())?);
    let more = row.get_ref(1)?.as_blob_or_null().map_err(|_| damaged())?;
    let stored: i32 = row.get(2).map_err(|_| damaged())?;
    if stored == checksum(key, first, more) { Ok((first, more.unwrap_or_default())) } else { Err(damaged()) }
}

fn damaged() -> StoreError {
    StoreError::corrupt("the index has a damaged block of postings")
}

/// FNV-1a over a row, its halves folded into one: detects accidental damage, within nanoseconds.
fn checksum(key: Key, first: Position, more: Option<&[u8]>) -> i32 {
    let numbers = [key.0.to_le_bytes(), first.0.to_le_bytes()];
    let bytes = numbers.as_flattened().iter().chain(more.unwrap_or_default());
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let sum: u64 = bytes.fold(0xcbf2_9ce4_8422_2325, step);
    let [.., a, b, c, d] = (sum ^ (sum >> 32)).to_be_bytes();
    i32::from_be_bytes([a, b, c, d])
}

/// Each position as its distance from the one before, in LEB128; `None` if there are no others.
fn distances(first: Position, others: &[(Key, Position)]) -> Option<Vec<u8>> {
    if others.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(others.len());
    let mut last = first;
    for (_, position) in others {
        let mut distance = (position.0 - last.0).cast_unsigned();
        while distance >= 0x80 {
            bytes.push(distance.to_le_bytes()[0] | 0x80);
            distance >>= 7;
        }
        bytes.push(distance.to_le_bytes()[0]);
        last = *position;
    }
    Some(bytes)
}

/// Takes the position after `last` off the front of what [`distances`] has made.
fn next_position(last: Position, bytes: &mut &[u8]) -> Option<Position> {
    let mut distance = 0_i64;
    for shift in (0..63).step_by(7) {
        let (digit, rest) = bytes.split_first()?;
        *bytes = rest;
        distance |= i64::from(digit & 0x7f) << shift;
        if digit & 0x80 == 0 {
            return last.0.checked_add(distance).map(Position);
        }
    }
    None
}

/// How far a domain is indexed in the file.
pub(crate) fn progress(connection: &Connection, domain: DomainNumber) -> Result<Option<Progress>, StoreError> {
    let sql = "SELECT indexed_upto, leaf FROM progress WHERE domain = ?1";
    let read =
        |row: &rusqlite::Row<'_>| Ok(Progress { upto: row.get::<_, i64>(0)?.cast_unsigned(), leaf: row.get(1)? });
    Ok(connection.query_row(sql, [domain.get()], read).optional()?)
}

/// The domains that the index knows.
pub(crate) fn domains(connection: &Connection) -> Result<Vec<u32>, StoreError> {
    let mut statement = connection.prepare("SELECT domain FROM progress")?;
    let domains = statement.query_map([], |row| row.get(0))?;
    Ok(domains.collect::<Result<_, _>>()?)
}

/// Whether the index is still empty.
pub(crate) fn is_empty(connection: &Connection) -> Result<bool, StoreError> {
    Ok(!connection.prepare("SELECT 1 FROM posting LIMIT 1")?.exists([])?)
}

/// All keys.
pub(crate) fn keys(connection: &Connection) -> Result<Filter, StoreError> {
    let mut statement = connection.prepare("SELECT key FROM posting")?;
    let mut rows = statement.query([])?;
    let mut keys = Filter::default();
    let mut number = 0;
    while let Some(row) = rows.next()? {
        if number % ROWS_A_BREATH == 0 {
            breathe();
        }
        number += 1;
        keys.insert(Key(row.get(0)?));
    }
    Ok(keys)
}

/// How many postings there are.
pub(crate) fn count(connection: &Connection) -> Result<u64, StoreError> {
    let mut statement = connection.prepare("SELECT more FROM posting")?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let more = row.get_ref(0)?.as_blob_or_null().map_err(rusqlite::Error::from)?.unwrap_or_default();
        // The last byte of each distance has no continuation bit.
        count += 1 + more.iter().filter(|byte| **byte & 0x80 == 0).count() as u64;
    }
    Ok(count)
}

/// Part of the postings of a key, as a look-up reads them.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// In order.
    pub(crate) positions: Vec<Position>,
    /// Whether the file has no more in the range.
    pub(crate) is_last: bool,
}

/// The next postings of a key in the file, from `from` up to `end` (exclusive): about `enough`, or all.
pub(crate) fn read(
    connection: &Connection,
    key: Key,
    from: Position,
    end: Position,
    enough: usize,
) -> Result<Chunk, StoreError> {
    // The block that contains `from` may begin before it; no block of a domain begins before the domain's first entry.
    let sql = match from.index() {
        0 => {
            "SELECT position, more, checksum FROM posting WHERE key = ?1 AND position >= ?2 AND position < ?3 \
             ORDER BY position"
        }
        _ => {
            "SELECT position, more, checksum FROM posting WHERE key = ?1 AND position >= ifnull(\
             (SELECT max(position) FROM posting WHERE key = ?1 AND position <= ?2), ?2) AND position < ?3 \
             ORDER BY position"
        }
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![key.0, from.0, end.0])?;
    let mut positions = Vec::new();
    while positions.len() < enough {
        let Some(row) = rows.next()? else { return Ok(Chunk { positions, is_last: true }) };
        let (first, mut more) = block(key, row)?;
        let mut next = Some(first);
        while let Some(position) = next.filter(|position| *position < end) {
            if position >= from {
                positions.push(position);
            }
            next = if more.is_empty() { None } else { Some(next_position(position, &mut more).ok_or_else(damaged)?) };
        }
    }
    Ok(Chunk { positions, is_last: false })
}
