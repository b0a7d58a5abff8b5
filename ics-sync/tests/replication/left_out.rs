//! What a peer leaves out of the part that a mirror may read, and how the home's word repairs it.

use ics_core::limits;
use ics_core::log::entry::EntryKind;
use ics_core::time::Timestamp;
use ics_sync::mirror::{Action, Doubt, Mirror, Source, Stop, Trouble};
use ics_sync::wire;

use crate::home::{Home, Turn, at};
use crate::memory::Memory;
use crate::network::Dice;
use crate::rules::{EVEN_LATER, LATER, NOW, SETTINGS, drive, perform};

/// A home with ten entries, those about one thing hidden from a reader.
fn home() -> Home {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    (home.partial, home.hidden) = (true, [3].into());
    home.append_many(9, "true", at(NOW));
    home.sign(at(NOW));
    home
}

/// The peers of a mirror: first one that is not the home, then the home, if that is known.
fn peers(home: &Home, knows_home: bool) -> Vec<Source> {
    let copy = Source { name: "copy".to_owned(), key: None, is_shown: true };
    [copy].into_iter().chain(knows_home.then(|| home.as_source())).collect()
}

fn began(home: &Home, knows_home: bool) -> (Mirror, Memory) {
    (Mirror::pinned(home.origin.clone(), SETTINGS).among(peers(home, knows_home)), Memory::default())
}

fn ask(mirror: &mut Mirror, memory: &mut Memory, peer: usize, served: &Home, now: Timestamp) -> Action {
    mirror.hears(peer);
    drive(mirror, served, memory, now)
}

fn let_anybody_copy(home: &mut Home) {
    let public = "@id(\"anyone-copies\") permit (principal, action == Action::\"mirror\", resource);\n";
    home.amend(at(NOW), |next| next.access.push_str(public));
    home.sign(at(NOW));
}

/// The entries that a reader of a home may read.
pub(crate) fn readable(home: &Home) -> Vec<usize> {
    (0..home.entries.len()).filter(|index| !home.hidden.contains(&home.about[*index])).collect()
}

fn doubt(from: u64) -> Doubt {
    Doubt { from, by: ["copy".to_owned()].into() }
}

#[test]
fn what_a_peer_leaves_out_is_found_at_the_home_before_it_counts() {
    let home = home();
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 0, &home.keeping_back([4, 5]), at(NOW));
    let status = mirror.status();
    assert_eq!(status.trouble, Some(Trouble::Unconfirmed { from: 0, by: "copy".to_owned() }));
    assert_eq!((memory.size(), memory.sealed, status.as_of), (10, 0, None), "it is here, and counts for nothing yet");
    // What is remembered survives a restart.
    mirror = memory.mirror(&home.origin, SETTINGS, at(LATER)).among(peers(&home, true));
    ask(&mut mirror, &mut memory, 1, &home, at(LATER));
    assert_eq!((mirror.status().trouble, mirror.status().doubt), (None, None));
    assert!(memory.shown().eq(readable(&home)) && memory.sealed == 10, "{:?}", memory.kept);
    assert_eq!(memory.left_out, [doubt(0)]);
}

#[test]
fn what_the_home_begins_to_show_nobody_else_goes_on_with() {
    let home = home();
    let copy = home.keeping_back([4, 5]);
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 0, &copy, at(NOW));
    mirror = memory.mirror(&home.origin, SETTINGS, at(LATER)).among(peers(&home, true));
    mirror.hears(1);
    while !matches!(mirror.poll_action(at(LATER)), Action::Survey(_)) {
        let action = mirror.poll_action(at(LATER));
        assert_eq!(perform(action, &mut mirror, &home, &mut memory, at(LATER)), None);
    }
    ask(&mut mirror, &mut memory, 0, &copy, at(LATER));
    assert_eq!((memory.sealed, mirror.status().as_of), (0, None), "the peer's word is not the home's");
    assert_eq!(mirror.status().doubt, Some(doubt(0)));
    ask(&mut mirror, &mut memory, 1, &home, at(EVEN_LATER));
    assert!(memory.shown().eq(readable(&home)) && memory.sealed == 10, "{:?}", memory.kept);
}

