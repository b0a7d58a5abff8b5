//! What ceases to count once the next version of a descriptor is in force; in JSON, members beside the requested ones.

use ics_core::descriptor::Descriptor;
use serde::Serialize;

use super::falling::{Falling, tell_falling};
use super::losing::{Losing, tell_losing};
use crate::cli::context::Context;
use crate::client::node::Node;

/// The blocks and the other statements; absent if the version ends none.
#[derive(Debug, Default, Serialize)]
pub(super) struct Falls {
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_that_fall: Option<Falling>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statements_that_fall: Option<Losing>,
}

/// Finds them and reports them to people.
pub(super) fn tell_falls(context: &Context, node: Option<&Node>, previous: &Descriptor, next: &Descriptor) -> Falls {
    Falls {
        blocks_that_fall: tell_falling(context, node, previous, next),
        statements_that_fall: tell_losing(context, node, previous, next),
    }
}
