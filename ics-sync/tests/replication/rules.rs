//! Single rules of a mirror, each shown by the shortest story.

use ics_core::descriptor::{Descriptor, Witnesses};
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::log::cosignature;
use ics_core::log::entry::{Entry, EntryKind};
use ics_core::time::Timestamp;
use ics_sync::mirror::{Action, Mirror, Settings, Stop, Trouble};
use ics_sync::wire;

use crate::home::{Home, NODE, at, entry, node_key, signing_key};
use crate::memory::{Kept, Memory};
use crate::owners;

pub(crate) const NOW: u64 = 1_700_000_000_000;
/// When a peer is asked again, after something failed before.
pub(crate) const LATER: u64 = NOW + 600_000;
pub(crate) const EVEN_LATER: u64 = LATER + 600_000;
pub(crate) const DOMAIN: &str = "devices.acme.example";
pub(crate) const SETTINGS: Settings = Settings { interval_millis: 1_000, listens: false, seed: 1 };

/// A home with this many entries, all signed.
pub(crate) fn home(entries: usize) -> Home {
    let mut home = Home::new(DOMAIN, 1, at(NOW));
    home.append_many(entries - 1, "true", at(NOW));
    home.sign(at(NOW));
    home
}

/// Does what the mirror says, without any network, until it waits or stops.
pub(crate) fn drive(mirror: &mut Mirror, home: &Home, memory: &mut Memory, now: Timestamp) -> Action {
    for _ in 0..1_000 {
        if let Some(end) = perform(mirror.poll_action(now), mirror, home, memory, now) {
            return end;
        }
    }
    panic!("the mirror does not come to rest: {:?}", mirror.status());
}

/// Does one thing that the mirror says, if there is anything to do now; otherwise gives it back.
pub(crate) fn perform(
    action: Action,
    mirror: &mut Mirror,
    home: &Home,
    memory: &mut Memory,
    now: Timestamp,
) -> Option<Action> {
    match action {
        Action::FetchDescriptors { from } => mirror.handle_descriptors(&home.descriptors(from), now),
        Action::FetchCheckpoint => mirror.handle_checkpoint(&home.note, now),
        Action::FetchPage { from, limit, until } => {
            mirror.handle_page(home.page(from, limit, until).expect("within the log"), now);
        }
        Action::Apply(page) => match memory.store(&page) {
            Ok(()) => mirror.handle_applied(now),
            Err(problem) => mirror.handle_failure(&problem, now),
        },
        Action::RootAt { size } => mirror.handle_root(&memory.root_of(size), now),
        Action::Survey(survey) => mirror.handle_surveyed(memory.look(&survey)),
        Action::FetchAgain(again) => mirror.handle_shown(home.again(&again).expect("within the log"), now),
        Action::Fill(fill) => match memory.take(&fill) {
            Ok(()) => mirror.handle_filled(),
            Err(problem) => mirror.handle_failure(&problem, now),
        },
        end @ (Action::Wait { .. } | Action::Listen { .. } | Action::Stopped(_)) => return Some(end),
    }
    None
}

pub(crate) fn mirrored(home: &Home) -> (Mirror, Memory) {
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    let end = drive(&mut mirror, home, &mut memory, at(NOW));
    assert!(matches!(end, Action::Wait { .. }), "{end:?}");
    (mirror, memory)
}

/// What becomes of a mirror of 10 entries after the home has changed and signed.
fn after(change: impl FnOnce(&mut Home)) -> (Mirror, Memory, Action) {
    let mut home = home(10);
    let (mut mirror, mut memory) = mirrored(&home);
    change(&mut home);
    let later = at(NOW + 10_000);
    home.sign(later);
    let end = drive(&mut mirror, &home, &mut memory, later);
    (mirror, memory, end)
}

