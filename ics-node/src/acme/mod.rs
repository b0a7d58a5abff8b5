//! ACME (RFC 8555) as state machines: what requests say, which states accounts, authorizations and orders pass through,
//! and who may revoke. Nothing here does I/O, reads a clock or draws randomness; the use cases in `app::x509::acme`
//! drive it.
//!
//! What is true of a thing is decided by its record alone. This is only the protocol by which it asks for a
//! certificate.

pub mod account;
pub mod authorization;
pub mod identifier;
pub mod jwk;
pub mod jws;
pub mod nonce;
pub mod order;
pub mod problem;
pub mod renewal;
pub mod revoke;
pub mod urls;
