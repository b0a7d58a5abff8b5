//! Remnants of erased statements as peers state them, which nobody has signed, and what the owners' erasure says about
//! them.

use ics_core::identity::Kind;
use ics_core::log::entry::EntryKind;
use ics_core::record::Identity;
use ics_core::statement::{Erasure, Remnant, StatementId};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;
use ics_sync::mirror::{Action, Doubt, Mirror, Trouble};
use ics_sync::wire;

use crate::home::{Home, Turn, at, entry};
use crate::memory::Memory;
use crate::rules::{EVEN_LATER, LATER, NOW, SETTINGS, drive, perform};
use crate::{owners, speech};

/// The index of the entry that is erased.
const ERASED: u64 = 4;

/// The true remnant.
fn truth() -> Remnant {
    Remnant { statement: StatementId([7; 32]), identity: speech::thing(1) }
}

/// False remnants: about another thing, or of another statement.
fn lies() -> [Remnant; 2] {
    [Remnant { identity: speech::thing(2), ..truth() }, Remnant { statement: StatementId([8; 32]), ..truth() }]
}

/// A home with an erased entry and its erasure, which returns this many entries at once.
fn home(page_limit: usize) -> Home {
    home_of(10, page_limit)
}

/// The same with this many entries before the erasure.
fn home_of(entries: usize, page_limit: usize) -> Home {
    home_by(entries, page_limit, owners::erase)
}

/// The same with an erasure that is signed like this.
fn home_by(entries: usize, page_limit: usize, sign: impl Fn(&Erasure) -> Vec<u8>) -> Home {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    home.page_limit = page_limit;
    home.append_many(entries - 1, "true", at(NOW));
    let Remnant { statement, identity } = truth();
    let erasure = Erasure {
        index: Some(ERASED),
        identity: Some(Identity { id: identity, kind: Kind::Device }),
        act: Some(Act::Status),
        ..Erasure::new(home.origin.domain.clone(), statement)
    };
    assert_eq!(erasure.leaves(), Some((ERASED, truth())));
    home.push(entry(EntryKind::Erasure, sign(&erasure), at(NOW)));
    home.sign(at(NOW));
    home
}

/// Asks a peer that states this remnant for the erased entry, until there is nothing to do but wait.
fn ask(mirror: &mut Mirror, memory: &mut Memory, home: &Home, told: Remnant, now: Timestamp) {
    let erase = |entry: &mut wire::Entry| *entry = wire::Entry::Erased { leaf: entry.leaf_data(), remnant: told };
    for _ in 0..100 {
        match mirror.poll_action(now) {
            Action::FetchPage { from, limit, until } => {
                let mut page = home.page(from, limit, until).expect("within the log");
                (from..).zip(&mut page.entries).filter(|(index, _)| *index == ERASED).for_each(|(_, it)| erase(it));
                mirror.handle_page(page, now);
            }
            Action::Wait { .. } | Action::Listen { .. } => return,
            action => assert_eq!(perform(action, mirror, home, memory, now), None),
        }
    }
    panic!("the mirror does not come to rest: {:?}", mirror.status());
}

#[test]
fn what_an_erasure_bears_out_is_believed() {
    for page_limit in [5, 100] {
        let home = home(page_limit);
        let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
        ask(&mut mirror, &mut memory, &home, truth(), at(NOW));
        assert_eq!((mirror.status().trouble, memory.sealed), (None, 11), "{page_limit} entries at once");
    }
}

#[test]
fn nothing_is_taken_of_a_page_whose_own_erasure_says_otherwise() {
    let home = home(100);
    for lie in lies() {
        let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
        ask(&mut mirror, &mut memory, &home, lie, at(NOW));
        let trouble = Trouble::Unerased { statement: lie.statement, size: 11 };
        assert_eq!((mirror.status().trouble, memory.size()), (Some(trouble), 0), "{lie:?}");
        ask(&mut mirror, &mut memory, &home, truth(), at(LATER));
        assert_eq!((mirror.status().trouble, memory.sealed), (None, 11), "whoever shows it as it is heals it: {lie:?}");
    }
}