/// Over a slow line: what did not arrive in time is asked for in smaller parts, and in larger ones again once these
/// arrive.
#[test]
fn a_page_that_does_not_come_is_asked_for_in_parts() {
    let home = home(2_500);
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    mirror.handle_descriptors(&home.descriptors(1), at(NOW));
    mirror.handle_checkpoint(&home.note, at(NOW));
    let limit = |mirror: &Mirror, now| match mirror.poll_action(at(now)) {
        Action::FetchPage { limit, .. } => limit,
        other => panic!("{other:?}"),
    };
    for (number, fewer) in (1..).zip([500, 250, 125, 62]) {
        mirror.handle_failure("it takes too long", at(NOW));
        mirror.handle_checkpoint(&home.note, at(NOW));
        assert_eq!(limit(&mirror, NOW + 600_000), fewer, "after {number} failures");
    }
    let now = at(NOW + 600_000);
    for number in 0..17 {
        let Action::FetchPage { from, limit, until } = mirror.poll_action(now) else { panic!("{:?}", mirror.status()) };
        assert_eq!(limit, if number < 16 { 62 } else { 124 }, "page {number}");
        mirror.handle_page(home.page(from, limit, until).expect("page"), now);
        let Action::Apply(page) = mirror.poll_action(now) else { panic!("{:?}", mirror.status()) };
        let ahead = mirror.poll_ahead();
        memory.store(&page).expect("stored");
        mirror.handle_applied(now);
        assert_eq!(ahead, Some(mirror.poll_action(now)), "what may be asked for ahead is what is asked for next");
    }
}

#[test]
fn a_domain_is_mirrored_page_by_page() {
    let home = home(2_500);
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    mirror.handle_descriptors(&home.descriptors(1), at(NOW));
    mirror.handle_checkpoint(&home.note, at(NOW));
    for from in [0, 1_000, 2_000] {
        let limit = limits::FEED_ENTRIES;
        assert_eq!(mirror.poll_action(at(NOW)), Action::FetchPage { from, limit, until: 2_500 });
        mirror.handle_page(home.page(from, limit, 2_500).expect("page"), at(NOW));
        let Action::Apply(page) = mirror.poll_action(at(NOW)) else { panic!("{:?}", mirror.status()) };
        assert_eq!((page.from, page.size, page.checkpoint.is_some()), (from, 2_500.min(from + 1_000), from == 2_000));
        assert_eq!(mirror.status().size, from, "held only when applied");
        let ahead = mirror.poll_ahead();
        memory.store(&page).expect("stored");
        mirror.handle_applied(at(NOW));
        let next = Some(mirror.poll_action(at(NOW))).filter(|next| matches!(next, Action::FetchPage { .. }));
        assert_eq!(ahead, next, "what may be asked for ahead is what is asked for next");
        assert_eq!(mirror.poll_ahead(), None, "nothing is applied now");
    }
    let whole = memory.kept.iter().filter(|kept| matches!(kept, Kept::Whole(_))).count();
    assert_eq!((memory.leaves.len(), whole), (2_500, 2_500));
    let status = mirror.status();
    assert_eq!((status.size, status.known, status.as_of, status.trouble), (2_500, 2_500, Some(at(NOW)), None));
    assert!(matches!(mirror.poll_action(at(NOW)), Action::Wait { until } if until <= at(NOW + 1_000)));
}

#[test]
fn bare_leaves_are_shown_only_to_readers_from_whom_something_is_hidden() {
    let mut home = home(20);
    home.hidden = [3].into();
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    let end = drive(&mut mirror, &home, &mut memory, at(NOW));
    assert!(matches!(end, Action::Wait { .. }), "{end:?}");
    assert_eq!(mirror.status().trouble, Some(Trouble::Withheld { from: 0, size: 20 }));
    assert_eq!(memory.size(), 0, "what is withheld would never be asked for again");
    home.hidden.clear();
    drive(&mut mirror, &home, &mut memory, at(NOW + 10_000));
    assert_eq!((memory.size(), mirror.status().trouble), (20, None));
}

#[test]
fn the_first_entry_is_pinned() {
    let (ours, theirs) = (Home::new(DOMAIN, 1, at(NOW)), Home::new(DOMAIN, 2, at(NOW)));
    let mut pinned = Mirror::pinned(ours.origin.clone(), SETTINGS);
    let end = drive(&mut pinned, &theirs, &mut Memory::default(), at(NOW));
    let found = theirs.origin.to_string();
    assert_eq!(end, Action::Stopped(Stop::Origin { expected: ours.origin, found }));
}

