use std::collections::BTreeMap;

use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::time::Timestamp;
use proptest::prelude::*;

use super::*;

const SEED: u64 = 7;
const KEY: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "89abcdef0123456789abcdef0123456789abcdef";

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

fn watcher() -> Watcher {
    Watcher::new(10, Settings { interval_millis: 2_000, seed: SEED })
}

fn note(finding: Finding, size: u64) -> String {
    let head = RecordHead {
        origin: Origin { domain: "devices.acme.example".parse().expect("a name"), entry0: [1; 32] },
        asked: KEY.to_owned(),
        finding,
        at: at(0).whole_seconds(),
        size,
        root: Hash([2; 32]),
        indices: vec![0],
    };
    head.sign(&ed25519_dalek::SigningKey::from_bytes(&[3; 32])).expect("signs")
}

fn head(id: &str, size: u64) -> String {
    note(Finding::Identity(id.to_owned()), size)
}

fn heads(upto: u64, size: u64, heads: &[String]) -> Heads {
    Heads { upto, size, heads: heads.to_vec(), checkpoint: None, rights: None }
}

const fn listen(from: u64, way: Way) -> Action {
    Action::Listen { from, way }
}

fn status(status: u16) -> PeerError {
    PeerError::Status { status, detail: String::new(), problem: None }
}

/// The time at which it continues after a pause.
fn after(watcher: &Watcher, now: Timestamp) -> Timestamp {
    match watcher.poll(now) {
        Action::Wait { until } => until,
        action => panic!("it does not wait: {action:?}"),
    }
}

#[test]
fn what_is_pushed_is_fetched_and_then_noted() {
    let mut watcher = watcher();
    assert_eq!(watcher.poll(at(0)), listen(10, Way::Stream));
    watcher.handle_heads(&heads(14, 20, &[head(KEY, 20), head(OTHER, 20)]), at(0)).expect("heads");
    for id in [KEY, OTHER] {
        let fetch = Action::Fetch { id: id.to_owned(), size: 20 };
        assert_eq!((watcher.poll(at(1)), watcher.poll(at(2))), (fetch.clone(), fetch), "asked twice, the same");
        watcher.handle_fetched(id);
    }
    assert_eq!((watcher.poll(at(3)), watcher.noted()), (Action::Settle { upto: 14 }, 10));
    watcher.handle_settled();
    assert_eq!((watcher.poll(at(3)), watcher.noted()), (listen(14, Way::Stream), 14));
    watcher.handle_heads(&heads(20, 20, &[]), at(4)).expect("nothing of it");
    assert_eq!(watcher.poll(at(4)), Action::Settle { upto: 20 });
    watcher.handle_settled();
    watcher.handle_heads(&heads(20, 20, &[]), at(5)).expect("a heartbeat");
    assert_eq!(watcher.poll(at(5)), listen(20, Way::Stream), "a heartbeat costs nothing");
}

/// What it names would be asked about as fast as that may be, and nobody else could ask any more.
#[test]
fn a_home_that_floods_with_what_is_known_is_not_heard_for_a_while() {
    let mut watcher = watcher();
    let mut beats = |now| {
        watcher.handle_heads(&heads(10, 10, &[]), now).expect("heads");
        watcher.poll(now) == listen(10, Way::Stream)
    };
    assert!((0..100).all(|beat| beats(at(10_000 * beat))), "heartbeats cost nothing");
    assert_eq!((0..1_000).take_while(|_| beats(at(2_000_000))).count(), 32);
}

/// Others may have a better answer about that.
#[test]
fn a_home_that_floods_keeps_nobody_from_what_is_set_aside() {
    let mut watcher = watcher();
    watcher.handle_heads(&heads(14, 14, &[head(KEY, 14)]), at(0)).expect("heads");
    watcher.handle_refused(KEY, at(0));
    watcher.handle_settled();
    let mut now = at(0);
    for _ in 0..100 {
        match watcher.poll(now) {
            Action::Listen { .. } => watcher.handle_heads(&heads(14, 14, &[]), now).expect("heads"),
            Action::Wait { until } => now = until,
            action => {
                assert_eq!(action, Action::Fetch { id: KEY.to_owned(), size: 14 });
                return;
            }
        }
    }
    panic!("it is not fetched");
}

