//! A home, copies of it, a network between them, and a clock that jumps from event to event.

use std::collections::BTreeSet;

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_sync::mirror::{Action, Fill, Settings, Stop, Way};
use ics_sync::news::News;
use ics_sync::{packed, wire};

use crate::copy::{Copy, Listener, Source};
use crate::home::{Home, IDENTITIES, OWN, Turn, at};
use crate::lies::Lie;
use crate::memory::{Kept, Memory};
use crate::network::{Answer, Dice, Network, Weather};
use crate::promises::Sabotage;
use crate::town::Town;

/// Milliseconds after which an answer is no longer expected.
const PATIENCE: u64 = 3_000;

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) now: u64,
    pub(crate) weather: Weather,
    /// Percentage of steps at which a mirror is killed and restarted.
    pub(crate) restarts: u64,
    /// Milliseconds between two appends, at most; 0 for no appends.
    pub(crate) bustle: u64,
    pub(crate) home: Home,
    /// Other logs that liars have served.
    pub(crate) shadows: Vec<Home>,
    pub(crate) copies: Vec<Copy>,
    /// What happens besides replication, and the promises about all of it, when real statements are made.
    pub(crate) town: Option<Town>,
    next_append: u64,
}

impl World {
    /// A world with one copy, which asks the home.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let now = 1_700_000_000_000 + dice.below(1_000_000);
        let mut home = Home::new("devices.acme.example", 1, at(now));
        home.page_limit = 1 + dice.index(40);
        let settings = Settings { interval_millis: 1 + dice.below(5_000), listens: dice.chance(50), seed };
        let copy = Copy::new(&home, settings, [Source::Home]);
        let mut world = Self {
            now,
            weather: Weather::CALM,
            restarts: 0,
            bustle: 0,
            home,
            shadows: Vec::new(),
            copies: vec![copy],
            town: None,
            next_append: now,
            dice,
        };
        world.restart(0);
        world
    }

    pub(crate) fn time(&self) -> Timestamp {
        at(self.now)
    }

    /// The only copy, in a world with one.
    pub(crate) fn only(&self) -> &Copy {
        &self.copies[0]
    }

    pub(crate) fn restart(&mut self, copy: usize) {
        self.copies[copy].restart(&self.home, self.now);
    }

    /// Makes whoever a copy asks lie to it from now on.
    pub(crate) fn deceive(&mut self, copy: usize, lie: Lie, shadow: Option<Home>) {
        (self.copies[copy].lie, self.copies[copy].shadowed) = (Some(lie), shadow.is_some());
        self.copies[copy].misled |= shadow.is_some();
        self.shadows.extend(shadow);
    }

    /// Ends all lies.
    pub(crate) fn heal(&mut self) {
        for copy in &mut self.copies {
            (copy.lie, copy.shadowed, copy.network) = (None, false, Network::default());
            copy.restart(&self.home, self.now);
        }
    }

    pub(crate) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// Runs until the only copy holds and knows everything that the home has signed, or a number of steps is over;
    /// returns whether it does.
    pub(crate) fn run_until_equal(&mut self, steps: usize) -> bool {
        (0..steps).any(|_| {
            self.step();
            let copy = self.only();
            copy.memory.leaves == self.home.leaves && copy.mirror.status().as_of >= self.vouched()
        })
    }

    /// When the home last vouched for its log.
    fn vouched(&self) -> Option<Timestamp> {
        self.home.signed.last().map(|(seconds, _)| Timestamp::from_seconds(*seconds))
    }

    pub(crate) fn stop(&self) -> Option<Stop> {
        self.only().stop()
    }

    /// Takes a step; returns whether anything is still to come.
    pub(crate) fn step(&mut self) -> bool {
        match &self.town {
            None => self.bustle(),
            Some(_) => Town::live_on(self),
        }
        let wakes: Vec<u64> = (0..self.copies.len()).filter_map(|copy| self.step_copy(copy)).collect();
        let next_append = (self.bustle > 0).then_some(self.next_append);
        let next = wakes.into_iter().chain(next_append).min();
        self.now = next.unwrap_or(self.now).max(self.now + 1);
        next.is_some()
    }

    /// Handles what has arrived at a copy and what it does next; returns when it wants to be woken.
    fn step_copy(&mut self, i: usize) -> Option<u64> {
        let (now, clock) = (self.now, self.clock(i));
        while let Some((from, answer)) = self.copies[i].network.receive(now) {
            self.copies[i].waiting_until = None;
            self.copies[i].mirror.hears(from);
            self.deliver(i, answer);
        }
        if self.copies[i].waiting_until.is_some_and(|until| until <= now) {
            self.copies[i].waiting_until = None;
            self.copies[i].mirror.handle_unreached("no answer in time", clock);
        }
        if self.dice.chance(self.restarts) {
            self.restart(i);
        }
        if self.lacks(Sabotage::ForgetsWhatItHeld) && self.has_found_a_fork(i) {
            self.copies[i].memory = Memory::default();
            self.restart(i);
        }
        self.tell(i);
        let clock = self.clock(i);
        let action = mirror_asked_twice(&self.copies[i].mirror, clock);
        let stays = self.lacks(Sabotage::StaysWithWhoAnswers);
        self.copies[i].pass(&action, stays, clock);
        let action = self.copies[i].mirror.poll_action(clock);
        let wake = self.perform(i, action);
        let copy = &mut self.copies[i];
        copy.troubles.extend(copy.mirror.status().trouble);
        self.check(i);
        let copy = &self.copies[i];
        // A time by a wrong clock is converted to one from now.
        let wake = wake.map(|wake| now + wake.saturating_sub(clock.as_millis()));
        [wake, copy.network.next(), copy.waiting_until].into_iter().flatten().min()
    }

    fn clock(&mut self, i: usize) -> Timestamp {
        self.copies[i].clock(self.now)
    }

    /// Whether a cure is taken away from the node that needs it.
    fn lacks(&self, cure: Sabotage) -> bool {
        self.town.as_ref().is_some_and(|town| town.lacks(cure))
    }

    /// Lets the home, and the liar's log, live on.
    fn bustle(&mut self) {
        if self.bustle == 0 || self.now < self.next_append {
            return;
        }
        self.next_append = self.now + 1 + self.dice.below(self.bustle);
        let (now, count) = (at(self.now), self.dice.index(6));
        let amends = self.dice.chance(2);
        let replaces_key = self.dice.chance(2);
        let signs = self.dice.chance(50) || replaces_key;
        let shadowed = self.copies.iter().any(|copy| copy.shadowed);
        let shadow = self.shadows.last_mut().filter(|_| shadowed);
        for (home, label) in [(Some(&mut self.home), "true"), (shadow, "false")] {
            let Some(home) = home else { continue };
            home.append_many(count, label, now);
            if amends {
                home.amend_idly(now);
            }
            if replaces_key {
                home.replace_key(1 + home.descriptors.len() as u8, now);
            }
            if signs {
                home.sign(now);
            }
        }
        if self.home.partial && self.dice.chance(20) {
            let by = [Turn::Entry, Turn::Descriptor, Turn::Peer][self.dice.index(3)];
            self.home.turn(self.dice.index(IDENTITIES), by, now);
        }
    }

    /// Whether it is time for the home to do something; if so, also determines when it is next.
    pub(crate) fn is_busy(&mut self) -> bool {
        let busy = self.bustle > 0 && self.now >= self.next_append;
        if busy {
            self.next_append = self.now + 1 + self.dice.below(self.bustle);
        }
        busy
    }

    /// Tells a listening copy what is new; the connection may break, and a waiting request is answered.
    fn tell(&mut self, i: usize) {
        let Some(listener) = &self.copies[i].listener else { return };
        let (from, way, told) = (listener.from, listener.way, listener.told.clone());
        let Some(news) = self.ask(i, |home| {
            let until = home.signed.last().map_or(0, |(_, size)| *size);
            let news = (way == Way::Stream || until > from) && home.note != told;
            let page = if news { home.page(from, limits::NEWS_ENTRIES, until) } else { None };
            page.map(|page| (home.note.clone(), until, page))
        }) else {
            return;
        };
        let Some((note, until, page)) = news else { return };
        if self.dice.chance(self.weather.lost) {
            let clock = self.clock(i);
            self.copies[i].listener = None;
            return self.copies[i].mirror.handle_silence("the stream broke", clock);
        }
        let next = Listener { from: until, way, told: note.clone() };
        self.copies[i].listener = (way == Way::Stream).then_some(next);
        let mut told = Answer::Checkpoint(note.into_bytes());
        self.twist(i, &mut told);
        let Answer::Checkpoint(note) = told else { return };
        let page = wire::Page { checkpoint: Some(String::from_utf8_lossy(&note).into_owned()), ..page };
        let mut answer = json_page(&page);
        self.twist(i, &mut answer);
        if let Answer::Page(json) = answer {
            self.send(i, Answer::News(json));
        }
    }

    fn twist(&mut self, i: usize, answer: &mut Answer) {
        let copy = &mut self.copies[i];
        // Only the home says what was erased of a part, and nobody can disprove it.
        let is_its_to_say = copy.partial && copy.source() == Source::Home && matches!(copy.lie, Some(Lie::Erased));
        if let Some(lie) = copy.lie.as_mut().filter(|_| !is_its_to_say) {
            lie.twist(answer, &mut self.dice);
        }
    }

    fn send(&mut self, i: usize, answer: Answer) {
        let copy = &mut self.copies[i];
        if self.now >= copy.cut_until {
            copy.network.send(copy.asked(), answer, self.now, self.weather, &mut self.dice);
        }
    }

    fn perform(&mut self, i: usize, action: Action) -> Option<u64> {
        if let Action::Listen { from, way, until } = action {
            self.listen(i, from, way);
            return Some(until.as_millis());
        }
        if !matches!(action, Action::Apply(_) | Action::Stopped(_)) {
            self.copies[i].listener = None;
        }
        let clock = self.clock(i);
        if self.copies[i].looks(&action, clock) {
            return Some(clock.as_millis());
        }
        match action {
            Action::Listen { .. } | Action::Stopped(_) => None,
            Action::Wait { until } => Some(until.as_millis()),
            Action::Apply(page) => {
                self.apply(i, &page);
                Some(clock.as_millis())
            }
            Action::Fill(fill) => {
                self.fill(i, &fill);
                Some(clock.as_millis())
            }
            question => {
                self.question(i, &question);
                None
            }
        }
    }

    fn listen(&mut self, i: usize, from: u64, way: Way) {
        let copy = &mut self.copies[i];
        if copy.listener.is_some() {
            return;
        }
        if way == Way::Stream && !copy.is_new {
            let clock = copy.clock(self.now);
            return copy.mirror.handle_silence("there is no stream", clock);
        }
        // The first event of a stream comes at once; a request waits.
        copy.listener = Some(Listener { from, way, told: String::new() });
        self.tell(i);
    }

    /// Asks the current peer, unless an answer is pending.
    fn question(&mut self, i: usize, action: &Action) {
        if self.copies[i].waiting_until.is_some() {
            return;
        }
        self.copies[i].waiting_until = Some(self.now + PATIENCE);
        let is_new = self.copies[i].is_new;
        let answer = self.ask(i, |home| match action {
            Action::FetchDescriptors { from } => Some(json_descriptors(&home.descriptors(*from))),
            Action::FetchCheckpoint => Some(Answer::Checkpoint(home.note.clone().into_bytes())),
            Action::FetchAgain(again) => home.again(again).map(|shown| json_shown(&shown)),
            Action::FetchPage { from, limit, until } => home.page(*from, *limit, *until).map(|page| json_page(&page)),
            _ => None,
        });
        if let Some(mut answer) = answer.flatten() {
            self.twist(i, &mut answer);
            if let (Answer::Page(json), true) = (&answer, is_new) {
                answer = wire::Page::decode(json).map_or(answer, |page| Answer::Packed(packed::pack(&page)));
            }
            self.send(i, answer);
        }
    }

    /// The answer of the current peer to a question, if it can be reached and holds anything.
    fn ask<T>(&self, i: usize, question: impl FnOnce(&Home) -> T) -> Option<T> {
        let copy = &self.copies[i];
        if let Some(shadow) = self.shadows.last().filter(|_| copy.shadowed) {
            return Some(question(&shadow.for_reader(copy.partial || self.home.partial)));
        }
        let is_cut = |copy: &Copy| self.now < copy.cut_until;
        let silent = self.town.as_ref().is_some_and(|town| town.silent || town.down);
        let all = self.lacks(Sabotage::ShowsEverything);
        match copy.source() {
            _ if is_cut(copy) => None,
            Source::Home if silent => None,
            Source::Home if all => Some(question(&self.home.for_reader(copy.partial).into_owned().indiscreet())),
            Source::Home if self.town.is_none() => Some(question(&self.home)),
            Source::Home => Some(question(&self.home.for_reader(copy.partial))),
            Source::Copy(other) => {
                let other = Some(&self.copies[other]).filter(|other| !is_cut(other))?;
                let served = other.served(&self.home.origin.domain)?;
                let shown = served.for_reader(copy.partial);
                match &copy.lie {
                    Some(Lie::LeavesOut(chance)) => Some(question(&shown.keeping_back(shown.any_said(*chance)))),
                    _ => Some(question(&shown)),
                }
            }
        }
    }

    /// Stores a page; the node may be killed before or after, or its disk be full.
    fn apply(&mut self, i: usize, page: &ics_sync::mirror::VerifiedPage) {
        if self.dice.chance(self.restarts) {
            return self.restart(i);
        }
        let stored = self.copies[i].memory.store(page);
        self.stored(i, stored, |copy, clock| copy.mirror.handle_applied(clock));
    }

    fn fill(&mut self, i: usize, fill: &Fill) {
        if self.dice.chance(self.restarts) {
            return self.restart(i);
        }
        let stored = self.copies[i].memory.take(fill);
        self.stored(i, stored, |copy, _| copy.mirror.handle_filled());
    }

    fn stored(&mut self, i: usize, stored: Result<(), String>, handle: impl FnOnce(&mut Copy, Timestamp)) {
        let clock = self.clock(i);
        match stored {
            Err(problem) => self.copies[i].mirror.handle_failure(&problem, clock),
            Ok(()) if self.dice.chance(self.restarts) => self.restart(i),
            Ok(()) => handle(&mut self.copies[i], clock),
        }
    }

    fn deliver(&mut self, i: usize, answer: Answer) {
        let clock = self.clock(i);
        let copy = &mut self.copies[i];
        let mirror = &mut copy.mirror;
        let problem = match answer {
            Answer::Descriptors(json) => {
                wire::Descriptors::decode(&json).map(|all| mirror.handle_descriptors(&all, clock)).err()
            }
            Answer::Page(json) => wire::Page::decode(&json).map(|page| mirror.handle_page(page, clock)).err(),
            Answer::Packed(bytes) => packed::unpack(&bytes).map(|page| mirror.handle_page(page, clock)).err(),
            Answer::Shown(json) => wire::Shown::decode(&json).map(|shown| mirror.handle_shown(shown, clock)).err(),
            Answer::News(json) => match wire::Page::decode(&json) {
                Ok(page) => {
                    mirror.handle_news(News::Page(page), clock);
                    None
                }
                Err(problem) if copy.listener.take().is_some() => {
                    return mirror.handle_silence(&problem.to_string(), clock);
                }
                Err(_) => None,
            },
            Answer::Checkpoint(note) => {
                mirror.handle_checkpoint(&String::from_utf8_lossy(&note), clock);
                None
            }
        };
        if let Some(problem) = problem {
            mirror.handle_failure(&problem.to_string(), clock);
        }
    }
}

