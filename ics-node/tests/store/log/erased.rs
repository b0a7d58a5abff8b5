//! Erased bodies are nowhere, and the root stays.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ics_node::store::{DomainNumber, Key, Options, StoredEntry};

use super::*;

const NUMBERS: usize = 300;

#[test]
fn an_erased_body_is_nowhere_in_the_files_and_the_root_stays() {
    let (dir, store, domain) = founded();
    let secret = "personal".repeat(200);
    append(&store, domain, &["first", &secret, "third"]).expect("append");
    let before = head(&store, domain);
    let wal = std::fs::read(dir.path().join("ics.db-wal")).expect("read");
    assert!(wal.windows(16).any(|window| window == b"personalpersonal"), "it is there to be erased");
    let job = |tx: &mut WriteTx<'_>| {
        tx.erase(1, b"left".to_vec())?;
        assert_eq!(tx.entry(1)?.content, None);
        tx.erase(3, Vec::new()).map(|()| false).or_else(|error| match error {
            StoreError::NotFound { .. } => Ok(true),
            error => Err(error),
        })
    };
    assert!(store.write(domain, job).expect("queue").wait().expect("erase").value);
    let entry = store.entry(domain, 1).expect("entry");
    assert_eq!((entry.content, entry.header), (None, b"left".to_vec()), "what is left takes the place of the header");
    assert_eq!(head(&store, domain), before);
    assert_eq!(store.check().expect("check").without_content, 1);
    assert_sound(&store);
    assert_nowhere(dir.path(), b"personalpersonal");
    drop(store);
    assert_nowhere(dir.path(), b"personalpersonal");
    assert_sound(&open(dir.path()));
}

