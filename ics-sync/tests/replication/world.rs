//! One mirror, one peer, a network between them, and a clock that jumps from event to event.

use std::collections::BTreeSet;

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_sync::mirror::{Action, Fill, Mirror, Settings, Stop, Trouble, Way};
use ics_sync::news::News;
use ics_sync::wire;

use crate::home::{Home, IDENTITIES, OWN, Turn, at};
use crate::lies::Lie;
use crate::memory::{Kept, Memory};
use crate::network::{Answer, Dice, Network, Weather};

/// Milliseconds after which an answer is no longer waited for.
const PATIENCE: u64 = 3_000;

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) now: u64,
    pub(crate) weather: Weather,
    /// Percentage of steps at which the mirror is killed and started again.
    pub(crate) restarts: u64,
    /// Milliseconds between two appends, at most; nothing is appended at 0.
    pub(crate) bustle: u64,
    pub(crate) home: Home,
    /// How the peer lies.
    pub(crate) lie: Option<Lie>,
    /// Other logs that the peer has served.
    pub(crate) shadows: Vec<Home>,
    /// Whether it serves the last of them now.
    shadowed: bool,
    pub(crate) memory: Memory,
    pub(crate) mirror: Mirror,
    /// Every trouble that the mirror has reported.
    pub(crate) troubles: Vec<Trouble>,
    pinned: bool,
    settings: Settings,
    network: Network,
    waiting_until: Option<u64>,
    /// How many entries the mirror has, as the peer thinks that pushes news to it, and by which way.
    listener: Option<(u64, Way)>,
    next_append: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let now = 1_700_000_000_000 + dice.below(1_000_000);
        let mut home = Home::new("devices.acme.example", 1, at(now));
        home.page_limit = 1 + dice.index(40);
        let settings = Settings { interval_millis: 1 + dice.below(5_000), listens: dice.chance(50), seed };
        let mirror = Mirror::on_first_contact(home.origin.domain.clone(), settings);
        let mut world = Self {
            now,
            weather: Weather::CALM,
            restarts: 0,
            bustle: 0,
            home,
            lie: None,
            shadows: Vec::new(),
            shadowed: false,
            memory: Memory::default(),
            mirror,
            troubles: Vec::new(),
            pinned: dice.chance(50),
            settings,
            network: Network::default(),
            waiting_until: None,
            listener: None,
            next_append: now,
            dice,
        };
        world.restart();
        world
    }

    pub(crate) fn time(&self) -> Timestamp {
        at(self.now)
    }

    /// Kills the mirror and starts it again from what was stored.
    pub(crate) fn restart(&mut self) {
        self.mirror = match self.memory.size() {
            0 if self.pinned => Mirror::pinned(self.home.origin.clone(), self.settings),
            _ => self.memory.mirror(&self.home.origin.domain, self.settings, self.time()),
        };
        (self.waiting_until, self.listener) = (None, None);
    }

    /// Has the peer lie from now on.
    pub(crate) fn deceive(&mut self, lie: Lie, shadow: Option<Home>) {
        self.lie = Some(lie);
        self.shadowed = shadow.is_some();
        self.shadows.extend(shadow);
    }

    /// Asks the home itself from now on.
    pub(crate) fn heal(&mut self) {
        (self.lie, self.shadowed) = (None, false);
        self.network = Network::default();
        self.restart();
    }

    pub(crate) fn run(&mut self, steps: usize) {
        (0..steps).for_each(|_| self.step());
    }

    /// Runs until the mirror holds and knows all that the home has signed, or a number of steps is over.
    pub(crate) fn run_until_equal(&mut self, steps: usize) -> bool {
        (0..steps).any(|_| {
            self.step();
            self.memory.leaves == self.home.leaves && self.mirror.status().as_of >= self.vouched()
        })
    }

    /// When the home last vouched for its log.
    fn vouched(&self) -> Option<Timestamp> {
        self.home.signed.last().map(|(seconds, _)| Timestamp::from_seconds(*seconds))
    }

    pub(crate) fn stop(&self) -> Option<Stop> {
        self.mirror.status().stopped
    }

    pub(crate) fn step(&mut self) {
        self.bustle();
        while let Some(answer) = self.network.receive(self.now) {
            self.waiting_until = None;
            self.deliver(answer);
        }
        if self.waiting_until.is_some_and(|until| until <= self.now) {
            self.waiting_until = None;
            self.mirror.handle_failure("no answer in time", self.time());
        }
        if self.dice.chance(self.restarts) {
            self.restart();
        }
        let action = self.mirror.poll_action(self.time());
        assert_eq!(action, self.mirror.poll_action(self.time()), "asking changes nothing");
        let wake = self.perform(action);
        self.troubles.extend(self.mirror.status().trouble);
        self.check();
        let next_append = (self.bustle > 0).then_some(self.next_append);
        let next = [wake, self.network.next(), self.waiting_until, next_append].into_iter().flatten().min();
        self.now = next.unwrap_or(self.now).max(self.now + 1);
    }

    /// Lets the home, and the liar's, live on.
    fn bustle(&mut self) {
        if self.bustle == 0 || self.now < self.next_append {
            return;
        }
        self.next_append = self.now + 1 + self.dice.below(self.bustle);
        let (now, count) = (at(self.now), self.dice.index(6));
        let amends = self.dice.chance(2);
        let replaces_key = self.dice.chance(2);
        let signs = self.dice.chance(50) || replaces_key;
        let shadow = self.shadows.last_mut().filter(|_| self.shadowed);
        for (home, label) in [(Some(&mut self.home), "true"), (shadow, "false")] {
            let Some(home) = home else { continue };
            home.append_many(count, label, now);
            if amends {
                home.amend(now, |next| next.description = format!("as of {now}"));
            }
            if replaces_key {
                home.replace_key(1 + home.descriptors.len() as u8, now);
            }
            if signs {
                home.sign(now);
            }
        }
        if signs {
            self.push();
        }
        if self.home.partial && self.dice.chance(20) {
            let by = [Turn::Entry, Turn::Descriptor, Turn::Peer][self.dice.index(3)];
            self.home.turn(self.dice.index(IDENTITIES), by, now);
        }
    }

    /// Tells who listens what is new; the way to him may break, and whoever waited with one request is answered.
    fn push(&mut self) {
        let Some((from, way)) = self.listener else { return };
        if self.dice.chance(self.weather.lost) {
            self.listener = None;
            return self.mirror.handle_silence("the stream broke", self.time());
        }
        let (note, until) = (self.peer().note.clone(), self.peer().signed.last().map_or(0, |(_, size)| *size));
        let Some(page) = self.peer().page(from, limits::NEWS_ENTRIES, until) else { return };
        self.listener = (way == Way::Stream).then_some((until, way));
        let mut told = Answer::Checkpoint(note.into_bytes());
        self.twist(&mut told);
        let Answer::Checkpoint(note) = told else { return };
        let page = wire::Page { checkpoint: Some(String::from_utf8_lossy(&note).into_owned()), ..page };
        let mut answer = json_page(&page);
        self.twist(&mut answer);
        if let Answer::Page(json) = answer {
            self.network.send(Answer::News(json), self.now, self.weather, &mut self.dice);
        }
    }

    fn twist(&mut self, answer: &mut Answer) {
        if let Some(lie) = &mut self.lie {
            lie.twist(answer, &mut self.dice);
        }
    }

    fn perform(&mut self, action: Action) -> Option<u64> {
        if let Action::Listen { from, way, until } = action {
            if self.listener.is_none() {
                self.listener = Some((from, way));
                // The first event of a stream comes at once; a request waits.
                if way == Way::Stream || self.peer().signed_size() > from {
                    self.push();
                }
            }
            return Some(until.as_millis());
        }
        if !matches!(action, Action::Apply(_) | Action::Stopped(_)) {
            self.listener = None;
        }
        let asked = match action {
            Action::Listen { .. } => None,
            Action::Wait { until } => return Some(until.as_millis()),
            Action::Stopped(_) => return None,
            Action::Apply(page) => {
                self.apply(&page);
                return None;
            }
            Action::Survey(survey) => {
                self.mirror.handle_surveyed(self.memory.look(&survey));
                return None;
            }
            Action::Fill(fill) => {
                self.fill(&fill);
                return None;
            }
            _ if self.waiting_until.is_some() => return None,
            Action::FetchDescriptors { from } => Some(json_descriptors(&self.peer().descriptors(from))),
            Action::FetchCheckpoint => Some(Answer::Checkpoint(self.peer().note.clone().into_bytes())),
            Action::FetchAgain(again) => {
                Some(Answer::Shown(serde_json::to_vec(&self.peer().again(&again)).expect("JSON")))
            }
            Action::FetchPage { from, limit, until } => self.peer().page(from, limit, until).map(|p| json_page(&p)),
        };
        self.waiting_until = Some(self.now + PATIENCE);
        if let Some(mut answer) = asked {
            self.twist(&mut answer);
            self.network.send(answer, self.now, self.weather, &mut self.dice);
        }
        None
    }

    /// Whose log the peer serves.
    fn peer(&self) -> &Home {
        self.shadows.last().filter(|_| self.shadowed).unwrap_or(&self.home)
    }

    /// Stores a page; the node may be killed before or after, or its disk be full.
    fn apply(&mut self, page: &ics_sync::mirror::VerifiedPage) {
        if self.dice.chance(self.restarts) {
            return self.restart();
        }
        match self.memory.store(page) {
            Err(problem) => self.mirror.handle_failure(&problem, self.time()),
            Ok(()) if self.dice.chance(self.restarts) => self.restart(),
            Ok(()) => self.mirror.handle_applied(self.time()),
        }
    }

    fn fill(&mut self, fill: &Fill) {
        if self.dice.chance(self.restarts) {
            return self.restart();
        }
        match self.memory.take(fill) {
            Err(problem) => self.mirror.handle_failure(&problem, self.time()),
            Ok(()) if self.dice.chance(self.restarts) => self.restart(),
            Ok(()) => self.mirror.handle_filled(),
        }
    }

    fn deliver(&mut self, answer: Answer) {
        let now = self.time();
        let problem = match answer {
            Answer::Descriptors(json) => {
                wire::Descriptors::decode(&json).map(|all| self.mirror.handle_descriptors(&all, now)).err()
            }
            Answer::Page(json) => wire::Page::decode(&json).map(|page| self.mirror.handle_page(page, now)).err(),
            Answer::Shown(json) => wire::Shown::decode(&json).map(|shown| self.mirror.handle_shown(shown, now)).err(),
            Answer::News(json) => match wire::Page::decode(&json) {
                Ok(page) => {
                    self.mirror.handle_news(News::Page(page), now);
                    None
                }
                Err(problem) if self.listener.take().is_some() => {
                    return self.mirror.handle_silence(&problem.to_string(), now);
                }
                Err(_) => None,
            },
            Answer::Checkpoint(note) => {
                self.mirror.handle_checkpoint(&String::from_utf8_lossy(&note), now);
                None
            }
        };
        if let Some(problem) = problem {
            self.mirror.handle_failure(&problem.to_string(), now);
        }
    }

    /// How far what is held agrees with each log.
    fn describe(&self) -> String {
        let common = |home: &Home| home.leaves.iter().zip(&self.memory.leaves).take_while(|(a, b)| a == b).count();
        let logs = [&self.home].into_iter().chain(&self.shadows);
        let logs: Vec<_> = logs.map(|home| (common(home), home.size(), home.signed_size())).collect();
        format!("{} held; in common, size, signed: {logs:?}; {:?}", self.memory.size(), self.mirror.status())
    }

    /// What must hold at every moment.
    fn check(&self) {
        let held = &self.memory.leaves;
        let begins = |home: &Home| home.leaves.starts_with(held) && self.memory.size() <= home.signed_size();
        // Without a pin, whatever log is seen first is the one.
        let mut others = self.shadows.iter().filter(|other| !self.pinned || other.origin == self.home.origin);
        let proven = begins(&self.home) || others.any(begins);
        assert!(proven, "what is applied begins a log that the home signed: {}", self.describe());
        let status = self.mirror.status();
        assert!(status.size <= self.memory.size(), "nothing counts as held that is not stored");
        self.check_identities();
        let Some(as_of) = status.as_of.filter(|_| self.shadows.is_empty()) else { return };
        assert!(as_of <= self.time(), "no news from the future");
        let missed = self.home.signed.iter().find(|(at, size)| *at < as_of.as_seconds() && *size > self.memory.size());
        assert_eq!(missed, None, "all that the home had signed as of {as_of} is held");
    }
}

