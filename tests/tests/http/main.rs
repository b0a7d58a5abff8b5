//! The HTTP face: a real server in this process, and real requests.

// The exemptions in clippy.toml cover test functions only; helpers need them too.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod carried;
mod certificates;
mod checks;
mod contract;
mod feed;
mod following;
mod hidden;
mod hkp;
#[path = "../x509/world.rs"]
#[expect(dead_code, reason = "the tests of X.509 use more of it")]
mod issuing;
mod pages;
mod partial;
mod peers;
mod reading;
mod refusals;
mod renewals;
mod roaming;
mod support;
mod tls;
mod transport;
mod watching;
mod world;