#[test]
fn what_was_not_taken_is_asked_for_again() {
    let mut watcher = watcher();
    let told = heads(14, 14, &[head(KEY, 14), head(OTHER, 14)]);
    let mut now = at(0);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        watcher.handle_heads(&told, now).expect("heads");
        watcher.handle_fetched(KEY);
        watcher.fail(now);
        let until = after(&watcher, now);
        pauses.push(until.millis_since(now));
        now = until;
        assert_eq!(watcher.poll(now), listen(10, Way::Stream), "from where all was taken");
    }
    assert!(pauses.is_sorted_by(|one, next| next > one) && pauses[3] <= 8_000, "{pauses:?}");
    for _ in 0..100 {
        watcher.fail(now);
        now = after(&watcher, now);
    }
    watcher.fail(now);
    let longest = after(&watcher, now).millis_since(now);
    assert!((15_000..=30_000).contains(&longest), "{longest}");
    now = after(&watcher, now);
    watcher.handle_heads(&told, now).expect("heads");
    watcher.handle_fetched(KEY);
    watcher.handle_fetched(OTHER);
    watcher.handle_settled();
    watcher.fail(now);
    assert!(after(&watcher, now).millis_since(now) <= 1_000, "success ends the row of failures");
}

#[test]
fn what_is_refused_of_one_thing_keeps_nobody_from_the_others() {
    let fetch = |id: &str, size| Action::Fetch { id: id.to_owned(), size };
    let mut watcher = watcher();
    watcher.handle_heads(&heads(14, 14, &[head(KEY, 14), head(OTHER, 14)]), at(0)).expect("heads");
    assert_eq!(watcher.poll(at(0)), fetch(KEY, 14));
    assert!(watcher.handle_refused(KEY, at(0)), "the first time");
    // More is said about both: the first is not fetched before its time.
    for (size, told) in [(14, None), (20, Some(heads(20, 20, &[head(KEY, 20), head(OTHER, 20)])))] {
        if let Some(told) = told {
            watcher.handle_heads(&told, at(1)).expect("heads");
        }
        assert_eq!(watcher.poll(at(1)), fetch(OTHER, size));
        watcher.handle_fetched(OTHER);
        assert_eq!(watcher.poll(at(1)), Action::Settle { upto: 10 }, "whoever restarts is told of it again");
        watcher.handle_settled();
        assert_eq!((watcher.noted(), watcher.poll(at(1))), (10, listen(size, Way::Stream)), "it goes on");
    }
    assert_eq!(watcher.poll(at(1_000)), fetch(KEY, 20));
    assert!(!watcher.handle_refused(KEY, at(1_000)), "again");
    assert_eq!(watcher.poll(at(1_500)), listen(20, Way::Stream), "in between the home is heard");
    assert_eq!(watcher.poll(at(3_000)), fetch(KEY, 20));
    watcher.fail(at(3_000));
    assert_eq!(watcher.poll(after(&watcher, at(3_000))), listen(20, Way::Stream), "what is new comes first");
    assert_eq!(watcher.poll(at(5_000)), fetch(KEY, 20));
    watcher.handle_fetched(KEY);
    assert_eq!(watcher.poll(at(5_000)), Action::Settle { upto: 20 }, "nothing is missing any more");
    watcher.handle_settled();
    assert_eq!((watcher.noted(), watcher.poll(at(5_000))), (20, listen(20, Way::Stream)));
}

/// Each answer may take as many bytes as the line lets through.
#[test]
fn what_stays_of_no_use_is_fetched_ever_more_rarely() {
    let mut watcher = watcher();
    watcher.handle_heads(&heads(14, 14, &[head(KEY, 14)]), at(0)).expect("heads");
    assert!(watcher.handle_refused(KEY, at(0)));
    watcher.handle_settled();
    let (mut now, mut pauses) = (at(0), Vec::new());
    for _ in 0..12 {
        let is_fetched = |at: &Timestamp| matches!(watcher.poll(*at), Action::Fetch { .. });
        let next = (0..900).map(|seconds| now.plus_millis(1_000 * seconds)).find(is_fetched).expect("some time");
        pauses.push(next.millis_since(now));
        now = next;
        watcher.handle_refused(KEY, now);
    }
    assert!(pauses[0] <= 1_000 && pauses[11] >= 300_000, "{pauses:?}");
    // That the home is not heard brings it no sooner.
    watcher.fail(now);
    let now = now.plus_millis(60_000);
    assert_eq!(watcher.poll(now), listen(14, Way::Stream));
    // But if more is said about it, perhaps a recall, that does.
    watcher.handle_heads(&heads(14, 14, &[head(KEY, 14)]), now).expect("heads");
    assert_eq!(watcher.poll(now.plus_millis(30_000)), listen(14, Way::Stream), "that is no news");
    watcher.handle_heads(&heads(20, 20, &[head(KEY, 20)]), now).expect("heads");
    watcher.handle_settled();
    assert_eq!(watcher.poll(now), listen(20, Way::Stream));
    assert_eq!(watcher.poll(now.plus_millis(30_000)), Action::Fetch { id: KEY.to_owned(), size: 20 });
}

