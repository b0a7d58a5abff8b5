//! The store through its public face: durable, in order, found, proven; and silent where it could fork.

mod common;
mod crash;
mod damage;
mod log;
mod restore;
mod write;