/// Its salt and header would prove a guess of the contents.
#[test]
fn the_receipt_of_what_is_erased_goes_with_it() {
    let (dir, store, domain) = founded();
    append(&store, domain, &["first", "second"]).expect("append");
    let at = Timestamp::from_seconds(1);
    let bodies = ["first", "second", "third"].map(|body| body.as_bytes().to_vec());
    let posted = store.post(domain, bodies.to_vec(), at, false).expect("taken in");
    let ids: Vec<u64> = posted.iter().map(|it| it.id).collect();
    let receipt = |index: usize| format!(r#"{{"receipt":{{"index":{index},"salt":"personalpersonal"}}}}"#);
    store.post_done(domain, ids.iter().copied().zip((0..3).map(receipt)).collect(), at).expect("noted");
    // A row that cannot be read must not get in the way.
    let other = Connection::open(dir.path().join("ics.db")).expect("open");
    other.execute("UPDATE outbox SET result = '{' WHERE id = ?1", [ids[2].cast_signed()]).expect("changed");
    drop(other);
    store.write(domain, |tx| tx.erase(1, b"left".to_vec())).expect("queue").wait().expect("erased");
    let is_kept = |id: &u64| store.posted(*id).expect("read").is_some();
    assert_eq!(ids.iter().map(is_kept).collect::<Vec<_>>(), [true, false, true]);
}

/// The home's answer was under way when the entry was erased.
#[test]
fn a_receipt_that_comes_after_the_erasure_is_not_kept() {
    let (dir, store, copy) = copied();
    let secret = "personal".repeat(200);
    append(&store, copy, &["first", &secret, "third"]).expect("append");
    assert_eq!(store.write(copy, |tx| tx.append(bare([7; 32]))).expect("queue").wait().expect("a leaf").value, 3);
    let at = Timestamp::from_seconds(1);
    let bodies = ["first", secret.as_str(), "third", "hidden", "to come"].map(|body| body.as_bytes().to_vec());
    let posted = store.post(copy, bodies.to_vec(), at, false).expect("taken in");
    let ids: Vec<u64> = posted.iter().map(|it| it.id).collect();
    let goes = |tx: &mut WriteTx<'_>| {
        tx.erase(1, b"left".to_vec())?;
        tx.lose(2, vec![key("third")])
    };
    store.write(copy, goes).expect("queue").wait().expect("erased, and read no longer");
    let receipt = |index: usize| {
        let salt = if index == 1 { "personalpersonal" } else { "of another" };
        format!(r#"{{"receipt":{{"index":{index},"salt":"{salt}"}}}}"#)
    };
    store.post_done(copy, ids.iter().copied().zip((0..5).map(receipt)).collect(), at).expect("noted");
    let is_kept = |id: &u64| store.posted(*id).expect("read").is_some();
    assert_eq!(ids.iter().map(is_kept).collect::<Vec<_>>(), [true, false, true, true, true]);
    drop(store);
    assert_nowhere(dir.path(), b"personalpersonal");
}

/// Otherwise each later start would rebuild the index, whatever was erased in between.
#[test]
fn an_erasure_that_cannot_be_stored_leaves_no_mark() {
    let (dir, store, domain) = founded();
    append(&store, domain, &["first", "second"]).expect("append");
    let other = Connection::open(dir.path().join("ics.db")).expect("open");
    let refuses = "CREATE TRIGGER refuses BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'no'); END";
    other.execute_batch(refuses).expect("made");
    let erase = || store.write(domain, |tx| tx.erase(1, b"left".to_vec())).expect("queue").wait();
    let is_marked = || dir.path().join("index.db-erasing").exists();
    assert!(matches!(erase(), Err(WriteError::Store(StoreError::Sqlite { .. }))));
    assert!(!is_marked(), "nothing is to be forgotten");
    assert_eq!(find(&store, domain, &["second"]), [1]);
    other.execute_batch("DROP TRIGGER refuses").expect("gone");
    drop(other);
    erase().expect("erased");
    assert_eq!(find(&store, domain, &["second"]), Vec::<u64>::new());
    drop(store);
    assert!(!is_marked(), "all is forgotten");
}

/// With constant writing, and a reader during the erasure.
#[test]
fn an_erased_body_leaves_the_files_under_steady_load_too() {
    let (dir, store, domain) = founded();
    append(&store, domain, &["first", &"personal".repeat(200)]).expect("append");
    let reader = Connection::open(dir.path().join("ics.db")).expect("open");
    reader.execute_batch("BEGIN; SELECT count(*) FROM entry").expect("read");
    let job = |tx: &mut WriteTx<'_>| tx.erase(1, b"left".to_vec());
    store.write(domain, job).expect("queue").wait().expect("erase");
    let wal = || std::fs::read(dir.path().join("ics.db-wal")).expect("read");
    let holds = || wal().windows(16).any(|window| window == b"personalpersonal");
    assert!(holds(), "the reader keeps it there");
    drop(reader);
    let end = Instant::now() + Duration::from_secs(60);
    for number in 0.. {
        append(&store, domain, &[&format!("n{number}")]).expect("append");
        if !holds() {
            break;
        }
        assert!(Instant::now() < end, "it is still in the write-ahead log");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_sound(&store);
}

/// A mirror learns of the statement and of its erasure at once.
#[test]
fn what_is_filled_in_and_erased_at_once_does_not_come_back() {
    let (dir, mirror, copy) = copied();
    let secret = "personal".repeat(200);
    let (leaf, filling) = late(&secret, &secret);
    mirror.write(copy, move |tx| tx.append(bare(leaf))).expect("queue").wait().expect("a leaf");
    let at_once = move |tx: &mut WriteTx<'_>| {
        tx.fill(filling, true)?;
        tx.erase(0, b"left".to_vec())?;
        tx.settle(Some([1; 16]), None);
        Ok::<_, StoreError>(())
    };
    mirror.write(copy, at_once).expect("queue").wait().expect("filled in and erased");
    let entry = mirror.entry(copy, 0).expect("entry");
    assert_eq!((entry.content, entry.header), (None, b"left".to_vec()));
    assert_eq!(find(&mirror, copy, &[&secret]), Vec::<u64>::new());
    drop(mirror);
    assert_nowhere(dir.path(), b"personalpersonal");
}

/// A store in which what is left of an entry is found by its words.
fn with_remnants(dir: &Path) -> Store {
    Store::open(dir, Options { keys_of: Arc::new(keys_of_left), ..options() }).expect("open")
}

fn keys_of_left(entry: &StoredEntry) -> Vec<Key> {
    match &entry.content {
        Some(_) => keys_of(entry),
        None => String::from_utf8_lossy(&entry.header).split_whitespace().map(key).collect(),
    }
}

/// Appends an entry of which there is only the leaf, or what is left of it.
fn hide(store: &Store, copy: DomainNumber, leaf: [u8; 32], left: &str) {
    let (header, keys) = (left.as_bytes().to_vec(), left.split_whitespace().map(key).collect());
    let entry = NewEntry { header, keys, ..bare(leaf) };
    store.write(copy, move |tx: &mut WriteTx<'_>| tx.append(entry)).expect("queue").wait().expect("a leaf");
}

/// While what an erasure restates is not shown yet, that tells that something is missing.
#[test]
fn what_is_left_of_what_did_not_come_with_the_log_is_found_beside_it() {
    let dir = tempfile::tempdir().expect("dir");
    let store = with_remnants(dir.path());
    let copy = store.create_domain(&name("d.example"), Part::Mirror, None).expect("create").number;
    let (leaf, filling) = late("first", "first");
    hide(&store, copy, leaf, "");
    hide(&store, copy, [7; 32], "");
    store.write(copy, shown(filling)).expect("queue").wait().expect("filled in");
    let erased = |tx: &mut WriteTx<'_>| {
        tx.erase(0, b"left one".to_vec())?;
        tx.erase(1, b"left other".to_vec())
    };
    store.write(copy, erased).expect("queue").wait().expect("erased");
    let found = |store: &Store| ["first", "left", "one", "other"].map(|word| find(store, copy, &[word]));
    let expected = [vec![], vec![0, 1], vec![0], vec![1]];
    assert_eq!(found(&store), expected);
    assert_sound(&store);
    drop(store);
    std::fs::remove_file(dir.path().join("index.db")).expect("removed");
    let store = with_remnants(dir.path());
    assert_eq!(found(&store), expected);
    assert_sound(&store);
}

/// The index would lead to an entry that says nothing of what is looked for, as if it were damaged.
#[test]
fn what_was_said_to_be_left_leads_nowhere_once_something_else_is_there() {
    let dir = tempfile::tempdir().expect("dir");
    let store = with_remnants(dir.path());
    let copy = store.create_domain(&name("d.example"), Part::Mirror, None).expect("create").number;
    let (leaf, filling) = late("first", "first");
    hide(&store, copy, leaf, "left one");
    let found = || ["first", "left", "one", "other"].map(|word| find(&store, copy, &[word]));
    assert_eq!(found(), [vec![], vec![0], vec![0], vec![]]);
    let says_otherwise =
        |tx: &mut WriteTx<'_>| tx.leave(0, b"left other".to_vec(), ["left", "other"].map(key).to_vec());
    store.write(copy, says_otherwise).expect("queue").wait().expect("noted");
    assert_eq!(found(), [vec![], vec![0], vec![], vec![0]]);
    assert_eq!(store.entry(copy, 0).expect("entry").header, b"left other".to_vec());
    let shown = move |tx: &mut WriteTx<'_>| {
        tx.fill(filling, true)?;
        tx.settle(None, None);
        Ok::<_, StoreError>(())
    };
    store.write(copy, shown).expect("queue").wait().expect("filled in");
    assert_eq!(found(), [vec![0], vec![], vec![], vec![]]);
    assert_sound(&store);
}

