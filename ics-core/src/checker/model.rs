//! A model of what may be said about one device by those who are entitled and those who are not, small enough that
//! every order of statements is tried. A block stays until somebody entitled ends it, and nothing is permitted for
//! which nobody answers. With the rules as they are, both hold in every state; with any one of them broken, the search
//! finds a counterexample.

use std::sync::LazyLock;

use stateright::{Checker as _, Model, Property};

use crate::domain::{Context, Domain};
use crate::record::{Logged, resolve};
use crate::samples::*;
use crate::vocabulary::{Act, Effect};

/// Every order of this many statements is tried.
#[derive(Debug, Clone, Copy)]
struct Orders {
    statements: usize,
    broken: Broken,
}

/// Which rule is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// The newest status wins instead of the most restrictive.
    NewestWins,
    /// Any statement ends those that it names.
    AnybodyEnds,
    /// Every statement counts, in whatever role.
    AnybodyCounts,
    /// A statement made in a role that was lost since continues to vouch.
    RolesStay,
}

const STAYS: &str = "a block stays until somebody ends it who may";
const VOUCHED: &str = "nobody is vouched for by strangers";

/// The next statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Said {
    /// The manufacturer introduces the device.
    Introduction,
    /// A stranger introduces it.
    FalseIntroduction,
    /// The manufacturer makes the buyer its owner.
    Sale,
    /// The manufacturer takes back their first statement.
    TakenBack,
    /// The maintainer puts it into use.
    InUse,
    /// The controller suspends it.
    Suspended,
    /// The maintainer says that it is stolen.
    Stolen,
    /// Somebody puts it into use, naming the first block in `supersedes`.
    Lifted(By),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum By {
    Buyer,
    Keeper,
    Controller,
    Stranger,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    log: Vec<Said>,
    /// Which of these the home should not have admitted.
    refused: Vec<bool>,
    is_blocked: bool,
    /// A block has gone that nobody entitled has ended.
    unblocked: bool,
    /// Its use is permitted, although nobody entitled vouches for it.
    unfounded: bool,
}

static DOMAIN: LazyLock<Domain> = LazyLock::new(domain);
/// A domain where the stranger and the buyer have every role.
static OPEN: LazyLock<Domain> = LazyLock::new(|| {
    changed(0, |next| next.roles.values_mut().for_each(|spec| spec.signers.extend([STRANGER, BUYER])))
});
const STRANGER: crate::identity::Fingerprint = crate::identity::Fingerprint::V4([0x77; 20]);

fn first_block(log: &[Said]) -> Option<usize> {
    log.iter().position(|said| matches!(said, Said::Suspended | Said::Stolen))
}

fn draft(log: &[Said], n: usize) -> Draft {
    let at = n as u64;
    let lifts =
        |draft: Draft| first_block(&log[..n]).map_or_else(|| draft.clone(), |block| draft.clone().ends(block as u64));
    match log[n] {
        Said::Introduction => introduce(at),
        Said::FalseIntroduction => say(at, STRANGER, "manufacturer", Act::Identity),
        Said::Sale => grant(at, MAKER, "manufacturer", BUYER, "owner"),
        Said::TakenBack => {
            let said = log[..n].iter().position(|said| matches!(said, Said::Introduction | Said::Sale));
            said.into_iter().fold(say(at, MAKER, "manufacturer", Act::Withdrawal), |draft, n| draft.ends(n as u64))
        }
        Said::InUse => status(at, KEEPER, "maintainer", "in-use"),
        Said::Suspended => status(at, CONTROLLER, "security-controller", "suspended"),
        Said::Stolen => status(at, KEEPER, "maintainer", "stolen"),
        Said::Lifted(By::Buyer) => lifts(status(at, BUYER, "owner", "in-use")),
        Said::Lifted(By::Keeper) => lifts(status(at, KEEPER, "maintainer", "in-use")),
        Said::Lifted(By::Controller) => lifts(status(at, CONTROLLER, "security-controller", "in-use")),
        Said::Lifted(By::Stranger) => lifts(status(at, STRANGER, "owner", "in-use")),
    }
}

/// Whether the last statement may end the first block: as its signer's own, or as an owner's if the block is a
/// suspension. Read from docs/calculus.md, using no code that decides.
fn may_end(log: &[Said]) -> bool {
    let Some((last, before)) = log.split_last() else { return false };
    let Some(block) = first_block(before) else { return false };
    let sold = before.iter().enumerate().any(|(n, said)| {
        let is_live = !before.iter().enumerate().any(|(w, said)| {
            *said == Said::TakenBack
                && before[..w].iter().position(|said| matches!(said, Said::Introduction | Said::Sale)) == Some(n)
        });
        *said == Said::Sale && is_live
    });
    match (before[block], last) {
        (Said::Suspended, Said::Lifted(By::Controller)) | (Said::Stolen, Said::Lifted(By::Keeper)) => true,
        (Said::Suspended, Said::Lifted(By::Buyer)) => sold,
        _ => false,
    }
}

