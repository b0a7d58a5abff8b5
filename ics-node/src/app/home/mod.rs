//! Being a home: founding it, its heartbeat, its witnesses, and its recovery after a loss.

pub(super) mod cosign;
pub(super) mod found;
pub(super) mod heartbeat;
pub(super) mod home_key;
pub(super) mod lead;
pub(super) mod recover;
pub(super) mod rolled_back;
pub(super) mod witnesses;
