//! What is appended is there, found and proven, before and after a restart.

mod erased;

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use ics_core::log::LeafData;
use ics_core::log::entry::leaf_data;
use ics_core::log::merkle::{Tree, leaf_hash, verify_consistency, verify_inclusion};
use ics_core::log::tile::TileId;
use ics_core::time::Timestamp;
use ics_node::store::{
    Change, Content, Filling, NewContent, NewEntry, Options, Part, Seal, Store, StoreError, Unheeded, WriteError,
    WriteTx, held,
};
use rusqlite::Connection;

use super::common::*;

#[test]
fn appended_entries_are_there_after_a_restart() {
    let (dir, store, domain) = founded();
    assert_eq!(append(&store, domain, &["red device", "blue device"]).expect("append"), [0, 1]);
    let before = head(&store, domain);
    assert_eq!(before.seal.as_ref().map(|seal| (seal.size, seal.root)), Some((2, before.root)));
    let entries = store.entries(domain, 0, 10, 1 << 20).expect("entries");
    drop(store);

    let store = open(dir.path());
    assert_eq!(store.domain(&name("d.example")).expect("domain").entry0, Some(entries[0].leaf));
    assert_eq!(head(&store, domain), before);
    assert_eq!(store.entries(domain, 0, 10, 1 << 20).expect("entries"), entries);
    assert_eq!(body(&store.entry(domain, 1).expect("entry")), "blue device");
    assert_eq!(append(&store, domain, &["red gateway"]).expect("append"), [2]);
    assert_eq!(find(&store, domain, &["red"]), [0, 2]);
    assert_eq!(find(&store, domain, &["red", "device"]), [0]);
    assert_eq!(find(&store, domain, &["green"]), Vec::<u64>::new());
    assert_eq!(find(&store, domain, &[]), Vec::<u64>::new());
    assert_sound(&store);
}

#[test]
fn a_page_with_nothing_is_not_the_end() {
    let (_dir, store, domain) = founded();
    append(&store, domain, &[&["common"; 1100], &["common rare"; 2][..]].concat()).expect("append");
    let keys = [key("common"), key("rare")];
    let first = store.positions(domain, &keys, 0..u64::MAX, 1).expect("look up");
    assert!(first.indices.is_empty() && first.next.is_some(), "much is in memory, and is read in parts: {first:?}");
    let all = |end, limit| store.all_positions(domain, &keys, 0..end, limit).expect("look up");
    assert_eq!((all(u64::MAX, 1), all(u64::MAX, 9)), (vec![1100], vec![1100, 1101]));
    assert_eq!((all(1101, 9), all(1100, 9)), (vec![1100], vec![]));
}

#[test]
fn domains_do_not_see_each_other() {
    let (_dir, store, one) = founded();
    let two = store.create_domain(&name("other.example"), Part::Home, None).expect("create").number;
    append(&store, one, &["a", "b"]).expect("append");
    append(&store, two, &["b", "c", "b"]).expect("append");
    assert_eq!((find(&store, one, &["b"]), find(&store, two, &["b"])), (vec![1], vec![0, 2]));
    assert_eq!(store.entries(one, 0, 10, 1 << 20).expect("entries").len(), 2);
    assert!(matches!(store.entry(one, 2), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.create_domain(&name("d.example"), Part::Mirror, None), Err(StoreError::Exists { .. })));
    assert_eq!(store.domains().len(), 2);
}

#[test]
fn pages_of_entries_keep_their_bounds() {
    let (_dir, store, domain) = founded();
    fill(&store, domain, 0..50);
    let one = store.entry(domain, 0).expect("entry");
    let bytes = one.header.len() + body(&one).len();
    let count = |from, limit, max| store.entries(domain, from, limit, max).expect("entries").len();
    assert_eq!(count(0, 10, 1 << 20), 10);
    assert_eq!(count(0, 10, 3 * bytes), 3);
    assert_eq!(count(0, 10, 3 * bytes - 1), 2);
    assert_eq!(count(0, 10, 1), 1, "an entry larger than the page still comes");
    assert_eq!(count(45, 10, 1 << 20), 5);
    assert_eq!(count(50, 10, 1 << 20), 0);
    assert_eq!(store.leaves(domain, 40..60).expect("leaves").len(), 10);
}

