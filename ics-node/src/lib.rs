//! Crate.

pub mod app;
