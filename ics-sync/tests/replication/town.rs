//! A federation: a home that makes and receives statements, copies of copies, all the faults that befall them, and the
//! promises that hold nevertheless.

mod checks;
mod faults;
mod rest;

use std::collections::BTreeSet;

use ics_core::descriptor::{Compromise, Freshness};
use ics_core::log::entry::{Entry, EntryKind};
use ics_core::log::{Hash, LeafData};
use ics_core::time::Timestamp;
use ics_core::trust::{TrustDocument, TrustPolicy};
use ics_sync::mirror::Settings;

use crate::copy::{Copy, Source};
use crate::home::{Home, IDENTITIES, OWN, Turn, at, entry};
use crate::lies::Lie;
use crate::network::Weather;
use crate::owners;
use crate::promises::{Acknowledged, Broken, Promise, Sabotage};
use crate::reading::Reading;
use crate::speech;
use crate::world::World;
use checks::Understood;
use faults::Faults;

/// A thing that is vouched for and in use may be used.
const RULES: &str = "@id(\"in-use\")\npermit (principal, action in Action::\"use\", resource)\nwhen {\n  \
                     principal.vouching_roles.contains(\"manufacturer\") && principal.effect == Effect::\"permits\"\n};\n";
/// Milliseconds between two looks of a copy, at least: minutes must pass in few steps.
const LEAST_INTERVAL_MILLIS: u64 = 500;
/// Seconds for which news is fresh.
const FRESH_SECONDS: u64 = 60;

pub(crate) struct Town {
    /// Whether the home holds less than it has signed, and has not recovered it.
    pub(crate) silent: bool,
    /// Whether the home was killed and has not restarted.
    pub(crate) down: bool,
    sabotage: Option<Sabotage>,
    broken: Option<Broken>,
    faults: Faults,
    /// Whether a peer serves a false log at some time; then the home is not restored from backups.
    forks: bool,
    head_file: (u64, Hash),
    backup: Option<Home>,
    ledger: Vec<Acknowledged>,
    /// The correct reading of the home's log, for each size of it.
    truth: Vec<Reading>,
    told: Vec<LeafData>,
    /// What may not be read, from each given size of the home's log on.
    hidden: Vec<(u64, BTreeSet<usize>)>,
    understood: Vec<Understood>,
    /// The full copy that reads the log independently.
    reader: usize,
    policy: TrustPolicy,
    home_skew: i64,
    home_latest: u64,
    looks: usize,
}

impl World {
    /// Three to seven nodes: a home, and copies that ask it or each other. Some may read only a part.
    pub(crate) fn town(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut world = Self::new(seed);
        let settings = world.only().settings;
        let interval_millis = settings.interval_millis.max(LEAST_INTERVAL_MILLIS);
        let dice = &mut world.dice;
        world.home.hidden = (0..IDENTITIES).filter(|_| dice.chance(30)).collect();
        let copies = 2 + dice.index(5);
        world.copies = (0..copies)
            .map(|number| {
                let settings =
                    Settings { seed: settings.seed ^ number as u64, listens: dice.chance(60), interval_millis };
                // At least one asks the home; the others ask each other as well, in any order.
                let others = (0..copies - 1).filter(|other| *other != number).map(Source::Copy);
                let mut sources: Vec<_> = others.filter(|_| dice.chance(40)).collect();
                let place = dice.index(sources.len() + 1);
                sources.insert(place, Source::Home);
                let mut copy = Copy::new(&world.home, settings, sources);
                // The last one may read only a part; nobody asks it.
                copy.knows_home = sabotage != Some(Sabotage::BelievesWhoIsNotTheHome);
                (copy.partial, copy.is_new) = (number + 1 == copies, dice.chance(75));
                copy
            })
            .collect();
        if let Some(last) = world.copies.last_mut().filter(|_| dice.chance(30)) {
            // The copies that it asks leave out of its part what they like.
            last.lie = Some(Lie::LeavesOut(3));
        }
        let (weather, faults) = (Weather::any(dice), Faults::any(dice));
        (world.weather, world.restarts, world.bustle) = (weather, dice.below(6), 1 + dice.below(4_000));
        let understood = vec![Understood::default(); copies];
        let document = TrustDocument {
            domains: vec![world.home.origin.clone()],
            roles: Default::default(),
            labelling_roles: TrustDocument::certification_bodies(),
            freshness: Freshness { default: FRESH_SECONDS, uses: [].into() },
            rules: RULES.to_owned(),
        };
        let town = Town {
            silent: false,
            down: false,
            sabotage,
            broken: None,
            forks: faults.lie > 0 && dice.chance(50),
            faults,
            head_file: world.home.head(),
            backup: None,
            ledger: Vec::new(),
            truth: Vec::new(),
            told: Vec::new(),
            hidden: Vec::new(),
            understood,
            reader: dice.index(copies - 1),
            policy: TrustPolicy::compile(document).expect("rules"),
            home_skew: 0,
            home_latest: 0,
            looks: 0,
        };
        world.town = Some(town);
        world.found_town();
        (0..copies).for_each(|copy| world.restart(copy));
        world
    }

    fn of_town(&mut self) -> &mut Town {
        self.town.as_mut().expect("a town")
    }

    fn found_town(&mut self) {
        let now = self.home_clock();
        for certificate in speech::certificates() {
            self.home.push_about(entry(EntryKind::Certificate, certificate, now), OWN);
        }
        let hidden = self.home.hidden.clone();
        self.home.amend(now, |next| owners::hide(next, &hidden, now));
        self.home.sign(now);
        self.follow();
    }

