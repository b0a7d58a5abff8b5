//! What a message asks for: the bodies of RFC 9810 (5.1.2, 5.3) that are supported here.

use der::asn1::{Int, ObjectIdentifier, OctetString};
use der::{Decode, Encode as _, Sequence};
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::name::Name as DistinguishedName;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::general::{self, Question};
use super::message::Message;
use super::status::Status;
use super::template::{self, Template};
use super::{Failure, FailureInfo};
use crate::x509::{Csr, Reason, RequestError, SerialNumber, oid};

/// The numbers of bodies.
const INITIALIZATION: u8 = 0;
const INITIALIZED: u8 = 1;
const CERTIFICATION: u8 = 2;
const CERTIFIED: u8 = 3;
const PKCS10: u8 = 4;
const KEY_UPDATE: u8 = 7;
const KEY_UPDATED: u8 = 8;
const REVOCATION: u8 = 11;
const GENERAL: u8 = 21;
const ERROR: u8 = 23;
const CONFIRMATION: u8 = 24;
/// Bytes of the longest digest: what a holder says of a certificate is remembered, so that it can be answered again.
const DIGEST_BYTES: usize = 64;
/// Bytes of the longest id of a request, in DER: it is remembered, so that its confirmation can be told from others.
const NUMBER_BYTES: usize = 32;

/// What a message asks for.
#[derive(Debug)]
pub enum Request {
    /// A certificate: `ir`, `cr`, `kur` or `p10cr`.
    Enrolment(Box<Enrolment>),
    /// Revoking a certificate: `rr`.
    Revocation(Revocation),
    /// Whether the holder accepts the certificate: `certConf`. `None` if the message accepts none.
    Confirmation(Option<Confirmation>),
    /// The sender could not read the answer: `error`.
    Error,
    /// A question that anyone may ask: `genm`.
    Question(Question),
}

/// A certificate request whose sender holds the key.
#[derive(Debug)]
pub struct Enrolment {
    /// The number of the body in which it is answered.
    pub(super) reply: u8,
    /// The sender's id of the request: an INTEGER in DER.
    pub(super) number: Vec<u8>,
    /// The request.
    pub csr: Csr,
    /// Whether it asks for a validity, which only the profile decides.
    pub asks_for_validity: bool,
    /// The issuer that the sender asks for, if any; the domain's own issuer issues in any case.
    pub issuer: Option<DistinguishedName>,
    /// The certificate to be updated, if the sender names one.
    pub updates: Option<Named>,
}

impl Enrolment {
    /// The id by which its holder confirms the certificate: that of the request. A PKCS #10 request has none, and is
    /// confirmed as -1 or, by older versions of openssl, as 0.
    #[must_use]
    pub fn confirmed_as(&self) -> Option<&[u8]> {
        let has_one = pkcs10_number().is_ok_and(|none| none != self.number);
        has_one.then_some(self.number.as_slice())
    }
}

/// A certificate as messages identify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its issuer.
    pub issuer: DistinguishedName,
    /// Its serial number.
    pub serial: SerialNumber,
}

/// A request to revoke a certificate.
#[derive(Debug)]
pub struct Revocation {
    /// The certificate.
    pub certificate: Named,
    /// Why.
    pub reason: Reason,
}

/// What a holder says of the certificate it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The id of the request: an INTEGER in DER.
    pub number: Vec<u8>,
    /// The digest by which the holder identifies it.
    pub hash: Vec<u8>,
    /// The algorithm of the digest; by default that of the certificate's signature.
    pub algorithm: Option<ObjectIdentifier>,
    /// Whether the holder accepts it.
    pub is_accepted: bool,
}

/// RevDetails.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct Details {
    template: Template,
    entry: Option<Extensions>,
}

/// CertStatus.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct Confirmed {
    hash: OctetString,
    number: Int,
    status: Option<Status>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    algorithm: Option<AlgorithmIdentifierOwned>,
}

/// The body in which a request for a certificate, or for its revocation, is answered, even by a refusal.
pub(super) enum AnsweredBy {
    /// `ip`, `cp` or `kup`, by number; and the sender's id of the request, an INTEGER in DER.
    Certificate(u8, Vec<u8>),
    /// `rp`.
    Revocation,
}

