//! Why the demo ends before its story does.

use std::io;
use std::path::PathBuf;

use crate::api::Problem;
use crate::client::descriptor::DescriptorFileError;
use crate::client::home::HomeError;
use crate::client::node::NodeError;
use crate::client::signing::SigningError;
use crate::keys::KeyError;

/// Why the story could not be told to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A home directory was not made.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A descriptor failed.
    #[error(transparent)]
    Descriptor(#[from] DescriptorFileError),
    /// A statement was not made.
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
        /// What the node says.
        problem: Box<Problem>,
    },
    /// A file or directory failed.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A node ended by itself, or does not answer.
    #[error("the node of {who} {what}; the end of its log:\n{log}")]
    Process {
        /// The party whose node it is.
        who: &'static str,
        /// What happened.
        what: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// The system refuses something else that the demo needs.
    #[error("{0}")]
    System(String),
    /// Something went otherwise than the story says.
    #[error("not as it should be: {0}")]
    Unexpected(String),
    /// Somebody stopped it.
    #[error("stopped before the end of the story")]
    Stopped,
}

pub(super) type Result<T> = core::result::Result<T, DemoError>;

/// Anything else that goes wrong while something is made or proven.
pub(super) fn unexpected(error: impl core::fmt::Display) -> DemoError {
    DemoError::Unexpected(error.to_string())
}

/// What the story says must hold.
pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(DemoError::Unexpected(what())) }
}
