//! Files that are missing, damaged, foreign, too new or in use.

use std::path::Path;
use std::sync::Arc;

use ics_core::time::Timestamp;
use ics_node::store::{
    DomainInfo, DomainNumber, Inspector, KeysOf, NewContent, NewEntry, Part, Seal, Store, StoreError, StoredEntry,
    WriteError, WriteTx, backup, check_backup, inspect,
};
use rusqlite::Connection;

use super::common::*;

/// A closed store with 600 entries.
fn filled(dir: &Path) -> DomainNumber {
    let (store, domain) = with_home(dir);
    fill(&store, domain, 0..600);
    domain
}

fn assert_found(dir: &Path, domain: DomainNumber) {
    let store = open(dir);
    assert_eq!(find(&store, domain, &["lot41"]), (410..420).collect::<Vec<_>>());
    assert_sound(&store);
}

#[test]
fn an_index_that_is_missing_or_damaged_is_built_again() {
    let dir = tempfile::tempdir().expect("dir");
    let domain = filled(dir.path());
    let index = dir.path().join("index.db");
    let whole = std::fs::read(&index).expect("read");
    assert!(!dir.path().join("index.db-wal").exists(), "closed in order");

    std::fs::remove_file(&index).expect("remove");
    assert_found(dir.path(), domain);
    std::fs::write(&index, b"not a database at all").expect("write");
    assert_found(dir.path(), domain);
    std::fs::write(&index, &whole[..whole.len() / 2]).expect("write");
    std::fs::write(dir.path().join("index.db-wal"), b"").expect("as after a crash");
    assert_found(dir.path(), domain);
}

/// The index is derived, so that nobody is kept from going back to an earlier version of the program by it.
#[test]
fn an_index_of_a_newer_or_an_earlier_version_is_built_again() {
    let dir = tempfile::tempdir().expect("dir");
    let domain = filled(dir.path());
    for version in [1_000, 1] {
        let index = Connection::open(dir.path().join("index.db")).expect("open");
        index.execute("DELETE FROM posting", []).expect("it may hold anything");
        index.pragma_update(None, "user_version", version).expect("set");
        drop(index);
        assert_found(dir.path(), domain);
    }
}

#[test]
fn a_damaged_page_that_a_look_up_meets_is_repaired_at_the_next_start() {
    let dir = tempfile::tempdir().expect("dir");
    let domain = filled(dir.path());
    let index = dir.path().join("index.db");
    let mut bytes = std::fs::read(&index).expect("read");
    // All pages but the first, which holds the schema.
    bytes[8192..].fill(0xff);
    std::fs::write(&index, &bytes).expect("write");
    // Reading the progress at the start may already fail.
    let store = open(dir.path());
    let result = store.positions(domain, &[key("lot41")], 0..600, 100);
    assert!(result.is_ok() || matches!(result, Err(StoreError::Corrupt { .. })));
    drop(store);
    assert_found(dir.path(), domain);
}

/// What it should have led to may have been a block.
#[test]
fn a_damaged_row_of_the_index_hides_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let domain = filled(dir.path());
    let ways = [
        ("elsewhere", "more = CAST(substr(more, 1, 8) || x'02' AS BLOB)"),
        ("behind the end of the log", "more = CAST(substr(more, 1, 7) || x'ff01' AS BLOB)"),
        ("cut short", "more = substr(more, 1, 8)"),
        ("cut off", "more = NULL"),
        ("moved", "position = position + 1"),
    ];
    for (way, change) in ways {
        let index = Connection::open(dir.path().join("index.db")).expect("open");
        let sql = format!("UPDATE posting SET {change} WHERE length(more) = 9");
        assert!(index.execute(&sql, []).expect("change") > 0, "{way}");
        drop(index);
        let store = open(dir.path());
        let found = store.positions(domain, &[key("lot41")], 0..600, 100);
        assert!(matches!(found, Err(StoreError::Corrupt { .. })), "{way}: {found:?}");
        drop(store);
        assert_found(dir.path(), domain);
    }
}

