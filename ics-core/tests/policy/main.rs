//! Descriptors and access rules, as a node meets them.

mod descriptors;
mod fixtures;
mod templates;