#[test]
fn tiles_and_proofs_verify_at_every_size() {
    let (dir, store, domain) = founded();
    fill(&store, domain, 0..700);
    let check = |store: &ics_node::store::Store| {
        let size = head(store, domain).size;
        let leaves: Vec<_> = store.leaves(domain, 0..size).expect("leaves").iter().map(|l| leaf_hash(l)).collect();
        let mut tree = Tree::new();
        let mut roots = vec![tree.root()];
        for leaf in &leaves {
            tree.push(*leaf);
            roots.push(tree.root());
        }
        assert_eq!(roots.last(), Some(&head(store, domain).root));
        for (index, at) in [(0, 1), (0, size), (255, 256), (256, 512), (511, 699), (size - 1, size)] {
            let proof = store.inclusion_proof(domain, index, at).expect("proof");
            let leaf = &leaves[usize::try_from(index).expect("small")];
            let root = &roots[usize::try_from(at).expect("small")];
            assert_eq!(verify_inclusion(leaf, index, at, &proof, root), Ok(()));
            assert_eq!(store.inclusion_proofs(domain, &[index], at).expect("proofs"), [proof]);
            assert_eq!(store.root_at(domain, at).expect("root"), *root);
            let proof = store.consistency_proof(domain, at, size).expect("proof");
            assert_eq!(verify_consistency(at, root, size, &head(store, domain).root, &proof), Ok(()));
        }
        for (tile, first) in [
            (TileId { level: 0, index: 0, width: 256 }, 0),
            (TileId { level: 0, index: 1, width: 17 }, 256),
            (TileId { level: 0, index: 2, width: 188 }, 512),
        ] {
            let bytes = store.tile(domain, tile).expect("tile");
            let expected = &leaves[first..first + usize::from(tile.width)];
            assert_eq!(tile.hashes(&bytes).expect("hashes"), expected);
        }
        let upper = store.tile(domain, TileId { level: 1, index: 0, width: 2 }).expect("tile");
        assert_eq!(upper[..32], roots[256].0);
        for missing in [TileId { level: 0, index: 9, width: 1 }, TileId { level: 0, index: 3, width: 256 }] {
            assert!(matches!(store.tile(domain, missing), Err(StoreError::NotFound { .. })));
        }
    };
    check(&store);
    assert!(matches!(store.inclusion_proof(domain, 700, 700), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.inclusion_proof(domain, 0, 701), Err(StoreError::NotFound { .. })));
    drop(store);
    let store = open(dir.path());
    check(&store);
    fill(&store, domain, 700..800);
    check(&store);
    assert_sound(&store);
}

#[test]
fn look_ups_keep_to_the_range_and_go_on_where_they_stopped() {
    let (_dir, store, domain) = founded();
    fill(&store, domain, 0..100);
    let page = store.positions(domain, &[key("lot4")], 0..u64::MAX, 4).expect("page");
    assert_eq!((page.indices, page.next), (vec![40, 41, 42, 43], Some(44)));
    let page = store.positions(domain, &[key("lot4")], 44..48, 100).expect("page");
    assert_eq!((page.indices, page.next), (vec![44, 45, 46, 47], None));
    assert_eq!(find(&store, domain, &["lot4", "n47"]), [47]);
}

/// The leaf of the first entry of a copy, and what is filled in later, which is found by this word.
fn late(body: &str, word: &str) -> (LeafData, Filling) {
    let (content, header) = (Content { salt: [5; 16], body: body.as_bytes().to_vec() }, b"header".to_vec());
    let leaf = leaf_data(&content.salt, &header, &content.body);
    (leaf, Filling { index: 0, header, content, keys: vec![key(word)] })
}

/// Fills that in, so that it takes effect.
fn shown(filling: Filling) -> impl FnOnce(&mut WriteTx<'_>) -> Result<(), StoreError> + Send + 'static {
    move |tx: &mut WriteTx<'_>| {
        tx.fill(filling, true)?;
        tx.settle(Some([1; 16]), None);
        Ok(())
    }
}