#[test]
fn what_is_refused_in_a_look_is_fetched_at_its_time() {
    let mut watcher = watcher();
    watcher.handle_unheard(&status(503), at(0));
    assert_eq!(watcher.poll(at(0)), Action::Look { from: 10 });
    assert!(watcher.handle_refused(KEY, at(0)), "it is no head that was pushed");
    assert!(watcher.is_aside(KEY) && !watcher.is_aside(OTHER));
    watcher.handle_looked(14, true, at(0));
    let now = after(&watcher, at(0));
    assert_eq!(watcher.poll(now), Action::Fetch { id: KEY.to_owned(), size: 0 });
    assert!(!watcher.handle_refused(KEY, now), "again");
    watcher.handle_unheard(&status(503), now);
    assert_eq!(watcher.poll(now), Action::Look { from: 14 }, "the others are not fetched again");
    watcher.handle_looked(14, true, now);
    assert_eq!(watcher.noted(), 10, "whoever restarts looks at it again");
    let now = now.plus_millis(60_000);
    assert_eq!(watcher.poll(now), Action::Fetch { id: KEY.to_owned(), size: 0 });
    watcher.handle_fetched(KEY);
    assert_eq!(watcher.poll(now), listen(10, Way::Stream), "there is nothing to note");
    watcher.handle_unheard(&status(503), now);
    assert_eq!(watcher.poll(now), Action::Look { from: 14 });
    watcher.handle_looked(14, true, now);
    assert_eq!(watcher.noted(), 14, "nothing is missing any more");
}

#[test]
fn what_could_not_be_noted_is_noted_later() {
    let mut watcher = watcher();
    watcher.handle_heads(&heads(14, 14, &[head(KEY, 14)]), at(0)).expect("heads");
    watcher.handle_refused(KEY, at(0));
    watcher.handle_settled();
    watcher.handle_fetched(KEY);
    assert_eq!(watcher.poll(at(0)), Action::Settle { upto: 14 });
    watcher.fail(at(0));
    assert_eq!((watcher.poll(after(&watcher, at(0))), watcher.noted()), (Action::Settle { upto: 14 }, 10));
}

#[test]
fn a_home_whose_every_answer_is_refused_fails() {
    let mut watcher = watcher();
    let ids: Vec<String> = (0..=ASIDE).map(|number| format!("{number:040x}")).collect();
    let told: Vec<String> = ids.iter().map(|id| head(id, 14)).collect();
    watcher.handle_heads(&heads(14, 14, &told), at(0)).expect("heads");
    for (number, id) in ids.iter().enumerate() {
        assert!(matches!(watcher.poll(at(0)), Action::Fetch { .. }));
        let has_room = number < ASIDE;
        assert_eq!((watcher.handle_refused(id, at(0)), watcher.is_aside(id)), (has_room, has_room), "{id}");
    }
    let later = after(&watcher, at(0));
    assert_eq!((watcher.noted(), watcher.poll(later)), (10, listen(10, Way::Stream)), "all is asked for again");
    watcher.handle_unheard(&status(503), later);
    watcher.handle_looked(30, true, later);
    assert_eq!(watcher.noted(), 10, "a look does not settle what is set aside");
    // The log is shorter than was reported: what was set aside is reported anew.
    let later = later.plus_millis(60_000);
    watcher.handle_heads(&heads(4, 4, &[]), later).expect_err("less");
    let later = after(&watcher, later);
    assert_eq!(watcher.poll(later), Action::Settle { upto: 0 });
    watcher.handle_settled();
    assert_eq!((watcher.noted(), watcher.poll(later)), (0, listen(0, Way::Stream)));
}

