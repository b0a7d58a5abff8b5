//! Look-ups over file and memory must give the same as a plain filter over all postings.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::file::merge;
use super::*;
use crate::store::schema::{File, open_reader, open_writer};

const DOMAIN: u32 = 2;

fn domain() -> DomainNumber {
    DomainNumber::new(DOMAIN).expect("in range")
}

fn position(index: u64) -> Position {
    Position::new(domain(), index)
}

/// An index with these postings: `in_file` merged, in two batches, one batch being merged, and one waiting.
struct Parts {
    dir: tempfile::TempDir,
    reader: Connection,
    tail: Tail,
}

impl Parts {
    fn new(in_file: &[(Key, Position)], merging: &[(Key, Position)], waiting: &[(Key, Position)]) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("index.db");
        let mut writer = open_writer(File::Index, &path).expect("open");
        for batch in in_file.chunks(in_file.len().div_ceil(2).max(1)) {
            let mut batch = batch.to_vec();
            batch.sort_unstable();
            merge(&mut writer, [batch], &BTreeMap::new(), &BTreeSet::new()).expect("merge");
        }
        let progress = (domain(), Progress { upto: 1, leaf: [0; 32] });
        let mut tail = Tail::default();
        tail.push(merging.iter().copied(), progress);
        tail.begin_merge();
        tail.push(waiting.iter().copied(), progress);
        let reader = open_reader(&path).expect("open");
        Self { dir, reader, tail }
    }

    /// All hits, through as many pages as it takes.
    fn find(&self, keys: &[Key], range: Range<u64>, limit: usize) -> Vec<u64> {
        let mut found = Vec::new();
        let mut next = Some(range.start);
        while let Some(start) = next {
            let search = Search::new(&self.reader, domain(), keys, start..range.end, &self.tail);
            let page = search.page(limit).expect("page");
            assert!(page.indices.len() <= limit && page.next.is_none_or(|next| next > start));
            found.extend(page.indices);
            next = page.next;
        }
        found
    }
}

