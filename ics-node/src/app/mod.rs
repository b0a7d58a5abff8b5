//! The use cases of a node. Every face calls these and nothing below them.

pub mod clock;
pub mod problem;