/// Polls twice: asking must change nothing.
fn mirror_asked_twice(mirror: &ics_sync::mirror::Mirror, clock: Timestamp) -> Action {
    let action = mirror.poll_action(clock);
    assert_eq!(action, mirror.poll_action(clock), "asking changes nothing");
    action
}

impl World {
    /// How far what a copy holds agrees with each log.
    pub(crate) fn describe(&self, i: usize) -> String {
        let copy = &self.copies[i];
        let common = |home: &Home| home.leaves.iter().zip(&copy.memory.leaves).take_while(|(a, b)| a == b).count();
        let logs = [&self.home].into_iter().chain(&self.shadows);
        let logs: Vec<_> = logs.map(|home| (common(home), home.size(), home.signed_size())).collect();
        let (held, status) = (copy.memory.size(), copy.mirror.status());
        format!("copy {i}: {held} held; in common, size, signed: {logs:?}; {status:?}")
    }

    /// Checks what must hold of a copy at every moment.
    fn check(&mut self, i: usize) {
        let copy = &self.copies[i];
        let held = &copy.memory.leaves;
        if self.town.is_none() {
            let begins = |home: &Home| home.leaves.starts_with(held) && copy.memory.size() <= home.signed_size();
            let mut others = self.shadows.iter().filter(|other| other.origin == self.home.origin);
            let proven = begins(&self.home) || others.any(begins);
            assert!(proven, "what is applied begins a log that the home signed: {}", self.describe(i));
        }
        let status = copy.mirror.status();
        assert!(status.size <= copy.memory.size(), "nothing counts as held that is not stored");
        if self.town.is_some() {
            return Town::check(self, i);
        }
        self.check_identities(i);
        let Some(as_of) = status.as_of.filter(|_| self.shadows.is_empty()) else { return };
        assert!(as_of <= self.time(), "no news from the future");
        let missed = self.missed(i, as_of);
        assert_eq!(missed, None, "all that the home had signed as of {as_of} is held");
    }