/// Caches, directories and copies of this copy begin anew with each round.
#[test]
fn a_round_ends_only_if_something_takes_effect() {
    let (_dir, mirror, copy) = copied();
    let (leaf, filling) = late("late", "late");
    mirror.write(copy, move |tx| tx.append(bare(leaf))).expect("queue").wait().expect("a leaf");
    let settle = |rights: Option<[u8; 16]>| {
        let job = move |tx: &mut WriteTx<'_>| -> Result<(), StoreError> {
            tx.settle(rights, None);
            Ok(())
        };
        mirror.write(copy, job).expect("queue").wait().expect("written");
        mirror.sight(copy).expect("here").settled
    };
    let (some, other) = (Some([1; 16]), Some([2; 16]));
    for (rights, rounds) in [(None, 0), (some, 1), (some, 1), (other, 2), (other, 2)] {
        assert_eq!(settle(rights), rounds, "{rights:?}");
    }
    let fills = move |tx: &mut WriteTx<'_>| tx.fill(filling, true);
    mirror.write(copy, fills).expect("queue").wait().expect("filled in");
    let is_shown = || mirror.entry(copy, 0).expect("entry").content.is_some();
    assert_eq!((is_shown(), settle(other)), (false, 3));
    assert_eq!((is_shown(), settle(other)), (true, 3));
}

/// A later version of the node may index entries by more keys than the version that filled them in.
#[test]
fn what_is_filled_in_is_filed_again_with_the_index() {
    let (dir, mirror, copy) = copied();
    let (leaf, filling) = late("early late", "early");
    mirror.write(copy, move |tx| tx.append(bare(leaf))).expect("queue").wait().expect("a leaf");
    mirror.write(copy, shown(filling)).expect("queue").wait().expect("filled in");
    assert_eq!((find(&mirror, copy, &["early"]), find(&mirror, copy, &["late"])), (vec![0], Vec::new()));
    drop(mirror);
    std::fs::remove_file(dir.path().join("index.db")).expect("removed");
    let mirror = open(dir.path());
    assert_eq!((find(&mirror, copy, &["early"]), find(&mirror, copy, &["late"])), (vec![0], vec![0]));
    assert_sound(&mirror);
}

/// Caches are told before anybody sees a commit. Whoever reads between that and the moment at which what was filled in
/// is shown lacks it, while the log is as long as after it: that must not be kept.
#[test]
fn what_was_filled_in_is_announced_again_once_it_is_shown() {
    let dir = tempfile::tempdir().expect("dir");
    let (begins, announced) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let announce = Arc::new(move |change: &Change<'_>| {
        begins.send(change.amends).expect("test waits");
        held.lock().expect("one thread").recv().unwrap_or_default();
    });
    let mirror = Store::open(dir.path(), Options { announce, ..options() }).expect("open");
    let copy = mirror.create_domain(&name("d.example"), Part::Mirror, None).expect("create").number;
    let next = || {
        let amends = announced.recv_timeout(Duration::from_secs(30)).expect("it is announced");
        let settled = mirror.sight(copy).expect("here").settled;
        release.send(()).expect("held");
        (amends, settled)
    };
    let (leaf, filling) = late("late", "late");
    let pending = mirror.write(copy, move |tx| tx.append(bare(leaf))).expect("queue");
    assert_eq!(next(), (false, 0));
    pending.wait().expect("a leaf");
    let pending = mirror.write(copy, shown(filling)).expect("queue");
    assert_eq!([next(), next()], [(true, 0), (true, 1)]);
    pending.wait().expect("filled in");
    assert!(announced.try_recv().is_err(), "that was all");
}

