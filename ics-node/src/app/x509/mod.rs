//! X.509: certificates, revocation lists and OCSP answers, derived from statements.

pub(super) mod acme;
pub(super) mod alerts;
pub(super) mod authorities;
pub(super) mod by_key;
pub(super) mod certificates;
pub(super) mod certify;
pub(super) mod cmp;
pub(super) mod est;
pub(super) mod expiry;
pub(super) mod home_lists;
pub(super) mod issuers;
pub(super) mod keyring;
mod misnamed;
pub(super) mod ocsp;
mod over;
pub(super) mod responders;
pub(super) mod revocation;
