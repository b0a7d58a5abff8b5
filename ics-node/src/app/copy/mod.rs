//! Copies of domains: what a home serves to its mirrors, and how this node mirrors the domains of others.

pub(super) mod arriving;
pub(super) mod carry;
pub(super) mod copying;
pub(super) mod erased_copies;
pub(super) mod feed;
pub(super) mod given_up;
pub(super) mod kept_blocks;
pub(super) mod looked;
pub(super) mod mirror;
pub(super) mod mirroring;
pub(super) mod peers;
pub(super) mod push;
pub(super) mod replay;
pub(super) mod reveal;
pub(super) mod sight;
pub(super) mod two_logs;
