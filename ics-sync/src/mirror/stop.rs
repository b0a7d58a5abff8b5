//! The reasons for which a mirror stops, for good or for a while.

use core::fmt;

use ics_core::limits;
use ics_core::log::checkpoint::{CheckpointError, Origin};
use ics_core::log::entry::{EntryKind, HeaderError};
use ics_core::statement::StatementId;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

/// Why a mirror has stopped for good: nothing that it is told makes it continue. What it holds stays as it is, and
/// another mirror may begin from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The home signed two different logs: proof of misbehaviour, to be kept.
    #[error("fork: the home of the domain signed two different roots for {size} entries")]
    Fork {
        /// The size of the smaller log, or of both: in the other, this many entries have another root.
        size: u64,
        /// The note of this size or a larger one that this mirror had verified before; absent if it had none.
        ours: Option<String>,
        /// The note that contradicts it.
        theirs: String,
    },
    /// Entries that do not lead from what is held here to what the home signed: a false page, or a fork.
    #[error(
        "the entries from {from} on do not lead from the {from} held here to the {size} of the home's checkpoint: \
         either the page is false, or the home signed two logs"
    )]
    Unproven {
        /// Entries held here.
        from: u64,
        /// Size of the checkpoint.
        size: u64,
        /// The note that covers all that is held here or, if a mirror that begins anew knows none, the last one that
        /// was reached.
        ours: Option<String>,
        /// The note to which the page does not lead.
        theirs: String,
    },
    /// Another domain, or another beginning of the domain with this name.
    #[error("the peer serves the log of `{found}`, this is a mirror of `{expected}`")]
    Origin {
        /// What is pinned here.
        expected: Origin,
        /// What the peer serves.
        found: String,
    },
    /// The first entry is not the descriptor of a domain with this name.
    #[error("the first entry of the log does not found the domain `{domain}`: {problem}")]
    Founding {
        /// The domain that was expected.
        domain: DomainName,
        /// What is wrong with it.
        problem: String,
    },
    /// A descriptor that the owners did not put in force.
    #[error("the descriptor that the peer shows after version {after} does not come from the owners: {problem}")]
    Descriptor {
        /// The version before it.
        after: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Rules that this program does not know.
    #[error("descriptor version {version} needs newer software: {problem}")]
    Rules {
        /// The descriptor's version.
        version: u64,
        /// Which rules it names.
        problem: String,
        /// Whether it stands in the log. A peer may show one beside it that the owners have signed and not put in force
        /// here, such as that of another domain of theirs.
        is_logged: bool,
    },
    /// A checkpoint with a wrong signature.
    #[error("the checkpoint is refused: {0}")]
    Checkpoint(CheckpointError),
    /// A checkpoint that no home of the domain signed.
    #[error("the checkpoint bears no signature of a home that the domain's descriptors name")]
    Unsigned,
    /// A checkpoint under a key that had been replaced; such a key never counts again.
    #[error(
        "the checkpoint of {size} entries is signed by the home key of descriptor version {version}, which was replaced"
    )]
    FormerKey {
        /// The checkpoint's size.
        size: u64,
        /// The version that named the key.
        version: u64,
    },
    /// An entry's header that this program cannot read.
    #[error("the header of entry {index} is refused: {problem}")]
    Header {
        /// The entry's index.
        index: u64,
        /// What is wrong with it.
        problem: HeaderError,
    },
    /// An entry that everybody may read and that was withheld from this mirror. If it is not shown to others yet, whoever
    /// keeps the copy can give up what came from there on, and another mirror continues with what is left.
    #[error(
        "entry {index}, a {}, was withheld by whoever has shown the log until now, and everything after it was read \
         without it: begin this copy again with `ics domain recopy`", kind.as_str()
    )]
    KeptBack {
        /// The entry's index.
        index: u64,
        /// What it is.
        kind: EntryKind,
    },
    /// Admission times that go back.
    #[error(
        "entry {index} was admitted at {at}, before its predecessor of {before}: the home's clock went back by {}, and \
         times in a log never do, so no copy goes on after that entry: tell the home's operator",
        span(before.millis_since(*at))
    )]
    Time {
        /// The entry's index.
        index: u64,
        /// Its admission time.
        at: Timestamp,
        /// The admission time of the preceding entry.
        before: Timestamp,
    },
}

