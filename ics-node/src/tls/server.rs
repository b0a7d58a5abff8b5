//! TLS as a server, with rustls and aws-lc-rs: a client may present a certificate, but need not.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, ResolvesServerCert};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, ServerConnection, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime, pem};

use super::node::COMMON_NAME;
use super::pin::KeyPin;
use super::shown::ShownCertificate;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or is not PEM.
    #[error("cannot read `{path}`: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Everybody may access the secret key.
    #[error(
        "everybody on this machine can use the secret key in `{path}`, whose mode is {mode:o}: use `chmod 600`, or \
         `chmod 640` and a group of its own, such as ssl-cert",
        path = path.display()
    )]
    OpenToAll {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is no certificate in the file.
    #[error(
        "there is no certificate in `{path}`: the file must be PEM, with the node's own certificate first and then \
         those above it",
        path = .0.display()
    )]
    NoCertificate(PathBuf),
    /// The key does not belong to the certificate, or is of a kind that rustls does not support.
    #[error("the certificate and key cannot be used for TLS: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A configuration for TLS 1.3 and 1.2 with that certificate. Clients may prove a key, which [`proven_key`] returns.
///
/// # Errors
/// When no version of TLS can be offered.
pub fn server(shown: &Arc<ShownCertificate>) -> Result<ServerConfig, TlsError> {
    make(shown, vec![DistinguishedName::from(issuer())])
}

/// As [`server`], for programs that present their configured certificate without asking anybody: any issuer is
/// accepted. A browser would ask its user for a certificate.
///
/// # Errors
/// As [`server`].
pub fn server_for_programs(shown: &Arc<ShownCertificate>) -> Result<ServerConfig, TlsError> {
    make(shown, Vec::new())
}

fn make(shown: &Arc<ShownCertificate>, issuers: Vec<DistinguishedName>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::clone(&shown.provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = builder.with_client_cert_verifier(Arc::new(AnyKey { provider, issuers }));
    Ok(builder.with_cert_resolver(Arc::clone(shown) as Arc<dyn ResolvesServerCert>))
}

/// The key that the client of a connection has proved to hold, if it has.
#[must_use]
pub fn proven_key(connection: &ServerConnection) -> Option<KeyPin> {
    let certificate = connection.peer_certificates()?.first()?;
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(KeyPin::of(&parsed.subject_public_key_info()))
}

/// Accepts any certificate for the key in it: the handshake proves that the client holds that key, and the
/// configuration says whose it is. A key that is not configured is a stranger's, who may read what strangers may.
#[derive(Debug)]
struct AnyKey {
    provider: Arc<CryptoProvider>,
    issuers: Vec<DistinguishedName>,
}

/// The name of [`COMMON_NAME`] in DER: a sequence of one set of one attribute (RFC 5280, section 4.1.2.4).
fn issuer() -> Vec<u8> {
    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        // All lengths here are below 128, so they take one octet.
        [&[tag, content.len() as u8], content].concat()
    }
    let common_name = [&[0x06, 0x03, 0x55, 0x04, 0x03][..], &tagged(0x0c, COMMON_NAME.as_bytes())].concat();
    tagged(0x30, &tagged(0x31, &tagged(0x30, &common_name)))
}

impl ClientCertVerifier for AnyKey {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.issuers
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        ParsedCertificate::try_from(end_entity).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
