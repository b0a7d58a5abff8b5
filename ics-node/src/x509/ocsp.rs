//! OCSP (RFC 6960): requests and signed responses, including the profile of RFC 5019.

use der::asn1::{Null, OctetString, OctetStringRef};
use der::{Decode as _, Encode as _};
use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::ext::Extension;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspRequest, OcspResponse, Request, ResponderId,
    ResponseData, RevokedInfo, SingleResponse, Version,
};

use super::authority::sha1;
use super::{Authority, SerialNumber, SignError, State, oid, signature, time};

/// Octets of a nonce (RFC 9654, 2.1).
const NONCE_BYTES: core::ops::RangeInclusive<usize> = 1..=128;

/// Unsigned responses, which only say that there is no answer (RFC 6960, 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    /// The request is malformed.
    #[error("the OCSP request is malformed")]
    Malformed,
    /// The node cannot answer now.
    #[error("the node cannot answer now")]
    TryLater,
    /// The node does not answer for this certificate.
    #[error("the node does not answer for this certificate")]
    Unauthorized,
    /// The node failed.
    #[error("the node failed")]
    Internal,
}

impl OcspError {
    /// Encodes it as a response in DER.
    #[must_use]
    pub fn to_der(self) -> Vec<u8> {
        let response = match self {
            Self::Malformed => OcspResponse::malformed_request(),
            Self::TryLater => OcspResponse::try_later(),
            Self::Unauthorized => OcspResponse::unauthorized(),
            Self::Internal => OcspResponse::internal_error(),
        };
        response.to_der().unwrap_or_default()
    }
}

/// A question about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    id: CertId,
}

/// The questions in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Questions {
    /// The questions about single certificates; at least one.
    pub questions: Vec<Question>,
    /// The nonce that the response must repeat.
    pub nonce: Option<Vec<u8>>,
}

impl Questions {
    /// Parses a request in DER. A signature on it is ignored: everyone is answered.
    ///
    /// # Errors
    /// When it is malformed, too long, asks about nothing or too much, or has an unknown critical extension or
    /// parameters of a digest.
    pub fn parse(der: &[u8]) -> Result<Self, OcspError> {
        if der.len() > limits::OCSP_REQUEST_BYTES {
            return Err(OcspError::Malformed);
        }
        let request = OcspRequest::from_der(der).map_err(|_| OcspError::Malformed)?.tbs_request;
        if !(1..=limits::OCSP_QUESTIONS).contains(&request.request_list.len()) {
            return Err(OcspError::Malformed);
        }
        // The response repeats the parameters: a question with many forms would need a signature for each.
        let has_parameters =
            |it: &Request| it.req_cert.hash_algorithm.parameters.as_ref().is_some_and(|it| !it.is_null());
        if request.request_list.iter().any(has_parameters) {
            return Err(OcspError::Malformed);
        }
        let extensions = request.request_extensions.unwrap_or_default();
        let of_questions = request.request_list.iter().flat_map(|it| it.single_request_extensions.iter().flatten());
        let unknown = |it: &Extension| it.critical && it.extn_id != oid::OCSP_NONCE;
        if extensions.iter().chain(of_questions).any(unknown) {
            return Err(OcspError::Malformed);
        }
        let nonce = extensions.iter().find(|it| it.extn_id == oid::OCSP_NONCE).map(nonce).transpose()?;
        let questions = request.request_list.into_iter().map(|it| Question { id: it.req_cert }).collect();
        Ok(Self { questions, nonce })
    }

    /// The one question asked, if the response serves everybody who asks it.
    #[must_use]
    pub fn common(&self) -> Option<&Question> {
        match (self.questions.as_slice(), &self.nonce) {
            ([question], None) => Some(question),
            _ => None,
        }
    }
}

/// Old clients send the octets without an OCTET STRING around them, and get back what they sent.
fn nonce(extension: &Extension) -> Result<Vec<u8>, OcspError> {
    let octets = extension.extn_value.as_bytes();
    let length = OctetStringRef::from_der(octets).map_or(octets.len(), |inner| inner.as_bytes().len());
    if NONCE_BYTES.contains(&length) { Ok(octets.to_vec()) } else { Err(OcspError::Malformed) }
}

impl Question {
    /// The serial number asked about; `None` if it cannot have been issued here.
    #[must_use]
    pub fn serial(&self) -> Option<SerialNumber> {
        SerialNumber::read(self.id.serial_number.as_bytes())
    }

    /// A key for caching: the same for equal questions.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        self.id.to_der().unwrap_or_default()
    }

    /// Whether it is about a certificate of this issuer.
    #[must_use]
    pub fn is_about(&self, authority: &Authority) -> bool {
        let hash = |bytes: &[u8]| match self.id.hash_algorithm.oid {
            oid::SHA1 => Some(sha1(bytes).to_vec()),
            oid::SHA256 => Some(Sha256::digest(bytes).to_vec()),
            _ => None,
        };
        let Ok(name) = authority.name.to_der() else { return false };
        hash(&authority.key_bits).is_some_and(|key| key == self.id.issuer_key_hash.as_bytes())
            && hash(&name).is_some_and(|name| name == self.id.issuer_name_hash.as_bytes())
    }
}

/// Who answers for an issuer: the issuer itself, or a key that the issuer has certified for that (RFC 6960, 4.2.2.2).
#[derive(Clone, Copy)]
pub struct Responder<'a> {
    /// The key that signs.
    pub signer: &'a dyn Signer,
    /// The certificate of the key, if it is not the issuer's own.
    pub certificate: Option<&'a Certificate>,
}