#[test]
fn what_is_of_no_use_is_refused() {
    let nothing = note(Finding::Nothing(None), 14);
    let range = |told, size| PushError::Range { told, size, known: 10 };
    for (pushed, error) in [
        (heads(9, 20, &[]), range(9, 20)),
        (heads(12, 11, &[]), range(12, 11)),
        (heads(12, 12, &[head(KEY, 12), "no note".to_owned()]), PushError::NoHead),
        (heads(12, 12, &[nothing]), PushError::NoHead),
    ] {
        let mut watcher = watcher();
        assert_eq!(watcher.handle_heads(&pushed, at(0)), Err(error));
        assert_eq!(watcher.poll(after(&watcher, at(0))), listen(10, Way::Stream), "nothing of it is kept");
    }
}

#[test]
fn a_watcher_told_of_what_does_not_exist_begins_anew() {
    let mut watcher = watcher();
    watcher.handle_heads(&heads(1_000, 1_000, &[]), at(0)).expect("whatever it says");
    watcher.handle_settled();
    let back = PushError::Back { size: 14, known: 1_000 };
    assert_eq!(watcher.handle_heads(&heads(14, 14, &[]), at(1)), Err(back));
    let later = after(&watcher, at(1));
    assert_eq!(watcher.poll(later), Action::Settle { upto: 0 });
    watcher.handle_settled();
    assert_eq!(watcher.poll(later), listen(0, Way::Stream));
    watcher.handle_unheard(&status(503), later);
    assert_eq!(watcher.poll(later), Action::Look { from: 0 }, "what is looked at, too");
}

#[test]
fn a_home_that_is_not_heard_is_looked_at_first_and_asked_again() {
    for (problem, way) in [
        (PeerError::Transport("refused".to_owned()), Way::Stream),
        (PeerError::Ended, Way::Stream),
        (status(503), Way::Stream),
        (status(429), Way::Stream),
        (PeerError::Held, Way::LongPoll),
        (status(404), Way::LongPoll),
        (status(406), Way::LongPoll),
    ] {
        let mut watcher = watcher();
        watcher.handle_unheard(&problem, at(0));
        assert_eq!(watcher.poll(at(0)), Action::Look { from: 10 }, "{problem}");
        watcher.handle_looked(12, true, at(0));
        let until = after(&watcher, at(0));
        assert!((1_000..=2_000).contains(&until.millis_since(at(0))), "{problem}");
        assert_eq!(watcher.poll(until), listen(12, way), "{problem}");
    }
}

#[test]
fn without_any_feed_it_looks_for_some_time() {
    let mut watcher = watcher();
    watcher.handle_unheard(&status(404), at(0));
    watcher.handle_looked(10, true, at(0));
    let mut now = after(&watcher, at(0));
    assert_eq!(watcher.poll(now), listen(10, Way::LongPoll));
    watcher.handle_unheard(&status(404), now);
    let mut looks = 0;
    while watcher.poll(now) != listen(10, Way::Stream) {
        assert_eq!(watcher.poll(now), Action::Look { from: 10 });
        looks += 1;
        watcher.handle_looked(10, true, now);
        now = after(&watcher, now);
    }
    assert!((300..=601).contains(&looks), "{looks} looks in ten minutes");
}

#[test]
fn what_is_followed_by_model_is_not_settled_by_a_look() {
    let mut watcher = watcher();
    watcher.handle_unheard(&status(503), at(0));
    watcher.handle_looked(30, false, at(0));
    assert_eq!(watcher.poll(after(&watcher, at(0))), listen(10, Way::Stream), "the home tells from where it told");
    watcher.handle_unheard(&status(503), at(5_000));
    assert_eq!(watcher.poll(at(5_000)), Action::Look { from: 30 }, "what was looked at is not looked at again");
    watcher.fail(at(5_000));
    assert_eq!(watcher.poll(after(&watcher, at(5_000))), listen(10, Way::Stream));
}

#[test]
fn a_peer_that_does_not_wait_is_not_asked_without_end() {
    let mut watcher = watcher();
    watcher.handle_unheard(&PeerError::Held, at(0));
    watcher.handle_looked(10, true, at(0));
    let now = after(&watcher, at(0));
    watcher.handle_heads(&heads(10, 10, &[]), now).expect("nothing new");
    let later = after(&watcher, now);
    assert_eq!(later.millis_since(now), 250);
    watcher.handle_heads(&heads(10, 12, &[head(KEY, 10)]), later).expect("nothing new, but a head");
    let later = after(&watcher, later);
    assert_eq!(watcher.poll(later), Action::Fetch { id: KEY.to_owned(), size: 10 });
    watcher.handle_fetched(KEY);
    watcher.handle_heads(&heads(12, 12, &[]), later).expect("news");
    assert_eq!(watcher.poll(later), Action::Settle { upto: 12 }, "at once");
}

