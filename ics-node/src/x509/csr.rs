//! Certificate requests (PKCS #10, RFC 2986): what they ask for, and proof that the requester holds the key.

use std::collections::BTreeSet;

use der::asn1::{BitString, Ia5StringRef, ObjectIdentifier, PrintableStringRef, UintRef, Utf8StringRef};
use der::{Any, Decode as _, Encode as _, Sequence};
use ics_core::identity::excerpt;
use ics_core::limits;
use ics_core::name::{Name, NameError};
use ics_core::openpgp::algorithm::KeyAlgorithm;
use ics_core::openpgp::key::PublicKey;
use ics_core::vocabulary::{CertificateUse, KeyType};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::Name as DistinguishedName;
use x509_cert::request::CertReq;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::{Wanted, general_name, oid, signature};

/// Why a request is refused, whoever sends it and whatever the record says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// More than [`limits::CSR_BYTES`].
    #[error("the request has {0} bytes, the limit is {max}", max = limits::CSR_BYTES)]
    TooLong(usize),
    /// Not a request in DER, or something in it is malformed.
    #[error("this is not a certificate request (PKCS #10): {0}")]
    Form(String),
    /// It does not prove that the requester holds the key.
    #[error(
        "the request is not signed with its own key, or not with SHA-256 or longer: sign it with the key that it asks \
         a certificate for"
    )]
    Signature,
    /// A key that is weak, malformed, or of a kind that no profile takes.
    #[error("the key in the request is not accepted: {0}")]
    Key(String),
    /// An attribute that is not understood here, and therefore not granted.
    #[error("the request has the attribute {0}, which is not understood here")]
    Attribute(ObjectIdentifier),
    /// An extension that is not granted here.
    #[error("the request asks for the extension {0}, which is not granted here")]
    Extension(ObjectIdentifier),
    /// An extension with a value that is not granted.
    #[error("the request asks for {0}, which is not granted here")]
    Value(String),
    /// A name that no record could give.
    #[error("the request asks for a name that is not granted here: {0}")]
    Name(String),
    /// More than [`limits::CSR_NAMES`].
    #[error("the request asks for {0} names, the limit is {max}", max = limits::CSR_NAMES)]
    Names(usize),
}

/// A request whose signature is good: the requester holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    /// The names asked for; if empty, all that the record gives.
    pub wanted: BTreeSet<Wanted>,
    /// Its common names that are not host names; they do not go into the certificate.
    pub called: BTreeSet<String>,
    /// The uses asked for; if empty, all that the profile has.
    pub uses: BTreeSet<CertificateUse>,
    /// Whether it asks for another key usage than that of all certificates here, which is signing.
    pub has_other_usage: bool,
    /// Its key.
    pub key: PublicKey,
    /// What kind of key it is.
    pub key_type: KeyType,
    /// Its SubjectPublicKeyInfo in DER.
    pub spki: Vec<u8>,
    /// The subject as it is in the request.
    pub subject: DistinguishedName,
}

/// The proof that the requester holds the key: a signature.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// The signature algorithm.
    pub algorithm: &'a AlgorithmIdentifierOwned,
    /// What is signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a BitString,
}

impl Csr {
    /// Parses and verifies a request in DER.
    ///
    /// # Errors
    /// When it is malformed, not proven, or asks for something that nobody gets here.
    pub fn parse(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > limits::CSR_BYTES {
            return Err(RequestError::TooLong(der.len()));
        }
        let request = CertReq::from_der(der).map_err(form)?;
        let message = request.info.to_der().map_err(form)?;
        let proof = Proof { algorithm: &request.algorithm, message: &message, signature: &request.signature };
        let mut csr = Self::signed(&request.info.subject, &request.info.public_key, &proof)?;
        for attribute in request.info.attributes.iter() {
            match attribute.oid {
                oid::EXTENSION_REQUEST => {
                    for value in attribute.values.iter() {
                        csr.take(&Extensions::from_der(&value.to_der().map_err(form)?).map_err(form)?)?;
                    }
                }
                // A shared secret of SCEP, which gives no right here.
                oid::CHALLENGE_PASSWORD => {}
                other => return Err(RequestError::Attribute(other)),
            }
        }
        csr.checked()
    }

