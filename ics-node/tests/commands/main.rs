//! The commands against a running node, as processes.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test are tests as well, which clippy does not see"
)]

mod asking;
mod between;
mod debian;
mod developers;
mod doubting;
mod elsewhere;
mod ending;
mod enrolling;
mod evidence;
mod factory;
mod files;
mod for_ever;
mod foreign_keys;
mod groups;
mod keeping;
mod neighbours;
mod offline;
mod reading;
mod rules;
mod saying;
mod serving;
mod stage;
mod tokens;