#[test]
fn the_log_begins_with_the_entry_that_its_origin_names() {
    let (home, mut liar) = (home(3), Home::new(DOMAIN, 1, at(NOW + 1)));
    liar.origin = home.origin.clone();
    liar.sign(at(NOW));
    let mut mirror = Mirror::pinned(home.origin.clone(), SETTINGS);
    mirror.handle_descriptors(&home.descriptors(1), at(NOW));
    mirror.handle_checkpoint(&liar.note, at(NOW));
    mirror.handle_page(liar.page(0, 10, 1).expect("page"), at(NOW));
    let stop = mirror.status().stopped;
    assert!(matches!(&stop, Some(Stop::Origin { expected, .. }) if *expected == home.origin), "{stop:?}");
}

#[test]
fn the_first_entry_founds_the_domain_asked_for() {
    let other = Home::new("code.soft.example", 1, at(NOW));
    let origin = Origin { domain: DOMAIN.parse().expect("domain"), ..other.origin.clone() };
    let mut mirror = Mirror::pinned(origin, SETTINGS);
    let end = drive(&mut mirror, &other, &mut Memory::default(), at(NOW));
    assert!(matches!(end, Action::Stopped(Stop::Founding { .. })), "{end:?}");
    // It stays refused even if the right one comes too late.
    let status = mirror.status();
    mirror.handle_descriptors(&home(1).descriptors(1), at(NOW));
    assert_eq!(mirror.status(), status);
}

#[test]
fn a_home_that_breaks_the_rules_of_the_log_stops_the_mirror() {
    let (_, memory, end) = after(|home| home.append("early", at(NOW - 1)));
    assert_eq!(end, Action::Stopped(Stop::Time { index: 10, at: at(NOW - 1), before: at(NOW) }));
    assert_eq!(memory.size(), 10);

    let (_, memory, end) = after(|home| {
        let mut strange = entry(EntryKind::Statement, b"strange".to_vec(), at(NOW));
        strange.header[0] = 9;
        home.push(strange);
    });
    let Action::Stopped(stop @ Stop::Header { index: 10, .. }) = end else { panic!("{end:?}") };
    assert!(!stop.is_of_peer(), "all of its peers show the same");
    assert_eq!(memory.size(), 10);
}

/// The leaf covers header and body in one piece, and so it is that of the home's entry. Others show that one.
#[test]
fn a_peer_that_moves_the_end_of_a_header_is_left_out() {
    type Move = fn(&mut Entry);
    let moves: [Move; 2] = [
        |entry| entry.body.insert(0, entry.header.pop().expect("a header")),
        |entry| entry.header.push(entry.body.remove(0)),
    ];
    let home = home(10);
    for change in moves {
        let mut mirror = Mirror::pinned(home.origin.clone(), SETTINGS);
        mirror.handle_descriptors(&home.descriptors(1), at(NOW));
        mirror.handle_checkpoint(&home.note, at(NOW));
        let mut page = home.page(0, 10, 10).expect("page");
        let wire::Entry::Whole(entry) = &mut page.entries[5] else { panic!("it is whole") };
        let leaf = entry.leaf_data();
        change(entry);
        assert_eq!(entry.leaf_data(), leaf);
        mirror.handle_page(page, at(NOW));
        let stop = mirror.status().stopped.expect("it is refused");
        assert!(matches!(stop, Stop::Header { index: 5, .. }) && stop.is_of_peer(), "{stop:?}");
    }
}

#[test]
fn rules_that_are_not_known_stop_the_mirror_before_their_descriptor_is_applied() {
    let (mirror, memory, end) = after(|home| home.amend(at(NOW), |next| next.rules = 2));
    let Action::Stopped(stop @ Stop::Rules { version: 2, .. }) = end else { panic!("{end:?}") };
    assert!(stop.to_string().contains("rules version 2") && !stop.is_of_peer(), "{stop}");
    assert_eq!((memory.size(), mirror.status().size), (10, 10));
}

#[test]
fn a_descriptor_that_the_owners_did_not_sign_has_no_effect() {
    let (mirror, memory, end) = after(|home| {
        let (_, ruling) = &home.descriptors[0];
        let false_one = Descriptor { home: node_key(NODE, 66), ..owners::following(ruling) };
        home.push(entry(EntryKind::Descriptor, owners::sign_by(66, &false_one), at(NOW)));
    });
    assert!(matches!(end, Action::Wait { .. }), "{end:?}");
    assert_eq!((memory.size(), mirror.status().stopped), (11, None), "it stays in the log");
}