/// What was said in between was judged by what the erased statement was said to be about.
#[test]
fn what_was_kept_before_its_erasure_came_counts_for_nothing_if_that_says_otherwise() {
    let home = home(5);
    for lie in lies() {
        let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
        ask(&mut mirror, &mut memory, &home, lie, at(NOW));
        assert_eq!((memory.size(), memory.sealed), (11, 0), "{lie:?}");
        let mut mirror = memory.mirror(&home.origin, SETTINGS, at(LATER));
        ask(&mut mirror, &mut memory, &home, truth(), at(LATER));
        let trouble = Trouble::Unerased { statement: lie.statement, size: 11 };
        assert_eq!((mirror.status().trouble, memory.sealed), (Some(trouble), 0), "{lie:?}");
        // Whoever says the same as the erasure heals it: everything is looked at again, and then the checkpoint counts.
        for later in [EVEN_LATER, EVEN_LATER + 60_000] {
            ask_again(&mut mirror, &mut memory, &home, truth(), at(later));
        }
        assert_eq!((mirror.status().trouble, memory.sealed), (None, 11), "{lie:?}");
        assert_eq!(memory.left, [(ERASED, truth())].into(), "{lie:?}");
    }
}

/// Entries from which on a peer shows all that it has, whatever it hid of those before.
const WHOLE: u64 = 5;

/// Asks a peer that hides the erased entry in what comes before [`WHOLE`], as if it might not be read, and calls it
/// erased when it is asked for it again, because then it may; until there is nothing to do but wait. Returns how often
/// the peer was asked for entries again.
fn ask_again(mirror: &mut Mirror, memory: &mut Memory, home: &Home, told: Remnant, now: Timestamp) -> usize {
    ask_again_of(mirror, memory, home, |_| told, now)
}

/// As [`ask_again`], if the peer says each time something of its own that is left: at the first time, the second, and
/// so on.
fn ask_again_of(
    mirror: &mut Mirror,
    memory: &mut Memory,
    home: &Home,
    told: impl Fn(usize) -> Remnant,
    now: Timestamp,
) -> usize {
    let (mut part, mut asked) = (home.clone(), 0);
    part.partial = true;
    let part = part.keeping_back([ERASED as usize]);
    for _ in 0..100 {
        match mirror.poll_action(now) {
            Action::FetchPage { from, limit, until } => {
                let shown = if from < WHOLE { &part } else { home };
                mirror.handle_page(shown.page(from, limit, until).expect("within the log"), now);
            }
            Action::FetchAgain(again) => {
                asked += 1;
                let mut shown = home.again(&again).expect("within the log");
                for (_, entry) in again.hidden.iter().zip(&mut shown.entries).filter(|(index, _)| **index == ERASED) {
                    *entry = wire::Entry::Erased { leaf: entry.leaf_data(), remnant: told(asked) };
                }
                mirror.handle_shown(shown, now);
            }
            Action::Wait { .. } | Action::Listen { .. } => return asked,
            action => assert_eq!(perform(action, mirror, home, memory, now), None),
        }
    }
    panic!("the mirror does not come to rest: {:?}", mirror.status());
}

/// Whoever brings a log could else hide a block at first, say then that all may be read, and call the block erased.
#[test]
fn what_was_hidden_is_not_believed_to_be_erased_unless_the_log_says_so() {
    let home = home(5);
    for lie in lies() {
        let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
        ask_again(&mut mirror, &mut memory, &home, lie, at(NOW));
        let why = mirror.status().trouble.map(|trouble| trouble.to_string()).unwrap_or_default();
        assert!(why.contains("entry 4 was erased"), "{lie:?}: {why}");
        assert_eq!((memory.size(), memory.sealed, memory.rights.is_some()), (10, 0, true), "{lie:?}");
        // Nor by whoever begins anew with that.
        let mut mirror = memory.mirror(&home.origin, SETTINGS, at(LATER));
        ask_again(&mut mirror, &mut memory, &home, lie, at(LATER));
        assert_eq!((memory.size(), memory.sealed), (10, 0), "{lie:?}");
        let mut mirror = memory.mirror(&home.origin, SETTINGS, at(LATER));
        ask_again(&mut mirror, &mut memory, &home, truth(), at(LATER));
        assert_eq!((mirror.status().trouble, memory.sealed, memory.rights), (None, 11, None), "{lie:?}");
    }
}

