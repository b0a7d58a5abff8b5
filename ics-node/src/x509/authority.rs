//! Issuing authorities: their certificates, what these allow them to issue, and how such certificates are made.

use std::collections::BTreeSet;
use std::sync::Arc;

use der::asn1::{AnyRef, BitString, OctetString};
use der::referenced::OwnedToRef as _;
use der::{Decode as _, Encode as _, Sequence};
use ics_core::descriptor::Issuer;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use ics_core::vocabulary::CertificateUse;
use x509_cert::Certificate;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::name::Name as DistinguishedName;
use x509_cert::request::{CertReq, CertReqInfo};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::Validity;

use super::constraints::Constraints;
use super::extension::extension;
use super::{SerialNumber, SignError, oid, signature, subject, time};

/// Why a certificate cannot serve an issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Not a certificate.
    #[error("the issuer's certificate is malformed: {0}")]
    Form(String),
    /// It is not the certificate of an authority.
    #[error("the issuer's certificate does not let its holder issue certificates and revocation lists")]
    NotAnAuthority,
    /// A chain in which one certificate was not issued by the next.
    #[error("certificate {0} of the issuer's chain was not issued by the next one")]
    Chain(usize),
    /// A certificate above it does not allow this many authorities below it.
    #[error("certificate {0} of the issuer's chain is not an authority's or may not have so many authorities below it")]
    Above(usize),
}

/// An issuer of certificates, as its own certificate and those above it describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its certificate and those above it, in DER, its own first.
    pub chain: Vec<Vec<u8>>,
    /// The same as PEM.
    pub pem: Arc<str>,
    /// Its SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// The issuer's name in the certificates that it issues.
    pub name: DistinguishedName,
    /// The identifier of its key in certificates.
    pub key_id: Vec<u8>,
    /// When the last certificate of its chain begins.
    pub not_before: Timestamp,
    /// When the first certificate of its chain expires.
    pub not_after: Timestamp,
    /// What it may issue: the constraints in its own certificate and all above it.
    constraints: Vec<Constraints>,
    pub(super) key_bits: Vec<u8>,
}

impl Authority {
    /// Reads an issuer of a descriptor and verifies its chain.
    ///
    /// # Errors
    /// When a certificate is malformed, not that of an authority, or not issued by the next.
    pub fn read(issuer: &Issuer) -> Result<Self, AuthorityError> {
        let form = |error: String| AuthorityError::Form(error);
        let chain = issuer.certificates().map_err(|error| form(error.to_string()))?;
        let parsed = chain.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>();
        let parsed = parsed.map_err(|error| form(error.to_string()))?;
        for (place, pair) in parsed.windows(2).enumerate() {
            if let [one, above] = pair
                && !is_issued_by(one, above)
            {
                return Err(AuthorityError::Chain(place));
            }
        }
        if let Some((below, _)) = parsed.iter().enumerate().skip(1).find(|(below, it)| !may_have_below(it, *below)) {
            return Err(AuthorityError::Above(below));
        }
        let tbs: Vec<_> = parsed.into_iter().map(|it| it.tbs_certificate).collect();
        let own = tbs.first().ok_or_else(|| form("there is none".to_owned()))?;
        let signs_lists = key_usage(own).is_some_and(|usage| usage.0.contains(KeyUsages::CRLSign));
        if !is_authority(own) || !signs_lists {
            return Err(AuthorityError::NotAnAuthority);
        }
        Self::of(own, &tbs, chain).map_err(|error| form(error.to_string()))
    }

    fn of(own: &TbsCertificate, all: &[TbsCertificate], chain: Vec<Vec<u8>>) -> der::Result<Self> {
        let key_bits = own.subject_public_key_info.subject_public_key.raw_bytes().to_vec();
        let key_id = match own.get::<SubjectKeyIdentifier>()? {
            Some((_, id)) => id.0.as_bytes().to_vec(),
            None => sha1(&key_bits).to_vec(),
        };
        let begins = all.iter().map(|tbs| time::timestamp(tbs.validity.not_before));
        let ends = all.iter().map(|tbs| time::timestamp(tbs.validity.not_after));
        Ok(Self {
            spki: own.subject_public_key_info.to_der()?,
            name: own.subject.clone(),
            key_id,
            not_before: begins.max().unwrap_or_default(),
            not_after: ends.min().unwrap_or_default(),
            constraints: all.iter().map(Constraints::of).collect::<Result<_, _>>()?,
            key_bits,
            pem: chain.iter().map(|der| subject::certificate_pem(der)).collect::<String>().into(),
            chain,
        })
    }

    /// Whether its chain ends in a root: clients that are shown less cannot know what the root allows and when it
    /// expires. A root is trusted as such, so its own signature, however old, is not checked.
    #[must_use]
    pub fn has_root(&self) -> bool {
        let last = self.chain.last().and_then(|der| Certificate::from_der(der).ok());
        last.is_some_and(|last| last.tbs_certificate.issuer == last.tbs_certificate.subject)
    }

