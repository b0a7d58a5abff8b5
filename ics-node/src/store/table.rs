//! The tables of the log: converts rows to values and back. No rule is decided here.

use core::ops::Range;

use ics_core::log::Hash;
use ics_core::log::tile::TileId;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::certified::unconfirmed;
use super::columns::{int, millis, time};
use super::error::StoreError;
use super::sight::{Holding, RightsMark, Show, Sight};
use super::types::{Content, DOMAIN_ENTRIES, DomainInfo, DomainNumber, Head, Key, Part, Position, Seal, StoredEntry};
use crate::background::breathe_among;

/// All domains, and whether each is held after a restore.
pub(crate) fn domains(connection: &Connection) -> Result<Vec<(DomainInfo, bool)>, StoreError> {
    let mut statement = connection.prepare("SELECT number, name, part, entry0, held FROM domain ORDER BY number")?;
    let mut rows = statement.query([])?;
    let mut domains = Vec::new();
    while let Some(row) = rows.next()? {
        domains.push((domain(row)?, row.get(4)?));
    }
    Ok(domains)
}

fn domain(row: &Row<'_>) -> Result<DomainInfo, StoreError> {
    let bad = |what: &str| StoreError::corrupt(format!("table domain has a row with a bad {what}"));
    let name: String = row.get(1)?;
    let part: String = row.get(2)?;
    Ok(DomainInfo {
        number: DomainNumber::new(row.get(0)?).ok_or_else(|| bad("number"))?,
        name: name.parse().map_err(|_| bad("name"))?,
        part: [Part::Home, Part::Mirror].into_iter().find(|p| p.as_str() == part).ok_or_else(|| bad("part"))?,
        entry0: row.get(3)?,
    })
}

pub(crate) fn insert_domain(connection: &Connection, domain: &DomainInfo) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO domain (number, name, part, entry0) VALUES (?1, ?2, ?3, ?4)",
        params![domain.number.get(), domain.name.as_str(), domain.part.as_str(), domain.entry0],
    )?;
    Ok(())
}

pub(crate) fn set_entry0(connection: &Connection, domain: DomainNumber, leaf: &[u8; 32]) -> Result<(), StoreError> {
    connection.execute("UPDATE domain SET entry0 = ?2 WHERE number = ?1", params![domain.get(), leaf])?;
    Ok(())
}

/// Notes that a domain is held after a restore, or no longer is.
pub(crate) fn set_held(connection: &Connection, domain: DomainNumber, held: bool) -> Result<(), StoreError> {
    connection.execute("UPDATE domain SET held = ?2 WHERE number = ?1", params![domain.get(), held])?;
    unconfirmed::forget_all(connection, domain)
}

/// The head of a domain; `None` before its first entry.
pub(crate) fn head(connection: &Connection, domain: DomainNumber) -> Result<Option<Head>, StoreError> {
    let sql = "SELECT size, root, seal_size, seal_root, note, cosigned_at FROM head WHERE domain = ?1";
    let read = |row: &Row<'_>| {
        let seal = match (row.get::<_, Option<i64>>(2)?, row.get(3)?, row.get(4)?) {
            (Some(size), Some(root), Some(note)) => Some(Seal {
                size: size.cast_unsigned(),
                root: Hash(root),
                note,
                cosigned_at: row.get::<_, Option<i64>>(5)?.map(time),
            }),
            _ => None,
        };
        Ok(Head { size: row.get::<_, i64>(0)?.cast_unsigned(), root: Hash(row.get(1)?), seal })
    };
    Ok(connection.query_row(sql, [domain.get()], read).optional()?)
}

pub(crate) fn put_head(connection: &Connection, domain: DomainNumber, head: &Head) -> Result<(), StoreError> {
    let seal = head.seal.as_ref();
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO head VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    statement.execute(params![
        domain.get(),
        head.size.cast_signed(),
        head.root.0,
        seal.map(|seal| seal.size.cast_signed()),
        seal.map(|seal| seal.root.0),
        seal.map(|seal| seal.note.as_str()),
        seal.and_then(|seal| seal.cosigned_at).map(millis),
    ])?;
    Ok(())
}

