//! A home that may have signed more than it knows stays silent until it has caught up.

use std::path::Path;

use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::time::Timestamp;
use ics_node::store::{
    DomainNumber, Moved, NewContent, NewEntry, Options, Seal, Standing, Store, StoreError, StoredEntry, Witnessed,
    WriteError, WriteTx, copied_at,
};

use super::common::*;

/// Copies the files of a closed store.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("make");
    for file in std::fs::read_dir(from).expect("dir") {
        let path = file.expect("file").path();
        let target = to.join(path.file_name().expect("named"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copy");
        }
    }
}

/// A store with 10 entries whose database is then restored from a copy with 5; also returns the lost entries.
fn put_back(dir: &Path) -> (Store, DomainNumber, Vec<StoredEntry>) {
    let (live, old) = (dir.join("live"), dir.join("old"));
    let (store, domain) = with_home(&live);
    fill(&store, domain, 0..5);
    drop(store);
    copy(&live, &old);
    let store = open(&live);
    fill(&store, domain, 5..10);
    let lost = store.entries(domain, 5, 100, 1 << 20).expect("entries");
    drop(store);
    std::fs::copy(old.join("ics.db"), live.join("ics.db")).expect("put back");
    (open(&live), domain, lost)
}

fn again(entries: &[StoredEntry]) -> impl FnOnce(&mut WriteTx<'_>) -> Result<u64, StoreError> + Send + 'static {
    let entries = entries.to_vec();
    move |tx| {
        for entry in entries {
            let keys = keys_of(&entry);
            let content = NewContent::Whole(entry.content.expect("content"));
            tx.append(NewEntry { header: entry.header, content, keys, effective: entry.effective })?;
        }
        Ok(tx.size())
    }
}

#[test]
fn a_database_that_was_put_back_is_silent_until_the_tail_is_back() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, domain, lost) = put_back(dir.path());
    assert_eq!(head(&store, domain).size, 5);
    assert!(matches!(store.standing(domain), Ok(Standing::Behind { signed: Some(Seal { size: 10, .. }) })));
    let refused = append(&store, domain, &["new"]);
    assert!(matches!(refused, Err(WriteError::Store(StoreError::Behind { size: 5, signed: Some(10), .. }))));
    assert_eq!(find(&store, domain, &["n7"]), Vec::<u64>::new(), "the index was of the lost database");
    assert_eq!(find(&store, domain, &["lot0"]), [0, 1, 2, 3, 4]);

    store.restore(domain, again(&lost[..2])).expect("queue").wait().expect("a part");
    assert!(matches!(store.standing(domain), Ok(Standing::Behind { .. })));
    // Different entries in place of the signed ones, or more than were signed, are refused.
    let mut other = lost[2..].to_vec();
    other[2].header.push(0);
    let forked = store.restore(domain, again(&other)).expect("queue").wait();
    assert!(matches!(forked, Err(WriteError::Store(StoreError::Forked { size: 10, .. }))));
    let beyond = [&lost[2..], &lost[..1]].concat();
    let beyond = store.restore(domain, again(&beyond)).expect("queue").wait();
    assert!(matches!(beyond, Err(WriteError::Job(StoreError::Refused { .. }))));
    assert_eq!(head(&store, domain).size, 7);

    let written = store.restore(domain, again(&lost[2..])).expect("queue").wait().expect("the rest");
    assert_eq!(written.head.seal.map(|seal| seal.size), Some(10));
    assert_eq!(store.standing(domain).expect("standing"), Standing::Current);
    assert_eq!(append(&store, domain, &["new"]).expect("append"), [10]);
    assert_eq!(find(&store, domain, &["n7"]), [7]);
    let none = store.restore(domain, again(&[])).expect("queue").wait();
    assert!(matches!(none, Err(WriteError::Store(StoreError::Refused { .. }))));
    assert_sound(&store);
}

