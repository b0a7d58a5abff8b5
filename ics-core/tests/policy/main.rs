//! Descriptors and access rules, as a node meets them.

mod decisions;
mod depth;
mod descriptors;
mod fixtures;
mod templates;