/// Adds entries, with one prepared statement for all.
pub(crate) fn insert_entries<'e>(
    connection: &Connection,
    entries: impl ExactSizeIterator<Item = &'e StoredEntry>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO entry (position, effective, leaf, header, salt, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let count = entries.len();
    for entry in entries {
        breathe_among(count);
        statement.execute(params![
            Position::new(entry.domain, entry.index).0,
            entry.effective,
            entry.leaf,
            entry.header,
            entry.content.as_ref().map(|content| content.salt),
            entry.content.as_ref().map(|content| content.body.as_slice()),
        ])?;
        if !entry.effective && entry.content.is_some() {
            note_without_effect(connection, entry.domain, entry.index)?;
        }
    }
    Ok(())
}

/// This record is never deleted: a reader concurrent with the commit that gives an entry effect would otherwise take it
/// for damaged.
fn note_without_effect(connection: &Connection, domain: DomainNumber, index: u64) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("INSERT OR IGNORE INTO without_effect VALUES (?1)")?;
    statement.execute([Position::new(domain, index).0])?;
    Ok(())
}

/// Whether an entry that is stored with its content as one without effect was ever recorded as such.
pub(crate) fn is_without_effect(connection: &Connection, entry: &StoredEntry) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM without_effect WHERE position = ?1")?;
    Ok(statement.exists([Position::new(entry.domain, entry.index).0])?)
}

/// Deletes header, salt and body of an entry for good, and the receipt that its home gave; `secure_delete` overwrites
/// them.
///
/// What is left of an entry that did not come whole with the log is found by `keys` beside the log, as the index does
/// not know it: while the erasure is not shown yet, nobody else would know that something is missing.
pub(crate) fn erase_entry(
    connection: &Connection,
    domain: DomainNumber,
    index: u64,
    remnant: &[u8],
    keys: &[Key],
) -> Result<(), StoreError> {
    let position = Position::new(domain, index).0;
    let sql = "UPDATE entry SET header = ?2, salt = NULL, body = NULL, \
               filled = CASE WHEN body IS NULL AND header <> ?2 THEN coalesce(filled, 1) ELSE filled END, \
               shown = CASE WHEN length(?2) > 0 THEN NULL ELSE shown END WHERE position = ?1";
    connection.execute(sql, params![position, remnant])?;
    connection.execute("DELETE FROM filled WHERE position = ?1", [position])?;
    let mut statement = connection.prepare_cached("SELECT 1 FROM entry WHERE position = ?1 AND filled > 0")?;
    let is_beside = statement.exists([position])?;
    for key in keys.iter().filter(|_| is_beside) {
        insert_filled(connection, domain, *key, index)?;
    }
    connection.execute("DELETE FROM certified WHERE position = ?1", [position])?;
    super::outbox::forget(connection, domain, index)
}

pub(crate) fn entry(
    connection: &Connection,
    domain: DomainNumber,
    index: u64,
    show: Show,
) -> Result<Option<StoredEntry>, StoreError> {
    let sql = "SELECT position, effective, leaf, header, salt, body, filled FROM entry WHERE position = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let position = Position::new(domain, index).0;
    Ok(statement.query_row([position], |row| stored_entry(domain, show, row)).optional()?)
}

/// Passes the entries in a range to `take`, in order, until it returns false.
pub(crate) fn scan_entries(
    connection: &Connection,
    domain: DomainNumber,
    range: Range<u64>,
    show: Show,
    mut take: impl FnMut(StoredEntry) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let sql = "SELECT position, effective, leaf, header, salt, body, filled FROM entry \
               WHERE position >= ?1 AND position < ?2 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([Position::new(domain, range.start).0, Position::new(domain, range.end).0])?;
    while let Some(row) = rows.next()? {
        if !take(stored_entry(domain, show, row)?)? {
            break;
        }
    }
    Ok(())
}

fn stored_entry(domain: DomainNumber, show: Show, row: &Row<'_>) -> rusqlite::Result<StoredEntry> {
    let filled = row.get::<_, Option<i64>>(6)?.unwrap_or_default();
    let is_shown = match show {
        Show::Logged => filled == 0,
        Show::Unsettled => true,
        Show::Settled(round) => filled <= round,
    };
    let (salt, body): (Option<[u8; 16]>, Option<Vec<u8>>) = (row.get(4)?, row.get(5)?);
    // An erased entry has neither. If just one is missing, the leaf shows that it is damaged.
    let is_whole = is_shown && (salt.is_some() || body.is_some());
    let content = is_whole.then(|| Content { salt: salt.unwrap_or_default(), body: body.unwrap_or_default() });
    Ok(StoredEntry {
        domain,
        index: Position(row.get(0)?).index(),
        effective: row.get(1)?,
        leaf: row.get(2)?,
        // The index does not know the remnant of an erased entry that had been filled in, either.
        header: if show == Show::Logged && filled > 0 { Vec::new() } else { row.get(3)? },
        content,
    })
}