#[test]
fn what_was_hidden_is_believed_to_be_erased_where_the_erasure_is_held_or_comes_along() {
    for page_limit in [5, 100] {
        let mut home = home(page_limit);
        let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
        ask_again(&mut mirror, &mut memory, &home, truth(), at(NOW));
        assert_eq!((mirror.status().trouble, memory.sealed), (None, 11), "{page_limit} entries at once");
        assert_eq!(memory.rights.is_some(), page_limit == 100, "all of it came in the first page, or did not");
        home.append_many(1, "true", at(LATER));
        home.sign(at(LATER));
        ask_again(&mut mirror, &mut memory, &home, truth(), at(LATER));
        assert_eq!((mirror.status().trouble, memory.sealed, memory.rights), (None, 12, None), "{page_limit}");
    }
}

/// A home could else log anything as an erasure, and a copy would be complete without what it hides.
#[test]
fn an_erasure_that_the_owners_have_not_signed_bears_nothing_out() {
    let unsigned = |entries, page_limit| home_by(entries, page_limit, |erasure| owners::erase_by(1, erasure));
    for page_limit in [5, 100] {
        let home = unsigned(10, page_limit);
        let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
        ask(&mut mirror, &mut memory, &home, truth(), at(NOW));
        let trouble = Trouble::Unerased { statement: truth().statement, size: 11 };
        assert_eq!((mirror.status().trouble, memory.sealed), (Some(trouble), 0), "{page_limit} entries at once");
    }
    let home = unsigned(7, 5);
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    ask_again(&mut mirror, &mut memory, &home, truth(), at(NOW));
    let why = mirror.status().trouble.map(|trouble| trouble.to_string()).unwrap_or_default();
    assert!(why.contains("entry 4 was erased"), "{why}");
    assert_eq!((memory.size(), memory.sealed), (5, 0));
}

/// What is left would else be about another thing here than in the log, for good: whoever copies from here could not go
/// on, and what was said before the erasure would be judged as if nothing were missing.
#[test]
fn what_the_log_bears_out_takes_the_place_of_what_the_peer_said_before() {
    let home = home_of(7, 5);
    for lie in lies() {
        let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
        let told = |time: usize| if time == 1 { lie } else { truth() };
        ask_again_of(&mut mirror, &mut memory, &home, told, at(NOW));
        assert_eq!((mirror.status().trouble, memory.sealed, memory.rights), (None, 8, None), "{lie:?}");
        assert_eq!(memory.left, [(ERASED, truth())].into(), "{lie:?}");
    }
}

/// Otherwise a copy that is far behind would look at everything again before each page on the way to the erasure.
#[test]
fn if_the_erasure_is_far_ahead_everything_is_looked_at_twice_at_most() {
    let home = home_of(60, 5);
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    let asked = ask_again(&mut mirror, &mut memory, &home, truth(), at(NOW));
    assert_eq!((mirror.status().trouble, memory.sealed, memory.rights), (None, 61, None));
    assert_eq!(asked, 4, "about everything, and about what is called erased: at first and at the end");
}

/// What was said before the erasure is judged by it, and until the erasure comes only the peer can tell.
#[test]
fn what_is_left_is_noted_before_the_log_says_so() {
    let mut home = home(5).fork_at(10);
    home.sign(at(NOW));
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    ask_again(&mut mirror, &mut memory, &home, truth(), at(NOW));
    assert_eq!(memory.erased, [(ERASED, truth())].into());
    assert_eq!((memory.size(), memory.sealed, memory.rights.is_some()), (5, 0, true), "nothing takes effect by that");
}

