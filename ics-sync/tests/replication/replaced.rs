//! What is known of keys that the owners replace, and of what else they have signed.

use ics_sync::mirror::{Action, Stop};

use crate::home::{at, signing_key};
use crate::rules::{LATER, NOW, drive, home, mirrored};

/// Whoever has stolen the former key needs no entries: a copy that had not heard of the new one waited for those behind
/// the thief's head, and compared what the home signed with it. So did one that had seen a head of what the home lost
/// before it began a new epoch.
#[test]
fn a_head_under_the_former_key_keeps_nobody_from_what_the_home_has_signed() {
    for more in [5, 90] {
        let mut home = home(10);
        let (mut mirror, mut memory) = mirrored(&home);
        let mut thief = home.clone();
        thief.append_many(more, "false", at(NOW));
        thief.sign(at(NOW));
        home.replace_key(2, at(NOW));
        home.append_many(4, "true", at(NOW));
        home.sign(at(NOW));
        mirror.hears(0);
        mirror.handle_checkpoint(&thief.note, at(NOW));
        assert_eq!(mirror.status().known, 10 + more as u64);
        mirror.handle_failure("it shows no entries", at(NOW));
        mirror.hears(1);
        let end = drive(&mut mirror, &home, &mut memory, at(LATER));
        assert!(matches!(end, Action::Wait { .. }), "{end:?}");
        let status = mirror.status();
        assert_eq!((status.trouble, memory.size(), status.known), (None, 15, 15), "{more}");
    }
}

/// Owners may have signed a version and put another one in force, or none. Whoever has it needs nobody's key to show it,
/// and each head that the home signs with its key would then be one of a key that was replaced.
#[test]
fn a_version_that_one_peer_shows_is_not_held_against_the_next() {
    let mut home = home(10);
    let (mut mirror, mut memory) = mirrored(&home);
    let mut drawn_up = home.clone();
    drawn_up.replace_key(2, at(NOW));
    drawn_up.key = signing_key(66);
    drawn_up.sign(at(NOW));
    mirror.hears(0);
    mirror.handle_checkpoint(&drawn_up.note, at(NOW));
    mirror.handle_descriptors(&drawn_up.descriptors(2), at(NOW));
    assert_eq!(mirror.poll_action(at(NOW)), Action::FetchDescriptors { from: 3 });
    mirror.handle_failure("it shows no more", at(NOW));
    home.append_many(5, "true", at(NOW));
    home.sign(at(NOW));
    mirror.hears(1);
    let end = drive(&mut mirror, &home, &mut memory, at(LATER));
    assert!(matches!(end, Action::Wait { .. }), "{end:?}");
    assert_eq!((mirror.status().trouble, memory.size()), (None, 15));
}

/// What the home has signed with the new key shows that it is in force: a thief of the former one only needs the peer
/// that is asked next.
#[test]
fn a_key_that_is_known_to_be_replaced_counts_with_no_other_peer() {
    let mut home = home(10);
    let (mut mirror, mut memory) = mirrored(&home);
    let mut thief = home.clone();
    thief.append_many(2, "false", at(NOW));
    thief.sign(at(NOW));
    home.replace_key(2, at(NOW));
    home.append_many(4, "true", at(NOW));
    home.sign(at(NOW));
    mirror.hears(0);
    mirror.handle_checkpoint(&home.note, at(NOW));
    mirror.handle_descriptors(&home.descriptors(2), at(NOW));
    assert_eq!(mirror.status().known, 15);
    mirror.handle_failure("it shows no entries", at(NOW));
    mirror.hears(1);
    let end = drive(&mut mirror, &thief, &mut memory, at(LATER));
    assert_eq!((end, memory.size()), (Action::Stopped(Stop::FormerKey { size: 12, version: 1 }), 10));
}

/// The owners may have signed them for another of their domains, or never have put them in force.
#[test]
fn a_peer_that_shows_rules_that_are_not_known_beside_the_log_is_left_out() {
    let mut home = home(10);
    let (mut mirror, _) = mirrored(&home);
    home.amend(at(NOW), |next| next.rules = 2);
    home.key = signing_key(66);
    home.sign(at(NOW));
    mirror.handle_checkpoint(&home.note, at(NOW));
    mirror.handle_descriptors(&home.descriptors(2), at(NOW));
    let stop = mirror.status().stopped.expect("it is refused");
    assert!(matches!(stop, Stop::Rules { version: 2, .. }) && stop.is_of_peer(), "{stop:?}");
}
