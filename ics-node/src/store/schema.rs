//! Connections and schemas: pragmas in the order that SQLite requires; migrations go forward only.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::fs::Access;
use rustix::io::Errno;

use super::error::StoreError;
use super::wal::wal_of;

/// Marks a database file as ours in its header (`PRAGMA application_id`): "ICSl", "ICSx", "ICSa".
const LOG_APPLICATION: i64 = 0x4943_536c;
const INDEX_APPLICATION: i64 = 0x4943_5378;
const ACME_APPLICATION: i64 = 0x4943_5361;

/// The steps from an empty file to the newest schema of `ics.db`; the first leads to `user_version` 1. They are never
/// changed, only added to: other installations have already gone through them.
const LOG_STEPS: &[&str] = &[
    include_str!("schema/log-1.sql"),
    include_str!("schema/log-2.sql"),
    include_str!("schema/log-3.sql"),
    include_str!("schema/log-4.sql"),
    include_str!("schema/log-5.sql"),
    include_str!("schema/log-6.sql"),
    include_str!("schema/log-7.sql"),
    include_str!("schema/log-8.sql"),
    include_str!("schema/log-9.sql"),
    include_str!("schema/log-10.sql"),
    include_str!("schema/log-11.sql"),
    include_str!("schema/log-12.sql"),
    include_str!("schema/log-13.sql"),
    include_str!("schema/log-14.sql"),
    include_str!("schema/log-15.sql"),
    include_str!("schema/log-16.sql"),
    include_str!("schema/log-17.sql"),
    include_str!("schema/log-18.sql"),
    include_str!("schema/log-19.sql"),
    include_str!("schema/log-20.sql"),
];
/// The index has no history, since it is derived: its one step makes it anew.
const INDEX_STEPS: &[&str] = &[include_str!("schema/index.sql")];
/// The version to which that step leads. To be raised when `index.sql` changes, or what entries are found by.
const INDEX_VERSION: i64 = 9;
const ACME_STEPS: &[&str] = &[
    include_str!("schema/acme-1.sql"),
    include_str!("schema/acme-2.sql"),
    include_str!("schema/acme-3.sql"),
    include_str!("schema/acme-4.sql"),
    include_str!("schema/acme-5.sql"),
    include_str!("schema/acme-6.sql"),
    include_str!("schema/acme-7.sql"),
];

/// The page cache of a connection, in which the trees' inner pages stay. With a million entries there are some 150 of
/// them, of 8 KiB each, and each look-up also brings in a leaf that nobody will ask for again.
const CACHE_KIB: i64 = 4096;

/// How much of each file a connection maps into memory; the rest goes through the page cache. Writing connections map
/// as much as SQLite allows. Pages touched by readers count as the node's memory, separately for each connection: with
/// a large store they would exceed everything else that it keeps, while copying a page takes only a microsecond.
const WRITER_MAP_BYTES: i64 = 0x7fff_0000;
const READER_MAP_BYTES: i64 = 8 << 20;

/// How long a connection waits for another one's lock.
pub(crate) const BUSY: Duration = Duration::from_secs(10);

/// How much of the write-ahead log's file is kept after it was copied into the database.
const WAL_KEPT_BYTES: i64 = 16 << 20;

/// The files of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    /// `ics.db`: the log and everything else that cannot be derived. What is acknowledged has been fsynced.
    Log,
    /// `index.db`: derived. A power cut may lose its last transactions, but never its consistency.
    Index,
    /// `acme.db`: what ACME clients were told. Each transaction says whether it must be on disk.
    Acme,
}

impl File {
    const fn application(self) -> i64 {
        match self {
            Self::Log => LOG_APPLICATION,
            Self::Index => INDEX_APPLICATION,
            Self::Acme => ACME_APPLICATION,
        }
    }

