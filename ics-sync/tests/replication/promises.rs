//! The promises of a federation, each by its name, and what breaks each of them.

use ics_core::log::LeafData;

/// What must hold whatever the network, clocks, disks and peers do.
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

/// A deliberate error of a node in the simulation: one cure is taken away from it, so that the promise which depends on
/// it is seen to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The home gives receipts before it has written.
    AcknowledgesBeforeItWrites,
    /// A copy judges what it is given as of its own clock.
    JudgesByItsOwnClock,
    /// A server leaves nothing out of its pages.
    ShowsEverything,
    /// The home vouches with a new time for a head that is no longer its newest.
    VouchesForAnOldHead,
    /// A copy asks the same peer for as long as it answers, whatever it knows.
    StaysWithWhoAnswers,
    /// A copy of a part takes any peer's word for what it may read.
    BelievesWhoIsNotTheHome,
    /// A copy takes news to be as fresh as its own clock.
    BelievesOldNews,
    /// A copy that has found a fork forgets what it held, and begins anew with what it is now shown.
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

    /// A seed that shows it. Which seeds do changes with what a copy does; the first is found by trying them all.
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

/// A receipt that a client holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    pub(crate) index: usize,
    pub(crate) leaf: LeafData,
}
