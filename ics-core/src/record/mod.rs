//! What a domain says about a thing: a pure function of its statements, its policy and the time.

mod assessment;
mod called;
mod formerly;
mod membership;
mod naming;
mod postings;
mod readings;
mod report;
mod resolve;
mod said;
mod standing;
mod succession;
mod whose;

pub use assessment::{Assessment, Heard, Outlook};
pub use membership::{CandidateGroups, candidate_groups, ever_given};
pub use postings::{Posting, mail_of, postings, postings_of, postings_of_erasure, user_id_terms};
pub use report::{
    By, DeveloperKey, Digest, Entitlement, Given, GivenGrant, GivenLabel, GivenStatus, Granted, Identity,
    IssuedCertificate, Listed, Record, Standing, Status, VoidSince,
};
pub use resolve::resolve;
pub use said::{Logged, SourceRef};

pub(crate) use formerly::formerly_blocked;
pub(crate) use standing::{Judged, Scene, may_lift, replaces, takes_back};

#[cfg(test)]
pub(crate) mod properties;
#[cfg(test)]
pub(crate) mod specification;
#[cfg(test)]
mod tests;
