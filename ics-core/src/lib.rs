//! The core of CM4IT ICS: bytes, policy and time in, decisions out.
//!
//! Nothing here does I/O, reads a clock, draws randomness or is async.

pub mod canonical_json;
pub mod checker;
pub mod descriptor;
pub mod domain;
pub mod evidence;
pub mod gs1;
pub mod identity;
pub mod limits;
pub mod log;
pub mod name;
pub mod openpgp;
pub mod policy;
pub mod record;
pub mod statement;
pub mod time;
pub mod trust;
pub mod vocabulary;

#[cfg(test)]
mod samples;
