//! The messages that answer requests.

use der::asn1::{Any, BitString, Null, OctetString};
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
use crate::x509::{SignError, generalized, oid, sign, signature_algorithm};

/// The numbers of bodies that only answer.
const REVOKED: u8 = 12;
const CONFIRMED: u8 = 19;
const GENERAL: u8 = 22;
const ERROR: u8 = 23;

/// The outcome of a request.
#[derive(Debug)]
pub enum Answer<'a> {
    /// A certificate in DER, for this request.
    Issued {
        /// The request.
        asked: &'a Enrolment,
        /// The certificate.
        certificate: &'a [u8],
        /// Whether everything in it is as it was asked for.
        is_as_asked: bool,
        /// Whether its holder need not confirm it.
        is_confirmed: bool,
        /// How long the holder's confirmation is waited for.
        waits_until: Option<Timestamp>,
    },
    /// The certificate is revoked.
    Revoked,
    /// The holder's confirmation was received.
    Confirmed,
    /// The answer to a question.
    Told(&'a Told),
    /// Nothing was done.
    Refused(Failure),
}

/// How an answer proves its origin.
pub enum Protector<'a> {
    /// Not at all.
    None,
    /// By a key, whose certificate is the first of those sent along.
    Key {
        /// The key.
        signer: &'a dyn Signer,
        /// Its identifier.
        key_id: &'a [u8],
    },
    /// By the secret that protected the request.
    Secret(&'a [u8]),
}

/// An answer to a message.
pub struct Reply<'a> {
    /// The message being answered.
    pub to: &'a Message<'a>,
    /// The name of the authority.
    pub from: &'a DistinguishedName,
    /// The answer.
    pub answer: Answer<'a>,
    /// Certificates in DER to send along, if it is protected; also by a secret, since a client that gets a certificate
    /// needs those above it.
    pub chain: &'a [Vec<u8>],
    /// A nonce that nobody can predict.
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
    /// Encodes the message in DER.
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
        // The request has been verified with it, so it can be read.
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

    /// What the header says of a certificate: that its holder need not confirm it, or how long its confirmation is
    /// waited for (RFC 9483, 3.1).
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

    /// The body of a refusal. That a certificate is not issued or not revoked is said in the body that answers such a
    /// request; an error in the message itself, in an error message (RFC 9483, 3.6.2).
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

/// The answer to the one request with this id, in a body of this kind.
fn certified(kind: u8, number: &[u8], status: Status, pair: Option<Pair>) -> der::Result<Vec<u8>> {
    let response = Response { number: Any::from_der(number)?, status, pair };
    explicit(kind, &Certified { responses: vec![response] }.to_der()?)
}

/// A value with an explicit context tag; numbers are those of bodies, below 31.
fn explicit(number: u8, value: &[u8]) -> der::Result<Vec<u8>> {
    Any::new(Tag::ContextSpecific { constructed: true, number: TagNumber::new(number) }, value)?.to_der()
}
