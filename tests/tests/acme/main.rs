//! The ACME server against the clients in use, and against requests that no client makes.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../x509/tools.rs"]
mod tools;
#[path = "../x509/world.rs"]
#[expect(dead_code, reason = "the tests of X.509 use more of it")]
mod world;

mod accounts;
mod certificates;
mod challenges;
mod client;
mod clients;
mod devices;
mod refusals;
mod revocation;
mod support;
mod witnesses;
