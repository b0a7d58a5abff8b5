//! Keys that answer OCSP in the place of issuers whose keys are elsewhere, and the certificates by which they may. These
//! live shortly: a newer one is read while the node runs, and that one ends is told of (see [`super::expiry`]).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use der::Encode as _;
use ics_core::descriptor::Issuer;
use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::certify::IssuerKey;
use crate::app::answer::memory::{Place, place_of};
use crate::app::answer::read::Sight;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::keys::file::read_secret;
use crate::x509::{Authority, Delegation, Reason, SerialNumber, State, answers_for, read_certificate};

/// The certificate by which a key answers: read from a file, and read again when the operator has put a newer one there.
#[derive(Debug)]
pub struct ResponderCertificate {
    path: PathBuf,
    /// The SubjectPublicKeyInfo of the key, DER.
    spki: Vec<u8>,
    der: RwLock<Arc<[u8]>>,
    /// Whether it was told that it is revoked.
    is_alarmed: AtomicBool,
}

/// Who answers for an authority.
pub(in crate::app) struct Answering {
    pub(in crate::app) key: IssuerKey,
    /// By what, if it is not the authority's own key.
    pub(super) delegation: Option<Delegation>,
    /// What memory keeps of the holder of that certificate: if it changes, that may be revoked.
    pub(in crate::app) rests_on: Option<(Place, u64)>,
}

impl ResponderCertificate {
    /// Reads that of a key.
    ///
    /// # Errors
    /// When the file cannot be read, or there is no certificate of that key in it; in words for people.
    pub fn read(path: &Path, signer: &dyn Signer) -> Result<Arc<Self>, String> {
        let spki = signer.public_key().to_spki_der().ok_or("X.509 knows no keys of this kind")?;
        let der = RwLock::new(certificate_of(path, &spki)?);
        Ok(Arc::new(Self { path: path.to_owned(), spki, der, is_alarmed: AtomicBool::new(false) }))
    }

    /// Reads it again: what is signed from now on comes with what is there now. Where that is no good, the former stays.
    ///
    /// # Errors
    /// As [`ResponderCertificate::read`].
    pub fn read_again(&self) -> Result<(), String> {
        let der = certificate_of(&self.path, &self.spki)?;
        *self.der.write().unwrap_or_else(PoisonError::into_inner) = der;
        self.is_alarmed.store(false, Ordering::Relaxed);
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

    /// Who answers for an authority here: its own key, or one that it has entitled to that. Such a certificate tells its
    /// readers not to ask whether it is revoked (RFC 6960, 4.2.2.2.1): so whoever has it asks himself, of the record here.
    pub(super) fn answers_for(
        &self,
        sight: &Sight<'_>,
        authority: &Authority,
        now: Timestamp,
    ) -> Result<Option<Answering>, AppError> {
        if let Some(key) = self.issuer_key(authority) {
            return Ok(Some(Answering { key, delegation: None, rests_on: None }));
        }
        for (key, delegation) in self.delegations(authority) {
            // In the second of its end no answer would hold for any time.
            let is_its_time = delegation.not_before <= now && now < delegation.not_after;
            let Some(answers_by) = key.answers_by.as_ref().filter(|_| is_its_time) else { continue };
            let serial = SerialNumber::read(delegation.certificate.tbs_certificate.serial_number.as_bytes());
            // What is not in this copy yet, nobody has taken back in it either.
            let known = serial.map(|serial| self.state_of_serial(sight, authority, &serial)).transpose()?;
            let (state, kept) = known.unwrap_or_default();
            if let (Some(State::Revoked { reason, .. }), Some(serial)) = (state, serial) {
                self.alarm_of_revoked(sight, answers_by, serial, reason);
                continue;
            }
            answers_by.is_alarmed.store(false, Ordering::Relaxed);
            let rests_on = kept.map(|(id, generation, _)| (place_of(&id), generation));
            return Ok(Some(Answering { key: key.clone(), delegation: Some(delegation), rests_on }));
        }
        Ok(None)
    }

    /// Told once, not at each question; and nobody who asks waits for that.
    fn alarm_of_revoked(
        &self,
        sight: &Sight<'_>,
        answers_by: &ResponderCertificate,
        serial: SerialNumber,
        reason: Reason,
    ) {
        if answers_by.is_alarmed.swap(true, Ordering::Relaxed) {
            return;
        }
        let (app, number, domain) = (self.clone(), sight.hosted.number, sight.hosted.name.clone());
        let path = answers_by.path.display();
        let text = format!(
            "the certificate {serial} in `{path}` is revoked ({reason}): this node answers OCSP by it no more, until its \
             block is lifted or the issuer has certified a key for that again and the file has the new certificate"
        );
        tracing::warn!(%domain, "{text}");
        let alarm = move || app.store().alarm_once(number, app.clock().now(), "responder-revoked", &text);
        drop(crate::background::spawn(move || {
            if let Err(error) = alarm() {
                tracing::error!(%error, %domain, "that a responder's certificate is revoked could not be alarmed");
            }
        }));
    }

    /// The keys that an authority has entitled to answer for it, whether it is their time or not.
    fn delegations<'a>(&'a self, authority: &'a Authority) -> impl Iterator<Item = (&'a IssuerKey, Delegation)> {
        self.0.keys.issuers.iter().filter_map(move |key| {
            let certificate = key.answers_by.as_ref()?.der();
            Some((key, answers_for(authority, &certificate, &*key.signer)?))
        })
    }
}