/// Entries of a domain and its neighbours, in the order of arrival.
fn entries() -> impl Strategy<Value = Vec<(u32, u64, BTreeSet<i64>)>> {
    let entry = (DOMAIN - 1..=DOMAIN + 1, prop::collection::btree_set(0_i64..4, 0..4));
    prop::collection::vec(entry, 0..600).prop_map(|entries| {
        let mut sizes = BTreeMap::<u32, u64>::new();
        let mut placed = |(domain, keys): (u32, _)| {
            let size = sizes.entry(domain).or_default();
            *size += 1;
            (domain, *size - 1, keys)
        };
        entries.into_iter().map(&mut placed).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn look_ups_agree_with_a_plain_filter(
        entries in entries(),
        cuts in (0_usize..=100, 0_usize..=100),
        asked in prop::collection::btree_set(0_i64..5, 1..4),
        ends in (0_u64..250, 0_u64..250),
        limit in 1_usize..50,
    ) {
        let at = |domain: u32, index| Position::new(DomainNumber::new(domain).expect("in range"), index);
        let postings: Vec<_> = entries
            .iter()
            .flat_map(|(domain, index, keys)| keys.iter().map(move |key| (Key(*key), at(*domain, *index))))
            .collect();
        // The parts overlap, as they do if a merge ends between a reader's two looks.
        let at = |percent: usize| postings.len() * percent / 100;
        let (low, high) = (at(cuts.0.min(cuts.1)), at(cuts.0.max(cuts.1)));
        let parts = Parts::new(&postings[..high], &postings[low..high], &postings[high..]);
        let keys: Vec<_> = asked.iter().copied().map(Key).collect();
        let range = ends.0.min(ends.1)..ends.0.max(ends.1);
        let is_found = |(domain, index, keys): &&(u32, u64, BTreeSet<i64>)| {
            *domain == DOMAIN && range.contains(index) && asked.is_subset(keys)
        };
        let plain: Vec<u64> = entries.iter().filter(is_found).map(|(_, index, _)| *index).collect();
        prop_assert_eq!(parts.find(&keys, range, limit), plain);
    }
}

#[test]
fn what_many_entries_share_is_read_from_the_middle_of_a_block() {
    let index = |n: u64| n * n * 1000;
    let postings: Vec<_> = (0..1000).map(|n| (Key(1), position(index(n)))).collect();
    let parts = Parts::new(&postings, &[], &[]);
    for n in [0, 1, 63, 64, 65, 100, 127, 128, 999] {
        for start in [index(n), index(n) + 1] {
            let expected: Vec<u64> = (0..1000).map(index).filter(|index| *index >= start).collect();
            assert_eq!(parts.find(&[Key(1)], start..u64::MAX, 2000), expected, "from {start} on");
            assert_eq!(parts.find(&[Key(1)], 0..start, 2000).len(), 1000 - expected.len(), "up to {start}");
        }
    }
}

#[test]
fn a_long_tail_is_read_in_parts() {
    let waiting: Vec<_> = (0..5000).map(|index| (Key(1), position(index))).collect();
    let rare = (Key(2), position(4321));
    let parts = Parts::new(&[], &waiting[..2000], &[&waiting[2000..], &[rare]].concat());
    assert_eq!(parts.find(&[Key(1)], 0..9999, 10_000).len(), 5000);
    assert_eq!(parts.find(&[Key(1), Key(2)], 0..9999, 10), [4321]);
}

#[test]
fn other_domains_with_the_same_keys_are_not_met() {
    let neighbours = [DOMAIN - 1, DOMAIN + 1].map(|number| DomainNumber::new(number).expect("in range"));
    let postings = neighbours.map(|number| (Key(1), Position::new(number, 7)));
    let parts = Parts::new(&postings, &postings, &postings);
    assert_eq!(parts.find(&[Key(1)], 0..u64::MAX, 10), Vec::<u64>::new());
}

#[test]
fn what_comes_in_with_another_domain_is_found_behind_what_came_before_it() {
    let of = |number: u32, index: u64| (Key(1), Position::new(DomainNumber::new(number).expect("in range"), index));
    // Each half is a batch: in the second one the lower domain comes first.
    let parts = Parts::new(&[of(DOMAIN, 3), of(DOMAIN, 4), of(DOMAIN - 1, 7), of(DOMAIN, 9)], &[], &[]);
    for (start, expected) in [(0, vec![3, 4, 9]), (4, vec![4, 9]), (5, vec![9]), (9, vec![9]), (10, vec![])] {
        assert_eq!(parts.find(&[Key(1)], start..u64::MAX, 10), expected, "from {start} on");
    }
}

/// It may stay in the file for a while, and would lead to an entry that says something else by then.
#[test]
fn what_was_forgotten_is_found_no_more_wherever_it_still_is() {
    let of = |key: i64, index: u64| (Key(key), position(index));
    let in_file: Vec<_> = (0..300).map(|index| of(1, index)).chain([of(2, 7)]).collect();
    let mut parts = Parts::new(&in_file, &[of(1, 300), of(1, 301)], &[of(1, 302), of(1, 303)]);
    parts.tail.forget((0..250).chain([299, 300, 302]).map(|index| of(1, index)).collect());
    let expected: Vec<u64> = (250..299).chain([301, 303]).collect();
    assert_eq!(parts.find(&[Key(1)], 0..999, 10), expected);
    assert_eq!(parts.find(&[Key(1)], 299..303, 10), [301]);
    assert_eq!(parts.find(&[Key(1), Key(2)], 0..999, 10), Vec::<u64>::new());
    assert_eq!(parts.find(&[Key(2)], 0..999, 10), [7], "it has another key still");
    // What is forgotten next is not lost among what is on its way.
    let mut parts = Parts::new(&in_file, &[], &[]);
    parts.tail.end_merge(Ok(()));
    parts.tail.forget(vec![of(1, 0)]);
    parts.tail.begin_merge().expect("something is to be removed");
    parts.tail.forget(vec![of(1, 2)]);
    assert_eq!(parts.find(&[Key(1)], 0..4, 10), [1, 3]);
}

#[test]
fn a_search_that_takes_too_long_gives_up_its_turn() {
    // Every second entry has one key, the others the other key: nothing is common, and every leap finds that out again.
    let postings: Vec<_> = (0..50_000_u64).map(|index| (Key((index % 2).cast_signed()), position(index))).collect();
    let parts = Parts::new(&postings, &[], &[]);
    let search = Search::new(&parts.reader, domain(), &[Key(0), Key(1)], 0..50_000, &parts.tail);
    let page = search.page(10).expect("page");
    assert!(page.indices.is_empty() && page.next.is_some());
    assert_eq!(parts.find(&[Key(0), Key(1)], 0..50_000, 10), Vec::<u64>::new());
}

#[test]
fn a_large_tail_is_merged_at_once_and_a_small_one_at_the_end() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("index.db");
    let index = Index::start(open_writer(File::Index, &path).expect("open"), &path).expect("start");
    let reader = open_reader(&path).expect("open");
    let count = || -> i64 { reader.query_row("SELECT count(*) FROM posting", [], |row| row.get(0)).expect("count") };
    let all = MERGE_POSTINGS as u64;
    let progress = |upto| (domain(), Progress { upto, leaf: [0; 32] });
    index.push((0..all).map(|n| (Key(n.cast_signed()), position(n))), progress(all));
    drop(index.shared.merged.wait_while(index.shared.tail(), |tail| tail.len() > 0).expect("merged"));
    assert_eq!(count(), MERGE_POSTINGS as i64);
    index.push([(Key(-1), position(all))], progress(all + 1));
    let page = index.search(&reader, domain(), &[Key(-1)], 0..u64::MAX, 9).expect("look up");
    assert_eq!((page.indices, count()), (vec![all], MERGE_POSTINGS as i64));
    drop(index);
    assert_eq!(count(), MERGE_POSTINGS as i64 + 1);
    assert_eq!(file::progress(&reader, domain()).expect("progress").map(|progress| progress.upto), Some(all + 1));
}

#[test]
fn while_merging_fails_look_ups_go_on_and_a_full_tail_refuses() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("index.db");
    let connection = open_writer(File::Index, &path).expect("open");
    let reader = open_reader(&path).expect("open");
    connection.pragma_update(None, "query_only", true).expect("as if the disk were full");
    let index = Index::start(connection, &path).expect("start");
    let all = TAIL_POSTINGS as u64;
    let progress = (domain(), Progress { upto: all, leaf: [0; 32] });
    index.push((0..all - 1).map(|n| (Key(n.cast_signed()), position(n))), progress);
    drop(index.shared.merged.wait_while(index.shared.tail(), |tail| tail.failure.is_none()).expect("failed"));
    assert!(index.wait_for_room().is_ok(), "there is room for one more");
    index.push([(Key(7), position(all))], progress);
    assert!(matches!(index.wait_for_room(), Err(StoreError::Sqlite { .. })));
    let page = index.search(&reader, domain(), &[Key(7)], 0..u64::MAX, 9).expect("look up");
    assert_eq!(page.indices, [7, all]);
}

