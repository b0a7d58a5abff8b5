//! Peers and homes that lie, and how each is detected.

use ics_core::log::checkpoint::Checkpoint;
use ics_core::log::note::Note;
use ics_core::statement::{Remnant, StatementId};
use ics_sync::mirror::{Stop, Trouble};
use ics_sync::wire::{self, Base64};

use crate::home::{Home, IDENTITIES, at, signing_key};
use crate::network::{Answer, Dice};
use crate::speech;
use crate::world::{World, json_page};

#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// Another log, signed by the home, that has less in common with the true one than is known.
    Fork,
    /// An early part of the log, as from a home restored from a backup.
    Rollback,
    /// The log of a domain with the same name and another beginning.
    Foreign,
    /// An entry with another body.
    Leaf,
    /// Pages without entries.
    Withheld,
    /// Pages that show only leaves, without saying that anything is hidden.
    Bare,
    /// An entry that is said to be erased but is not.
    Erased,
    /// Statements, this many in seven, as bare leaves, as if the reader might not read them. Only the home may say so.
    LeavesOut(u8),
    /// Another entry than the hidden one, and news of different rights each time.
    Shown,
    /// The same checkpoint again and again.
    Frozen(Option<Vec<u8>>),
    /// The same page again and again.
    Replay(Option<Vec<u8>>),
    /// The entries of an early page, presented as those asked for.
    Relabelled(Option<wire::Page>),
    /// A proof with one bit wrong.
    Proof,
    /// A checkpoint of a size that was not signed.
    Tampered,
    /// A checkpoint signed by somebody else in the home's name.
    Stranger,
    /// Something else entirely, with status 200.
    Garbage,
}

impl Lie {
    pub(crate) const ALL: [Self; 16] = [
        Self::Fork,
        Self::Rollback,
        Self::Foreign,
        Self::Leaf,
        Self::Withheld,
        Self::Bare,
        Self::Erased,
        Self::LeavesOut(3),
        Self::Shown,
        Self::Frozen(None),
        Self::Replay(None),
        Self::Relabelled(None),
        Self::Proof,
        Self::Tampered,
        Self::Stranger,
        Self::Garbage,
    ];

    /// The log that the peer serves instead of the home's.
    pub(crate) fn shadow(&self, home: &Home, dice: &mut Dice, now: u64) -> Option<Home> {
        let cut = 1 + dice.index(home.entries.len());
        match self {
            Self::Fork => {
                let mut fork = home.fork_at(cut);
                fork.append_many(1 + home.entries.len() - cut, "false", at(now));
                fork.sign(at(now));
                Some(fork)
            }
            Self::Rollback => {
                let mut early = home.fork_at(cut);
                early.sign(at(now));
                Some(early)
            }
            Self::Foreign => {
                let mut foreign = Home::new("devices.acme.example", 77, at(now));
                foreign.append_many(home.entries.len(), "foreign", at(now));
                foreign.sign(at(now));
                Some(foreign)
            }
            _ => None,
        }
    }

    pub(crate) fn twist(&mut self, answer: &mut Answer, dice: &mut Dice) {
        match (self, answer) {
            (Self::Garbage, answer) => *answer = Answer::Checkpoint(b"<html>Please log in</html>".to_vec()),
            (Self::Frozen(first), Answer::Checkpoint(note)) => *note = first.get_or_insert(note.clone()).clone(),
            (Self::Tampered, Answer::Checkpoint(note)) => resized(note),
            (Self::Stranger, Answer::Checkpoint(note)) => {
                let checkpoint = Checkpoint::parse(parsed(note).text()).expect("a checkpoint");
                *note = checkpoint.sign(&signing_key(99)).expect("a key in memory signs").into_bytes();
            }
            (Self::Replay(first), Answer::Page(json)) => *json = first.get_or_insert(json.clone()).clone(),
            (Self::Shown, Answer::Shown(json)) => {
                let mut shown = wire::Shown::decode(json).expect("the home's answer");
                shown.entries.iter_mut().for_each(spoil);
                *json = serde_json::to_vec(&shown).expect("JSON");
            }
            (lie, Answer::Page(json)) => {
                let mut page = wire::Page::decode(json).expect("a page of the home's");
                lie.twist_page(&mut page, dice);
                if let Answer::Page(twisted) = json_page(&page) {
                    *json = twisted;
                }
            }
            _ => {}
        }
    }

    fn twist_page(&mut self, page: &mut wire::Page, dice: &mut Dice) {
        match self {
            Self::Leaf => {
                let position = dice.index(page.entries.len());
                page.entries.get_mut(position).into_iter().for_each(spoil);
            }
            Self::Withheld => page.entries.clear(),
            Self::Bare => {
                page.entries.iter_mut().for_each(|entry| *entry = wire::Entry::Hidden(entry.leaf_data()));
                page.sight = None;
            }
            Self::Erased => {
                let position = dice.index(page.entries.len());
                if let Some(entry) = page.entries.get_mut(position) {
                    let statement = StatementId([dice.below(256) as u8; 32]);
                    let remnant = Remnant { statement, identity: speech::thing(dice.index(IDENTITIES)) };
                    *entry = wire::Entry::Erased { leaf: entry.leaf_data(), remnant };
                }
            }
            Self::Shown => {
                if let Some(sight) = &mut page.sight {
                    sight.rights = Base64(u128::from(dice.below(u64::MAX)).to_be_bytes());
                }
            }
            Self::Relabelled(first) => page.entries = first.get_or_insert(page.clone()).entries.clone(),
            Self::Proof => match page.proof.len() {
                0 => page.proof.push(Base64([7; 32])),
                hashes => page.proof[dice.index(hashes)].0[31] ^= 1,
            },
            _ => {}
        }
    }