/// Whether somebody entitled vouches for it, from the statements alone.
fn is_vouched(log: &[Said]) -> bool {
    log.iter().enumerate().any(|(n, said)| {
        *said == Said::Introduction
            && !log.iter().enumerate().any(|(w, said)| {
                *said == Said::TakenBack
                    && log[..w].iter().position(|said| matches!(said, Said::Introduction | Said::Sale)) == Some(n)
            })
    })
}

impl Orders {
    fn domain(self) -> &'static Domain {
        if self.broken == Broken::AnybodyCounts { &OPEN } else { &DOMAIN }
    }

    /// What the log holds of these drafts.
    fn logged(self, log: &[Said], refused: &[bool]) -> Vec<Logged> {
        let mut drafts: Vec<Draft> = (0..log.len()).map(|n| draft(log, n)).collect();
        match self.broken {
            Broken::AnybodyEnds => {
                let named: Vec<_> = drafts.iter().flat_map(|draft| draft.said.claims.supersedes.clone()).collect();
                drafts.retain(|draft| !named.contains(&draft.said.id));
            }
            Broken::RolesStay => drafts.retain(|draft| draft.said.claims.act != Act::Withdrawal),
            Broken::Nothing | Broken::NewestWins | Broken::AnybodyCounts => {}
        }
        let is_refused = |draft: &Draft| refused.get(draft.index as usize).copied().unwrap_or_default();
        drafts.into_iter().map(|draft| if is_refused(&draft) { draft.refused().log() } else { draft.log() }).collect()
    }

    /// Whether the home admits the last statement.
    fn admits(self, log: &[Said], refused: &[bool]) -> bool {
        let (last, before) = (log.len() - 1, &log[..log.len() - 1]);
        let about = self.logged(before, refused);
        let context = Context { about: &about, groups: &[], unseen: false };
        let domain = grown(self.domain().clone(), (last as u64).max(1));
        let is_heard = matches!(self.broken, Broken::AnybodyCounts | Broken::AnybodyEnds);
        is_heard || domain.check(&draft(log, last).log(), &context).is_ok()
    }

    /// What the rules make of a log: whether use is blocked, and whether somebody vouches.
    fn judge(self, log: &[Said], refused: &[bool]) -> (bool, bool) {
        let about = self.logged(log, refused);
        let Some(record) = resolve(self.domain(), &device(), &about, &[], now()) else { return (false, false) };
        let newest = about.iter().rev().find(|it| it.claims().act == Act::Status);
        let blocks = match self.broken {
            Broken::NewestWins => newest.is_some_and(Logged::revokes),
            _ => record.effect() >= Effect::Blocks,
        };
        (blocks, !record.vouched.is_empty())
    }
}

impl Model for Orders {
    type State = State;
    type Action = Said;

    fn init_states(&self) -> Vec<State> {
        let (log, refused) = (Vec::new(), Vec::new());
        vec![State { log, refused, is_blocked: false, unblocked: false, unfounded: false }]
    }

    fn actions(&self, state: &State, all: &mut Vec<Said>) {
        if state.log.len() < self.statements {
            all.extend([
                Said::Introduction,
                Said::FalseIntroduction,
                Said::Sale,
                Said::TakenBack,
                Said::InUse,
                Said::Suspended,
                Said::Stolen,
            ]);
            all.extend([By::Buyer, By::Keeper, By::Controller, By::Stranger].map(Said::Lifted));
        }
    }

    fn next_state(&self, state: &State, said: Said) -> Option<State> {
        let (mut log, mut refused) = (state.log.clone(), state.refused.clone());
        log.push(said);
        refused.push(!self.admits(&log, &refused));
        let (is_blocked, is_vouched_for) = self.judge(&log, &refused);
        Some(State {
            unblocked: state.is_blocked && !is_blocked && !may_end(&log),
            unfounded: is_vouched_for && !is_vouched(&log),
            is_blocked,
            refused,
            log,
        })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(STAYS, |_, state: &State| !state.unblocked),
            Property::always(VOUCHED, |_, state: &State| !state.unfounded),
            Property::sometimes("what was blocked may be used again", |_, state: &State| {
                may_end(&state.log) && !state.is_blocked
            }),
        ]
    }
}

#[test]
fn in_every_order_of_statements_the_rules_hold() {
    let checker = Orders { statements: 4, broken: Broken::Nothing }.checker().spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 10_000, "{} states are not all there are", checker.unique_state_count());
}

#[test]
fn with_a_rule_broken_a_way_is_found() {
    for (broken, promise) in [
        (Broken::NewestWins, STAYS),
        (Broken::AnybodyEnds, STAYS),
        (Broken::AnybodyCounts, VOUCHED),
        (Broken::RolesStay, VOUCHED),
    ] {
        let checker = Orders { statements: 2, broken }.checker().spawn_bfs().join();
        assert!(checker.discovery(promise).is_some(), "{promise}: {broken:?} breaks nothing");
    }
}