/// Entries of two domains share pages, and each new one moves others from page to page.
#[test]
fn a_body_that_moved_between_pages_leaves_no_copy_when_it_is_erased() {
    let (dir, store, first) = founded();
    let second = store.create_domain(&name("e.example"), Part::Home, None).expect("create").number;
    let secret = |number: usize| format!("secret-{number:04}.");
    for number in 0..NUMBERS {
        let body = secret(number).repeat(80 + number * 13 % 197);
        append(&store, first, &[&body]).expect("append");
        append(&store, second, &[&body.replace("secret", "public")]).expect("append");
    }
    let of = |domain| store.entries(domain, 0, NUMBERS, usize::MAX).expect("entries");
    let kept = of(second);
    let erase =
        |tx: &mut WriteTx<'_>| (0..tx.size()).step_by(2).try_for_each(|index| tx.erase(index, b"left".to_vec()));
    store.write(first, erase).expect("queue").wait().expect("erase");
    let held = || {
        let bytes = std::fs::read(dir.path().join("ics.db")).expect("read");
        let found = bytes.windows(11).filter_map(|part| part.strip_prefix(b"secret-"));
        let numbers = found.filter_map(|number| core::str::from_utf8(number).ok()?.parse::<usize>().ok());
        numbers.filter(|number| number % 2 == 0).collect::<BTreeSet<_>>()
    };
    let end = Instant::now() + Duration::from_secs(60);
    while !held().is_empty() {
        assert!(Instant::now() < end, "still in the database: {:?}", held());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(of(second), kept);
    assert_sound(&store);
}

fn assert_nowhere(dir: &std::path::Path, secret: &[u8]) {
    for file in std::fs::read_dir(dir).expect("dir") {
        let path = file.expect("file").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("read");
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
        }
    }
}