    /// Whether what a mirror did shows that it was not deceived.
    fn is_found_out(&self, stop: Option<&Stop>, troubles: &[Trouble]) -> bool {
        let troubled = |is: fn(&Trouble) -> bool| stop.is_none() && troubles.iter().any(is);
        match self {
            Self::Fork => matches!(stop, Some(Stop::Fork { .. } | Stop::Unproven { .. })),
            Self::Foreign => matches!(stop, Some(Stop::Origin { .. })),
            Self::Leaf | Self::Relabelled(_) | Self::Proof => matches!(stop, Some(Stop::Unproven { .. })),
            Self::Tampered => matches!(stop, Some(Stop::Checkpoint(_))),
            Self::Stranger => matches!(stop, Some(Stop::Unsigned)),
            Self::Rollback => troubled(|trouble| matches!(trouble, Trouble::Stale { .. })),
            Self::Withheld | Self::Bare => troubled(|trouble| matches!(trouble, Trouble::Withheld { .. })),
            Self::Erased => troubled(|trouble| matches!(trouble, Trouble::Unerased { .. })),
            Self::Replay(_) => troubled(|trouble| matches!(trouble, Trouble::NotAsked(_))),
            Self::Garbage => troubled(|trouble| matches!(trouble, Trouble::Failure(_))),
            // Only its age distinguishes it from a silent home.
            Self::Frozen(_) => stop.is_none(),
            // A reader who may read everything makes no second look, and nothing can be left out for them.
            Self::Shown | Self::LeavesOut(_) => stop.is_none(),
        }
    }
}

fn spoil(entry: &mut wire::Entry) {
    match entry {
        wire::Entry::Whole(entry) => entry.body.push(b'!'),
        wire::Entry::Hidden(leaf) | wire::Entry::Erased { leaf, .. } => leaf[0] ^= 1,
    }
}

fn parsed(note: &[u8]) -> Note {
    Note::parse(&String::from_utf8_lossy(note)).expect("a note")
}

/// Changes the size in a checkpoint, leaving its signatures.
fn resized(note: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(note).into_owned();
    let mut lines: Vec<_> = text.split('\n').map(str::to_owned).collect();
    lines[1] = format!("{}0", lines[1]);
    *note = lines.join("\n").into_bytes();
}

/// A mirror that holds 60 entries and knows that there are 100 or more, in calm weather.
fn amid_catching_up(seed: u64) -> World {
    let mut world = World::new(seed);
    world.home.page_limit = 20;
    let now = world.time();
    world.home.append_many(60, "true", now);
    world.home.sign(now);
    assert!(world.run_until_equal(100), "{:?}", world.copies[0].mirror.status());
    let now = world.time();
    world.home.append_many(60, "true", now);
    world.home.sign(now);
    world
}

#[test]
fn every_lie_is_found_out_and_healed() {
    for lie in Lie::ALL {
        for seed in 0..5 {
            let mut world = amid_catching_up(seed);
            let (held, as_of) = (world.copies[0].memory.size(), world.copies[0].mirror.status().as_of);
            let mut shadow = lie.shadow(&world.home, &mut world.dice, world.now);
            if let Some(log) = shadow.as_mut().filter(|_| !matches!(lie, Lie::Foreign)) {
                // It diverges from the true log before what is held.
                *log = world.home.fork_at(30);
                let more = if matches!(lie, Lie::Fork) { 31 + 40 * (seed as usize % 2) } else { 0 };
                log.append_many(more, "false", at(world.now));
                log.sign(at(world.now));
            }
            world.deceive(0, lie.clone(), shadow);
            world.run(60);
            let status = world.copies[0].mirror.status();
            assert!(lie.is_found_out(status.stopped.as_ref(), &world.copies[0].troubles), "{lie:?}: {status:?}");
            if matches!(lie, Lie::Erased) {
                assert_eq!(status.as_of, as_of, "{lie:?}: what came of it is no news");
            } else if !matches!(
                lie,
                Lie::Frozen(_) | Lie::Replay(_) | Lie::Relabelled(_) | Lie::Shown | Lie::LeavesOut(_)
            ) {
                // The others begin with a true answer.
                assert_eq!(world.copies[0].memory.size(), held, "{lie:?}: nothing of it was applied");
                assert_eq!(status.as_of, as_of, "{lie:?}: and it is no news");
            }
            world.heal();
            assert!(world.run_until_equal(500), "{lie:?}: {:?}", world.copies[0].mirror.status());
        }
    }
}