#[test]
fn a_key_that_no_owner_named_does_not_sign_for_the_home() {
    let mut home = home(10);
    let (mut mirror, mut memory) = mirrored(&home);
    home.key = signing_key(66);
    home.sign(at(NOW + 10_000));
    assert_eq!(drive(&mut mirror.clone(), &home, &mut memory, at(NOW + 10_000)), Action::Stopped(Stop::Unsigned));

    // A descriptor of the thief's own making does not help either.
    let false_one = Descriptor { home: node_key(NODE, 66), ..owners::following(&home.descriptors[0].1) };
    home.push(entry(EntryKind::Descriptor, owners::sign_by(66, &false_one), at(NOW)));
    home.descriptors.push((10, false_one));
    let end = drive(&mut mirror, &home, &mut memory, at(NOW + 10_000));
    assert!(matches!(end, Action::Stopped(Stop::Descriptor { after: 1, .. })), "{end:?}");
    assert_eq!(memory.size(), 10);
}

#[test]
fn a_new_key_of_the_home_counts_as_soon_as_the_owners_name_it() {
    let (mirror, memory, end) = after(|home| {
        home.replace_key(2, at(NOW));
        home.append_many(5, "under the new key", at(NOW));
        home.replace_key(3, at(NOW));
    });
    assert!(matches!(end, Action::Wait { .. }), "{end:?}");
    assert_eq!((memory.size(), mirror.status().as_of), (17, Some(at(NOW + 10_000))));
}

#[test]
fn a_key_that_was_replaced_signs_nothing_more() {
    let (_, memory, end) = after(|home| {
        home.replace_key(2, at(NOW));
        home.key = signing_key(1);
    });
    assert_eq!(end, Action::Stopped(Stop::FormerKey { size: 11, version: 1 }));
    assert_eq!(memory.size(), 10);
}

#[test]
fn a_key_counts_no_further_than_the_owners_say_where_they_replace_it() {
    let mut home = home(10);
    let (mut mirror, _) = mirrored(&home);
    home.replace_key(2, at(NOW));
    home.sign(at(NOW));
    mirror.handle_checkpoint(&home.note, at(NOW));
    mirror.handle_descriptors(&home.descriptors(2), at(NOW));
    assert_eq!(mirror.status().known, 11);
    home.append("by a thief of the former key", at(NOW));
    home.key = signing_key(1);
    home.sign(at(NOW));
    mirror.handle_checkpoint(&home.note, at(NOW));
    let stopped = mirror.status().stopped.expect("it takes no more");
    assert_eq!(stopped, Stop::FormerKey { size: 12, version: 1 });
    assert!(stopped.is_of_peer(), "a thief need not be at the others");
}

#[test]
fn a_peer_that_has_not_heard_of_the_new_key_only_lags() {
    let mut home = home(10);
    let early = home.clone();
    home.replace_key(2, at(NOW));
    home.sign(at(NOW));
    let (mut mirror, mut memory) = mirrored(&home);
    drive(&mut mirror, &early, &mut memory, at(NOW + 10_000));
    let status = mirror.status();
    assert_eq!((status.trouble, status.stopped), (Some(Trouble::Stale { ours: 11, theirs: 10 }), None));
}

#[test]
fn a_fork_is_kept_with_both_notes() {
    let mut home = home(10);
    let (mut mirror, mut memory) = mirrored(&home);
    let ours = home.note.clone();
    home = home.fork_at(9);
    home.append("other", at(NOW));
    home.sign(at(NOW + 10_000));
    let end = drive(&mut mirror, &home, &mut memory, at(NOW + 10_000));
    let fork = Stop::Fork { size: 10, ours: Some(ours), theirs: home.note.clone() };
    assert_eq!(end, Action::Stopped(fork.clone()));
    // Nothing revives it.
    mirror.handle_applied(at(NOW));
    mirror.handle_descriptors(&home.descriptors(1), at(NOW));
    mirror.handle_checkpoint(&home.note, at(NOW));
    mirror.handle_page(home.page(0, 10, 10).expect("page"), at(NOW));
    mirror.handle_failure("failed", at(NOW));
    assert_eq!(mirror.poll_action(at(NOW + 1_000_000)), Action::Stopped(fork));
}

