//! Peers that are slow, deliberately or not, or that have less than is known, together with others.

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_sync::Turn;
use ics_sync::mirror::{Action, Mirror, Source, Trouble};

use crate::home::{Home, IDENTITIES, at};
use crate::left_out::readable;
use crate::memory::Memory;
use crate::network::Dice;
use crate::rules::{NOW, SETTINGS, drive, mirrored, perform};

const MINUTE: u64 = 60_000;

/// How a peer answers.
struct Manner {
    /// Entries in a page.
    entries: usize,
    /// Milliseconds until an answer arrives.
    millis: u64,
}

const DRIPS: Manner = Manner { entries: 1, millis: MINUTE };
const ANSWERS: Manner = Manner { entries: limits::FEED_ENTRIES, millis: 100 };

/// The milliseconds in which a copy of a home is complete, and how often the peer was changed; `None` if it takes
/// weeks.
fn copied_in(home: &Home, peers: &[Manner]) -> Option<(u64, usize)> {
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    let (mut turn, mut turns, mut now) = (Turn::among(peers.len()), 0, NOW);
    while now < NOW + 30 * 24 * 60 * MINUTE {
        if memory.size() == home.size() {
            return Some((now - NOW, turns));
        }
        let next = mirror.poll_action(at(now));
        let rests = matches!(next, Action::Wait { .. } | Action::Listen { .. });
        if !matches!(next, Action::Apply(_)) {
            turns += usize::from(turn.pass(&mirror.status(), rests, at(now)));
            mirror.hears(turn.peer());
        }
        let Manner { entries, millis } = peers[turn.peer()];
        match mirror.poll_action(at(now)) {
            Action::FetchPage { from, limit, until } => {
                now += millis;
                let page = home.page(from, limit.min(entries), until);
                mirror.handle_page(page.expect("within the log"), at(now));
            }
            Action::Wait { until } => now = until.as_millis(),
            action => assert_eq!(perform(action, &mut mirror, home, &mut memory, at(now)), None),
        }
    }
    None
}

fn home() -> Home {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    home.append_many(20_000, "true", at(NOW));
    home.sign(at(NOW));
    home
}

/// It never fails, and brings an entry whenever it is about to be given up.
#[test]
fn a_peer_that_drips_does_not_keep_a_copy_from_another_that_has_all() {
    let home = home();
    for peers in [vec![DRIPS, ANSWERS], vec![ANSWERS, DRIPS], vec![DRIPS, DRIPS, ANSWERS]] {
        let (took, _) = copied_in(&home, &peers).expect("complete");
        assert!(took < 10 * MINUTE, "{took} ms");
    }
}

#[test]
fn over_links_that_are_slow_the_other_is_tried_once() {
    const SLOW: Manner = Manner { entries: 500, millis: 20_000 };
    const SLOWER: Manner = Manner { entries: 400, millis: 20_000 };
    let home = home();
    for peers in [[SLOW, SLOWER], [SLOWER, SLOW]] {
        let (took, turns) = copied_in(&home, &peers).expect("complete");
        assert_eq!(turns, 1);
        assert!(took <= 17 * MINUTE, "nothing of it is lost: {took} ms");
    }
}

/// Does what the mirror says, at a peer that may lack what it asks for, until it waits.
fn ask(mirror: &mut Mirror, memory: &mut Memory, peer: &Home, now: Timestamp) {
    loop {
        match mirror.poll_action(now) {
            Action::FetchPage { from, limit, until } => match peer.page(from, limit, until) {
                Some(page) => mirror.handle_page(page, now),
                None => mirror.handle_failure("there are no such entries here", now),
            },
            Action::Wait { .. } => return,
            action => assert_eq!(perform(action, mirror, peer, memory, now), None),
        }
    }
}

