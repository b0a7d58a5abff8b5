//! Replication of domains between nodes: a state machine without I/O, and a thin driver for it over HTTP or LDAP.

mod applier;
pub mod ber;
pub mod budget;
pub mod bundle;
pub mod carried;
mod driver;
pub mod http;
pub mod ldap;
pub mod mirror;
pub mod news;
pub mod packed;
mod pause;
mod peer;
mod told;
mod turn;
pub mod watch;
pub mod wire;
pub mod witness;

pub use applier::Applier;
pub use driver::{Progress, run};
pub use peer::Peer;
pub use turn::Turn;
