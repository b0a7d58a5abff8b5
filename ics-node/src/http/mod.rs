//! The HTTP API: a face over the use cases, which only translates.
//!
//! [`routes::TABLE`] is the one list of routes; `schemas/openapi.json` describes them, and a test compares the two.
//! Every error is a problem document of RFC 9457, including those that actix-web raises itself; outside the API's
//! routes a browser gets it as a page. Two errors arise before a request exists and have no body: 408 if the head of a
//! connection's first request does not arrive in time, and 400 or 431 for a head that is not HTTP or exceeds 128 KiB.
//! If the head of a later request does not arrive in time, the connection just ends.

mod accept;
mod answer;
mod body;
mod everybody;
mod face;
mod failure;
mod front;
mod long;
mod metrics;
mod ocsp;
mod openapi;
mod pages;
mod request;
pub mod routes;
mod server;
mod socket;
mod watch;

pub use openapi::OPENAPI;
pub use server::{ServeError, Server, Settings, change_signals, serve, stop_signal};