/// A home that is gone had shown 30 entries; none of the remaining peers has more than 20.
#[test]
fn what_nobody_serves_does_not_keep_a_copy_from_what_somebody_does() {
    let mut early = Home::new("devices.acme.example", 1, at(NOW));
    early.append_many(9, "true", at(NOW));
    early.sign(at(NOW));
    let grown = |home: &Home| {
        let mut grown = home.clone();
        grown.append_many(10, "true", at(NOW));
        grown.sign(at(NOW));
        grown
    };
    let behind = grown(&early);
    let home = grown(&behind);
    let (mut mirror, mut memory) = (Mirror::pinned(early.origin.clone(), SETTINGS), Memory::default());
    ask(&mut mirror, &mut memory, &early, at(NOW));
    mirror.handle_checkpoint(&home.note, at(NOW));
    let mut turned = mirror.clone();
    turned.hears(1);
    assert_eq!((turned.poll_action(at(NOW)), turned.status().known), (Action::FetchCheckpoint, 30));

    let mut later = (1..).map(|hour| at(NOW + hour * 60 * MINUTE));
    let mut later = || later.next().expect("an hour");
    ask(&mut mirror, &mut memory, &behind, at(NOW));
    assert_eq!((memory.size(), mirror.status().known), (10, 30), "what was seen is asked for first");
    ask(&mut mirror, &mut memory, &behind, later());
    assert_eq!((memory.size(), mirror.status().known), (20, 30));
    ask(&mut mirror, &mut memory, &behind, later());
    assert_eq!(mirror.status().trouble, Some(Trouble::Stale { ours: 30, theirs: 20 }), "it still lacks something");
    ask(&mut mirror, &mut memory, &home, later());
    assert_eq!((memory.size(), mirror.status().known, mirror.status().trouble), (30, 30, None));
}

/// Over a slow line it would never arrive if it was asked for unchanged.
#[test]
fn what_is_asked_for_again_and_does_not_come_is_asked_for_in_parts() {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    (home.partial, home.hidden) = (true, (0..IDENTITIES).collect());
    home.append_many(1_200, "true", at(NOW));
    home.sign(at(NOW));
    let (mut mirror, mut memory) = mirrored(&home);
    (0..IDENTITIES).for_each(|id| home.turn(id, crate::home::Turn::Peer, at(NOW)));
    home.append_many(1, "true", at(NOW));
    home.sign(at(NOW));
    let mut asked = Vec::new();
    for hour in 1..4 {
        let now = at(NOW + hour * 60 * MINUTE);
        let again = loop {
            match mirror.poll_action(now) {
                Action::FetchAgain(again) => break again,
                action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, now), None),
            }
        };
        asked.push(again.hidden.len() + again.held.len());
        mirror.handle_failure("it takes too long", now);
    }
    assert_eq!(asked, [1_000, 500, 250]);
    drive(&mut mirror, &home, &mut memory, at(NOW + 240 * MINUTE));
    assert_eq!((mirror.status().trouble, memory.shown().count()), (None, 1_202));
}

/// A home, and a copy of all that another copy has shown; from now on the home is heard, too.
fn copied_from_a_copy() -> (Home, Mirror, Memory) {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    home.partial = true;
    home.append_many(3_000, "true", at(NOW));
    home.sign(at(NOW));
    let copy = Source { name: "copy".to_owned(), key: None, is_shown: true };
    let mut mirror = Mirror::pinned(home.origin.clone(), SETTINGS).among(vec![copy, home.as_source()]);
    let mut memory = Memory::default();
    drive(&mut mirror, &home, &mut memory, at(NOW));
    assert_eq!((memory.size(), memory.sealed), (3_001, 0), "the home has not said what may be read");
    mirror.hears(1);
    (home, mirror, memory)
}