/// Otherwise each later start would rebuild the index without need.
#[test]
fn an_erasure_that_did_not_come_is_expected_no_more() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("index.db");
    let index = Index::start(open_writer(File::Index, &path).expect("open"), &path).expect("starts");
    let is_marked = || dir.path().join("index.db-erasing").exists();
    index.will_forget(&path).expect("marked");
    index.will_forget(&path).expect("marked");
    index.will_not_forget(&path);
    assert!(is_marked(), "another one is still to come");
    index.will_not_forget(&path);
    assert!(!is_marked(), "none is");
    index.will_forget(&path).expect("marked");
    assert!(is_marked(), "the file may hold it");
    index.forget(vec![(Key::of(b"a"), position(1))]);
    drop(index);
    assert!(!is_marked(), "it is gone");
}

#[test]
fn a_long_read_sees_what_was_merged_meanwhile() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("index.db");
    let index = Index::start(open_writer(File::Index, &path).expect("open"), &path).expect("starts");
    let reading = Reading::open(&path).expect("open");
    let key = Key::of(b"a");
    let find = |reading: &Reading| index.search_in(reading, domain(), &[key], 0..9, 9).expect("found").indices;
    assert_eq!(find(&reading), Vec::<u64>::new(), "a transaction is open");
    index.push([(key, position(3))], (domain(), Progress { upto: 4, leaf: [0; 32] }));
    assert_eq!(find(&reading), [3], "in memory");
    // Anything that is to be forgotten is taken out at once, and with it everything goes to the file.
    index.forget(vec![(Key::of(b"other"), position(1))]);
    while index.shared.tail().len() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(find(&reading), [3], "in the file");
    reading.end().expect("ends");
}