    const fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Log => LOG_STEPS,
            Self::Index => INDEX_STEPS,
            Self::Acme => ACME_STEPS,
        }
    }

    /// The version to which the first step leads.
    const fn first_version(self) -> i64 {
        match self {
            Self::Log | Self::Acme => 1,
            Self::Index => INDEX_VERSION,
        }
    }

    const fn synchronous(self) -> &'static str {
        match self {
            Self::Log | Self::Acme => "FULL",
            Self::Index => "NORMAL",
        }
    }
}

/// Opens a file for writing, creates it if it is missing, and brings it to the newest schema.
pub(crate) fn open_writer(file: File, path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open_with_flags(path, flags() | OpenFlags::SQLITE_OPEN_CREATE)?;
    connection.busy_timeout(BUSY)?;
    // The page size takes effect only before anything is written, even by changing the journal mode.
    connection.pragma_update(None, "page_size", 8192)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::corrupt(format!("`{}` cannot use a write-ahead log", path.display())));
    }
    connection.pragma_update(None, "synchronous", file.synchronous())?;
    // An erased body must not survive in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    tune(&connection, WRITER_MAP_BYTES)?;
    migrate(file, path, &mut connection)?;
    Ok(connection)
}

/// Opens an existing file for reading only.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = (flags() | OpenFlags::SQLITE_OPEN_READ_ONLY).difference(OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = if is_frozen(path) {
        Connection::open_with_flags(immutable(path), flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(path, flags)?
    };
    connection.busy_timeout(BUSY)?;
    tune(&connection, READER_MAP_BYTES)?;
    Ok(connection)
}

/// Whether a file cannot change and has everything committed in it: its disk is mounted read-only, and there is nothing
/// in a write-ahead log beside it. The file is not opened to find out, since closing it again would release all locks
/// that this process has on it (fcntl(2)).
fn is_frozen(path: &Path) -> bool {
    let is_on_read_only_disk = rustix::fs::access(path, Access::WRITE_OK) == Err(Errno::ROFS);
    let has_commits_beside_it = std::fs::metadata(wal_of(path)).is_ok_and(|wal| wal.len() > 0);
    is_on_read_only_disk && !has_commits_beside_it
}

/// The URI with which SQLite creates no files beside a database; it needs those only to share the database with others.
fn immutable(path: &Path) -> String {
    format!("file:{}?immutable=1", percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC))
}

/// Makes a connection map as much of its file as the writing ones do: for the one with which the writer reads.
pub(crate) fn map_all(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection.pragma_update_and_check(None, "mmap_size", WRITER_MAP_BYTES, |_| Ok(()))?)
}

/// SQLite's verdict on the file's structure: `ok`, or the first thing that is wrong.
pub(crate) fn quick_check(connection: &Connection) -> Result<String, StoreError> {
    Ok(connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?)
}

