//! Forks that are shorter than what is held.

use ics_sync::mirror::{Action, Stop, Trouble};

use crate::home::at;
use crate::rules::{LATER, NOW, SETTINGS, drive, home, mirrored};

/// A fork shorter than what is held is a fork as well: the mirror holds the entries that contradict it.
#[test]
fn a_fork_that_is_shorter_than_what_is_held_is_one_as_well() {
    let home = home(10);
    for (parts_at, size) in [(5, 6), (5, 9), (8, 9), (9, 9)] {
        let (mut mirror, mut memory) = mirrored(&home);
        let mut other = home.fork_at(parts_at);
        other.append_many(size - parts_at, "other", at(NOW));
        other.sign(at(NOW + 10_000));
        let end = drive(&mut mirror, &other, &mut memory, at(NOW + 10_000));
        let fork = Stop::Fork { size: size as u64, ours: Some(home.note.clone()), theirs: other.note.clone() };
        let stale = Trouble::Stale { ours: 10, theirs: 9 };
        let status = mirror.status();
        if parts_at < size {
            assert_eq!(end, Action::Stopped(fork), "{parts_at}");
        } else {
            assert_eq!((status.trouble, status.stopped), (Some(stale), None), "an early head of it only lags");
        }
        assert_eq!(memory.leaves, home.leaves, "nothing of it is taken");
    }
}

/// A copy that is still catching up holds more than its last checkpoint covers: what proves to others that the home has
/// signed two logs is the checkpoint to which its pages are proven to lead.
#[test]
fn the_proof_of_a_fork_is_a_head_that_reaches_as_far() {
    let mut home = home(10);
    let (mut mirror, mut memory) = mirrored(&home);
    let early = home.note.clone();
    home.append_many(10, "more", at(NOW));
    home.sign(at(NOW));
    home.page_limit = 5;
    mirror.handle_checkpoint(&home.note, at(NOW));
    mirror.handle_page(home.page(10, 5, 20).expect("page"), at(NOW));
    let Action::Apply(page) = mirror.poll_action(at(NOW)) else { panic!("{:?}", mirror.status()) };
    memory.store(&page).expect("stored");
    mirror.handle_applied(at(NOW));
    assert_eq!((memory.size(), memory.note.as_ref()), (15, Some(&early)));
    for (parts_at, size) in [(11, 12), (11, 15)] {
        let mut other = home.fork_at(parts_at);
        other.append_many(size - parts_at, "other", at(NOW));
        other.sign(at(NOW));
        let fork = |ours| Stop::Fork { size: size as u64, ours, theirs: other.note.clone() };
        // A mirror that begins anew knows only the checkpoint that was reached, which says nothing of what came since.
        let resumed = memory.mirror(&home.origin, SETTINGS, at(NOW));
        for (mut mirror, ours) in [(mirror.clone(), Some(home.note.clone())), (resumed, None)] {
            mirror.handle_checkpoint(&other.note, at(NOW));
            if size < 15 {
                assert_eq!(mirror.poll_action(at(NOW)), Action::RootAt { size: size as u64 });
                mirror.handle_root(&memory.root_of(size as u64), at(NOW));
            }
            assert_eq!(mirror.status().stopped, Some(fork(ours)), "{size}");
        }
    }
    // In a longer one the page shows that: both logs begin with what was reached.
    let mut other = home.fork_at(12);
    other.append_many(13, "other", at(NOW));
    other.sign(at(NOW));
    let resumed = memory.mirror(&home.origin, SETTINGS, at(NOW));
    for (mut mirror, ours) in [(mirror, &home.note), (resumed, &early)] {
        mirror.handle_failure("it is gone", at(NOW));
        mirror.handle_checkpoint(&other.note, at(LATER));
        mirror.handle_page(other.page(15, 5, 25).expect("page"), at(LATER));
        let (ours, theirs) = (Some(ours.clone()), other.note.clone());
        assert_eq!(mirror.status().stopped, Some(Stop::Unproven { from: 15, size: 25, ours, theirs }));
    }
}
