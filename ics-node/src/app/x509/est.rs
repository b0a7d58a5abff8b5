//! EST (RFC 7030): how a device gets its certificate without human help. What it shows in TLS need not be a certificate
//! issued here: what counts is its key, and the record says whose that is. So a device obtains its LDevID with the
//! IDevID from its manufacturer, as soon as a record that names that key permits it.

mod rate;

use std::sync::Arc;

use der::asn1::SetOfVec;
use der::{Any, Encode as _};
use ics_core::identity::{IdentityId, excerpt};
use ics_core::vocabulary::{DomainName, KeyType, ProfileName};
use x509_cert::attr::Attribute;

pub(in crate::app) use self::rate::Asking;
use super::by_key::Applicant;
use super::certify::{CertifyError, Requester};
use crate::api::problem::Code;
use crate::app::answer::read::Sight;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::tls::KeyPin;
use crate::x509::{Authority, Csr, certs_only, issuer_id, oid};

/// The context of an enrolment: where it was requested, and by whom.
#[derive(Debug)]
pub struct EstRequest {
    /// The domain.
    pub domain: DomainName,
    /// The profile.
    pub profile: String,
    /// The issuer, if another one than the present one is wanted.
    pub issuer: Option<String>,
    /// The key that the client has proved in TLS.
    pub proven: Option<KeyPin>,
    /// The user name and password of HTTP.
    pub basic: Option<(String, String)>,
}

impl App {
    /// Enrols: turns a request (PKCS #10, base64) into a certificate, as a certs-only message.
    ///
    /// # Errors
    /// When the client has not proved who it is, or as [`App::certify`].
    pub async fn est_enroll(&self, asked: &EstRequest, csr: &str) -> Result<Vec<u8>, CertifyError> {
        let der = Csr::decode(csr)?;
        let (requester, identity, csr) = self.est_client(asked, &der)?;
        let EstRequest { domain, profile, issuer, proven, .. } = asked;
        let issuer = issuer.as_deref();
        let applicant = Applicant { domain, profile, issuer, proven: *proven, requester, identity };
        let issued = self.issue_to(&applicant, &csr).await?;
        let encoded = certs_only(&[issued.certificate]);
        encoded.map_err(|error| AppError::Internal(error.to_string()).into())
    }

    /// The requester, the thing concerned, and the request, which is verified for nobody who is unknown. A registrar
    /// may also show a certificate (RFC 7030, 3.2.3), and be a thing with a record: the thing concerned is the one that
    /// the registrar names, or the key of a device would be certified to the registrar. For the same reason nothing is
    /// certified to who gives a wrong password.
    fn est_client(&self, asked: &EstRequest, der: &[u8]) -> Result<(Requester, IdentityId, Csr), CertifyError> {
        let unproven = |text: &str| CertifyError::Unproven(text.to_owned());
        match (&asked.basic, asked.proven) {
            (Some((name, password)), _) if self.is_operator(Some(password)) => {
                let csr = Csr::parse(der)?;
                Ok((Requester::Operator, self.meant_by_registrar(&asked.domain, name, &csr)?, csr))
            }
            (Some(_), _) => Err(unproven("the password is not the registrar's token")),
            (None, Some(proven)) => {
                let requester = self.requester_by(&asked.domain, proven)?;
                self.est_may_ask(&asked.domain, requester)?;
                let csr = Csr::parse(der)?;
                Ok((requester, self.asked_for(&asked.domain, (requester, proven), &csr)?, csr))
            }
            (None, None) => Err(unproven("neither a certificate nor a password was shown")),
        }
    }

