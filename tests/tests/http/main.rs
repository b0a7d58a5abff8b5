//! The HTTP face: a real server in this process, real requests.

mod contract;
mod reading;
mod refusals;
mod support;
mod tls;
mod transport;
mod world;