/// No look-up can notice this: an empty answer is also the answer for what does not exist.
#[test]
fn a_row_of_the_index_that_is_gone_is_seen_by_whoever_goes_round() {
    let dir = tempfile::tempdir().expect("dir");
    let domain = filled(dir.path());
    let mark = dir.path().join("index.db-damaged");
    let is_unfound = |store: &Store, lot: u64| find(store, domain, &[format!("lot{lot}").as_str()]).is_empty();
    let unfound = |store: &Store| (0..60).filter(|lot| is_unfound(store, *lot)).count();
    let go_round = |store: &Store| (0..8).for_each(|_| store.look_over(100));
    let store = open(dir.path());
    go_round(&store);
    go_round(&store);
    assert!(!mark.exists(), "nothing is wrong with it");
    drop(store);
    let one = "WHERE key = (SELECT key FROM posting WHERE length(more) = 9 LIMIT 1)";
    for change in ["DELETE FROM posting", "UPDATE posting SET key = key + 1"] {
        let index = Connection::open(dir.path().join("index.db")).expect("open");
        assert_eq!(index.execute(&format!("{change} {one}"), []).expect("change"), 1, "{change}");
        drop(index);
        let store = open(dir.path());
        assert_eq!((unfound(&store), mark.exists()), (1, false), "{change}");
        go_round(&store);
        assert!(mark.exists(), "{change}");
        drop(store);
        let store = open(dir.path());
        assert_eq!((unfound(&store), mark.exists()), (0, false), "{change}");
    }
}

/// A node that is restarted each day would otherwise check the beginning of a large log for ever.
#[test]
fn a_round_goes_on_after_a_restart_where_it_was_before() {
    let dir = tempfile::tempdir().expect("dir");
    filled(dir.path());
    let mark = dir.path().join("index.db-damaged");
    let store = open(dir.path());
    (0..5).for_each(|_| store.look_over(100));
    drop(store);
    let index = Connection::open(dir.path().join("index.db")).expect("open");
    let last = "SELECT key FROM posting WHERE length(more) = 9 ORDER BY position DESC LIMIT 1";
    assert_eq!(index.execute(&format!("DELETE FROM posting WHERE key = ({last})"), []).expect("change"), 1);
    drop(index);
    let store = open(dir.path());
    assert!(!mark.exists());
    store.look_over(100);
    assert!(mark.exists(), "it is among the last");
    drop(store);
    for damaged in ["", "1", "1 x", "4294967296 0", "1 18446744073709551615"] {
        std::fs::write(dir.path().join("round"), damaged).expect("write");
        let store = open(dir.path());
        (0..8).for_each(|_| store.look_over(100));
        assert_sound(&store);
    }
}

/// It was found by what it said when it was logged, and says something else now.
#[test]
fn an_entry_that_is_not_what_was_logged_is_given_to_nobody() {
    let dir = tempfile::tempdir().expect("dir");
    let domain = filled(dir.path());
    let store = open(dir.path());
    let log = Connection::open(dir.path().join("ics.db")).expect("open");
    let position = (i64::from(domain.get()) << 40) + 300;
    let sql = format!("UPDATE entry SET body = CAST('n300 lot41' AS BLOB) WHERE position = {position}");
    assert_eq!(log.execute(&sql, []).expect("change"), 1);
    assert_eq!(find(&store, domain, &["lot30"]), (300..310).collect::<Vec<_>>());
    assert!(matches!(store.entries_at(domain, &[299, 300]), Err(StoreError::Corrupt { .. })));
    assert!(matches!(store.entry(domain, 300), Err(StoreError::Corrupt { .. })));
    assert!(matches!(store.entries(domain, 290, 20, usize::MAX), Err(StoreError::Corrupt { .. })));
    assert_eq!(store.entries(domain, 290, 10, usize::MAX).expect("of these none is damaged").len(), 10);
    let read = store.write(domain, |tx| tx.entry(300)).expect("queued").wait();
    assert!(matches!(read, Err(WriteError::Job(StoreError::Corrupt { .. }))), "{read:?}");
}