impl AnsweredBy {
    /// `None` for other messages, and for a request that cannot be read.
    pub(super) fn of(message: &Message<'_>) -> Option<Self> {
        let certificate = |reply| Some(Self::Certificate(reply, template::number(message.content)?));
        match message.kind {
            INITIALIZATION => certificate(INITIALIZED),
            CERTIFICATION => certificate(CERTIFIED),
            KEY_UPDATE => certificate(KEY_UPDATED),
            PKCS10 => Some(Self::Certificate(CERTIFIED, pkcs10_number().ok()?)),
            REVOCATION => Some(Self::Revocation),
            _ => None,
        }
    }
}

impl Request {
    /// Reads what a message asks for.
    ///
    /// # Errors
    /// When its body is malformed, proves nothing, or is not supported here.
    pub fn of(message: &Message<'_>) -> Result<Self, Failure> {
        let content = message.content;
        let enrolment = |reply| template::read(content, reply).map(|asked| Self::Enrolment(Box::new(asked)));
        match message.kind {
            INITIALIZATION => enrolment(INITIALIZED),
            CERTIFICATION => enrolment(CERTIFIED),
            KEY_UPDATE => enrolment(KEY_UPDATED),
            PKCS10 => pkcs10(content).map(|asked| Self::Enrolment(Box::new(asked))),
            REVOCATION => revocation(content).map(Self::Revocation),
            CONFIRMATION => confirmation(content).map(Self::Confirmation),
            GENERAL => general::read(content).map(Self::Question),
            ERROR => Ok(Self::Error),
            other => {
                let text = format!(
                    "message bodies of type {other} are not supported here; ir (0), cr (2), p10cr (4), kur (7), rr \
                     (11), genm (21), error (23) and certConf (24) are"
                );
                Err(Failure::new(FailureInfo::BadRequest, text))
            }
        }
    }
}

/// A PKCS #10 request has no id of its own; it is answered as -1 (RFC 9483, 4.1.4).
fn pkcs10_number() -> der::Result<Vec<u8>> {
    (-1_i8).to_der()
}

/// The id of a request, an INTEGER in DER.
pub(super) fn number_of(id: &Int) -> Result<Vec<u8>, Failure> {
    let number = id.to_der().map_err(Failure::form)?;
    if number.len() > NUMBER_BYTES {
        return Err(Failure::form(format!("the id of a request may have at most {NUMBER_BYTES} bytes")));
    }
    Ok(number)
}

fn pkcs10(content: &[u8]) -> Result<Enrolment, Failure> {
    let csr = Csr::parse(content).map_err(refused)?;
    let number = pkcs10_number().map_err(Failure::form)?;
    Ok(Enrolment { reply: CERTIFIED, number, csr, asks_for_validity: false, issuer: None, updates: None })
}

/// The only element of a list.
pub(super) fn only<'a, T: Decode<'a> + der::FixedTag>(content: &'a [u8], what: &str) -> Result<T, Failure>
where
    Vec<T>: Decode<'a>,
{
    let mut all = Vec::<T>::from_der(content).map_err(Failure::form)?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(Failure::new(FailureInfo::BadRequest, format!("a message must have exactly one {what}"))),
    }
}

fn revocation(content: &[u8]) -> Result<Revocation, Failure> {
    let details: Details = only(content, "revocation")?;
    let missing = || Failure::new(FailureInfo::BadCertId, "name the certificate by its issuer and serial number");
    let issuer = details.template.issuer.ok_or_else(missing)?;
    let serial = template::serial(&details.template.serial.ok_or_else(missing)?)?;
    let mut entry = details.entry.into_iter().flatten();
    let reason = match entry.find(|extension| extension.extn_id == oid::CRL_REASON) {
        None => Reason::Unspecified,
        Some(extension) => {
            let reason = CrlReason::from_der(extension.extn_value.as_bytes()).map_err(Failure::form)?;
            let unknown = "the revocation reason must be one of 0 to 6 or 9; a hold ends with the status that caused \
                           it";
            Reason::of_code(reason as u64).ok_or_else(|| Failure::new(FailureInfo::BadRequest, unknown))?
        }
    };
    Ok(Revocation { certificate: Named { issuer, serial }, reason })
}