/// The leaf data of the entries from `from` up to `end` (exclusive).
pub(crate) fn leaves(
    connection: &Connection,
    domain: DomainNumber,
    from: u64,
    end: u64,
) -> Result<Vec<[u8; 32]>, StoreError> {
    let sql = "SELECT leaf FROM entry WHERE position >= ?1 AND position < ?2 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let range = [Position::new(domain, from).0, Position::new(domain, end).0];
    let leaves = statement.query_map(range, |row| row.get(0))?;
    Ok(leaves.collect::<Result<_, _>>()?)
}

pub(crate) fn insert_tile(
    connection: &Connection,
    domain: DomainNumber,
    tile: TileId,
    hashes: &[u8],
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("INSERT INTO tile VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![domain.get(), tile.level, tile.index.cast_signed(), hashes])?;
    Ok(())
}

/// A full tile.
pub(crate) fn tile(connection: &Connection, domain: DomainNumber, tile: TileId) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT hashes FROM tile WHERE domain = ?1 AND level = ?2 AND number = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row(params![domain.get(), tile.level, tile.index.cast_signed()], |row| row.get(0));
    Ok(row.optional()?)
}

/// What this node may read of a domain.
pub(crate) fn sight(connection: &Connection, domain: DomainNumber) -> Result<Sight, StoreError> {
    let sql = "SELECT rights, settled, unsettled FROM sight WHERE domain = ?1";
    let read = |row: &Row<'_>| {
        let rights: Option<RightsMark> = row.get(0)?;
        Ok(Sight { rights, settled: row.get(1)?, unsettled: row.get(2)? })
    };
    Ok(connection.query_row(sql, [domain.get()], read).optional()?.unwrap_or_default())
}

/// What rests on the word of others than the home, as JSON.
pub(crate) fn doubt(connection: &Connection, domain: DomainNumber) -> Result<Option<String>, StoreError> {
    let sql = "SELECT document FROM doubt WHERE domain = ?1";
    Ok(connection.query_row(sql, [domain.get()], |row| row.get(0)).optional()?)
}

pub(crate) fn put_doubt(
    connection: &Connection,
    domain: DomainNumber,
    document: Option<&str>,
) -> Result<(), StoreError> {
    match document {
        Some(document) => {
            let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO doubt VALUES (?1, ?2)")?;
            statement.execute(params![domain.get(), document])?;
        }
        None => drop(connection.prepare_cached("DELETE FROM doubt WHERE domain = ?1")?.execute([domain.get()])?),
    }
    Ok(())
}

pub(crate) fn put_sight(connection: &Connection, domain: DomainNumber, sight: Sight) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO sight VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![domain.get(), sight.rights, sight.settled, sight.unsettled])?;
    Ok(())
}

/// Stores header, salt and body of an entry of which there was only the leaf; readers see it from a round on. Or stores
/// what a peer says is left of it, which does not end that it is missing.
pub(crate) fn fill_entry(connection: &Connection, entry: &StoredEntry, round: i64) -> Result<(), StoreError> {
    let sql = "UPDATE entry SET effective = ?2, header = ?3, salt = ?4, body = ?5, filled = ?6, \
               shown = CASE WHEN ?5 IS NULL THEN shown END WHERE position = ?1";
    connection.prepare_cached(sql)?.execute(params![
        Position::new(entry.domain, entry.index).0,
        entry.effective,
        entry.header,
        entry.content.as_ref().map(|content| content.salt),
        entry.content.as_ref().map(|content| content.body.as_slice()),
        round,
    ])?;
    let is_noted = !entry.effective && entry.content.is_some();
    if is_noted { note_without_effect(connection, entry.domain, entry.index) } else { Ok(()) }
}

pub(crate) fn insert_filled(
    connection: &Connection,
    domain: DomainNumber,
    key: Key,
    index: u64,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("INSERT OR IGNORE INTO filled VALUES (?1, ?2)")?;
    statement.execute([key.0, Position::new(domain, index).0])?;
    Ok(())
}

