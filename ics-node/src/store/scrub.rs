//! Removes copies of deleted cells from a file's pages.
//!
//! `secure_delete` makes SQLite zero each cell that it frees. But when it redistributes cells among neighbouring pages,
//! copies of those that moved to another page stay on the old one, in the space between its cell pointers and its
//! cells, and nothing zeroes them when the cell itself is deleted later. That space has no meaning for SQLite: here it
//! is zeroed wherever it is not zero.
//!
//! Pages are read and written through the virtual table `sqlite_dbpage`, in ordinary transactions, so caches and the
//! write-ahead log stay consistent with the file. `.cargo/config.toml` has SQLite compiled with it.

use std::ops::Range;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::error::StoreError;

/// How many pages are looked at in one transaction: 8 MiB. Writers wait that long.
const AT_ONCE: u32 = 1024;

/// Up to this many pages (256 GiB), the first byte of a page distinguishes tree pages from others. Others begin with a
/// page number, whose high byte is not that of a tree page below this.
const MOST_PAGES: u32 = 2 << 24;

/// The state of a pass through the pages.
///
/// One pass is enough, whatever is written meanwhile: SQLite moves cells that are in a tree, and never what lies
/// between pointers and cells. So no further copy arises of a cell that was deleted before the pass began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scrub {
    /// The next page to look at; SQLite counts from 1.
    next: u32,
    /// How many pages are left to look at; `None` until the first step has counted them.
    left: Option<u32>,
}

impl Scrub {
    pub(crate) const fn new() -> Self {
        Self { next: 1, left: None }
    }

    /// The pass after another deletion: all pages once more, starting with the one that was to be next.
    pub(crate) const fn again(self) -> Self {
        Self { left: None, ..self }
    }

    /// Whether all pages have been looked at.
    pub(crate) fn has_ended(self) -> bool {
        self.left == Some(0)
    }

    /// Cleans the next pages, and runs `at_end` in the same transaction if they were the last; returns how many of them
    /// had to be cleaned. After an error the pass is where it was.
    pub(crate) fn step(
        &mut self,
        connection: &Connection,
        at_end: impl FnOnce(&Connection) -> Result<(), StoreError>,
    ) -> Result<usize, StoreError> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let pages: u32 = transaction.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        if pages >= MOST_PAGES {
            return Err(StoreError::refused(format!(
                "a file of {pages} pages is too large to be searched for erased copies"
            )));
        }
        let first = if self.next > pages { 1 } else { self.next };
        let end = first.saturating_add(AT_ONCE).min(pages + 1);
        let mut zeroed = 0;
        for page in first..end {
            zeroed += usize::from(zero_unallocated(&transaction, page)?);
        }
        let round = Self { next: end, left: Some(self.left.unwrap_or(pages).min(pages).saturating_sub(end - first)) };
        if round.has_ended() {
            at_end(&transaction)?;
        }
        transaction.commit()?;
        *self = round;
        Ok(zeroed)
    }
}

/// Goes through all pages of a file; returns how many of them had to be cleaned.
pub(crate) fn all(connection: &Connection) -> Result<usize, StoreError> {
    let (mut round, mut zeroed) = (Scrub::new(), 0);
    while !round.has_ended() {
        zeroed += round.step(connection, |_| Ok(()))?;
    }
    Ok(zeroed)
}

/// Zeroes the space between a page's pointers and cells; returns whether there was anything but zeros.
fn zero_unallocated(connection: &Connection, page: u32) -> Result<bool, StoreError> {
    let mut read = connection.prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
    let found = read.query_row([page], |row| Ok(without_copies(page, row.get_ref(0)?.as_blob()?)))?;
    let Some(clean) = found else { return Ok(false) };
    let mut write = connection.prepare_cached("UPDATE sqlite_dbpage SET data = ?2 WHERE pgno = ?1")?;
    write.execute(params![page, clean])?;
    Ok(true)
}

/// A page with zeros between its pointers and its cells; `None` if it has nothing else there.
fn without_copies(page: u32, bytes: &[u8]) -> Option<Vec<u8>> {
    let between = unallocated(page, bytes)?;
    if bytes.get(between.clone())?.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut clean = bytes.to_vec();
    clean.get_mut(between)?.fill(0);
    Some(clean)
}