    /// Whether it has issued a certificate: that names it as issuer, and bears its signature.
    #[must_use]
    pub fn has_issued(&self, certificate: &Certificate) -> bool {
        let tbs = &certificate.tbs_certificate;
        let (Ok(message), Ok(spki)) = (tbs.to_der(), SubjectPublicKeyInfoOwned::from_der(&self.spki)) else {
            return false;
        };
        let (algorithm, signature) = (&certificate.signature_algorithm, &certificate.signature);
        tbs.issuer == self.name && signature::verify(spki.owned_to_ref(), algorithm, &message, signature)
    }

    /// Whether a name may be in its certificates.
    #[must_use]
    pub fn may_certify(&self, name: &GeneralName) -> bool {
        self.constraints.iter().all(|it| it.admit(name))
    }

    /// Whether its certificates may be for all of these uses.
    #[must_use]
    pub fn may_certify_for(&self, uses: &BTreeSet<CertificateUse>) -> bool {
        self.constraints.iter().all(|it| it.admit_uses(uses))
    }
}

/// Whether a certificate is that of an authority; a malformed one is not.
fn is_authority(tbs: &TbsCertificate) -> bool {
    let is_ca = basic_constraints(tbs).is_some_and(|basic| basic.ca);
    is_ca && key_usage(tbs).is_some_and(|usage| usage.0.contains(KeyUsages::KeyCertSign))
}

/// Whether an authority's certificate allows this many others below it (RFC 5280, 4.2.1.9).
fn may_have_below(certificate: &Certificate, below: usize) -> bool {
    let tbs = &certificate.tbs_certificate;
    let length = basic_constraints(tbs).and_then(|basic| basic.path_len_constraint);
    is_authority(tbs) && length.is_none_or(|length| below <= usize::from(length))
}

fn basic_constraints(tbs: &TbsCertificate) -> Option<BasicConstraints> {
    tbs.get::<BasicConstraints>().ok().flatten().map(|(_, basic)| basic)
}

fn key_usage(tbs: &TbsCertificate) -> Option<KeyUsage> {
    tbs.get::<KeyUsage>().ok().flatten().map(|(_, usage)| usage)
}

fn is_issued_by(one: &Certificate, above: &Certificate) -> bool {
    let Ok(message) = one.tbs_certificate.to_der() else { return false };
    let key = above.tbs_certificate.subject_public_key_info.owned_to_ref();
    one.tbs_certificate.issuer == above.tbs_certificate.subject
        && signature::verify(key, &one.signature_algorithm, &message, &one.signature)
}

/// The delegation to a key of the right to answer OCSP for an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// The certificate that grants it.
    pub certificate: Certificate,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The last second of its validity.
    pub not_after: Timestamp,
}

/// The delegation by which a key may answer OCSP for an authority, if it may: a certificate that the authority itself
/// has issued for that use and to that key (RFC 6960, 4.2.2.2). The caller checks whether it is valid at the time.
#[must_use]
pub fn answers_for(authority: &Authority, der: &[u8], signer: &dyn Signer) -> Option<Delegation> {
    let certificate = Certificate::from_der(der).ok()?;
    let tbs = &certificate.tbs_certificate;
    let is_its = authority.has_issued(&certificate);
    let uses = tbs.get::<ExtendedKeyUsage>().ok()??.1;
    let own = tbs.subject_public_key_info.to_der().ok()?;
    let (not_before, not_after) = (time::timestamp(tbs.validity.not_before), time::timestamp(tbs.validity.not_after));
    let fits = is_its && uses.0.contains(&oid::OCSP_SIGNING) && signer.public_key().to_spki_der() == Some(own);
    fits.then_some(Delegation { certificate, not_before, not_after })
}

pub(super) fn sha1(bytes: &[u8]) -> [u8; 20] {
    use sha1::Digest as _;
    sha1::Sha1::digest(bytes).into()
}

/// What goes into the certificate of a new authority.
#[derive(Debug, Clone)]
pub struct NewAuthority {
    /// Its common name.
    pub common_name: String,
    /// The organization that it belongs to.
    pub organization: Option<String>,
    /// How many authorities may follow below it.
    pub path_length: u8,
    /// What it may issue.
    pub constraints: Constraints,
    /// The validity of its certificate: first and last moment.
    pub validity: (Timestamp, Timestamp),
    /// The URL of its issuer's revocation list; `None` for a root.
    pub crl_url: Option<String>,
}

/// A request for the certificate of an authority, to be carried to the one above it; PKCS #10 in DER.
///
/// # Errors
/// When the key does not sign.
pub fn ca_request(signer: &dyn Signer, common_name: &str, organization: Option<&str>) -> Result<Vec<u8>, SignError> {
    let info = CertReqInfo {
        version: x509_cert::request::Version::V1,
        subject: name(common_name, organization)?,
        public_key: public_key(signer)?,
        attributes: Default::default(),
    };
    let signed = signature::sign(signer, &info.to_der()?)?;
    Ok(CertReq { algorithm: signature::algorithm(signer)?, info, signature: signed }.to_der()?)
}

