//! Keys that answer OCSP on behalf of issuers whose keys are elsewhere, and the certificates that entitle them. These
//! are short-lived: a newer one is read while the node runs, and their end is reported (see [`super::expiry`]).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

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
use crate::locked::Shared as _;
use crate::x509::{Authority, Delegation, Reason, SerialNumber, State, answers_for, read_certificate};

/// The certificate with which a key answers: read from a file, and again when the operator has put a newer one there.
#[derive(Debug)]
pub struct ResponderCertificate {
    path: PathBuf,
    /// The SubjectPublicKeyInfo of the key, as DER.
    spki: Vec<u8>,
    der: RwLock<Arc<[u8]>>,
    /// Whether an alarm was raised that it is revoked.
    is_alarmed: AtomicBool,
}

/// The key that answers for an authority.
pub(in crate::app) struct Answering {
    pub(in crate::app) key: IssuerKey,
    /// The certificate that entitles it, if it is not the authority's own key.
    pub(super) delegation: Option<Delegation>,
    /// What memory keeps about the holder of that certificate: if that changes, the certificate may be revoked.
    pub(in crate::app) rests_on: Option<(Place, u64)>,
}

impl ResponderCertificate {
    /// Reads the certificate of a key.
    ///
    /// # Errors
    /// When the file cannot be read, or does not contain a certificate of that key; in words for people.
    pub fn read(path: &Path, signer: &dyn Signer) -> Result<Arc<Self>, String> {
        let spki = signer.public_key().to_spki_der().ok_or("X.509 knows no keys of this kind")?;
        let der = RwLock::new(certificate_of(path, &spki)?);
        Ok(Arc::new(Self { path: path.to_owned(), spki, der, is_alarmed: AtomicBool::new(false) }))
    }

    /// Reads the file again: from now on answers come with the present certificate. If it is not usable, the former one
    /// stays.
    ///
    /// # Errors
    /// As [`ResponderCertificate::read`].
    pub fn read_again(&self) -> Result<(), String> {
        let der = certificate_of(&self.path, &self.spki)?;
        *self.der.write_locked() = der;
        self.is_alarmed.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn der(&self) -> Arc<[u8]> {
        Arc::clone(&self.der.read_locked())
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
    /// The certificates with which keys of this node answer OCSP on behalf of issuers.
    #[must_use]
    pub fn responder_certificates(&self) -> Vec<Arc<ResponderCertificate>> {
        self.0.keys.issuers.iter().filter_map(|key| key.answers_by.clone()).collect()
    }

    /// Until when this node can answer OCSP on behalf of all issuers for which it does, by domain. That may be in the
    /// past.
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

    /// The longest-lived entitlement of this node for each issuer, including former ones, since only the authority
    /// itself can entitle a responder. Issuers whose own key is here, and those that have ended together with all that
    /// they issued, are left out.
    pub(super) fn longest_delegations<'a>(&'a self, issuers: &'a [Issuer]) -> impl Iterator<Item = Delegation> + 'a {
        let now = self.clock().now();
        let elsewhere = move |it: &Arc<Authority>| now < it.not_after && self.issuer_key(it).is_none();
        self.authorities_of(issuers).filter(elsewhere).filter_map(move |authority| {
            let delegations = self.delegations(&authority).map(|(_, delegation)| delegation);
            delegations.max_by_key(|delegation| delegation.not_after)
        })
    }

    /// Who answers for an authority here: its own key, or one that it has entitled. A responder's certificate tells
    /// clients not to check its revocation (RFC 6960, 4.2.2.2.1), so its holder must check the record itself.
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
            // In the second of its end, no answer would be valid for any time.
            let is_its_time = delegation.not_before <= now && now < delegation.not_after;
            let Some(answers_by) = key.answers_by.as_ref().filter(|_| is_its_time) else { continue };
            let serial = SerialNumber::read(delegation.certificate.tbs_certificate.serial_number.as_bytes());
            // A certificate that this copy does not know yet has not been revoked in it either.
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

    /// The alarm is raised once, not for each question, and no client waits for it.
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
            "the certificate {serial} in `{path}` is revoked ({reason}): this node no longer answers OCSP with it, \
             until the block is lifted or the issuer has certified a key for OCSP again and the file has the new \
             certificate"
        );
        tracing::warn!(%domain, "{text}");
        let alarm = move || app.store().alarm_once(number, app.clock().now(), "responder-revoked", &text);
        drop(crate::background::spawn(move || {
            if let Err(error) = alarm() {
                tracing::error!(%error, %domain, "no alarm could be raised about a responder's revoked certificate");
            }
        }));
    }

    /// The keys that an authority has entitled to answer for it, whether or not they are valid at present.
    fn delegations<'a>(&'a self, authority: &'a Authority) -> impl Iterator<Item = (&'a IssuerKey, Delegation)> {
        self.0.keys.issuers.iter().filter_map(move |key| {
            let certificate = key.answers_by.as_ref()?.der();
            Some((key, answers_for(authority, &certificate, &*key.signer)?))
        })
    }
}
