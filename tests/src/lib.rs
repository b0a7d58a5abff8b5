//! Code that several kinds of tests share.

pub mod fuzz;
pub mod port;