/// Removes a key from a filled-in entry.
pub(crate) fn remove_filled_from(
    connection: &Connection,
    domain: DomainNumber,
    key: Key,
    index: u64,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("DELETE FROM filled WHERE key = ?1 AND position = ?2")?;
    statement.execute([key.0, Position::new(domain, index).0])?;
    Ok(())
}

/// Removes a key from all filled-in entries of a domain.
pub(crate) fn remove_filled(connection: &Connection, domain: DomainNumber, key: Key) -> Result<(), StoreError> {
    let range = [key.0, Position::new(domain, 0).0, Position::new(domain, DOMAIN_ENTRIES).0];
    connection.execute("DELETE FROM filled WHERE key = ?1 AND position >= ?2 AND position < ?3", range)?;
    Ok(())
}

/// Deletes the entries of a stretch of a log, and what is kept of them by their positions.
pub(crate) fn remove_entries(
    connection: &Connection,
    domain: DomainNumber,
    indices: &Range<u64>,
) -> Result<(), StoreError> {
    let range = [Position::new(domain, indices.start).0, Position::new(domain, indices.end).0];
    for table in ["entry", "filled", "certified"] {
        connection.execute(&format!("DELETE FROM {table} WHERE position >= ?1 AND position < ?2"), range)?;
    }
    Ok(())
}

pub(crate) fn set_effective(
    connection: &Connection,
    domain: DomainNumber,
    index: u64,
    effective: bool,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("UPDATE entry SET effective = ?2 WHERE position = ?1")?;
    statement.execute(params![Position::new(domain, index).0, effective])?;
    if effective { Ok(()) } else { note_without_effect(connection, domain, index) }
}

/// Records that an entry was deleted because it may no longer be read.
pub(crate) fn set_lost(connection: &Connection, domain: DomainNumber, index: u64) -> Result<(), StoreError> {
    let sql = "UPDATE entry SET shown = -1, filled = NULL WHERE position = ?1";
    connection.prepare_cached(sql)?.execute([Position::new(domain, index).0])?;
    Ok(())
}

/// The indices of all entries that are found, or known to be missing, by keys beside the log.
pub(crate) fn all_filled(connection: &Connection, domain: DomainNumber) -> Result<Vec<u64>, StoreError> {
    let sql = "SELECT DISTINCT position FROM filled WHERE position >= ?1 AND position < ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let range = [Position::new(domain, 0).0, Position::new(domain, DOMAIN_ENTRIES).0];
    let positions = statement.query_map(range, |row| Ok(Position(row.get(0)?).index()))?;
    Ok(positions.collect::<Result<_, _>>()?)
}

/// The indices, in order, of the filled-in entries in a range that have all the keys.
pub(crate) fn filled(
    connection: &Connection,
    domain: DomainNumber,
    keys: &[Key],
    range: Range<u64>,
) -> Result<Vec<u64>, StoreError> {
    let Some((first, others)) = keys.split_first() else { return Ok(Vec::new()) };
    let sql = "SELECT position FROM filled WHERE key = ?1 AND position >= ?2 AND position < ?3 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let mut has = connection.prepare_cached("SELECT 1 FROM filled WHERE key = ?1 AND position = ?2")?;
    let range = [first.0, Position::new(domain, range.start).0, Position::new(domain, range.end).0];
    let mut rows = statement.query(range)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let position: i64 = row.get(0)?;
        let mut all = true;
        for key in others {
            all = all && has.exists([key.0, position])?;
        }
        if all {
            found.push(Position(position).index());
        }
    }
    Ok(found)
}

/// How the entries in a range are held, at most `limit`.
pub(crate) fn holdings(
    connection: &Connection,
    domain: DomainNumber,
    range: Range<u64>,
    limit: usize,
) -> Result<Vec<Holding>, StoreError> {
    let sql = "SELECT position, leaf, body IS NOT NULL FROM entry WHERE position >= ?1 AND position < ?2 ORDER BY position LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let (from, end) = (Position::new(domain, range.start).0, Position::new(domain, range.end).0);
    let holding =
        |row: &Row<'_>| Ok(Holding { index: Position(row.get(0)?).index(), leaf: row.get(1)?, is_whole: row.get(2)? });
    let found = statement.query_map([from, end, int(limit)], holding)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Whether an entry was held with its content and was deleted because it may no longer be read.
pub(crate) fn is_lost(connection: &Connection, domain: DomainNumber, index: u64) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM entry WHERE position = ?1 AND shown = -1")?;
    Ok(statement.exists([Position::new(domain, index).0])?)
}
