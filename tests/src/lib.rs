//! What several kinds of tests share.

pub mod fuzz;
