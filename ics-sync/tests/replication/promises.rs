//! What is promised of a federation, each promise by its name, and what breaks each of them.

use ics_core::log::LeafData;

/// What must hold whatever network, clocks, disks and peers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    AcknowledgedStaysForEver,
    ReadersConvergeAfterHealing,
    DecisionDependsOnlyOnStatementsPolicyAndTime,
    NothingVisibleOutsidePolicy,
    CurrentMeansComplete,
    BlockedNeverShownAsPermittedWhileFresh,
    NoUnnoticedFork,
}

impl Promise {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AcknowledgedStaysForEver => "acknowledged-stays-for-ever",
            Self::ReadersConvergeAfterHealing => "readers-converge-after-healing",
            Self::DecisionDependsOnlyOnStatementsPolicyAndTime => "decision-depends-only-on-statements-policy-and-time",
            Self::NothingVisibleOutsidePolicy => "nothing-visible-outside-policy",
            Self::CurrentMeansComplete => "current-means-complete",
            Self::BlockedNeverShownAsPermittedWhileFresh => "blocked-never-shown-as-permitted-while-fresh",
            Self::NoUnnoticedFork => "no-unnoticed-fork",
        }
    }
}

/// A promise that was broken, and how.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) how: String,
}

/// What a node of the simulation does wrong on purpose: one cure is taken away from it, so that the promise which hangs
/// on it is seen to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The home gives receipts before it has written.
    AcknowledgesBeforeItWrites,
    /// A copy judges what it is given as of its own clock.
    JudgesByItsOwnClock,
    /// Whoever serves a page leaves nothing out of it.
    ShowsEverything,
    /// The home vouches with a new time for a head that is no longer its newest.
    VouchesForAnOldHead,
    /// A copy asks the same peer for as long as he answers, whatever he knows.
    StaysWithWhoAnswers,
    /// A copy of a part takes the word of any peer for what it may read.
    BelievesWhoIsNotTheHome,
    /// A copy takes news for as fresh as its own clock.
    BelievesOldNews,
    /// A copy that has found a fork forgets what it held, and begins anew with what it is shown now.
    ForgetsWhatItHeld,
}

impl Sabotage {
    pub(crate) const ALL: [Self; 8] = [
        Self::BelievesWhoIsNotTheHome,
        Self::ForgetsWhatItHeld,
        Self::AcknowledgesBeforeItWrites,
        Self::StaysWithWhoAnswers,
        Self::JudgesByItsOwnClock,
        Self::ShowsEverything,
        Self::VouchesForAnOldHead,
        Self::BelievesOldNews,
    ];

    /// The seed of a life that shows it. Which lives do changes with what a copy does; the first that does is found by
    /// trying them all.
    pub(crate) const fn seen_in(self) -> u64 {
        match self {
            Self::BelievesWhoIsNotTheHome => 123,
            Self::ForgetsWhatItHeld => 41,
            Self::AcknowledgesBeforeItWrites => 3,
            Self::StaysWithWhoAnswers => 115,
            Self::JudgesByItsOwnClock | Self::ShowsEverything => 0,
            Self::VouchesForAnOldHead => 9,
            Self::BelievesOldNews => 10,
        }
    }

    /// The promise that it breaks.
    pub(crate) const fn breaks(self) -> Promise {
        match self {
            Self::AcknowledgesBeforeItWrites => Promise::AcknowledgedStaysForEver,
            Self::JudgesByItsOwnClock => Promise::DecisionDependsOnlyOnStatementsPolicyAndTime,
            Self::ShowsEverything => Promise::NothingVisibleOutsidePolicy,
            Self::VouchesForAnOldHead | Self::BelievesWhoIsNotTheHome => Promise::CurrentMeansComplete,
            Self::StaysWithWhoAnswers => Promise::ReadersConvergeAfterHealing,
            Self::BelievesOldNews => Promise::BlockedNeverShownAsPermittedWhileFresh,
            Self::ForgetsWhatItHeld => Promise::NoUnnoticedFork,
        }
    }
}

/// A receipt that a client has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    pub(crate) index: usize,
    pub(crate) leaf: LeafData,
}