#[test]
fn news_of_the_time_is_passed_on_without_new_entries() {
    let mut home = home(10);
    let (mut mirror, mut memory) = mirrored(&home);
    let later = at(NOW + 60_000);
    home.sign(later);
    drive(&mut mirror, &home, &mut memory, later);
    assert_eq!((mirror.status().as_of, memory.note.as_ref()), (Some(later), Some(&home.note)));
    // An older one is no news.
    home.sign(at(NOW + 30_000));
    let newest = memory.note.clone();
    drive(&mut mirror, &home, &mut memory, at(NOW + 90_000));
    assert_eq!((mirror.status().as_of, memory.note), (Some(later), newest));
}

#[test]
fn a_checkpoint_without_a_time_brings_entries_but_no_news_of_the_time() {
    let mut home = home(10);
    let (mut mirror, mut memory) = mirrored(&home);
    home.append("more", at(NOW));
    home.sign(at(NOW));
    // The checkpoint's own signature stands before the cosignature.
    home.note = home.note.trim_end().rsplit_once('\n').expect("two signatures").0.to_owned() + "\n";
    drive(&mut mirror, &home, &mut memory, at(NOW + 10_000));
    assert_eq!((memory.size(), mirror.status().as_of), (11, Some(at(NOW))));
}

#[test]
fn a_page_that_is_being_applied_does_not_change() {
    let mut home = home(10);
    let (mut mirror, _) = mirrored(&home);
    home.sign(at(NOW + 60_000));
    mirror.handle_checkpoint(&home.note, at(NOW + 60_000));
    let applying = mirror.poll_action(at(NOW + 60_000));
    assert!(matches!(applying, Action::Apply(_)), "{applying:?}");
    home.sign(at(NOW + 120_000));
    mirror.handle_checkpoint(&home.note, at(NOW + 120_000));
    assert_eq!(mirror.poll_action(at(NOW + 120_000)), applying);
}

#[test]
fn a_clock_ahead_of_ours_does_not_make_old_news_fresh() {
    for (ahead, expected) in [(1_000, Some(at(NOW))), (limits::CLOCK_SKEW_MILLIS + 1_000, None)] {
        let mut home = home(10);
        home.sign(at(NOW + ahead));
        let (mirror, _) = mirrored(&home);
        assert_eq!(mirror.status().as_of, expected, "{ahead} ms ahead");
    }
}