/// A home confirms every few seconds that there is nothing new.
#[test]
fn checkpoints_alone_do_not_make_the_write_ahead_log_grow() {
    let dirs = [tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir")];
    let (home, domain) = with_home(dirs[0].path());
    append(&home, domain, &["first"]).expect("append");
    let seal = head(&home, domain).seal.expect("sealed");
    let mirror = open(dirs[1].path());
    let copy = mirror.create_domain(&name("d.example"), Part::Mirror, None).expect("create").number;
    append(&mirror, copy, &["first"]).expect("append");
    for second in 0..1_500 {
        let next = Seal { cosigned_at: Some(Timestamp::from_seconds(second)), ..seal.clone() };
        mirror.write(copy, move |tx: &mut WriteTx<'_>| tx.seal(next)).expect("queue").wait().expect("sealed");
    }
    let bytes = std::fs::metadata(dirs[1].path().join("ics.db-wal")).expect("a log").len();
    assert!(bytes < 9 << 20, "{bytes} bytes of 1,500 checkpoints");
}

#[test]
fn a_mirror_keeps_the_homes_checkpoints_and_its_pinned_beginning() {
    let dirs = [tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir")];
    let (home, domain) = with_home(dirs[0].path());
    fill(&home, domain, 0..30);
    let info = home.domain(&name("d.example")).expect("domain");
    let seal = head(&home, domain).seal.expect("sealed");

    let mirror = open(dirs[1].path());
    let copy = mirror.create_domain(&name("d.example"), Part::Mirror, info.entry0).expect("create").number;
    assert!(matches!(append(&mirror, copy, &["other"]), Err(WriteError::Job(StoreError::Refused { .. }))));
    // As long as the copy is empty, it may be pinned to another log.
    let entry0 = info.entry0.expect("has entry 0");
    for pinned in [[7; 32], entry0] {
        mirror.pin(copy, pinned).expect("empty");
        let (shown, size) = held(dirs[1].path(), &name("d.example")).expect("readable").expect("there");
        assert_eq!((shown.entry0, size), (Some(pinned), 0));
    }
    assert!(matches!(home.pin(domain, [7; 32]), Err(StoreError::Refused { .. })));
    let entries = home.entries(domain, 0, 100, 1 << 20).expect("entries");
    let job = move |first: usize, count: usize, seal: Seal, entries: Vec<ics_node::store::StoredEntry>| {
        move |tx: &mut WriteTx<'_>| {
            for entry in entries.into_iter().skip(first).take(count) {
                let keys = keys_of(&entry);
                // An entry that this node may not read comes as its leaf.
                let content = match entry.content.filter(|_| entry.index != 3) {
                    Some(content) => NewContent::Whole(content),
                    None => NewContent::Leaf(entry.leaf),
                };
                let effective = entry.index != 4;
                tx.append(NewEntry { header: entry.header, content, keys, effective })?;
            }
            tx.seal(seal)
        }
    };
    // Halfway through, the checkpoint is for a larger size.
    mirror.write(copy, job(0, 10, seal.clone(), entries.clone())).expect("queue").wait().expect("first half");
    assert_eq!((head(&mirror, copy).size, head(&mirror, copy).seal), (10, Some(seal.clone())));
    assert!(matches!(mirror.pin(copy, [7; 32]), Err(StoreError::Refused { .. })));
    // A checkpoint that does not fit stops the copy, and nothing of the job stays.
    let forged = Seal { root: ics_core::log::Hash([9; 32]), ..seal.clone() };
    let forked = mirror.write(copy, job(10, 20, forged, entries.clone())).expect("queue").wait();
    assert!(matches!(forked, Err(WriteError::Job(StoreError::Forked { size: 30, .. }))));
    assert_eq!(head(&mirror, copy).size, 10);
    let older = Seal { size: 5, ..seal.clone() };
    let older = mirror.write(copy, job(10, 20, older, entries.clone())).expect("queue").wait();
    assert!(matches!(older, Err(WriteError::Job(StoreError::Refused { .. }))));
    mirror.write(copy, job(10, 20, seal.clone(), entries.clone())).expect("queue").wait().expect("second half");
    assert_eq!(head(&mirror, copy), head(&home, domain));
    assert_eq!(mirror.entry(copy, 3).expect("entry").content, None);
    assert!(!mirror.entry(copy, 4).expect("entry").effective);
    assert_eq!(mirror.check().expect("check").without_content, 1);
    assert_eq!(find(&mirror, copy, &["lot2"]), find(&home, domain, &["lot2"]));
}

/// Followers have already passed what the domain shows only now.
#[test]
fn a_domain_sends_back_whoever_follows_it() {
    let (dir, store, own) = founded();
    let source = name("source.example");
    let copy = store.create_domain(&source, Part::Mirror, None).expect("create").number;
    append(&store, copy, &["a", "b", "c"]).expect("append");
    store.follow(own, &source, vec!["something".to_owned()], 0).expect("follows");
    let upto = |store: &Store| store.followed(own).expect("readable")[0].upto;
    let told = |store: &Store| store.followed(own).expect("readable")[0].told;
    let write = |job: fn(&mut WriteTx<'_>)| {
        let job = move |tx: &mut WriteTx<'_>| -> Result<(), StoreError> {
            job(tx);
            tx.append(entry("more")).map(drop)
        };
        store.write(copy, job).expect("queue").wait().expect("written");
    };
    let goes_on =
        |returns: u64, from: u64, upto: u64| store.follow_held_upto(own, (copy, returns), from, upto).expect("asked");
    assert!(goes_on(0, 0, 1));
    // While the next page is examined, more of it becomes visible.
    write(|tx| tx.follow_back(2));
    assert!(!goes_on(0, 1, 3), "it has seen too little of that page");
    let returns = || store.follow_returns(own, Some(copy)).expect("here");
    assert!(goes_on(returns(), 1, 3));
    write(|tx| tx.follow_back(2));
    assert_eq!((upto(&store), told(&store)), (2, 2), "what is shown only now was never told of");
    write(|tx| tx.settle(Some([1; 16]), None));
    assert_eq!(upto(&store), 0, "with other rights, any of it");
    assert!(goes_on(returns(), 0, 3));
    write(|tx| tx.settle(Some([1; 16]), None));
    assert_eq!(upto(&store), 3, "with the same rights, nothing but what was filled in");

    // While a page is examined, the domain gets rules under which it accepts what is in it.
    let before = returns();
    let anew = move |tx: &mut WriteTx<'_>| -> Result<(), StoreError> {
        tx.follow_anew();
        tx.append(entry("rules")).map(drop)
    };
    store.write(own, anew).expect("queue").wait().expect("written");
    assert_eq!((upto(&store), told(&store)), (0, 3), "what it refused was told of before");
    assert!(!goes_on(before, 0, 3), "by the former rules");
    write(|tx| tx.follow_back(1));
    assert_eq!((upto(&store), told(&store)), (0, 1), "and not what is shown only now");
    // New entries continue from where it was; a restart loses neither place.
    assert!(!store.heed_anew(own, &source, Vec::new()).expect("asked"), "it begins there anyway");
    write(|tx| tx.follow_back(1));
    let news = |store: &Store| store.followed(own).expect("readable")[0].news;
    let size = head(&store, copy).size;
    assert_eq!((upto(&store), news(&store)), (0, 3));
    assert!(goes_on(returns(), 3, size));
    assert_eq!((upto(&store), told(&store), news(&store)), (0, 1, size), "what is between was not told of");
    drop(store);
    let store = open(dir.path());
    assert_eq!((upto(&store), news(&store)), (0, size));
    let goes_on = |from: u64, upto: u64| store.follow_held_upto(own, (copy, 0), from, upto).expect("asked");
    assert!(!goes_on(3, size), "nothing stands there any more");
    assert!(goes_on(0, 3));
    assert_eq!((upto(&store), told(&store), news(&store)), (3, 3, size));
    assert!(goes_on(3, size));
    assert_eq!((upto(&store), told(&store), news(&store)), (size, size, size));
    drop(store);
    ics_node::store::empty_copy(dir.path(), &source).expect("emptied");
    let store = open(dir.path());
    assert_eq!((upto(&store), news(&store)), (0, 0), "what stands there then may be something else");
}