    /// The only domain that issues certificates here: at home at this node, which has the key of its issuer, or of a
    /// former one until that has come: nobody who names no domain must mean another one for a while. Copies of others
    /// that issue elsewhere do not matter.
    ///
    /// # Errors
    /// When there is none, or several: then the path must name one.
    pub fn only_issuing(&self) -> Result<DomainName, AppError> {
        let hosted = self.all_hosted();
        let has_key = |sight: Sight<'_>| !self.authorities_here(&sight).is_empty();
        let issues = |hosted: &Hosted| self.check_open(hosted).is_ok() && self.issues_here(hosted).is_ok_and(has_key);
        let mut issuing = hosted.iter().filter(|hosted| issues(hosted));
        match (issuing.next(), issuing.next()) {
            (Some(one), None) => Ok(one.name.clone()),
            (None, _) => Err(AppError::new(Code::UnknownCertificate, "no domain here issues certificates")),
            _ => Err(AppError::new(Code::UnknownCertificate, "several domains here issue: the path must name one")),
        }
    }

    /// The certificates from the issuer up to the root, as a certs-only message.
    ///
    /// # Errors
    /// When the domain issues no certificates.
    pub fn est_certificates(&self, domain: &DomainName) -> Result<Vec<u8>, AppError> {
        let all = self.authority_certificates(domain)?;
        certs_only(&all).map_err(|error| AppError::Internal(error.to_string()))
    }

    /// What a request should contain (RFC 7030, 4.5.2): the kinds of keys that the profile accepts.
    ///
    /// # Errors
    /// When the domain does not issue such certificates.
    pub fn est_attributes(&self, domain: &DomainName, profile: &str) -> Result<Vec<u8>, AppError> {
        let attributes: der::Result<Vec<Any>> =
            self.profile_keys(domain, profile)?.into_iter().map(attribute).collect();
        attributes.and_then(|all| all.to_der()).map_err(|error| AppError::Internal(error.to_string()))
    }

    /// The kinds of keys that a profile accepts.
    pub(super) fn profile_keys(&self, domain: &DomainName, profile: &str) -> Result<Vec<KeyType>, AppError> {
        let unknown = || {
            let detail = format!("`{domain}` has no certificates of the profile `{}`", excerpt(profile));
            AppError::new(Code::UnknownCertificate, detail)
        };
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let rules = sight.domain.descriptor().certificates.as_ref().ok_or_else(unknown)?;
        let name: ProfileName = profile.parse().map_err(|_| unknown())?;
        let profile = rules.profiles.get(&name).ok_or_else(unknown)?;
        Ok(profile.keys.iter().copied().collect())
    }

    /// The certificate of an issuer, as DER.
    ///
    /// # Errors
    /// When the domain has no such issuer.
    pub fn issuer_certificate(&self, domain: &DomainName, issuer: &str) -> Result<Vec<u8>, AppError> {
        let own = self.authorities(domain)?.into_iter().find(|authority| issuer_id(authority) == issuer);
        let own = own.and_then(|authority| authority.chain.first().cloned());
        own.ok_or_else(|| AppError::new(Code::UnknownCertificate, "the domain has no such issuer"))
    }

    /// The issuers that a domain's descriptor names; one that cannot be read issues nothing either.
    pub(in crate::app) fn authorities(&self, domain: &DomainName) -> Result<Vec<Arc<Authority>>, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let rules = sight.domain.descriptor().certificates.as_ref();
        let unknown = || AppError::new(Code::UnknownCertificate, "the domain issues no certificates");
        let issuers = &rules.ok_or_else(unknown)?.issuers;
        Ok(self.authorities_of(issuers).collect())
    }
}

/// The attribute for a kind of key. Elliptic curve keys name their curve in an attribute; for others the algorithm says
/// everything, and an attribute must have a value.
fn attribute(key: KeyType) -> der::Result<Any> {
    let curve = match key {
        KeyType::P256 => oid::P256,
        KeyType::P384 => oid::P384,
        KeyType::P521 => oid::P521,
        KeyType::Ed25519 => return Any::encode_from(&oid::ED25519),
        KeyType::Rsa => return Any::encode_from(&oid::RSA),
    };
    let values = SetOfVec::try_from(vec![Any::encode_from(&curve)?])?;
    Any::encode_from(&Attribute { oid: oid::EC_PUBLIC_KEY, values })
}