/// If one damaged byte makes a body look absent, the entry was not erased.
#[test]
fn half_an_entry_is_damaged() {
    let dir = tempfile::tempdir().expect("dir");
    let domain = filled(dir.path());
    let log = Connection::open(dir.path().join("ics.db")).expect("open");
    let position = (i64::from(domain.get()) << 40) + 300;
    for (offset, lost) in [(0, "salt"), (1, "body")] {
        let sql = format!("UPDATE entry SET {lost} = NULL WHERE position = {position} + {offset}");
        assert_eq!(log.execute(&sql, []).expect("change"), 1);
        let store = open(dir.path());
        let read = store.entry(domain, 300 + offset);
        assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{lost}: {read:?}");
        let findings = store.check().expect("check").findings;
        assert!(findings.iter().any(|finding| finding.contains(&format!("entry {}", 300 + offset))), "{findings:?}");
    }
}

/// Neither its leaf nor a checkpoint says whether an entry has effect.
#[test]
fn an_entry_that_has_lost_its_effect_is_given_to_nobody() {
    let (dir, store, domain) = founded();
    fill(&store, domain, 0..10);
    let refused = |body: &str| NewEntry { effective: false, ..entry(body) };
    let job = move |tx: &mut WriteTx<'_>| {
        tx.append(refused("refused"))?;
        let hidden = NewEntry { content: NewContent::Leaf([7; 32]), header: Vec::new(), ..refused("hidden") };
        tx.append(hidden)?;
        tx.judge_again(4, false);
        tx.judge_again(5, false);
        Ok::<_, StoreError>(())
    };
    store.write(domain, job).expect("queued").wait().expect("written");
    let job = |tx: &mut WriteTx<'_>| {
        tx.judge_again(5, true);
        Ok::<_, StoreError>(())
    };
    store.write(domain, job).expect("queued").wait().expect("written");
    let effective = |store: &Store| -> Vec<u64> {
        let entries = store.entries(domain, 0, 20, usize::MAX).expect("nothing is damaged");
        entries.iter().filter(|entry| entry.effective).map(|entry| entry.index).collect()
    };
    assert_eq!(effective(&store), [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    drop(store);

    // As a store of an earlier version, which is then upgraded.
    let log = Connection::open(dir.path().join("ics.db")).expect("open");
    let later = "DROP TABLE without_effect; DROP TABLE follow_grant; DROP TABLE certified; DROP TABLE unscrubbed; \
                 DROP TABLE unconfirmed; DROP TABLE day; DROP TABLE given_up; DROP INDEX filled_by_position; \
                 ALTER TABLE follow_cursor DROP COLUMN news; ALTER TABLE follow_cursor DROP COLUMN rights; \
                 ALTER TABLE alarm DROP COLUMN about; PRAGMA user_version = 9";
    log.execute_batch(later).expect("changed");
    drop(log);
    let store = open(dir.path());
    assert_eq!(effective(&store), [0, 1, 2, 3, 5, 6, 7, 8, 9]);

    let log = Connection::open(dir.path().join("ics.db")).expect("open");
    let position = (i64::from(domain.get()) << 40) + 3;
    let sql = format!("UPDATE entry SET effective = 0 WHERE position = {position}");
    assert_eq!(log.execute(&sql, []).expect("change"), 1);
    assert!(matches!(store.entry(domain, 3), Err(StoreError::Corrupt { .. })));
    assert!(matches!(store.entries_at(domain, &[2, 3]), Err(StoreError::Corrupt { .. })));
    assert!(matches!(store.entries(domain, 0, 20, usize::MAX), Err(StoreError::Corrupt { .. })));
    let read = store.write(domain, |tx| tx.entry(3)).expect("queued").wait();
    assert!(matches!(read, Err(WriteError::Job(StoreError::Corrupt { .. }))), "{read:?}");
    assert_eq!(store.entries_at(domain, &[2, 4]).expect("of these none is damaged").len(), 2);
}

#[test]
fn an_index_that_is_made_anew_does_not_forget_what_is_damaged() {
    let dir = tempfile::tempdir().expect("dir");
    let domain = filled(dir.path());
    let store = open(dir.path());
    let other = store.create_domain(&name("other.example"), Part::Home, None).expect("create").number;
    fill(&store, other, 0..10);
    drop(store);
    let is = |body: &str| {
        let log = Connection::open(dir.path().join("ics.db")).expect("open");
        let position = (i64::from(domain.get()) << 40) + 300;
        let sql = format!("UPDATE entry SET body = CAST('{body}' AS BLOB) WHERE position = {position}");
        assert_eq!(log.execute(&sql, []).expect("change"), 1);
    };
    // It says something else now, and nothing in it shows that.
    is("n300 lot41");
    std::fs::remove_file(dir.path().join("index.db")).expect("remove");
    for start in ["made anew", "as it was made", "with damage to what says so"] {
        if start.starts_with("with") {
            let index = Connection::open(dir.path().join("index.db")).expect("open");
            assert!(index.execute("UPDATE posting SET checksum = checksum + 1", []).expect("change") > 0);
        }
        let store = open(dir.path());
        let found = store.positions(domain, &[key("lot41")], 0..600, 100);
        assert!(matches!(found, Err(StoreError::Damaged { entry: 300, .. })), "{start}: {found:?}");
        assert_eq!(store.reach(domain).expect("a domain"), None, "{start}");
        let refused = append(&store, domain, &["one more"]);
        assert!(matches!(refused, Err(WriteError::Store(StoreError::Damaged { .. }))), "{start}: {refused:?}");
        assert_eq!(find(&store, other, &["lot0"]), (0..10).collect::<Vec<_>>(), "{start}");
        append(&store, other, &["one more"]).expect("nothing is wrong with it");
    }
    is("n300 lot30");
    Store::rebuild_index(dir.path(), options()).expect("made anew");
    assert_found(dir.path(), domain);
    append(&open(dir.path()), domain, &["one more"]).expect("nothing is wrong with it any more");
}

#[test]
fn the_index_of_another_log_is_not_used() {
    let (dir, other) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let domain = filled(dir.path());
    let (store, same_number) = with_home(other.path());
    fill(&store, same_number, 1000..1600);
    drop(store);
    std::fs::copy(other.path().join("index.db"), dir.path().join("index.db")).expect("copy");
    assert_found(dir.path(), domain);
}

#[test]
fn damage_to_the_log_is_found() {
    let dir = tempfile::tempdir().expect("dir");
    let domain = filled(dir.path());
    let log = dir.path().join("ics.db");
    let change = |sql: &str| {
        let connection = Connection::open(&log).expect("open");
        assert_eq!(connection.execute(sql, []).expect("change"), 1);
    };
    let findings = || open(dir.path()).check().expect("check").findings;
    let position = (i64::from(domain.get()) << 40) + 300;
    change(&format!("UPDATE entry SET body = x'666f72676564' WHERE position = {position}"));
    assert!(findings().iter().any(|finding| finding.contains("entry 300")), "{:?}", findings());
    change(&format!("UPDATE entry SET body = CAST('n300 lot30' AS BLOB) WHERE position = {position}"));
    change("UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0 AND number = 1");
    let error = Store::open(dir.path(), options()).map(|_| ()).expect_err("the tiles do not lead to the root");
    assert!(matches!(error, StoreError::Corrupt { .. }));
}

#[test]
fn a_copy_beside_a_running_store_is_whole_and_damage_to_it_is_found() {
    let (dir, copy) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let (store, domain) = with_home(dir.path());
    fill(&store, domain, 0..600);
    backup(dir.path(), copy.path()).expect("beside the store, which is open");
    fill(&store, domain, 600..700);
    let report = check_backup(copy.path()).expect("check");
    assert_eq!((report.entries, report.findings), (600, Vec::new()));
    assert!(matches!(backup(dir.path(), copy.path()), Err(StoreError::Exists { .. })));
    assert!(matches!(backup(&dir.path().join("none"), copy.path()), Err(StoreError::NotFound { .. })));

    let connection = Connection::open(copy.path().join("ics.db")).expect("open");
    let position = (i64::from(domain.get()) << 40) + 300;
    let forge = format!("UPDATE entry SET body = x'666f72676564' WHERE position = {position}");
    assert_eq!(connection.execute(&forge, []).expect("change"), 1);
    drop(connection);
    let findings = check_backup(copy.path()).expect("check").findings;
    assert_eq!(findings, ["entry 300 of `d.example` does not have the leaf that is stored"]);
    drop(store);
    let held = open(copy.path());
    let refused = append(&held, domain, &["one more"]);
    assert!(matches!(refused, Err(WriteError::Store(StoreError::Behind { .. }))), "{refused:?}");
}

/// A user of the store while it is checked: appends to a domain once the first entry was read, and then closes the
/// store, which completes the index.
struct Beside {
    open: Option<(Store, DomainNumber)>,
}

impl Inspector for Beside {
    fn entry(&mut self, _: &DomainInfo, _: &StoredEntry) -> Option<String> {
        None
    }

    fn checkpoint(&mut self, _: &DomainInfo, _: &Seal) -> Option<String> {
        None
    }

    fn progress(&mut self, _: u64, _: u64) {
        if let Some((store, domain)) = self.open.take() {
            fill(&store, domain, 600..700);
        }
    }
}

#[test]
fn what_waits_for_another_home_is_looked_at_as_well() {
    let (dir, store, _) = founded();
    let domain = store.create_domain(&name("other.example"), Part::Mirror, Some([7; 32])).expect("create").number;
    let (at, bodies) = (Timestamp::from_seconds(1), ["a", "b", "c"].map(|body| body.as_bytes().to_vec()).to_vec());
    let posted = store.post(domain, bodies, at, false).expect("taken in");
    store.post_done(domain, vec![(posted[2].id, "{\"receipt\":1}".to_owned())], at).expect("noted");
    drop(store);
    let keys_of: KeysOf = Arc::new(keys_of);
    let findings = || inspect(dir.path(), &keys_of, &mut Beside { open: None }).expect("a report").findings;
    assert_eq!(findings(), Vec::<String>::new());
    let log = Connection::open(dir.path().join("ics.db")).expect("open");
    let change = |sql: &str, id: u64| assert_eq!(log.execute(sql, [id.cast_signed()]).expect("change"), 1);
    change("UPDATE outbox SET body = x'7a' WHERE id = ?1", posted[0].id);
    change("UPDATE outbox SET result = '{' WHERE id = ?1", posted[2].id);
    let found = findings();
    assert_eq!(found.len(), 2, "{found:?}");
    let changed = "submission 1 in the outbox of `other.example` is not what was accepted";
    assert!(found[0].starts_with(changed), "{found:?}");
    assert!(found[1].contains("became of submission 3"), "{found:?}");
    log.execute_batch("DROP TABLE outbox").expect("as a store of the first release");
    assert_eq!(findings(), Vec::<String>::new());
}

#[test]
fn what_is_logged_while_the_store_is_looked_through_is_no_loss() {
    let (dir, store, first) = founded();
    let second = store.create_domain(&name("other.example"), Part::Home, None).expect("create").number;
    fill(&store, first, 0..10);
    fill(&store, second, 0..600);
    let keys_of: KeysOf = Arc::new(keys_of);
    let report = inspect(dir.path(), &keys_of, &mut Beside { open: Some((store, second)) }).expect("a report");
    assert_eq!((report.findings, report.index), (Vec::new(), Vec::new()));
    assert_eq!(report.entries, 710, "what came meanwhile was read as well");
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let dir = tempfile::tempdir().expect("dir");
    filled(dir.path());
    let connection = Connection::open(dir.path().join("ics.db")).expect("open");
    connection.pragma_update(None, "user_version", 1_000).expect("set");
    drop(connection);
    let error = Store::open(dir.path(), options()).map(|_| ()).expect_err("newer");
    let StoreError::Newer { found: 1_000, known, .. } = &error else { panic!("{error}") };
    let told = format!("has schema version 1000, this program knows {known}: use a newer version of ics");
    assert!(error.to_string().ends_with(&told), "{error}");
}

#[test]
fn one_process_at_a_time() {
    let (dir, store, _) = founded();
    let second = Store::open(dir.path(), options()).map(|_| ());
    assert!(matches!(second, Err(StoreError::InUse { .. })));
    drop(store);
    open(dir.path());
}