/// With other rights there may be more after both places, and whoever read with the former ones has seen too little.
#[test]
fn other_rights_where_no_copy_is_send_back() {
    let (_dir, store, own) = founded();
    let source = name("source.example");
    store.follow(own, &source, vec!["something".to_owned()], 0).expect("follows");
    let returns = store.follow_returns(own, None).expect("here");
    let goes_on = |rights: Option<u8>, from: u64, upto: u64| {
        let rights = rights.map(|rights| [rights; 16]);
        store.follow_upto((own, returns), (&source, rights), from, upto).expect("asked")
    };
    assert!(goes_on(None, 0, 4));
    assert!(store.follow_by_rights(own, &source, [1; 16]).expect("noted"));
    let cursor = || store.followed(own).expect("readable").remove(0);
    assert_eq!((cursor().upto, cursor().rights), (4, Some([1; 16])), "the first are those by which it has looked");
    assert!(!goes_on(None, 4, 5) && goes_on(Some(1), 4, 5));
    assert!(!store.follow_by_rights(own, &source, [1; 16]).expect("noted"), "they are the same");
    assert!(store.follow_by_rights(own, &source, [2; 16]).expect("noted"));
    assert_eq!((cursor().upto, cursor().told, cursor().news), (0, 0, 5));
    assert!(!goes_on(Some(1), 0, 5), "by the former rights");
    assert!(goes_on(Some(2), 0, 5));
    assert_eq!((cursor().upto, cursor().told, cursor().news), (5, 5, 5));
}

