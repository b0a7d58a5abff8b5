//! Keys, certificates and statements, as the other crates use them.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod sequoia;
mod splitting;
mod statements;
mod vectors;