    /// What the home's clock says. Its stamps never go back.
    fn home_clock(&mut self) -> Timestamp {
        let now = self.now;
        let town = self.of_town();
        town.home_latest = town.home_latest.max(now.saturating_add_signed(town.home_skew));
        at(town.home_latest)
    }

    /// Updates the truth from what the home has logged.
    fn follow(&mut self) {
        let Self { home, town, .. } = self;
        let town = town.as_mut().expect("a town");
        let common = home.leaves.iter().zip(&town.told).take_while(|(a, b)| a == b).count();
        town.told.truncate(common);
        town.truth.truncate(common);
        for (index, entry) in home.entries.iter().enumerate().skip(common) {
            let mut next = town.truth.last().cloned().unwrap_or_default();
            next.take(index as u64, Some(entry), None);
            town.truth.push(next);
            town.told.push(entry.leaf_data());
        }
        if town.hidden.last().is_none_or(|(_, hidden)| *hidden != home.hidden) {
            town.hidden.push((home.size(), home.hidden.clone()));
        }
    }

    /// The first promise that was broken.
    pub(crate) fn broken(&self) -> Option<&Broken> {
        self.town.as_ref()?.broken.as_ref()
    }

    fn break_promise(&mut self, promise: Promise, how: String) {
        self.of_town().broken.get_or_insert(Broken { promise, how });
    }
}

impl Town {
    /// Whether a cure is taken away.
    pub(crate) fn lacks(&self, cure: Sabotage) -> bool {
        self.sabotage == Some(cure)
    }

    /// One step of everything except the copies.
    pub(crate) fn live_on(world: &mut World) {
        world.befall();
        if core::mem::take(&mut world.of_town().down) {
            world.home_starts();
        }
        if world.of_town().silent {
            world.recover();
        }
        if world.is_busy() && !world.of_town().silent {
            world.home_speaks();
        }
        world.follow();
    }
}

/// What the home does.
impl World {
    fn home_speaks(&mut self) {
        let now = self.home_clock();
        let crash = self.of_town().faults.crash;
        let former = self.home.note.clone();
        let said = self.hear(now);
        let crashes = self.dice.chance(crash);
        if crashes && self.dice.chance(50) {
            // Killed before the transaction: nothing is stored, and nobody was told.
            if self.of_town().lacks(Sabotage::AcknowledgesBeforeItWrites) {
                self.acknowledge(&said);
            }
            return;
        }
        said.iter().for_each(|(entry, about)| self.home.push_about(entry.clone(), *about));
        self.home_decides(now);
        self.home.sign(now);
        if self.of_town().lacks(Sabotage::VouchesForAnOldHead) && self.dice.chance(30) {
            self.home.note = vouched_anew(&former, &self.home, now);
        }
        if crashes {
            // Killed before the head's file is written: durable, but nobody was told.
            self.of_town().down = true;
            return;
        }
        self.of_town().head_file = self.home.head();
        self.acknowledge(&said);
    }

    /// Brings the head's file up to date before anybody is answered.
    fn home_starts(&mut self) {
        let head = self.home.head();
        let town = self.of_town();
        if town.head_file.0 < head.0 {
            town.head_file = head;
        }
    }

    /// What clients submit and the home's rules admit.
    fn hear(&mut self, now: Timestamp) -> Vec<(Entry, usize)> {
        let mut reading = self.of_town().truth.last().cloned().expect("a founded domain");
        let (mut said, domain) = (Vec::new(), self.home.origin.domain.to_string());
        for _ in 0..self.dice.index(4) {
            let thing = self.dice.index(IDENTITIES);
            let known = reading.record(&speech::thing(thing), now);
            let body = speech::say(&mut self.dice, thing, known.as_ref(), &domain, now);
            let new = entry(EntryKind::Statement, body, now);
            if reading.refusal(&new).is_none() {
                reading.take((self.home.entries.len() + said.len()) as u64, Some(&new), None);
                said.push((new, thing));
            }
        }
        said
    }

    /// The owners change the policy, replace the home's key, or declare a signer's key compromised.
    fn home_decides(&mut self, now: Timestamp) {
        match self.dice.below(60) {
            0..4 => {
                let thing = self.dice.index(IDENTITIES);
                self.home.turn(thing, Turn::Descriptor, now);
            }
            4 => self.home.replace_key(2 + self.home.descriptors.len() as u8, now),
            5 => {
                let hidden = self.home.hidden.clone();
                let (domain, from_index) = (self.home.origin.domain.clone(), self.home.size());
                self.home.amend(now, |next| {
                    owners::hide(next, &hidden, now);
                    if next.compromised.is_empty() {
                        next.compromised = vec![Compromise { signer: speech::controller(), domain, from_index }];
                    }
                });
            }
            6 => self.home.amend_idly(now),
            _ => {}
        }
    }

    fn acknowledge(&mut self, said: &[(Entry, usize)]) {
        let first = self.home.leaves.iter().position(|leaf| said.first().is_some_and(|it| it.0.leaf_data() == *leaf));
        let first = first.unwrap_or(self.home.leaves.len());
        let receipts = said.iter().enumerate();
        let receipts = receipts.map(|(at, (entry, _))| Acknowledged { index: first + at, leaf: entry.leaf_data() });
        self.of_town().ledger.extend(receipts);
    }
}

/// The head of an earlier checkpoint, vouched for as of a time at which there was a later one.
fn vouched_anew(former: &str, home: &Home, now: Timestamp) -> String {
    let signed = former.split("\n\n").next().expect("a text");
    let rest = former.split("\n\n").nth(1).and_then(|rest| rest.split('\n').next()).expect("a signature");
    let note = format!("{signed}\n\n{rest}\n");
    ics_core::log::cosignature::cosign(&note, crate::home::NODE, &home.key, now).unwrap_or(note)
}
