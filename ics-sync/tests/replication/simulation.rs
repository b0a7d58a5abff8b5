//! Many runs, each from a seed. `ICS_SEED=17` runs only that one, `ICS_SEEDS=20000` runs that many, and
//! `ICS_SEEDS=7000..20000` runs that range.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ics_sync::mirror::Settings;

use crate::copy::{Copy, Source};
use crate::home::IDENTITIES;
use crate::lies::Lie;
use crate::network::Weather;
use crate::promises::{Broken, Sabotage};
use crate::world::World;

/// Seeds for each story with one copy, unless `ICS_SEEDS` says otherwise.
const SEEDS: u64 = 200;
/// Seeds for a federation.
const TOWN_SEEDS: u64 = 500;
/// Seeds after which a long run reports its progress.
const PROGRESS: u64 = 500;

/// Runs `life` with each of this many seeds, on two threads.
fn each_seed(seeds: u64, life: impl Fn(u64) + Sync) {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let seeds = match (std::env::var("ICS_SEED"), std::env::var("ICS_SEEDS")) {
        (Ok(seed), _) => number(&seed)..number(&seed) + 1,
        (_, Ok(many)) => many.split_once("..").map_or_else(|| 0..number(&many), |(from, to)| number(from)..number(to)),
        _ => 0..seeds,
    };
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            if seed > 0 && seed % PROGRESS == 0 {
                eprintln!("{seed} of {} seeds", seeds.end);
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| life(seed))) {
                failed.store(true, Ordering::Relaxed);
                let test = std::thread::current().name().unwrap_or_default().to_owned();
                eprintln!("seed {seed} failed; this repeats it:");
                eprintln!("ICS_SEED={seed} cargo test --workspace --test replication -- {test}");
                resume_unwind(panic);
            }
        }
    };
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            std::thread::Builder::new().name(name.clone()).spawn_scoped(scope, work).expect("a thread");
        }
    });
}

/// A world with a mirror that faces lost, delayed, duplicated, reordered and cut-off answers, a full disk and restarts.
fn weathered(seed: u64) -> World {
    let mut world = World::new(seed);
    stir_up(&mut world);
    let steps = 10 + world.dice.index(70);
    world.run(steps);
    world
}

fn stir_up(world: &mut World) {
    world.weather = Weather::any(&mut world.dice);
    world.restarts = world.dice.below(8);
    world.bustle = 1 + world.dice.below(4_000);
    world.copies[0].memory.failures = world.dice.index(4);
}

fn calm_down(world: &mut World) {
    (world.weather, world.restarts, world.bustle) = (Weather::CALM, 0, 0);
    let now = world.time();
    world.home.append_many(1, "last", now);
    world.home.sign(now);
}

#[test]
fn an_honest_home_is_mirrored_whatever_the_network_does() {
    each_seed(SEEDS, |seed| {
        let mut world = weathered(seed);
        calm_down(&mut world);
        assert!(world.run_until_equal(3_000), "{:?}", world.copies[0].mirror.status());
        assert_eq!(world.stop(), None);
    });
}

#[test]
fn lies_never_last() {
    each_seed(SEEDS, |seed| {
        let mut world = weathered(seed);
        for _ in 0..1 + world.dice.index(3) {
            let lie = Lie::ALL[world.dice.index(Lie::ALL.len())].clone();
            let shadow = lie.shadow(&world.home, &mut world.dice, world.now);
            world.deceive(0, lie, shadow);
            let steps = world.dice.index(40);
            world.run(steps);
        }
        world.heal();
        let ahead = world.copies[0].memory.leaves.len().saturating_sub(world.home.entries.len());
        let now = world.time();
        world.home.append_many(ahead, "true", now);
        calm_down(&mut world);
        // A mirror that was misled from the beginning cannot know it, but it notices as soon as it sees the true log.
        if world.home.leaves.starts_with(&world.copies[0].memory.leaves) {
            assert!(world.run_until_equal(3_000), "{:?}", world.copies[0].mirror.status());
        } else {
            world.run(300);
            assert!(world.stop().is_some(), "{:?}", world.copies[0].mirror.status());
        }
    });
}

