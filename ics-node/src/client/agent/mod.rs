//! Agents, which keep another program on a gateway in step with what its node decides.

mod decisions;
mod dynsec;
mod follow;
pub mod mosquitto;
mod mqtt;

pub use decisions::{Decisions, Moment};
pub use follow::follow;
