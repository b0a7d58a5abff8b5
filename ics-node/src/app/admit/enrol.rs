//! Enrolment: a device without a secure element generates its key during set-up and asks to be introduced; an operator
//! examines the request and has a signer introduce the device.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::identity::{IdentityId, excerpt};
use ics_core::limits;
use ics_core::name::Name;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::key::PublicKey;
use ics_core::record::Posting;
use ics_core::statement::body::{self, Body};
use ics_core::statement::split;
use ics_core::vocabulary::{Act, DomainName};

use crate::api::problem::Code;
use crate::api::{Enrolment, EnrolmentAnswer, EnrolmentPage, EnrolmentRequest, PageQuery};
use crate::app::answer::list::page_items;
use crate::app::entries::{find_logged, subjects_of};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Asker};
use crate::shares::Shares;
use crate::store::{self, EnrolmentState, Part, StoreError};

/// Limits how often each asker may leave a request, so that nobody alone fills the operator's list.
pub(in crate::app) struct Enrolling(Shares);

impl Default for Enrolling {
    fn default() -> Self {
        Self(Shares::of_askers(limits::ENROLMENTS_PER_ADDRESS, limits::ENROLMENTS_PER_ADDRESS_AT_ONCE))
    }
}

impl App {
    /// Stores a device's request. Asking again with the same key returns the stored request, unless that was refused:
    /// what was wrong with it may have been put right.
    ///
    /// # Errors
    /// When the asker has used up their budget, the domain has its home elsewhere, too many requests are waiting, too
    /// much is asked for, or the certificate does not prove possession of its key.
    pub fn enrol(
        &self,
        asker: Asker,
        domain: &DomainName,
        request: &EnrolmentRequest,
    ) -> Result<EnrolmentAnswer, AppError> {
        asker.take_share(&self.0.enrolling.0)?;
        let hosted = self.home(domain)?;
        let json = bounded(request)?;
        let malformed = |detail: String| AppError::new(Code::MalformedRequest, detail);
        check_wanted(request).map_err(malformed)?;
        let certificate = certificate(request).map_err(malformed)?;
        let token = token(&hosted, &certificate.primary().to_string());
        match self.store().enrol(hosted.number, &token, json, self.clock().now()) {
            // A stored request with the same key is the same request. The certificate does not show who is asking: it
            // may have been published.
            Ok(_) | Err(StoreError::Exists { .. }) => {
                self.enrolment(domain, &certificate.primary().to_string()).map(EnrolmentAnswer::from)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A page of the requests that wait for an operator. If the device has been introduced meanwhile, the request is
    /// marked as approved.
    ///
    /// # Errors
    /// When the domain has its home elsewhere, or the page asked for is too long.
    pub fn enrolments(&self, domain: &DomainName, query: PageQuery) -> Result<EnrolmentPage, AppError> {
        let limit = page_items(query.limit)?;
        let hosted = self.home(domain)?;
        let stored = self.store().enrolments(hosted.number, EnrolmentState::Waiting, query.after, limit)?;
        let next = stored.last().filter(|_| stored.len() == limit).map(|last| last.id);
        Ok(EnrolmentPage { items: self.still_waiting(&hosted, &stored)?, next })
    }

    /// One request, by the fingerprint of the device's key.
    ///
    /// # Errors
    /// When there is none.
    pub fn enrolment(&self, domain: &DomainName, id: &str) -> Result<Enrolment, AppError> {
        let hosted = self.home(domain)?;
        let stored = match self.store().enrolment(&token(&hosted, &id.to_ascii_lowercase())) {
            Err(StoreError::NotFound { .. }) => return Err(unknown(id)),
            other => other?,
        };
        let mut enrolment = self.shown_enrolment(&hosted, &stored)?;
        if stored.state == EnrolmentState::Waiting && self.is_introduced(&hosted, &enrolment)? {
            self.decide(stored.id, EnrolmentState::Approved, None)?;
            EnrolmentState::Approved.as_str().clone_into(&mut enrolment.state);
        }
        Ok(enrolment)
    }

    /// Refuses a waiting request.
    ///
    /// # Errors
    /// When there is none for this key.
    pub fn refuse_enrolment(&self, domain: &DomainName, id: &str, why: &str) -> Result<Enrolment, AppError> {
        let enrolment = self.enrolment(domain, id)?;
        let why: String = why.chars().take(limits::TEXT_BYTES / 4).collect();
        if enrolment.state == EnrolmentState::Waiting.as_str() {
            self.decide(enrolment.number, EnrolmentState::Refused, Some(why))?;
        }
        self.enrolment(domain, id)
    }

    /// Deletes a request, whatever its state, and returns what it was: it may name people, and erasing a statement does
    /// not reach it. The device may ask again.
    ///
    /// # Errors
    /// When there is none for this key.
    pub fn forget_enrolment(&self, domain: &DomainName, id: &str) -> Result<EnrolmentAnswer, AppError> {
        let enrolment = self.enrolment(domain, id)?;
        self.store().forget_enrolment(enrolment.number)?;
        Ok(enrolment.into())
    }

    fn decide(&self, number: u64, state: EnrolmentState, why: Option<String>) -> Result<(), AppError> {
        Ok(self.store().decide_enrolment(number, state, why, self.clock().now())?)
    }

    fn still_waiting(&self, hosted: &Hosted, stored: &[store::Enrolment]) -> Result<Vec<Enrolment>, AppError> {
        let mut waiting = Vec::with_capacity(stored.len());
        for stored in stored {
            let enrolment = self.shown_enrolment(hosted, stored)?;
            if self.is_introduced(hosted, &enrolment)? {
                self.decide(stored.id, EnrolmentState::Approved, None)?;
            } else {
                waiting.push(enrolment);
            }
        }
        Ok(waiting)
    }

    fn is_introduced(&self, hosted: &Hosted, enrolment: &Enrolment) -> Result<bool, AppError> {
        let sight = self.sight(hosted)?;
        let Ok(fingerprint) = enrolment.id.parse() else { return Ok(false) };
        let about = find_logged(&sight.entries, &sight.domain, &Posting::Subject(IdentityId::Key(fingerprint)), 64)?;
        Ok(about.iter().any(|statement| statement.claims().act == Act::Identity && !statement.is_refused()))
    }

    fn shown_enrolment(&self, hosted: &Hosted, stored: &store::Enrolment) -> Result<Enrolment, AppError> {
        let request: EnrolmentRequest = serde_json::from_slice(&stored.request)
            .map_err(|error| AppError::Internal(format!("enrolment {} is damaged: {error}", stored.id)))?;
        let certificate = certificate(&request).map_err(AppError::Internal)?;
        let (id, same_key) = (certificate.primary().to_string(), self.same_key(hosted, &certificate)?);
        let (state, reason) = (stored.state.as_str().to_owned(), stored.answer.clone());
        Ok(Enrolment { number: stored.id, id, state, reason, received_at: stored.at, request, same_key })
    }

    /// The things that have or had this key under another fingerprint: a blocked device could come back that way. This
    /// is told to the operator, who decides, but not to the asker, since things may be hidden and the certificate need
    /// not be the asker's.
    fn same_key(&self, hosted: &Hosted, certificate: &Certificate) -> Result<Vec<String>, AppError> {
        let primary = certificate.primary();
        let key = certificate.public_keys().find(|key| key.fingerprint() == primary);
        let Some(spki) = key.and_then(PublicKey::spki_sha256) else { return Ok(Vec::new()) };
        let things = subjects_of(&self.sight(hosted)?.naming(Name::Spki(spki))?);
        Ok(things.iter().filter(|id| **id != IdentityId::Key(primary)).map(ToString::to_string).collect())
    }

    fn home(&self, domain: &DomainName) -> Result<std::sync::Arc<Hosted>, AppError> {
        let hosted = self.hosted(domain)?;
        if hosted.part == Part::Home {
            return Ok(hosted);
        }
        Err(AppError::new(Code::NotHome, format!("the home of `{domain}` is another node")))
    }
}

/// A request as it is stored. Requests of strangers wait until an operator has looked at them, so each gets little
/// room.
fn bounded(request: &EnrolmentRequest) -> Result<Vec<u8>, AppError> {
    let json = serde_json::to_vec(request).map_err(|error| AppError::Internal(error.to_string()))?;
    if json.len() > limits::ENROLMENT_BYTES {
        let detail = format!("a request has {} bytes, the limit is {}", json.len(), limits::ENROLMENT_BYTES);
        return Err(AppError::new(Code::BodyTooLarge, detail));
    }
    Ok(json)
}

/// Checks that a device may ask for these names, attributes and kind.
fn check_wanted(request: &EnrolmentRequest) -> Result<(), String> {
    if !request.kind.has_key() {
        return Err(format!("a {} has no key to enrol with", request.kind));
    }
    if request.names.len() > limits::ENROLMENT_NAMES {
        let (asked, limit) = (request.names.len(), limits::ENROLMENT_NAMES);
        return Err(format!("the request asks for {asked} names, the limit is {limit}"));
    }
    for name in &request.names {
        name.parse::<ics_core::name::Name>().map_err(|error| error.to_string())?;
    }
    for (attribute, value) in &request.attributes {
        attribute.parse::<ics_core::vocabulary::Attribute>().map_err(|error| error.to_string())?;
        if value.is_empty() || value.len() > limits::TEXT_BYTES {
            return Err(format!("`{attribute}` takes 1 to {} bytes", limits::TEXT_BYTES));
        }
    }
    Ok(())
}

/// The device's own certificate: its self-signature shows that it has the key.
fn certificate(request: &EnrolmentRequest) -> Result<Certificate, String> {
    let bytes = STANDARD.decode(&request.certificate).map_err(|error| format!("certificate: {error}"))?;
    let split = split(&bytes).map_err(|error| format!("certificate: {error}"))?;
    let [only] = split.bodies.as_slice() else { return Err("certificate: give exactly one".to_owned()) };
    match body::parse(only).map_err(|error| format!("certificate: {error}"))? {
        Body::Certificate(certificate) => Ok(certificate),
        _ => Err("certificate: this is not a certificate".to_owned()),
    }
}

fn unknown(id: &str) -> AppError {
    AppError::new(Code::UnknownEnrolment, format!("there is no enrolment request of `{}`", excerpt(id)))
}

/// The key under which the store finds a request: one for each key in each domain.
fn token(hosted: &Hosted, id: &str) -> String {
    format!("{}/{id}", hosted.name)
}