/// A mirror that lags has less than was signed: its entries must not make the home overwrite the head on file, or the
/// next start would find nothing missing.
#[test]
fn a_part_of_the_lost_tail_does_not_make_the_home_forget_the_rest() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, domain, lost) = put_back(dir.path());
    let file = dir.path().join("live/heads/d.example");
    let on_file = std::fs::read(&file).expect("read");
    let part = again(&lost[..2]);
    let job = move |tx: &mut WriteTx<'_>| {
        let size = part(tx)?;
        let root = tx.root();
        let note = note(tx.domain(), size, &root);
        tx.seal(Seal { size, root, note, cosigned_at: None })
    };
    let written = store.restore(domain, job).expect("queue").wait().expect("a part");
    assert_eq!(written.head.seal.map(|seal| seal.size), Some(7), "the mirror's checkpoint came with it");
    assert_eq!(std::fs::read(&file).expect("read"), on_file);
    drop(store);
    let store = open(&dir.path().join("live"));
    assert!(matches!(store.standing(domain), Ok(Standing::Behind { signed: Some(Seal { size: 10, .. }) })));
    assert!(matches!(append(&store, domain, &["other"]), Err(WriteError::Store(StoreError::Behind { .. }))));
    assert!(matches!(store.release(domain), Err(StoreError::Behind { signed: Some(10), .. })));
    store.restore(domain, again(&lost[2..])).expect("queue").wait().expect("the rest");
    assert_eq!(append(&store, domain, &["new"]).expect("append"), [10]);
    assert_sound(&store);
}

/// Its head is signed when the witnesses are asked; until then the file would still name the lost head.
#[test]
fn a_new_epoch_that_waits_for_its_witnesses_ends_the_silence() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, domain, _) = put_back(dir.path());
    let job = |tx: &mut WriteTx<'_>| {
        tx.wait_for_witnesses(true);
        tx.append(entry("the new epoch"))
    };
    assert_eq!(store.begin_anew(domain, job).expect("begins"), 5);
    assert_eq!(store.standing(domain).expect("standing"), Standing::Current);
    let shown = head(&store, domain);
    assert_eq!((shown.size, shown.seal.map(|seal| seal.size)), (6, Some(5)), "it is not shown yet");
    drop(store);
    let store = open(&dir.path().join("live"));
    assert_eq!(store.standing(domain).expect("standing"), Standing::Current);
    assert_eq!(append(&store, domain, &["more"]).expect("append"), [6]);
    assert_sound(&store);
}

#[test]
fn another_history_than_the_signed_one_is_a_fork() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, domain, lost) = put_back(dir.path());
    drop(store);
    // Somebody takes the heads' files away, appends something else, and puts them back.
    let heads = dir.path().join("live/heads");
    std::fs::rename(&heads, dir.path().join("heads")).expect("away");
    let store = open(&dir.path().join("live"));
    fill(&store, domain, 100..105);
    assert_eq!(head(&store, domain).size, 10);
    drop(store);
    std::fs::remove_dir_all(&heads).expect("remove");
    std::fs::rename(dir.path().join("heads"), &heads).expect("back");
    let store = open(&dir.path().join("live"));
    assert!(matches!(append(&store, domain, &["x"]), Err(WriteError::Store(StoreError::Forked { size: 10, .. }))));
    let restored = store.restore(domain, again(&lost)).expect("queue").wait();
    assert!(matches!(restored, Err(WriteError::Store(StoreError::Forked { .. }))));
    assert!(matches!(store.release(domain), Err(StoreError::Forked { .. })));
}

#[test]
fn a_crash_between_commit_and_head_file_is_made_good() {
    let (dir, store, domain) = founded();
    fill(&store, domain, 0..5);
    drop(store);
    let file = dir.path().join("heads/d.example");
    let old = std::fs::read(&file).expect("read");
    let store = open(dir.path());
    fill(&store, domain, 5..10);
    drop(store);
    let new = std::fs::read(&file).expect("read");
    std::fs::write(&file, old).expect("as before the crash");
    let store = open(dir.path());
    assert_eq!(store.standing(domain).expect("standing"), Standing::Current);
    assert_eq!(std::fs::read(&file).expect("read"), new);
    append(&store, domain, &["x"]).expect("append");
}

