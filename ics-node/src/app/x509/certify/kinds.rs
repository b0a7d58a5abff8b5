//! Explains why a profile does not accept a key, and which other profiles would.

use std::collections::BTreeSet;

use ics_core::descriptor::CertificateProfile;
use ics_core::name::Name;
use ics_core::record::Record;
use ics_core::vocabulary::ProfileName;

use super::{Application, CertifyError, Issuing};
use crate::x509::{Csr, Wanted};

impl Issuing<'_> {
    /// Why the profile does not accept a key, and under which others the same requester would get a certificate for it:
    /// over ACME the profile may have been chosen for the client before the key was known.
    pub(super) fn refused_key(
        &self,
        application: &Application<'_>,
        of: (&Record, &BTreeSet<Name>),
        csr: &Csr,
    ) -> CertifyError {
        let names: BTreeSet<Name> = csr.wanted.iter().map(Wanted::name).cloned().collect();
        let serves = |(name, profile): &(&ProfileName, &CertificateProfile)| {
            profile.keys.contains(&csr.key_type) && self.may_have(of, application.requester, name, &names).is_ok()
        };
        let others = self.rules.profiles.iter().filter(serves).map(|(name, _)| name.clone()).collect();
        CertifyError::KeyType { profile: application.profile.clone(), kind: csr.key_type, others }
    }
}
