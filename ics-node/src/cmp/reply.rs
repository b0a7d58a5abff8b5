//! The messages that answer.

use core::time::Duration;

use der::asn1::{Any, BitString, GeneralizedTime, Null, OctetString};
use der::{Decode as _, Encode as _, Sequence, Tag, TagNumber};
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name as DistinguishedName;

use super::body::AnsweredBy;
use super::mac::Mac;
use super::message::{Header, Info, Message};
use super::status::{Failure, Status};
use super::{Enrolment, Told};
use crate::x509::{SignError, oid, sign, signature_algorithm};

/// Numbers of bodies that only answer.
const REVOKED: u8 = 12;
const CONFIRMED: u8 = 19;
const GENERAL: u8 = 22;
const ERROR: u8 = 23;

/// What a request came to.
#[derive(Debug)]
pub enum Answer<'a> {
    /// A certificate, DER, for this request.
    Issued {
        /// What was asked for.
        asked: &'a Enrolment,
        /// The certificate.
        certificate: &'a [u8],
        /// Whether nothing in it is other than it was asked for.
        is_as_asked: bool,
        /// Whether its holder need not say that he takes it.
        is_confirmed: bool,
        /// Until when it is waited for that he says so.
        waits_until: Option<Timestamp>,
    },
    /// It is revoked.
    Revoked,
    /// What its holder said of it was heard.
    Confirmed,
    /// What was asked.
    Told(&'a Told),
    /// Nothing was done.
    Refused(Failure),
}

/// By what an answer shows where it comes from.
pub enum Protector<'a> {
    /// By nothing.
    None,
    /// By a key, whose certificate is the first of those beside the answer.
    Key {
        /// The key.
        signer: &'a dyn Signer,
        /// Its identifier.
        key_id: &'a [u8],
    },
    /// By the secret by which the request did.
    Secret(&'a [u8]),
}

/// An answer to a message.
pub struct Reply<'a> {
    /// The message that is answered.
    pub to: &'a Message<'a>,
    /// The name of the authority.
    pub from: &'a DistinguishedName,
    /// The answer.
    pub answer: Answer<'a>,
    /// Certificates beside it, DER, if it is protected: by a secret as well, since who gets one needs those above.
    pub chain: &'a [Vec<u8>],
    /// A number that nobody can know before.
    pub nonce: [u8; 16],
    /// Now.
    pub now: Timestamp,
}

/// CertRepMessage; `ca_certificates` is always left out.
#[derive(Sequence)]
struct Certified {
    responses: Vec<Response>,
}

/// CertResponse.
#[derive(Clone, Sequence)]
struct Response {
    number: Any,
    status: Status,
    pair: Option<Pair>,
}

/// CertifiedKeyPair.
#[derive(Clone, Sequence)]
struct Pair {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    certificate: Certificate,
}

/// RevRepContent.
#[derive(Sequence)]
struct RevocationReply {
    status: Vec<Status>,
}

/// ErrorMsgContent.
#[derive(Sequence)]
struct ErrorContent {
    status: Status,
}