/// Entries arrive, and otherwise nobody would know why the copy does not become fresher.
#[test]
fn a_time_that_is_not_believed_is_told_until_one_is() {
    const YEAR: u64 = 365 * 86_400_000;
    let mut home = home(10);
    home.sign(at(NOW + YEAR));
    let (mut mirror, mut memory) = mirrored(&home);
    let status = mirror.status();
    assert_eq!((status.size, status.as_of, status.trouble), (10, None, None));
    let told = status.ahead.expect("its time is told").to_string();
    let limit = format!("more than {} s ahead are not believed", limits::CLOCK_SKEW_MILLIS / 1000);
    for words in ["365 days ahead of this node's clock", &limit, "find out which clock is wrong"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let later = at(NOW + 60_000);
    home.sign(later);
    drive(&mut mirror, &home, &mut memory, later);
    assert_eq!((mirror.status().as_of, mirror.status().ahead), (Some(later), None));
}

/// While the home is away and shows nothing, a copy shows what the home signed two days earlier.
#[test]
fn what_was_not_believed_is_no_news_once_its_time_has_come() {
    const AHEAD: u64 = 2 * 86_400_000;
    let mut home = home(10);
    home.sign(at(NOW + AHEAD));
    let (mut mirror, mut memory) = mirrored(&home);
    assert_eq!((mirror.status().size, mirror.status().as_of), (10, None));
    drive(&mut mirror, &home, &mut memory, at(NOW + AHEAD));
    assert_eq!(mirror.status().as_of, None, "it is two days old");
    let later = at(NOW + AHEAD + 60_000);
    home.sign(later);
    drive(&mut mirror, &home, &mut memory, later);
    assert_eq!(mirror.status().as_of, Some(later));
}

#[test]
fn a_checkpoint_counts_when_its_witnesses_have_cosigned() {
    let mut home = home(10);
    let witnesses = Witnesses { quorum: 2, keys: vec![node_key("w1.example", 51), node_key("w2.example", 52)] };
    home.amend(at(NOW), |next| next.witnesses = Some(witnesses));
    home.sign(at(NOW));
    let (mut mirror, mut memory) = mirrored(&home);
    assert_eq!(memory.size(), 11, "the descriptor rules what comes after it");

    let later = at(NOW + 10_000);
    home.append("witnessed", later);
    home.sign(later);
    let witness =
        |note: &str, name: &str, seed| cosignature::cosign(note, name, &signing_key(seed), later).expect("room");
    home.note = witness(&home.note, "w1.example", 51);
    home.note = witness(&home.note, "stranger.example", 53);
    drive(&mut mirror, &home, &mut memory, later);
    assert_eq!((memory.size(), mirror.status().trouble), (11, Some(Trouble::Quorum { size: 12 })));

    home.note = witness(&home.note, "w2.example", 52);
    drive(&mut mirror, &home, &mut memory, at(NOW + 20_000));
    assert_eq!((memory.size(), mirror.status().trouble), (12, None));
}

#[test]
fn a_page_that_could_not_be_stored_comes_again_later() {
    let home = home(10);
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    memory.failures = 1;
    let Action::Wait { until } = drive(&mut mirror, &home, &mut memory, at(NOW)) else { panic!("no pause") };
    assert_eq!(mirror.status().trouble, Some(Trouble::Failure("the disk is full".to_owned())));
    assert_eq!((memory.size(), mirror.status().size), (0, 0));
    assert!(matches!(mirror.poll_action(until), Action::Apply(_)));
    drive(&mut mirror, &home, &mut memory, until);
    assert_eq!((memory.size(), mirror.status().trouble), (10, None));
}

#[test]
fn a_checkpoint_that_comes_during_a_page_waits_for_its_turn() {
    let mut home = home(10);
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    mirror.handle_descriptors(&home.descriptors(1), at(NOW));
    mirror.handle_checkpoint(&home.note, at(NOW));
    home.append_many(10, "meanwhile", at(NOW));
    home.sign(at(NOW));
    mirror.handle_checkpoint(&home.note, at(NOW));
    assert_eq!(mirror.status().known, 20);
    mirror.handle_page(home.page(0, 1_000, 10).expect("page"), at(NOW));
    drive(&mut mirror, &home, &mut memory, at(NOW));
    assert_eq!(memory.size(), 20);
}

#[test]
fn cosignatures_of_the_home_are_under_its_name() {
    let mut home = home(10);
    home.note = cosignature::cosign(&home.note, "other.example", &home.key, at(NOW + 60_000)).expect("room");
    let (mirror, _) = mirrored(&home);
    assert_eq!(mirror.status().as_of, Some(at(NOW)), "not as of what {NODE} said under another name");
}

/// One peer sends a checkpoint under a new key and then is gone; the other has not heard of that key yet.
#[test]
fn what_one_peer_has_sent_is_not_held_against_another() {
    let mut home = home(10);
    let (mut mirror, mut memory) = mirrored(&home);
    let behind = home.clone();
    let later = at(NOW + 10_000);
    home.replace_key(2, later);
    home.sign(later);
    mirror.hears(0);
    mirror.handle_checkpoint(&home.note, later);
    assert!(matches!(mirror.poll_action(later), Action::FetchDescriptors { from: 2 }));
    mirror.handle_failure("no answer in time", later);
    let later = at(NOW + 600_000);
    mirror.hears(1);
    drive(&mut mirror, &behind, &mut memory, later);
    assert_eq!(mirror.status().stopped, None, "that one lags behind");
    let later = at(NOW + 1_200_000);
    mirror.hears(0);
    drive(&mut mirror, &home, &mut memory, later);
    assert_eq!((mirror.status().stopped, memory.size()), (None, home.size()));
}