impl Stop {
    /// Whether it may be caused by the peer alone, so that another peer may do better. What the home has signed is the
    /// same at all of them, and so is what was believed here before. What a replaced key has signed is not the home's:
    /// a thief of that key only needs one peer to show it. Nor has the home signed where a header ends and the body
    /// begins: a header that is too short or too long has the leaf of the true one if the rest is in the body.
    #[must_use]
    pub const fn is_of_peer(&self) -> bool {
        match self {
            Self::Unproven { .. }
            | Self::Origin { .. }
            | Self::Founding { .. }
            | Self::Descriptor { .. }
            | Self::Checkpoint(_)
            | Self::FormerKey { .. }
            | Self::Unsigned
            | Self::Rules { is_logged: false, .. }
            | Self::Header { problem: HeaderError::Truncated | HeaderError::Trailing(_), .. } => true,
            Self::Fork { .. }
            | Self::Rules { is_logged: true, .. }
            | Self::Header { .. }
            | Self::KeptBack { .. }
            | Self::Time { .. } => false,
        }
    }
}

/// A time at which the home claims to have cosigned, too far ahead of this node's clock to be believed: entries are
/// still copied, but the copy does not become fresher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// The time that the home claims.
    pub at: Timestamp,
    /// What this node's clock showed then.
    pub now: Timestamp,
}

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (by, most) = (span(self.at.millis_since(self.now)), limits::CLOCK_SKEW_MILLIS / 1000);
        write!(
            f,
            "the home says that it cosigned at {}, {by} ahead of this node's clock; times more than {most} s ahead are \
             not believed, so the copy gets no fresher until then: find out which clock is wrong, the home's or this \
             node's",
            self.at
        )
    }
}

/// A duration, for people.
fn span(millis: u64) -> String {
    match millis / 1000 {
        seconds @ 0..7_200 => format!("{seconds} s"),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// What keeps a mirror from continuing for the moment; it tries again, ever more slowly, but at least twice a minute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The peer or the local store failed.
    #[error("{0}")]
    Failure(String),
    /// The peer knows less than this mirror: it lags behind, or was rolled back.
    #[error(
        "the peer's checkpoint has {theirs} entries, but {ours} are known here: the bundle is an older one, or the \
         peer lags behind or was rolled back"
    )]
    Stale {
        /// The size that is known here.
        ours: u64,
        /// The size that the peer gave.
        theirs: u64,
    },
    /// An answer that fits no question.
    #[error("the peer sent {0}, which nobody asked for")]
    NotAsked(String),
    /// A page without entries although the home's checkpoint says that there are some; or bare leaves although the peer
    /// does not say that anything may not be read.
    #[error("the peer withholds some or all entries from {from} on, of the {size} that the home signed")]
    Withheld {
        /// Entries held here.
        from: u64,
        /// Entries that the home signed.
        size: u64,
    },
    /// A part of the log, although the rules let anybody copy all of it. The home may nevertheless say so.
    #[error(
        "the peer shows only a part of the {size} entries and says that the rest may not be read, but by the domain's \
         rules anybody may copy all of it: the peer withholds something, or has only a part itself; ask another peer"
    )]
    Public {
        /// Entries of the log.
        size: u64,
    },
    /// A statement that the peer says was erased, although no erasure in the home's log says so, or only one about
    /// another thing.
    #[error(
        "the peer says that the statement {statement} was erased, and no erasure among the {size} entries says so: the \
         erasure is still to come, or the peer withholds the statement or names the wrong thing; if every peer goes on \
         to say so, begin the copy again (`ics domain recopy`)"
    )]
    Unerased {
        /// The statement, as the peer calls it.
        statement: StatementId,
        /// Entries of the log.
        size: u64,
    },
    /// Entries from others than the home, if the home can be asked what may be read.
    #[error(
        "the entries from {from} on came from {by}, and the home has not yet said that nothing was left out of them"
    )]
    Unconfirmed {
        /// Index of the first.
        from: u64,
        /// Who showed them.
        by: String,
    },
    /// A checkpoint that too few witnesses have cosigned.
    #[error("the checkpoint of {size} entries does not yet have the witnesses that the descriptor asks for")]
    Quorum {
        /// Its size.
        size: u64,
    },
}
