//! X.509 (RFC 5280) without I/O: what is asked for, what an issuer may issue, and the certificates, revocation lists
//! and OCSP answers to be signed.
//!
//! Nothing here decides who gets a certificate: [`crate::app`] does, by the record. This module turns bytes into
//! checked types, and decisions into bytes. Times, serial numbers and signers are arguments.

mod authority;
mod cms;
mod constraints;
mod crl;
mod csr;
mod extension;
mod general_name;
mod leaf;
mod ocsp;
pub mod oid;
mod revocation;
mod shown;
mod signature;
mod subject;
mod taken_back;
mod time;

pub use self::authority::{
    Authority, AuthorityError, AuthorityMakeError, Delegation, NewAuthority, answers_for, ca_request, issue_authority,
};
pub use self::cms::certs_only;
pub use self::constraints::Constraints;
pub use self::crl::{ReadList, ReadRevoked, RevocationList, Revoked, read_list, read_revoked};
pub use self::csr::{Csr, Proof, RequestError};
pub use self::general_name::Wanted;
pub use self::leaf::{
    COMMON_NAME_CHARS, Given, Leaf, LeafError, SerialNumber, crl_url, issuer_id, issuer_url, list_url, ocsp_url,
    shard_of,
};
pub use self::ocsp::{AnswerTimes, OcspError, Question, Questions, Responder};
pub use self::revocation::{Reason, State, because, is_key_compromised, is_misnamed, is_only_of_revoked, misnamed_of};
pub use self::shown::Shown;
pub use self::signature::{SignError, algorithm as signature_algorithm, sign, verify};
pub use self::subject::{certificate_pem, is_same_name, pem_block};
pub use self::taken_back::{
    AskedBy, TakenBack, asked_for, is_permitted_after, is_permitted_since, misnamed, sets_status,
};
pub(crate) use self::time::generalized;

use der::Decode as _;
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;

/// Reads a certificate, in DER or from the first PEM block.
///
/// # Errors
/// With the reason, in words.
pub fn read_certificate(bytes: &[u8]) -> Result<(Certificate, Vec<u8>), String> {
    let der = match core::str::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN ") => pem(text, "CERTIFICATE")?,
        _ => bytes.to_vec(),
    };
    let certificate =
        Certificate::from_der(&der).map_err(|error| format!("this is not an X.509 certificate: {error}"))?;
    Ok((certificate, der))
}

/// Reads the certificates of a file, in order, into DER: one in DER, or all PEM blocks, as in a chain.
///
/// # Errors
/// With the reason for the first that is malformed, in words.
pub fn read_certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let begin = "-----BEGIN CERTIFICATE-----";
    let text = core::str::from_utf8(bytes).ok().filter(|text| text.contains(begin));
    let Some(text) = text else { return read_certificate(bytes).map(|(_, der)| vec![der]) };
    let blocks = text.split_inclusive("-----END CERTIFICATE-----").filter(|block| block.contains(begin));
    blocks.map(|block| read_certificate(block.as_bytes()).map(|(_, der)| der)).collect()
}

/// The content of the first PEM block with this label (RFC 7468).
///
/// # Errors
/// When there is none, or its content is not base64.
pub fn pem(text: &str, label: &str) -> Result<Vec<u8>, String> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let inner = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).map(|(inner, _)| inner);
    let inner = inner.ok_or_else(|| format!("there is no PEM block `{label}`"))?;
    let base64: String = inner.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    data_encoding::BASE64.decode(base64.as_bytes()).map_err(|error| format!("the PEM block `{label}`: {error}"))
}

/// SHA-256, by whose digests keys and certificates are named.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