#[test]
fn only_what_others_have_shown_is_asked_for_again() {
    let mut home = home();
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 1, &home, at(NOW));
    assert_eq!(memory.sealed, 10);
    home.append_many(7, "true", at(NOW + 1));
    home.sign(at(LATER));
    ask(&mut mirror, &mut memory, 0, &home.keeping_back([11]), at(LATER));
    assert_eq!((mirror.status().doubt, memory.sealed), (Some(doubt(10)), 10), "what the home has said stands");
    mirror.hears(1);
    let now = at(2 * LATER - NOW);
    let mut asked = Vec::new();
    while mirror.status().doubt.is_some() {
        let action = mirror.poll_action(now);
        if let Action::FetchAgain(again) = &action {
            assert_eq!(again.until, Some(17));
            asked.extend([again.hidden.clone(), again.held.clone()].concat());
        }
        assert_eq!(perform(action, &mut mirror, &home, &mut memory, now), None);
    }
    assert!(asked.iter().all(|index| *index >= 10), "{asked:?}");
    ask(&mut mirror, &mut memory, 1, &home, now);
    assert!(memory.shown().eq(readable(&home)) && memory.sealed == 17, "{:?}", memory.kept);
    assert_eq!(memory.left_out, [doubt(10)]);
}

/// As where a bundle is brought to a node that has peers as well: it would count as all that there is.
#[test]
fn what_was_left_out_is_asked_for_where_the_home_is_known_no_longer() {
    for more in 0..2 {
        let mut home = home();
        home.hidden.clear();
        let (mut mirror, mut memory) = began(&home, true);
        ask(&mut mirror, &mut memory, 0, &home.keeping_back([4, 5]), at(NOW));
        assert_eq!((memory.size(), memory.sealed, &memory.rights), (10, 0, &None));
        let mut full = home.for_reader(false).into_owned();
        full.append_many(more, "true", at(LATER));
        full.sign(at(LATER));
        mirror = memory.mirror(&home.origin, SETTINGS, at(LATER)).among(peers(&home, false));
        ask(&mut mirror, &mut memory, 0, &full, at(LATER));
        assert_eq!((mirror.status().trouble, mirror.status().doubt), (None, None));
        assert!(memory.shown().eq(0..10 + more) && memory.sealed == 10 + more, "{:?}", memory.kept);
    }
}

#[test]
fn an_honest_peer_is_only_confirmed() {
    let home = home();
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 0, &home, at(NOW));
    assert_eq!(memory.sealed, 0);
    ask(&mut mirror, &mut memory, 1, &home, at(LATER));
    assert_eq!((memory.sealed, mirror.status().doubt), (10, None));
    assert!(memory.left_out.is_empty());
}

#[test]
fn a_mirror_without_a_home_believes_its_peer_and_says_so() {
    let home = home();
    let (mut mirror, mut memory) = began(&home, false);
    ask(&mut mirror, &mut memory, 0, &home.keeping_back([4]), at(NOW));
    assert_eq!((memory.sealed, mirror.status().trouble), (10, None));
    assert_eq!(mirror.status().doubt, Some(doubt(0)));
    // The operator learns of the home.
    mirror = memory.mirror(&home.origin, SETTINGS, at(LATER)).among(peers(&home, true));
    ask(&mut mirror, &mut memory, 1, &home, at(LATER));
    assert!(memory.shown().eq(readable(&home)), "{:?}", memory.kept);
    assert_eq!((mirror.status().doubt, memory.left_out), (None, vec![doubt(0)]));
}

#[test]
fn the_home_is_known_by_its_name_or_its_key_where_the_transport_shows_it() {
    let home = home();
    let known = home.as_source();
    for (source, is_home) in [
        (known.clone(), true),
        (Source { name: "headquarters".to_owned(), ..known.clone() }, true),
        (Source { key: None, ..known.clone() }, true),
        (Source { name: "headquarters".to_owned(), key: Some([7; 32]), ..known.clone() }, false),
        (Source { name: "headquarters".to_owned(), key: None, ..known.clone() }, false),
        (Source { is_shown: false, ..known }, false),
    ] {
        let mut mirror = Mirror::pinned(home.origin.clone(), SETTINGS).among(vec![source.clone()]);
        ask(&mut mirror, &mut Memory::default(), 0, &home, at(NOW));
        assert_eq!(mirror.status().doubt.is_none(), is_home, "{source:?}");
    }
}

