//! ACME (RFC 8555), as state machines: what requests say, what states accounts, authorizations and orders go through, and
//! who may revoke. Nothing here does I/O, knows a clock or draws randomness; the use cases in `app::x509::acme` drive it.
//!
//! What is true of a thing is decided by its record alone. Here is only the protocol by which it asks for its certificate.

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
