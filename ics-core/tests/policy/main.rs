//! Descriptors and access rules, as a node meets them.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod certificates;
mod decisions;
mod depth;
mod descriptors;
mod fixtures;
mod schemas;
mod templates;
mod trust;
mod vectors;
