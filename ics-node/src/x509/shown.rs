//! What is read from a certificate that a client shows; none of it is believed.

use der::{Decode as _, Encode as _};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A certificate of unknown origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The octets of its serial number.
    pub serial: Vec<u8>,
    /// Its SubjectPublicKeyInfo in DER.
    pub spki: Vec<u8>,
    /// Its alternative names of all kinds: host names as text, `None` for each of another kind.
    pub names: Vec<Option<String>>,
}

impl Shown {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// With the reason, in words.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let form = |error: der::Error| format!("this is not an X.509 certificate: {error}");
        let certificate = Certificate::from_der(der).map_err(form)?;
        let mut names = Vec::new();
        if let Some((_, alternative)) = certificate.tbs_certificate.get::<SubjectAltName>().map_err(form)? {
            names.extend(alternative.0.into_iter().map(|name| match name {
                GeneralName::DnsName(host) => Some(host.to_string()),
                _ => None,
            }));
        }
        Ok(Self {
            serial: certificate.tbs_certificate.serial_number.as_bytes().to_vec(),
            spki: certificate.tbs_certificate.subject_public_key_info.to_der().map_err(form)?,
            names,
        })
    }
}
