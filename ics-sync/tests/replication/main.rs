//! How a mirror behaves, whatever the network, peers and homes do to it.

// The allowances of clippy.toml are for test functions only; helpers need them as well.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bad_bundles;
mod bundles;
mod copy;
mod forks;
mod home;
mod http;
mod left_out;
mod lies;
mod memory;
mod model;
mod network;
mod owners;
mod promises;
mod reading;
mod remnants;
mod replaced;
mod request;
mod rules;
mod simulation;
mod slow;
mod speech;
mod told;
mod town;
mod world;