impl Reply<'_> {
    /// The message, DER.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn to_der(&self, by: &Protector<'_>) -> Result<Vec<u8>, SignError> {
        let header = self.header(by)?.to_der()?;
        let protected = [header, self.body()?].concat();
        let message = Any::new(Tag::Sequence, protected.as_slice())?.to_der()?;
        let bits = match by {
            Protector::None => None,
            Protector::Key { signer, .. } => Some(sign(*signer, &message)?),
            Protector::Secret(secret) => Some(self.mac(secret, &message)?),
        };
        let mut parts = protected;
        if let Some(bits) = bits {
            parts.extend(explicit(0, &bits.to_der()?)?);
            let all = Any::new(Tag::Sequence, self.chain.concat())?.to_der()?;
            parts.extend(explicit(1, &all)?);
        }
        Ok(Any::new(Tag::Sequence, parts)?.to_der()?)
    }

    fn mac(&self, secret: &[u8], message: &[u8]) -> der::Result<BitString> {
        let with = self.to.header.protection.as_ref();
        // The request was read by it before it is answered by it.
        let mac = with.and_then(|with| Mac::read(with).ok()).ok_or(der::ErrorKind::Failed)?;
        mac.sign(secret, message)
    }

    fn header(&self, by: &Protector<'_>) -> Result<Header, SignError> {
        let to = &self.to.header;
        let (protection, sender_key) = match by {
            Protector::None => (None, None),
            Protector::Key { signer, key_id } => {
                (Some(signature_algorithm(*signer)?), Some(OctetString::new(*key_id)?))
            }
            Protector::Secret(_) => (to.protection.clone(), to.sender_key.clone()),
        };
        Ok(Header {
            version: to.version.clamp(2, 3),
            sender: GeneralName::DirectoryName(self.from.clone()),
            recipient: to.sender.clone(),
            time: Some(generalized(self.now)?),
            protection,
            sender_key,
            recipient_key: None,
            transaction: to.transaction.clone(),
            sender_nonce: Some(OctetString::new(self.nonce)?),
            recipient_nonce: to.sender_nonce.clone(),
            text: None,
            info: self.info()?.map(|one| vec![one]),
        })
    }

    /// What the header says of a certificate: that its holder need not confirm it, or until when that is waited for
    /// (RFC 9483, 3.1).
    fn info(&self) -> der::Result<Option<Info>> {
        let (kind, value) = match &self.answer {
            Answer::Issued { is_confirmed: true, .. } => (oid::CMP_IMPLICIT_CONFIRM, Any::encode_from(&Null)?),
            Answer::Issued { waits_until: Some(until), .. } => {
                (oid::CMP_CONFIRM_WAIT_TIME, Any::encode_from(&generalized(*until)?)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(Info { kind, value: Some(value) }))
    }

    fn body(&self) -> der::Result<Vec<u8>> {
        match &self.answer {
            Answer::Issued { asked, certificate, is_as_asked, .. } => {
                let pair = Pair { certificate: Certificate::from_der(certificate)? };
                certified(asked.reply, &asked.number, Status::granted(*is_as_asked), Some(pair))
            }
            Answer::Revoked => explicit(REVOKED, &RevocationReply { status: vec![Status::granted(true)] }.to_der()?),
            Answer::Confirmed => explicit(CONFIRMED, &Null.to_der()?),
            Answer::Told(told) => explicit(GENERAL, &vec![told.info()?].to_der()?),
            Answer::Refused(failure) => self.refusal(failure),
        }
    }

    /// That nothing was done. That there is no certificate, or no end of one, is said in the body that answers such a
    /// request; what is wrong with the message itself, in an error message (RFC 9483, 3.6.2).
    fn refusal(&self, failure: &Failure) -> der::Result<Vec<u8>> {
        let status = Status::refused(failure)?;
        let body = if failure.info.is_of_message() { None } else { AnsweredBy::of(self.to) };
        match body {
            Some(AnsweredBy::Certificate(kind, number)) => certified(kind, &number, status, None),
            Some(AnsweredBy::Revocation) => explicit(REVOKED, &RevocationReply { status: vec![status] }.to_der()?),
            None => explicit(ERROR, &ErrorContent { status }.to_der()?),
        }
    }
}

/// A time in whole seconds, as messages have it.
fn generalized(at: Timestamp) -> der::Result<GeneralizedTime> {
    GeneralizedTime::from_unix_duration(Duration::from_secs(at.as_seconds()))
}

/// The answer to the one request of this number, in a body of that kind.
fn certified(kind: u8, number: &[u8], status: Status, pair: Option<Pair>) -> der::Result<Vec<u8>> {
    let response = Response { number: Any::from_der(number)?, status, pair };
    explicit(kind, &Certified { responses: vec![response] }.to_der()?)
}

/// A value behind a tag of its context; numbers are those of bodies, below 31.
fn explicit(number: u8, value: &[u8]) -> der::Result<Vec<u8>> {
    Any::new(Tag::ContextSpecific { constructed: true, number: TagNumber::new(number) }, value)?.to_der()
}