/// Every connection is used by one thread at a time, so SQLite's own lock per connection is left out.
fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn tune(connection: &Connection, map_bytes: i64) -> Result<(), StoreError> {
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update_and_check(None, "mmap_size", map_bytes, |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Refuses databases of other programs and of newer versions of this one; returns the version of the schema.
pub(crate) fn check_known(file: File, path: &Path, connection: &Connection) -> Result<i64, StoreError> {
    let (found, known) = (pragma(connection, "user_version")?, newest(file));
    let application = pragma(connection, "application_id")?;
    if found > 0 && application != file.application() {
        return Err(StoreError::corrupt(format!("`{}` is a database of another program", path.display())));
    }
    if found > known {
        return Err(StoreError::Newer { file: path.to_owned(), found, known });
    }
    Ok(found)
}

/// The newest version of a schema.
pub(crate) fn newest(file: File) -> i64 {
    file.first_version() - 1 + i64::try_from(file.steps().len()).unwrap_or_default()
}

/// Applies the missing steps, each in its own transaction together with its version number: after a crash the schema is
/// as before or after a step.
fn migrate(file: File, path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let found = check_known(file, path, connection)?;
    for (version, step) in (file.first_version()..).zip(file.steps()).skip_while(|(version, _)| *version <= found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", file.application())?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_log_has_the_promised_settings() {
        let dir = tempfile::tempdir().expect("dir");
        for (file, synchronous) in [(File::Log, 2), (File::Index, 1)] {
            let path = dir.path().join(file.synchronous());
            let connection = open_writer(file, &path).expect("open");
            assert_eq!(pragma(&connection, "page_size").expect("page_size"), 8192);
            assert_eq!(pragma(&connection, "synchronous").expect("synchronous"), synchronous);
            assert_eq!(pragma(&connection, "secure_delete").expect("secure_delete"), 1);
            assert_eq!(pragma(&connection, "user_version").expect("user_version"), newest(file));
            drop(connection);
            open_writer(file, &path).expect("open again");
        }
    }

    #[test]
    fn a_newer_schema_and_a_foreign_file_are_refused() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("ics.db");
        let connection = open_writer(File::Log, &path).expect("open");
        connection.pragma_update(None, "user_version", 99).expect("set");
        drop(connection);
        let error = open_writer(File::Log, &path).expect_err("newer");
        assert!(matches!(error, StoreError::Newer { found: 99, known, .. } if known == LOG_STEPS.len() as i64));
        assert!(matches!(open_writer(File::Index, &path), Err(StoreError::Corrupt { .. })));
    }

    /// A copy that could once read only a part may have millions of such rows.
    #[test]
    fn what_is_found_beside_the_log_is_removed_without_reading_all_of_it() {
        let dir = tempfile::tempdir().expect("dir");
        let log = open_writer(File::Log, &dir.path().join("ics.db")).expect("open");
        let sql = "EXPLAIN QUERY PLAN DELETE FROM filled WHERE position = 1";
        let plan: String = log.query_row(sql, [], |row| row.get(3)).expect("a plan");
        assert!(plan.contains("filled_by_position"), "{plan}");
    }

    #[test]
    fn readers_cannot_write() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("ics.db");
        drop(open_writer(File::Log, &path).expect("open"));
        let reader = open_reader(&path).expect("open");
        assert!(reader.execute("DELETE FROM entry", []).is_err());
    }

    #[test]
    fn what_nobody_can_change_is_read_without_files_beside_it() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("of 50%?&#ä.db");
        drop(open_writer(File::Log, &path).expect("open"));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let reader = Connection::open_with_flags(immutable(&path), flags).expect("open");
        assert_eq!(check_known(File::Log, &path, &reader).expect("ours"), newest(File::Log));
        assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 1);
        assert!(!is_frozen(&path), "its disk can be written");
    }

    /// A file as an earlier version of the program has made it.
    fn former(file: File, path: &Path, version: usize) -> Connection {
        let former = Connection::open(path).expect("open");
        file.steps().iter().take(version).for_each(|step| former.execute_batch(step).expect("a step"));
        former.pragma_update(None, "application_id", file.application()).expect("set");
        former.pragma_update(None, "user_version", version as i64).expect("set");
        former
    }

    /// What stands in one column.
    fn column<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> Vec<T> {
        let mut statement = connection.prepare(sql).expect("SQL");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("rows")
    }

    #[test]
    fn an_index_of_any_earlier_version_is_made_anew_once() {
        let tables = "CREATE TABLE posting (key INTEGER); CREATE TABLE progress (domain INTEGER, indexed_upto INTEGER);
             INSERT INTO progress VALUES (1, 5)";
        let progress = |index: &Connection| column::<i64>(index, "SELECT indexed_upto FROM progress");
        let dir = tempfile::tempdir().expect("dir");
        for version in 1..newest(File::Index) {
            let path = dir.path().join(format!("{version}.db"));
            let former = Connection::open(&path).expect("open");
            former.execute_batch(tables).expect("made");
            former.pragma_update(None, "application_id", INDEX_APPLICATION).expect("set");
            former.pragma_update(None, "user_version", version).expect("set");
            drop(former);
            let index = open_writer(File::Index, &path).expect("open");
            assert_eq!(check_known(File::Index, &path, &index).expect("ours"), newest(File::Index));
            assert!(progress(&index).is_empty(), "{version}");
            assert!(column::<i64>(&index, "SELECT checksum FROM posting").is_empty(), "{version}");
            index.execute("INSERT INTO progress VALUES (1, 5, x'00')", []).expect("inserted");
            drop(index);
            assert_eq!(progress(&open_writer(File::Index, &path).expect("open again")), [5], "{version}");
        }
    }

    #[test]
    fn what_an_earlier_version_kept_unshown_is_deleted() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("ics.db");
        let former = former(File::Log, &path, 6);
        former.execute_batch("INSERT INTO sight VALUES (1, zeroblob(16), 3, 1)").expect("inserted");
        // In order: unchanged; no longer readable; shown again in a settled round; shown again in one that is not
        // settled.
        for (index, shown) in (0_i64..).zip([None, Some(-1), Some(3), Some(4)]) {
            let sql = "INSERT INTO entry VALUES ((1 << 40) + ?1, 1, zeroblob(32), x'01', x'02', x'03', 2, ?2)";
            former.execute(sql, rusqlite::params![index, shown]).expect("inserted");
        }
        drop(former);
        let log = open_writer(File::Log, &path).expect("open");
        let mut statement = log.prepare("SELECT body IS NOT NULL, length(header), shown FROM entry ORDER BY position");
        let rows = statement.as_mut().expect("SQL").query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let rows: Vec<(bool, i64, Option<i64>)> = rows.expect("rows").map(|row| row.expect("a row")).collect();
        assert_eq!(rows, [(true, 1, None), (false, 0, Some(-1)), (true, 1, None), (false, 0, Some(-1))]);
    }

    #[test]
    fn receipts_of_what_an_earlier_version_erased_are_deleted() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("ics.db");
        let former = former(File::Log, &path, 15);
        // In order: unchanged, erased, not readable.
        for (index, header, salt) in [(0, "header", Some("salt")), (1, "remnant", None), (2, "", None)] {
            let sql = "INSERT INTO entry (position, effective, leaf, header, salt, body) \
                       VALUES ((1 << 40) + ?1, 1, zeroblob(32), CAST(?2 AS BLOB), CAST(?3 AS BLOB), CAST(?3 AS BLOB))";
            former.execute(sql, rusqlite::params![index, header, salt]).expect("inserted");
        }
        let receipts = (0..3).map(|index| format!("{{\"receipt\":{{\"index\":{index}}}}}"));
        for result in receipts.chain(["{".to_owned(), "{\"problem\":{}}".to_owned()]) {
            let sql = "INSERT INTO outbox (domain, hash, at, done_at, result) VALUES (1, randomblob(32), 0, 1, ?1)";
            former.execute(sql, [result]).expect("inserted");
        }
        drop(former);
        let log = open_writer(File::Log, &path).expect("open");
        assert_eq!(column::<i64>(&log, "SELECT id FROM outbox ORDER BY id"), [1, 3, 4, 5]);
    }

    #[test]
    fn what_alarms_of_an_earlier_version_are_about_is_known() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("ics.db");
        let former = former(File::Log, &path, 11);
        former.execute_batch("INSERT INTO follow_cursor VALUES (1, 'a.example', 5, 9)").expect("inserted");
        let signer = "ab".repeat(20);
        let declared = format!("a.example declares the signer {signer} compromised from entry 16 of b.example on: it");
        let rows = [
            ("not-taken-over", "entry 17 of a.example: its signer is unknown", Some("a.example entry 17".to_owned())),
            (
                "not-taken-over",
                "a.example: what is answered about a thing that was told of at 12 entries is of no use; the node's log",
                Some("a.example answer 12".to_owned()),
            ),
            (
                "not-taken-over",
                "the rules of a.example do not let b.example take over what is said of some",
                Some("a.example rights".to_owned()),
            ),
            ("compromised-at-source", declared.as_str(), Some(format!("a.example compromised {signer} 16 b.example"))),
            ("policy", "entry 1 of a.example: it has no effect", None),
        ];
        for (kind, text, _) in &rows {
            let sql = "INSERT INTO alarm (domain, at, kind, text) VALUES (1, 0, ?1, ?2)";
            former.execute(sql, rusqlite::params![kind, text]).expect("inserted");
        }
        drop(former);
        let log = open_writer(File::Log, &path).expect("open");
        let about: Vec<Option<String>> = column(&log, "SELECT about FROM alarm ORDER BY id");
        assert_eq!(about, rows.map(|(_, _, about)| about));
        let cursor = log.query_row("SELECT size, told, news FROM follow_cursor", [], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?])
        });
        assert_eq!(cursor.expect("a row"), [0, 9, 9], "all is looked at once more, and nothing is news");
    }

    #[test]
    fn what_earlier_versions_kept_of_certificates_stays() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("ics.db");
        let former = former(File::Log, &path, 18);
        let rows = "INSERT INTO certified (position, document) VALUES (7, '{}');
             INSERT INTO unconfirmed (domain, serial, until) VALUES (1, zeroblob(20), 9);";
        former.execute_batch(rows).expect("inserted");
        drop(former);
        let log = open_writer(File::Log, &path).expect("open");
        assert_eq!(column::<String>(&log, "SELECT document FROM certified WHERE position = 7"), ["{}"]);
        assert_eq!(column::<bool>(&log, "SELECT until = 9 AND exchange IS NULL FROM unconfirmed"), [true]);
    }

    #[test]
    fn accounts_of_an_earlier_version_are_found_by_whom_they_speak_for() {
        use crate::acme::account::{Account, Holder};
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("acme.db");
        let former = former(File::Acme, &path, 1);
        let holder = Holder::Signer("ab".repeat(20).parse().expect("a fingerprint"));
        let key = crate::acme::jwk::Jwk::Ed25519([7; 32]);
        let account = Account::new(key, holder, Vec::new(), ics_core::time::Timestamp::from_seconds(1));
        let documents = [serde_json::to_string(&account).expect("JSON"), "damaged".to_owned()];
        for (thumbprint, document) in documents.iter().enumerate() {
            let sql = "INSERT INTO account (domain, thumbprint, document) VALUES ('d.example', ?1, ?2)";
            former.execute(sql, rusqlite::params![thumbprint.to_string(), document]).expect("inserted");
        }
        drop(former);
        let acme = open_writer(File::Acme, &path).expect("open");
        let holders: Vec<String> = column(&acme, "SELECT holder FROM account ORDER BY id");
        assert_eq!(holders, [serde_json::to_string(&holder).expect("JSON"), String::new()]);
    }

    #[test]
    fn accounts_that_an_earlier_version_ended_have_nobody_to_write_to() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("acme.db");
        let former = former(File::Acme, &path, 4);
        let document = |status: &str| format!(r#"{{"status":"{status}","contact":["mailto:jo@acme.example"]}}"#);
        let documents = ["valid", "deactivated", "revoked"].map(document).into_iter().chain(["damaged".to_owned()]);
        for (thumbprint, document) in documents.enumerate() {
            let sql = "INSERT INTO account (domain, thumbprint, document) VALUES ('d.example', ?1, ?2)";
            former.execute(sql, rusqlite::params![thumbprint.to_string(), document]).expect("inserted");
        }
        drop(former);
        let acme = open_writer(File::Acme, &path).expect("open");
        let told: Vec<bool> = column(&acme, "SELECT document LIKE '%jo@%' FROM account ORDER BY id");
        assert_eq!(told, [true, false, false, false], "what nobody can read is left as it is");
        let is_due = acme.query_row("SELECT ended > cleaned FROM scrubbed", [], |row| row.get::<_, bool>(0));
        assert!(is_due.expect("a row"), "copies of what was deleted are still to be looked for");
    }

    #[test]
    fn blocks_of_an_earlier_version_stay_and_know_only_their_time() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("acme.db");
        let former = former(File::Acme, &path, 2);
        let rows = "INSERT INTO account (id, domain, thumbprint, document) VALUES (1, 'd.example', 'a', '{}');
             INSERT INTO block (account, identifier, since, why) VALUES (1, 'host:a.example', 7, 'by hand');";
        former.execute_batch(rows).expect("inserted");
        drop(former);
        let acme = open_writer(File::Acme, &path).expect("open");
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?));
        let block = acme.query_row("SELECT since, follows FROM block", [], row).expect("a row");
        assert_eq!(block, (7, None));
    }

    #[test]
    fn certificates_of_an_earlier_version_are_kept_once() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("acme.db");
        let former = former(File::Acme, &path, 3);
        former.execute_batch("INSERT INTO account VALUES (1, 'd.example', 'a', '{}', '')").expect("inserted");
        let documents = [
            r#"{"account":1,"chains":["leaf\n","leaf\nroot\n"],"identifiers":[]}"#,
            r#"{"account":1,"chains":["leaf\nroot\n"],"identifiers":[]}"#,
            "damaged",
            r#"{"account":1}"#,
        ];
        for (digest, document) in (0_i64..).zip(documents) {
            let sql = "INSERT INTO certificate (domain, digest, account, expires, document)
                VALUES ('d.example', zeroblob(?1), 1, 9, ?2)";
            former.execute(sql, rusqlite::params![digest, document]).expect("inserted");
        }
        drop(former);
        let acme = open_writer(File::Acme, &path).expect("open");
        let kept: Vec<String> = column(&acme, "SELECT document FROM certificate ORDER BY id");
        let once = r#"{"account":1,"identifiers":[],"pem":"leaf\nroot\n"}"#;
        assert_eq!(kept, [once, once, documents[2], documents[3]], "what nobody can read is left as it is");
    }

    #[test]
    fn the_issuers_of_certificates_of_an_earlier_version_are_kept_once() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("acme.db");
        let former = former(File::Acme, &path, 6);
        former.execute_batch("INSERT INTO account VALUES (1, 'd.example', 'a', '{}', '')").expect("inserted");
        let pem = |names: [&str; 3]| names.map(|name| format!("-----BEGIN {name}\\n")).concat();
        let document = |pem: &str| format!(r#"{{"account":1,"pem":"{pem}","identifiers":[]}}"#);
        let alone = document("-----BEGIN a\\n");
        let documents = [document(&pem(["a", "b", "c"])), document(&pem(["d", "b", "c"])), "damaged".into(), alone];
        for (digest, document) in (0_i64..).zip(documents) {
            let sql = "INSERT INTO certificate (domain, digest, account, expires, document)
                VALUES ('d.example', zeroblob(?1), 1, 9, ?2)";
            former.execute(sql, rusqlite::params![digest, document]).expect("inserted");
        }
        drop(former);
        let acme = open_writer(File::Acme, &path).expect("open");
        let own: Vec<Option<String>> = column(
            &acme,
            "SELECT iif(json_valid(document), json_extract(document, '$.pem'), NULL) FROM certificate ORDER BY id",
        );
        let begins = |name: &str| Some(format!("-----BEGIN {name}\n"));
        assert_eq!(own, [begins("a"), begins("d"), None, begins("a")]);
        let above: Vec<Option<i64>> = column(&acme, "SELECT above FROM certificate ORDER BY id");
        assert_eq!(above, [Some(1), Some(1), None, None]);
        let issuers: Vec<String> = column(&acme, "SELECT pem FROM issuers");
        assert_eq!(issuers, ["-----BEGIN b\n-----BEGIN c\n"]);
    }
}