/// Two copies that turned to each other while their home was unreachable do not stay with each other.
#[test]
fn copies_that_ask_each_other_come_back_to_the_home() {
    for listens in [false, true] {
        let mut world = World::new(1);
        let settings = Settings { interval_millis: 1_000, listens, seed: 1 };
        world.copies = [1, 0].map(|other| Copy::new(&world.home, settings, [Source::Home, Source::Copy(other)])).into();
        (0..2).for_each(|copy| world.restart(copy));
        world.run(50);
        assert!(world.copies.iter().all(|copy| copy.memory.leaves == world.home.leaves));
        for copy in &mut world.copies {
            copy.sources.reverse();
            copy.restart(&world.home, world.now);
        }
        let now = world.time();
        world.home.append_many(5, "meanwhile", now);
        world.home.sign(now);
        world.run(1_000);
        assert!(world.copies.iter().all(|copy| copy.memory.leaves == world.home.leaves), "{}", world.describe(0));
    }
}

/// If a link is only up for a few minutes now and then, the copy is current soon after it is back.
#[test]
fn a_copy_is_current_soon_after_a_long_silence() {
    each_seed(SEEDS, |seed| {
        let mut world = World::new(seed);
        assert!(world.run_until_equal(3_000), "{}", world.describe(0));
        world.weather = Weather { lost: 100, ..Weather::CALM };
        let hour = world.now + 3_600_000;
        while world.now < hour {
            world.step();
        }
        let now = world.time();
        world.home.append_many(1, "meanwhile", now);
        world.home.sign(now);
        world.weather = Weather::CALM;
        assert!(world.run_until_equal(3_000), "{}", world.describe(0));
        let took = world.now - now.as_millis();
        assert!(took <= 35_000, "{took} ms");
    });
}

/// A policy that widens and narrows, through the log and through the peer's operator, delivers what it hid and takes
/// back what it showed, identity by identity; at every moment each is shown whole, or not at all.
#[test]
fn identities_are_shown_whole_or_not_at_all() {
    each_seed(SEEDS, |seed| {
        let mut world = World::new(seed);
        world.home.partial = true;
        world.home.hidden = (0..IDENTITIES).filter(|_| world.dice.chance(50)).collect();
        stir_up(&mut world);
        let steps = 50 + world.dice.index(150);
        world.run(steps);
        calm_down(&mut world);
        let shows = (0..3_000).any(|_| {
            world.step();
            world.copies[0].memory.leaves == world.home.leaves && world.shows_what_it_may(0)
        });
        assert!(shows, "{:?}", world.copies[0].mirror.status());
        assert_eq!(world.stop(), None);
    });
}

/// Three to seven nodes with real statements keep the promises under everything that can happen to them.
#[test]
fn a_federation_keeps_its_promises() {
    each_seed(TOWN_SEEDS, |seed| {
        if let Some(Broken { promise, how }) = live_in_town(seed, None) {
            panic!("{}: {how}", promise.name());
        }
    });
}

fn live_in_town(seed: u64, sabotage: Option<Sabotage>) -> Option<Broken> {
    let mut world = World::town(seed, sabotage);
    let steps = 60 + world.dice.index(120);
    for _ in 0..steps {
        world.step();
        if let Some(broken) = world.broken() {
            return Some(broken.clone());
        }
    }
    world.come_to_rest();
    world.broken().cloned()
}

/// Every promise is seen to break when a node of the simulation lacks the cure on which it depends.
#[test]
fn without_a_cure_its_promise_breaks() {
    for sabotage in Sabotage::ALL {
        // A seed that is known to show it comes first; all others are tried if it no longer does.
        let lives = (sabotage.seen_in()..SEEDS).chain(0..sabotage.seen_in());
        let mut broken = lives.filter_map(|seed| live_in_town(seed, Some(sabotage)));
        let first = broken.find(|broken| broken.promise == sabotage.breaks());
        assert!(first.is_some(), "{sabotage:?} does not break {}", sabotage.breaks().name());
    }
}
