//! Witnesses (C2SP tlog-witness): a node that cosigns the checkpoints of others, and a home that asks such nodes.
//!
//! What a witness has cosigned it never contradicts: not another tree of the same size, none that does not begin with
//! it, none that is smaller. So whoever has the cosignatures of enough witnesses knows that others were shown the same
//! log. Both sides are decided here, without I/O: [`judge`] for the one who cosigns, [`Asking`] for the one who asks.

mod asking;
mod cosigner;
mod request;

pub use asking::{Asking, Reply, Step, Trouble};
pub use cosigner::{Refusal, Seen, follows, open};
pub use request::{AddCheckpoint, RequestError};

/// Bytes of a request: a note, and a line for each hash of the proof.
pub const REQUEST_BYTES: usize = ics_core::limits::NOTE_BYTES + 45 * ics_core::limits::PROOF_HASHES + 64;
