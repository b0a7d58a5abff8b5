//! A node that holds a copy: a mirror, its store, its clock, and the peers that it asks.

use std::cell::RefCell;
use std::rc::Rc;

use ics_core::log::LeafData;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::Turn;
use ics_sync::mirror::{Action, Mirror, Settings, Source as Known, Status, Stop, Trouble, Way};

use crate::home::{Home, at};
use crate::lies::Lie;
use crate::memory::Memory;
use crate::network::Network;

/// A peer that a copy asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Home,
    Copy(usize),
}

/// A listener, and what it was last told.
pub(crate) struct Listener {
    pub(crate) from: u64,
    pub(crate) way: Way,
    pub(crate) told: String,
}

pub(crate) struct Copy {
    pub(crate) memory: Memory,
    pub(crate) mirror: Mirror,
    /// Every trouble that the mirror has reported.
    pub(crate) troubles: Vec<Trouble>,
    /// The peers that it may ask, and whose turn it is.
    pub(crate) sources: Vec<Source>,
    turn: Turn,
    /// Whether its operator has told it which of them is the home.
    pub(crate) knows_home: bool,
    /// Whether it may read only a part.
    pub(crate) partial: bool,
    /// How the peer that it asks lies to it, and whether that peer serves the last of the false logs.
    pub(crate) lie: Option<Lie>,
    pub(crate) shadowed: bool,
    /// Whether a peer ever served it one of these: the home's key has then told it what it may read.
    pub(crate) misled: bool,
    /// Milliseconds by which its system clock is wrong.
    pub(crate) skew: i64,
    /// Its latest time: its clock never goes back while it runs.
    latest: u64,
    /// No messages pass to or from it until this time.
    pub(crate) cut_until: u64,
    /// Whether it speaks a version with streams and packed pages.
    pub(crate) is_new: bool,
    /// What was stored at an earlier time.
    pub(crate) backup: Option<Memory>,
    /// The log as it was once verified, to be compared with what comes later.
    pub(crate) seen: Vec<LeafData>,
    pub(crate) settings: Settings,
    pub(crate) network: Network,
    pub(crate) waiting_until: Option<u64>,
    pub(crate) listener: Option<Listener>,
    /// What it served last: a listener looks at it in every step, and reading a log again takes a while.
    last_served: RefCell<Option<Rc<Home>>>,
}

impl Copy {
    pub(crate) fn new(home: &Home, settings: Settings, sources: impl Into<Vec<Source>>) -> Self {
        Self {
            memory: Memory::default(),
            mirror: Mirror::pinned(home.origin.clone(), settings),
            troubles: Vec::new(),
            sources: sources.into(),
            turn: Turn::among(1),
            knows_home: true,
            partial: false,
            lie: None,
            shadowed: false,
            misled: false,
            skew: 0,
            latest: 0,
            cut_until: 0,
            is_new: true,
            backup: None,
            seen: Vec::new(),
            settings,
            network: Network::default(),
            waiting_until: None,
            listener: None,
            last_served: RefCell::default(),
        }
    }

    pub(crate) fn stop(&self) -> Option<Stop> {
        self.mirror.status().stopped
    }

    /// The peer that it asks now.
    pub(crate) fn source(&self) -> Source {
        self.sources[self.turn.peer()]
    }

    /// Lets the next peer be asked when it is its turn, as the driver does; `stays` is a fault.
    pub(crate) fn pass(&mut self, action: &Action, stays: bool, clock: Timestamp) {
        let rests = !stays && matches!(action, Action::Wait { .. } | Action::Listen { .. });
        let status = self.mirror.status();
        let status = Status { as_of: if stays { Some(clock) } else { status.as_of }, ..status };
        let is_in_hand =
            matches!(action, Action::Apply(_) | Action::Survey(_) | Action::Fill(_) | Action::RootAt { .. });
        if !is_in_hand && self.turn.pass(&status, rests, clock) {
            self.listener = None;
        }
        self.mirror.hears(self.turn.peer());
    }

    /// Reports what it holds; returns whether an action asks for that.
    pub(crate) fn looks(&mut self, action: &Action, clock: Timestamp) -> bool {
        match action {
            Action::RootAt { size } => self.mirror.handle_root(&self.memory.root_of(*size), clock),
            Action::Survey(survey) => self.mirror.handle_surveyed(self.memory.look(survey)),
            _ => return false,
        }
        true
    }

    /// The number of the peer that is asked now.
    pub(crate) const fn asked(&self) -> usize {
        self.turn.peer()
    }

    /// The peers that it asks, as its operator knows them.
    fn known(&self, home: &Home) -> Vec<Known> {
        let known = |source: &Source| match source {
            Source::Home => Known { is_shown: self.knows_home, ..home.as_source() },
            Source::Copy(number) => Known { name: format!("copy {number}"), key: None, is_shown: true },
        };
        self.sources.iter().map(known).collect()
    }

    /// What its clock says.
    pub(crate) fn clock(&mut self, now: u64) -> Timestamp {
        self.latest = self.latest.max(now.saturating_add_signed(self.skew));
        at(self.latest)
    }

    /// Kills it and restarts it from what was stored.
    pub(crate) fn restart(&mut self, home: &Home, now: u64) {
        self.latest = 0;
        let clock = self.clock(now);
        self.mirror = self.memory.mirror(&home.origin, self.settings, clock).among(self.known(home));
        self.turn = Turn::among(self.sources.len());
        (self.waiting_until, self.listener) = (None, None);
    }

    /// What it serves to others: what it has verified, up to its last checkpoint.
    pub(crate) fn served(&self, domain: &DomainName) -> Option<Rc<Home>> {
        if self.partial {
            return None;
        }
        let Memory { entries, sealed, note, .. } = &self.memory;
        let is_whole = entries.iter().take(*sealed).all(Option::is_some);
        let mut last = self.last_served.borrow_mut();
        // Under one checkpoint it is always the same.
        if !is_whole || last.as_ref().map(|served| &served.note) != note.as_ref() {
            *last = Home::of_copy(&self.memory, domain).map(Rc::new);
        }
        last.clone()
    }
}
