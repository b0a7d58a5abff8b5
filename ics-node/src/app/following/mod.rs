//! Taking over what other domains say: adoption by hand, and following, by which later statements are adopted
//! automatically.

pub(super) mod adopt;
mod cause;
pub(super) mod concern;
pub(super) mod declared;
pub(super) mod follow;
pub(super) mod heed;
mod infos;
mod lost;
pub(super) mod not_taken;
