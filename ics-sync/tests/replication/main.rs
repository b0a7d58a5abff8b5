//! What a mirror does, whatever network, peers and homes do to it.

mod home;
mod http;
mod lies;
mod memory;
mod network;
mod owners;
mod rules;
mod simulation;
mod world;
