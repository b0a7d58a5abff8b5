//! Carrying domains by hand: a bundle is made at one node for one of its peers, and brought to that peer.

mod bring;
mod make;

use ics_sync::bundle::BundleError;

pub use bring::{Brought, State, bring};
pub use make::{Made, Order, make};

use super::node::NodeError;

/// Why a bundle could not be made or brought completely. What was taken before is verified and stays.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// The bundle being read is at fault.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle cannot be written.
    #[error("the bundle cannot be written: {0}")]
    Unwritten(#[from] std::io::Error),
    /// The node gave no usable answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node gave an invalid checkpoint.
    #[error("the node gave no checkpoint of `{0}` that can be read")]
    Checkpoint(String),
    /// The rights of the reader changed while the bundle was made.
    #[error("what `{0}` may read of the domain has changed while the bundle was made")]
    Changed(String),
}
