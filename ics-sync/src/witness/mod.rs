//! Witnesses (C2SP tlog-witness): nodes that cosign the checkpoints of others, and homes that ask them.
//!
//! A witness never contradicts what it has cosigned: not with another tree of the same size, nor with one that does not
//! begin with it, nor with a smaller one. So somebody who has the cosignatures of enough witnesses knows that others
//! were shown the same log. Both sides are decided here, without I/O: [`follows`] for the witness, [`Asking`] for the
//! home.

mod asking;
mod cosigner;
mod request;

pub use asking::{Asking, Reply, Step, Trouble};
pub use cosigner::{Refusal, Seen, follows, open};
pub use request::{AddCheckpoint, RequestError};

/// Bytes of a request: a note, and a line for each hash of the proof.
pub const REQUEST_BYTES: usize = ics_core::limits::NOTE_BYTES + 45 * ics_core::limits::PROOF_HASHES + 64;