/// A grant is recorded by its own commit, for each followed domain, until the domain has been examined again.
#[test]
fn a_grant_is_noted_until_it_is_heeded() {
    let (dir, store, own) = founded();
    let source = name("source.example");
    let now = Timestamp::from_seconds(100);
    let grant = |store: &Store, thing: Option<&str>, begins: Timestamp| {
        let thing = thing.map(str::to_owned);
        let job = move |tx: &mut WriteTx<'_>| -> Result<u64, StoreError> {
            let index = tx.append(entry("a grant"))?;
            tx.follow_granted(index, thing, begins);
            Ok(index)
        };
        store.write(own, job).expect("queue").wait().expect("written").value
    };
    let at_once = Timestamp::default();
    grant(&store, Some("a"), at_once);
    assert!(store.unheeded(own, &source, now).expect("readable").is_empty(), "nothing is followed");
    store.follow(own, &source, vec!["a".to_owned()], 0).expect("follows");
    let [thing, group] = [Some("a"), None].map(|thing| grant(&store, thing, at_once));
    let later = grant(&store, Some("b"), Timestamp::from_seconds(200));
    let refused = move |tx: &mut WriteTx<'_>| -> Result<(), &'static str> {
        tx.follow_granted(later + 1, None, Timestamp::default());
        Err("it is refused")
    };
    store.write(own, refused).expect("queue").wait().expect_err("nothing of it stays");
    drop(store);

    let store = open(dir.path());
    let unheeded = |now: u64| store.unheeded(own, &source, Timestamp::from_seconds(now)).expect("readable");
    assert_eq!(unheeded(100), Unheeded { things: vec![(thing, "a".to_owned())], groups: vec![group] });
    assert_eq!(unheeded(200).things, [(thing, "a".to_owned()), (later, "b".to_owned())]);
    assert!(!store.heed_anew(own, &source, vec![group]).expect("asked"), "it is at the beginning");
    let returns = store.follow_returns(own, None).expect("here");
    assert!(store.follow_upto((own, returns), (&source, None), 0, 5).expect("asked"));
    assert!(store.heed_anew(own, &source, vec![group]).expect("asked"));
    assert_eq!(store.followed(own).expect("readable")[0].upto, 0);
    store.have_heeded(own, &source, vec![thing]).expect("heeded");
    assert_eq!(unheeded(200), Unheeded { things: vec![(later, "b".to_owned())], groups: Vec::new() });
    store.unfollow(own, &source, vec!["a".to_owned()]).expect("ends");
    assert!(unheeded(200).is_empty(), "with what was followed");
}

/// Also at a mirror from which nothing was ever kept.
#[test]
fn what_was_in_doubt_is_so_no_longer_when_it_is_settled() {
    let (_dir, mirror, copy) = copied();
    let write = |job: fn(&mut WriteTx<'_>)| {
        let job = move |tx: &mut WriteTx<'_>| -> Result<(), StoreError> {
            job(tx);
            Ok(())
        };
        mirror.write(copy, job).expect("queue").wait().expect("written");
        mirror.doubt(copy).expect("readable")
    };
    assert_eq!(write(|tx| tx.doubt(Some("{}".to_owned()))).as_deref(), Some("{}"));
    assert_eq!(write(|tx| tx.settle(None, None)), None);
}

#[test]
fn a_checkpoint_may_get_another_cosignature() {
    let (dir, store, domain) = founded();
    append(&store, domain, &["a"]).expect("append");
    let at = Timestamp::from_seconds(60);
    let job = move |tx: &mut WriteTx<'_>| {
        let seal = tx.head().seal.clone().ok_or_else(|| StoreError::NotFound { what: "seal".to_owned() })?;
        tx.seal(Seal { cosigned_at: Some(at), ..seal })
    };
    let written = store.write(domain, job).expect("queue").wait().expect("cosign");
    assert_eq!(written.head.seal.as_ref().and_then(|seal| seal.cosigned_at), Some(at));
    drop(store);
    assert_eq!(head(&open(dir.path()), domain), written.head);
}
