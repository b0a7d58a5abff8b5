//! Whether a thing may ask for anything at all, whatever the profile: for itself through any interface, or for others
//! with an ACME account.

use ics_core::identity::IdentityId;
use ics_core::name::Name;
use ics_core::record::{Logged, Record};
use ics_core::vocabulary::DomainName;

use super::CertifyError;
use crate::app::App;
use crate::app::answer::read::Sight;
use crate::app::answer::resolved::check_whole;
use crate::app::challenge::key_among;
use crate::app::entries::subjects_of;
use crate::x509::{TakenBack, sha256};

/// Why a thing gets no certificate of any profile, if so.
pub(in crate::app::x509) fn bar(record: &Record) -> Option<String> {
    // This comes first: for a destroyed thing usually nobody vouches any more, but that is not the reason.
    let blocks = record.status.as_ref().map(|it| &it.decides).filter(|it| it.effect.blocks());
    if let Some(status) = blocks {
        return Some(format!("its status is `{}`", status.name));
    }
    if record.vouched.is_empty() {
        return Some("nobody vouches for it".to_owned());
    }
    TakenBack::all(record).find(|end| end.bars_thing(record)).map(|end| end.to_string())
}

impl App {
    /// Checks that a thing may speak. Whoever has a blocked thing also has its key, so it may ask for nothing, even on
    /// behalf of another thing.
    pub(in crate::app) fn check_speaks(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<(), CertifyError> {
        let unknown = || CertifyError::UnknownIdentity(id.to_string());
        let known = self.resolve_again(sight, id, &[])?.ok_or_else(unknown)?;
        check_whole(&known.0)?;
        match bar(&known.0) {
            Some(why) => Err(CertifyError::Record(why)),
            None => self.check_own_key(sight, id, &known),
        }
    }

    /// Why the thing whose own key this was may ask for nothing, if so: after a replacement, no record names the key
    /// any more.
    pub(in crate::app) fn barred_by_key(
        &self,
        domain: &DomainName,
        spki: [u8; 32],
    ) -> Result<Option<String>, CertifyError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        for id in subjects_of(&sight.naming(Name::Spki(spki))?) {
            let Some(known) = self.resolve_again(&sight, &id, &[])? else { continue };
            let (record, about) = &*known;
            let own = key_among(about).and_then(|(key, _)| key.to_spki_der());
            if own.is_some_and(|own| sha256(&own) == spki) {
                check_whole(record)?;
                if let Some(why) = bar(record) {
                    return Ok(Some(why));
                }
            }
        }
        Ok(None)
    }

    /// Refuses a thing whose own key was given up. Somebody who had the key may have bound accounts to the thing, or
    /// got certificates for other keys, so the thing may no longer ask for itself.
    pub(in crate::app) fn check_own_key(
        &self,
        sight: &Sight<'_>,
        id: &IdentityId,
        (record, about): &(Record, Vec<Logged>),
    ) -> Result<(), CertifyError> {
        let spki = match record.identity.id == *id {
            true => key_among(about).and_then(|(key, _)| key.to_spki_der()),
            false => self.key_in(sight.hosted, id)?.and_then(|key| key.to_spki_der()),
        };
        let Some(spki) = spki else { return Ok(()) };
        // Usually nothing names its key but what is said about the thing.
        if self.is_given_up_besides(sight, sha256(&spki), about)? {
            return Err(CertifyError::Unproven(format!(
                "the own key of {id} was given up as compromised: have a signer ask for its certificates, or replace \
                 it (`ics replace`)"
            )));
        }
        Ok(())
    }
}
