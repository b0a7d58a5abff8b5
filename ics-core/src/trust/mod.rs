//! Trust: what a relying party makes of the records of several domains.

mod facts;
mod heard;
mod policy;
pub mod requirement;
mod verdict;

pub use facts::Facts;
pub use policy::{TrustDocument, TrustError, TrustPolicy, TrustRequest, templates};
pub use verdict::{
    Answer, AsOf, Looked, Outcome, Party, Question, Reason, Ruling, Settled, Step, Testimony, Verdict, fresh_until,
    settle, verdict,
};
