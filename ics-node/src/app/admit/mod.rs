//! Taking in at a home: what a body is, whether it may stand, and who asks for it.

pub(super) mod check;
pub(super) mod enrol;
pub(super) mod erase;
pub(super) mod judge;
pub(super) mod noted;
pub(super) mod submit;
pub(super) mod unite;
pub(super) mod upload;