/// The bytes of a page between its pointers and its cells, by "B-tree Pages" of SQLite's "Database File Format"; `None`
/// if the page belongs to no tree or is damaged.
fn unallocated(page: u32, bytes: &[u8]) -> Option<Range<usize>> {
    // The first page begins with the file's own header.
    let header = if page == 1 { 100 } else { 0 };
    let pointers = header
        + match bytes.get(header)? {
            2 | 5 => 12,
            10 | 13 => 8,
            _ => return None,
        };
    let number = |at: usize| Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)));
    let start = pointers + 2 * number(header + 3)?;
    let cells = match number(header + 5)? {
        0 => 1 << 16,
        cells => cells,
    };
    (start <= cells && cells <= bytes.len()).then_some(start..cells)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::schema;

    /// The number of rows in each of two sets, which are inserted alternately: each row of the first set pushes others
    /// from page to page.
    const ROWS: usize = 400;

    fn secret(row: usize) -> String {
        format!("the secret of row {row:04}.")
    }

    fn spread(path: &std::path::Path) -> Connection {
        let log = schema::open_writer(schema::File::Log, path).expect("open");
        log.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE thing (number INTEGER PRIMARY KEY, body BLOB)")
            .expect("create");
        for row in (0..ROWS).flat_map(|row| [row, 1_000 + row]) {
            let body = secret(row).repeat(40 + row * 13 % 97).into_bytes();
            log.execute("INSERT INTO thing VALUES (?1, ?2)", params![i64::try_from(row).expect("small"), body])
                .expect("insert");
        }
        log
    }

    /// The rows of the first set that the file still contains.
    fn held(path: &std::path::Path, log: &Connection) -> Vec<usize> {
        log.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("checkpoint");
        let bytes = std::fs::read(path).expect("read");
        let text = b"the secret of row ";
        let found = bytes.windows(text.len() + 4).filter_map(|part| part.strip_prefix(text));
        let rows = found.filter_map(|number| core::str::from_utf8(number).ok()?.parse().ok());
        rows.filter(|row| *row < ROWS).collect::<BTreeSet<_>>().into_iter().collect()
    }

    #[test]
    fn what_sqlite_leaves_of_deleted_rows_is_zeroed_and_nothing_else() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("log");
        let log = spread(&path);
        let rows = |log: &Connection| -> Vec<(i64, Vec<u8>)> {
            let mut rows = log.prepare("SELECT number, body FROM thing ORDER BY number").expect("prepare");
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("query");
            rows.collect::<Result<_, _>>().expect("rows")
        };
        log.execute("DELETE FROM thing WHERE number % 2 = 1", []).expect("delete");
        let kept = rows(&log);
        assert!(held(&path, &log).iter().any(|row| row % 2 == 1), "SQLite leaves some: else there is nothing to test");
        assert!(all(&log).expect("scrub") > 0);
        assert_eq!(held(&path, &log), (0..ROWS).step_by(2).collect::<Vec<_>>());
        assert_eq!(rows(&log), kept);
        assert_eq!(schema::quick_check(&log).expect("check"), "ok");
        assert_eq!(all(&log).expect("scrub"), 0, "nothing is left for another round");
    }

    #[test]
    fn a_round_takes_all_pages_from_where_a_deletion_met_it() {
        let dir = tempfile::tempdir().expect("dir");
        let log = spread(&dir.path().join("log"));
        log.execute("INSERT INTO thing VALUES (10000, zeroblob(?1))", [8192 * 1500]).expect("large");
        let mut round = Scrub::new();
        round.step(&log, |_| panic!("it has not ended")).expect("first");
        assert!(!round.has_ended());
        round = round.again();
        round.step(&log, |_| panic!("the first pages are missing")).expect("second");
        let mut ended = false;
        let at_end = |_: &Connection| {
            ended = true;
            Ok(())
        };
        round.step(&log, at_end).expect("third");
        assert!(round.has_ended() && ended);
    }

    #[test]
    fn pages_of_other_kinds_and_damaged_ones_are_let_be() {
        let mut overflow = vec![7; 8192];
        overflow[..4].copy_from_slice(&[0, 0, 0, 9]);
        assert_eq!(without_copies(2, &overflow), None);
        let mut beyond = vec![7; 8192];
        beyond[..8].copy_from_slice(&[13, 0, 0, 0x20, 0, 0, 8, 0]);
        assert_eq!(without_copies(2, &beyond), None, "the pointers end behind the cells");
        assert_eq!(unallocated(2, &[13, 0, 0, 0, 0]), None, "cut off");
    }
}