#[test]
fn only_the_home_can_tell_a_full_reader_that_it_may_not_read_everything() {
    let mut home = home();
    home.hidden.clear();
    let full = home.for_reader(false).into_owned();
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 0, &home.keeping_back([4, 5]), at(NOW));
    assert_eq!(memory.sealed, 0);
    ask(&mut mirror, &mut memory, 1, &full, at(LATER));
    assert!(memory.shown().eq(0..10) && memory.rights.is_none(), "{:?}", memory.kept);
}

/// What came after it was read without it. Nobody was shown any of that yet.
#[test]
fn a_descriptor_that_was_kept_back_ends_the_copy_until_what_was_read_without_it_is_given_up() {
    let mut home = home();
    home.amend_idly(at(NOW));
    home.sign(at(NOW));
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 0, &home.keeping_back([10]), at(NOW));
    ask(&mut mirror, &mut memory, 1, &home, at(LATER));
    let stop = Stop::KeptBack { index: 10, kind: EntryKind::Descriptor };
    assert_eq!((mirror.status().stopped, memory.sealed), (Some(stop), 0));
    memory.give_up_unshown();
    let mut mirror = memory.mirror(&home.origin, SETTINGS, at(EVEN_LATER)).among(peers(&home, true));
    ask(&mut mirror, &mut memory, 1, &home, at(EVEN_LATER));
    assert_eq!((mirror.status().stopped, memory.sealed, &memory.doubt), (None, 11, &None));
    assert!(memory.shown().eq(readable(&home)), "{:?}", memory.kept);
}

#[test]
fn a_mirror_that_may_read_everything_is_shown_all_that_was_hidden() {
    let home = home();
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 1, &home, at(NOW));
    // The peer says that the reader may now read everything, and still shows a bare leaf.
    let mut wide = home.for_reader(false).into_owned();
    wide.append_many(1, "true", at(LATER));
    wide.sign(at(LATER));
    let now = at(LATER);
    loop {
        match mirror.poll_action(now) {
            Action::FetchAgain(again) => {
                let shown = home.again(&again).expect("within the log");
                mirror.handle_shown(wire::Shown { rights: None, ..shown }, now);
            }
            Action::Wait { .. } => break,
            action => assert_eq!(perform(action, &mut mirror, &wide, &mut memory, now), None),
        }
    }
    assert_eq!(mirror.status().trouble, Some(Trouble::Withheld { from: 3, size: 10 }));
    assert_eq!(memory.sealed, 10);
}

/// One pass asks for everything that is missing. That something else rests on it adds nothing.
#[test]
fn a_mirror_that_may_read_everything_looks_for_nothing_twice() {
    let home = home();
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 1, &home, at(NOW));
    let mut wide = home.for_reader(false).into_owned();
    wide.append_many(1, "true", at(LATER));
    wide.sign(at(LATER));
    let (now, mut among) = (at(LATER), Vec::new());
    while memory.sealed < 11 {
        let action = mirror.poll_action(now);
        if let Action::Survey(survey) = &action {
            among.push(survey.among.clone());
        }
        assert_eq!(perform(action, &mut mirror, &wide, &mut memory, now), None);
    }
    assert!(memory.shown().eq(0..11) && memory.rights.is_none(), "{:?}", memory.kept);
    assert_eq!(among, [None, None], "once, and there is no more");
}

