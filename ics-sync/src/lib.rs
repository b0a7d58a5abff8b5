//! Replication of domains between nodes: a state machine without I/O, and a thin driver for it over HTTP.

pub mod budget;
mod driver;
pub mod http;
pub mod mirror;
pub mod news;
pub mod wire;
pub mod witness;

pub use driver::{Applier, Progress, run};