    /// As [`Csr::parse`], for a request in another format, from its parts and its proof.
    ///
    /// # Errors
    /// As [`Csr::parse`].
    pub fn proven(
        subject: &DistinguishedName,
        key: &SubjectPublicKeyInfoOwned,
        extensions: &[Extension],
        proof: &Proof<'_>,
    ) -> Result<Self, RequestError> {
        let mut csr = Self::signed(subject, key, proof)?;
        csr.take(extensions)?;
        csr.checked()
    }

    fn signed(
        subject: &DistinguishedName,
        public_key: &SubjectPublicKeyInfoOwned,
        proof: &Proof<'_>,
    ) -> Result<Self, RequestError> {
        let spki = public_key.to_der().map_err(form)?;
        let key = PublicKey::from_spki_der(&spki).map_err(|error| RequestError::Key(error.to_string()))?;
        let key_type = key_type(&key)?;
        if key_type == KeyType::Rsa {
            check_exponent(public_key.subject_public_key.raw_bytes())?;
        }
        let public = der::referenced::OwnedToRef::owned_to_ref(public_key);
        if !signature::verify(public, proof.algorithm, proof.message, proof.signature) {
            return Err(RequestError::Signature);
        }
        let (wanted, called) = names(subject)?;
        let (uses, subject) = (BTreeSet::new(), subject.clone());
        Ok(Self { wanted, called, uses, has_other_usage: false, key, key_type, spki, subject })
    }

    fn checked(self) -> Result<Self, RequestError> {
        let names = self.wanted.len().max(self.called.len());
        if names > limits::CSR_NAMES { Err(RequestError::Names(names)) } else { Ok(self) }
    }

    /// Decodes a request in PEM or base64, as requests are sent, to DER.
    ///
    /// # Errors
    /// When it is neither, or too long.
    pub fn decode(text: &str) -> Result<Vec<u8>, RequestError> {
        let most = limits::CSR_BYTES * 2;
        if text.len() > most {
            return Err(RequestError::TooLong(text.len() / 4 * 3));
        }
        let labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
        if let Some(label) = labels.iter().find(|label| text.contains(&format!("-----BEGIN {label}-----"))) {
            return super::pem(text, label).map_err(RequestError::Form);
        }
        let base64: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        data_encoding::BASE64.decode(base64.as_bytes()).map_err(|error| RequestError::Form(error.to_string()))
    }

    fn take(&mut self, extensions: &[Extension]) -> Result<(), RequestError> {
        for extension in extensions {
            let content = extension.extn_value.as_bytes();
            match extension.extn_id {
                oid::SUBJECT_ALT_NAME => self.take_names(&SubjectAltName::from_der(content).map_err(form)?)?,
                oid::EXT_KEY_USAGE => self.take_uses(&ExtendedKeyUsage::from_der(content).map_err(form)?)?,
                oid::KEY_USAGE => {
                    let usage = KeyUsage::from_der(content).map_err(form)?;
                    if usage.0.contains(KeyUsages::KeyCertSign) || usage.0.contains(KeyUsages::CRLSign) {
                        return Err(RequestError::Value("the key usage of an authority".to_owned()));
                    }
                    self.has_other_usage = usage != KeyUsage(KeyUsages::DigitalSignature.into());
                }
                oid::BASIC_CONSTRAINTS if BasicConstraints::from_der(content).map_err(form)?.ca => {
                    return Err(RequestError::Value("the certificate of an authority (CA:TRUE)".to_owned()));
                }
                // The issuer makes its own.
                oid::BASIC_CONSTRAINTS | oid::SUBJECT_KEY_ID => {}
                other => return Err(RequestError::Extension(other)),
            }
        }
        Ok(())
    }

    fn take_names(&mut self, names: &SubjectAltName) -> Result<(), RequestError> {
        if names.0.len() > limits::CSR_NAMES {
            return Err(RequestError::Names(names.0.len()));
        }
        for name in &names.0 {
            self.wanted.insert(general_name::wanted(name).map_err(RequestError::Name)?);
        }
        Ok(())
    }

    fn take_uses(&mut self, uses: &ExtendedKeyUsage) -> Result<(), RequestError> {
        for usage in &uses.0 {
            self.uses.insert(match *usage {
                oid::CLIENT_AUTH => CertificateUse::Client,
                oid::SERVER_AUTH => CertificateUse::Server,
                oid::OCSP_SIGNING => CertificateUse::Ocsp,
                other => return Err(RequestError::Value(format!("the extended key usage {other}"))),
            });
        }
        Ok(())
    }
}

