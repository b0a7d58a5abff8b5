//! Keys that answer OCSP in the place of issuers whose keys are elsewhere, and the certificates by which they may. These
//! live shortly: a newer one is read while the node runs, and that one ends is told of (see [`super::expiry`]).

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use der::Encode as _;
use ics_core::descriptor::Issuer;
use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::App;
use super::certify::IssuerKey;
use super::hosted::Hosted;
use crate::keys::file::read_secret;
use crate::x509::{Authority, Delegation, answers_for, read_certificate};

/// The certificate by which a key answers: read from a file, and read again when the operator has put a newer one there.
#[derive(Debug)]
pub struct ResponderCertificate {
    path: PathBuf,
    /// The SubjectPublicKeyInfo of the key, DER.
    spki: Vec<u8>,
    der: RwLock<Arc<[u8]>>,
}

impl ResponderCertificate {
    /// Reads that of a key.
    ///
    /// # Errors
    /// When the file cannot be read, or there is no certificate of that key in it; in words for people.
    pub fn read(path: &Path, signer: &dyn Signer) -> Result<Arc<Self>, String> {
        let spki = signer.public_key().to_spki_der().ok_or("X.509 knows no keys of this kind")?;
        let der = RwLock::new(certificate_of(path, &spki)?);
        Ok(Arc::new(Self { path: path.to_owned(), spki, der }))
    }

    /// Reads it again: what is signed from now on comes with what is there now. Where that is no good, the former stays.
    ///
    /// # Errors
    /// As [`ResponderCertificate::read`].
    pub fn read_again(&self) -> Result<(), String> {
        let der = certificate_of(&self.path, &self.spki)?;
        *self.der.write().unwrap_or_else(PoisonError::into_inner) = der;
        Ok(())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn der(&self) -> Arc<[u8]> {
        Arc::clone(&self.der.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn certificate_of(path: &Path, spki: &[u8]) -> Result<Arc<[u8]>, String> {
    let bytes = read_secret(path, limits::X509_CERTIFICATE_BYTES * 2).map_err(|error| error.to_string())?;
    let (certificate, der) = read_certificate(&bytes)?;
    let own = certificate.tbs_certificate.subject_public_key_info.to_der().map_err(|error| error.to_string())?;
    if own != spki {
        let text = "it is of another key than the one beside it in `[node] responders`; `ics ca request` asks for one";
        return Err(text.to_owned());
    }
    Ok(der.into())
}

impl App {
    /// The certificates by which keys of this node answer OCSP in the place of issuers.
    #[must_use]
    pub fn responder_certificates(&self) -> Vec<Arc<ResponderCertificate>> {
        self.0.keys.issuers.iter().filter_map(|key| key.answers_by.clone()).collect()
    }

    /// Until when this node answers OCSP in the place of all issuers for which it has, by domain. That may be over.
    #[must_use]
    pub fn responders_end(&self) -> Vec<(DomainName, Timestamp)> {
        let ends = |hosted: &Arc<Hosted>| {
            let domain = hosted.domain()?;
            let rules = domain.descriptor().certificates.as_ref()?;
            let ends = self.longest_delegations(&rules.issuers).map(|it| it.not_after).min()?;
            Some((hosted.name.clone(), ends))
        };
        self.all_hosted().iter().filter_map(ends).collect()
    }

    /// By what this node answers longest in the place of each issuer, former ones included: only the authority itself
    /// entitles who answers for it. Not where its own key is here, nor once it has ended and all that it issued.
    pub(super) fn longest_delegations<'a>(&'a self, issuers: &'a [Issuer]) -> impl Iterator<Item = Delegation> + 'a {
        let now = self.clock().now();
        let elsewhere = move |it: &Arc<Authority>| now < it.not_after && self.issuer_key(it).is_none();
        self.authorities_of(issuers).filter(elsewhere).filter_map(move |authority| {
            let delegations = self.delegations(&authority).map(|(_, delegation)| delegation);
            delegations.max_by_key(|delegation| delegation.not_after)
        })
    }

    /// The key that answers for an authority here: its own, or one that it has entitled to that.
    pub(super) fn answers_for(&self, authority: &Authority, now: Timestamp) -> Option<(IssuerKey, Option<Delegation>)> {
        if let Some(own) = self.issuer_key(authority) {
            return Some((own, None));
        }
        let mut delegations = self.delegations(authority);
        let found = delegations.find(|(_, it)| it.not_before <= now && now <= it.not_after);
        found.map(|(key, delegation)| (key.clone(), Some(delegation)))
    }

    /// The keys that an authority has entitled to answer for it, whether it is their time or not.
    fn delegations<'a>(&'a self, authority: &'a Authority) -> impl Iterator<Item = (&'a IssuerKey, Delegation)> {
        self.0.keys.issuers.iter().filter_map(move |key| {
            let certificate = key.answers_by.as_ref()?.der();
            Some((key, answers_for(authority, &certificate, &*key.signer)?))
        })
    }
}
