//! Admission at a home: what a body is, whether it may enter the log, enrolment requests, and erasures.

pub(super) mod check;
pub(super) mod enrol;
pub(super) mod erase;
pub(super) mod judge;
pub(super) mod noted;
pub(super) mod sender;
pub(super) mod submit;
pub(super) mod unite;
pub(super) mod upload;