#[test]
fn a_backup_is_a_store_that_is_held() {
    let dir = tempfile::tempdir().expect("dir");
    let (live, copy) = (dir.path().join("live"), dir.path().join("copy"));
    let (store, domain) = with_home(&live);
    fill(&store, domain, 0..300);
    let at = Some(Timestamp::from_seconds(1_795_162_200));
    let cosigned = Seal { cosigned_at: at, ..head(&store, domain).seal.expect("sealed") };
    store.write(domain, move |tx| tx.seal(cosigned)).expect("queue").wait().expect("cosigned");
    store.backup(&copy).expect("backup");
    assert_eq!(copied_at(&copy).expect("of a copy"), at);
    assert!(matches!(store.backup(&copy), Err(StoreError::Exists { .. })));
    let at_backup = head(&store, domain);
    fill(&store, domain, 300..310);
    let lost = store.entries(domain, 300, 100, 1 << 20).expect("entries");
    let newest = head(&store, domain);

    let restored = open(&copy);
    assert_eq!(head(&restored, domain), at_backup);
    assert_eq!(find(&restored, domain, &["lot29"]).len(), 10);
    assert_sound(&restored);
    let refused = append(&restored, domain, &["x"]);
    assert!(matches!(refused, Err(WriteError::Store(StoreError::Behind { signed: None, .. }))));
    // A mirror knows a later checkpoint.
    let seal = newest.seal.clone().expect("sealed");
    let wrong = Seal { size: 300, root: Hash([1; 32]), ..seal.clone() };
    assert!(matches!(restored.raise_head(domain, wrong), Err(StoreError::Forked { size: 300, .. })));
    restored.raise_head(domain, seal).expect("raise");
    assert!(matches!(restored.release(domain), Err(StoreError::Behind { signed: Some(310), .. })));
    drop(restored);
    let restored = open(&copy);
    restored.restore(domain, again(&lost)).expect("queue").wait().expect("restore");
    assert_eq!(head(&restored, domain), newest);
    assert!(matches!(append(&restored, domain, &["x"]), Err(WriteError::Store(StoreError::Behind { .. }))));
    restored.release(domain).expect("release");
    append(&restored, domain, &["x"]).expect("append");
    drop(restored);
    append(&open(&copy), domain, &["y"]).expect("append");
    // The original was never silenced.
    append(&store, domain, &["z"]).expect("append");
}

/// The last commits of a killed node are only in the write-ahead log.
#[test]
fn what_a_killed_node_has_kept_is_put_back_with_the_rest() {
    let dir = tempfile::tempdir().expect("dir");
    let path = |name: &str| dir.path().join(name);
    let (store, domain) = with_home(&path("live"));
    fill(&store, domain, 0..5);
    drop(store);
    let store = open(&path("live"));
    fill(&store, domain, 5..10);
    let newest = head(&store, domain);
    copy(&path("live"), &path("killed"));
    drop(store);
    let wal = std::fs::read(path("killed/ics.db-wal")).expect("read");
    assert!(!wal.is_empty(), "it was not closed");

    ics_node::store::put_back(&path("killed"), &path("home"), Timestamp::default()).expect("put back");
    assert_eq!(std::fs::read(path("killed/ics.db-wal")).expect("read"), wal, "the copy stays as it was");
    let put_back = open(&path("home"));
    assert_eq!(head(&put_back, domain), newest);
    assert_eq!(put_back.standing(domain).expect("standing"), Standing::Current, "nothing that was signed is lost");
    assert_eq!(find(&put_back, domain, &["n7"]), [7]);
    assert_sound(&put_back);

    // From a read-only medium it is read in another place, which needs all files.
    assert!(ics_node::store::is_read_by_writing(&path("killed")));
    std::fs::create_dir(path("place")).expect("made");
    ics_node::store::copy_files(&path("killed"), &path("place")).expect("copied");
    ics_node::store::put_back(&path("place"), &path("other"), Timestamp::default()).expect("put back");
    assert_eq!(head(&open(&path("other")), domain), newest);
    put_back.backup(&path("backup")).expect("backup");
    assert!(!ics_node::store::is_read_by_writing(&path("backup")), "it has no write-ahead log");
}

#[test]
fn an_operator_can_hold_a_domain() {
    let (dir, store, domain) = founded();
    append(&store, domain, &["a"]).expect("append");
    store.hold(domain).expect("hold");
    assert!(append(&store, domain, &["b"]).is_err());
    drop(store);
    let store = open(dir.path());
    assert!(append(&store, domain, &["b"]).is_err());
    store.release(domain).expect("release");
    assert_eq!(append(&store, domain, &["b"]).expect("append"), [1]);
}

