//! Answering: look-ups, verdicts and what they rest on, as of now and as of other moments.

pub(super) mod answers;
mod as_of;
pub(super) mod case;
pub(super) mod denied;
pub(super) mod directory;
pub(super) mod everything;
pub(super) mod explain;
mod filter;
pub(super) mod list;
mod members;
pub(super) mod memory;
pub(super) mod moments;
pub(super) mod named;
pub(super) mod read;
pub(super) mod ready;
pub(super) mod register;
pub(super) mod resolved;
pub(super) mod search;
pub(super) mod succession;
pub(super) mod then;
pub(super) mod thing;
pub(super) mod verdict;
pub(super) mod whole_key;