/// The times in a response (RFC 6960, 2.4).
#[derive(Debug, Clone, Copy)]
pub struct AnswerTimes {
    /// When the answer is known to be right.
    pub this_update: Timestamp,
    /// When newer information will be available at the latest.
    pub next_update: Timestamp,
    /// When it is signed.
    pub produced_at: Timestamp,
}

impl Responder<'_> {
    /// Signs a response; in DER.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn respond(
        &self,
        answers: &[(&Question, State)],
        nonce: Option<&[u8]>,
        times: AnswerTimes,
    ) -> Result<Vec<u8>, SignError> {
        let key = self.signer.public_key();
        let spki = key.to_spki_der().ok_or(SignError::Kind(key.algorithm()))?;
        let spki = x509_cert::spki::SubjectPublicKeyInfoRef::from_der(&spki)?;
        let key_hash = OctetString::new(sha1(spki.subject_public_key.raw_bytes()))?;
        let single = |(question, state): &(&Question, State)| {
            Ok::<_, der::Error>(SingleResponse {
                cert_id: question.id.clone(),
                cert_status: status(*state, times.this_update)?,
                this_update: OcspGeneralizedTime(time::generalized(times.this_update)?),
                next_update: Some(OcspGeneralizedTime(time::generalized(times.next_update)?)),
                single_extensions: None,
            })
        };
        let nonce = nonce.map(|octets| {
            Ok::<_, der::Error>(vec![Extension {
                extn_id: oid::OCSP_NONCE,
                critical: false,
                extn_value: OctetString::new(octets)?,
            }])
        });
        let data = ResponseData {
            version: Version::V1,
            responder_id: ResponderId::ByKey(key_hash),
            produced_at: OcspGeneralizedTime(time::generalized(times.produced_at)?),
            responses: answers.iter().map(single).collect::<Result<_, _>>()?,
            response_extensions: nonce.transpose()?,
        };
        let signed = signature::sign(self.signer, &data.to_der()?)?;
        let response = BasicOcspResponse {
            tbs_response_data: data,
            signature_algorithm: signature::algorithm(self.signer)?,
            signature: signed,
            certs: self.certificate.map(|certificate| vec![certificate.clone()]),
        };
        Ok(OcspResponse::successful(response)?.to_der()?)
    }
}

/// Encodes a state. A revocation is dated no later than the answer, as on lists.
fn status(state: State, this_update: Timestamp) -> der::Result<CertStatus> {
    Ok(match state {
        State::Good => CertStatus::Good(Null),
        State::Ended => CertStatus::Unknown(Null),
        State::Revoked { at, reason } => CertStatus::Revoked(RevokedInfo {
            revocation_time: OcspGeneralizedTime(time::generalized(at.min(this_update))?),
            revocation_reason: Some(reason.to_x509()).filter(|_| reason.code() != 0),
        }),
    })
}

#[cfg(test)]
mod tests {
    use der::Any;
    use x509_cert::spki::AlgorithmIdentifierOwned;
    use x509_ocsp::TbsRequest;

    use super::*;
    use crate::x509::Reason;

    const EARLIER: Timestamp = Timestamp::from_seconds(1_767_139_200);

    #[test]
    fn a_question_has_few_forms() {
        let read = |parameters: Option<Any>| {
            let digest = OctetString::new([7_u8; 32]).expect("octets");
            let req_cert = CertId {
                hash_algorithm: AlgorithmIdentifierOwned { oid: oid::SHA256, parameters },
                issuer_name_hash: digest.clone(),
                issuer_key_hash: digest,
                serial_number: x509_cert::serial_number::SerialNumber::new(&[1; 20]).expect("a number"),
            };
            let request_list = vec![Request { req_cert, single_request_extensions: None }];
            let tbs_request = TbsRequest { request_list, ..TbsRequest::default() };
            let request = OcspRequest { tbs_request, optional_signature: None };
            Questions::parse(&request.to_der().expect("DER")).map(|it| it.questions.len())
        };
        assert_eq!(read(None), Ok(1));
        assert_eq!(read(Some(Any::null())), Ok(1));
        let other = Any::encode_from(&true).expect("DER");
        assert_eq!(read(Some(other)), Err(OcspError::Malformed));
    }

    /// RFC 9654, 2.1: servers accept nonces of up to 128 octets, which in DER take a header of three.
    #[test]
    fn nonces_of_all_lengths_that_are_allowed() {
        let taken = |octets: &[u8]| {
            let extn_value = OctetString::new(octets).expect("octets");
            nonce(&Extension { extn_id: oid::OCSP_NONCE, critical: false, extn_value })
        };
        for (length, is_taken) in [(0, false), (1, true), (32, true), (127, true), (128, true), (129, false)] {
            let bare = vec![7_u8; length];
            let whole = OctetString::new(bare.as_slice()).expect("octets").to_der().expect("DER");
            assert_eq!(taken(&whole), if is_taken { Ok(whole) } else { Err(OcspError::Malformed) }, "{length}");
            assert_eq!(taken(&bare), if is_taken { Ok(bare) } else { Err(OcspError::Malformed) }, "{length}, bare");
        }
    }
    /// Some verifiers ignore a revocation dated in the future.
    #[test]
    fn what_is_revoked_is_so_by_the_time_of_the_answer() {
        let (now, later) = (Timestamp::from_seconds(1_767_225_600), Timestamp::from_seconds(1_767_232_800));
        let told = |at| match status(State::Revoked { at, reason: Reason::CertificateHold }, now).expect("a status") {
            CertStatus::Revoked(info) => info.revocation_time,
            CertStatus::Good(_) | CertStatus::Unknown(_) => panic!("it is revoked"),
        };
        let time = |at| OcspGeneralizedTime(time::generalized(at).expect("a time"));
        assert_eq!(told(later), time(now));
        assert_eq!(told(EARLIER), time(EARLIER));
    }
}