/// What is wrong with a request that has an acceptable key.
const UNPROVEN: &str = "it is not signed with its own key, or not with SHA-256 or longer";

/// An authority needs a name (RFC 5280, 4.1.2.6), and under that of the one above it its certificate would look like a
/// root's.
const UNNAMED: &str = "its subject is empty, or the name of the authority above it";

/// Issues the certificate of an authority: a root for the signer itself, or one for the key and name in a request,
/// whose signature is verified.
///
/// # Errors
/// When the request is malformed or not proven, or the key does not sign.
pub fn issue_authority(
    signer: &dyn Signer,
    above: Option<&Authority>,
    request: Option<&[u8]>,
    new: &NewAuthority,
    serial: &SerialNumber,
) -> Result<Vec<u8>, AuthorityMakeError> {
    let (subject, key) = match request {
        None => (name(&new.common_name, new.organization.as_deref())?, public_key(signer)?),
        Some(der) => {
            let request = CertReq::from_der(der).map_err(|error| AuthorityMakeError::Request(error.to_string()))?;
            let message = request.info.to_der()?;
            // A signature by a key that is too weak is refused; the error must blame the key, not the signature.
            PublicKey::from_spki_der(&request.info.public_key.to_der()?)
                .map_err(|error| AuthorityMakeError::Request(format!("its key is not accepted: {error}")))?;
            let key = request.info.public_key.owned_to_ref();
            if !signature::verify(key, &request.algorithm, &message, &request.signature) {
                return Err(AuthorityMakeError::Request(UNPROVEN.to_owned()));
            }
            let subject = request.info.subject;
            if subject.is_empty() || above.is_some_and(|above| subject::is_same_name(&subject, &above.name)) {
                return Err(AuthorityMakeError::Request(UNNAMED.to_owned()));
            }
            (subject, request.info.public_key)
        }
    };
    let (not_before, not_after) = new.validity;
    let own_id = sha1(key.subject_public_key.raw_bytes()).to_vec();
    let above_id = above.map_or_else(|| own_id.clone(), |above| above.key_id.clone());
    let basic = BasicConstraints { ca: true, path_len_constraint: above.map(|_| new.path_length) };
    // OCSP answers are signed with the same key, which needs a usage of its own (RFC 5280, 4.2.1.3).
    let usage = KeyUsages::DigitalSignature | KeyUsages::KeyCertSign | KeyUsages::CRLSign;
    let mut extensions = vec![
        extension(oid::BASIC_CONSTRAINTS, true, &basic)?,
        extension(oid::KEY_USAGE, true, &KeyUsage(usage))?,
        extension(oid::SUBJECT_KEY_ID, false, &SubjectKeyIdentifier(OctetString::new(own_id)?))?,
    ];
    let id = AuthorityKeyIdentifier { key_identifier: Some(OctetString::new(above_id)?), ..Default::default() };
    extensions.push(extension(oid::AUTHORITY_KEY_ID, false, &id)?);
    extensions.extend(new.constraints.extensions()?);
    if let Some(url) = &new.crl_url {
        extensions.push(super::leaf::distribution_point(url)?);
    }
    let tbs = TbsCertificate {
        version: Version::V3,
        serial_number: serial.to_x509()?,
        signature: signature::algorithm(signer)?,
        issuer: above.map_or_else(|| subject.clone(), |above| above.name.clone()),
        validity: Validity { not_before: time::time(not_before)?, not_after: time::time(not_after)? },
        subject,
        subject_public_key_info: key,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    };
    Ok(signed(signer, tbs)?)
}

/// Why no authority's certificate was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityMakeError {
    /// The request is refused.
    #[error("the request is refused: {0}")]
    Request(String),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl From<der::Error> for AuthorityMakeError {
    fn from(error: der::Error) -> Self {
        Self::Sign(error.into())
    }
}

/// A certificate around the very bytes that were signed (RFC 5280, 4.1).
#[derive(Sequence)]
struct SignedCertificate<'a> {
    tbs_certificate: AnyRef<'a>,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// The signed certificate in DER.
pub(super) fn signed(signer: &dyn Signer, tbs: TbsCertificate) -> Result<Vec<u8>, SignError> {
    let message = tbs.to_der()?;
    let signature = signature::sign(signer, &message)?;
    let tbs_certificate = AnyRef::from_der(&message)?;
    Ok(SignedCertificate { tbs_certificate, signature_algorithm: tbs.signature, signature }.to_der()?)
}

fn name(common_name: &str, organization: Option<&str>) -> der::Result<DistinguishedName> {
    let organization = organization.map(|text| (oid::ORGANIZATION, text));
    let all: Vec<_> = organization.into_iter().chain([(oid::COMMON_NAME, common_name)]).collect();
    subject::name(&all)
}

fn public_key(signer: &dyn Signer) -> Result<SubjectPublicKeyInfoOwned, SignError> {
    let key = signer.public_key();
    let der = key.to_spki_der().ok_or_else(|| SignError::Kind(key.algorithm()))?;
    Ok(SubjectPublicKeyInfoOwned::from_der(&der)?)
}

#[cfg(test)]
mod tests;
