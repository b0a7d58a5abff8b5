//! The LDAP face of a node against real clients, and against bytes that no real client sends.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../http/world.rs"]
#[expect(dead_code, reason = "the tests of HTTP use more of it")]
mod world;

mod bad_input;
mod gnupg;
mod parties;
mod persisting;
mod raw;
mod replicas;
mod served;
mod silent;
mod slapd;
mod support;
mod tools;
mod writes;