#[test]
fn a_domain_whose_database_is_lost_is_not_begun_anew() {
    let (dir, store, domain) = founded();
    fill(&store, domain, 0..5);
    let entries = store.entries(domain, 0, 100, 1 << 20).expect("entries");
    let newest = head(&store, domain);
    drop(store);
    std::fs::remove_file(dir.path().join("ics.db")).expect("lost");
    let (store, domain) = with_home(dir.path());
    let refused = append(&store, domain, &["another beginning"]);
    assert!(matches!(refused, Err(WriteError::Store(StoreError::Behind { size: 0, signed: Some(5), .. }))));
    store.restore(domain, again(&entries)).expect("queue").wait().expect("restore");
    assert_eq!(head(&store, domain), newest);
    append(&store, domain, &["x"]).expect("append");
}

/// Makes a new store's directory as `ics init` does.
fn is_new(dir: &Path) {
    std::fs::create_dir_all(dir.join("seen")).expect("made");
}

/// Lets a witness see a checkpoint; returns the size that it had seen before.
fn sees(witness: &Store, origin: &Origin, seal: &Seal) -> Result<Option<u64>, StoreError> {
    let next = Witnessed { size: seal.size, root: seal.root, note: seal.note.clone(), contradiction: None };
    witness.witness(origin, |seen| (Some(next), seen.map(|seen| seen.size)))
}

