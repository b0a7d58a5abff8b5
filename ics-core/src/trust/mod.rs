//! Trust: what a relying party makes of the records of several domains.

mod derivation;
mod facts;
mod heard;
mod policy;
pub mod requirement;
mod verdict;

pub use derivation::{Conflict, Party, Rule, Saying, Step};
pub use facts::Facts;
pub use policy::{TrustDocument, TrustError, TrustPolicy, TrustRequest, USES, templates};
pub use verdict::{AsOf, Looked, Outcome, Question, Reason, Ruling, Testimony, Verdict, fresh_until, settle, verdict};
