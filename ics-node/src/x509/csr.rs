//! Requests for certificates (PKCS #10, RFC 2986): what they ask for, and proof that the asker holds the key.

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
    /// Not the DER of a request, or something in it that is malformed.
    #[error("this is not a certificate request (PKCS #10): {0}")]
    Form(String),
    /// It does not show that the asker holds the key.
    #[error(
        "the request is not signed with its own key, or not with SHA-256 or longer: sign it with the key that it asks \
         a certificate for"
    )]
    Signature,
    /// A key that is weak, malformed, or of a kind that nobody takes.
    #[error("the key in the request is not accepted: {0}")]
    Key(String),
    /// An attribute that means nothing here. What is not understood is not granted.
    #[error("the request has the attribute {0}, which is not understood here")]
    Attribute(ObjectIdentifier),
    /// An extension that means nothing here.
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

/// A request whose signature is good: whoever made it holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    /// The names that it asks for; none means all that the record gives.
    pub wanted: BTreeSet<Wanted>,
    /// What its common names say that are no hosts: nothing of it comes into the certificate.
    pub called: BTreeSet<String>,
    /// The uses that it asks for; none means all that the profile has.
    pub uses: BTreeSet<CertificateUse>,
    /// Whether it asks for another key usage than the one of all certificates here, which is to sign.
    pub has_other_usage: bool,
    /// Its key.
    pub key: PublicKey,
    /// What kind of key it is.
    pub key_type: KeyType,
    /// Its SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// The subject as it stands in it.
    pub subject: DistinguishedName,
}

/// By what a request shows that the asker holds the key: a signature.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// How it is made.
    pub algorithm: &'a AlgorithmIdentifierOwned,
    /// What is signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a BitString,
}

impl Csr {
    /// Reads and verifies a request, DER.
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
                // A shared secret of SCEP; it gives no right here.
                oid::CHALLENGE_PASSWORD => {}
                other => return Err(RequestError::Attribute(other)),
            }
        }
        csr.checked()
    }

    /// The same of a request of another form, of what it is made of and by what it is proven.
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

    /// DER from PEM or base64, as requests travel.
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

/// What the subject asks for, and what it is called. Only a serial number and a host name in it are names; the rest the
/// record says.
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

/// The host that a common name asks for. Mostly it says what the device is called, and firmware that writes it cannot be
/// changed: what is no host is left out, since nothing of it comes into the certificate. Without a dot, and with a number
/// in the place of a top-level domain, it is none (RFC 3696, 2). What is one is held to the rule of all requests.
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

/// Small exponents have let badly padded signatures and messages through again and again (NIST FIPS 186-5, 5.1).
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