/// It would be deleted, and all answers about it `unknown`.
#[test]
fn of_what_anybody_may_copy_nothing_that_is_held_goes() {
    let mut home = home();
    home.hidden.clear();
    let_anybody_copy(&mut home);
    let (mut mirror, mut memory) = began(&home, false);
    ask(&mut mirror, &mut memory, 0, &home.for_reader(false), at(NOW));
    assert_eq!((memory.sealed, &memory.rights), (11, &None));
    home.append_many(2, "true", at(LATER));
    home.sign(at(LATER));
    let now = at(LATER);
    loop {
        match mirror.poll_action(now) {
            Action::FetchPage { from: 11, until, .. } => {
                let mut page = home.page(11, 1, until).expect("within the log");
                page.sight.iter_mut().for_each(|sight| sight.ended = vec![1, 2, 3]);
                mirror.handle_page(page, now);
            }
            Action::FetchPage { .. } => break,
            action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, now), None),
        }
    }
    assert!(memory.shown().eq(0..11) && memory.rights.is_none(), "{:?}", memory.kept);
    assert_eq!(memory.doubt, Some(doubt(11)), "of what came before nobody else has said anything");
    ask(&mut mirror, &mut memory, 0, &home.for_reader(false), at(LATER));
    assert!(memory.shown().eq(0..13) && mirror.status().doubt.is_none(), "{:?}", memory.kept);
}

/// A page that others follow is taken for as much as it shows; its part of the log counts for nothing by itself.
#[test]
fn of_what_anybody_may_copy_no_part_counts_under_an_early_head() {
    let mut home = home();
    let_anybody_copy(&mut home);
    let early = home.keeping_back([4]);
    home.append_many(1, "true", at(NOW));
    home.sign(at(NOW));
    let mut part = home.keeping_back([4]);
    part.page_limit = 11;
    let (mut mirror, mut memory) = began(&home, false);
    loop {
        match mirror.poll_action(at(NOW)) {
            Action::FetchPage { from: 1.., .. } => break,
            action => assert_eq!(perform(action, &mut mirror, &part, &mut memory, at(NOW)), None),
        }
    }
    assert_eq!((memory.size(), memory.sealed, &memory.doubt), (11, 0, &Some(doubt(0))));
    let mut mirror = memory.mirror(&home.origin, SETTINGS, at(LATER)).among(peers(&home, false));
    ask(&mut mirror, &mut memory, 0, &early, at(LATER));
    assert_eq!((mirror.status().trouble, memory.sealed), (Some(Trouble::Public { size: 11 }), 0));
    ask(&mut mirror, &mut memory, 0, &home.for_reader(false), at(EVEN_LATER));
    assert_eq!((mirror.status().trouble, memory.sealed, &memory.rights), (None, 12, &None));
}

/// The rules say who may read, and are signed by the owners: nobody but the home may say that they hide something.
#[test]
fn of_what_anybody_may_copy_nobody_but_the_home_shows_a_part() {
    let mut home = home();
    let_anybody_copy(&mut home);
    let (mut mirror, mut memory) = began(&home, false);
    ask(&mut mirror, &mut memory, 0, &home.keeping_back([4]), at(NOW));
    assert_eq!((mirror.status().trouble, memory.size()), (Some(Trouble::Public { size: 11 }), 0));
    ask(&mut mirror, &mut memory, 0, &home.for_reader(false), at(LATER));
    assert_eq!((mirror.status().trouble, memory.sealed, &memory.rights), (None, 11, &None));

    // A mirror that holds everything cannot be made to believe that something is only for others.
    home.append_many(1, "true", at(LATER));
    home.sign(at(LATER));
    ask(&mut mirror, &mut memory, 0, &home.keeping_back([11]), at(EVEN_LATER));
    assert_eq!((mirror.status().trouble, memory.size()), (Some(Trouble::Public { size: 12 }), 11));
    assert_eq!(mirror.status().doubt, None);

    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 1, &home, at(EVEN_LATER));
    assert_eq!((mirror.status().trouble, memory.sealed), (None, 12));
}

/// The rest would else never be asked for: of what is shown, a block could be missing.
#[test]
fn a_page_that_may_rest_on_more_than_it_can_name_has_everything_looked_at() {
    let mut home = home();
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 1, &home, at(NOW));
    home.turn(3, Turn::Entry, at(LATER));
    home.sign(at(LATER));
    while memory.size() < home.size() {
        match mirror.poll_action(at(LATER)) {
            Action::FetchPage { from, limit, until } => {
                let mut page = home.page(from, limit, until).expect("within the log");
                page.sight.iter_mut().for_each(|sight| sight.earlier = vec![1; limits::SIGHT_INDICES]);
                mirror.handle_page(page, at(LATER));
            }
            action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, at(LATER)), None),
        }
    }
    assert!(memory.shown().eq(readable(&home)), "{:?}", memory.kept);
}

