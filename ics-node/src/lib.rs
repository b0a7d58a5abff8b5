//! The node and the command line of CM4IT ICS, one program: `ics`.

pub mod app;
pub mod config;
pub mod observe;
pub mod store;
