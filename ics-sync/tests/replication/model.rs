//! A model of a home, its backups and a mirror, small enough that every order of events is tried.
//!
//! Each measure of the code against the known faults of change feeds is one field of [`Cures`]: with all of them every
//! promise holds in every state; without any one of them the checker finds that the promise which it keeps is broken.

use std::collections::BTreeMap;

use stateright::{Checker as _, Model, Property};

/// Number of statements submitted, at most.
const STATEMENTS: u8 = 3;

/// The measures of the code against each fault.
#[derive(Debug, Clone, Copy)]
struct Cures {
    /// An entry gets its index in the transaction that makes it durable.
    index_at_commit: bool,
    /// A mirror's cursor is a checkpoint, size and root, not a number.
    root_in_cursor: bool,
    /// A mirror whose policy widened asks again for what it has as bare leaves.
    policy_in_cursor: bool,
    /// The highest head ever signed is also kept outside the database.
    head_file: bool,
}

const ALL: Cures = Cures { index_at_commit: true, root_in_cursor: true, policy_in_cursor: true, head_file: true };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Entry {
    /// Identified by the number of its submission, so that different logs have different entries; `secret` if the
    /// mirror may read it only under the wider policy.
    Statement { number: u8, secret: bool },
    /// The descriptor that lets the mirror read everything.
    Widening,
}