#[test]
fn nor_is_anything_missing_where_an_answer_names_as_much_as_it_can() {
    let mut home = home();
    home.hidden.insert(4);
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 1, &home, at(NOW));
    home.turn(3, Turn::Entry, at(LATER));
    home.hidden.remove(&4);
    home.sign(at(LATER));
    while memory.size() < home.size() {
        match mirror.poll_action(at(LATER)) {
            Action::FetchAgain(again) => {
                let shown = home.again(&again).expect("within the log");
                let earlier = vec![1; limits::SIGHT_INDICES];
                mirror.handle_shown(wire::Shown { earlier, ..shown }, at(LATER));
            }
            action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, at(LATER)), None),
        }
    }
    assert!(memory.shown().eq(readable(&home)), "{:?}", memory.kept);
}

/// What is left of a block is shown together with its erasure, and not to a mirror that will not have it.
#[test]
fn after_a_second_look_in_vain_it_is_asked_what_there_is_by_now() {
    let mut home = home();
    let (mut mirror, mut memory) = began(&home, true);
    ask(&mut mirror, &mut memory, 1, &home, at(NOW));
    home.turn(3, Turn::Peer, at(LATER));
    loop {
        match mirror.poll_action(at(LATER)) {
            Action::FetchAgain(_) => break,
            action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, at(LATER)), None),
        }
    }
    mirror.handle_failure("the erasure comes later", at(LATER));
    home.append_many(1, "true", at(LATER));
    home.sign(at(LATER));
    assert_eq!(mirror.poll_action(at(EVEN_LATER)), Action::FetchCheckpoint);
    ask(&mut mirror, &mut memory, 1, &home, at(EVEN_LATER));
    assert_eq!((mirror.status().trouble, memory.sealed), (None, 11));
    assert!(memory.shown().eq(readable(&home)), "{:?}", memory.kept);
}

/// Begins anew from what is shown, if the mirror has stopped because a descriptor had been kept back.
fn goes_on(mirror: &mut Mirror, memory: &mut Memory, home: &Home, now: Timestamp) {
    match mirror.status().stopped {
        None => {}
        Some(Stop::KeptBack { index, .. }) => {
            assert!(index >= memory.sealed as u64, "what is shown was read with everything");
            memory.give_up_unshown();
            *mirror = memory.mirror(&home.origin, SETTINGS, now).among(peers(home, true));
        }
        Some(stop) => panic!("{stop}"),
    }
}

#[test]
fn whatever_is_kept_back_and_whoever_is_asked_when_all_comes_in_the_end() {
    for seed in 0..200 {
        let (mut dice, mut home, mut now) = (Dice::new(seed), home(), NOW);
        home.page_limit = 1 + dice.index(12);
        let (mut mirror, mut memory) = began(&home, true);
        for _ in 0..12 {
            now += LATER - NOW;
            home.append_many(dice.index(9), "true", at(now));
            if dice.chance(50) {
                home.amend_idly(at(now));
            }
            home.sign(at(now));
            let kept_back: Vec<usize> = (1..home.entries.len()).filter(|_| dice.chance(20)).collect();
            if dice.chance(50) {
                ask(&mut mirror, &mut memory, 0, &home.keeping_back(kept_back), at(now));
            } else {
                ask(&mut mirror, &mut memory, 1, &home, at(now));
            }
            goes_on(&mut mirror, &mut memory, &home, at(now));
        }
        for _ in 0..3 {
            now += LATER - NOW;
            ask(&mut mirror, &mut memory, 1, &home, at(now));
            goes_on(&mut mirror, &mut memory, &home, at(now));
        }
        assert_eq!((mirror.status().trouble, memory.sealed), (None, home.entries.len()), "seed {seed}");
        assert!(memory.shown().eq(readable(&home)), "seed {seed}: {:?}", memory.kept);
    }
}
