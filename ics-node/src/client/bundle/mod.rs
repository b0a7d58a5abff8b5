//! Domains that are carried by hand: made at one node, for one of its peers, and brought to another.

mod bring;
mod make;

use ics_sync::bundle::BundleError;

pub use bring::{Brought, State, bring};
pub use make::{Made, Order, make};

use super::node::NodeError;

/// Why a bundle was not made, or not brought to its end. What was taken until then is verified, and stays.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// The bundle that is read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The file that the bundle is written to.
    #[error("the bundle cannot be written: {0}")]
    Unwritten(#[from] std::io::Error),
    /// The node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node gave a checkpoint that is none.
    #[error("the node gave no checkpoint of `{0}` that can be read")]
    Checkpoint(String),
    /// What the reader may read has changed while the bundle was made.
    #[error("what `{0}` may read of the domain has changed while the bundle was made")]
    Changed(String),
}
