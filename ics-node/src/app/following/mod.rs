//! Taking over what other domains say of the things that one has to do with.

pub(super) mod adopt;
mod cause;
pub(super) mod concern;
pub(super) mod declared;
pub(super) mod follow;
pub(super) mod heed;
mod infos;
mod lost;
pub(super) mod not_taken;