/// The home is asked again for all that others have shown, each time that this begins anew. If more was asked for in
/// vain after the same number of answers each time, it would never come to its end.
#[test]
fn a_second_look_over_a_slow_line_comes_to_its_end() {
    let (home, mut mirror, mut memory) = copied_from_a_copy();
    for hour in 1..10 {
        let now = at(NOW + hour * 60 * MINUTE);
        loop {
            match mirror.poll_action(now) {
                Action::FetchAgain(again) if again.hidden.len() + again.held.len() > 100 => {
                    mirror.handle_failure("it takes too long", now);
                }
                Action::Wait { .. } => break,
                action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, now), None),
            }
        }
    }
    assert_eq!((mirror.status().trouble, mirror.status().doubt, memory.sealed), (None, None, 3_001));
}

/// Over a link that is up for minutes at a time, a look that takes longer would else begin anew each time.
#[test]
fn a_second_look_goes_on_where_it_was_cut_off() {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    (home.partial, home.hidden) = (true, (0..IDENTITIES).collect());
    home.append_many(3_000, "true", at(NOW));
    home.sign(at(NOW));
    let (mut mirror, mut memory) = mirrored(&home);
    (0..IDENTITIES).for_each(|id| home.turn(id, crate::home::Turn::Peer, at(NOW)));
    home.append_many(1, "true", at(NOW));
    home.sign(at(NOW));
    home.page_limit = 100;
    for hour in 1..9 {
        let (now, mut answers) = (at(NOW + hour * 60 * MINUTE), 0);
        loop {
            match mirror.poll_action(now) {
                Action::FetchAgain(_) if answers == 8 => mirror.handle_unreached("the link is down", now),
                Action::Wait { .. } => break,
                action => {
                    answers += usize::from(matches!(action, Action::FetchAgain(_)));
                    assert_eq!(perform(action, &mut mirror, &home, &mut memory, now), None);
                }
            }
        }
    }
    assert_eq!((mirror.status().trouble, memory.shown().count()), (None, 3_002));
}

/// Also if another peer can be asked, at which it would begin anew.
#[test]
fn a_second_look_goes_on_where_it_was_cut_off_although_there_is_another_peer() {
    let (mut home, mut mirror, mut memory) = copied_from_a_copy();
    home.page_limit = 100;
    let before = mirror.status().failures;
    for hour in 1..9 {
        let (now, mut answers) = (at(NOW + hour * 60 * MINUTE), 0);
        loop {
            match mirror.poll_action(now) {
                Action::FetchAgain(_) if answers == 8 => {
                    mirror.handle_unreached("the link is down", now);
                    let status = mirror.status();
                    assert!(status.is_looking && status.trouble.is_some(), "hour {hour}");
                    assert_eq!(status.failures, before + 1, "hour {hour}");
                }
                Action::Wait { .. } => break,
                action @ Action::FetchAgain(_) => {
                    answers += 1;
                    assert_eq!(perform(action, &mut mirror, &home, &mut memory, now), None);
                    assert_eq!(mirror.status().failures, before, "that it was cut off is over");
                }
                action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, now), None),
            }
        }
    }
    assert_eq!((mirror.status().trouble, mirror.status().doubt, memory.sealed), (None, None, 3_001));
}

/// Another peer may be reached, and its word is its own.
#[test]
fn a_second_look_waits_only_a_minute_where_another_peer_can_be_asked() {
    let (home, mut mirror, mut memory) = copied_from_a_copy();
    let (mut turn, mut now, mut cut_at) = (Turn::among(2), NOW + MINUTE, None);
    let took = loop {
        match mirror.poll_action(at(now)) {
            Action::FetchAgain(_) => {
                let cut_at = *cut_at.get_or_insert(now);
                mirror.handle_unreached("the link is down", at(now));
                if turn.pass(&mirror.status(), false, at(now)) {
                    break now - cut_at;
                }
                assert!(mirror.status().is_looking);
            }
            Action::Wait { until } => now = until.as_millis(),
            action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, at(now)), None),
        }
    };
    assert!((MINUTE..2 * MINUTE).contains(&took), "{took} ms");
    assert!(!mirror.status().is_looking);
    mirror.hears(0);
    assert_eq!(mirror.poll_action(at(now + MINUTE)), Action::FetchCheckpoint);
}

