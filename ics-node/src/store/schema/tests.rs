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

/// Otherwise who asks what became of a submission could be told what became of another one.
#[test]
fn the_number_of_a_submission_is_not_used_again() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("ics.db");
    let former = former(File::Log, &path, 20);
    let rows = "INSERT INTO outbox (id, domain, hash, body, at, attempts, last_error)
             VALUES (4, 1, randomblob(32), x'01', 3, 2, 'gone');
         INSERT INTO outbox (id, domain, hash, at, done_at, result) VALUES (9, 1, randomblob(32), 5, 6, '{}');";
    former.execute_batch(rows).expect("inserted");
    drop(former);
    let log = open_writer(File::Log, &path).expect("open");
    let kept = "SELECT id || ' ' || (body IS NULL) || ' ' || at || ' ' || attempts || ' ' || \
                coalesce(result, last_error) FROM outbox ORDER BY id";
    assert_eq!(column::<String>(&log, kept), ["4 0 3 2 gone", "9 1 5 0 {}"], "everything is kept");
    let indices = "SELECT name FROM sqlite_schema WHERE tbl_name = 'outbox' AND name = 'outbox_by_state'";
    assert_eq!(column::<String>(&log, indices), ["outbox_by_state"]);
    let next = "DELETE FROM outbox WHERE id = (SELECT max(id) FROM outbox);
         INSERT INTO outbox (domain, hash, at) VALUES (1, randomblob(32), 7);";
    log.execute_batch(next).expect("changed");
    log.execute_batch(next).expect("changed");
    assert_eq!(column::<i64>(&log, "SELECT id FROM outbox ORDER BY id"), [4, 11]);
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

/// The file of an earlier version with these documents of certificates, opened by this one.
fn with_certificates(version: usize, documents: &[&str]) -> (tempfile::TempDir, Connection) {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("acme.db");
    let former = former(File::Acme, &path, version);
    former.execute_batch("INSERT INTO account VALUES (1, 'd.example', 'a', '{}', '')").expect("inserted");
    for (digest, document) in (0_i64..).zip(documents) {
        let sql = "INSERT INTO certificate (domain, digest, account, expires, document)
            VALUES ('d.example', zeroblob(?1), 1, 9, ?2)";
        former.execute(sql, rusqlite::params![digest, document]).expect("inserted");
    }
    drop(former);
    let acme = open_writer(File::Acme, &path).expect("open");
    (dir, acme)
}

#[test]
fn certificates_of_an_earlier_version_are_kept_once() {
    let documents = [
        r#"{"account":1,"chains":["leaf\n","leaf\nroot\n"],"identifiers":[]}"#,
        r#"{"account":1,"chains":["leaf\nroot\n"],"identifiers":[]}"#,
        "damaged",
        r#"{"account":1}"#,
    ];
    let (_dir, acme) = with_certificates(3, &documents);
    let kept: Vec<String> = column(&acme, "SELECT document FROM certificate ORDER BY id");
    let once = r#"{"account":1,"identifiers":[],"pem":"leaf\nroot\n"}"#;
    assert_eq!(kept, [once, once, documents[2], documents[3]], "what nobody can read is left as it is");
}

#[test]
fn the_issuers_of_certificates_of_an_earlier_version_are_kept_once() {
    let pem = |names: [&str; 3]| names.map(|name| format!("-----BEGIN {name}\\n")).concat();
    let document = |pem: &str| format!(r#"{{"account":1,"pem":"{pem}","identifiers":[]}}"#);
    let alone = document("-----BEGIN a\\n");
    let documents = [document(&pem(["a", "b", "c"])), document(&pem(["d", "b", "c"])), "damaged".into(), alone];
    let (_dir, acme) = with_certificates(6, &documents.each_ref().map(String::as_str));
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
