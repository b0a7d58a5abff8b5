//! Why the demo ends before its story does.

use std::io;
use std::path::PathBuf;

use crate::api::Problem;
use crate::client::descriptor::DescriptorFileError;
use crate::client::home::HomeError;
use crate::client::node::NodeError;
use crate::client::signing::SigningError;
use crate::keys::KeyError;

/// Why the story could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A home directory could not be made.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A descriptor failed.
    #[error(transparent)]
    Descriptor(#[from] DescriptorFileError),
    /// A statement could not be made.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A node gave no answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A node refused what the story needs.
    #[error("{who} refuses: {}: {}", .problem.title, .problem.detail)]
    Refused {
        /// The party whose node it is.
        who: &'static str,
        /// The node's problem.
        problem: Box<Problem>,
    },
    /// A file or directory could not be read or written.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A node ended by itself, or does not answer.
    #[error("the node of {who} {what}; the end of its log:\n{log}")]
    Process {
        /// The party whose node it is.
        who: &'static str,
        /// What happened.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// The system refuses something else that the demo needs.
    #[error("{0}")]
    System(String),
    /// Something did not go as the story says.
    #[error("not as it should be: {0}")]
    Unexpected(String),
    /// Somebody interrupted it.
    #[error("stopped before the end of the story")]
    Stopped,
}

pub(super) type Result<T> = core::result::Result<T, DemoError>;

/// Wraps any other error while something is made or proven.
pub(super) fn unexpected(error: impl core::fmt::Display) -> DemoError {
    DemoError::Unexpected(error.to_string())
}

/// Asserts what the story says.
pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(DemoError::Unexpected(what())) }
}