/// Sixteen of the largest entries do not arrive in time over a line on which one does.
#[test]
fn over_a_slow_line_large_entries_arrive_all_the_same() {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    home.append_many(39, "true", at(NOW));
    home.sign(at(NOW));
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    for hour in 0..60 {
        let now = at(NOW + hour * 60 * MINUTE);
        loop {
            match mirror.poll_action(now) {
                Action::FetchPage { limit, .. } if limit > 2 => mirror.handle_unreached("it comes too slowly", now),
                Action::Wait { .. } => break,
                action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, now), None),
            }
        }
    }
    assert_eq!((mirror.status().trouble, memory.sealed), (None, 40));
}

/// They are small over any line.
#[test]
fn heartbeats_do_not_make_more_be_asked_for() {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    let (mut mirror, mut memory) = mirrored(&home);
    let now = |hour: u64| at(NOW + hour * 60 * MINUTE);
    let asked = |mirror: &mut Mirror, memory: &mut Memory, home: &Home, hour| loop {
        match mirror.poll_action(now(hour)) {
            Action::FetchPage { limit, .. } => break limit,
            action => assert_eq!(perform(action, mirror, home, memory, now(hour)), None),
        }
    };
    home.append_many(1, "true", at(NOW));
    home.sign(at(NOW));
    for hour in 1..11 {
        asked(&mut mirror, &mut memory, &home, hour);
        mirror.handle_failure("it comes too slowly", now(hour));
    }
    assert_eq!(asked(&mut mirror, &mut memory, &home, 11), 1);
    drive(&mut mirror, &home, &mut memory, now(11));
    for hour in 12..20 {
        home.sign(now(hour));
        drive(&mut mirror, &home, &mut memory, now(hour));
        assert_eq!((mirror.status().as_of, mirror.status().trouble), (Some(now(hour)), None));
    }
    home.append_many(40, "true", now(20));
    home.sign(now(20));
    assert_eq!(asked(&mut mirror, &mut memory, &home, 20), 2, "as one has come");
}

/// What may be read changes, and the link is cut at any question: a look goes on only while it asks about the same.
#[test]
fn wherever_looks_are_cut_off_what_may_be_read_is_shown_in_the_end() {
    use crate::home::Turn::{Descriptor, Entry, Peer};
    for seed in 0..200 {
        let (mut dice, mut now) = (Dice::new(seed), NOW);
        let mut home = Home::new("devices.acme.example", 1, at(NOW));
        (home.partial, home.page_limit) = (true, 1 + dice.index(20));
        home.hidden = (0..IDENTITIES).filter(|_| dice.chance(50)).collect();
        home.append_many(60, "true", at(NOW));
        home.sign(at(NOW));
        let began = Mirror::pinned(home.origin.clone(), SETTINGS).among(vec![home.as_source()]);
        let (mut mirror, mut memory) = (began, Memory::default());
        for round in 0..40 {
            now += 60 * MINUTE;
            if round < 20 && dice.chance(30) {
                let (id, by) = (dice.index(IDENTITIES), [Entry, Descriptor, Peer][dice.index(3)]);
                home.turn(id, by, at(now));
                home.append_many(dice.index(5), "true", at(now));
                home.sign(at(now));
            }
            let lost = if round < 30 { 30 } else { 0 };
            loop {
                match mirror.poll_action(at(now)) {
                    Action::FetchAgain(_) | Action::FetchPage { .. } | Action::FetchCheckpoint if dice.chance(lost) => {
                        mirror.handle_unreached("the link is down", at(now));
                    }
                    Action::Wait { .. } => break,
                    action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, at(now)), None, "{seed}"),
                }
            }
        }
        let status = mirror.status();
        assert_eq!((status.trouble, memory.sealed), (None, home.entries.len()), "seed {seed}");
        assert!(memory.shown().eq(readable(&home)), "seed {seed}: {:?}", memory.kept);
    }
}