impl World {
    /// Whoever shows something about an identity shows all that the home had signed about it, up to its checkpoint; or
    /// knows that something about it may be read no longer, and vouches for nothing.
    fn check_identities(&self) {
        if !self.shadows.is_empty() {
            return;
        }
        let shown: BTreeSet<usize> = self.memory.shown().collect();
        for index in &shown {
            let id = self.home.about[*index];
            let is_lost = |(at, kept): (usize, &Kept)| self.home.about[at] == id && matches!(kept, Kept::Lost(_));
            if self.memory.kept.iter().enumerate().any(is_lost) {
                continue;
            }
            let missing = (0..self.memory.sealed).find(|at| self.home.about[*at] == id && !shown.contains(at));
            assert_eq!(missing.filter(|_| id != OWN), None, "identity {id} is shown in part: {}", self.describe());
        }
    }

    /// Whether all is shown that may be read, and nothing else.
    pub(crate) fn shows_what_it_may(&self) -> bool {
        let readable =
            (0..self.home.entries.len()).filter(|index| !self.home.hidden.contains(&self.home.about[*index]));
        self.memory.shown().eq(readable)
    }
}

pub(crate) fn json_page(page: &wire::Page) -> Answer {
    Answer::Page(serde_json::to_vec(page).expect("JSON"))
}

fn json_descriptors(descriptors: &wire::Descriptors) -> Answer {
    Answer::Descriptors(serde_json::to_vec(descriptors).expect("JSON"))
}