/// Otherwise a witness whose database is restored from a copy would cosign another history than the one that it has
/// seen since.
#[test]
fn what_a_witness_has_seen_is_not_forgotten_with_its_database() {
    let dirs = [tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir")];
    let (home, domain) = with_home(dirs[0].path());
    let mut seals = Vec::new();
    for body in ["first", "second"] {
        append(&home, domain, &[body]).expect("append");
        seals.push(head(&home, domain).seal.expect("sealed"));
    }
    let entry0 = home.domain(&name("d.example")).expect("domain").entry0.expect("has entry 0");
    let origin = Origin { domain: name("d.example"), entry0 };
    let sees = |witness: &Store, seal: &Seal| sees(witness, &origin, seal);
    let (live, old) = (dirs[1].path().join("live"), dirs[1].path().join("old"));
    is_new(&live);
    let witness = open(&live);
    assert_eq!(sees(&witness, &seals[0]).expect("kept"), None);
    drop(witness);
    copy(&live, &old);
    let witness = open(&live);
    assert_eq!(sees(&witness, &seals[1]).expect("kept"), Some(1));
    drop(witness);
    std::fs::copy(old.join("ics.db"), live.join("ics.db")).expect("put back");
    let witness = open(&live);
    assert_eq!(
        witness.witnessed(&origin).expect("readable").map(|seen| (seen.size, seen.root)),
        Some((2, seals[1].root))
    );
    assert!(matches!(sees(&witness, &seals[0]), Err(StoreError::Refused { .. })));
    assert_eq!(sees(&witness, &seals[1]).expect("kept"), Some(2));

    // The files beside a database only vouch for it as long as it stays in its place.
    let path = |name: &str| dirs[1].path().join(name);
    witness.backup(&path("copy")).expect("copied");
    drop(witness);
    is_new(&path("other"));
    let (other, domain) = with_home(&path("other"));
    append(&other, domain, &["x"]).expect("append");
    other.backup(&path("no log")).expect("copied");
    drop(other);
    for (copy, to, expected) in [
        ("copy", "live", false),
        ("no log", "live", true),
        ("copy", "new", true),
        ("no log", "new too", true),
        ("no log", "other", false),
    ] {
        ics_node::store::put_back(&path(copy), &path(to), Timestamp::default()).expect("put back");
        assert_eq!(open(&path(to)).may_have_cosigned_more(), expected, "{copy} in {to}");
    }
    let witness = open(&path("new"));
    witness.doubt_what_was_cosigned(false).expect("written");
    drop(witness);
    assert!(!open(&path("new")).may_have_cosigned_more());
}

#[test]
fn a_store_in_whose_place_a_copy_is_being_put_is_not_opened() {
    let dir = tempfile::tempdir().expect("dir");
    let path = |name: &str| dir.path().join(name);
    let (home, domain) = with_home(&path("home"));
    append(&home, domain, &["a"]).expect("append");
    home.backup(&path("copy")).expect("copied");
    drop(home);
    let refused = |name: &str| matches!(Store::open(&path(name), options()), Err(StoreError::Unfinished { .. }));

    let none = ics_node::store::begin_put_back(&path("none"), &path("new"));
    assert!(matches!(none, Err(StoreError::NotFound { .. })) && !path("new").exists(), "{none:?}");
    ics_node::store::begin_put_back(&path("copy"), &path("home")).expect("a store is there");
    drop(open(&path("home")));
    ics_node::store::begin_put_back(&path("copy"), &path("new")).expect("begun");
    assert!(refused("new"), "it would be founded anew");

    // As if the disk were full.
    std::fs::create_dir(path("home/.new")).expect("in the way");
    ics_node::store::put_back(&path("copy"), &path("home"), Timestamp::from_seconds(1))
        .expect_err("the copy cannot be written");
    assert!(refused("home"), "the former store is aside, the copy is not there");
    let former = path("home/replaced-1000");
    let Err(unfinished) = Store::open(&path("home"), options()) else { panic!("it was not put back") };
    assert!(unfinished.to_string().ends_with(&format!("; what was here before is in `{}`", former.display())));
    // A repeated restore reports what the interrupted one moved away, even if that had already put the copy in place.
    ics_node::store::begin_put_back(&path("copy"), &path("home")).expect("begun again");
    let moved = std::fs::read(former.join("ics.db")).expect("the former store");
    std::fs::copy(path("copy/ics.db"), path("home/ics.db")).expect("as far as that");
    // If there was nothing before, the leftovers of an attempt are not a former store.
    std::fs::create_dir(path("new/.new")).expect("in the way");
    for (name, at) in [("home", 2), ("new", 3)] {
        ics_node::store::put_back(&path("copy"), &path(name), Timestamp::from_seconds(at)).expect_err("as before");
        std::fs::remove_dir(path(name).join(".new")).expect("removed");
        std::fs::copy(path("copy/ics.db"), path(name).join("ics.db")).expect("as far as that");
    }
    for (name, at, replaced, attempts) in [
        ("home", 4, Some(former.clone()), vec![path("home/replaced-2000"), path("home/replaced-4000")]),
        ("new", 5, None, vec![path("new/replaced-5000")]),
    ] {
        let put_back = ics_node::store::put_back(&path("copy"), &path(name), Timestamp::from_seconds(at));
        assert_eq!(put_back.expect("put back"), Moved { former: replaced, attempts }, "{name}");
        assert_eq!(head(&open(&path(name)), domain).size, 1, "{name}");
    }
    assert_eq!(std::fs::read(former.join("ics.db")).expect("still there"), moved);
    // The former restore has ended, so the next one uses a place of its own.
    let next = ics_node::store::put_back(&path("copy"), &path("home"), Timestamp::from_seconds(6));
    assert_eq!(next.expect("put back"), Moved { former: Some(path("home/replaced-6000")), attempts: Vec::new() });
    // Also if the clock was set back: existing files stay.
    let kept = std::fs::read(path("home/replaced-6000/ics.db")).expect("the one before");
    drop(open(&path("home")));
    for place in ["home/replaced-6000-1", "home/replaced-6000-2"] {
        let next = ics_node::store::put_back(&path("copy"), &path("home"), Timestamp::from_seconds(6));
        assert_eq!(next.expect("put back"), Moved { former: Some(path(place)), attempts: Vec::new() });
    }
    assert_eq!(std::fs::read(path("home/replaced-6000/ics.db")).expect("still there"), kept);
}

#[test]
fn a_witness_that_has_lost_all_is_in_doubt_for_its_key_only() {
    let dir = tempfile::tempdir().expect("dir");
    let open_as = |key: u8| Store::open(dir.path(), Options { cosigner: Some([key; 32]), ..options() }).expect("open");
    assert!(open_as(1).may_have_cosigned_more(), "neither a database nor what was seen is there");
    assert!(!open_as(2).may_have_cosigned_more(), "a new key has cosigned nothing");
    open_as(2).doubt_what_was_cosigned(true).expect("written");
    open_as(1).doubt_what_was_cosigned(false).expect("written");
    assert!(!open_as(1).may_have_cosigned_more());
    assert!(open_as(2).may_have_cosigned_more(), "whoever answers for one key says nothing of another");
    std::fs::write(dir.path().join("seen/.doubted"), "").expect("written");
    assert!(open_as(3).may_have_cosigned_more(), "an empty file is about whichever key is there");
    assert!(!open_as(4).may_have_cosigned_more());

    let dir = tempfile::tempdir().expect("dir");
    is_new(dir.path());
    assert!(!open(dir.path()).may_have_cosigned_more());
    std::fs::remove_file(dir.path().join("ics.db")).expect("lost");
    assert!(!open(dir.path()).may_have_cosigned_more(), "the files beside the database still know");
}

/// As with a node that cosigned before there were files beside its database.
#[test]
fn what_only_the_database_of_a_witness_knows_gets_a_file() {
    let dir = tempfile::tempdir().expect("dir");
    let path = |name: &str| dir.path().join(name);
    let (home, domain) = with_home(&path("home"));
    append(&home, domain, &["theirs"]).expect("append");
    let seal = head(&home, domain).seal.expect("sealed");
    let entry0 = home.domain(&name("d.example")).expect("domain").entry0.expect("has entry 0");
    let origin = Origin { domain: name("d.example"), entry0 };

    is_new(&path("live"));
    let (witness, own) = with_home(&path("live"));
    append(&witness, own, &["own"]).expect("append");
    witness.backup(&path("before")).expect("copied");
    sees(&witness, &origin, &seal).expect("kept");
    let empty = Seal { size: 0, root: Hash([0; 32]), note: String::new(), cosigned_at: None };
    sees(&witness, &Origin { domain: name("e.example"), entry0: [3; 32] }, &empty).expect("kept");
    witness.backup(&path("after")).expect("copied");
    drop(witness);
    std::fs::remove_dir_all(path("live").join("seen")).expect("removed");
    drop(open(&path("live")));
    assert_eq!(std::fs::read_dir(path("live").join("seen")).expect("a directory").count(), 1);

    for (copy, at) in [("before", 1), ("after", 2)] {
        ics_node::store::put_back(&path(copy), &path("live"), Timestamp::from_seconds(at)).expect("put back");
        let witness = open(&path("live"));
        assert!(!witness.may_have_cosigned_more(), "{copy}");
        let seen = witness.witnessed(&origin).expect("readable").map(|seen| (seen.size, seen.root));
        assert_eq!(seen, Some((1, seal.root)), "{copy}");
    }
}

/// The heads' files were rolled back together with the database, and somebody else holds what was signed.
#[test]
fn a_checkpoint_that_another_holds_silences_over_restarts() {
    let dir = tempfile::tempdir().expect("dir");
    let [live, old, other] = ["live", "old", "other"].map(|name| dir.path().join(name));
    let (store, domain) = with_home(&live);
    fill(&store, domain, 0..5);
    drop(store);
    copy(&live, &old);
    copy(&live, &other);
    let store = open(&live);
    fill(&store, domain, 5..10);
    let held = head(&store, domain).seal.expect("sealed");
    store.heed(domain, held.clone()).expect("looked at");
    assert_eq!(store.standing(domain).expect("a domain"), Standing::Current, "that is what is here");
    drop(store);

    let store = open(&old);
    assert_eq!(store.standing(domain).expect("a domain"), Standing::Current, "nothing here tells it");
    store.heed(domain, held.clone()).expect("looked at");
    let behind = Standing::Behind { signed: Some(held.clone()) };
    assert_eq!(store.standing(domain).expect("a domain"), behind);
    assert!(append(&store, domain, &["one more"]).is_err());
    drop(store);
    assert_eq!(open(&old).standing(domain).expect("a domain"), behind);

    let store = open(&other);
    fill(&store, domain, 20..40);
    store.heed(domain, held.clone()).expect("looked at");
    let forked = Standing::Forked { signed: held };
    assert_eq!(store.standing(domain).expect("a domain"), forked);
    assert!(append(&store, domain, &["one more"]).is_err());
    drop(store);
    assert_eq!(open(&other).standing(domain).expect("a domain"), forked);
}