fn confirmation(content: &[u8]) -> Result<Option<Confirmation>, Failure> {
    // A holder that accepts none of its certificates sends an empty list (RFC 9810, 5.3.18).
    if Vec::<Confirmed>::from_der(content).map_err(Failure::form)?.is_empty() {
        return Ok(None);
    }
    let confirmed: Confirmed = only(content, "confirmation")?;
    let is_accepted = match confirmed.status.map(|it| (it.status, it.failure.is_some())) {
        None | Some((Status::ACCEPTED | Status::GRANTED_WITH_MODS, false)) => true,
        Some((Status::REJECTION, _)) => false,
        Some((status, fails)) => {
            let with = if fails { " and a failure" } else { "" };
            let text = format!("confirm a certificate with 0 (accepted) or 2 (rejected), not with {status}{with}");
            return Err(Failure::new(FailureInfo::BadRequest, text));
        }
    };
    let (number, hash) = (number_of(&confirmed.number)?, confirmed.hash.into_bytes());
    let algorithm = confirmed.algorithm.map(|it| it.oid);
    if hash.len() > DIGEST_BYTES {
        return Err(Failure::form(format!("a digest may have at most {DIGEST_BYTES} bytes")));
    }
    Ok(Some(Confirmation { number, hash, algorithm, is_accepted }))
}

/// Why a request is refused, as CMP's failure.
pub(super) fn refused(error: RequestError) -> Failure {
    let info = match error {
        RequestError::TooLong(_) | RequestError::Form(_) => FailureInfo::BadDataFormat,
        RequestError::Signature => FailureInfo::BadPop,
        _ => FailureInfo::BadCertTemplate,
    };
    Failure::new(info, error)
}

#[cfg(test)]
mod tests {
    use der::asn1::BitString;

    use super::*;

    #[test]
    fn a_holder_accepts_or_rejects_a_certificate() {
        let said = |hash: &[u8], status: Option<Status>| {
            let (hash, number) = (OctetString::new(hash).expect("short"), Int::new(&[0]).expect("short"));
            let one = Confirmed { hash, number, status, algorithm: None };
            let said = confirmation(&vec![one].to_der().expect("encodes"));
            said.map(|said| said.map(|said| said.is_accepted)).map_err(|failure| failure.info)
        };
        let plain = |status| Status { status, text: None, failure: None };
        let told = |status: Option<u8>| said(&[1; 32], status.map(plain));
        for (status, expected) in [(None, true), (Some(0), true), (Some(1), true), (Some(2), false)] {
            assert_eq!(told(status), Ok(Some(expected)), "{status:?}");
        }
        assert_eq!(told(Some(3)), Err(FailureInfo::BadRequest), "a holder cannot say `waiting`");
        let fails = |status| Status { failure: BitString::from_bytes(&[0x80]).ok(), ..plain(status) };
        assert_eq!(said(&[1; 32], Some(fails(2))), Ok(Some(false)));
        assert_eq!(said(&[1; 32], Some(fails(0))), Err(FailureInfo::BadRequest), "who takes it has no failure");
        assert_eq!(said(&[1; DIGEST_BYTES], Some(plain(2))), Ok(Some(false)));
        let long = said(&[1; DIGEST_BYTES + 1], Some(plain(2)));
        assert_eq!(long, Err(FailureInfo::BadDataFormat), "it would be remembered");
        let none = confirmation(&[0x30, 0]).map(|said| said.is_none());
        assert_eq!(none, Ok(true));
    }

    #[test]
    fn the_id_of_a_request_is_short_enough_to_be_remembered() {
        let read = |length: usize| {
            let number = number_of(&Int::new(&vec![1; length]).expect("a number"));
            number.map(|number| number.len()).map_err(|failure| failure.info)
        };
        assert_eq!(read(NUMBER_BYTES - 2), Ok(NUMBER_BYTES));
        assert_eq!(read(NUMBER_BYTES - 1), Err(FailureInfo::BadDataFormat));
    }
}
