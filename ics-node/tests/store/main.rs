//! The store through its public interface: durable, in order, found, proven; and silent where it could fork.

// The allowances of clippy.toml are for test functions only, but helpers need them as well.
#![expect(clippy::expect_used, reason = "tests")]

mod common;
mod crash;
mod damage;
mod desk;
mod given_up;
mod log;
mod restore;
mod write;