#[test]
fn a_stream_that_worked_is_opened_again() {
    let mut watcher = watcher();
    watcher.handle_heads(&heads(10, 10, &[]), at(0)).expect("a heartbeat");
    watcher.handle_unheard(&PeerError::Held, at(1));
    watcher.handle_looked(10, true, at(1));
    assert_eq!(watcher.poll(after(&watcher, at(1))), listen(10, Way::Stream));
}

/// What may go wrong between two steps.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Nothing,
    /// The connection breaks, or what was asked for does not arrive.
    Cut,
    /// The answer about a thing is refused.
    Refused,
    /// The node stops, and resumes where it last noted.
    Restart,
    /// Something is said at the home: about the first thing, the second, or neither.
    Said(u8),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::Nothing),
        1 => Just(Fault::Cut),
        1 => Just(Fault::Refused),
        1 => Just(Fault::Restart),
        2 => (0_u8..3).prop_map(Fault::Said),
    ]
}

/// A home, and what the follower has fetched and noted of its log.
struct World {
    log: Vec<u8>,
    watcher: Watcher,
    noted: u64,
    /// For each thing, the size of the log at which it was last fetched.
    fetched: BTreeMap<String, u64>,
    now: Timestamp,
}

impl World {
    fn size(&self) -> u64 {
        self.log.len() as u64
    }

    /// What the home reports after an index: a page of three entries, each thing once.
    fn told(&self, from: u64) -> Heads {
        let upto = (from + 3).min(self.size());
        let page = &self.log[usize::try_from(from).expect("small")..usize::try_from(upto).expect("small")];
        let spoken = [(0, KEY), (1, OTHER)].into_iter().filter(|(thing, _)| page.contains(thing));
        heads(upto, self.size(), &spoken.map(|(_, id)| head(id, self.size())).collect::<Vec<_>>())
    }

    fn step(&mut self, fault: Fault) {
        let (fails, is_refused) = (matches!(fault, Fault::Cut), matches!(fault, Fault::Refused));
        match self.watcher.poll(self.now) {
            Action::Wait { until } => self.now = until,
            Action::Listen { .. } if fails => self.watcher.handle_unheard(&PeerError::Ended, self.now),
            Action::Listen { from, .. } => {
                let told = self.told(from);
                if told.upto == from {
                    // A heartbeat comes when it is due.
                    self.now = self.now.plus_millis(10_000);
                }
                self.watcher.handle_heads(&told, self.now).expect("an honest home");
            }
            _ if fails => self.watcher.fail(self.now),
            Action::Fetch { id, .. } if is_refused => {
                self.watcher.handle_refused(&id, self.now);
            }
            Action::Fetch { id, size } => {
                assert!(size <= self.size());
                self.watcher.handle_fetched(&id);
                self.fetched.insert(id, self.size());
            }
            Action::Settle { upto } => {
                self.noted = upto;
                self.watcher.handle_settled();
            }
            // A model is followed as well, so a look settles nothing.
            Action::Look { from } => self.watcher.handle_looked(from, false, self.now),
        }
    }
}

proptest! {
    #[test]
    fn whatever_breaks_nothing_that_was_said_is_missed(faults in prop::collection::vec(fault(), 1..80)) {
        let mut world = World {
            log: Vec::new(),
            watcher: Watcher::new(0, Settings { interval_millis: 2_000, seed: SEED }),
            noted: 0,
            fetched: BTreeMap::new(),
            now: at(0),
        };
        for fault in faults {
            match fault {
                Fault::Said(thing) => world.log.push(thing),
                Fault::Restart => {
                    world.watcher = Watcher::new(world.noted, Settings { interval_millis: 2_000, seed: SEED });
                }
                Fault::Nothing | Fault::Cut | Fault::Refused => {}
            }
            world.step(fault);
            // Everything noted is taken over.
            for (index, thing) in (1..=world.noted).zip(&world.log) {
                let id = [KEY, OTHER].get(usize::from(*thing)).copied();
                prop_assert!(id.is_none_or(|id| world.fetched.get(id) >= Some(&index)), "{index} of {}", world.noted);
            }
        }
        for _ in 0..400 {
            world.step(Fault::Nothing);
        }
        prop_assert_eq!(world.noted, world.size(), "in the end all is taken over");
    }
}
