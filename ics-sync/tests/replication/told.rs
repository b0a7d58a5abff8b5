//! How a mirror listens, and peers that repeat themselves.

use ics_core::descriptor::Witnesses;
use ics_sync::mirror::{Action, Mirror, Settings, Trouble, Way};
use ics_sync::news::News;

use crate::home::{Home, at, node_key};
use crate::memory::Memory;
use crate::rules::{NOW, drive};

const SETTINGS: Settings = Settings { interval_millis: 1_000, listens: true, seed: 1 };

/// A home of ten entries, changed by `change`, and a mirror that listens to it.
fn listening(change: impl FnOnce(&mut Home)) -> (Home, Mirror, Memory) {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    home.append_many(9, "true", at(NOW));
    change(&mut home);
    home.sign(at(NOW));
    let (mut mirror, mut memory) = (Mirror::pinned(home.origin.clone(), SETTINGS), Memory::default());
    let end = drive(&mut mirror, &home, &mut memory, at(NOW));
    assert!(matches!(end, Action::Listen { .. }), "{end:?}");
    (home, mirror, memory)
}

fn again(home: &Home) -> News {
    News::Checkpoint(home.note.clone())
}

#[test]
fn a_peer_that_floods_with_what_is_known_fails_and_heartbeats_do_not() {
    let (mut home, mut mirror, mut memory) = listening(|_| {});
    for beat in 0..1_000 {
        mirror.handle_news(again(&home), at(NOW + 10_000 * beat));
        assert_eq!(mirror.status().trouble, None, "{beat}");
    }
    let later = at(NOW + 20_000_000);
    let told = (1..).take_while(|_| {
        mirror.handle_news(again(&home), later);
        mirror.status().trouble.is_none()
    });
    assert_eq!(told.take(1_000).count(), 32);
    let words = "the peer keeps sending what is already known here".to_owned();
    assert_eq!((mirror.status().trouble, mirror.status().failures), (Some(Trouble::Failure(words)), 1));
    assert!(matches!(mirror.poll_action(later), Action::Wait { .. }), "and is not listened to");
    // What is new counts, whatever was sent before.
    home.append_many(5, "true", later);
    home.sign(later);
    drive(&mut mirror, &home, &mut memory, at(NOW + 20_060_000));
    assert_eq!((memory.size(), mirror.status().trouble), (15, None));
}

/// What a home logs at once and is too much for a piece of news is fetched; then its stream is opened again.
#[test]
fn what_is_known_by_the_time_it_is_told_is_no_flood_where_entries_arrive() {
    let (mut home, mut mirror, mut memory) = listening(|_| {});
    let now = at(NOW + 60_000);
    for round in 0..100 {
        home.append_many(3, "true", now);
        home.sign(now);
        for _ in 0..2 {
            mirror.handle_news(again(&home), now);
            drive(&mut mirror, &home, &mut memory, now);
        }
        assert_eq!((mirror.status().trouble, memory.size()), (None, 13 + 3 * round), "{round}");
    }
}

/// Of a home whose clock was ahead for a while there are two heads of which each is newer than the other in one way. A
/// copy would write down one after the other without end.
#[test]
fn a_peer_that_floods_with_other_times_fails_as_well() {
    let (mut home, mut mirror, mut memory) = listening(|_| {});
    let later = at(NOW + 60_000);
    let notes = [later, at(NOW + 86_400_000)].map(|time| {
        home.sign(time);
        home.note.clone()
    });
    let mut told = 0;
    while mirror.status().trouble.is_none() && told < 1_000 {
        mirror.handle_news(News::Checkpoint(notes[told % 2].clone()), later);
        drive(&mut mirror, &home, &mut memory, later);
        told += 1;
    }
    assert_eq!((told, mirror.status().failures), (33, 1));
}

/// Its signatures are not checked again: it would otherwise need witnesses that came into force after it.
#[test]
fn what_was_reached_is_known_when_it_is_told_again() {
    let witnesses = Witnesses { quorum: 1, keys: vec![node_key("w1.example", 51)] };
    let (home, mut mirror, _) = listening(|home| home.amend(at(NOW), |next| next.witnesses = Some(witnesses)));
    mirror.handle_news(again(&home), at(NOW + 10_000));
    let next = mirror.poll_action(at(NOW + 10_000));
    assert!(matches!(next, Action::Listen { .. }), "{next:?}");
    assert_eq!((mirror.status().size, mirror.status().trouble), (11, None));
}

/// Behind some proxies nothing is pushed, and over LDAP no request waits; the next peer is asked in another way.
#[test]
fn a_way_that_does_not_lead_to_one_peer_is_tried_with_the_next() {
    let (_, mut mirror, _) = listening(|_| {});
    let way = |mirror: &Mirror| match mirror.poll_action(at(NOW)) {
        Action::Listen { way, .. } => Some(way),
        _ => None,
    };
    mirror.handle_silence("there is no stream", at(NOW));
    assert_eq!(way(&mirror), Some(Way::LongPoll));
    mirror.hears(1);
    assert_eq!(way(&mirror), Some(Way::Stream));
}