    /// What the home had signed before a time and a copy does not hold.
    pub(crate) fn missed(&self, i: usize, as_of: Timestamp) -> Option<&(u64, u64)> {
        let held = self.copies[i].memory.size();
        self.home.signed.iter().find(|(at, size)| *at < as_of.as_seconds() && *size > held)
    }

    /// A copy that shows something about an identity shows everything that the home had signed about it, up to its
    /// checkpoint; or it knows that something about it may no longer be read, and vouches for nothing.
    fn check_identities(&self, i: usize) {
        if !self.shadows.is_empty() {
            return;
        }
        let memory = &self.copies[i].memory;
        let shown: BTreeSet<usize> = memory.shown().collect();
        for index in &shown {
            let id = self.home.about[*index];
            let is_lost = |(at, kept): (usize, &Kept)| self.home.about[at] == id && matches!(kept, Kept::Lost(_));
            if memory.kept.iter().enumerate().any(is_lost) {
                continue;
            }
            let missing = (0..memory.sealed).find(|at| self.home.about[*at] == id && !shown.contains(at));
            assert_eq!(missing.filter(|_| id != OWN), None, "identity {id} is shown in part: {}", self.describe(i));
        }
    }

    /// Whether it shows everything that may be read, and nothing else.
    pub(crate) fn shows_what_it_may(&self, i: usize) -> bool {
        let copy = &self.copies[i];
        let hides =
            |index: &usize| (copy.partial || self.home.partial) && self.home.hidden.contains(&self.home.about[*index]);
        let readable = (0..self.home.entries.len()).filter(|index| !hides(index));
        copy.memory.shown().eq(readable)
    }
}

pub(crate) fn json_page(page: &wire::Page) -> Answer {
    Answer::Page(serde_json::to_vec(page).expect("JSON"))
}

fn json_shown(shown: &wire::Shown) -> Answer {
    Answer::Shown(serde_json::to_vec(shown).expect("JSON"))
}

fn json_descriptors(descriptors: &wire::Descriptors) -> Answer {
    Answer::Descriptors(serde_json::to_vec(descriptors).expect("JSON"))
}