/// The names that the subject asks for, and its other common names. Only a serial number and a host name in it are
/// requests for names; the rest is for the record to say.
fn names(subject: &DistinguishedName) -> Result<(BTreeSet<Wanted>, BTreeSet<String>), RequestError> {
    let (mut wanted, mut called) = (BTreeSet::new(), BTreeSet::new());
    let refused = |error: NameError| RequestError::Name(error.to_string());
    for attribute in subject.0.iter().flat_map(|rdn| rdn.0.iter()) {
        match attribute.oid {
            oid::SERIAL_NUMBER => {
                let serial = Name::new("serial", &text(&attribute.value)?).map_err(refused)?;
                wanted.insert(Wanted::Name(serial));
            }
            oid::COMMON_NAME => {
                let Ok(text) = text(&attribute.value) else { continue };
                if let Some(name) = host(&text)? {
                    wanted.insert(Wanted::Name(name));
                } else {
                    called.insert(text);
                }
            }
            _ => {}
        }
    }
    Ok((wanted, called))
}

/// The host name that a common name asks for, if any. Mostly a common name says what the device is called, and firmware
/// that writes it cannot be changed: anything that is not a host name is ignored, since it does not go into the
/// certificate. Without a dot, or with a number in place of the top-level domain, it is not a host name (RFC 3696, 2).
/// A host name must obey the rule for all requests.
fn host(text: &str) -> Result<Option<Name>, RequestError> {
    let Some((_, last)) = text.trim_end_matches('.').rsplit_once('.') else { return Ok(None) };
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<core::net::IpAddr>().is_err();
    if is_number || Name::new("host", text).is_err() {
        return Ok(None);
    }
    Name::dns(text).map(Some).map_err(|error| RequestError::Name(error.to_string()))
}

fn text(value: &Any) -> Result<String, RequestError> {
    let utf8 = Utf8StringRef::try_from(value).map(|text| text.as_str().to_owned());
    let printable = || PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned());
    let ia5 = || Ia5StringRef::try_from(value).map(|text| text.as_str().to_owned());
    let text = utf8.or_else(|_| printable()).or_else(|_| ia5()).map_err(form)?;
    if text.len() > limits::NAME_BYTES { Err(RequestError::Name(excerpt(&text))) } else { Ok(text) }
}

fn key_type(key: &PublicKey) -> Result<KeyType, RequestError> {
    match key.algorithm() {
        KeyAlgorithm::P256 => Ok(KeyType::P256),
        KeyAlgorithm::P384 => Ok(KeyType::P384),
        KeyAlgorithm::P521 => Ok(KeyType::P521),
        KeyAlgorithm::Rsa => Ok(KeyType::Rsa),
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Ed25519Legacy => Ok(KeyType::Ed25519),
        other => Err(RequestError::Key(format!("no certificates are issued for keys of type {other}"))),
    }
}

/// RSAPublicKey (RFC 8017, A.1.1).
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// Refuses small exponents, with which badly padded signatures and messages have repeatedly been accepted (NIST FIPS
/// 186-5, 5.1).
fn check_exponent(key: &[u8]) -> Result<(), RequestError> {
    let key = RsaPublicKey::from_der(key).map_err(form)?;
    let octets = key.exponent.as_bytes();
    let is_odd = octets.last().is_some_and(|octet| octet & 1 == 1) && !key.modulus.is_empty();
    let is_large = octets.len() > 2;
    if is_odd && is_large { Ok(()) } else { Err(RequestError::Key("its exponent is below 65537, or even".to_owned())) }
}

fn form(error: der::Error) -> RequestError {
    RequestError::Form(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_name_is_a_host_or_nothing() {
        for (text, expected) in [
            ("pump-7.acme.example", Some("host:pump-7.acme.example")),
            ("GW.Acme.Example", Some("host:gw.acme.example")),
            ("192.0.2.1", Some("host:192.0.2.1")),
            ("Acme Pump 7.5", None),
            ("Pump-7.5", None),
            ("dev@acme.example", None),
            ("*.acme.example", None),
            ("pump-7", None),
            ("..", None),
            ("", None),
        ] {
            let host = host(text).expect(text);
            assert_eq!(host.map(|name| name.to_string()).as_deref(), expected, "{text}");
        }
        assert!(matches!(host("GW.Acme.Example."), Err(RequestError::Name(_))), "with the dot it is no name of a host");
    }
}
