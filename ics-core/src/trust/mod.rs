//! Trust: what a relying party makes of the records of several domains.

mod facts;

pub use facts::Facts;