/// Entries by index; without gaps, except if indices are given before the commit.
type Log = BTreeMap<u8, Entry>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Standing {
    Serving,
    /// Behind the head in its own file: neither signs nor serves.
    Silent,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Home {
    log: Log,
    /// Entries that have an index but are not durable yet.
    pending: Log,
    standing: Standing,
    /// The size in the head's file.
    head_file: u8,
    backup: Option<(Log, u8)>,
    /// What was signed in this epoch: the log for each size.
    signed: BTreeMap<u8, Log>,
    /// Whether two logs of one size were signed.
    forked: bool,
    /// Whether the head's file was rolled back with the database: then only others can know.
    image_restored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Mirror {
    /// Entries as they arrived, including bare leaves.
    seen: Log,
    /// Indices of those that are here as bare leaves.
    bare: Vec<u8>,
    cursor: u8,
    /// It found that home and cursor contradict each other; it keeps the evidence and does not continue.
    stopped: bool,
    /// Whether nothing has happened at the home since the last contact, so that the mirror takes its copy to be
    /// complete.
    current: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    home: Home,
    mirror: Mirror,
    submitted: u8,
    restored: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Submit {
        secret: bool,
    },
    /// The pending entry of this index becomes durable.
    Commit(u8),
    Widen,
    Backup,
    /// The database is replaced by the backup, and so is the head's file if the whole machine is.
    Restore {
        image: bool,
    },
    /// The lost tail comes back from the mirror.
    Recover,
    /// No mirror has the lost tail: the owners sign a new beginning.
    NewEpoch,
    /// The mirror asks the home.
    Contact,
}

fn size(log: &Log) -> u8 {
    log.keys().next_back().map_or(0, |last| last + 1)
}

fn is_wide(log: &Log) -> bool {
    log.values().any(|entry| *entry == Entry::Widening)
}

fn before(log: &Log, size: u8) -> Log {
    log.range(..size).map(|(index, entry)| (*index, *entry)).collect()
}

impl Home {
    fn serves(&self) -> bool {
        self.standing == Standing::Serving
    }

    /// Signs the checkpoint of the log as it stands.
    fn sign(&mut self) {
        let size = size(&self.log);
        let first = self.signed.entry(size).or_insert_with(|| self.log.clone());
        self.forked |= *first != self.log;
        self.head_file = self.head_file.max(size);
    }

    fn append(&mut self, entry: Entry, at_commit: bool) {
        let index = size(&self.log).max(size(&self.pending));
        if at_commit {
            self.log.insert(index, entry);
            self.sign();
        } else {
            self.pending.insert(index, entry);
        }
    }

    fn restore(&mut self, image: bool, checks_file: bool) {
        let Some((log, head_file)) = self.backup.clone() else { return };
        self.log = log;
        self.pending.clear();
        if image {
            (self.head_file, self.image_restored) = (head_file, true);
        }
        if checks_file && self.head_file > size(&self.log) {
            self.standing = Standing::Silent;
        }
    }
}

impl Mirror {
    fn contact(&mut self, home: &Home, cures: Cures) {
        if cures.root_in_cursor && before(&home.log, self.cursor) != self.seen {
            self.stopped = true;
            return;
        }
        let wide = is_wide(&home.log);
        let readable = |entry: &Entry| wide || !matches!(entry, Entry::Statement { secret: true, .. });
        for (index, entry) in home.log.range(self.cursor..) {
            self.seen.insert(*index, *entry);
            if !readable(entry) {
                self.bare.push(*index);
            }
        }
        if cures.policy_in_cursor && wide {
            self.bare.clear();
        }
        self.cursor = self.cursor.max(size(&home.log));
        self.current = true;
    }

    fn whole(&self) -> impl Iterator<Item = &Entry> {
        self.seen.iter().filter(|(index, _)| !self.bare.contains(index)).map(|(_, entry)| entry)
    }
}

impl Model for Cures {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let home = Home {
            log: Log::new(),
            pending: Log::new(),
            standing: Standing::Serving,
            head_file: 0,
            backup: None,
            signed: BTreeMap::new(),
            forked: false,
            image_restored: false,
        };
        let mirror = Mirror { seen: Log::new(), bare: Vec::new(), cursor: 0, stopped: false, current: false };
        vec![State { home, mirror, submitted: 0, restored: false }]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        let home = &state.home;
        if home.serves() {
            if state.submitted < STATEMENTS {
                events.extend([false, true].map(|secret| Event::Submit { secret }));
            }
            if !is_wide(&home.log) && !is_wide(&home.pending) {
                events.push(Event::Widen);
            }
            events.extend(home.pending.keys().map(|index| Event::Commit(*index)));
            if home.backup.is_none() {
                events.push(Event::Backup);
            }
            if !state.mirror.stopped {
                events.push(Event::Contact);
            }
        } else {
            events.extend([Event::Recover, Event::NewEpoch]);
        }
        if home.backup.is_some() && !state.restored {
            events.extend([false, true].map(|image| Event::Restore { image }));
        }
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        let mut next = state.clone();
        let State { home, mirror, submitted, restored } = &mut next;
        if event != Event::Backup {
            mirror.current = false;
        }
        match event {
            Event::Submit { secret } => {
                home.append(Entry::Statement { number: *submitted, secret }, self.index_at_commit);
                *submitted += 1;
            }
            Event::Commit(index) => {
                let entry = home.pending.remove(&index)?;
                home.log.insert(index, entry);
                home.sign();
            }
            Event::Widen => home.append(Entry::Widening, self.index_at_commit),
            Event::Backup => home.backup = Some((home.log.clone(), home.head_file)),
            Event::Restore { image } => {
                *restored = true;
                home.restore(image, self.head_file);
            }
            Event::Recover => {
                let is_whole = mirror.bare.is_empty() && mirror.cursor >= home.head_file;
                let continues = before(&mirror.seen, size(&home.log)) == home.log;
                if !is_whole || !continues {
                    return None;
                }
                home.log.clone_from(&mirror.seen);
                home.standing = Standing::Serving;
            }
            Event::NewEpoch => {
                home.signed.clear();
                home.standing = Standing::Serving;
            }
            Event::Contact => mirror.contact(home, *self),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(COMPLETE, |_: &Self, State { home, mirror, .. }| {
                let wide = is_wide(&home.log);
                let readable = |entry: &&Entry| wide || !matches!(entry, Entry::Statement { secret: true, .. });
                !mirror.current || home.log.values().filter(readable).all(|entry| mirror.whole().any(|e| e == entry))
            }),
            Property::always(NOTICED, |_: &Self, State { home, mirror, .. }| {
                !mirror.current || mirror.seen.iter().all(|(index, entry)| home.log.get(index) == Some(entry))
            }),
            Property::always(ONE_ROOT, |_: &Self, state: &State| !state.home.forked || state.home.image_restored),
            Property::always(HONEST, |_: &Self, state: &State| !state.mirror.stopped || state.restored),
            Property::always("nothing outside of the policy is shown", |_: &Self, State { home, mirror, .. }| {
                let is_secret = |entry: &Entry| matches!(entry, Entry::Statement { secret: true, .. });
                is_wide(&home.log) || is_wide(&mirror.seen) || !mirror.whole().any(is_secret)
            }),
            Property::sometimes("a mirror brings back what its home lost", |_: &Self, state: &State| {
                let lost = state.home.backup.as_ref().map_or(0, |(log, _)| size(log));
                state.restored
                    && state.home.serves()
                    && !state.home.image_restored
                    && lost < state.home.head_file
                    && size(&state.home.log) >= state.home.head_file
                    && state.submitted < STATEMENTS
            }),
            Property::sometimes("a fork is noticed", |_: &Self, state: &State| state.mirror.stopped),
        ]
    }
}

const COMPLETE: &str = "current means complete";
const NOTICED: &str = "no fork and no loss goes unnoticed by a mirror that saw more";
const HONEST: &str = "a home that lost nothing is not taken for one that forked";
const ONE_ROOT: &str = "one root is signed for one size";

#[test]
fn with_all_cures_every_promise_holds_in_every_state() {
    let checker = ALL.checker().spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 10_000, "{} states are not all there are", checker.unique_state_count());
}

#[test]
fn without_any_one_cure_a_promise_is_broken() {
    for (promise, without) in [
        (HONEST, Cures { index_at_commit: false, ..ALL }),
        (COMPLETE, Cures { index_at_commit: false, root_in_cursor: false, ..ALL }),
        (COMPLETE, Cures { root_in_cursor: false, ..ALL }),
        (NOTICED, Cures { root_in_cursor: false, ..ALL }),
        (COMPLETE, Cures { policy_in_cursor: false, ..ALL }),
        (ONE_ROOT, Cures { head_file: false, ..ALL }),
    ] {
        let checker = without.checker().spawn_bfs().join();
        assert!(checker.discovery(promise).is_some(), "{promise}: {without:?} breaks nothing");
    }
}
