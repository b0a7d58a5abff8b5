//! Issuers in descriptors, as parsed. Their chains are verified once, not for each certificate.

use std::sync::{Arc, RwLock};

use ics_core::descriptor::Issuer;
use ics_core::domain::Domain;
use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::Certificate;

use super::certify::IssuerKey;
use crate::app::App;
use crate::app::answer::read::Sight;
use crate::locked::Shared as _;
use crate::x509::{Authority, AuthorityError};

/// How many issuers are kept: more than all domains of a node have at a time.
const KEPT: usize = 64;

/// The issuers parsed so far.
#[derive(Default)]
pub(crate) struct Authorities(RwLock<Vec<(Issuer, Arc<Authority>)>>);

impl App {
    /// Parses an issuer of a descriptor, or returns it if it was parsed before.
    ///
    /// # Errors
    /// When it is not a valid issuer.
    pub(super) fn authority(&self, issuer: &Issuer) -> Result<Arc<Authority>, AuthorityError> {
        let kept = &self.0.authorities.0;
        let known = kept.read_locked();
        if let Some((_, authority)) = known.iter().find(|(known, _)| known == issuer) {
            return Ok(Arc::clone(authority));
        }
        drop(known);
        let authority = Arc::new(Authority::read(issuer)?);
        let mut kept = kept.write_locked();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.push((issuer.clone(), Arc::clone(&authority)));
        Ok(authority)
    }

    /// Those of these issuers that are valid.
    pub(super) fn authorities_of<'a>(&'a self, issuers: &'a [Issuer]) -> impl Iterator<Item = Arc<Authority>> + 'a {
        issuers.iter().filter_map(|issuer| self.authority(issuer).ok())
    }

    /// The issuers of a domain that have not ended and whose keys are at this node, the present one first.
    pub(super) fn authorities_here(&self, sight: &Sight<'_>) -> Vec<(Arc<Authority>, IssuerKey)> {
        let rules = sight.domain.descriptor().certificates.as_ref();
        let issuers = rules.map(|rules| rules.issuers.as_slice()).unwrap_or_default();
        let now = self.clock().now();
        let with_key = |authority: Arc<Authority>| {
            let key = self.issuer_key(&authority)?;
            Some((authority, key))
        };
        self.authorities_of(issuers).filter(|authority| now < authority.not_after).filter_map(with_key).collect()
    }

    /// Whether the key of an issuer is declared compromised. Anybody may ask for an authority's certificates, so only
    /// those in the log that are declared so are looked at; and what it has at this node, since the log has none of a
    /// key that has issued nothing yet.
    pub(super) fn is_stolen(&self, said: &Domain, authority: &Authority) -> bool {
        let has_it = |it: &Certificate| it.public_keys().any(|key| key.to_spki_der().as_ref() == Some(&authority.spki));
        let is_here = |signer: &Fingerprint| {
            let key = self.issuer_key(authority);
            key.is_some_and(|key| key.signer.public_key().fingerprint() == *signer)
        };
        let declared = said.descriptor().compromised.iter().map(|declared| declared.signer);
        let mut begun = declared.filter(|signer| said.is_key_compromised(signer));
        begun.any(|signer| is_here(&signer) || said.certificate(&signer).is_some_and(|(_, it)| has_it(it)))
    }
}
