//! The node and the command line of CM4IT ICS, one program: `ics`.

// Test code that the library shares with the tests beside it refers to the library by its name.
#[cfg(test)]
extern crate self as ics_node;

#[cfg(test)]
#[path = "../tests/app/fixture.rs"]
#[expect(dead_code, reason = "the tests of the use cases use more of it")]
mod fixture;

mod accepted;
pub mod acme;
pub mod api;
pub mod app;
mod background;
pub mod cli;
pub mod client;
pub mod cmp;
pub mod config;
mod crowds;
pub mod demo;
pub mod explain;
pub mod gateway;
pub mod http;
pub mod keys;
pub mod ldap;
mod locked;
pub mod observe;
mod open_files;
pub mod openpgp;
mod parallel;
pub mod qr;
mod room;
mod seats;
pub mod service;
mod shares;
pub mod store;
pub mod tls;
mod turns;
mod untaken;
pub mod web;
pub mod words;
pub mod x509;