#[test]
fn what_the_filter_does_not_know_is_nowhere() {
    let [in_file, merging, waiting, absent] = [1_i64 << 60, 2 << 60, 3 << 60, -1].map(Key);
    let mut parts = Parts::new(&[(in_file, position(1))], &[(merging, position(2))], &[(waiting, position(3))]);
    let all = [in_file, merging, waiting, absent];
    assert!(all.iter().all(|key| parts.tail.may_have(*key)), "it knows nothing yet");
    let batch = parts.tail.begin_merge().expect("one is under way");
    let mut writer = open_writer(File::Index, &parts.dir.path().join("index.db")).expect("open");
    merge(&mut writer, batch.postings.sorted(), &batch.progress, &batch.forgotten).expect("merge");
    parts.tail.end_merge(Ok(()));
    parts.tail.learn_keys(file::keys(&writer).expect("read"));
    assert_eq!(all.map(|key| parts.tail.may_have(key)), [true, true, true, false]);
    let later = Key(5 << 59);
    parts.tail.push([(later, position(4))], (domain(), Progress { upto: 5, leaf: [0; 32] }));
    assert!(parts.tail.may_have(later));
}

#[test]
fn runs_stay_few_and_keep_their_order() {
    let mut postings = tail::Postings::default();
    // Half of the keys are spread over all parts; the others are a few frequent keys in one part.
    let key = |index: u64| {
        if index.is_multiple_of(2) { Key::of(&index.to_be_bytes()) } else { Key((index % 7).cast_signed()) }
    };
    let all: Vec<_> = (0..10_000).map(|index| (key(index), position(index))).collect();
    for some in all.chunks(3) {
        postings.push(some.iter().copied());
    }
    assert!(postings.runs().count() < 256 * 12, "{}", postings.runs().count());
    let of_key: Vec<_> = postings.of(Key(3), position(100), position(9_000)).collect();
    assert_eq!(of_key, (100..9_000).filter(|index| key(*index) == Key(3)).map(position).collect::<Vec<_>>());
    let sorted: Vec<_> = postings.sorted().collect();
    assert!(sorted.iter().all(|part| part.len() < 100 || part.iter().any(|(key, _)| *key == Key(3))), "hashes spread");
    let mut expected = all;
    expected.sort_unstable();
    assert_eq!((postings.len(), sorted.concat()), (10_000, expected));
    postings.retain(|(key, _)| *key != Key(3));
    assert_eq!(postings.len(), postings.runs().map(Vec::len).sum::<usize>());
    assert!(postings.len() < 10_000 && postings.of(Key(3), position(0), position(10_000)).next().is_none());
}

/// Otherwise one page that cannot be read would cause all others to be read every few seconds.
#[test]
fn clearing_that_fails_is_given_up_until_more_is_forgotten_and_the_mark_stays() {
    let mut tail = Tail::default();
    tail.must_empty_wal();
    assert!(tail.must_clear() && tail.must_try_again(Duration::ZERO));
    tail.give_up();
    assert!(!tail.must_clear() && !tail.must_try_again(Duration::ZERO) && tail.begin_merge().is_none());
    assert!(!tail.has_forgotten(), "the next start builds the index again");
    tail.must_empty_wal();
    assert!(tail.must_clear(), "it is tried with what is forgotten next");
    tail.emptied_wal();
    assert!(tail.has_forgotten());
}
