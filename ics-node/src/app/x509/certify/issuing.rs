//! A domain that issues certificates: which requester may have which one.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::descriptor::{CertificateProfile, Certificates};
use ics_core::domain::Domain;
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::name::Name;
use ics_core::record::Record;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{CertificateUse, Effect, ProfileName, Requirement, Role};

use super::speaks::bar;
use super::{CertifyError, IssuerKey, Requester};
use crate::app::answer::read::Sight;
use crate::app::hosted::Hosted;
use crate::x509::{Authority, Given, Wanted};

/// An issuing domain, as far as one request needs it.
pub(in crate::app::x509) struct Issuing<'a> {
    pub(in crate::app) hosted: &'a Hosted,
    pub(in crate::app) sight: &'a Sight<'a>,
    pub(in crate::app) rules: &'a Certificates,
    pub(in crate::app::x509) authority: Arc<Authority>,
    /// Whether another issuer has replaced this one.
    pub(super) is_former: bool,
    /// The key that issues.
    pub(in crate::app::x509) key: IssuerKey,
    /// When it is asked.
    pub(super) now: Timestamp,
}

impl Issuing<'_> {
    /// The profile, if the record permits this requester certificates of it.
    pub(super) fn permits(
        &self,
        record: &Record,
        requester: Requester,
        profile: &ProfileName,
    ) -> Result<&CertificateProfile, CertifyError> {
        let unknown =
            || CertifyError::UnknownProfile { domain: self.hosted.name.clone(), profile: profile.to_string() };
        let profile = self.rules.profiles.get(profile).ok_or_else(unknown)?;
        let may = match requester {
            // An OCSP responder speaks for the issuer about the things of others (RFC 6960, 4.2.2.2): no thing may do
            // that merely because it is in use.
            Requester::Identity(_) if profile.uses.contains(&CertificateUse::Ocsp) => false,
            Requester::Identity(asks) => asks == record.identity.id,
            Requester::Signer(signer) => {
                !roles_to_ask(&self.sight.domain, record, &signer, self.now).is_disjoint(&profile.requesters)
            }
            Requester::Operator => true,
        };
        if !may {
            return Err(CertifyError::Requester);
        }
        if self.is_former && profile.uses != BTreeSet::from([CertificateUse::Ocsp]) {
            return Err(CertifyError::FormerIssuer);
        }
        check_record(record, profile)?;
        Ok(profile)
    }

    /// Whether a key certified for this requester from then on shows that the thing itself is asking. A signer with a
    /// role in the domain itself says whose key it is; a signer who was granted a role over the thing asks for
    /// themselves, and will not have the role for ever.
    pub(super) fn shows(&self, profile: &CertificateProfile, requester: Requester) -> bool {
        match requester {
            Requester::Identity(_) | Requester::Operator => true,
            Requester::Signer(signer) => {
                !self.sight.domain.descriptor().roles_of(&signer).is_disjoint(&profile.requesters)
            }
        }
    }

    /// Whether this requester may have a certificate of the profile with these names; if there are none, with whatever
    /// it may have. `known` holds the names that a certificate of the thing may have.
    pub(in crate::app) fn may_have(
        &self,
        (record, known): (&Record, &BTreeSet<Name>),
        requester: Requester,
        profile: &ProfileName,
        names: &BTreeSet<Name>,
    ) -> Result<(), CertifyError> {
        let profile = self.permits(record, requester, profile)?;
        let wanted: BTreeSet<Wanted> = names.iter().cloned().map(Wanted::Name).collect();
        let given = self.given(profile, &record.identity.id, known);
        given.permitted(&wanted)?;
        Ok(given.check_names(names)?)
    }

    pub(super) fn given<'g>(
        &'g self,
        profile: &'g CertificateProfile,
        id: &'g IdentityId,
        names: &'g BTreeSet<Name>,
    ) -> Given<'g> {
        Given { authority: &self.authority, rules: self.rules, profile, id, names }
    }
}

/// Checks what a record must say for any certificate of a profile.
fn check_record(record: &Record, profile: &CertificateProfile) -> Result<(), CertifyError> {
    let no = |reason: String| Err(CertifyError::Record(reason));
    if let Some(why) = bar(record) {
        return no(why);
    }
    if !profile.kinds.contains(&record.identity.kind) {
        return Err(CertifyError::Kind(record.identity.kind));
    }
    match (&record.status, profile.requires) {
        (Some(status), Requirement::Permitted) if status.decides.effect != Effect::Permits => {
            no(format!("its status `{}` does not permit its use", status.decides.name))
        }
        (None, Requirement::Permitted) => no("no status permits its use; `ics status in-use` gives it one".to_owned()),
        _ => Ok(()),
    }
}

/// The roles over a thing in which a signer may ask for its certificates or for their revocation: none once the
/// signer's key is declared compromised, since nobody knows then who is asking; and none once the signer's certificate
/// is revoked or has expired, since then the log accepts nothing from the signer either.
pub(in crate::app::x509) fn roles_to_ask(
    domain: &Domain,
    record: &Record,
    signer: &Fingerprint,
    now: Timestamp,
) -> BTreeSet<Role> {
    let can_sign = domain.certificate(signer).is_some_and(|(_, it)| it.signing_keys(now).next().is_some());
    if can_sign && !domain.is_key_compromised(signer) {
        record.roles_of(domain.descriptor(), signer)
    } else {
        BTreeSet::new()
    }
}

#[cfg(test)]
mod tests {
    use ics_core::openpgp::signer::Signer as _;

    use super::*;
    use crate::app::tests::expiring::expiring;
    use crate::fixture::{Party, device};

    /// The record may have been kept for a while.
    #[tokio::test(flavor = "multi_thread")]
    async fn who_may_ask_is_judged_when_they_ask() {
        const HOUR: u64 = 3_600_000;
        let mut maker = Party::found("devices.acme.example");
        let app = maker.open();
        maker.certificate = expiring(&maker.signer, "Acme", app.clock().now().plus_millis(HOUR));
        maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
        let hosted = app.hosted(&maker.domain).expect("here");
        let (sight, id) = (app.sight(&hosted).expect("readable"), IdentityId::Key(device(1).fingerprint()));
        let known = app.resolve_again(&sight, &id, &[]).expect("read").expect("is known");
        let signer = maker.signer.public_key().fingerprint();
        let may_ask = || !roles_to_ask(&sight.domain, &known.0, &signer, app.clock().now()).is_empty();
        assert!(may_ask());
        app.clock().pass(2 * HOUR);
        assert!(!may_ask());
    }
}
