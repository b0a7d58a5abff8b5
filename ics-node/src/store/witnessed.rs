//! What this node has cosigned as a witness, and the checkpoints that its own domains show to witnesses.

use std::sync::Arc;

use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;
use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use super::error::StoreError;
use super::heads::HeadFiles;
use super::types::{DomainNumber, Seal};

/// The largest tree of a log that this node has seen as a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// The number of entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The checkpoint, as the log signed it.
    pub note: String,
    /// The first checkpoint that contradicted it.
    pub contradiction: Option<String>,
}

impl Store {
    /// Decides about a checkpoint of a log, given what was seen of it so far, and durably stores what has been seen by
    /// then; no other decision comes in between. `decide` returns what to store, if anything changes, and the answer.
    ///
    /// # Errors
    /// When the database fails: then no answer may be given.
    pub fn witness<T: Send + 'static>(
        &self,
        origin: &Origin,
        decide: impl FnOnce(Option<Witnessed>) -> (Option<Witnessed>, T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (origin, shared) = (origin.clone(), Arc::clone(&self.shared));
        self.desk(move |log| {
            let (seen, on_file) = all_seen(log, &shared.seen, &origin)?;
            let before = seen.as_ref().map_or(0, |seen| seen.size);
            let (next, answer) = decide(seen);
            if let Some(next) = next {
                if next.size < before {
                    return Err(StoreError::refused("what a witness has seen never grows smaller"));
                }
                // Before the database: if that fails, or is restored from a copy, more is recorded as seen than was
                // cosigned, never less.
                if on_file < next.size {
                    shared.seen.see(&origin, &next.note)?;
                }
                put(log, &origin.to_string(), &next)?;
            }
            Ok(answer)
        })
    }

    /// What this node has seen of a log as a witness.
    ///
    /// # Errors
    /// When the database fails.
    pub fn witnessed(&self, origin: &Origin) -> Result<Option<Witnessed>, StoreError> {
        self.shared.pool.read(|reader| Ok(all_seen(&reader.log, &self.shared.seen, origin)?.0))
    }

    /// Whether this node may have cosigned more with its key than it knows, because it was restored from a copy or has
    /// lost its store.
    #[must_use]
    pub fn may_have_cosigned_more(&self) -> bool {
        self.shared.seen.are_doubted(self.shared.cosigner.as_ref())
    }

    /// Sets or withdraws that doubt, across restarts.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn doubt_what_was_cosigned(&self, doubt: bool) -> Result<(), StoreError> {
        // On the writer's thread, like all writing there: new files share one temporary name.
        self.with_writer(move |writer| {
            let (seen, key) = (&writer.shared.seen, writer.shared.cosigner.as_ref());
            if doubt { seen.doubt(key) } else { seen.trust(key) }
        })
    }

    /// The checkpoint over everything stored of a domain of this node, for its witnesses: the one that is shown, or a
    /// new one, which goes to the head's file before anybody can see it.
    ///
    /// # Errors
    /// When the domain may not be written, or the key or file fails.
    pub fn sign_head(&self, domain: DomainNumber) -> Result<Seal, StoreError> {
        self.with_writer(move |writer| {
            let state = writer.shared.published.get(domain)?;
            state.check_current()?;
            let (size, root) = (state.head.size, state.head.root);
            if let Some(seal) = state.head.seal.as_ref().filter(|seal| seal.size == size) {
                return Ok(seal.clone());
            }
            let seal = writer.sign(&state, size, root)?;
            writer.shared.heads.raise(&state.info.name, &seal)?;
            Ok(seal)
        })
    }
}

/// What was seen of a log, from the database or, if that was restored from a copy, from its file; and the size that the
/// file has.
fn all_seen(log: &Connection, files: &HeadFiles, origin: &Origin) -> Result<(Option<Witnessed>, u64), StoreError> {
    let known = read(log, &origin.to_string())?;
    let Some(Seal { size, root, note, .. }) = files.seen(origin)? else { return Ok((known, 0)) };
    if known.as_ref().is_some_and(|known| known.size >= size) {
        return Ok((known, size));
    }
    let contradiction = known.and_then(|known| known.contradiction);
    Ok((Some(Witnessed { size, root, note, contradiction }), size))
}

/// Whether the files know at least what a copy of the database knows, and how many logs that concerns.
pub(crate) fn covered(copy: &Connection, files: &HeadFiles) -> Result<(bool, usize), StoreError> {
    // A copy made by the first release has no such table; a node of that release could not be a witness.
    if !copy.table_exists(None, "witnessed")? {
        return Ok((true, 0));
    }
    let (rows, mut all) = (rows(copy)?, true);
    for (origin, size, _) in &rows {
        all &= files.seen(origin)?.is_some_and(|seen| seen.size >= *size);
    }
    Ok((all, rows.len()))
}

/// Writes the files for what only the database knows: a node that cosigned before there were such files has none for a
/// log that has not grown since.
pub(crate) fn make_good(log: &Connection, files: &HeadFiles) -> Result<(), StoreError> {
    for (origin, size, note) in rows(log)? {
        if files.seen(&origin)?.is_none_or(|seen| seen.size < size) {
            files.see(&origin, &note)?;
        }
    }
    Ok(())
}

/// Deletes what a database knows about logs of a domain; returns the largest size among them.
pub(crate) fn forget(log: &Connection, domain: &DomainName) -> Result<Option<u64>, StoreError> {
    let mut most = None;
    for (origin, size, _) in rows(log)?.into_iter().filter(|(origin, ..)| origin.domain == *domain) {
        log.execute("DELETE FROM witnessed WHERE origin = ?1", [origin.to_string()])?;
        most = most.max(Some(size));
    }
    Ok(most)
}

/// What a database knows about logs that are not empty: an empty one cannot be contradicted, and has no file.
fn rows(log: &Connection) -> Result<Vec<(Origin, u64, String)>, StoreError> {
    let mut statement = log.prepare("SELECT origin, size, note FROM witnessed WHERE size > 0")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, String>(2)?))
    })?;
    rows.map(|row| {
        let (origin, size, note) = row?;
        let origin = origin.parse().map_err(|_| StoreError::corrupt(format!("`{origin}` is not an origin")))?;
        Ok((origin, size, note))
    })
    .collect()
}

fn read(log: &Connection, origin: &str) -> Result<Option<Witnessed>, StoreError> {
    let sql = "SELECT size, root, note, contradiction FROM witnessed WHERE origin = ?1";
    let mut statement = log.prepare_cached(sql)?;
    let found = statement.query_row([origin], |row| {
        let (size, root) = (row.get::<_, i64>(0)?.cast_unsigned(), Hash(row.get(1)?));
        Ok(Witnessed { size, root, note: row.get(2)?, contradiction: row.get(3)? })
    });
    Ok(found.optional()?)
}

fn put(log: &Connection, origin: &str, seen: &Witnessed) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO witnessed (origin, size, root, note, contradiction) VALUES (?1, ?2, ?3, ?4, ?5)";
    log.prepare_cached(sql)?.execute(params![
        origin,
        seen.size.cast_signed(),
        seen.root.0,
        seen.note,
        seen.contradiction
    ])?;
    Ok(())
}
