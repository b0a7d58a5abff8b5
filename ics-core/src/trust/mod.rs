//! Trust: what a relying party makes of the records of several domains.

mod facts;
mod policy;

pub use facts::Facts;
pub use policy::{TrustDocument, TrustError, TrustPolicy, TrustRequest, templates};