/// A peer that names it as what something rests on could otherwise have it asked for without end.
#[test]
fn what_is_called_erased_is_asked_for_once() {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    (home.partial, home.hidden) = (true, [ERASED as usize].into());
    home.append_many(9, "true", at(NOW));
    home.sign(at(NOW));
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    drive(&mut mirror, &home, &mut memory, at(NOW));
    home.turn(ERASED as usize, Turn::Peer, at(LATER));
    home.append_many(1, "true", at(LATER));
    home.sign(at(LATER));
    let (now, mut asked) = (at(LATER), 0);
    while memory.sealed < 11 {
        match mirror.poll_action(now) {
            Action::FetchAgain(again) => {
                assert!(asked < 9, "{again:?}");
                assert_eq!(again.until, Some(11), "what is erased later than that is not told yet");
                asked += again.hidden.len();
                let mut shown = home.again(&again).expect("within the log");
                for entry in &mut shown.entries {
                    *entry = wire::Entry::Erased { leaf: entry.leaf_data(), remnant: truth() };
                }
                mirror.handle_shown(wire::Shown { earlier: vec![ERASED], ..shown }, now);
            }
            action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, now), None),
        }
    }
    assert_eq!(asked, 1);
}

/// It would be deleted, and nobody would ask for it again.
#[test]
fn a_mirror_that_may_read_everything_loses_nothing_that_it_holds() {
    let home = home(5);
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    let mut part = home.clone();
    part.partial = true;
    let now = at(NOW);
    loop {
        match mirror.poll_action(now) {
            Action::FetchPage { from, limit, until } => {
                let shown = if from < WHOLE { &part } else { &home };
                mirror.handle_page(shown.page(from, limit, until).expect("within the log"), now);
            }
            Action::FetchAgain(again) => {
                let shown = home.again(&again).expect("within the log");
                mirror.handle_shown(wire::Shown { lost: vec![ERASED], ..shown }, now);
            }
            Action::Fill(fill) => panic!("{fill:?}"),
            Action::Wait { .. } => break,
            action => assert_eq!(perform(action, &mut mirror, &home, &mut memory, now), None),
        }
    }
    assert_eq!((mirror.status().trouble, memory.size()), (Some(Trouble::Withheld { from: ERASED, size: 5 }), 5));
}

/// Otherwise a thing would be shown with what was filled in, and without the block that was called erased.
#[test]
fn nothing_counts_that_is_shown_beside_what_is_falsely_called_erased() {
    for knows_home in [false, true] {
        let mut home = Home::new("devices.acme.example", 1, at(NOW));
        home.page_limit = 5;
        home.append_many(4, "true", at(NOW));
        home.sign(at(NOW));
        let mut part = home.clone();
        part.partial = true;
        let part = part.keeping_back([ERASED as usize - 1, ERASED as usize]);
        let from_home = knows_home.then(|| home.as_source()).into_iter().collect();
        let (mut mirror, mut memory) =
            (Mirror::pinned(home.origin.clone(), SETTINGS).among(from_home), Memory::default());
        drive(&mut mirror, &part, &mut memory, at(NOW));
        assert!(memory.sealed == 5 && memory.shown().eq(0..3), "{:?}", memory.kept);
        assert_eq!(memory.doubt.is_none(), knows_home);

        home.append_many(5, "true", at(LATER));
        home.sign(at(LATER));
        let early = home.clone();
        home.append_many(2, "true", at(LATER));
        home.sign(at(LATER));
        // Nothing in the log says that the entry was erased: neither with the rest of the log to come, nor without.
        for shown in [&home, &early] {
            let mut mirror = memory.mirror(&home.origin, SETTINGS, at(LATER));
            ask_again(&mut mirror, &mut memory, shown, truth(), at(LATER));
            let why = mirror.status().trouble.map(|trouble| trouble.to_string()).unwrap_or_default();
            assert!(why.contains("entry 4 was erased"), "{why}");
            assert_eq!((memory.size(), memory.sealed), (10, 5));
            assert!(memory.shown().eq(0..3), "{:?}", memory.kept);
            let from = if knows_home { 5 } else { 0 };
            assert_eq!(memory.doubt, Some(Doubt { from, by: ["a bundle brought by hand".to_owned()].into() }));
        }
        let mut mirror = memory.mirror(&home.origin, SETTINGS, at(EVEN_LATER));
        drive(&mut mirror, &home, &mut memory, at(EVEN_LATER));
        assert_eq!((mirror.status().trouble, &memory.rights, &memory.doubt), (None, &None, &None));
        assert!(memory.sealed == 12 && memory.shown().eq(0..12), "{:?}", memory.kept);
    }
}
